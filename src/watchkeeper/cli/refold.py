"""``watchkeeper refold``: the evidence of a model, folded again from what was measured."""

from __future__ import annotations

import getpass
from pathlib import Path

import click

from watchkeeper.cli.project import opened, project_option
from watchkeeper.cli.terminal import json_option, print_json


@click.command(
    epilog="""\b
Examples:
  watchkeeper refold churn
  watchkeeper refold churn --corrected "income was in cents until May"

Evidence that was lost is written again and costs nothing. Taking a past that has changed is one more chance of a false
alarm, so such a revision goes on under a smaller budget: docs/evidence.md"""
)
@click.argument("model")
@click.option("--corrected", "reason", default="", help="Why the past has changed: take it, as a revision.")
@click.option("--by", help="Who says so.  [default: the user's name]")
@project_option
@json_option
def refold(model: str, reason: str, by: str | None, project: Path, as_json: bool) -> int:
    """Fold the evidence of MODEL again from its measured windows, and tell where it differs from what is kept.

    Exit status 1: some differs, because windows were measured again, and was left as it was.
    """
    from watchkeeper.loop.backtest.refold import refold as run
    from watchkeeper.wiring.scratch import scratch_ledger

    reason = reason.strip()
    with opened(project) as watch, scratch_ledger() as scratch:
        found = run(
            watch,
            watch.model(model),
            watch.config.alerting(),
            scratch=scratch,
            actor=by or getpass.getuser(),
            reason=reason,
        )
    left = bool(found.changed) and not reason
    if as_json:
        print_json(found.to_dict())
        return int(left)
    click.echo(f"{found.same} series of evidence are what their windows say.")
    if found.lost:
        click.echo(f"{found.lost} had no evidence, and have it again.")
    for key in found.changed[:20]:
        click.echo(f"  changed since: {' '.join(part for part in key.split('|') if part)}")
    if left:
        click.echo(
            f"{len(found.changed)} differ, since windows were measured again, and were left as they were."
        )
        click.echo(f'Take the corrected past:  watchkeeper refold {model} --corrected "WHY"')
    elif found.changed:
        click.echo(f"{len(found.changed)} go on from the corrected past, as revision {found.revision}.")
    return int(left)
