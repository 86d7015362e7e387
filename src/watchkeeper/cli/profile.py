"""``watchkeeper profile``: every column in figures, in one pass."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from watchkeeper.cli.terminal import (
    json_option,
    print_json,
    print_table,
    progress_bar,
    source_options,
    strict,
)

if TYPE_CHECKING:
    from watchkeeper.stats.states.profile import ColumnProfile, Profile


@click.command(
    epilog="""\b
Examples:
  watchkeeper profile january.parquet
  watchkeeper profile january.csv --save-schema schema.json
  watchkeeper profile january.parquet --output january.wkp --json"""
)
@click.argument("source")
@source_options
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Save the profile; it serves as a baseline without rows.",
)
@click.option(
    "--save-schema", type=click.Path(path_type=Path), help="Write the schema, to look at and to change."
)
@json_option
def profile(
    source: str,
    reading: dict[str, Any],
    output: Path | None,
    save_schema: Path | None,
    as_json: bool,
) -> None:
    """Profile SOURCE: a file, folder, glob or query."""
    from watchkeeper.errors import BadInput
    from watchkeeper.loop.batch.profiling import profile as run
    from watchkeeper.stats.states.codec import encode

    with progress_bar() as progress:
        made = run(
            source,
            **reading,
            progress=progress,
        )
    if output is not None:
        try:
            output.write_bytes(encode(made.without_rows()))
        except OSError as cause:
            raise BadInput(f"The profile cannot be written to {output}: {cause.strerror}.") from cause
    if save_schema is not None:
        from watchkeeper.rows.schema_file import save_schema as write

        write(made.schema, save_schema)
    if as_json:
        print_json(described(made))
    else:
        print_profile(made)


def described(made: Profile) -> dict[str, Any]:
    """A profile as plain JSON values."""
    return {
        "rows": made.rows,
        "schema": made.schema.to_dict(),
        "columns": [_column(c) for c in made.columns.values()],
        "notes": list(made.notes),
    }


def print_profile(made: Profile) -> None:
    """A profile as a table."""
    click.echo(f"{made.rows:,.0f} rows, {len(made.columns)} columns")
    from watchkeeper.domain.schema import Kind

    rows = []
    for c in made.columns.values():
        figures = _column(c)
        said = _moment if c.column.kind is Kind.DATETIME else _short
        rows.append(
            (
                c.name,
                c.column.kind.value
                + ("" if c.column.role.value == "feature" else f", {c.column.role.value}"),
                f"{100 * figures['missing_share']:.3g}%",
                _short(figures.get("distinct")),
                said(figures.get("mean")),
                said(figures.get("min")),
                said(figures.get("median")),
                said(figures.get("max")),
                ", ".join(
                    f"{n} {100 * s:.3g}%" for n, s in list(figures.get("most_frequent", {}).items())[:3]
                ),
            )
        )
    headers = ("column", "kind", "missing", "distinct", "mean", "min", "median", "max", "most frequent")
    print_table(headers, rows, right=(2, 3, 4, 5, 6, 7))
    for note in made.notes:
        click.echo(f"note: {note}")


def _moment(us: float | None) -> str:
    """Microseconds after 1970 as people write a time."""
    from datetime import UTC, datetime, timedelta

    try:
        return (
            ""
            if us is None
            else f"{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us):%Y-%m-%d %H:%M}"
        )
    except OverflowError:
        return f"{us:.4g}"


def _column(c: ColumnProfile) -> dict[str, Any]:
    out: dict[str, Any] = {
        "name": c.name,
        "kind": c.column.kind.value,
        "role": c.column.role.value,
        "rows": c.rows,
        "missing_share": float(c.missing / c.rows) if c.rows else 0.0,
        "distinct": c.distinct,
    }
    if c.moments is not None and c.moments.n:
        out |= {"mean": c.moments.mean, "sd": c.moments.sd}
    if c.histogram is not None and c.histogram.n:
        out |= {"min": c.histogram.min, "median": c.histogram.quantile(0.5), "max": c.histogram.max}
    if c.frequencies is not None and c.frequencies.n:
        out["most_frequent"] = {name: count / c.frequencies.n for name, count in c.frequencies.top(10)}
    cleaned: dict[str, Any] = strict(out)
    return cleaned


def _short(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) < 1e15 else f"{value:.4g}"
