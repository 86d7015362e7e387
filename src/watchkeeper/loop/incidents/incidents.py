"""Incidents, kept: every change is a fact with its actor, written in one transaction with the incident it changes.

`Incidents.follow` reads what alerts did since it last looked, and opens or feeds incidents; its place in the ledger
is written in the same transaction, so that nothing is taken twice. `Incidents.receive` does the same for alerts of
other systems (`loop.incoming`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict

from watchkeeper.decisions.alerting.story import failed_sentence
from watchkeeper.decisions.incidents.assessment import Assessment, assess
from watchkeeper.decisions.incidents.incidents import (
    AlertSign,
    IncidentPolicy,
    Similar,
    assigned,
    enter,
    features_of,
    fed,
    group_of,
    lessons_for,
    mean_durations,
    merged,
    noted,
    opened,
    pinned,
    ready_to_open,
    similar_to,
    task_added,
    task_done,
    with_lesson,
)
from watchkeeper.domain.alert import Alert
from watchkeeper.domain.fact import Fact
from watchkeeper.domain.incident import Incident, IncidentTask, Phase
from watchkeeper.domain.rule import Severity
from watchkeeper.domain.watched import WatchedModel
from watchkeeper.loop.records.facts import kinds_of
from watchkeeper.loop.records.kinds import ALERT, INCIDENT, OPEN
from watchkeeper.loop.records.records import Kept, Kind, Records, retried, write
from watchkeeper.measures.catalogue import described_measures
from watchkeeper.ports.ledger import FactStore, MeasurementStore

ACTOR = "watchkeeper"
FOLLOWED = ("alert.fired", "alert.reopened", "alert.current", "alert.resolved", "alert.calmed")
PAGE = 1000
LOOK_BACK = timedelta(days=30)
"""How much history an assessment compares with."""
MOST_PAST = 500


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far somebody has followed the facts: the last sequence that was taken."""

    key: str
    after: int = 0


CURSOR = Kind("cursor", Cursor, key="key")

IncidentChanged = TypedDict(
    "IncidentChanged",
    {
        "title": str,
        "lines": list[str],
        "more": int,
        "from": str,
        "to": str,
        "other": int,
        "into": int,
    },
    total=False,
)
"""What a step added: its new lines (``more`` are left out), the phases, the incidents that were merged."""

FACTS = kinds_of(
    "incident",
    (
        *("opened", "fed", "assessed", "mitigated", "resolved", "reviewed", "closed", "moved"),
        *("noted", "cause_found", "learnt", "pinned", "assigned", "task_added", "task_done"),
        *("merged", "merged_away", "runbook_run", "labelled"),
    ),
    IncidentChanged,
)


class Incidents:
    """The incidents of one ledger.

    Parameters
    ----------
    facts, measurements : stores of the ledger; without measurements there are no drafts of assessments.
    models : by name, for owners and the cost of errors.
    policy : when alerts become an incident.
    """

    def __init__(
        self,
        facts: FactStore,
        measurements: MeasurementStore | None = None,
        *,
        models: Mapping[str, WatchedModel] | None = None,
        policy: IncidentPolicy | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._facts, self._measurements, self._clock = facts, measurements, clock
        self._kept, self._alerts = Records(facts, INCIDENT), Records(facts, ALERT)
        self._models, self.policy = dict(models or {}), policy or IncidentPolicy()

    # ---- reading

    def get(self, number: int | str) -> Incident:
        """One incident.

        Raises
        ------
        NotFound
        """
        return self._get(number).value

    def find(
        self, *, states: Sequence[str] = (), model: str | None = None, limit: int = 100, offset: int = 0
    ) -> list[Incident]:
        """Incidents, what is open and grave first; without *states* all of them."""
        found = self._kept.some(states=states, model=model, limit=limit, offset=offset, order="-rank")
        return [kept.value for kept in found]

    def of_alert(self, fingerprint: str) -> Incident | None:
        """The newest incident that an alert belongs to."""
        found = [
            i for i in self.find(limit=MOST_PAST) if fingerprint in i.alerts and i.phase is not Phase.MERGED
        ]
        return max(found, key=lambda i: i.number, default=None)

    def similar(self, number: int | str) -> list[Similar]:
        """Past incidents like this one."""
        own = self.get(number)
        past = [
            i for i in self.find(limit=MOST_PAST) if i.number != own.number and i.phase is not Phase.MERGED
        ]
        return similar_to(own.features, past)

    def lessons(self, labels: Mapping[str, str]) -> list[str]:
        """What was learnt from incidents like an alert with these labels."""
        return lessons_for(features_of(labels), self.find(limit=MOST_PAST))

    def follow_ups(self) -> list[tuple[Incident, IncidentTask]]:
        """Follow-ups that nobody has done yet, of closed incidents too; the oldest first."""
        found = [
            (i, t) for i in self.find(limit=10_000) for t in i.open_follow_ups if i.phase is not Phase.MERGED
        ]
        return sorted(found, key=lambda pair: pair[1].due or pair[1].created_at)

    def figures(self, *, since: datetime | None = None, model: str | None = None) -> dict[str, Any]:
        """MTTD, MTTA, MTTR in seconds, and how many incidents each rests on."""
        every = self.find(model=model, limit=10_000)
        return mean_durations(i for i in every if since is None or i.detected_at >= since)

    # ---- changing

    def open(
        self,
        title: str,
        *,
        actor: str,
        severity: Severity = Severity.WARNING,
        model: str = "",
        labels: Mapping[str, str] | None = None,
        started_at: datetime | None = None,
        text: str = "",
    ) -> Incident:
        """Open an incident by hand."""

        def once() -> Incident:
            now = self._clock()
            new = opened(
                self._next(),
                title=title,
                severity=severity,
                at=now,
                actor=actor,
                model=model,
                labels=labels,
                started_at=started_at,
                text=text,
            )
            new = self._with_owner(new)
            write(
                self._facts,
                [_fact("opened", new, actor, now, {"title": new.title})],
                [INCIDENT.new(new)],
                now=now,
            )
            return new

        return retried(once)

    def _change(
        self,
        number: int | str,
        verb: str,
        actor: str,
        step: Callable[..., Incident],
        *args: Any,
        **options: Any,
    ) -> Incident:
        """Apply a pure *step* (see `decisions.incidents`); one fact ``incident.<verb>`` with its new lines.

        When somebody changes the incident at the same time, the step is done again on what they left.
        """
        now = self._clock()
        return self._kept.change(
            _key(number),
            lambda i: step(i, *args, now=now, actor=actor, **options),
            lambda before, after: _fact(verb, after, actor, now, _told(before, after)),
            now=now,
        )

    def enter(
        self, number: int | str, phase: Phase, *, actor: str, text: str = "", at: datetime | None = None
    ) -> Incident:
        """Go on to *phase*. An assessment writes its first draft itself."""
        draft = self.draft(number) if phase is Phase.ASSESSMENT else None

        def step(incident: Incident, *, now: datetime, actor: str) -> Incident:
            moved = enter(incident, phase, now=now, actor=actor, text=text, at=at)
            return moved if draft is None else _with_draft(moved, draft, now)

        verbs = {
            Phase.ASSESSMENT: "assessed",
            Phase.MITIGATION: "mitigated",
            Phase.RESOLUTION: "resolved",
            Phase.POST_MORTEM: "reviewed",
            Phase.CLOSED: "closed",
        }
        return self._change(number, verbs.get(phase, "moved"), actor, step)

    def note(
        self,
        number: int | str,
        text: str,
        *,
        actor: str,
        at: datetime | None = None,
        pin: bool = False,
        run: str = "",
    ) -> Incident:
        """Add a line, also about earlier (*at*); *run*: it reports this run of a runbook."""
        kind: dict[str, Any] = {"kind": "runbook", "details": {"run": run}} if run else {}
        verb = "runbook_run" if run else "noted"
        return self._change(number, verb, actor, noted, text, at=at, pin=pin, **kind)

    def learn(self, number: int | str, lesson: str, *, actor: str) -> Incident:
        """Keep something learnt; it is shown when a similar alert fires."""
        return self._change(number, "learnt", actor, with_lesson, lesson)

    def find_cause(self, number: int | str, cause: str, *, actor: str) -> Incident:
        """Say what caused it."""
        return self._change(number, "cause_found", actor, assigned, cause=cause)

    def pin(self, number: int | str, line: int, *, actor: str, on: bool = True) -> Incident:
        """Pin a line of the timeline, so that it stands in summaries; or take the pin off."""
        return self._change(number, "pinned", actor, lambda i, **_: pinned(i, line, pin=on))

    def assign(
        self,
        number: int | str,
        *,
        actor: str,
        owner: str | None = None,
        roles: Mapping[str, str] | None = None,
        severity: Severity | None = None,
        title: str | None = None,
    ) -> Incident:
        """Set owner, roles (role -> person; an empty name takes it away), severity or title."""

        def step(incident: Incident, *, now: datetime, actor: str) -> Incident:
            new = assigned(incident, now=now, actor=actor, owner=owner, severity=severity, title=title)
            for role, person in (roles or {}).items():
                new = assigned(new, now=now, actor=actor, role=role, person=person)
            return new

        return self._change(number, "assigned", actor, step)

    def label(self, number: int | str, labels: Mapping[str, str], *, actor: str) -> Incident:
        """Add labels, with a line that says which."""
        said = ", ".join(f"{k}={v}" for k, v in labels.items())

        def step(incident: Incident, *, now: datetime, actor: str) -> Incident:
            labelled = replace(incident, labels={**incident.labels, **labels})
            return noted(labelled, f"Labels: {said}.", now=now, actor=actor)

        return self._change(number, "labelled", actor, step)

    def add_task(
        self,
        number: int | str,
        text: str,
        *,
        actor: str,
        owner: str = "",
        due: datetime | None = None,
        follow_up: bool = False,
    ) -> Incident:
        """Add a task, or a follow-up that stays open after the incident until it is done."""
        options = {"owner": owner, "due": due, "follow_up": follow_up}
        return self._change(number, "task_added", actor, task_added, text, **options)

    def finish_task(self, number: int | str, task: int, *, actor: str) -> Incident:
        """A task or follow-up is done; also after the incident was closed."""
        return self._change(number, "task_done", actor, task_done, task)

    def merge(self, into: int | str, other: int | str, *, actor: str) -> Incident:
        """Make *other* part of *into*, both in one transaction."""

        def once() -> Incident:
            a, b = self._get(into), self._get(other)
            now = self._clock()
            whole, gone = merged(a.value, b.value, now=now, actor=actor)
            facts = [
                _fact("merged", whole, actor, now, {"other": gone.number}),
                _fact("merged_away", gone, actor, now, {"into": whole.number}),
            ]
            write(self._facts, facts, [a.to(whole), b.to(gone)], now=now)
            return whole

        return retried(once)

    # ---- the draft of an assessment

    def draft(self, number: int | str) -> Assessment:
        """What the measurements say of this incident now."""
        incident = self.get(number)
        if self._measurements is None or not incident.model:
            return assess([], since=incident.started_at, measures={})
        since = incident.started_at
        names = list(incident.alerts)[:200]
        found = self._alerts.named(names)
        alerts = [found[name].value for name in names if name in found]
        known = [a.since for a in alerts if a.since is not None and not a.retrospective]
        since = min([since, *known])
        table = self._measurements.table(
            incident.model, start=since - LOOK_BACK, end=self._clock() + timedelta(days=1)
        )
        wanted = ("measure", "subject", "segment", "version", "start", "end", "value", "margin", "rows")
        rows = table.select(list(wanted)).to_pylist()
        segments = [a.labels["segment"] for a in alerts if a.labels.get("segment")]
        segments += [str(s["segment"]) for a in alerts for s in a.whom.get("segments", ())]
        columns = [a.labels["column"] for a in alerts if a.labels.get("column")]
        columns += [str(c["column"]) for a in alerts for c in a.whom.get("columns", ())]
        changes = [
            {"at": f.at, "text": f.kind.replace(".", " was ").replace("_", " "), "by": f.actor}
            for f in self._facts.facts(
                kinds=["baseline.set", "rollout.*", "version.*"],
                model=incident.model,
                newest_first=True,
                limit=50,
            )
        ]
        model = self._models.get(incident.model)
        return assess(
            rows,
            since=since,
            measures=described_measures(),
            columns=tuple(dict.fromkeys(columns)),
            segments=tuple(dict.fromkeys(segments)),
            changes=changes,
            cost_of_errors=model.cost_of_errors if model else {},
            currency=model.currency if model else "",
        )

    # ---- from alerts

    def follow(self) -> int:
        """Take what alerts did since the last time; return how many incidents were opened or fed."""
        changed = 0
        for _ in range(10_000):
            taken, touched = self._follow_page()
            changed += touched
            if taken < PAGE:
                break
        return changed

    def _follow_page(self) -> tuple[int, int]:
        def once() -> tuple[int, int]:
            place = Records(self._facts, CURSOR).get("incidents") or CURSOR.new(Cursor("incidents"))
            news = self._facts.facts(after=place.value.after, kinds=FOLLOWED, limit=PAGE)
            if not news:
                return 0, 0
            alerts = self._alerts.named({f.subject for f in news})
            signs = [_told_by(f, alerts[f.subject].value) for f in news if f.subject in alerts]
            last = place.to(replace(place.value, after=news[-1].sequence))
            return len(news), self._take(signs, [last])

        return retried(once)

    def receive(self, signs: Sequence[AlertSign]) -> list[Incident]:
        """Take alerts of another system; return the incidents that they opened or fed."""
        retried(lambda: self._take(signs, []))
        names = {s.fingerprint for s in signs}
        return [i for i in self.find(states=OPEN, limit=MOST_PAST) if names & set(i.alerts)]

    def _take(self, signs: Sequence[AlertSign], also: list[Kept[Any]]) -> int:
        now = self._clock()
        before = {kept.value.number: kept for kept in self._kept.all(states=OPEN)}
        held = {number: kept.value for number, kept in before.items()}
        now_firing: dict[str, dict[str, AlertSign]] = {}
        next_number = self._next()
        for sign in signs:
            group = _group(sign, self.policy)
            waiting = now_firing.setdefault(group, {})
            waiting[sign.fingerprint] = sign
            target = next(
                (n for n, i in held.items() if sign.fingerprint in i.alerts),
                next((n for n, i in held.items() if i.group == group and _takes_more(i)), None),
            )
            if target is None and sign.state == "firing" and not sign.retrospective:
                known = self._waiting(group, waiting, now)
                if ready_to_open(known, self.policy, now):
                    new = self._opened(next_number, known, group, now)
                    held[next_number], target = new, next_number
                    next_number += 1
                    for other in known:
                        if other.fingerprint != sign.fingerprint:
                            held[target] = fed(held[target], other, policy=self.policy, now=now)
            if target is not None:
                held[target] = fed(held[target], sign, policy=self.policy, now=now)
        facts, records = [], list(also)
        for number, incident in held.items():
            old = before.get(number)
            if old is not None and old.value == incident:
                continue
            told = IncidentChanged() if old is None else _told(old.value, incident)
            verb = "opened" if old is None else "fed"
            facts.append(_fact(verb, incident, ACTOR, now, {"title": incident.title, **told}))
            records.append(INCIDENT.new(incident) if old is None else old.to(incident))
        write(self._facts, facts, records, now=now)
        return len(facts)

    def _waiting(self, group: str, known: Mapping[str, AlertSign], now: datetime) -> list[AlertSign]:
        """Firing alerts of the group: those of this page, and those in the ledger that opened nothing yet."""
        firing = {k: s for k, s in known.items() if s.state == "firing"}
        if self.policy.open_after > len(firing):
            for kept in self._alerts.some(states=("firing",), limit=1000):
                alert = kept.value
                if group_of(alert.labels, self.policy) == group and kept.key not in known:
                    firing[kept.key] = _sign_of(alert, alert.changed_at or now)
        return list(firing.values())

    def _opened(self, number: int, signs: Sequence[AlertSign], group: str, now: datetime) -> Incident:
        lead = max(signs, key=lambda s: (s.severity.rank, -s.at.timestamp()))
        began = min([s.since for s in signs if s.since is not None] or [now])
        new = opened(
            number,
            title=lead.text.rstrip("."),
            severity=lead.severity,
            at=now,
            actor=ACTOR,
            model=lead.labels.get("model", ""),
            labels={
                k: v for k, v in lead.labels.items() if k in ("model", "team", "segment", "rule", "alertname")
            },
            group=group,
            started_at=min(began, now),
            text=f"Opened by {len(signs)} alert{'s' if len(signs) > 1 else ''}.",
        )
        return self._with_owner(new)

    def _with_owner(self, incident: Incident) -> Incident:
        model = self._models.get(incident.model)
        return replace(incident, owner=model.owner) if model and model.owner else incident

    def _next(self) -> int:
        newest = self._kept.count()
        while self._kept.get(str(newest + 1)) is not None:
            newest += 1
        return newest + 1

    def _get(self, number: int | str) -> Kept[Incident]:
        return self._kept.of(_key(number))


def _key(number: int | str) -> str:
    return str(number).lstrip("#")


def _group(sign: AlertSign, policy: IncidentPolicy) -> str:
    """By the policy's labels; what has none of them by the group that its own system gave it."""
    if any(sign.labels.get(k) for k in policy.group_by):
        return group_of(sign.labels, policy)
    return sign.group or f"alert={sign.fingerprint}"


def _told_by(fact: Fact, alert: Alert) -> AlertSign:
    """What a fact said of an alert then; the rest as the alert stands now. One that comes and goes counts as firing."""
    over = fact.kind == "alert.resolved" and not fact.body.get("flapping")
    if fact.kind == "alert.calmed":
        over = fact.body.get("state") != "firing"
    state = "resolved" if over else "firing"
    return replace(_sign_of(alert, fact.at), state=state)


def _takes_more(incident: Incident) -> bool:
    return incident.phase.is_open or incident.phase is Phase.RESOLUTION


def _sign_of(alert: Alert, at: datetime) -> AlertSign:
    features = {k: list(v) for k, v in features_of(alert.labels).items()}
    features["columns"] = [
        *features.get("columns", []),
        *(str(c["column"]) for c in alert.whom.get("columns", ())),
    ]
    features["segments"] = [
        *features.get("segments", []),
        *(str(s["segment"]) for s in alert.whom.get("segments", ())),
    ]
    return AlertSign(
        fingerprint=alert.fingerprint,
        state="firing" if alert.is_firing else "resolved",
        at=at,
        labels=alert.labels,
        severity=alert.severity,
        # What it fired on; its last evaluation may only say that newer windows still wait for outcomes.
        text=failed_sentence(alert) or alert.rule or alert.fingerprint,
        since=alert.since,
        retrospective=alert.retrospective,
        features={k: tuple(dict.fromkeys(v)) for k, v in features.items() if v},
    )


def _with_draft(incident: Incident, draft: Assessment, now: datetime) -> Incident:
    told = replace(incident, assessment=draft.to_dict())
    return noted(
        told,
        "First draft of the assessment. " + " ".join(draft.sentences),
        now=now,
        actor=ACTOR,
        pin=True,
        kind="note",
    )


def _told(before: Incident, after: Incident) -> IncidentChanged:
    """What a change added, for the fact."""
    lines = after.timeline[len(before.timeline) :]
    out: IncidentChanged = {"lines": [e.text for e in lines[:20]]}
    if before.phase is not after.phase:
        out.update({"from": before.phase.value, "to": after.phase.value})
    if len(lines) > 20:
        out["more"] = len(lines) - 20
    return out


def _fact(verb: str, incident: Incident, actor: str, now: datetime, body: IncidentChanged) -> Fact:
    return FACTS[verb](body, at=now, actor=actor, model=incident.model, subject=incident.key)
