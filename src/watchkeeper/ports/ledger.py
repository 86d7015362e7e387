"""The ledger, as narrow stores: facts and documents, measurements, windows to measure, leases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from watchkeeper.domain.fact import Document, Fact, Lease
from watchkeeper.domain.series import DayOfWindows, PlacedMeasurement, WindowKey, WindowState
from watchkeeper.domain.window import Window

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["FactStore", "LeaseStore", "Ledger", "MeasurementStore", "WindowStore"]


@runtime_checkable
class FactStore(Protocol):
    """Facts, and the documents folded from them, written together."""

    def append(
        self, facts: Sequence[Fact], documents: Sequence[Document] = (), *, lease: Lease | None = None
    ) -> list[int]:
        """Append *facts* and put *documents* in one transaction; return the sequences (0: known by its key).

        A document whose ``revision`` is not the stored one raises `Conflict` and nothing is written; a new
        document has revision 0. With *lease*, an outdated token raises `LeaseLost` and nothing is written.
        """
        ...

    def facts(
        self,
        *,
        after: int = 0,
        kinds: Sequence[str] = (),
        model: str | None = None,
        subject: str | None = None,
        newest_first: bool = False,
        limit: int = 1000,
    ) -> list[Fact]:
        """Facts in order of sequence; ``kinds`` may end in ``.*``."""
        ...

    def document(self, kind: str, key: str) -> Document | None:
        """One document, or None."""
        ...

    def documents(
        self,
        kind: str,
        *,
        states: Sequence[str] = (),
        model: str | None = None,
        due_before: datetime | None = None,
        limit: int = 1000,
        offset: int = 0,
        order: str = "-updated_at",
        after: str = "",
    ) -> list[Document]:
        """Documents of one kind; *order* is ``updated_at``, ``rank``, ``due`` or ``key``, ``-`` for descending.

        *after*: only those whose key is greater; with ``order="key"`` pages neither skip nor repeat what changes.
        """
        ...

    def count(self, kind: str, *, states: Sequence[str] = (), model: str | None = None) -> int:
        """How many documents there are."""
        ...

    def forget(self, keys: Iterable[tuple[str, str]], *, lease: Lease | None = None) -> int:
        """Delete documents by (kind, key); facts stay."""
        ...


@runtime_checkable
class MeasurementStore(Protocol):
    """Series of measurements, their latest values, and daily roll-ups."""

    def write(self, rows: Sequence[PlacedMeasurement], *, at: datetime, lease: Lease | None = None) -> int:
        """Insert or replace by series and window; keep ``latest`` and roll-ups in step, in one transaction."""
        ...

    def series(
        self,
        model: str,
        measure: str,
        *,
        subject: str = "",
        segment: str = "",
        version: str = "",
        start: datetime | None = None,
        end: datetime | None = None,
        length: timedelta | None = None,
        buckets: int | None = None,
    ) -> pa.Table:
        """One series by time: start, end, value, low, high, margin, rows, reason (nulls where there is none).

        Windows of different lengths are different series; without *length* it is the longest that there is.

        With *buckets*, at most that many rows, each with value (mean), value_min and value_max of its bucket, computed
        in the database, so that no spike is lost.
        """
        ...

    def latest(
        self, *, model: str | None = None, measures: Sequence[str] = (), segment: str | None = None
    ) -> pa.Table:
        """The newest value of every series."""
        ...

    def table(
        self,
        model: str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        measures: Sequence[str] = (),
        subjects: Sequence[str] = (),
        segments: Sequence[str] = (),
        versions: Sequence[str] = (),
    ) -> pa.Table:
        """Long table of measurements: one row a measurement, with its series and window."""
        ...

    def delete(self, model: str, *, before: datetime) -> int:
        """Drop measurements of windows that end before *before*; daily roll-ups stay."""
        ...

    def drop_stale(self, model: str, windows: Sequence[Window], *, before: datetime) -> int:
        """Drop what these windows said before they were measured again at *before*, and series that are empty then.

        A segment or a category may have been in no row but those that are gone; its very name goes too.
        """
        ...


@runtime_checkable
class WindowStore(Protocol):
    """Which windows there are, which must be measured, and how mature each is."""

    def mark_dirty(self, keys: Iterable[WindowKey], *, reason: str, lease: Lease | None = None) -> int:
        """These windows must be measured (again)."""
        ...

    def dirty(
        self, *, model: str | None = None, before: datetime | None = None, limit: int = 1000
    ) -> list[WindowState]:
        """Windows to measure, oldest first; *before* keeps windows that end at or before it."""
        ...

    def done(self, states: Sequence[WindowState], *, lease: Lease | None = None) -> None:
        """Measured: store rows, outcomes, maturity, generation; clean unless marked again since it was read."""
        ...

    def windows(
        self,
        model: str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        immature_at: datetime | None = None,
        limit: int = 10_000,
    ) -> list[WindowState]:
        """Known windows by time; *immature_at* keeps measured ones that had ended then and are not mature yet."""
        ...

    def by_day(
        self, model: str, *, length: timedelta, start: datetime | None = None, end: datetime | None = None
    ) -> list[DayOfWindows]:
        """The windows of this *length* that start in [start, end), summed up by day of UTC, in order.

        Cheap also for a year of hours: whoever keeps something made of a day's windows sees by the stamp whether it
        is still true.
        """
        ...


@runtime_checkable
class LeaseStore(Protocol):
    """Who may tick."""

    def acquire(self, name: str, holder: str, ttl: timedelta, now: datetime) -> Lease | None:
        """Take or renew the lease; None while somebody else holds it. A new holder gets a larger token."""
        ...

    def holder(self, name: str) -> Lease | None:
        """The lease as it stands, also when its time is up; None when nobody has it."""
        ...

    def release(self, lease: Lease, *, above: int = 0) -> None:
        """Give it back early; the next token is larger than *above* too. What was lost already is left as it is."""
        ...


class Ledger(Protocol):
    """The narrow stores of one ledger, by name."""

    @property
    def facts(self) -> FactStore:
        """Facts and documents."""
        ...

    @property
    def measurements(self) -> MeasurementStore:
        """Series."""
        ...

    @property
    def windows(self) -> WindowStore:
        """Which windows must be measured."""
        ...

    @property
    def leases(self) -> LeaseStore:
        """Who may do what only one may do."""
        ...

    def scrub(self) -> None:
        """Leave what was deleted or replaced in no file that the database still reads, its log included."""
        ...

    def close(self) -> None:
        """Give back connections."""
        ...
