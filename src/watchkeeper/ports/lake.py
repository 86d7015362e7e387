"""The lake: predictions, outcomes and profiles of models, as tables.

Every write carries the token of the lease under which it is made. The lake keeps the largest token that it has seen
beside the rows, in the same commit, so a holder that slept over the end of its lease cannot write any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from watchkeeper.domain.window import Window
from watchkeeper.ports.origin import Origin, Position
from watchkeeper.ports.quarantine import Quarantine

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "EventLog",
    "Lake",
    "Origin",
    "Placement",
    "Position",
    "ProfileRollupStore",
    "ProfileStore",
    "Rows",
]


@runtime_checkable
class EventLog(Protocol):
    """Tables to which journals are drained, each (source, sequence) exactly once."""

    def append(self, model: str, table: str, rows: pa.Table, *, origin: Origin) -> int:
        """Append *rows* to ``predictions``, ``outcomes`` or ``counters``; return how many, 0 if they are there already.

        When it returns, the rows are on the disk and were found in the table. Types are checked before the write:
        what does not fit its column goes to the rescued column.

        Raises
        ------
        LeaseLost
            somebody has written with a larger token; nothing of *rows* was written.
        Conflict
            *origin* does not begin where the table's last sequence ends, or the table is not as it was ``seen``:
            read again what is drained.
        StoreUnavailable
            the table cannot be written just now.
        """
        ...

    def drained(self, model: str, table: str, source: str) -> Position:
        """How far *source* has come in the table; sequence 0 before its first."""
        ...

    def known_ids(self, model: str, table: str, ids: pa.Array, days: Sequence[str]) -> set[str]:
        """Which of *ids* are in the table on these *days* already."""
        ...

    def some_ids(self, model: str, count: int) -> list[str]:
        """Ids of a few predictions of the newest day, to show what they look like."""
        ...

    def counters(self, model: str, start: datetime, end: datetime) -> Mapping[str, int]:
        """What the recorders counted in [start, end): recorded, dropped, sampled_out, ..."""
        ...


@runtime_checkable
class Placement(Protocol):
    """In which hour the prediction of an id was made, so that its outcome finds its window without a scan."""

    def place(self, model: str, ids: pa.Array) -> pa.Array:
        """When the predictions with these *ids* were made; null: not known yet."""
        ...

    def note_places(self, model: str, ids: pa.Array, at: pa.Array, *, origin: Origin) -> int:
        """Remember when predictions were made whose ids do not hold their time; return how many. As `EventLog.append`."""
        ...

    def windows_of(self, model: str, ids: pa.Array) -> list[tuple[datetime, int]]:
        """The hours (UTC, start) in which the predictions with these ids were made, and how many in each."""
        ...

    def take_unplaced(self, model: str) -> pa.Table | None:
        """Outcomes whose prediction had not been seen when they came; None when there are none."""
        ...

    def waiting_outcomes(self, model: str) -> int:
        """How many predictions have an outcome and have not been seen themselves."""
        ...

    def drop_unplaced(self, model: str, ids: Sequence[str], *, token: int) -> None:
        """Remove outcomes from the unplaced ones, once they have been written to their own day."""
        ...


@runtime_checkable
class Rows(Protocol):
    """The rows that there are: reading, finding, forgetting, and the upkeep of their files."""

    def columns(self, model: str, table: str) -> Mapping[str, pa.DataType]:
        """The columns of a table; empty before its first row."""
        ...

    def joined(
        self, model: str, window: Window, *, version: str | None = None, columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The window's predictions, each once, with its latest outcome (null until it arrives).

        Among *columns* may be ``wk_hash``: the id's `watchkeeper.stats.hashing`, as int64, cheaper to read than the id.
        """
        ...

    def days(self, model: str, table: str = "predictions") -> list[str]:
        """The days (UTC, ISO) that have rows, in order."""
        ...

    def matching(self, model: str, *, ids: Sequence[str] = (), where: str | None = None) -> list[str]:
        """The ids of predictions that are among *ids*, or of which the SQL condition *where* is true.

        Raises
        ------
        BadInput
            the condition cannot be used.
        """
        ...

    def forget(self, model: str, ids: Sequence[str], *, token: int) -> Mapping[str, Any]:
        """Remove rows for good, also from old versions of files; return counts by table and the ``hours`` of the rows.

        Raises
        ------
        LeaseLost
            somebody has written with a larger token.
        """
        ...

    def maintain(
        self, model: str, now: datetime, *, token: int, keep: timedelta | None = None
    ) -> Mapping[str, Any]:
        """Compact, checkpoint, and drop rows older than *keep* by whole days; return what was done.

        Raises
        ------
        LeaseLost
            somebody has written with a larger token.
        """
        ...


class ProfileStore(Protocol):
    """Profiles of one model's stored windows, in parts: a row for each window, version, segment and part."""

    rollups: ProfileRollupStore

    def put(self, rows: Sequence[Mapping[str, Any]], *, origin: Origin) -> int:
        """Write dicts of start, end, version, segment, part, generation, payload; exactly once, as `EventLog.append`.

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

    def replace_day(self, day: str, rows: pa.Table, *, token: int) -> None:
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

    def replace(self, rows: pa.Table, *, token: int) -> None:
        """Put *rows* in the place of all that is there of their spans; readers see all of it or nothing."""
        ...

    def drop(self, spans: Iterable[str], *, token: int) -> int:
        """Remove these spans for good; how many there were."""
        ...


class Lake(EventLog, Placement, Rows, Quarantine, Protocol):
    """All sockets of one lake."""

    def profiles(self, model: str) -> ProfileStore:
        """The store of profiles of one model."""
        ...
