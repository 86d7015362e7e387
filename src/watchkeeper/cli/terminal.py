"""What commands share: progress on a terminal, silence in a pipe, tables for people and JSON for programs."""

from __future__ import annotations

import functools
import json
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click


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
    click.option(
        "--positive", metavar="CLASS", help="The outcome that a binary model looks for; guessed otherwise."
    ),
    click.option("--columns", metavar="A,B,...", help="Only these columns, separated by commas."),
    click.option("--encoding", help="Of text files that are not UTF-8, such as cp1252 or latin-1."),
    click.option(
        "--missing",
        metavar="A,B,...",
        help="Words that stand for a missing value in text files, such as NA,null; found out otherwise. 'none': only the empty field.",
    ),
)


def source_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What every command that reads rows may be told about them; it gets all of it as ``reading``."""

    @functools.wraps(command)
    def with_reading(
        *,
        schema_file: Path | None,
        roles: tuple[str, ...],
        kinds: tuple[str, ...],
        task: str | None,
        positive: str | None,
        columns: str | None,
        encoding: str | None,
        missing: str | None,
        **rest: Any,
    ) -> Any:
        reading = {
            "schema": schema_of(schema_file),
            "roles": pairs(roles, "role") or None,
            "kinds": pairs(kinds, "kind") or None,
            "task": task,
            "positive": positive,
            "columns": names(columns) or None,
            "encoding": encoding,
            "missing": None if missing is None else [] if missing == "none" else names(missing),
        }
        return command(reading=reading, **rest)

    for option in reversed(_SOURCE_OPTIONS):
        with_reading = option(with_reading)
    return with_reading


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


def screen_width() -> int:
    """Characters in a line of the terminal; 160 in a pipe, where nobody reads lines."""
    from shutil import get_terminal_size

    return get_terminal_size().columns if sys.stdout.isatty() else 160


def _in_a_terminal() -> bool:
    return sys.stdout.isatty()


def say(text: str, *, indent: int = 0) -> None:
    """Print a sentence, broken between words where the terminal ends; further lines are indented."""
    width = screen_width()
    if _in_a_terminal() and len(text) > width:
        text = click.wrap_text(text, width, subsequent_indent=" " * indent)
    click.echo(text)


def print_table(
    headers: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    title: str = "",
    right: Sequence[int] = (),
    below: int | None = None,
) -> None:
    """A table as wide as the terminal allows; in a pipe, as wide as it needs.

    *below* is a column of whole sentences: in a narrow terminal each stands under its row, and the table stays one.
    """
    if below is not None and (width := _width()) < _ROOMY:
        _print_with_sentences(headers, rows, right, below, width)
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=screen_width(), highlight=False, soft_wrap=False)
    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for i, header in enumerate(headers):
        # A name stays whole while the others have room: a broken one cannot be copied.
        longest = max((len(str(row[i])) for row in rows), default=0)
        whole = i == 0 and longest <= console.width // 2
        table.add_column(header, justify="right" if i in right else "left", overflow="fold", no_wrap=whole)
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(str(cell)) for cell in row))
    console.print(table)


_ROOMY = 120


def _width() -> int:
    """Characters of a line: those of the terminal; in a pipe there is no end to them."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 10_000


def _print_with_sentences(
    headers: Sequence[str], rows: Sequence[Sequence[Any]], right: Sequence[int], below: int, width: int
) -> None:
    short = [i for i in range(len(headers)) if i != below]
    cells = [[" ".join(str(row[i]).split()) for i in short] for row in rows]
    heads = [headers[i] for i in short]
    sizes = [max(len(row[n]) for row in (heads, *cells)) for n in range(len(short))]

    def line(row: Sequence[str]) -> str:
        told = [v.rjust(s) if i in right else v.ljust(s) for v, s, i in zip(row, sizes, short)]
        return "  ".join(told).rstrip()

    click.echo(click.style(line(heads), bold=True))
    for row, values in zip(rows, cells):
        click.echo(line(values))
        print_wrapped(str(row[below]), indent="  ", width=width)


def print_wrapped(text: str, *, indent: str = "", hang: str = "", width: int | None = None) -> None:
    """A paragraph in lines as wide as the terminal, behind *indent*; *hang* stands before its first line only.

    In a pipe it is one line.
    """
    room = (_width() if width is None else width) - 1
    after = indent + " " * len(hang)
    lines = textwrap.wrap(
        " ".join(text.split()),
        width=max(room, len(after) + 20),
        initial_indent=indent + hang,
        subsequent_indent=after,
        break_on_hyphens=False,
    )
    for line in lines or [(indent + hang).rstrip()]:
        click.echo(line)


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
