"""A measurement at its place: which model, version, segment and window it belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from watchkeeper.domain.measurement import Measurement
from watchkeeper.domain.window import Window

__all__ = ["ALIKE", "DayOfWindows", "PlacedMeasurement", "WindowKey", "WindowState"]

ALIKE = 0.9
"""Windows at least this long beside the longest are of one kind: days of 23, 24 and 25 hours are days."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class WindowKey:
    """One window of one version and segment of one model. ``version=""`` is all versions, ``segment=""`` all rows."""

    model: str
    window: Window
    version: str = ""
    segment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedMeasurement:
    """One number of one series. A series is (model, version, segment, measure, subject)."""

    key: WindowKey
    measurement: Measurement


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowState:
    """What the ledger knows of one window: whether it must be measured (again), and how mature it is.

    ``rows`` predictions, ``outcomes`` of them joined; ``coverage`` is their ratio. ``generation`` grows with each
    measuring, so that the same work done twice is told. ``rebuildable`` is False once raw rows have expired.
    """

    key: WindowKey
    dirty: bool = False
    rows: int = 0
    outcomes: int = 0
    mature: bool = False
    generation: int = 0
    measured_at: datetime | None = None
    rebuildable: bool = True
    reason: str = ""
    marks: int = 0
    """How often it has been marked; a mark that comes while it is measured keeps it dirty."""

    @property
    def coverage(self) -> float | None:
        """Share of predictions whose outcome has arrived; None for an empty window."""
        return self.outcomes / self.rows if self.rows else None


@dataclass(frozen=True, slots=True, kw_only=True)
class DayOfWindows:
    """What the ledger knows of one model's windows of one length in one day of UTC, all versions and rows together."""

    start: datetime
    length: timedelta
    """Of each window."""
    windows: int
    stamp: int
    """The sum of the marks that were cleared: it grows whenever one of the windows is measured, and never falls."""
    dirty: int
    """How many must be measured (again)."""
    measured_at: datetime | None = None
    """When the last of them was."""
