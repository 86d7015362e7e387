"""Judge a stretch of history again with a rule that is not yet switched on, in a ledger of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from types import SimpleNamespace
from typing import Any

from watchkeeper.decisions.alerting.replay import Replayed, Step, summed_up
from watchkeeper.decisions.alerting.state_machine import alert_labels, identity, step
from watchkeeper.decisions.rules.absence import Absence
from watchkeeper.decisions.rules.composite import joined
from watchkeeper.decisions.rules.condition import Arrivals, Context
from watchkeeper.decisions.rules.shares import watches_columns
from watchkeeper.domain.alert import Alert
from watchkeeper.domain.measurement import Interval, Measurement
from watchkeeper.domain.rule import Rule
from watchkeeper.domain.series import PlacedMeasurement, WindowKey, WindowState
from watchkeeper.domain.watched import WatchedModel
from watchkeeper.domain.window import Window, floor_to
from watchkeeper.errors import BadInput
from watchkeeper.loop.alerting.judging import AlertJudge, Judged
from watchkeeper.loop.alerting.kept_evidence import revision_of
from watchkeeper.loop.alerting.plan import AlertingPlan
from watchkeeper.loop.records.kinds import ALERT
from watchkeeper.loop.records.records import Records
from watchkeeper.loop.reports.status import is_judged
from watchkeeper.ports.judge import JudgedWindow
from watchkeeper.profiles.stored_window import judged_profiles, known_edges


def _replay_absence(
    watch: Any, model: WatchedModel, rule: Rule, *, start: datetime, end: datetime
) -> Replayed:
    """What a rule on predictions that do not come would have said at the end of each stored window of [start, end).

    Raises
    ------
    BadInput
        it is about outcomes: when each arrived is not kept, so what was known then cannot be told.
    """
    assert isinstance(rule.condition, Absence)
    if rule.condition.of != "predictions":
        raise BadInput(
            f"The rule {rule.name!r} is about {rule.condition.of}, and when they arrived is not kept.",
            "Only the absence of predictions can be tried on history.",
        )
    states = watch.ledger.windows.windows(model.name, end=end, limit=1_000_000)
    whole = [s for s in states if not s.key.version and not s.key.segment]
    ends = sorted(s.key.window.end for s in whole if s.rows)
    since = min((s.key.window.start for s in whole), default=None)
    steps: list[Step] = []
    alert: Alert | None = None
    at, came = floor_to(start, model.cadence) + model.cadence, 0
    while at <= end:
        while came < len(ends) and ends[came] <= at:
            came += 1
        last = ends[came - 1] if came else None
        seen = Arrivals(
            model=model.name, now=at, predictions_until=last, outcomes_until=None, watched_since=since
        )
        said = replace(
            rule.condition.evaluate(Context(rule=rule, arrivals=seen)), window=Window(at - model.cadence, at)
        )
        alert, _ = step(alert, said, rule, now=at, labels=alert_labels(said, rule, model.labels))
        steps.append(Step(evaluation=said, alert=alert))
        at += model.cadence
    return summed_up(rule, [steps], start=start)


def replay_rule(
    watch: Any,
    model: WatchedModel,
    rule: Rule,
    *,
    start: datetime,
    end: datetime,
    scratch: Any,
) -> Replayed:
    """Judge the stored windows up to *end* again as the watch does, with *rule* beside the model's other rules.

    Evidence and alerts begin with the first stored window, as those of the watch did; windows before *start* are not
    counted. Nothing of the project is changed.

    Parameters
    ----------
    watch : the open project; its measurements and stored profiles are read.
    scratch : an empty ledger, which takes alerts and evidence.
    """
    if end <= start:
        raise BadInput("The replay ends before it starts.", "Give --from before --to.")
    if rule.kind == "absence":
        return _replay_absence(watch, model, rule, start=start, end=end)
    baseline = watch.baseline(model.name)
    if baseline is None and watches_columns(rule):
        raise BadInput(
            f"The rule {rule.name!r} judges the columns themselves, and {model.name} has no baseline to hold them against.",
            "Take one:  watchkeeper baseline",
        )
    plan = watch.config.alerting()
    known = AlertJudge(plan).rules_of(model, baseline)
    rules = (*(r for r in known if r.name != rule.name), rule)
    budget = plan.budget.revised(revision_of(watch.ledger.facts, model.name))
    judge = AlertJudge(
        AlertingPlan(rules={model.name: rules}, budget=budget, preset=False), only=joined(rule, rules)
    )
    walks: dict[str, list[Step]] = {}
    for judged in judged_again(watch, model, judge, scratch=scratch, end=end):
        for evaluation in judged.evaluations:
            if evaluation.rule != rule.name:
                continue
            name = identity(alert_labels(evaluation, rule, model.labels))
            kept = Records(scratch.facts, ALERT).get(name)
            alert = None if kept is None else kept.value
            walks.setdefault(name, []).append(Step(evaluation=evaluation, alert=alert))
    return summed_up(rule, walks.values(), start=start)


def judged_again(
    watch: Any,
    model: WatchedModel,
    judge: AlertJudge,
    *,
    scratch: Any,
    end: datetime | None = None,
) -> Iterator[Judged]:
    """Judge the measured windows up to *end* again, oldest first; evidence and alerts go to *scratch* alone."""
    baseline = watch.baseline(model.name)
    beside: Any = SimpleNamespace(
        facts=scratch.facts, windows=scratch.windows, measurements=watch.ledger.measurements
    )
    edges, stored = known_edges(baseline), watch.lake.profiles(model.name)
    states = watch.ledger.windows.windows(model.name, end=end, limit=1_000_000)
    for state in sorted((s for s in states if s.generation and is_judged(model, s.key.window)), key=_end):
        window = state.key.window
        merged, _ = judged_profiles(
            stored.get(window.start, window.end, segment=None),
            edges,
            state.key,
            window.length if model.rows_per_window else model.cadence,
        )
        yield judge.judge(
            JudgedWindow(
                ledger=beside,
                model=model,
                window=window,
                measurements=_placed(watch.ledger.measurements, model.name, window),
                now=window.end,
                profiles={place: s.profile.effective() for place, s in merged.items() if s.rows},
                baseline=baseline,
                mature=state.mature,
                read=lambda of, columns: watch.rows(model, of, columns=columns),
            )
        )


def _end(state: WindowState) -> datetime:
    return state.key.window.end


def _placed(measurements: Any, model: str, window: Window) -> list[PlacedMeasurement]:
    """The measurements of one window as they were handed to the judges."""
    rows = measurements.table(model, start=window.start, end=window.end).to_pylist()
    return [
        PlacedMeasurement(
            key=WindowKey(model=model, window=window, version=r["version"], segment=r["segment"]),
            measurement=Measurement(
                measure=r["measure"],
                subject=r["subject"],
                value=r["value"],
                rows=r["rows"] or 0,
                interval=None if r["low"] is None or r["high"] is None else Interval(r["low"], r["high"]),
                margin=r["margin"],
                p_value=r["p_value"],
                details=json.loads(r["details"] or "{}"),
                reason=r["reason"] or ("" if r["value"] is not None else "not measured"),
            ),
        )
        for r in rows
        if (r["start"], r["end"]) == (window.start, window.end)
    ]
