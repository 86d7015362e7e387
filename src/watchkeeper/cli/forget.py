"""``watchkeeper forget``: remove rows for good."""

from __future__ import annotations

from pathlib import Path

import click

from watchkeeper.cli.project import opened, project_option
from watchkeeper.cli.terminal import json_option, print_json


@click.command(
    epilog="""\b
Examples:
  watchkeeper forget churn --id 0190c1d2-... --id order-17
  watchkeeper forget churn --where "customer = 'C-1234'"
  watchkeeper forget churn --ids-from erasure-requests.txt --yes

They leave journals, tables with their old file versions, and the baseline's sample; profiles that they were in are
made anew. A window whose raw rows have expired cannot be made anew, and is named."""
)
@click.argument("model")
@click.option("--id", "ids", multiple=True, help="Id of a prediction. Repeatable.")
@click.option(
    "--ids-from", type=click.Path(path_type=Path, exists=True), help="File with one id on each line."
)
@click.option("--where", help="SQL condition on the recorded columns.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@project_option
@json_option
def forget(
    model: str,
    ids: tuple[str, ...],
    ids_from: Path | None,
    where: str | None,
    yes: bool,
    project: Path,
    as_json: bool,
) -> int:
    """Remove predictions and outcomes of MODEL for good, and make the profiles they were in anew."""
    from watchkeeper.errors import BadInput
    from watchkeeper.loop.labels.forget import forget as remove
    from watchkeeper.loop.labels.forget import rows_to_forget

    wanted = list(ids)
    if ids_from is not None:
        wanted += [line.strip() for line in ids_from.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not wanted and not where:
        raise BadInput("Nothing was named that should be forgotten.", "Give --id, --ids-from or --where.")
    with opened(project) as watch:
        if not yes:
            found = rows_to_forget(watch, model, ids=wanted, where=where)
            question = f"{found:,} predictions of {model!r} in its tables match (more may be in journals). Remove them for good?"
            click.confirm(question, abort=True, err=True)
        done = remove(watch, model, ids=wanted, where=where)
    if as_json:
        print_json(done.to_dict())
    else:
        click.echo(
            f"{done.predictions:,} predictions and {done.outcomes:,} outcomes are gone from the tables, "
            f"{done.journal_rows:,} rows from journals, {done.baseline_rows:,} from the baseline's sample."
        )
        click.echo(f"{len(done.rebuilt_windows):,} windows were measured anew without them.")
        for label in done.not_rebuildable:
            click.echo(f"cannot be rebuilt, its raw rows have expired: {label}")
        for said in done.problems:
            click.echo(f"problem: {said}", err=True)
    return 1 if done.problems or done.not_rebuildable else 0
