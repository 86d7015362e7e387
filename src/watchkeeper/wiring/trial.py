"""A rule tried on history before it is switched on."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watchkeeper.decisions.alerting.replay import Replayed
    from watchkeeper.domain.rule import Rule
    from watchkeeper.domain.watched import WatchedModel
    from watchkeeper.loop.watch.watch import Watch


def try_rule(watch: Watch, model: WatchedModel, rule: Rule, *, start: datetime, end: datetime) -> Replayed:
    """What *rule* would have done in [start, end): windows are judged again in a ledger of their own that is thrown away.

    Raises
    ------
    BadInput
        it cannot be replayed.
    """
    from watchkeeper.loop.backtest.rule_trial import replay_rule
    from watchkeeper.wiring.scratch import scratch_ledger

    with scratch_ledger() as scratch:
        return replay_rule(watch, model, rule, start=start, end=end, scratch=scratch)
