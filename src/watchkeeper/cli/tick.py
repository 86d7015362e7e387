"""``watchkeeper tick`` and ``backfill``: measure what is due, or a stretch of time again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from watchkeeper.cli.project import opened, project_option, window_progress
from watchkeeper.cli.terminal import json_option, print_json

if TYPE_CHECKING:
    from watchkeeper.loop.watch.tick import Ticked


@click.command(
    epilog="""\b
Examples:
  watchkeeper tick                     everything that is due, in every model
  watchkeeper tick --model churn       one model
  */5 * * * *  watchkeeper tick --project /srv/watch        from cron, instead of `serve`

Running it twice changes nothing. Exit status: 0, or 1 when something was in the way."""
)
@click.option("--model", "models", multiple=True, help="Only this model. Repeatable.")
@project_option
@json_option
def tick(models: tuple[str, ...], project: Path, as_json: bool) -> int:
    """Bring in what was recorded, measure every window that is due or got new outcomes, and tell who must know."""
    from watchkeeper.wiring.telling import tell

    with opened(project) as watch, window_progress() as progress:
        done = watch.tick(models=models or None, progress=progress)
        if not done.held_by_another:
            done.problems.extend(tell(watch))
    return told(done, as_json)


def told(done: Ticked, as_json: bool) -> int:
    """Show what a tick did; the exit status."""
    figures: dict[str, Any] = done.to_dict()
    if as_json:
        print_json(figures)
    elif done.held_by_another:
        click.echo("Another process is at it just now (a server, or another tick); nothing to do here.")
    else:
        click.echo(
            f"{figures['predictions']:,} predictions and {figures['outcomes']:,} outcomes came in"
            + (
                f" ({figures['unmatched']:,} outcomes meet no prediction so far)"
                if figures["unmatched"]
                else ""
            )
            + (f" ({figures['duplicates']:,} repeats left out)" if figures["duplicates"] else "")
            + f"; {done.stored_windows:,} windows measured, {done.judged_windows:,} judged, "
            f"{done.measurements:,} measurements."
        )
        for said in figures["problems"]:
            click.echo(f"problem: {said}", err=True)
        if not figures["problems"]:
            click.echo("Next:  watchkeeper status")
    return 1 if figures["problems"] else 0
