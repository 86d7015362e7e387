"""Judging: rules over a measured window, alerts out of what they say, and messages out of alerts.

The shell around `decisions`: it reads measurements, evidence and alerts from the ledger, asks the pure parts, and
writes facts, alerts, evidence and groups in *one* transaction. Everything is keyed by window and state, so a
step that crashed is done again with the same result, and one that was done changes nothing.

`AlertJudge` is handed to the watch (``judges``): it is called for every judged window. `AlertJudge.after` looks at
what needs no window: sources that went quiet, silences that ended, groups whose message is due.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from watchkeeper.decisions.alerting.grouping import Group, assign, compose
from watchkeeper.decisions.alerting.inhibition import (
    BUILT_IN,
    Inhibition,
    check_inhibitions,
    parse_inhibition,
)
from watchkeeper.decisions.alerting.maintenance import Maintenance, parse_maintenance
from watchkeeper.decisions.alerting.replay import Replayed, history_before, replay, walk
from watchkeeper.decisions.alerting.routing import Route, check_routes, parse_route
from watchkeeper.decisions.alerting.silences import Muting
from watchkeeper.decisions.alerting.state_machine import (
    acknowledge,
    alert_labels,
    identity,
    retrospective_labels,
    step,
    unacknowledge,
    with_log,
)
from watchkeeper.decisions.rules.absence import Absence, Arrivals
from watchkeeper.decisions.rules.break_rule import Break
from watchkeeper.decisions.rules.catalogue import check_rules, parse_rule
from watchkeeper.decisions.rules.composite import Composite
from watchkeeper.decisions.rules.effect_and_evidence import EffectAndEvidence, column_evaluation
from watchkeeper.decisions.rules.evaluate import Folded, Shares, evaluate, folds, sign_of
from watchkeeper.decisions.rules.preset import Budget, default_rules, watched_columns
from watchkeeper.decisions.rules.series import Point, Series
from watchkeeper.decisions.rules.series_evidence import SeriesEvidence
from watchkeeper.decisions.rules.window_counts import Binning
from watchkeeper.domain.alert import Alert, AlertState, Transition, fingerprint
from watchkeeper.domain.fact import Document, Fact, Lease
from watchkeeper.domain.measurement import Family, Measure
from watchkeeper.domain.rule import Category, Evaluation, Rule, Severity
from watchkeeper.domain.series import PlacedMeasurement, WindowKey
from watchkeeper.domain.silence import Silence, parse_matchers
from watchkeeper.domain.verdict import Verdict
from watchkeeper.domain.watched import WatchedModel
from watchkeeper.domain.window import Window
from watchkeeper.errors import BadInput, BadTransition, Conflict, NotFound, WatchkeeperError
from watchkeeper.loop.window_profiles import StoredWindow
from watchkeeper.ports import FactStore
from watchkeeper.stats.evidence.column_evidence import (
    FEWEST_WINDOWS,
    ColumnEvidence,
    EvidenceRules,
    Reading,
    read_all,
)
from watchkeeper.stats.evidence.seasons import season_codes
from watchkeeper.stats.states.baseline import Baseline
from watchkeeper.stats.states.profile import Profile

__all__ = [
    "AlertJudge",
    "AlertingPlan",
    "Judged",
    "acknowledge_alert",
    "add_silence",
    "alert_document",
    "alerting_plan",
    "expire_silence",
    "expire_silences",
    "replay_rule",
    "silences_of",
]

_OUTCOME_FAMILIES = (Family.PERFORMANCE, Family.FAIRNESS, Family.COST)
_DRIFT_FOR_WHOM = ("psi", "jensen_shannon", "missing_drift")
_ACTOR = "watchkeeper"
_ALL = 1_000_000
_LATELY = 2_000
"""Alerts that are over and are read with every window; older ones are looked up when they fail again."""

BROKEN = Rule(
    name="evaluation failed",
    kind="error",
    condition=None,
    severity=Severity.WARNING,
    about="The watching itself is broken: these numbers could not be judged.",
)
"""One alert for everything that went wrong with one model's window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertingPlan:
    """Everything that alerting was told: checked when it is made, so that nothing is found out at night."""

    rules: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)
    """By model: the owner's own; the preset's are added when the schema is known."""
    left_out: Mapping[str, frozenset[str]] = field(default_factory=dict)
    routes: tuple[Route, ...] = ()
    inhibitions: tuple[Inhibition, ...] = BUILT_IN
    maintenance: tuple[Maintenance, ...] = ()
    budget: Budget = field(default_factory=Budget)
    preset: bool = True


def alerting_plan(
    models: Mapping[str, WatchedModel],
    *,
    routes: Sequence[Mapping[str, Any]] = (),
    inhibit: Sequence[Mapping[str, Any]] = (),
    maintenance: Sequence[Mapping[str, Any]] = (),
    channels: Iterable[str] = (),
    measures: Iterable[str] | None = None,
    preset: bool = True,
) -> AlertingPlan:
    """Read and check what the configuration says of alerting.

    Without routes every channel hears of everything, by model. A rule with ``enabled = false`` takes the preset's
    rule of that name out; one that is written anew stands in its place.

    Raises
    ------
    BadInput
        a rule, route, inhibition or maintenance window cannot be used; the key and the nearest known one are named.
    """
    names = list(channels)
    rules: dict[str, tuple[Rule, ...]] = {}
    left_out: dict[str, frozenset[str]] = {}
    known = None if measures is None else list(measures)
    for name, model in models.items():
        own, out = [], set()
        for raw in model.rules:
            if raw.get("enabled") is False:
                out.add(str(raw.get("name", "")))
                continue
            rule = parse_rule(raw, measures=known)
            own.append(rule)
            out.add(rule.name)
        rules[name], left_out[name] = tuple(own), frozenset(out)
        all_rules = [*own, *(default_rules(model.task, leave_out=out) if preset else ())]
        check_rules(all_rules)
    parsed = tuple(parse_route(raw) for raw in routes)
    if not parsed and names:
        parsed = (Route(channels=tuple(names)),)
    labels = {label for m in models.values() for label in m.labels}
    labels |= {label for several in rules.values() for rule in several for label in rule.labels}
    check_routes(parsed, channels=names, labels=sorted(labels))
    inhibitions = (*BUILT_IN, *(parse_inhibition(raw) for raw in inhibit))
    check_inhibitions(inhibitions)
    windows = tuple(parse_maintenance(raw) for raw in maintenance)
    for window in windows:
        if window.cron:
            _spans(window, datetime(2026, 1, 1, tzinfo=UTC))
    return AlertingPlan(
        rules=rules,
        left_out=left_out,
        routes=parsed,
        inhibitions=inhibitions,
        maintenance=windows,
        preset=preset,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What came out of one window."""

    evaluations: tuple[Evaluation, ...] = ()
    changes: tuple[tuple[Alert, Transition], ...] = ()

    @property
    def verdicts(self) -> dict[str, int]:
        """How many of each."""
        return dict(Counter(e.verdict.value for e in self.evaluations))


Place = tuple[str, str]
"""Version and segment."""

_ColumnReading = tuple[str, Reading, Sequence[datetime], Sequence[str]]
"""A column, what its evidence says, the starts of its folded windows, its categories."""


class AlertJudge:
    """Judges windows and keeps alerts. Call it as the watch's tick does, or use its methods."""

    def __init__(self, plan: AlertingPlan, *, measures: Mapping[str, Measure] | None = None) -> None:
        self.plan = plan
        if measures is None:
            from watchkeeper.measures.catalogue import described_measures

            measures = described_measures()
        self.measures = measures
        self._binnings: dict[tuple[str, str], _BaselineWindows] = {}

    # ---- called by the tick ----------------------------------------------------------------------------

    def __call__(
        self,
        watch: Any,
        model: WatchedModel,
        key: WindowKey,
        windows: Sequence[StoredWindow],
        placed: Sequence[PlacedMeasurement],
        mature: bool,
        lease: Lease,
    ) -> None:
        """One judged window has been measured."""
        self.judge(
            watch.ledger,
            model,
            key.window,
            placed,
            now=watch.clock(),
            profiles={(w.key.version, w.key.segment): w.profile.estimate() for w in windows if w.rows},
            baseline=watch.baseline(model.name),
            mature=mature,
            lease=lease,
        )

    def after(self, watch: Any, lease: Lease | None = None) -> int:
        """What needs no window: quiet sources, ended silences, due messages. Returns how many messages were queued."""
        now = watch.clock()
        for model in watch.models.values():
            self.judge_arrivals(watch.ledger, model, now=now, lease=lease)
        return self.notify(watch.ledger, now=now, lease=lease)

    # ---- judging ----------------------------------------------------------------------------------------

    def rules_of(self, model: WatchedModel, baseline: Baseline | None = None) -> tuple[Rule, ...]:
        """The rules of a model: its owner's, and those of the preset that were not replaced."""
        own = self.plan.rules.get(model.name, ())
        if not self.plan.preset:
            return own
        schema = None if baseline is None else baseline.schema
        task = model.task or (schema.task if schema is not None else None)
        return (
            *own,
            *default_rules(
                task,
                schema,
                measures=self.measures,
                judge_every=model.judge_every,
                maturity=model.maturity.after,
                leave_out=self.plan.left_out.get(model.name, ()),
            ),
        )

    def judge(
        self,
        ledger: Any,
        model: WatchedModel,
        window: Window,
        placed: Sequence[PlacedMeasurement],
        *,
        now: datetime,
        profiles: Mapping[Place, Profile] | None = None,
        baseline: Baseline | None = None,
        mature: bool = True,
        lease: Lease | None = None,
    ) -> Judged:
        """Evaluate every rule on one window, and move the alerts; one transaction, and the same when repeated."""
        for attempt in range(5):
            try:
                run = _Run(self, ledger, model, window, now, lease)
                return run.judge(placed, profiles or {}, baseline, mature)
            except Conflict as conflict:
                # Somebody acknowledged an alert meanwhile: read it again and do the same.
                if attempt == 4 or type(conflict) is not Conflict:
                    raise
        raise AssertionError("unreachable")

    def judge_arrivals(
        self, ledger: Any, model: WatchedModel, *, now: datetime, lease: Lease | None = None
    ) -> Judged:
        """Evaluate the rules on what did not come."""
        for attempt in range(5):
            try:
                return _Run(self, ledger, model, None, now, lease).judge_arrivals()
            except Conflict as conflict:
                if attempt == 4 or type(conflict) is not Conflict:
                    raise
        raise AssertionError("unreachable")

    # ---- telling ----------------------------------------------------------------------------------------

    def notify(self, ledger: Any, *, now: datetime, lease: Lease | None = None) -> int:
        """Queue the messages of every group that is due; return how many outbox entries were written."""
        expire_silences(ledger.facts, now=now, lease=lease)
        due = ledger.facts.documents("group", due_before=now, limit=_ALL, order="key")
        if not due:
            return 0
        groups = {d.key: Group.of_body(d.key, d.body) for d in due}
        wanted = {name for g in groups.values() for name in g.members}
        held = _alerts_by_name(ledger.facts, wanted)
        firing = [
            Alert.of_body(d.body) for d in ledger.facts.documents("alert", states=["firing"], limit=_ALL)
        ]
        alerts = {name: alert for name, (alert, _) in held.items()}
        muting = self.muting(ledger.facts, now, firing)
        written = 0
        for document in due:
            message, group = compose(groups[document.key], alerts, muting.why, now=now)
            facts: list[Fact] = []
            documents = [
                replace(
                    document,
                    body=group.to_body(),
                    due=group.due,
                    state="open" if group.members else "quiet",
                    updated_at=now,
                )
            ]
            if message is not None:
                model = str(message.labels.get("model", ""))
                for channel in message.channels:
                    documents.append(
                        Document(
                            kind="outbox",
                            key=f"{message.key}:{channel}",
                            state="waiting",
                            model=model,
                            due=now,
                            updated_at=now,
                            body={"channel": channel, "created_at": now.isoformat(), **message.to_body()},
                        )
                    )
                body = {
                    "group": message.group,
                    "channels": list(message.channels),
                    "status": message.status,
                    "urgency": message.urgency,
                    "firing": message.firing,
                    "resolved": message.resolved,
                    "alerts": [a["fingerprint"] for a in message.alerts],
                }
                facts.append(
                    Fact(
                        kind="notification.queued",
                        at=now,
                        actor=_ACTOR,
                        model=model,
                        body=body,
                        key=f"notification:{message.key}",
                    )
                )
                written += len(message.channels)
                documents += _told(held, message.new[:100], message.channels, now)
            try:
                ledger.facts.append(facts, documents, lease=lease)
            except Conflict as conflict:
                if type(conflict) is not Conflict:
                    raise
                written -= 0 if message is None else len(message.channels)  # the next call tells it
        return written

    def muting(self, facts: FactStore, now: datetime, firing: Iterable[Alert]) -> Muting:
        """All that mutes now."""
        return Muting(
            now,
            silences=silences_of(facts),
            maintenance=[_spans(m, now) if m.cron else m for m in self.plan.maintenance],
            inhibitions=self.plan.inhibitions,
            firing=firing,
        )


# ---- what people do --------------------------------------------------------------------------------------


def alert_document(facts: FactStore, name: str) -> Document:
    """An alert's document by its fingerprint, or the beginning of one.

    Raises
    ------
    NotFound
        there is none, or there are several.
    """
    found = facts.document("alert", name)
    if found is not None:
        return found
    starting = [d for d in facts.documents("alert", limit=_ALL, order="key") if d.key.startswith(name)]
    if len(starting) == 1 and name:
        return starting[0]
    many = "several alerts begin" if len(starting) > 1 else "no alert begins"
    raise NotFound(f"There is no alert {name!r}: {many} so.", "List them:  watchkeeper alerts list")


def acknowledge_alert(
    facts: FactStore, name: str, *, actor: str, now: datetime, note: str = "", back: bool = False
) -> Alert:
    """Acknowledge an alert, or take that *back*."""
    document = alert_document(facts, name)
    before = Alert.of_body(document.body)
    after = (
        unacknowledge(before, actor=actor, now=now)
        if back
        else acknowledge(before, actor=actor, now=now, note=note)
    )
    kind = "alert.unacknowledged" if back else "alert.acknowledged"
    fact = Fact(
        kind=kind, at=now, actor=actor, model=after.model, subject=after.fingerprint, body={"note": note}
    )
    facts.append([fact], [_document_of(after, document.revision, now)])
    return after


def silences_of(facts: FactStore, *, states: Sequence[str] = ("active",)) -> list[Silence]:
    """Silences in the ledger."""
    return [Silence.of_body(d.key, d.body) for d in facts.documents("silence", states=states, limit=_ALL)]


def add_silence(
    facts: FactStore,
    matchers: Mapping[str, str] | Iterable[str],
    *,
    author: str,
    reason: str,
    now: datetime,
    lasts: timedelta | None = None,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
) -> Silence:
    """Add a silence; it must end.

    Raises
    ------
    BadInput
        it has no end, no author, no reason, or would mute everything.
    """
    start = starts_at or now
    end = ends_at or (start + lasts if lasts is not None else None)
    if end is None:
        raise BadInput("A silence needs an end.", "Say how long it lasts, such as 4h.")
    if end <= now:
        raise BadInput(f"The silence would have ended at {end:%Y-%m-%d %H:%M} UTC already.")
    parsed = parse_matchers(matchers)
    name = fingerprint({"at": now.isoformat(), "author": author, "matchers": " ".join(map(str, parsed))})[:10]
    silence = Silence(
        id=name, matchers=parsed, author=author, reason=reason, starts_at=start, ends_at=end, created_at=now
    )
    fact = Fact(kind="silence.created", at=now, actor=author, subject=name, body=silence.to_body())
    document = Document(
        kind="silence", key=name, body=silence.to_body(), state="active", due=end, updated_at=now
    )
    facts.append([fact], [document])
    return silence


def expire_silence(facts: FactStore, name: str, *, actor: str, now: datetime) -> Silence:
    """End a silence now.

    Raises
    ------
    NotFound
        there is no such silence.
    BadTransition
        it has ended already.
    """
    document = facts.document("silence", name)
    if document is None:
        raise NotFound(f"There is no silence {name!r}.", "List them:  watchkeeper silences list")
    if document.state != "active":
        raise BadTransition(f"The silence {name!r} has ended already.")
    body = {**document.body, "ends_at": max(now, _after(document.body["starts_at"])).isoformat()}
    fact = Fact(kind="silence.expired", at=now, actor=actor, subject=name, key=f"silence.expired:{name}")
    facts.append([fact], [replace(document, body=body, state="expired", due=None, updated_at=now)])
    return Silence.of_body(name, body)


def expire_silences(facts: FactStore, *, now: datetime, lease: Lease | None = None) -> int:
    """Write down which silences have ended by themselves."""
    ended = facts.documents("silence", states=["active"], due_before=now, limit=_ALL)
    for document in ended:
        fact = Fact(
            kind="silence.expired",
            at=now,
            actor=_ACTOR,
            subject=document.key,
            key=f"silence.expired:{document.key}",
        )
        facts.append([fact], [replace(document, state="expired", due=None, updated_at=now)], lease=lease)
    return len(ended)


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


# ---- one run ---------------------------------------------------------------------------------------------


class _Run:
    """One window of one model (or none: what did not come)."""

    def __init__(
        self,
        judge: AlertJudge,
        ledger: Any,
        model: WatchedModel,
        window: Window | None,
        now: datetime,
        lease: Lease | None,
    ) -> None:
        self.judged_by, self.ledger, self.model = judge, ledger, model
        self.window, self.now, self.lease = window, now, lease
        self.measures = judge.measures
        self.revisions: dict[tuple[str, str], int] = {}
        self.before: dict[str, Alert | None] = {}
        self.after: dict[str, Alert] = {}
        self.all_loaded = False
        self.evidence: dict[str, dict[str, Any]] = {}
        self.changed_evidence: dict[str, dict[str, Any]] = {}
        self.changes: list[tuple[Alert, Transition]] = []

    def _load_alerts(self) -> None:
        """Alerts that are live or ended lately; of the others, those that a failing rule asks for (`_alert`)."""
        facts = self.ledger.facts
        live = facts.documents("alert", states=["firing", "pending"], model=self.model.name, limit=_ALL)
        lately = facts.documents(
            "alert", states=["resolved", "inactive"], model=self.model.name, limit=_LATELY
        )
        self.all_loaded = len(lately) < _LATELY
        for document in (*live, *lately):
            self._keep(document)

    def _keep(self, document: Document) -> None:
        self.before[document.key] = Alert.of_body(document.body)
        self.revisions["alert", document.key] = document.revision

    def _alert(self, name: str, *, look: bool = True) -> Alert | None:
        """An alert as it was before this window; *look* for it in the ledger where it was not loaded."""
        if name not in self.before:
            if self.all_loaded or not look:
                return None
            document = self.ledger.facts.document("alert", name)
            if document is None:
                self.before[name] = None
            else:
                self._keep(document)
        return self.before[name]

    # ---- a window

    def judge(
        self,
        placed: Sequence[PlacedMeasurement],
        profiles: Mapping[Place, Profile],
        baseline: Baseline | None,
        mature: bool,
    ) -> Judged:
        assert self.window is not None
        self.placed, self.profiles, self.baseline, self.mature = placed, profiles, baseline, mature
        self._load_alerts()
        for document in self.ledger.facts.documents("evidence", model=self.model.name, limit=_ALL):
            self.evidence[document.key] = dict(document.body)
            self.revisions["evidence", document.key] = document.revision
        rules = self.judged_by.rules_of(self.model, baseline)
        self.columns = () if baseline is None else watched_columns(baseline.schema)
        self.shares = self._shares(rules)
        self.points = self._points(rules)
        evaluations: list[tuple[Rule, Evaluation]] = []
        self.readings: dict[tuple[Place, str], list[_ColumnReading]] = {}
        for rule in rules:
            if not isinstance(rule.condition, (Absence, Composite)):
                evaluations += [(rule, e) for e in self._evaluate(rule)]
        by_rule: dict[str, Evaluation] = {}
        for rule, evaluation in evaluations:
            seen = by_rule.get(rule.name)
            if seen is None or Verdict.worst([seen.verdict, evaluation.verdict]) is not seen.verdict:
                by_rule[rule.name] = evaluation
        for rule in _composites_in_order(rules):
            evaluation = rule.condition.evaluate(rule, by_rule, model=self.model.name)
            evaluation = replace(evaluation, window=evaluation.window or self.window)
            by_rule[rule.name] = evaluation
            evaluations.append((rule, evaluation))
        self._move(evaluations)
        self._move_broken([e for _, e in evaluations])
        self._write([e for _, e in evaluations])
        return Judged(evaluations=tuple(e for _, e in evaluations), changes=tuple(self.changes))

    def _shares(self, rules: Sequence[Rule]) -> Shares:
        """How many columns and series share the budget: a bound that does not move from window to window."""

        def places(rule: Rule) -> int:
            many = (1 if rule.selector.segments == ("",) else 1 + self.model.max_segments) * (
                1 if rule.selector.versions == ("",) else 10
            )
            return max(1, many)

        columns = sum(
            len(self.columns) * places(r)
            for r in rules
            if isinstance(r.condition, EffectAndEvidence) and not r.selector.measure
        )
        column_breaks = sum(
            len(self.columns) * places(r)
            for r in rules
            if isinstance(r.condition, Break) and not r.selector.measure
        )
        subjects = {r.name: 1 if r.selector.subjects == ("",) else max(1, len(self.columns)) for r in rules}
        series = sum(places(r) * subjects[r.name] for r in rules if folds(r))
        breaks = column_breaks + sum(
            places(r) * subjects[r.name] for r in rules if folds(r) and isinstance(r.condition, Break)
        )
        return Shares(
            budget=self.judged_by.plan.budget,
            columns=max(1, columns),
            series=max(1, series),
            breaks=max(1, breaks),
        )

    def _points(self, rules: Sequence[Rule]) -> dict[tuple[str, str, str, str], list[Point]]:
        """Series by (measure, subject, segment, version), up to this window; the past only where a rule reads it."""
        assert self.window is not None
        out: dict[tuple[str, str, str, str], list[Point]] = {}
        historic = sorted({r.selector.measure for r in rules if r.kind in ("anomaly", "predictive")} - {""})
        if historic:
            span = 400 * self.window.length
            table = self.ledger.measurements.table(
                self.model.name, measures=historic, start=self.window.start - span, end=self.window.start
            )
            out = points_of_table(table, self.window.length)
        for p in self.placed:
            if p.key.window != self.window:
                continue
            m = p.measurement
            name = (m.measure, m.subject, p.key.segment or m.segment, p.key.version)
            out.setdefault(name, []).append(Point.of(self.window, m))
        return {name: points for name, points in out.items() if points[-1].window == self.window}

    def _evaluate(self, rule: Rule) -> list[Evaluation]:
        if isinstance(rule.condition, (EffectAndEvidence, Break)) and not rule.selector.measure:
            return self._evaluate_columns(rule)
        out = []
        for (measure, subject, segment, version), points in self.points.items():
            if not rule.selector.takes(measure, subject, segment, version):
                continue
            described = self.measures.get(measure)
            series = Series(
                model=self.model.name,
                measure=measure,
                subject=subject,
                segment=segment,
                version=version,
                points=points,
                described=described,
                timezone=self.model.timezone,
                now=self.now,
                mature=self.mature or described is None or described.family not in _OUTCOME_FAMILIES,
                firing=self._fires(rule, measure, subject, segment, version),
            )
            try:
                out.append(evaluate(rule, series, folded=self._folded(rule, series), shares=self.shares))
            except Exception as fault:
                # A rule that raises must neither stop the others nor pass for healthy.
                said = (
                    fault.what if isinstance(fault, WatchkeeperError) else f"{type(fault).__name__}: {fault}"
                )
                out.append(
                    series.evaluation(
                        rule, Verdict.ERROR, f"{rule.name} of {series.title} failed: {said.rstrip('.')}."
                    )
                )
        return out

    def _fires(self, rule: Rule, measure: str, subject: str, segment: str, version: str) -> bool:
        """Whether this rule's alert on that series fires, as it was before this window."""
        place = Evaluation(
            rule=rule.name,
            model=self.model.name,
            verdict=Verdict.PASS,
            sentence="",
            measure=measure,
            subject=subject,
            segment=segment,
            version=version,
        )
        alert = self._alert(identity(alert_labels(place, rule, self.model.labels)), look=False)
        if alert is None or self.window is None:
            return False
        if alert.window_end == self.window.end:
            # Judged before: what counts is how it stood when this window came.
            return len(alert.flips) > 1 and alert.flips[-2] == "1"
        return alert.is_firing

    def _folded(self, rule: Rule, series: Series) -> Folded | None:
        if not folds(rule):
            return None
        season = getattr(rule.condition, "season", "none")
        key = "|".join(
            (
                "series",
                self.model.name,
                series.version,
                series.segment,
                series.measure,
                series.subject,
                season,
            )
        )
        body = self.changed_evidence.get(key) or self.evidence.get(key)
        if body is not None and body.get("baseline") == self._baseline_name():
            folded = Folded.of_payload(body["folded"])
        else:
            folded = Folded(evidence=self._series_evidence(series, season))
        after = folded.seen(series, stale_after_s=self.model.maturity.after.total_seconds(), season=season)
        if after is not folded:
            self.changed_evidence[key] = {"baseline": self._baseline_name(), "folded": after.to_payload()}
        return after

    def _baseline_name(self) -> str:
        b = self.baseline
        return "" if b is None else f"{b.name}|{b.created_at}|{b.profile.rows:g}|{len(b.windows)}"

    def _series_evidence(self, series: Series, season: str) -> SeriesEvidence:
        """Begin from the baseline's own windows, measured as this one is."""
        name = f"{series.measure}|{series.subject}"
        sign = sign_of(series)
        described = series.described
        windows = self._baseline_windows()
        if (
            windows is None
            or series.segment
            or series.subject
            or described is None
            or described.family is not Family.PERFORMANCE
        ):
            return SeriesEvidence.of(name=name, sign=sign)
        from watchkeeper.measures.performance.evaluation import measure_performance

        assert self.baseline is not None
        points = []
        for window, profile in zip(windows.windows, windows.profiles):
            for m in measure_performance(
                profile.performance,
                task=self.model.task or self.baseline.schema.task,
                positive=self.model.positive or self.baseline.schema.positive,
                threshold=self.model.threshold,
                names=[series.measure],
            ):
                if m.value is not None and not m.subject:
                    points.append(Point.of(window, m))
        strata = season_codes(series.local_starts(points), season).tolist() if points else []
        return SeriesEvidence.of(
            [p.value or 0.0 for p in points],
            [p.standard_error or 0.0 for p in points],
            name=name,
            sign=sign,
            strata=strata,
        )

    # ---- columns

    def _baseline_windows(self) -> _BaselineWindows | None:
        if self.baseline is None or self.window is None:
            return None
        name = (self.model.name, f"{self._baseline_name()}|{self.model.judge_every}")
        known = self.judged_by._binnings
        if name not in known:
            for old in [n for n in known if n[0] == self.model.name]:
                del known[old]
            known[name] = _BaselineWindows.of(self.baseline, self.model)
        return known[name]

    def _evaluate_columns(self, rule: Rule) -> list[Evaluation]:
        assert self.window is not None
        windows = self._baseline_windows()
        if windows is None or not self.columns:
            return []
        breaks = isinstance(rule.condition, Break)
        out = []
        for place in self.profiles:
            version, segment = place
            if not any(rule.selector.takes("", c, segment, version) for c in self.columns):
                continue
            blank = Series(
                model=self.model.name,
                measure="",
                points=[Point(self.window, None, reason="-")],
                segment=segment,
                version=version,
                now=self.now,
            )
            if len(windows.profiles) < FEWEST_WINDOWS:
                sentence = (
                    f"The baseline has {len(windows.profiles)} windows of this length, and evidence over time "
                    f"needs {FEWEST_WINDOWS}."
                )
                out.append(blank.evaluation(rule, Verdict.INCONCLUSIVE, sentence))
                continue
            season = getattr(rule.condition, "season", "none")
            for column, reading, starts, categories in self._read_columns(place, rule, windows, season):
                if rule.selector.takes("", column, segment, version):
                    series = replace(blank, subject=column)
                    if starts and starts[-1] != self.window.start:
                        continue  # too few rows to fold, or an older window: nothing new is known
                    out.append(
                        column_evaluation(
                            rule, series, reading, breaks=breaks, starts=starts, categories=categories
                        )
                    )
        return out

    def _read_columns(
        self, place: Place, rule: Rule, windows: _BaselineWindows, season: str
    ) -> list[_ColumnReading]:
        """Fold this window into every column of *place*, once, and read them all together."""
        assert self.window is not None
        independent = rule.condition.independent_rows
        cached = self.readings.get((place, f"{season}{independent}"))
        if cached is not None:
            return cached
        version, segment = place
        profile = self.profiles[place]
        budget = self.judged_by.plan.budget
        # Breaks share one budget among columns and series.
        rules = EvidenceRules(
            columns=self.shares.columns,
            budget=budget.columns,
            break_budget=budget.breaks * self.shares.columns / max(self.shares.breaks, self.shares.columns),
            independent_rows=independent,
            **(
                {"tolerance": rule.condition.matters}
                if rule.condition.matters and rule.kind == "evidence"
                else {}
            ),
        )
        stratum = windows.stratum(self.window, season, self.model.timezone)
        states, kept = [], []
        for column in self.columns:
            if column not in profile.columns or column not in windows.binnings:
                continue
            binning = windows.binnings[column]
            key = "|".join(("column", self.model.name, version, segment, column, season, str(independent)))
            body = self.changed_evidence.get(key) or self.evidence.get(key)
            try:
                state, starts, until = self._column_state(body, column, binning, windows, season, rules)
                if self.window.start.timestamp() >= until:
                    counts, missing = binning.counts(profile.columns[column])
                    before = state.folded
                    state = state.update(counts, missing, stratum=stratum)
                    if state.folded > before:
                        starts = [*starts, self.window.start.timestamp()][-1000:]
                    until = self.window.end.timestamp()
                    self.changed_evidence[key] = {
                        "baseline": self._baseline_name(),
                        "state": state.to_payload(),
                        "starts": starts,
                        "until": until,
                    }
            except WatchkeeperError:
                continue  # quality measures tell that the column changed its kind
            if state.folded:
                states.append(state)
                kept.append((column, starts, binning.categories))
        out: list[_ColumnReading] = [
            (column, reading, [datetime.fromtimestamp(s, UTC) for s in starts], categories)
            for reading, (column, starts, categories) in zip(read_all(states), kept)
        ]
        self.readings[place, f"{season}{independent}"] = out
        return out

    def _column_state(
        self,
        body: dict[str, Any] | None,
        column: str,
        binning: Binning,
        windows: _BaselineWindows,
        season: str,
        rules: EvidenceRules,
    ) -> tuple[ColumnEvidence, list[float], float]:
        if body is not None and body["baseline"] == self._baseline_name():
            state = ColumnEvidence.of_payload(body["state"])
            if state.rules != rules:
                state = replace(state, rules=rules)
            return state, list(body["starts"]), float(body["until"])
        counts, missing = binning.many([p.columns[column] for p in windows.profiles])
        strata = windows.strata(season, self.model.timezone)
        if body is not None:
            # Another baseline: windows are numbered on, so that both together keep to one budget.
            state = ColumnEvidence.of_payload(body["state"])
            try:
                state = replace(state, rules=rules).rebased(counts, missing, strata=strata)
            except BadInput:
                state = ColumnEvidence.of(
                    counts, missing, column=column, ordered=binning.ordered, strata=strata, rules=rules
                )
            return state, list(body["starts"]), float(body["until"])
        state = ColumnEvidence.of(
            counts, missing, column=column, ordered=binning.ordered, strata=strata, rules=rules
        )
        return state, [], 0.0

    # ---- what did not come

    def judge_arrivals(self) -> Judged:
        rules = [r for r in self.judged_by.rules_of(self.model) if isinstance(r.condition, Absence)]
        if not rules:
            return Judged()
        arrivals = self._arrivals()
        evaluations = [(r, r.condition.evaluate(r, arrivals)) for r in rules]
        self._move(evaluations)
        self._write([], judged=False)
        return Judged(evaluations=tuple(e for _, e in evaluations), changes=tuple(self.changes))

    def _arrivals(self) -> Arrivals:
        windows = self.ledger.windows.windows(
            self.model.name, start=self.now - timedelta(days=120), limit=_ALL
        )
        stored = [w for w in windows if not w.key.version and not w.key.segment]
        return Arrivals(
            model=self.model.name,
            now=self.now,
            predictions_until=max((w.key.window.end for w in stored if w.rows), default=None),
            outcomes_until=max((w.key.window.end for w in stored if w.outcomes), default=None),
            watched_since=min((w.key.window.start for w in stored), default=None),
        )

    # ---- alerts

    def _move(self, evaluations: Sequence[tuple[Rule, Evaluation]]) -> None:
        recent = 3 * self.model.judge_every + timedelta(days=1)
        newest = self._newest_judged()
        for rule, evaluation in evaluations:
            if evaluation.verdict is Verdict.ERROR:
                continue  # told together, by `BROKEN`
            labels = alert_labels(evaluation, rule, self.model.labels)
            horizon = recent
            described = self.measures.get(evaluation.measure)
            if described is not None and described.family in _OUTCOME_FAMILIES:
                horizon = recent + self.model.maturity.after
            old = (
                evaluation.window is not None
                and newest is not None
                and evaluation.window.end < newest
                and not folds(rule)
            )
            if old:
                labels = retrospective_labels(labels, evaluation)
            self._step(rule, evaluation, labels, horizon, retrospective=old)

    def _newest_judged(self) -> datetime | None:
        document = self.ledger.facts.document("judged", self.model.name)
        if document is None:
            self.revisions["judged", self.model.name] = 0
            return None
        self.revisions["judged", self.model.name] = document.revision
        return datetime.fromisoformat(document.body["newest"])

    def _move_broken(self, evaluations: Sequence[Evaluation]) -> None:
        """All evaluations that went wrong, as one alert of the model."""
        faults = [e for e in evaluations if e.verdict is Verdict.ERROR]
        first = faults[0].sentence if faults else ""
        evaluation = Evaluation(
            rule=BROKEN.name,
            model=self.model.name,
            verdict=Verdict.FAIL if faults else Verdict.PASS,
            sentence=f"{len(faults)} of {len(evaluations)} evaluations failed. The first: {first}"
            if faults
            else "Every evaluation worked.",
            window=self.window,
            since=self.window.start if faults and self.window else None,
            guarantee="exact: they failed",
            category=Category.ERROR,
            value=float(len(faults)),
            details={"failed": sorted({e.rule for e in faults})[:50]},
        )
        newest = self._newest_judged()
        if newest is not None and self.window is not None and self.window.end < newest:
            return
        self._step(BROKEN, evaluation, alert_labels(evaluation, BROKEN, self.model.labels), None)

    def _step(
        self,
        rule: Rule,
        evaluation: Evaluation,
        labels: dict[str, str],
        recent: timedelta | None,
        *,
        retrospective: bool = False,
    ) -> None:
        name = identity(labels)
        fails = evaluation.verdict is Verdict.FAIL
        before = self.after.get(name) or self._alert(name, look=fails or self.window is None)
        if before is None and not fails:
            return
        whom = self._whom(evaluation) if fails else None
        # A quiet rule may speak of any window; nobody is woken by it.
        after, found = step(
            before,
            evaluation,
            replace(rule, hold=timedelta(0)) if retrospective else rule,
            now=self.now,
            labels=labels,
            recent=recent,
            retrospective=retrospective,
            whom=whom,
        )
        if after is None or after is before:
            return
        self.after[name] = after
        self.changes += [(after, t) for t in found]

    def _whom(self, evaluation: Evaluation) -> dict[str, Any]:
        """Segments in which the same shows most, and columns that moved in the same window."""
        if self.window is None:
            return {}
        out: dict[str, Any] = {}
        names = [evaluation.measure] if evaluation.measure else list(_DRIFT_FOR_WHOM)
        if not evaluation.segment:
            for measure in names:
                overall = self.points.get((measure, evaluation.subject, "", evaluation.version))
                usual = overall[-1].value if overall else None
                lower = self.measures.get(measure)
                sign = -1.0 if lower is not None and lower.direction.value == "lower_is_worse" else 1.0
                found = [
                    (sign * (p[-1].value - (usual or 0.0)), s, p[-1].value, p[-1].rows)
                    for (m, subject, s, version), p in self.points.items()
                    if m == measure
                    and subject == evaluation.subject
                    and s
                    and version == evaluation.version
                    and p[-1].value is not None
                ]
                worse = sorted((f for f in found if f[0] > 0), reverse=True)[:3]
                if worse:
                    out["segments"] = [
                        {"segment": s, "measure": measure, "value": v, "rows": rows}
                        for _, s, v, rows in worse
                    ]
                    break
        described = self.measures.get(evaluation.measure)
        if described is not None and described.family in (*_OUTCOME_FAMILIES, Family.ESTIMATE):
            moved = [
                (p[-1].value, subject)
                for (m, subject, s, v), p in self.points.items()
                if m == "psi"
                and subject
                and s == evaluation.segment
                and v == evaluation.version
                and p[-1].value is not None
                and p[-1].value > max(p[-1].margin or 0.0, 0.02)
            ]
            if moved:
                out["columns"] = [
                    {"column": c, "measure": "psi", "value": v} for v, c in sorted(moved, reverse=True)[:3]
                ]
        return out

    # ---- writing

    def _write(self, evaluations: Sequence[Evaluation], *, judged: bool = True) -> None:
        changed = list(self.after.values())
        where = self.window.label if self.window is not None else self.now.isoformat()
        facts = [
            Fact(
                kind=f"alert.{t.kind}",
                at=self.now,
                actor=_ACTOR,
                model=self.model.name,
                subject=alert.fingerprint,
                body={
                    "text": t.text,
                    "rule": alert.rule,
                    "severity": alert.severity.value,
                    "window": where,
                    "retrospective": alert.retrospective,
                },
                key=f"alert.{t.kind}:{alert.fingerprint}:{where}:{alert.episode}",
            )
            for alert, t in self.changes
        ]
        documents = [
            _document_of(a, self.revisions.get(("alert", a.fingerprint), 0), self.now) for a in changed
        ]
        for key, body in self.changed_evidence.items():
            documents.append(
                Document(
                    kind="evidence",
                    key=key,
                    body=body,
                    model=self.model.name,
                    updated_at=self.now,
                    revision=self.revisions.get(("evidence", key), 0),
                )
            )
        documents += self._groups()
        if judged and self.window is not None:
            newest = self._newest_judged()
            if newest is None or self.window.end >= newest:
                documents.append(self._judged_document(evaluations))
        if facts or documents:
            self.ledger.facts.append(facts, documents, lease=self.lease)

    def _judged_document(self, evaluations: Sequence[Evaluation]) -> Document:
        """What the rules said of the newest window: for pages, and for knowing which window is an old one."""
        assert self.window is not None
        order = list(Verdict)
        loud = sorted(
            (e for e in evaluations if e.verdict is not Verdict.PASS), key=lambda e: -order.index(e.verdict)
        )
        body = {
            "newest": self.window.end.isoformat(),
            "window": self.window.label,
            "verdicts": dict(Counter(e.verdict.value for e in evaluations)),
            "rules": {
                r: Verdict.worst([e.verdict for e in evaluations if e.rule == r]).value
                for r in dict.fromkeys(e.rule for e in evaluations)
            },
            "evaluations": [e.to_dict() for e in loud[:200]],
        }
        return Document(
            kind="judged",
            key=self.model.name,
            body=body,
            model=self.model.name,
            state="judged",
            updated_at=self.now,
            revision=self.revisions.get(("judged", self.model.name), 0),
        )

    def _groups(self) -> list[Document]:
        told = {"fired", "reopened", "resolved", "flapping", "calmed", "current"}
        changed = {a.fingerprint: self.after[a.fingerprint] for a, t in self.changes if t.kind in told}
        if not changed or not self.judged_by.plan.routes:
            return []
        known: dict[str, Document] = {
            d.key: d for d in self.ledger.facts.documents("group", limit=_ALL, order="key")
        }
        groups = {key: Group.of_body(key, d.body) for key, d in known.items()}
        made = assign(changed.values(), self.judged_by.plan.routes, groups, now=self.now)
        return [
            Document(
                kind="group",
                key=key,
                body=group.to_body(),
                state="open",
                model=str(group.labels.get("model", "")),
                due=group.due,
                updated_at=self.now,
                revision=known[key].revision if key in known else 0,
            )
            for key, group in made.items()
        ]


@dataclass(frozen=True, eq=False, kw_only=True)
class _BaselineWindows:
    """The baseline's own windows at the length that is judged, and how each column is counted."""

    windows: tuple[Window, ...]
    profiles: tuple[Profile, ...]
    binnings: Mapping[str, Binning]

    @classmethod
    def of(cls, baseline: Baseline, model: WatchedModel) -> _BaselineWindows:
        """Merge shorter windows to the judged length; longer ones cannot be used."""
        from watchkeeper.loop.tick import judged_window

        merged: dict[Window, Profile] = {}
        spans: dict[Window, timedelta] = {}
        for w in baseline.windows:
            start = datetime.fromtimestamp(w.start_us / 1e6, UTC)
            own = Window(start, datetime.fromtimestamp(w.end_us / 1e6, UTC))
            target = own if model.rows_per_window else judged_window(model, own)
            if own.length > target.length:
                continue
            merged[target] = merged[target].merge(w.profile) if target in merged else w.profile
            spans[target] = spans.get(target, timedelta(0)) + own.length
        # A day of which half is missing is not like the others.
        whole = sorted(w for w in merged if spans[w] >= 0.75 * w.length and merged[w].rows > 0)
        columns = {}
        for name in watched_columns(baseline.schema):
            column = baseline.profile.columns.get(name)
            binning = None if column is None else Binning.of(column)
            if binning is not None and all(name in merged[w].columns for w in whole):
                columns[name] = binning
        return cls(windows=tuple(whole), profiles=tuple(merged[w] for w in whole), binnings=columns)

    def strata(self, season: str, timezone: str) -> list[int] | None:
        """The season of each window; None where there is none."""
        if season == "none":
            return None
        zone = ZoneInfo(timezone)
        starts = [w.start.astimezone(zone).replace(tzinfo=None) for w in self.windows]
        return [int(c) for c in season_codes(np.array(starts, "datetime64[s]"), season)]

    def stratum(self, window: Window, season: str, timezone: str) -> int:
        """The season of one window."""
        start = window.start.astimezone(ZoneInfo(timezone)).replace(tzinfo=None)
        return int(season_codes(np.array([start], "datetime64[s]"), season)[0])


def points_of_table(table: Any, length: timedelta) -> dict[tuple[str, str, str, str], list[Point]]:
    """Series by (measure, subject, segment, version) of the windows of *length*, oldest first."""
    out: dict[tuple[str, str, str, str], list[Point]] = {}
    rows = table.select(
        [
            "measure",
            "subject",
            "segment",
            "version",
            "start",
            "end",
            "value",
            "low",
            "high",
            "margin",
            "rows",
            "reason",
        ]
    ).to_pylist()
    tolerance = timedelta(hours=1) if length >= timedelta(hours=23) else timedelta(0)
    for r in rows:
        window = Window(r["start"], r["end"])
        if abs(window.length - length) > tolerance:
            continue
        point = Point(
            window,
            r["value"],
            r["rows"] or 0,
            r["low"],
            r["high"],
            r["margin"],
            r["reason"] or "",
        )
        out.setdefault((r["measure"], r["subject"], r["segment"], r["version"]), []).append(point)
    for points in out.values():
        points.sort(key=lambda p: p.window)
    return out


def _composites_in_order(rules: Sequence[Rule]) -> list[Rule]:
    """Composite rules, those that others join first."""
    left = {r.name: r for r in rules if isinstance(r.condition, Composite)}
    out: list[Rule] = []
    while left:
        ready = [r for r in left.values() if not any(n in left for n in r.condition.names)]
        out += ready
        for rule in ready:
            del left[rule.name]
        if not ready:
            raise BadInput("Composite rules join each other in a circle.")
    return out


def _document_of(alert: Alert, revision: int, now: datetime) -> Document:
    live = alert.state in (AlertState.FIRING, AlertState.PENDING)
    return Document(
        kind="alert",
        key=alert.fingerprint,
        body=alert.to_body(),
        state=alert.state.value,
        model=alert.model,
        rank=alert.severity.rank + (10 if live and not alert.retrospective else 0),
        updated_at=now,
        revision=revision,
    )


def _alerts_by_name(facts: FactStore, names: set[str]) -> dict[str, tuple[Alert, int]]:
    if len(names) <= 300:
        found = [d for name in sorted(names) if (d := facts.document("alert", name)) is not None]
    else:
        found = [d for d in facts.documents("alert", limit=_ALL, order="key") if d.key in names]
    return {d.key: (Alert.of_body(d.body), d.revision) for d in found}


def _told(
    held: dict[str, tuple[Alert, int]], names: Sequence[str], channels: Sequence[str], now: datetime
) -> list[Document]:
    """The alerts with a line that says who was told."""
    out = []
    for name in names:
        alert, revision = held[name]
        told = with_log(alert, now, _ACTOR, f"Told {', '.join(channels)}.")
        held[name] = (told, revision + 1)
        out.append(_document_of(told, revision, now))
    return out


def _spans(window: Maintenance, now: datetime) -> Maintenance:
    """Work out when a cron line's windows near *now* begin and end."""
    try:
        from cronsim import CronSim, CronSimError
    except ImportError as cause:
        from watchkeeper.errors import MissingExtra

        raise MissingExtra(
            adapter="cron line of a maintenance window", library="cronsim", extra="server"
        ) from cause
    try:
        times = CronSim(
            window.cron, (now - window.duration - timedelta(minutes=1)).astimezone(ZoneInfo(window.timezone))
        )
    except CronSimError as cause:
        raise BadInput(
            f"The maintenance window {window.name!r} has a cron line that cannot be read: {cause}.",
            'For example cron = "0 2 * * SUN".',
        ) from None
    spans = []
    for at in times:
        if at > now:
            break
        begins = at.astimezone(UTC)
        spans.append((begins, begins + window.duration))
    return replace(window, spans=tuple(spans))


def _after(moment: str) -> datetime:
    return datetime.fromisoformat(moment) + timedelta(seconds=1)
