"""The budget for false alarms, cut up: how many columns and series share it, and what each is read by.

The watch, `calibrate`, `alerts test` and `refold` all ask here, so that a replay judges by what the watch judges by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from watchkeeper.decisions.rules.break_rule import Break
from watchkeeper.decisions.rules.effect_and_evidence import EffectAndEvidence
from watchkeeper.decisions.rules.preset import Budget
from watchkeeper.decisions.rules.series_evidence import SeriesEvidence, SeriesReading
from watchkeeper.domain.rule import Rule
from watchkeeper.stats.evidence.column_evidence import EvidenceRules

_VERSIONS = 10
"""Versions that a rule on versions is reckoned to meet."""


def folds(rule: Rule) -> bool:
    """Whether the rule keeps evidence of measured series."""
    return bool(rule.selector.measure) and isinstance(rule.condition, (EffectAndEvidence, Break))


def remembers(rule: Rule) -> bool:
    """Whether the rule keeps something of each series from window to window."""
    return folds(rule) or hasattr(rule.condition, "begin")


def reads_rows(rule: Rule) -> bool:
    """Whether the rule reads the errors of rows."""
    return not rule.selector.measure and hasattr(rule.condition, "begin")


def watches_columns(rule: Rule) -> bool:
    """Whether the rule keeps evidence of the columns themselves."""
    return not rule.selector.measure and isinstance(rule.condition, (EffectAndEvidence, Break))


def season_of(rule: Rule) -> str:
    """The season within which the rule's evidence ranks windows; "none" where it keeps no evidence."""
    return rule.condition.season if isinstance(rule.condition, EffectAndEvidence) else "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """How many columns and measured series share the budget, and how many of either may break."""

    budget: Budget = field(default_factory=Budget)
    columns: int = 1
    series: int = 1
    breaks: int = 1

    @classmethod
    def of(
        cls, rules: Sequence[Rule], *, columns: int, max_segments: int, budget: Budget | None = None
    ) -> Shares:
        """Count what *rules* watch, with *columns* watched: a bound that does not move from window to window.

        >>> from watchkeeper.decisions.rules.preset import default_rules
        >>> Shares.of(default_rules(None), columns=12, max_segments=50).columns
        12
        """

        def places(rule: Rule) -> int:
            segments = 1 if rule.selector.segments == ("",) else 1 + max_segments
            return max(1, segments) * (1 if rule.selector.versions == ("",) else _VERSIONS)

        def many(rule: Rule) -> int:
            if watches_columns(rule):
                return columns * places(rule)
            return places(rule) * (1 if rule.selector.subjects == ("",) else max(1, columns))

        of_columns = [r for r in rules if watches_columns(r)]
        of_series = [r for r in rules if folds(r)]
        breaks = [r for r in (*of_columns, *of_series) if isinstance(r.condition, Break)]
        return cls(
            budget=budget or Budget(),
            columns=max(1, sum(many(r) for r in of_columns if not isinstance(r.condition, Break))),
            series=max(1, sum(many(r) for r in of_series)),
            breaks=max(1, sum(many(r) for r in breaks)),
        )

    def column_rules(self, rule: Rule) -> EvidenceRules:
        """What a column's evidence is read by for *rule*. Breaks share one budget among columns and series."""
        condition = rule.condition
        own = "break_margin" if isinstance(condition, Break) else "tolerance"
        return EvidenceRules(
            columns=self.columns,
            budget=self.budget.columns,
            break_budget=self._breaks_among(self.columns),
            independent_rows=condition.independent_rows,
            **({own: condition.matters} if condition.matters else {}),
        )

    def read(self, rule: Rule, evidence: SeriesEvidence) -> SeriesReading:
        """What a series' evidence says for *rule*."""
        condition = rule.condition
        return evidence.reading(
            columns=self.series,
            budget=self.budget.measures,
            matters=condition.matters,
            break_budget=self._breaks_among(self.series),
            independent_rows=condition.independent_rows,
            mean_time=getattr(condition, "mean_time", 0.0),
        )

    def _breaks_among(self, many: int) -> float:
        """The budget that *many* of those that may break use, where each has the same share."""
        return self.budget.breaks * many / max(self.breaks, many)
