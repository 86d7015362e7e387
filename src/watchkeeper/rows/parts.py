"""A part of a source: one file, one table in memory, one query. Sources are made of parts.

A part answers for its own batches only. Joining parts of different shape is the business of `sources`.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa

from watchkeeper.rows.values import plain_type

_BATCH_BYTES = 96 * 2**20
_FEWEST_ROWS = 4_096


class Notes:
    """What is worth telling the user about a source, each once, however often it is read.

    >>> notes = Notes()
    >>> notes.add("b.csv", "2 rows were passed over"); notes.add("b.csv", "3 rows were passed over")
    >>> notes.lines
    ['3 rows were passed over']
    """

    def __init__(self) -> None:
        self._lines: dict[str, str] = {}

    def add(self, about: str, line: str) -> None:
        """Tell *line*; a later line *about* the same thing stands in for it."""
        self._lines[about] = line

    @property
    def lines(self) -> list[str]:
        """The lines, in the order of their first appearance."""
        return list(self._lines.values())


class Part(Protocol):
    """One file, table or query."""

    label: str
    """Its name in messages."""
    schema: pa.Schema
    """Its columns; names are unique."""
    rows: int | None

    def batches(self, names: Sequence[str], batch_rows: int, notes: Notes) -> Iterator[pa.RecordBatch]:
        """Yield the columns *names*, in that order, in batches of about *batch_rows*.

        A batch's type may differ from ``schema`` (a string where a later row did not fit, a dictionary for
        repeated strings); names and order do not.

        Raises
        ------
        UnreadableSource
            the part cannot be read, or not to its end.
        """
        ...


@dataclass(slots=True)
class StreamPart:
    """A part whose batches come from somewhere else by column position.

    ``open(positions, batch_rows)`` yields batches that hold exactly those columns.
    """

    label: str
    schema: pa.Schema
    rows: int | None
    open: Callable[[list[int], int], Iterable[pa.RecordBatch]]
    guard: Callable[[Exception], Exception | None] = field(default=lambda cause: None)
    """Turns an exception of the engine into ours; None lets it pass as it is."""

    def batches(self, names: Sequence[str], batch_rows: int, notes: Notes) -> Iterator[pa.RecordBatch]:
        """Yield the named columns, cut to at most *batch_rows* rows."""
        positions = [self.schema.get_field_index(name) for name in names]
        try:
            for batch in self.open(positions, batch_rows):
                yield from cut(pa.RecordBatch.from_arrays(batch.columns, names=list(names)), batch_rows)
        except Exception as cause:
            ours = self.guard(cause)
            if ours is None:
                raise
            raise ours from cause


def cut(batch: pa.RecordBatch, batch_rows: int) -> Iterator[pa.RecordBatch]:
    """Slices of at most *batch_rows* rows; no copy."""
    if batch.num_rows <= batch_rows:
        if batch.num_rows:
            yield batch
        return
    for start in range(0, batch.num_rows, batch_rows):
        yield batch.slice(start, batch_rows)


def unique_names(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return *names* made unique and non-empty, and a line for each change.

    >>> unique_names(["a", "b", "a", ""])[0]
    ['a', 'b', 'a (2)', 'column 4']
    """
    out: list[str] = []
    lines: list[str] = []
    taken = set(names)
    seen: dict[str, int] = {}
    for position, name in enumerate(names, start=1):
        if not name:
            new = _free(f"column {position}", taken)
            lines.append(f"Column {position} has no name; it is called {new!r} here.")
        elif name in seen:
            seen[name] += 1
            new = _free(f"{name} ({seen[name]})", taken)
            lines.append(
                f"The column name {name!r} appears more than once; number {seen[name]} is called {new!r} here."
            )
        else:
            seen[name] = 1
            new = name
        taken.add(new)
        out.append(new)
    return out, lines


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "'"
    return name


def rows_in_a_batch(schema: pa.Schema, batch_rows: int) -> int:
    """Return *batch_rows*, or fewer where the table is so wide that a batch would pass 96 MiB."""
    row_bytes = sum(_width(kind) for kind in schema.types) or 1
    return max(min(batch_rows, _BATCH_BYTES // row_bytes), min(_FEWEST_ROWS, batch_rows))


def _width(kind: pa.DataType) -> int:
    kind = plain_type(kind)
    if pa.types.is_fixed_size_list(kind):
        return int(kind.list_size) * _width(kind.value_type)
    if pa.types.is_nested(kind):
        return 64
    try:
        return max(1, kind.bit_width // 8)
    except ValueError:
        return 24


_END = object()


def read_ahead(batches: Iterator[pa.RecordBatch], depth: int = 1) -> Iterator[pa.RecordBatch]:
    """Yield *batches*, decoding up to *depth* of them in a thread while the caller works on the last one.

    Closing this iterator, or letting go of it, stops the thread and closes *batches*.
    """
    waiting: queue.Queue[Any] = queue.Queue(maxsize=depth)
    stopped = threading.Event()

    def put(item: Any) -> bool:
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            with closing(batches):  # type: ignore[type-var]
                for batch in batches:
                    if not put(batch):
                        return
                    del batch
            put(_END)
        except BaseException as cause:
            put(cause)

    thread = threading.Thread(target=work, name="watchkeeper-read-ahead", daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not _END:
            if isinstance(item, BaseException):
                raise item
            yield item
            del item
    finally:
        stopped.set()
        while True:  # free what was decoded for nobody, and the thread that waits to hand it over
            try:
                waiting.get_nowait()
            except queue.Empty:
                break
        thread.join(timeout=5)
