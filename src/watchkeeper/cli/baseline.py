"""``watchkeeper baseline``: what later batches are compared with, in one file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from watchkeeper.cli.terminal import (
    json_option,
    print_json,
    progress_bar,
    segments_of,
    source_options,
)


@click.command(
    epilog="""\b
Examples:
  watchkeeper baseline january.parquet --output model.wkb
  watchkeeper baseline "2026-*/*.parquet" --role label=outcome --role p=score
  watchkeeper baseline january.csv --suggest-expectations expectations.json

Next:  watchkeeper compare model.wkb february.parquet"""
)
@click.argument("source")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Where to write it; otherwise SOURCE.wkb in the current folder.",
)
@source_options
@click.option("--segments", help="Columns by whose values performance is measured apart.")
@click.option("--name", default="", help="What people call it.")
@click.option(
    "--sample",
    type=click.IntRange(0),
    default=None,
    help="Rows to keep for tests that need rows; 0 keeps none.",
)
@click.option(
    "--suggest-expectations",
    "suggestions",
    type=click.Path(path_type=Path),
    help="Also write what all rows have in common, to read, change, and use with `compare --expectations`.",
)
@json_option
def baseline(
    source: str,
    output: Path | None,
    reading: dict[str, Any],
    segments: str | None,
    name: str,
    sample: int | None,
    suggestions: Path | None,
    as_json: bool,
) -> None:
    """Take a baseline of SOURCE: schema, histograms' edges, profile, and a sample of rows."""
    from watchkeeper.loop.batch.profiling import BASELINE_SUFFIX, save_baseline
    from watchkeeper.loop.batch.profiling import baseline as take

    with progress_bar() as progress:
        made = take(
            source,
            **reading,
            segments=segments_of(segments),
            name=name,
            sample_rows=sample,
            progress=progress,
        )
    target = save_baseline(made, output or Path(Path(source).name or "baseline").with_suffix(BASELINE_SUFFIX))
    if suggestions is not None:
        from watchkeeper.loop.batch.expectations import save_expectations, suggested

        save_expectations(suggested(made), suggestions)
    if as_json:
        size = target.stat().st_size
        print_json(
            {
                "path": str(target),
                "rows": made.profile.rows,
                "windows": len(made.windows),
                "size_bytes": size,
                "schema": made.schema.to_dict(),
                "source": made.source,
                "notes": list(made.profile.notes),
                **({"expectations": str(suggestions)} if suggestions is not None else {}),
            }
        )
        return
    click.echo(
        f"{made.profile.rows:,.0f} rows, {len(made.schema.columns)} columns, {len(made.windows)} windows of its own."
    )
    for note in made.profile.notes:
        click.echo(f"note: {note}")
    if suggestions is not None:
        click.echo(f"What its rows have in common: {suggestions} (read it before you rely on it)")
    click.echo(f"The baseline: {target}\nNext:  watchkeeper compare {target} NEW_ROWS")
