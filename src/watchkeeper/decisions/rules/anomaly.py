"""Anomaly: a number far from what it usually is at this time of the week.

With *m* the median of the earlier values of the same season and *d* 1.4826 times their median absolute
deviation, a window is off by :math:`z = (y - m)/d`. Both are robust: half of the past may be wild.

It promises nothing: a series that wanders crosses any z some day. So it is a notice.

References
----------
F. Hampel, *The influence curve and its role in robust estimation*, JASA 69, 1974.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from watchkeeper.decisions.rules.condition import Context
from watchkeeper.decisions.rules.series import Point, Series, number, verdict_of
from watchkeeper.domain.measurement import Direction
from watchkeeper.domain.rule import NO_GUARANTEE, Evaluation, Reads
from watchkeeper.domain.verdict import Verdict
from watchkeeper.errors import BadInput, nearest
from watchkeeper.stats.evidence.seasons import SEASONS, season_codes

_FEWEST_IN_SEASON = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Anomaly:
    """Fails where the last value is at least ``z`` robust deviations off, in a direction that is worse."""

    kind: ClassVar[str] = "anomaly"
    needs_measure: ClassVar[bool] = True
    reads: ClassVar[Reads] = "series"

    z: float = 6.0
    resolve_z: float | None = None
    """While firing, stay so above this z."""
    season: str = "auto"
    """"auto" (weekday or hour of the week, once each has been seen four times), "none", or a season's name."""
    either: bool = False
    """Also in the direction that is better."""
    matters: float = 0.05
    """Smallest change that matters, as a share of the usual value."""
    min_windows: int = 20
    max_windows: int = 400
    min_rows: float = 30

    def __post_init__(self) -> None:
        if self.z <= 0 or (self.resolve_z is not None and not 0 < self.resolve_z <= self.z):
            raise BadInput("An anomaly needs z > 0, and resolve_z at most as large.", "The default is z = 6.")
        if self.season != "auto" and self.season not in SEASONS:
            raise BadInput(
                f"There is no season {self.season!r}.{nearest(self.season, (*SEASONS, 'auto'))}",
                f"Known: auto, {', '.join(SEASONS)}.",
            )

    may_page: ClassVar[bool] = False
    guarantee: ClassVar[str] = NO_GUARANTEE

    def evaluate(self, context: Context) -> Evaluation:
        """Judge the last window against the earlier ones of its season."""
        rule, series = context.rule, context.judged
        undecided = verdict_of(series, rule, min_rows=self.min_rows)
        if undecided is not None:
            return undecided
        known = series.measured()[-self.max_windows - 1 :]
        past, point = known[:-1], known[-1]
        if len(past) < self.min_windows:
            return series.evaluation(
                rule,
                Verdict.INCONCLUSIVE,
                f"{series.title} has {len(past)} earlier windows, and an anomaly needs {self.min_windows}.",
            )
        same, season = self._like(series, past, point)
        if same is None:
            return series.evaluation(
                rule,
                Verdict.INCONCLUSIVE,
                f"Fewer than {_FEWEST_IN_SEASON} earlier windows share this one's {season}.",
            )
        values = np.array([p.value for p in same], dtype=float)
        middle = float(np.median(values))
        spread = 1.4826 * float(np.median(np.abs(values - middle)))
        noise = max((p.standard_error or 0.0) for p in (*same[-4:], point))
        spread = max(spread, noise, 1e-12)
        value = float(point.value)  # type: ignore[arg-type]
        off = value - middle
        z = off / spread
        limit = self.resolve_z if series.firing and self.resolve_z is not None else self.z
        matters = abs(off) >= self.matters * abs(middle)
        if abs(z) < limit or not matters or not self._worse(series.direction, off):
            return series.evaluation(
                rule, Verdict.PASS, "As usual.", baseline=middle, effect=off, evidence=abs(z) / limit
            )
        of = "" if season == "none" else f" for this {season.replace('_', ' ')}"
        return series.evaluation(
            rule,
            Verdict.FAIL,
            f"{series.title} is {number(value)}; {number(middle)} is usual{of}, "
            f"and {number(1.4826 * 2 * spread)} off is rare ({abs(z):.0f} robust deviations).",
            baseline=middle,
            effect=off,
            evidence=abs(z) / limit,
            since=point.window.start,
            details={"z": round(z, 2), "season": season, "windows": len(same)},
        )

    def _worse(self, direction: Direction, off: float) -> bool:
        if self.either or direction is Direction.NEITHER:
            return True
        return off > 0 if direction is Direction.HIGHER_IS_WORSE else off < 0

    def _like(self, series: Series, past: list[Point], point: Point) -> tuple[list[Point] | None, str]:
        hourly = series.step.total_seconds() < 86_400
        names = (
            (("hour_of_week", "hour", "none") if hourly else ("weekday", "none"))
            if self.season == "auto"
            else (self.season,)
        )
        starts = series.local_starts([*past, point])
        for name in names:
            codes = season_codes(starts, name)
            same = [p for p, code in zip(past, codes) if code == codes[-1]]
            if len(same) >= _FEWEST_IN_SEASON:
                return same, name
        return None, names[0]
