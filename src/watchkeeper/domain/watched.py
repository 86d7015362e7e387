"""A model under watch: what is recorded of it, in which windows, and when a window may be judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from watchkeeper.domain.rule import Rule
from watchkeeper.domain.schema import Task
from watchkeeper.domain.scoring import Scoring
from watchkeeper.domain.window import Window, day_of, floor_to

__all__ = ["Maturity", "Retention", "TableColumns", "TableSource", "WatchedModel"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Maturity:
    """When a window's realised performance may be judged: enough outcomes, or old enough.

    Early outcomes are not a fair sample (what comes late differs from what comes early), so a window waits until
    ``share`` of its predictions have outcomes, or until ``after`` has passed since its end.
    """

    share: float = 0.95
    after: timedelta = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long things are kept: raw rows, full-resolution profiles, measurements. None is for ever."""

    rows: timedelta | None = timedelta(days=400)
    full_profiles: timedelta | None = timedelta(days=45)
    measurements: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TableColumns:
    """Which columns of a user's own table mean what."""

    time: str
    prediction: str | None = None
    score: str | None = None
    outcome: str | None = None
    id: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSource:
    """A user's own table, watched in place: nothing is copied but profiles.

    ``location`` is a path or glob (Parquet, CSV, Delta), a database URL (``postgresql://``, ``duckdb:///file``)
    with ``query`` a table's name or a SELECT.
    """

    location: str
    columns: TableColumns
    query: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedModel:
    """One model as its owner configured it."""

    name: str
    task: Task | None = None
    positive: str | None = None
    baseline: str | None = None
    """Path of the baseline file, relative to the project; None: taken from the first mature days."""
    cadence: timedelta = timedelta(hours=1)
    """Length of a stored window; a whole number of them makes a day."""
    judge_every: timedelta = timedelta(days=1)
    """Length of the window that is judged: the merge of its stored windows."""
    rows_per_window: int | None = None
    """Windows by rows instead of by time."""
    timezone: str = "UTC"
    segments: tuple[tuple[str, ...], ...] = ()
    """Each entry is one column, or several that are crossed."""
    max_segments: int = 50
    maturity: Maturity = field(default_factory=Maturity)
    retention: Retention = field(default_factory=Retention)
    roles: Mapping[str, str] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)
    checks: Mapping[str, float | None] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    """The owner's own, beside the default ones."""
    rules_off: frozenset[str] = frozenset()
    """Names of default rules that are switched off."""
    threshold: float = 0.5
    table: TableSource | None = None
    owner: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Routing labels: team, severity, ..."""
    cost_of_errors: Mapping[str, float] = field(default_factory=dict)
    """What one error costs: ``false_positive``, ``false_negative``, or ``per_unit`` of absolute error."""
    currency: str = ""

    @property
    def scoring(self) -> Scoring:
        """What the owner said of how its predictions are scored; what it left open, the baseline says (`Baseline.scoring_of`)."""
        return Scoring(task=self.task, positive=self.positive, threshold=self.threshold)

    def judged_window(self, window: Window) -> Window:
        """The judged window that a stored one belongs to; days are days of the model's own time zone."""
        if self.judge_every == timedelta(days=1) and self.timezone != "UTC":
            return day_of(window.start, self.timezone)
        start = floor_to(window.start, self.judge_every)
        return Window(start, start + self.judge_every)
