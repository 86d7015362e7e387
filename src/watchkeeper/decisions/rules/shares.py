"""The budget for false alarms, cut up: how many columns and series share it, and what each is read by.

The watch, `calibrate`, `alerts test` and `refold` all ask here, so that a replay judges by what the watch judges by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, cast, runtime_checkable

from watchkeeper.decisions.rules.budget import Budget
from watchkeeper.decisions.rules.memory import Memory
from watchkeeper.decisions.rules.series_evidence import SeriesEvidence, SeriesReading
from watchkeeper.domain.measurement import Measure
from watchkeeper.domain.rule import Condition, Rule
from watchkeeper.stats.evidence.column_evidence import EvidenceRules

_VERSIONS = 10
"""Versions that a rule on versions is reckoned to meet."""


class EvidenceCondition(Condition, Protocol):
    """A condition on evidence over time."""

    @property
    def matters(self) -> float:
        """Smallest effect that matters."""

    @property
    def independent_rows(self) -> bool:
        """Whether rows are declared independent."""

    @property
    def min_rows(self) -> float:
        """Fewest rows of a window that is judged."""


@runtime_checkable
class Remembering(Protocol):
    """What a condition has that keeps a memory of its own of each series."""

    def begin(self, described: Measure | None) -> Memory:
        """The memory before the first window."""

    def memory_of(self, payload: dict[str, Any], /) -> Memory:
        """Read a memory back."""


def remembering(rule: Rule) -> Remembering:
    """The condition of a rule that keeps a memory of its own."""
    return cast(Remembering, rule.condition)


def evidence_of(rule: Rule) -> EvidenceCondition:
    """The condition of a rule that reads evidence."""
    return cast(EvidenceCondition, rule.condition)


def folds(rule: Rule) -> bool:
    """Whether the rule keeps evidence of measured series."""
    return bool(rule.selector.measure) and rule.condition.reads == "evidence"


def remembers(rule: Rule) -> bool:
    """Whether the rule keeps something of each series from window to window."""
    return folds(rule) or isinstance(rule.condition, Remembering)


def reads_rows(rule: Rule) -> bool:
    """Whether the rule reads the errors of rows."""
    return not rule.selector.measure and isinstance(rule.condition, Remembering)


def watches_columns(rule: Rule) -> bool:
    """Whether the rule keeps evidence of the columns themselves."""
    return not rule.selector.measure and rule.condition.reads == "evidence"


def season_of(rule: Rule) -> str:
    """The season within which the rule's evidence ranks windows; "none" where it keeps no evidence."""
    return str(getattr(rule.condition, "season", "none")) if rule.kind == "evidence" else "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """How many columns and measured series share the budget, and how many of either may break."""

    budget: Budget = field(default_factory=Budget)
    columns: int = 1
    series: int = 1
    breaks: int = 1
    broken_measures: int = 1
    """Measures of all rows in which one window may be called broken."""
    broken_segments: int = 1
    """The same of segments."""

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
        breaks = [r for r in (*of_columns, *of_series) if r.kind == "break"]
        broken = [r for r in rules if r.kind == "broken" and r.selector.measure]
        return cls(
            budget=budget or Budget(),
            columns=max(1, sum(many(r) for r in of_columns if r.kind != "break")),
            series=max(1, sum(many(r) for r in of_series)),
            breaks=max(1, sum(many(r) for r in breaks)),
            broken_measures=max(1, len(broken)),
            broken_segments=max(1, max_segments * sum(r.selector.segments != ("",) for r in broken)),
        )

    def column_rules(self, rule: Rule) -> EvidenceRules:
        """What a column's evidence is read by for *rule*. Breaks share one budget among columns and series."""
        condition = evidence_of(rule)
        rules = EvidenceRules(
            columns=self.columns,
            budget=self.budget.columns,
            break_budget=self._breaks_among(self.columns),
            independent_rows=condition.independent_rows,
        )
        if not condition.matters:
            return rules
        if rule.kind == "break":
            return replace(rules, break_margin=condition.matters)
        return replace(rules, tolerance=condition.matters)

    def read(self, rule: Rule, evidence: SeriesEvidence) -> SeriesReading:
        """What a series' evidence says for *rule*."""
        condition = evidence_of(rule)
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
