"""``watchkeeper record`` and ``outcomes``: predictions and outcomes from files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from watchkeeper.cli.project import opened, project_option
from watchkeeper.cli.terminal import json_option, pairs, print_json, progress_bar

if TYPE_CHECKING:
    from watchkeeper.loop.watch.recording import Recorded


@click.command(
    epilog="""\b
Examples:
  watchkeeper record scored.parquet --model churn --version 3
  watchkeeper record scored.csv --model churn --version 3 --id customer --at scored_at --score p

What the project knows of the model says which column is the id, the time, the prediction, the score and the version;
else columns of these names are (the time's is "at"). Every other column is a feature. Recording a file again changes
nothing: a row without an id gets one made of what it holds. Rows whose id or time cannot be used are refused."""
)
@click.argument("file")
@click.option("--model", required=True, help="Which model made these predictions.")
@click.option("--version", help="Which version of it; from the version column where there is one.")
@click.option("--id", "id_column", help="Column that names a prediction, for its outcome later.")
@click.option("--at", "at_column", help="Column with the time of the prediction; now: of this moment.")
@click.option("--prediction", "prediction_column", help="Column with the prediction.")
@click.option("--score", "score_column", help="Column with the score (a probability).")
@click.option(
    "--class-score", "class_scores", multiple=True, metavar="CLASS=COLUMN", help="Score of one class."
)
@project_option
@json_option
def record(
    file: str,
    model: str,
    version: str | None,
    id_column: str | None,
    at_column: str | None,
    prediction_column: str | None,
    score_column: str | None,
    class_scores: tuple[str, ...],
    project: Path,
    as_json: bool,
) -> None:
    """Record the predictions in FILE: a Parquet, CSV or JSON-lines file, a folder or a glob."""
    from watchkeeper.loop.watch.recording import record_file

    score: str | dict[str, str] | None = pairs(class_scores, "class-score") or score_column
    named = {"id": id_column, "at": at_column, "prediction": prediction_column, "score": score}
    with opened(project) as watch, progress_bar() as progress:
        done = record_file(watch, model, file, version=version, named=named, progress=progress)
    _told(done, file, model, "predictions", as_json)


@click.command(
    epilog="""\b
Examples:
  watchkeeper outcomes labels.parquet --model churn
  watchkeeper outcomes labels.csv --model churn --id customer --actual left --at known_at

The last outcome told of a prediction counts; its windows are measured again at the next tick."""
)
@click.argument("file")
@click.option("--model", required=True, help="Whose predictions these outcomes belong to.")
@click.option("--id", "id_column", help="Column with the prediction's id.")
@click.option("--actual", "actual_column", help="Column with what really happened (actual, else outcome).")
@click.option("--at", "at_column", help="Column with the time when it was known.")
@project_option
@json_option
def outcomes(
    file: str,
    model: str,
    id_column: str | None,
    actual_column: str | None,
    at_column: str | None,
    project: Path,
    as_json: bool,
) -> None:
    """Record the outcomes in FILE: what really happened, by the id of the prediction."""
    from watchkeeper.loop.watch.recording import record_outcomes

    named = {"id": id_column, "actual": actual_column, "at": at_column}
    with opened(project) as watch, progress_bar() as progress:
        done = record_outcomes(watch, model, file, named=named, progress=progress)
    _told(done, file, model, "outcomes", as_json)


def _told(done: Recorded, file: str, model: str, what: str, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "rows": done.rows,
                "refused": done.refused,
                "repeats": done.repeats,
                **({"unmatched": done.unmatched} if what == "outcomes" else {}),
                "model": model,
                "problems": done.notes,
            }
        )
        return
    click.echo(
        f"{done.rows:,} rows of {file} are recorded"
        + (f"; {done.refused:,} refused" if done.refused else "")
        + (f"; {done.unmatched:,} meet no prediction so far" if done.unmatched else "")
        + f".\nNext:  watchkeeper tick --model {model}"
    )
    for note in done.notes:
        click.echo(f"note: {note}", err=True)
