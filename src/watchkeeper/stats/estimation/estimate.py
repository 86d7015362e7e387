"""What an estimate without outcomes says: a number, how far it may be off, and whether to believe it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any, Self

from watchkeeper.domain.measurement import Interval
from watchkeeper.stats.intervals import delta_interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """One metric of one window, estimated.

    ``interval`` is for the value that the window's own outcomes will show once all of them are there.
    ``reliable=False`` means that an assumption behind the number fails, and ``reasons`` say which; the number
    is then kept only to be looked at. ``parts`` say which share of the variance comes from where (``sampling``,
    ``calibration``, ``weights``, ``windows``). ``value=None`` means that it cannot be estimated at all.
    ``reliable_beforehand`` is whether it was to be believed before the window's own outcomes had a say: that is what
    its track record is kept of, or else every miss that shows would be left out of it.
    """

    metric: str
    value: float | None
    interval: Interval | None = None
    reliable: bool = True
    reliable_beforehand: bool = True
    reasons: tuple[str, ...] = ()
    parts: Mapping[str, float] = field(default_factory=dict)
    rows: float = 0
    baseline_rows: float | None = None
    method: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def impossible(cls, metric: str, reason: str, **rest: Any) -> Self:
        """There is no number, and why."""
        return cls(
            metric=metric,
            value=None,
            reliable=False,
            reliable_beforehand=False,
            reasons=(reason,),
            **rest,
        )

    @classmethod
    def of(
        cls,
        metric: str,
        value: float,
        variances: Mapping[str, float],
        *,
        low: float | None,
        high: float | None,
        level: float,
        undefined: str,
        **rest: Any,
    ) -> Self:
        """An estimate from its sources of variance; *undefined* is said where the value is not a number.

        >>> Estimate.of("accuracy", 0.9, {"sampling": 0.5, "calibration": 0.5}, low=0.0, high=1.0, level=0.95,
        ...             undefined="").parts
        {'sampling': 0.5, 'calibration': 0.5}
        """
        if not isfinite(value):
            return cls.impossible(metric, undefined, **rest)
        total = sum(variances.values())
        shares = {name: v / total for name, v in variances.items()} if total > 0 else dict(variances)
        interval = delta_interval(value, total, low=low, high=high, level=level)
        return cls(metric=metric, value=value, interval=interval, parts=shares, **rest)

    def doubted(self, *reasons: str, beforehand: bool = True) -> Self:
        """The same, unreliable for *reasons*; unchanged when there are none.

        *beforehand* is False for what only the window's own outcomes show.
        """
        if not reasons:
            return self
        return replace(
            self,
            reliable=False,
            reliable_beforehand=self.reliable_beforehand and not beforehand,
            reasons=(*self.reasons, *reasons),
        )
