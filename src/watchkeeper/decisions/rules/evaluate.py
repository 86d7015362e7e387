"""Evaluate any rule that reads one series, whatever its kind; and keep the evidence of those that fold."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from watchkeeper.decisions.rules.break_rule import Break
from watchkeeper.decisions.rules.effect_and_evidence import series_evaluation
from watchkeeper.decisions.rules.memory import Folded, moment
from watchkeeper.decisions.rules.series import Series, verdict_of
from watchkeeper.decisions.rules.shares import Shares, folds, remembers
from watchkeeper.domain.rule import Evaluation, Rule
from watchkeeper.domain.verdict import Verdict
from watchkeeper.stats.evidence.column_evidence import FEWEST_WINDOWS


def evaluate(
    rule: Rule, series: Series, *, folded: Folded | None = None, shares: Shares | None = None
) -> Evaluation:
    """Judge the last window of *series*. A rule that folds needs its *folded* state, this window included."""
    if not remembers(rule):
        return rule.condition.evaluate(rule, series)  # type: ignore[no-any-return]
    undecided = verdict_of(series, rule, min_rows=rule.condition.min_rows)
    if undecided is not None:
        return undecided
    if not folds(rule) and folded is not None and not _waits(series, folded):
        return rule.condition.evaluate(rule, series, folded)  # type: ignore[no-any-return]
    if folded is None or (folds(rule) and not folded.evidence.ready):
        have = 0 if folded is None else folded.evidence.reference
        return series.evaluation(
            rule,
            Verdict.INCONCLUSIVE,
            f"{series.title} has {have} windows to compare with, and {FEWEST_WINDOWS} are needed.",
        )
    if folds(rule) and folded.evidence.folded == 0:
        return series.evaluation(rule, Verdict.PASS, f"{series.title} has its windows to compare with now.")
    if _waits(series, folded):
        return series.evaluation(
            rule,
            Verdict.INCONCLUSIVE,
            f"{series.title} waits for earlier windows whose outcomes are still arriving.",
        )
    reading = (shares or Shares()).read(rule, folded.evidence)
    starts: Sequence[datetime] = [moment(s) for s in folded.starts[-400:]]
    return series_evaluation(rule, series, reading, starts=starts, breaks=isinstance(rule.condition, Break))


def _waits(series: Series, folded: Folded) -> bool:
    return folded.until < series.points[-1].window.end.timestamp()
