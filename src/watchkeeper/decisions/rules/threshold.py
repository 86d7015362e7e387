"""Threshold: a number beyond a level, with a level of its own for being well again.

One window against a fixed level promises nothing about false alarms: a noisy measure crosses any level some
day. So such a rule is a notice unless its owner says otherwise. Two exceptions say more:

- ``exact``: the number is counted, not estimated (missing columns, infinite values). Where chance could still
  give it (two rows are alike easily), it must be beyond chance: once in a million windows.
- ``certain``: the whole 95% interval must lie beyond the level, so one window is wrong at most 1 time in 40.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from watchkeeper.decisions.rules.condition import Context
from watchkeeper.decisions.rules.series import number, verdict_of
from watchkeeper.domain.rule import NO_GUARANTEE, Evaluation, Reads
from watchkeeper.domain.verdict import Verdict
from watchkeeper.errors import BadInput

CHANCE = 1e-6
"""What is counted and likelier than this by chance alone proves nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """Fails above ``above`` or below ``below``; once firing, passes only at the resolve level.

    >>> Threshold(above=0.2, resolve_above=0.1).crossed(0.15, firing=True)
    True
    >>> Threshold(above=0.2, resolve_above=0.1).crossed(0.15, firing=False)
    False
    """

    kind: ClassVar[str] = "threshold"
    needs_measure: ClassVar[bool] = True
    reads: ClassVar[Reads] = "series"

    above: float | None = None
    below: float | None = None
    resolve_above: float | None = None
    """While firing, stay so above this (lower) level."""
    resolve_below: float | None = None
    """While firing, stay so below this (higher) level."""
    min_rows: float = 30
    certain: bool = False
    exact: bool = False

    def __post_init__(self) -> None:
        if self.above is None and self.below is None:
            raise BadInput("A threshold needs a level.", "Say above = 0.2, or below = 0.7, or both.")
        if self.resolve_above is not None and (self.above is None or self.resolve_above > self.above):
            raise BadInput("resolve_above must be at most above: it is where the alert ends.")
        if self.resolve_below is not None and (self.below is None or self.resolve_below < self.below):
            raise BadInput("resolve_below must be at least below: it is where the alert ends.")
        if self.above is not None and self.below is not None and self.below > self.above:
            raise BadInput(
                "Every value is above the one level or below the other.", "below must be the smaller."
            )

    def crossed(self, value: float, *, firing: bool) -> bool:
        """Whether *value* is beyond a level."""
        above, below = self._levels(firing)
        return (above is not None and value > above) or (below is not None and value < below)

    def evaluate(self, context: Context) -> Evaluation:
        """Judge the last window."""
        rule, series = context.rule, context.judged
        undecided = verdict_of(series, rule, min_rows=self.min_rows)
        if undecided is not None:
            return undecided
        point = series.points[-1]
        value = point.value
        assert value is not None
        above, below = self._levels(series.firing)
        is_above = above is not None and value > above
        is_below = below is not None and value < below
        if not (is_above or is_below):
            # Nearly every evaluation ends here, so nothing is worked out that nobody asks for.
            return Evaluation(
                rule=rule.name,
                model=series.model,
                version=series.version,
                segment=series.segment,
                measure=series.measure,
                subject=series.subject,
                verdict=Verdict.PASS,
                sentence="Within its levels.",
                window=point.window,
                value=value,
                rows=point.rows,
            )
        level = above if is_above else below
        assert level is not None
        side = "above" if is_above else "below"
        if self.certain and not series.firing:
            near = point.low if is_above else point.high
            if near is None or (near <= level if is_above else near >= level):
                return series.evaluation(
                    rule,
                    Verdict.INCONCLUSIVE,
                    f"{series.title} is {number(value)}, {side} {number(level)}, but that may be chance.",
                    limit=level,
                )
        if self.exact and point.p_value is not None and point.p_value > CHANCE:
            return series.evaluation(
                rule,
                Verdict.INCONCLUSIVE,
                f"{series.title} is {number(value)}, {side} {number(level)}, but with {point.rows:,.0f} rows that "
                "may be chance.",
                limit=level,
            )
        still = " still" if series.firing else ""
        told = f"{series.title} is{still} {number(value)}{_range(point.low, point.high)}, {side} {number(level)}."
        return series.evaluation(
            rule,
            Verdict.FAIL,
            point.sentence if self.exact and point.sentence else told,
            limit=level,
            effect=value - level,
            guarantee=self.guarantee,
            since=point.window.start,
        )

    @property
    def guarantee(self) -> str:
        """What it promises, in words."""
        if self.exact:
            return "exact: counted, not estimated"
        if self.certain:
            return "one window is wrong at most 1 time in 40; over many windows, no bound"
        return NO_GUARANTEE

    @property
    def may_page(self) -> bool:
        """Whether it pages by default."""
        return self.exact

    def _levels(self, firing: bool) -> tuple[float | None, float | None]:
        if not firing:
            return self.above, self.below
        return (
            self.above if self.resolve_above is None else self.resolve_above,
            self.below if self.resolve_below is None else self.resolve_below,
        )


def _range(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" (95%: {number(low)} to {number(high)})"
