"""``watchkeeper compare``: a gate for any pipeline, and a page for people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from watchkeeper.cli.terminal import json_option, pairs, print_json, print_table, progress_bar

if TYPE_CHECKING:
    from watchkeeper.documents.batch_report import Report

__all__ = ["compare"]

FAMILIES = ("drift", "quality", "performance")


@click.command(
    epilog="Exit status: 0 no findings, 1 findings, 2 bad usage or input. "
    "A source is a file, folder or glob (Parquet, CSV, JSON lines, Arrow, Delta), or 'sql:SELECT ...'."
)
@click.argument("reference")
@click.argument("current")
@click.option(
    "--schema",
    "schema_file",
    type=click.Path(path_type=Path),
    help="Schema file (see `watchkeeper profile --save-schema`).",
)
@click.option(
    "--role",
    "roles",
    multiple=True,
    metavar="COLUMN=ROLE",
    help="What part a column plays: prediction, score, outcome, id, time, ...",
)
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    metavar="COLUMN=KIND",
    help="What a column holds: numeric, categorical, text, ...",
)
@click.option(
    "--task",
    type=click.Choice(["binary", "multiclass", "regression"]),
    help="What the model does; guessed from the data otherwise.",
)
@click.option("--columns", help="Only these columns, separated by commas.")
@click.option("--segments", help="Measure performance for each value of these columns; a+b crosses two.")
@click.option(
    "--checks",
    multiple=True,
    metavar="CHECK=LEVEL",
    help="Level that matters: psi=0.2, psi:age=0.5, brier=off.",
)
@click.option("--measures", help="More drift measures, separated by commas (see `watchkeeper measures`).")
@click.option("--families", default=",".join(FAMILIES), show_default=True, help="What to look at.")
@click.option("--multivariate", is_flag=True, help="Compare the joint distribution too (slower).")
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Scores from here count as positive.",
)
@click.option(
    "--fdr",
    type=float,
    default=0.05,
    show_default=True,
    help="Allowed share of false findings among drifted columns.",
)
@json_option
@click.option("--html", type=click.Path(path_type=Path), help="Write the page here.")
@click.option("--md", type=click.Path(path_type=Path), help="Write Markdown here ('-' for the terminal).")
@click.option("--junit", type=click.Path(path_type=Path), help="Write JUnit XML here.")
@click.option(
    "--fail-on",
    default="drift,quality,performance",
    show_default=True,
    help="Families whose findings make the exit status 1; 'inconclusive' adds checks that could not tell, 'nothing' never fails.",
)
@click.option("--quiet", is_flag=True, help="No table, no progress.")
def compare(
    reference: str,
    current: str,
    schema_file: Path | None,
    roles: tuple[str, ...],
    kinds: tuple[str, ...],
    task: str | None,
    columns: str | None,
    segments: str | None,
    checks: tuple[str, ...],
    measures: str | None,
    families: str,
    multivariate: bool,
    threshold: float,
    fdr: float,
    as_json: bool,
    html: Path | None,
    md: Path | None,
    junit: Path | None,
    fail_on: str,
    quiet: bool,
) -> int:
    """Compare CURRENT with REFERENCE (rows, or a saved baseline): what changed, and does it matter?"""
    from watchkeeper.loop.compare import compare as run

    failing = _fail_on(fail_on)
    with progress_bar(quiet) as progress:
        report = run(
            reference,
            current,
            schema=_schema(schema_file),
            roles=pairs(roles, "role") or None,
            kinds=pairs(kinds, "kind") or None,
            task=task,
            columns=_names(columns) or None,
            segments=[tuple(s.split("+")) for s in _names(segments)],
            checks=_levels(checks),
            families=_names(families),
            measures=_names(measures) or None,
            multivariate=multivariate,
            threshold=threshold,
            false_discovery_rate=fdr,
            progress=progress,
        )
    for path, write in ((html, report.to_html), (junit, report.to_junit)):
        if path is not None:
            write(path)
    if md is not None:
        click.echo(report.to_markdown()) if str(md) == "-" else report.to_markdown(md)
    if as_json:
        print_json(report.to_dict())
    elif not quiet and (md is None or str(md) != "-"):
        _print(report, html)
    return int(_has_findings(report, failing))


def _schema(path: Path | None) -> Any:
    if path is None:
        return None
    from watchkeeper.rows.schema_file import load_schema

    return load_schema(path)


def _names(text: str | None) -> list[str]:
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def _levels(words: tuple[str, ...]) -> dict[str, float | None]:
    levels: dict[str, float | None] = {}
    for name, value in pairs(words, "checks").items():
        if value in ("off", "false", "none"):
            levels[name] = None
            continue
        try:
            levels[name] = float(value)
        except ValueError:
            raise click.BadParameter(
                f"the level of {name!r} must be a number or 'off', not {value!r}"
            ) from None
    return levels


def _fail_on(text: str) -> set[str]:
    from watchkeeper.errors import nearest

    known = {*FAMILIES, "inconclusive", "nothing"}
    words = set(_names(text))
    for word in words - known:
        raise click.BadParameter(f"--fail-on does not know {word!r}.{nearest(word, known)}")
    return set() if "nothing" in words else words


def _has_findings(report: Report, failing: set[str]) -> bool:
    from watchkeeper.domain.verdict import Verdict

    if any(f.family.value in failing for f in report.failed()):
        return True
    return "inconclusive" in failing and any(f.verdict is Verdict.INCONCLUSIVE for f in report.findings)


def _print(report: Report, html: Path | None) -> None:
    from rich.text import Text

    from watchkeeper.documents.batch_report import verdict_word

    style = {"fail": "bold red", "pass": "green", "inconclusive": "yellow", "error": "yellow"}
    click.echo(f"\n{report.headline}.")
    click.echo(f"{report.summary}\n")
    rows = []
    for column in report.columns[:25]:
        moved = column.moved()
        said = Text(verdict_word(column.verdict.value), style=style[column.verdict.value])
        psi = "–" if moved is None or moved.value is None else f"{moved.value:.3f}"
        rows.append((said, column.name, column.kind, psi, f"{100 * column.missing[1]:.3g}%", column.sentence))
    print_table(("", "column", "kind", "PSI", "missing", "why"), rows, right=(3, 4))
    if len(report.columns) > 25:
        click.echo(f"and {len(report.columns) - 25:,} more columns; --html or --json shows them all.")
    for note in report.notes[:8]:
        click.echo(f"note: {note}")
    if len(report.notes) > 8:
        click.echo(f"and {len(report.notes) - 8:,} more notes; --json shows them all.")
    if html is not None:
        click.echo(f"\nThe page: {html}")
