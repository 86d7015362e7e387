"""What pages ask of the ledger, one question a page and never one a model. Everything here only reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypedDict

from watchkeeper.domain.fact import Fact

__all__ = [
    "FleetReads",
    "Grid",
    "HistoryReads",
    "NewestValue",
    "PageReads",
    "SeriesName",
    "SeriesReads",
    "SparkPoint",
    "Spread",
    "VersionSeen",
]

SeriesName = tuple[str, str, str, str, int]
"""(measure, subject, segment, version, length in microseconds)"""
SparkPoint = tuple[datetime, float, float, float]
"""(day, value, low, high)"""
Spread = tuple[int, float, float, float, float, float, float]
"""(start in microseconds, rows, 5%, 25%, 50%, 75%, 95%)"""


class NewestValue(TypedDict):
    """The newest value of one series; ``value`` None says why in ``reason``."""

    model: str
    measure: str
    subject: str
    segment: str
    length_us: int
    start_us: int
    value: float | None
    low: float | None
    high: float | None
    margin: float | None
    rows: float
    reason: str | None
    details: str | None


class VersionSeen(TypedDict):
    """A version that answered: its first and last window (ISO 8601) and its predictions."""

    version: str
    first: str
    last: str
    rows: int


@dataclass(frozen=True, slots=True)
class Grid:
    """Values of one measure by column and time: ``cells[i][j]`` is the largest value of column i in bucket j.

    ``edges`` are the times between which buckets lie, and ``more`` counts the columns that were left out.
    """

    names: list[str]
    edges: list[datetime]
    cells: list[list[float | None]]
    more: int


class FleetReads(Protocol):
    """Questions about all models at once."""

    def newest(self) -> int:
        """The sequence of the newest fact: when it grows, something happened."""
        ...

    def models_seen(self) -> list[str]:
        """Models that have measurements, configured or not."""
        ...

    def alert_tally(self) -> dict[str, dict[str, tuple[int, float]]]:
        """Open alerts by model and state: how many, and the highest rank among them."""
        ...

    def last_windows(self, models: Iterable[str]) -> dict[str, datetime]:
        """The end of the newest window with rows of each model that has one."""
        ...

    def sparks(self, wanted: Mapping[str, str], *, start: datetime) -> dict[str, list[SparkPoint]]:
        """Daily values since *start* of one measure of each model: ``{model: measure}``."""
        ...

    def search(self, words: str, *, limit: int = 8) -> list[tuple[str, str]]:
        """(model, column) pairs whose column holds *words*."""
        ...


class SeriesReads(Protocol):
    """Questions about a model's series: which there are, what they last said, how they went."""

    def series_of(self, model: str) -> list[SeriesName]:
        """Which series there are."""
        ...

    def latest(
        self, models: Sequence[str], measures: Sequence[str], *, whole: bool = True, segment: str = ""
    ) -> list[NewestValue]:
        """Newest values of *measures* of *models*, of all versions; *whole* leaves columns out."""
        ...

    def last_known(
        self, models: Sequence[str], measures: Sequence[str], *, segment: str = ""
    ) -> dict[tuple[str, str], NewestValue]:
        """The newest value that is a number, by (model, measure): where outcomes come late it is an older one."""
        ...

    def by_segment(self, model: str, measure: str) -> list[NewestValue]:
        """The newest value that is a number of *measure* in each segment."""
        ...

    def spreads(
        self, model: str, column: str, *, start: datetime, end: datetime, segment: str = ""
    ) -> list[Spread]:
        """Quantiles of each of the column's longest windows, by time."""
        ...

    def grid(
        self,
        model: str,
        measure: str,
        *,
        start: datetime,
        end: datetime,
        segment: str = "",
        version: str = "",
        buckets: int = 60,
        most: int = 40,
    ) -> Grid:
        """The largest value of *measure* of each column in each of *buckets* whole-day spans, gravest columns first."""
        ...


class HistoryReads(Protocol):
    """Questions about what happened."""

    def first_window(self, model: str) -> datetime | None:
        """The start of the oldest window that is known."""
        ...

    def versions(self, model: str) -> list[VersionSeen]:
        """The versions that answered, oldest first."""
        ...

    def facts(
        self,
        *,
        kinds: Sequence[str] = (),
        model: str | None = None,
        actor: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[Fact]:
        """Facts, newest first, of a sequence below *before*; ``kinds`` may end in ``.*``."""
        ...


class PageReads(FleetReads, SeriesReads, HistoryReads, Protocol):
    """All that pages ask, of one ledger."""
