"""How the demo speaks: a line for each thing that happens, with its date, above a bar of the days."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

STYLES = {
    "ALARM": "bold red",
    "notice": "yellow",
    "over": "green",
    "estimate": "magenta",
    "incident": "bold",
    "injected": "bold yellow",
    "problem": "red",
}
"""How the word that says what kind of thing happened is drawn."""
WIDEST = 96
DATE, KIND = 8, 10
WRAP: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
"""An address stays whole, whatever the width."""


@dataclass(slots=True)
class Teller:
    """Says what happens in three columns: the date, what kind of thing it is, the thing. Silent when headless."""

    quiet: bool = False
    lines: list[str] = field(default_factory=list)
    _console: Any = None
    _bar: Any = None
    _task: Any = None

    def say(self, text: str, *, style: str = "") -> None:
        """A sentence of its own."""
        self.lines.append(text)
        if self.quiet:
            return
        for part in text.split("\n"):
            self._print(textwrap.fill(part, self._width(), **WRAP), style)

    def happened(self, at: datetime, kind: str, text: str, *details: str) -> None:
        """One thing of the story, and details below it."""
        self.lines.append(f"{at:%d %b}  {kind}  {' / '.join((text, *details))}")
        if self.quiet:
            return
        from rich.text import Text

        for i, part in enumerate((text, *details)):
            wrapped = textwrap.wrap(part, self._width() - DATE - KIND, **WRAP)
            for j, line in enumerate(wrapped):
                out = Text()
                first = i == j == 0
                out.append(f"{f'{at:%d %b}' if first else '':<{DATE}}", style="dim")
                out.append(f"{kind if first else '':<{KIND}}", style=STYLES.get(kind, "dim"))
                out.append(line, style="dim" if i else "")
                self._print(out, "")

    def letter(self, title: str, text: str, *, most: int = 16) -> None:
        """A message as it arrived, in a frame; its first *most* lines."""
        self.lines.append(f"{title}\n{text}")
        if self.quiet:
            return
        from rich.padding import Padding
        from rich.panel import Panel
        from rich.text import Text

        width = self._width() - DATE
        lines = [part for line in text.splitlines() for part in textwrap.wrap(line, width - 4, **WRAP)]
        cut = [*lines[:most], *(["..."] if len(lines) > most else [])]
        told = Text(title[: width - 8])
        page = Panel(Text("\n".join(cut)), title=told, title_align="left", border_style="dim", width=width)
        self._print(Padding(page, (0, 0, 0, DATE)), "")

    def table(self, headers: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
        """Figures in columns; all but the first are set to the right."""
        self.lines += ["  ".join(r) for r in (headers, *rows)]
        if self.quiet:
            return
        from rich import box
        from rich.table import Table

        made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for i, header in enumerate(headers):
            made.add_column(header, justify="right" if i else "left", no_wrap=True)
        for row in rows:
            made.add_row(*row)
        self._print(made, "")

    def start(self, total: int) -> None:
        """Show a bar of *total* days on a terminal."""
        if self.quiet or not self._screen().is_terminal:
            return
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("{task.description:<12}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total} days"),
            TimeRemainingColumn(),
            console=self._screen(),
            transient=True,
        )
        self._task = self._bar.add_task("2013", total=total)
        self._bar.start()

    def advance(self, at: datetime) -> None:
        """One day is done."""
        if self._bar is not None:
            self._bar.update(self._task, advance=1, description=f"{at:%d %B}")

    def stop(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _print(self, what: Any, style: str) -> None:
        screen = self._bar.console if self._bar is not None else self._screen()
        screen.print(what, style=style, markup=False, soft_wrap=isinstance(what, str))

    def _screen(self) -> Any:
        if self._console is None:
            from rich.console import Console

            self._console = Console(highlight=False)
        return self._console

    def _width(self) -> int:
        return int(max(40, min(self._screen().width, WIDEST)))
