"""The two columns that place a recorded row, read from any Arrow type: its id and its time.

What cannot be read is not guessed: such rows are marked, and the reasons name a value.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from watchkeeper.domain.instant import AHEAD_US, EARLIEST_US, LEAST_NUMBER, implausible
from watchkeeper.domain.row_id import id_text
from watchkeeper.domain.schema import Column, Kind
from watchkeeper.rows.values import is_number_like, plain_type, values_of


@dataclass(slots=True)
class Instants:
    """Times of some rows."""

    us: np.ndarray
    """Microseconds since 1970 UTC, int64 ``(rows,)``; of no meaning where *good* is false."""
    good: np.ndarray
    """Rows whose time can be a prediction's, bool ``(rows,)``."""
    zoned: bool
    """Whether the times had a zone, or need none; else they were taken as UTC."""
    _column: pa.ChunkedArray
    _valid: np.ndarray | None
    _now_us: int
    _ahead_us: int

    def why(self, row: int) -> str:
        """Why the time of a row that is not good cannot be used."""
        value = self._column[row]
        if self._valid is not None and not self._valid[row]:
            return "it has no time" if _is_none(value) else f"its time {_shown(value)} cannot be read"
        wrong = implausible(int(self.us[row]), self._now_us, ahead_us=self._ahead_us)
        return f"its time {_shown(value)} {wrong or 'counts neither seconds nor less since 1970'}"


def instants_of(column: pa.ChunkedArray, now_us: int, *, ahead_us: int = AHEAD_US) -> Instants:
    """Read a column of times: timestamps, dates, ISO text, or numbers (also as text) that count since 1970.

    >>> column = pa.chunked_array([["2024-03-01T00:00:00Z", "1709251200123", "1.3.2024"]])
    >>> found = instants_of(column, 1_800_000_000_000_000)
    >>> found.us.tolist()[:2], found.good.tolist(), found.why(2)
    ([1709251200000000, 1709251200123000], [True, True, False], "its time '1.3.2024' cannot be read")
    """
    kind = plain_type(column.type)
    read = values_of(column, Column(name="", kind=Kind.DATETIME))
    us = read.data
    good = (us >= EARLIEST_US) & (us <= now_us + ahead_us)
    if read.valid is not None:
        good &= read.valid
    zoned = not pa.types.is_timestamp(kind) or kind.tz is not None
    if is_number_like(kind):
        good &= ~(np.abs(values_of(column, Column(name="", kind=Kind.NUMERIC)).data) < LEAST_NUMBER)
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        for row in np.flatnonzero(good & (us < LEAST_NUMBER * 1e6)).tolist():
            good[row] = "-" in column[row].as_py()
        known = pc.drop_null(column.slice(0, 1_000).cast(pa.string()))
        zoned = not pc.any(pc.match_substring_regex(known, r"^\d{4}-.*:\d\d(\.\d+)?$")).as_py()
    return Instants(us, good, zoned, column, read.valid, now_us, ahead_us)


@dataclass(slots=True)
class Ids:
    """Names of some rows."""

    texts: pa.Array
    """Strings ``(rows,)``; null where a row has none."""
    refused: dict[int, str]
    """By row: why its id cannot be used (a row without one is not in it)."""


def ids_of(column: pa.ChunkedArray) -> Ids:
    """Read a column of ids of any type; `id_text` says how.

    >>> ids_of(pa.chunked_array([[1.0, None, 2.5]])).texts.to_pylist()
    ['1', None, None]
    """
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_string(kind):
        texts = column.cast(pa.string()).combine_chunks()
        if pa.types.is_string(kind):
            texts = pc.if_else(pc.equal(pc.binary_length(texts), 0), None, texts)
        return Ids(texts, {})
    found: list[str | None] = []
    refused: dict[int, str] = {}
    for row, value in enumerate(column.to_pylist()):
        try:
            found.append(id_text(value))
        except ValueError as cause:
            found.append(None)
            refused[row] = str(cause)
    return Ids(pa.array(found, pa.string()), refused)


def _is_none(value: pa.Scalar) -> bool:
    plain = value.as_py() if value.is_valid else None
    return plain is None or plain != plain or (isinstance(plain, str) and not plain.strip())


def _shown(value: pa.Scalar) -> str:
    try:
        return repr(value.as_py()) if isinstance(value.as_py(), str) else str(value.as_py())
    except (ValueError, OverflowError, TypeError):
        return str(value)
