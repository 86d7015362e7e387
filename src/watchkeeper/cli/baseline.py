"""``watchkeeper baseline``: what later batches are compared with, in one file."""

from __future__ import annotations

from pathlib import Path

import click

from watchkeeper.cli.terminal import json_option, pairs, print_json, progress_bar

__all__ = ["baseline"]


@click.command()
@click.argument("source")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Where to write it; SOURCE.wkb beside the source otherwise.",
)
@click.option("--schema", "schema_file", type=click.Path(path_type=Path), help="Schema file.")
@click.option("--role", "roles", multiple=True, metavar="COLUMN=ROLE", help="What part a column plays.")
@click.option("--kind", "kinds", multiple=True, metavar="COLUMN=KIND", help="What a column holds.")
@click.option(
    "--task", type=click.Choice(["binary", "multiclass", "regression"]), help="What the model does."
)
@click.option("--columns", help="Only these columns, separated by commas.")
@click.option("--segments", help="Columns by whose values performance is measured apart.")
@click.option("--name", default="", help="What people call it.")
@click.option(
    "--sample",
    type=click.IntRange(0),
    default=None,
    help="Rows to keep for tests that need rows; 0 keeps none.",
)
@json_option
def baseline(
    source: str,
    output: Path | None,
    schema_file: Path | None,
    roles: tuple[str, ...],
    kinds: tuple[str, ...],
    task: str | None,
    columns: str | None,
    segments: str | None,
    name: str,
    sample: int | None,
    as_json: bool,
) -> None:
    """Take a baseline of SOURCE: schema, histograms' edges, profile, and a sample of rows."""
    from watchkeeper.cli.compare import _names, _schema
    from watchkeeper.loop.profiling import BASELINE_SUFFIX, save_baseline
    from watchkeeper.loop.profiling import baseline as take

    with progress_bar() as progress:
        made = take(
            source,
            schema=_schema(schema_file),
            roles=pairs(roles, "role") or None,
            kinds=pairs(kinds, "kind") or None,
            task=task,
            columns=_names(columns) or None,
            segments=[tuple(s.split("+")) for s in _names(segments)],
            name=name,
            sample_rows=sample,
            progress=progress,
        )
    target = save_baseline(made, output or Path(Path(source).name or "baseline").with_suffix(BASELINE_SUFFIX))
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
            }
        )
        return
    click.echo(
        f"{made.profile.rows:,.0f} rows, {len(made.schema.columns)} columns, {len(made.windows)} windows of its own."
    )
    for note in made.profile.notes:
        click.echo(f"note: {note}")
    click.echo(f"The baseline: {target}\nNext:  watchkeeper compare {target} NEW_ROWS")
