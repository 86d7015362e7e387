"""The lake: predictions, outcomes and profiles of models, as tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from watchkeeper.domain.window import Window

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Lake", "ProfileRollupStore", "ProfileStore"]


class ProfileStore(Protocol):
    """Profiles of one model's stored windows, in parts: a row for each window, version, segment and part."""

    rollups: ProfileRollupStore

    def put(self, rows: Sequence[Mapping[str, Any]], *, source: str, sequence: int) -> int:
        """Write dicts of start, end, version, segment, part, generation, payload; exactly once, as `Lake.append`.

        Of a window the newest generation counts, whole.
        """
        ...

    def get(
        self,
        start: datetime,
        end: datetime,
        *,
        version: str | None = None,
        segment: str | None = "",
        parts: Sequence[str] | None = None,
        column: str | None = None,
        days: list[str] | None = None,
    ) -> pa.Table:
        """Parts of the windows within [start, end), by time; None is all, of versions, segments and parts alike.

        *days* reads only windows that start on these days; *column* only the parts of that column, at every rate.
        """
        ...

    def sequence(self, source: str) -> int:
        """The last sequence of *source*; 0 before the first."""
        ...

    def replace_day(self, day: str, rows: pa.Table) -> None:
        """Put *rows* in the place of all that is there of a day, older generations included."""
        ...


class ProfileRollupStore(Protocol):
    """Merged profiles of one model: a row for each span of time, segment and part. Each can be made again."""

    def spans(self) -> dict[str, str]:
        """The spans that there are (``2026-03-04``, ``2026-03``), each with the stamp that it was written with."""
        ...

    def get(self, spans: Iterable[str], *, segment: str | None = None, column: str | None = None) -> pa.Table:
        """Parts of these spans: segment, part, payload, span, stamp."""
        ...

    def replace(self, rows: pa.Table) -> None:
        """Put *rows* in the place of all that is there of their spans; readers see all of it or nothing."""
        ...

    def drop(self, spans: Iterable[str]) -> int:
        """Remove these spans for good; how many there were."""
        ...


@runtime_checkable
class Lake(Protocol):
    """Predictions, outcomes and profiles of models, as tables."""

    def append(self, model: str, table: str, rows: pa.Table, *, source: str, sequence: int) -> int:
        """Append *rows* to ``predictions`` or ``outcomes`` exactly once for (*source*, *sequence*); return how many.

        Types are checked before the write: what does not fit its column goes to the rescued column, and is counted.
        """
        ...

    def joined(
        self, model: str, window: Window, *, version: str | None = None, columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The window's predictions, each once, with its latest outcome (null until it arrives).

        Among *columns* may be ``wk_hash``: the id's `watchkeeper.stats.hashing`, as int64, cheaper to read than the id.
        """
        ...

    def windows_of(self, model: str, ids: pa.Array) -> list[tuple[datetime, int]]:
        """The hours (UTC, start) in which the predictions with these ids were made, and how many in each."""
        ...

    def profiles(self, model: str) -> ProfileStore:
        """The store of profiles of one model."""
        ...

    def maintain(self, model: str, now: datetime) -> Mapping[str, Any]:
        """Compaction, checkpoints, tiers, retention; returns what was done."""
        ...

    def forget(self, model: str, *, ids: Sequence[str] = (), where: str | None = None) -> Mapping[str, Any]:
        """Remove rows for good, also from old versions of files; returns counts and the hours that they were in."""
        ...
