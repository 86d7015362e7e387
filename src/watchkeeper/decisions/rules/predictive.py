"""Predictive: where the trend leads, and when it gets there.

The forecast and its interval come from `stats.forecasting`: the method that did best on this series' own past,
with the errors that it made there. A forecast that has not earned trust may say what it sees, and may not page.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from math import ceil
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from watchkeeper.decisions.rules.condition import Context
from watchkeeper.decisions.rules.series import number, verdict_of
from watchkeeper.domain.duration import duration_words
from watchkeeper.domain.measurement import Interval
from watchkeeper.domain.rule import Evaluation, Reads, Severity
from watchkeeper.domain.verdict import Verdict
from watchkeeper.errors import BadInput
from watchkeeper.stats.forecasting import forecast, time_to_breach

_MOST_STEPS = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictive:
    """Fails where the forecast crosses a level ``within`` a time."""

    kind: ClassVar[str] = "predictive"
    needs_measure: ClassVar[bool] = True
    reads: ClassVar[Reads] = "series"

    above: float | None = None
    below: float | None = None
    within: timedelta = timedelta(days=7)
    season: int | None = None
    """Windows in a season; not set: a week of days, a day of hours."""
    min_windows: int = 20
    min_rows: float = 30

    def __post_init__(self) -> None:
        if self.above is None and self.below is None:
            raise BadInput("A forecast needs a level to be compared with.", "Say above = ... or below = ...")
        if self.within <= timedelta(0):
            raise BadInput("A forecast looks ahead: within must be longer than nothing.")

    may_page: ClassVar[bool] = False
    guarantee: ClassVar[str] = "no bound on false alarms: a forecast"

    def evaluate(self, context: Context) -> Evaluation:
        """Forecast from the last window on."""
        rule, series = context.rule, context.judged
        undecided = verdict_of(series, rule, min_rows=self.min_rows)
        if undecided is not None:
            return undecided
        known = series.measured()
        if len(known) < self.min_windows:
            return series.evaluation(
                rule,
                Verdict.INCONCLUSIVE,
                f"{series.title} has {len(known)} windows, and a forecast needs {self.min_windows}.",
            )
        step = series.step
        steps = min(_MOST_STEPS, max(1, ceil(self.within / step)))
        day = timedelta(days=1)
        period = self.season or (7 if step >= day else max(1, round(day / step)))
        made = forecast([p.value or 0.0 for p in known], steps=steps, period=period)
        value = float(known[-1].value)  # type: ignore[arg-type]
        if time_to_breach(np.array([value]), above=self.above, below=self.below):
            return series.evaluation(
                rule, Verdict.PASS, "The level is crossed already: a threshold's matter, not a forecast's."
            )
        at = time_to_breach(made.mean, above=self.above, below=self.below)
        soonest, latest = self._range(made.low, made.high)
        details = {
            "method": made.method,
            "error": made.error,
            "naive_error": made.naive_error,
            "coverage": made.coverage,
            "trusted": made.trusted,
            "steps": steps,
        }
        end = made.mean[-1]
        if at is None:
            return series.evaluation(
                rule,
                Verdict.PASS,
                f"{series.title} is heading for {number(end)} in {duration_words(steps * step)}.",
                effect=float(end - value),
                details=details,
            )
        level = self.above if self.above is not None and made.mean[at - 1] > self.above else self.below
        interval = Interval(float(made.low[at - 1]), float(made.high[at - 1]), made.level)
        between = (
            ""
            if soonest is None
            else f" (95%: {duration_words(soonest * step)} to "
            + ("later than that)" if latest is None else f"{duration_words(latest * step)})")
        )
        details |= {
            "breach_in_s": (at * step).total_seconds(),
            "soonest_in_s": _seconds(soonest, step),
            "latest_in_s": _seconds(latest, step),
        }
        trust = (
            f"It may be believed: {made.reason}." if made.trusted else f"Do not rely on it: {made.reason}."
        )
        return series.evaluation(
            rule,
            Verdict.FAIL,
            f"{series.title} is {number(value)} and is expected to pass {number(level)} in "
            f"{duration_words(at * step)}{between}. {trust}",
            limit=level,
            effect=float(made.mean[at - 1] - value),
            since=known[-1].window.start,
            interval=interval,
            guarantee=f"no bound on false alarms; on {made.origins} past forecasts its intervals held {made.coverage:.0%}",
            assumption="if it goes on as it did",
            loudest=None if made.trusted else Severity.NOTICE,
            details=details,
        )

    def _range(self, low: NDArray[np.float64], high: NDArray[np.float64]) -> tuple[int | None, int | None]:
        """The steps at which the near and the far edge of the interval cross."""
        if self.above is not None:
            return time_to_breach(high, above=self.above), time_to_breach(low, above=self.above)
        return time_to_breach(low, below=self.below), time_to_breach(high, below=self.below)


def _seconds(steps: int | None, step: timedelta) -> float | None:
    return None if steps is None else (steps * step).total_seconds()
