"""What commands share: progress on a terminal, silence in a pipe, tables for people and JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

__all__ = [
    "json_option",
    "names",
    "pairs",
    "print_json",
    "print_table",
    "progress_bar",
    "schema_of",
    "segments_of",
    "source_options",
    "strict",
]


@contextmanager
def progress_bar(quiet: bool = False) -> Iterator[Callable[[str, int, int | None], None] | None]:
    """Yield a callback ``(stage, done, total)`` that draws a bar on stderr, or None where nobody watches."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description:>10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("rows"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, Any] = {}

        def show(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks or (bar.tasks[tasks[stage]].finished and total and done < total):
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done, total=total)

        yield show


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The ``--json`` that stands beside every table."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")(command)


_SOURCE_OPTIONS = (
    click.option(
        "--schema",
        "schema_file",
        type=click.Path(path_type=Path),
        help="What the columns are, as a file; `watchkeeper profile DATA --save-schema FILE` writes one.",
    ),
    click.option(
        "--role",
        "roles",
        multiple=True,
        metavar="COLUMN=ROLE",
        help="What part a column plays: prediction, score, outcome, segment, id, time, version, ignored. Repeatable.",
    ),
    click.option(
        "--kind",
        "kinds",
        multiple=True,
        metavar="COLUMN=KIND",
        help="What a column holds: numeric, integer, boolean, categorical, text, datetime, vector. Repeatable.",
    ),
    click.option(
        "--task",
        type=click.Choice(["binary", "multiclass", "regression"]),
        help="What the model does; guessed from the outcome otherwise.",
    ),
    click.option("--columns", metavar="A,B,...", help="Only these columns, separated by commas."),
    click.option("--encoding", help="Of text files that are not UTF-8, such as cp1252 or latin-1."),
)


def source_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What every command that reads rows may be told about them."""
    for option in reversed(_SOURCE_OPTIONS):
        command = option(command)
    return command


def schema_of(path: Path | None) -> Any:
    """The schema of a file, or None."""
    if path is None:
        return None
    from watchkeeper.rows.schema_file import load_schema

    return load_schema(path)


def names(text: str | None) -> list[str]:
    """Names between commas.

    >>> names("age, income,")
    ['age', 'income']
    """
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def segments_of(text: str | None) -> list[tuple[str, ...]]:
    """Segments between commas, columns crossed by a plus sign.

    >>> segments_of("region,region+plan")
    [('region',), ('region', 'plan')]
    """
    return [tuple(word.split("+")) for word in names(text)]


def print_json(value: Any) -> None:
    """Strict JSON on stdout."""
    click.echo(json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False, default=str))


def print_table(
    headers: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str = "", right: Sequence[int] = ()
) -> None:
    """A table as wide as the terminal allows; in a pipe, as wide as it needs."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False, soft_wrap=False)
    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for i, header in enumerate(headers):
        table.add_column(header, justify="right" if i in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(str(cell)) for cell in row))
    console.print(table)


def pairs(words: Sequence[str], what: str) -> dict[str, str]:
    """Read ``name=value`` words.

    >>> pairs(["age=numeric", "id=id"], "kind")
    {'age': 'numeric', 'id': 'id'}
    """
    out: dict[str, str] = {}
    for word in words:
        name, sign, value = word.rpartition("=")
        if not sign or not name or not value:
            raise click.BadParameter(f"{word!r} is not NAME=VALUE; say for example --{what} age=numeric")
        out[name] = value
    return out


def strict(value: Any) -> Any:
    """NaN and infinities become null, so that JSON stays JSON."""
    if isinstance(value, Mapping):
        return {str(k): strict(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [strict(v) for v in value]
    if isinstance(value, float) and value - value != 0:
        return None
    return value
