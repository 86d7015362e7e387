"""``watchkeeper compare``: a gate for any pipeline, and a page for people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from watchkeeper.cli.terminal import (
    json_option,
    names,
    pairs,
    print_json,
    print_table,
    progress_bar,
    segments_of,
    source_options,
)

if TYPE_CHECKING:
    from watchkeeper.documents.batch.answer import PeerAnswer
    from watchkeeper.documents.batch.report import Report


FAMILIES = ("drift", "quality", "performance")


@click.command(
    epilog="""\b
Examples:
  watchkeeper compare january.parquet february.parquet --html report.html
  watchkeeper compare model.wkb today.csv --fail-on drift,quality
  watchkeeper compare model.wkb today.csv --checks psi=0.2 --checks psi:age=off
  watchkeeper compare old.csv new.csv --expect "age between 0 and 120"
  watchkeeper compare "sql:SELECT * FROM 'old/*.parquet'" new.parquet --json

A source is a file, folder or pattern (Parquet, CSV, TSV, JSON lines, Arrow, Delta), or a query as
'sql:SELECT ...' or 'duckdb:FILE::SELECT ...'. REFERENCE may also be a baseline that was saved before.

Exit status: 0 no findings, 1 findings, 2 bad usage or input."""
)
@click.argument("reference")
@click.argument("current")
@source_options
@click.option("--segments", help="Measure performance for each value of these columns; a+b crosses two.")
@click.option(
    "--checks",
    multiple=True,
    metavar="CHECK=LEVEL",
    help="Level that matters: psi=0.2, psi:age=0.5, brier=off.",
)
@click.option("--measures", help="More measures, separated by commas (see `watchkeeper measures`).")
@click.option("--families", default=",".join(FAMILIES), show_default=True, help="What to look at.")
@click.option(
    "--expect",
    multiple=True,
    metavar="SENTENCE",
    help='What the values must satisfy: "age between 0 and 120", "sex in f, m", "id unique", "x not null". Repeatable.',
)
@click.option(
    "--expectations",
    "expectations_file",
    type=click.Path(path_type=Path),
    help="The same as a JSON or TOML file; `watchkeeper baseline DATA --suggest-expectations FILE` writes one.",
)
@click.option("--duplicates", is_flag=True, help="Count copies of whole rows too; copies of ids always are.")
@click.option(
    "--compat",
    type=click.Choice(["evidently", "nannyml", "whylogs", "deequ", "alibi"]),
    help="Also say what this tool would, by its own definitions; both sides must be rows.",
)
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
    reading: dict[str, Any],
    segments: str | None,
    checks: tuple[str, ...],
    measures: str | None,
    families: str,
    expect: tuple[str, ...],
    expectations_file: Path | None,
    duplicates: bool,
    compat: str | None,
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
    from watchkeeper.loop.batch.compare import compare as run

    failing = _fail_on(fail_on)
    expected: list[Any] = list(expect)
    if expectations_file is not None:
        from watchkeeper.loop.batch.expectations import load_expectations

        expected = [*load_expectations(expectations_file), *expected]
    with progress_bar(quiet) as progress:
        report = run(
            reference,
            current,
            **reading,
            segments=segments_of(segments),
            expectations=expected,
            duplicates=duplicates,
            compat=compat,
            checks=_levels(checks),
            families=names(families),
            measures=names(measures) or None,
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
    words = set(names(text))
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

    from watchkeeper.documents.batch.answer import verdict_word

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
    for finding in report.failed():
        if not finding.subject or finding.segment:
            where = f"where {finding.segment}" if finding.segment else "all rows"
            click.echo(f"{where}: {finding.sentence}")
    if report.compat is not None:
        _print_peer(report.compat)
    for note in report.notes[:8]:
        click.echo(f"note: {note}")
    if len(report.notes) > 8:
        click.echo(f"and {len(report.notes) - 8:,} more notes; --json shows them all.")
    if html is not None:
        click.echo(f"\nThe page: {html}")


def _print_peer(peer: PeerAnswer) -> None:
    click.echo(f"\n{peer.sentence}")
    rows = [
        (
            c.name,
            c.method,
            c.raw_score or ("–" if c.score is None else f"{c.score:.4g}"),
            "–" if c.threshold is None else f"{c.threshold:.4g}",
            ("yes" if c.drifted else "no") if c.score is not None else c.reason,
        )
        for c in peer.columns[:25]
    ]
    print_table(("column", "its method", "score", "threshold", "drifted"), rows, right=(2, 3))
