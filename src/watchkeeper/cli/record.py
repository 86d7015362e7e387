"""``watchkeeper record`` and ``outcomes``: predictions and outcomes from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from watchkeeper.cli.project import opened, project_option
from watchkeeper.cli.terminal import json_option, pairs, print_json, progress_bar


@click.command(
    epilog="""\b
Examples:
  watchkeeper record scored.parquet --model churn --version 3
  watchkeeper record scored.csv --model churn --version 3 --id customer --at scored_at --score p

Columns named id, at, prediction and score are taken for what they are; every other column is a feature.
Recording a file twice changes nothing where it has an id column."""
)
@click.argument("file")
@click.option("--model", required=True, help="Which model made these predictions.")
@click.option("--version", required=True, help="Which version of it.")
@click.option("--id", "id_column", help="Column that names a prediction, for its outcome later.")
@click.option("--at", "at_column", help="Column with the time of the prediction.")
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
    version: str,
    id_column: str | None,
    at_column: str | None,
    prediction_column: str | None,
    score_column: str | None,
    class_scores: tuple[str, ...],
    project: Path,
    as_json: bool,
) -> None:
    """Record the predictions in FILE: a Parquet, CSV or JSON-lines file, a folder or a glob."""
    score: Any = pairs(class_scores, "class-score") or score_column
    named = {"id": id_column, "at": at_column, "prediction": prediction_column, "score": score}
    _record(project, file, model, version, "record_batch", named, as_json)


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
    named = {"id": id_column, "actual": actual_column, "at": at_column}
    _record(project, file, model, "", "outcomes", named, as_json)


def _record(
    project: Path, file: str, model: str, version: str, how: str, named: dict[str, Any], as_json: bool
) -> None:
    import pyarrow as pa

    from watchkeeper.capture.recorder import Recorder
    from watchkeeper.errors import BadInput, StoreUnavailable
    from watchkeeper.rows.sources import open_source

    with opened(project) as watch:
        watch.model(model)
        data = watch.data
    source = open_source(file)
    given = {k: v for k, v in named.items() if v is not None}
    if (
        how == "outcomes"
        and "actual" not in given
        and "actual" not in source.available
        and "outcome" in source.available
    ):
        given["actual"] = "outcome"
    _check_columns(source, given, how)
    rows = 0
    with Recorder(model, version, path=data, flush_interval_s=60) as recorder, progress_bar() as progress:
        for batch in source.batches():
            table = pa.Table.from_batches([batch])
            getattr(recorder, how)(table, **given)
            if not recorder.flush():
                raise StoreUnavailable(
                    f"The journal cannot be written just now: {recorder.stats().last_error}.",
                    f"{rows:,} rows are recorded. Run the same command again: rows with an id count once.",
                )
            if recorder.stats().dropped:
                raise BadInput(f"The rows cannot be recorded: {recorder.stats().last_error}.")
            rows += batch.num_rows
            if progress:
                progress("recording", rows, source.row_count_hint)
    if as_json:
        print_json({"rows": rows, "model": model, "problems": source.problems})
        return
    for problem in source.problems:
        click.echo(f"note: {problem}", err=True)
    click.echo(f"{rows:,} rows of {file} are recorded.\nNext:  watchkeeper tick --model {model}")


def _check_columns(source: Any, named: dict[str, Any], how: str) -> None:
    from watchkeeper.errors import BadInput, NotFound, nearest

    columns = [c for v in named.values() for c in (v.values() if isinstance(v, dict) else [v])]
    for column in columns:
        if column not in source.available:
            raise NotFound(
                f"{source.name} has no column {column!r}.{nearest(column, source.available)}",
                f"It has: {', '.join(source.available)}.",
            )
    if how == "outcomes":
        for role in ("id", "actual"):
            if role not in named and role not in source.available:
                raise BadInput(f"{source.name} has no column {role!r}.", f"Name it:  --{role} COLUMN")
