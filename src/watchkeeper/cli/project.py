"""What the commands of a project share: where it is, times as people write them, progress by windows."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from watchkeeper.loop.watch.watch import Watch


def project_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--project``: where watchkeeper.toml is."""
    return click.option(
        "--project",
        "project",
        type=click.Path(path_type=Path),
        default=Path(),
        show_default="here or above",
        help="Folder of the project (with watchkeeper.toml).",
    )(command)


def opened(project: Path) -> Watch:
    """The project at *project*."""
    from watchkeeper.wiring import open_project

    return open_project(project)


@contextmanager
def window_progress() -> Iterator[Callable[[str, int, int | None], None] | None]:
    """Yield a callback ``(model, windows done, windows in all)`` that draws on stderr; None where nobody watches."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("windows"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, Any] = {}

        def show(model: str, done: int, total: int | None) -> None:
            if model not in tasks:
                tasks[model] = bar.add_task(model, total=total)
            bar.update(tasks[model], completed=done, total=total)

        yield show
