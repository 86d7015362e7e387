"""Replay a rule over the measurements that the ledger holds, before it is switched on."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from watchkeeper.decisions.alerting.replay import Replayed, history_before, replay, walk
from watchkeeper.decisions.rules.series import Point
from watchkeeper.domain.measurement import Measure
from watchkeeper.domain.rule import Rule
from watchkeeper.domain.watched import WatchedModel
from watchkeeper.domain.window import Window
from watchkeeper.errors import BadInput
from watchkeeper.loop.alerting.points import points_of_table


def replay_rule(
    ledger: Any,
    model: WatchedModel,
    rule: Rule,
    *,
    start: datetime,
    end: datetime,
    measures: Mapping[str, Measure] | None = None,
) -> Replayed:
    """Replay *rule* over the ledger's measurements of [start, end); it reads what it needs from before.

    Raises
    ------
    BadInput
        the rule cannot be replayed from measurements.
    """
    if measures is None:
        from watchkeeper.measures.catalogue import described_measures

        measures = described_measures()
    if end <= start:
        raise BadInput("The replay ends before it starts.", "Give --from before --to.")
    if not rule.selector.measure:
        next(walk(rule, ("", "", "", ""), [Point(Window(start, end), None)], model=model.name), None)
    table = ledger.measurements.table(
        model.name,
        measures=[rule.selector.measure],
        start=start - history_before(rule, model.judge_every),
        end=end,
    )
    points = points_of_table(table, model.judge_every)
    return replay(rule, points, model=model.name, start=start, measures=measures, timezone=model.timezone)
