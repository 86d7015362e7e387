"""One number about one profile (or two), and what decisions know of the measure behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import isfinite
from typing import Any

__all__ = ["Direction", "Family", "Interval", "Measure", "Measurement"]


class Direction(StrEnum):
    """Which way is worse."""

    HIGHER_IS_WORSE = "higher_is_worse"
    LOWER_IS_WORSE = "lower_is_worse"
    NEITHER = "neither"


class Family(StrEnum):
    """The room of ``measures`` that a measure comes from."""

    DRIFT = "drift"
    QUALITY = "quality"
    PERFORMANCE = "performance"
    ESTIMATE = "estimate"
    SERVICE = "service"
    FAIRNESS = "fairness"
    COST = "cost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """What decisions and pages know of a measure: its name, unit, direction, and one plain sentence."""

    name: str
    family: Family
    title: str
    unit: str = ""
    direction: Direction = Direction.HIGHER_IS_WORSE
    sentence: str = ""
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Interval:
    """Where the true value lies with probability *level* (two-sided)."""

    low: float
    high: float
    level: float = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One measure, over one window, of one model version.

    ``value=None`` means *could not be measured*, and ``reason`` then says why.
    It never means zero, and it never means healthy.

    ``margin`` is what sampling alone would give when nothing moved (a high quantile of the null distribution,
    in the measure's own unit): an effect below it is noise. ``p_value`` is set where a test belongs to the
    measure. ``subject`` is the column (or ``"a:b"`` for a pair, ``""`` for the whole table).
    """

    measure: str
    subject: str = ""
    value: float | None
    rows: float = 0
    """Rows that the value rests on (the window's side)."""
    baseline_rows: float | None = None
    interval: Interval | None = None
    margin: float | None = None
    p_value: float | None = None
    bound: float | None = None
    """How far the value may be off because it was computed from a state; ``0.0`` is exact, None unknown."""
    reason: str | None = None
    segment: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.value is not None and not isfinite(self.value):
            object.__setattr__(self, "details", {**self.details, "raw_value": repr(self.value)})
            object.__setattr__(self, "reason", self.reason or f"the value is {self.value!r}, not a number")
            object.__setattr__(self, "value", None)
        if self.value is None and not self.reason:
            raise ValueError(f"{self.measure} of {self.subject!r} has no value and gives no reason")

    @classmethod
    def missing(cls, measure: str, reason: str, *, subject: str = "", **rest: Any) -> Measurement:
        """A measurement that could not be made, and why."""
        return cls(measure=measure, subject=subject, value=None, reason=reason, **rest)

    def in_segment(self, segment: str) -> Measurement:
        """The same measurement, labelled with the segment that its rows came from."""
        return replace(self, segment=segment)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: no NaN, absent keys where there is nothing to say."""
        out: dict[str, Any] = {"measure": self.measure, "subject": self.subject, "value": self.value}
        for name in ("baseline_rows", "margin", "p_value", "bound", "reason"):
            if (item := getattr(self, name)) is not None:
                out[name] = item
        out["rows"] = self.rows
        if self.segment:
            out["segment"] = self.segment
        if self.interval is not None:
            i = self.interval
            out["interval"] = {"low": _finite(i.low), "high": _finite(i.high), "level": i.level}
        if self.details:
            out["details"] = dict(self.details)
        return out


def _finite(x: float) -> float | None:
    return x if isfinite(x) else None
