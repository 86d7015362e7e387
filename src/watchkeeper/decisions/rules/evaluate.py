"""Evaluate any rule that reads one series, whatever its kind."""

from __future__ import annotations

from watchkeeper.decisions.rules.condition import Context
from watchkeeper.decisions.rules.memory import Folded
from watchkeeper.decisions.rules.series import Series
from watchkeeper.decisions.rules.shares import Shares
from watchkeeper.domain.rule import Evaluation, Rule


def evaluate(
    rule: Rule, series: Series, *, folded: Folded | None = None, shares: Shares | None = None
) -> Evaluation:
    """Judge the last window of *series*. A rule that remembers needs its *folded* state, this window included."""
    return rule.condition.evaluate(
        Context(rule=rule, model=series.model, series=series, folded=folded, shares=shares or Shares())
    )
