"""Incidents, decided: which steps there are, which alerts belong together, what is similar. Pure.

An incident goes detection, assessment, mitigation, resolution, post-mortem, closed. Steps may be left out forwards
(a false alarm is resolved at once), never backwards, but for trouble that comes back: from resolution or
post-mortem to assessment. The time of a step lies after the time of the one before it, and not in the future.

Figures (the definitions vary, so these are ours)
-------------------------------------------------
- time to detect: from the start of the trouble to the incident (MTTD is its mean);
- time to acknowledge: from the incident to the first thing a person did (MTTA);
- time to resolve: from the incident to its resolution (MTTR).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from watchkeeper.domain.incident import Incident, IncidentTask, Phase, Similar, TimelineEntry, durations
from watchkeeper.domain.rule import Severity
from watchkeeper.errors import BadInput, BadTransition, NotFound, nearest

NEXT: Mapping[Phase, tuple[Phase, ...]] = {
    Phase.DETECTION: (Phase.ASSESSMENT, Phase.MITIGATION, Phase.RESOLUTION),
    Phase.ASSESSMENT: (Phase.MITIGATION, Phase.RESOLUTION),
    Phase.MITIGATION: (Phase.RESOLUTION, Phase.ASSESSMENT),
    Phase.RESOLUTION: (Phase.POST_MORTEM, Phase.CLOSED, Phase.ASSESSMENT),
    Phase.POST_MORTEM: (Phase.CLOSED, Phase.ASSESSMENT),
    Phase.CLOSED: (),
    Phase.MERGED: (),
}
"""Phase -> where it may go."""

_WEIGHTS = {"rules": 3.0, "measures": 2.0, "columns": 3.0, "segments": 2.0, "model": 2.0}
MOST_ENTRIES = 2_000
"""Lines of a timeline; what is automatic is left out past it."""
_AUTOMATIC = frozenset({"watchkeeper"})


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentPolicy:
    """When alerts become an incident, and which belong to the same."""

    open_after: int = 1
    """Alerts of one group, all firing within ``within``, that it takes."""
    within: timedelta = timedelta(hours=24)
    least: Severity = Severity.WARNING
    """Quieter alerts open nothing, but join what is open."""
    group_by: tuple[str, ...] = ("model",)
    resolve_with_alerts: bool = False
    """Whether the end of its last alert resolves an incident that nobody has touched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertSign:
    """What an incident wants to know of an alert, ours or another system's."""

    fingerprint: str
    state: str
    """``firing`` or ``resolved``."""
    at: datetime
    labels: Mapping[str, str]
    severity: Severity
    text: str
    since: datetime | None = None
    retrospective: bool = False
    source: str = "watchkeeper"
    group: str = ""
    """How its own system grouped it; used where the policy's labels are missing."""
    features: Mapping[str, tuple[str, ...]] | None = None


def group_of(labels: Mapping[str, str], policy: IncidentPolicy) -> str:
    """The name of the group that an alert belongs to.

    >>> group_of({"model": "churn", "column": "age"}, IncidentPolicy())
    'model=churn'
    """
    return ",".join(f"{k}={labels.get(k, '')}" for k in policy.group_by)


def ready_to_open(signs: Sequence[AlertSign], policy: IncidentPolicy, now: datetime) -> bool:
    """Whether these firing alerts of one group are enough for an incident."""
    loud = {
        s.fingerprint
        for s in signs
        if s.state == "firing"
        and not s.retrospective
        and s.severity.rank >= policy.least.rank
        and now - s.at <= policy.within
    }
    return len(loud) >= max(1, policy.open_after)


def opened(
    number: int,
    *,
    title: str,
    severity: Severity,
    at: datetime,
    actor: str,
    model: str = "",
    labels: Mapping[str, str] | None = None,
    group: str = "",
    started_at: datetime | None = None,
    text: str = "",
) -> Incident:
    """A new incident, by hand or for the first sign of something.

    Raises
    ------
    BadInput
        it has no title, or began after it was detected.
    """
    if not title.strip():
        raise BadInput("An incident needs a title.", "Say in a few words what is wrong.")
    began = started_at or at
    if began > at:
        raise BadInput(
            f"It cannot have begun ({began:%Y-%m-%d %H:%M}) after it was detected ({at:%Y-%m-%d %H:%M})."
        )
    new = Incident(
        number=number,
        title=title.strip(),
        severity=severity,
        model=model,
        labels=dict(labels or {}),
        group=group,
        started_at=began,
        detected_at=at,
        entered={Phase.DETECTION.value: at},
        features={"model": (model,)} if model else {},
    )
    new = _line(new, at, actor, "phase", text or "Opened.", at=at)
    return new if actor in _AUTOMATIC else replace(new, acknowledged_at=at)


def enter(
    incident: Incident, to: Phase, *, now: datetime, actor: str, text: str = "", at: datetime | None = None
) -> Incident:
    """Go on to phase *to*, which began at *at* (now, unless it is told afterwards).

    Raises
    ------
    BadTransition
        there is no such step, or its time lies before the phase that it follows, or in the future.
    """
    when = at or now
    if to not in NEXT[incident.phase]:
        can = ", ".join(p.value for p in NEXT[incident.phase]) or "nothing more"
        raise BadTransition(
            f"Incident {incident.number} is in {incident.phase.value} and cannot go to {to.value}.",
            f"From there it can go to: {can}.",
        )
    before = incident.entered.get(incident.phase.value, incident.detected_at)
    if when > now:
        raise BadTransition(f"{to.value} cannot begin in the future ({when:%Y-%m-%d %H:%M} UTC).")
    if when < before:
        raise BadTransition(
            f"{to.value} cannot begin at {when:%Y-%m-%d %H:%M} UTC, before {incident.phase.value} did "
            f"({before:%Y-%m-%d %H:%M} UTC)."
        )
    back = to is Phase.ASSESSMENT and not incident.phase.is_open
    entered = {**incident.entered, to.value: when}
    if back:
        entered.pop(Phase.RESOLUTION.value, None)
        entered.pop(Phase.POST_MORTEM.value, None)
    said = text or ("It came back." if back else f"{to.value.replace('_', '-').capitalize()} began.")
    moved = replace(incident, phase=to, entered=entered)
    moved = _line(moved, now, actor, "phase", said, at=when, details={"phase": to.value})
    return _touched(moved, actor, when)


def noted(
    incident: Incident,
    text: str,
    *,
    now: datetime,
    actor: str,
    at: datetime | None = None,
    pin: bool = False,
    kind: str = "note",
    details: Mapping[str, Any] | None = None,
) -> Incident:
    """Add a line, also one about earlier (*at*).

    Raises
    ------
    BadInput
        it is empty, or about the future.
    """
    if not text.strip():
        raise BadInput("A note needs a text.")
    if at is not None and at > now:
        raise BadInput(f"A note cannot be about the future ({at:%Y-%m-%d %H:%M} UTC).")
    return _touched(
        _line(incident, now, actor, kind, text.strip(), at=at or now, pinned=pin, details=details), actor, now
    )


def pinned(incident: Incident, line: int, *, pin: bool = True) -> Incident:
    """Pin a line, so that it stands in the summary; or take the pin off.

    Raises
    ------
    NotFound
        there is no such line.
    """
    if line not in {e.number for e in incident.timeline}:
        raise NotFound(f"Incident {incident.number} has no line {line}.")
    return replace(
        incident,
        timeline=tuple(replace(e, pinned=pin) if e.number == line else e for e in incident.timeline),
    )


def assigned(
    incident: Incident,
    *,
    now: datetime,
    actor: str,
    owner: str | None = None,
    role: str | None = None,
    person: str = "",
    severity: Severity | None = None,
    title: str | None = None,
    cause: str | None = None,
) -> Incident:
    """Set owner, a role, severity, title or cause; each change is a line."""
    new = incident
    if owner is not None and owner != incident.owner:
        new = _line(replace(new, owner=owner), now, actor, "role", f"Owner: {owner or 'nobody'}.")
    if role is not None:
        roles = {k: v for k, v in {**new.roles, role: person}.items() if v}
        new = _line(replace(new, roles=roles), now, actor, "role", f"{role}: {person or 'nobody'}.")
    if severity is not None and severity is not incident.severity:
        said = f"Severity: {incident.severity.value} to {severity.value}."
        new = _line(replace(new, severity=severity), now, actor, "severity", said)
    if title is not None and title.strip() and title != incident.title:
        new = _line(replace(new, title=title.strip()), now, actor, "note", f"Renamed: {title.strip()}")
    if cause is not None and cause != incident.cause:
        new = _line(replace(new, cause=cause), now, actor, "note", f"Cause: {cause}", pinned=True)
    return _touched(new, actor, now)


def task_added(
    incident: Incident,
    text: str,
    *,
    now: datetime,
    actor: str,
    owner: str = "",
    due: datetime | None = None,
    follow_up: bool = False,
) -> Incident:
    """Add a task, or a follow-up that stays open until it is done."""
    if not text.strip():
        raise BadInput("A task needs a text.")
    task = IncidentTask(
        number=len(incident.tasks) + 1,
        text=text.strip(),
        created_at=now,
        created_by=actor,
        owner=owner,
        due=due,
        follow_up=follow_up,
    )
    word = "Follow-up" if follow_up else "Task"
    new = replace(incident, tasks=(*incident.tasks, task))
    return _touched(_line(new, now, actor, "task", f"{word} {task.number}: {task.text}"), actor, now)


def task_done(incident: Incident, number: int, *, now: datetime, actor: str) -> Incident:
    """A task is done.

    Raises
    ------
    NotFound
        there is no such task.
    BadTransition
        it was done before.
    """
    task = next((t for t in incident.tasks if t.number == number), None)
    if task is None:
        raise NotFound(f"Incident {incident.number} has no task {number}.")
    if task.is_done:
        raise BadTransition(f"Task {number} was done by {task.done_by} already.")
    done = replace(task, done_at=now, done_by=actor)
    tasks = tuple(done if t.number == number else t for t in incident.tasks)
    return _line(replace(incident, tasks=tasks), now, actor, "task", f"Done: {task.text}")


def with_lesson(incident: Incident, lesson: str, *, now: datetime, actor: str) -> Incident:
    """Keep something learnt; it is shown when a similar alert fires."""
    if not lesson.strip():
        raise BadInput("A lesson needs a text.")
    if lesson.strip() in incident.lessons:
        return incident
    new = replace(incident, lessons=(*incident.lessons, lesson.strip()))
    return _line(new, now, actor, "note", f"Learnt: {lesson.strip()}", pinned=True)


def fed(incident: Incident, sign: AlertSign, *, policy: IncidentPolicy, now: datetime) -> Incident:
    """An alert of its group fired or resolved. The same news twice changes nothing."""
    if incident.alerts.get(sign.fingerprint) == sign.state:
        return incident
    new = replace(
        incident,
        alerts={**incident.alerts, sign.fingerprint: sign.state},
        features=_features(incident.features, sign),
    )
    word = "Fired" if sign.state == "firing" else "Resolved"
    new = _line(
        new,
        now,
        sign.source,
        "alert",
        f"{word}: {sign.text}",
        at=min(sign.at, now),
        automatic=True,
        details={"fingerprint": sign.fingerprint},
    )
    if sign.state == "firing":
        if sign.since is not None and sign.since < new.started_at and not sign.retrospective:
            new = replace(new, started_at=sign.since)
        if sign.severity.rank > new.severity.rank:
            said = f"Severity: {new.severity.value} to {sign.severity.value}, by an alert."
            new = _line(
                replace(new, severity=sign.severity), now, sign.source, "severity", said, automatic=True
            )
        if new.phase is Phase.RESOLUTION:
            new = enter(
                new, Phase.ASSESSMENT, now=now, actor="watchkeeper", text="An alert of it fires again."
            )
    elif not new.is_firing and new.phase.is_open:
        if policy.resolve_with_alerts and new.acknowledged_at is None:
            new = enter(
                new, Phase.RESOLUTION, now=now, actor="watchkeeper", text="Its last alert has resolved."
            )
        else:
            new = _line(new, now, "watchkeeper", "alert", "No alert of it fires any more.", automatic=True)
    return new


def merged(into: Incident, other: Incident, *, now: datetime, actor: str) -> tuple[Incident, Incident]:
    """Make *other* part of *into*: its alerts, lines, tasks and lessons go along.

    Raises
    ------
    BadTransition
        they are the same, or one has been merged or closed already.
    """
    if into.number == other.number:
        raise BadTransition("An incident cannot be merged into itself.")
    for one in (into, other):
        if one.phase in (Phase.CLOSED, Phase.MERGED):
            raise BadTransition(f"Incident {one.number} is {one.phase.value} and cannot be merged.")
    alerts = {**into.alerts}
    for name, state in other.alerts.items():
        if alerts.get(name) != "firing":
            alerts[name] = state
    lines = sorted((*into.timeline, *other.timeline), key=lambda e: (e.at, e.noted_at))
    first = len(into.tasks)
    tasks = (*into.tasks, *(replace(t, number=first + i) for i, t in enumerate(other.tasks, 1)))
    acted = [t for t in (into.acknowledged_at, other.acknowledged_at) if t is not None]
    whole = replace(
        into,
        severity=max(into.severity, other.severity, key=lambda s: s.rank),
        started_at=min(into.started_at, other.started_at),
        detected_at=min(into.detected_at, other.detected_at),
        entered={**into.entered, Phase.DETECTION.value: min(into.detected_at, other.detected_at)},
        acknowledged_at=min(acted) if acted else None,
        alerts=alerts,
        features={
            k: tuple(dict.fromkeys((*into.features.get(k, ()), *other.features.get(k, ()))))
            for k in {*into.features, *other.features}
        },
        timeline=tuple(replace(e, number=i) for i, e in enumerate(lines, 1)),
        tasks=tasks,
        lessons=tuple(dict.fromkeys((*into.lessons, *other.lessons))),
        merged=(*into.merged, other.number, *other.merged),
    )
    whole = _line(
        whole, now, actor, "merge", f"Incident {other.number} ({other.title}) was merged into this one."
    )
    gone = replace(other, phase=Phase.MERGED, merged_into=into.number)
    gone = _line(gone, now, actor, "merge", f"Merged into incident {into.number} ({into.title}).")
    return _touched(whole, actor, now), gone


def similar_to(
    features: Mapping[str, Sequence[str]], past: Iterable[Incident], *, limit: int = 3, least: float = 0.3
) -> list[Similar]:
    """Past incidents by likeness: the weighted share of rules, measures, columns, segments and model in common.

    For each feature its Jaccard index; features that neither has do not count.
    """
    out = []
    for other in past:
        score = weight = 0.0
        because = []
        for name, w in _WEIGHTS.items():
            a, b = set(features.get(name, ())), set(other.features.get(name, ()))
            if a | b:
                both = a & b
                weight += w
                score += w * len(both) / len(a | b)
                because += sorted(both)
        likeness = score / weight if weight else 0.0
        if likeness >= least:
            out.append(
                Similar(
                    number=other.number,
                    title=other.title,
                    likeness=round(likeness, 3),
                    lessons=other.lessons,
                    cause=other.cause,
                    because=tuple(dict.fromkeys(because)),
                )
            )
    return sorted(out, key=lambda s: (-s.likeness, -s.number))[:limit]


def lessons_for(
    features: Mapping[str, Sequence[str]], past: Iterable[Incident], *, limit: int = 3
) -> list[str]:
    """What was learnt from similar incidents, the most similar first."""
    found = similar_to(features, (p for p in past if p.lessons), limit=limit)
    return list(dict.fromkeys(f"{lesson} (incident {s.number})" for s in found for lesson in s.lessons))[
        :limit
    ]


def mean_durations(incidents: Iterable[Incident]) -> dict[str, Any]:
    """MTTD, MTTA and MTTR in seconds, each with how many incidents it rests on; merged ones do not count."""
    every = [durations(i) for i in incidents if i.phase is not Phase.MERGED]
    out: dict[str, Any] = {"incidents": len(every)}
    for name, key in (("mttd", "to_detect_s"), ("mtta", "to_acknowledge_s"), ("mttr", "to_resolve_s")):
        known = [d[key] for d in every if d[key] is not None]
        out[f"{name}_s"] = sum(x for x in known if x is not None) / len(known) if known else None
        out[f"{name}_of"] = len(known)
    return out


def phase_of(text: str) -> Phase:
    """Read a phase.

    >>> phase_of("post-mortem").value
    'post_mortem'
    """
    word = text.strip().lower().replace("-", "_")
    try:
        return Phase(word)
    except ValueError:
        known = [p.value for p in Phase]
        raise BadInput(
            f"There is no phase {text!r}.{nearest(word, known)}", f"Known: {', '.join(known)}."
        ) from None


def features_of(labels: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """What an alert with these labels is like."""
    names = {
        "rules": labels.get("rule") or labels.get("alertname"),
        "measures": labels.get("measure"),
        "columns": labels.get("column") or labels.get("subject"),
        "segments": labels.get("segment"),
        "model": labels.get("model"),
    }
    return {k: (v,) for k, v in names.items() if v}


def _features(known: Mapping[str, tuple[str, ...]], sign: AlertSign) -> dict[str, tuple[str, ...]]:
    new = sign.features if sign.features is not None else features_of(sign.labels)
    return {
        k: tuple(dict.fromkeys((*known.get(k, ()), *new.get(k, ()))))[:200] for k in sorted({*known, *new})
    }


def _touched(incident: Incident, actor: str, at: datetime) -> Incident:
    """The first thing that a person does acknowledges it."""
    if incident.acknowledged_at is not None or actor in _AUTOMATIC:
        return incident
    return replace(incident, acknowledged_at=max(at, incident.detected_at))


def _line(
    incident: Incident,
    now: datetime,
    actor: str,
    kind: str,
    text: str,
    *,
    at: datetime | None = None,
    pinned: bool = False,
    automatic: bool | None = None,
    details: Mapping[str, Any] | None = None,
) -> Incident:
    own = actor in _AUTOMATIC if automatic is None else automatic
    if own and len(incident.timeline) >= MOST_ENTRIES:
        return incident
    entry = TimelineEntry(
        number=len(incident.timeline) + 1,
        at=at or now,
        noted_at=now,
        actor=actor,
        kind=kind,
        text=text,
        pinned=pinned,
        automatic=own,
        details=dict(details or {}),
    )
    return replace(incident, timeline=(*incident.timeline, entry))
