"""What a rule reads: one series of measurements up to the window that is judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from watchkeeper.domain.measurement import Direction, Interval, Measure, Measurement
from watchkeeper.domain.rule import Evaluation, Rule
from watchkeeper.domain.verdict import Verdict
from watchkeeper.domain.window import Window


@dataclass(frozen=True, slots=True)
class Point:
    """One window's number; ``value=None`` could not be measured, and ``reason`` says why."""

    window: Window
    value: float | None
    rows: float = 0
    low: float | None = None
    high: float | None = None
    margin: float | None = None
    reason: str = ""
    failed: bool = False
    """The measuring itself went wrong: that is an error, not too little data."""
    p_value: float | None = None
    """How likely chance alone gives as much; None where that is not known or there is no chance in it."""
    sentence: str = ""
    """What was found, where the measure has words for it."""

    @classmethod
    def of(cls, window: Window, m: Measurement) -> Point:
        """From a measurement."""
        return cls(
            window,
            m.value,
            m.rows,
            None if m.interval is None else m.interval.low,
            None if m.interval is None else m.interval.high,
            m.margin,
            m.reason or "",
            bool(m.details.get("failed")),
            m.p_value,
            str(m.details.get("sentence", "")),
        )

    @property
    def interval(self) -> Interval | None:
        """Both ends, if they are known."""
        return None if self.low is None or self.high is None else Interval(self.low, self.high)

    @property
    def standard_error(self) -> float | None:
        """Of sampling, as the 95% interval tells it."""
        return None if self.low is None or self.high is None else (self.high - self.low) / (2 * 1.959964)


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One series, oldest first; the last point is the one that is judged.

    ``firing`` is whether the rule's alert for this series fires now: rules with a separate resolve level need it.
    """

    model: str
    measure: str
    points: Sequence[Point]
    subject: str = ""
    segment: str = ""
    version: str = ""
    firing: bool = False
    described: Measure | None = None
    timezone: str = "UTC"
    now: datetime | None = None
    mature: bool = True
    """Whether the outcomes of the last window are all there."""
    _local: dict[str, NDArray[np.datetime64]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def last(self) -> Point:
        """The point that is judged."""
        return self.points[-1]

    @property
    def title(self) -> str:
        """What people call the measure, and of which column."""
        name = self.described.title if self.described and self.described.title else self.measure
        return f"{name} of {self.subject}" if self.subject else name

    @property
    def direction(self) -> Direction:
        """Which way is worse; unknown measures: either."""
        return self.described.direction if self.described else Direction.NEITHER

    @property
    def step(self) -> timedelta:
        """Length of one window."""
        return self.last.window.length

    def measured(self) -> list[Point]:
        """The points that have a value."""
        return [p for p in self.points if p.value is not None]

    def local_starts(self, points: Sequence[Point]) -> NDArray[np.datetime64]:
        """Starts in the clock of the model's time zone, for seasons."""
        zone = ZoneInfo(self.timezone)
        return np.array(
            [p.window.start.astimezone(zone).replace(tzinfo=None) for p in points], "datetime64[s]"
        )

    def evaluation(self, rule: Rule, verdict: Verdict, sentence: str, **rest: object) -> Evaluation:
        """An evaluation at this place."""
        point = self.points[-1] if self.points else None
        given: dict[str, object] = {
            "value": None if point is None else point.value,
            "interval": None if point is None else point.interval,
            "rows": 0 if point is None else point.rows,
            "window": None if point is None else point.window,
        }
        given |= rest
        return Evaluation(
            rule=rule.name,
            model=self.model,
            version=self.version,
            segment=self.segment,
            measure=self.measure,
            subject=self.subject,
            verdict=verdict,
            sentence=sentence,
            **given,  # type: ignore[arg-type]
        )


def verdict_of(series: Series, rule: Rule, *, min_rows: float) -> Evaluation | None:
    """What every rule asks first: is there a number, of enough rows, from a mature window? None: go on."""
    point = series.points[-1]
    if point.value is None:
        verdict = Verdict.ERROR if point.failed else Verdict.INCONCLUSIVE
        reason = (point.reason or "no reason is known").rstrip(".")
        return series.evaluation(rule, verdict, f"{series.title} could not be measured: {reason}.")
    if point.rows < min_rows:
        return series.evaluation(
            rule,
            Verdict.INCONCLUSIVE,
            f"{series.title} rests on {point.rows:,.0f} rows, and this rule needs {min_rows:,.0f}.",
        )
    if not series.mature:
        return series.evaluation(
            rule, Verdict.INCONCLUSIVE, f"{series.title} waits: outcomes of this window are still arriving."
        )
    return None


def number(x: float | None) -> str:
    """Three significant digits, without an exponent where a person would not write one.

    >>> number(0.12345), number(1234.5), number(None)
    ('0.123', '1,234', 'unknown')
    """
    if x is None:
        return "unknown"
    return f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.3g}"
