"""Grouping: many alerts become few messages, and nobody hears the same thing twice without need.

A group waits ``group_wait`` before its first message, so that a storm gathers; ``group_interval`` between messages of
changes; ``repeat_interval`` before it says the same again. What was told is kept in the group, so folding the
same alerts again tells nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from watchkeeper.decisions.alerting.routing import Route, routes_of
from watchkeeper.decisions.alerting.silences import Mute
from watchkeeper.decisions.alerting.story import alert_story, failed_sentence
from watchkeeper.domain.alert import Alert, fingerprint
from watchkeeper.domain.rule import Severity

_LISTED = 20
"""Alerts told in full in one message; the rest are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The alerts of one route with the same labels, and what was told of them.

    ``told`` maps a fingerprint to how it was last told: "firing" or "retrospective".
    """

    key: str
    channels: tuple[str, ...]
    labels: Mapping[str, str]
    wait: timedelta
    interval: timedelta
    repeat: timedelta
    members: frozenset[str] = frozenset()
    told: Mapping[str, str] = field(default_factory=dict)
    due: datetime | None = None
    last_sent: datetime | None = None
    sent: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One notification to be sent to each of ``channels``; ``key`` is the same however often it is worked out."""

    key: str
    group: str
    channels: tuple[str, ...]
    labels: Mapping[str, str]
    status: str
    """"firing" or "resolved"."""
    urgency: str
    """"high" (critical), "normal" (warning), "low" (notices, windows of long ago, all-clears)."""
    severity: str
    """The gravest of what it tells."""
    title: str
    firing: int
    resolved: int
    new: tuple[str, ...]
    """Fingerprints that are told for the first time."""
    alerts: tuple[Mapping[str, Any], ...]
    repeated: bool = False
    can_wait: bool = False
    """Nothing in it is worth waking anybody for: windows of long ago, notices, what somebody has in hand."""

    def to_body(self) -> dict[str, Any]:
        """Plain JSON values for the outbox."""
        return {
            "group": self.group,
            "labels": dict(self.labels),
            "status": self.status,
            "urgency": self.urgency,
            "severity": self.severity,
            "title": self.title,
            "firing": self.firing,
            "resolved": self.resolved,
            "alerts": [dict(a) for a in self.alerts],
            "more": max(0, self.firing + self.resolved - len(self.alerts)),
            "repeat": self.repeated,
            "can_wait": self.can_wait,
        }


def assign(
    changed: Iterable[Alert], routes: Sequence[Route], groups: Mapping[str, Group], *, now: datetime
) -> dict[str, Group]:
    """Put *changed* alerts (fired, resolved, ...) into their groups; return the groups that changed."""
    by_group: dict[str, tuple[Route, dict[str, str], set[str]]] = {}
    for alert in changed:
        labels = alert.labels
        for route in routes_of(labels, routes):
            values = tuple(labels.get(k, "") for k in route.group_by)
            # Alerts of long ago are told apart, so that they never ride on a page.
            apart = "retrospective" if alert.retrospective and "window" in labels else ""
            key = fingerprint({"route": route.name, "values": "\x1f".join(values), "apart": apart})
            if key not in by_group:
                by_group[key] = (route, {k: v for k, v in zip(route.group_by, values) if v}, set())
            by_group[key][2].add(alert.fingerprint)
    out: dict[str, Group] = {}
    for key, (route, shared, members) in by_group.items():
        known = groups.get(key)
        group = known or Group(
            key=key,
            channels=route.channels,
            labels=shared,
            wait=route.group_wait,
            interval=route.group_interval,
            repeat=route.repeat_interval,
        )
        due = now + route.group_wait
        if group.last_sent is not None and group.told:
            due = max(now, group.last_sent + route.group_interval)
        out[key] = replace(
            group,
            channels=route.channels,
            wait=route.group_wait,
            interval=route.group_interval,
            repeat=route.repeat_interval,
            members=group.members | members,
            due=due if group.due is None else min(group.due, due),
        )
    return out


def compose(
    group: Group,
    alerts: Mapping[str, Alert],
    muted: Callable[[Alert], Mute | None],
    *,
    now: datetime,
) -> tuple[Message | None, Group]:
    """Return what *group* has to say at *now* (None: nothing), and the group afterwards.

    Call it when ``group.due`` has come. A group without members and with nothing told is over.
    """
    firing: list[Alert] = []
    held = False
    resolved: list[Alert] = []
    gone: set[str] = set()
    for name in group.members:
        alert = alerts.get(name)
        if alert is None:
            gone.add(name)
        elif alert.is_firing or alert.flapping:
            if name not in group.told and muted(alert) is not None:
                held = True
            else:
                firing.append(alert)
        elif name in group.told:
            # Told as firing, so its end is told too, silenced or not.
            resolved.append(alert)
        else:
            gone.add(name)
    new = [a for a in firing if group.told.get(a.fingerprint) != _told(a)]
    open_repeat = (
        group.last_sent is not None
        and now >= group.last_sent + group.repeat
        and [a for a in firing if not a.acknowledged_by and not a.retrospective and muted(a) is None]
    )
    members = group.members - gone - {a.fingerprint for a in resolved}
    told = {a.fingerprint: _told(a) for a in firing}
    if not new and not resolved and not open_repeat:
        after = replace(group, members=members, told=told)
        return None, replace(after, due=_next(after, now, held))
    message = _message(group, new, firing, resolved, bool(open_repeat) and not new and not resolved)
    after = replace(group, members=members, told=told, last_sent=now, sent=group.sent + 1)
    return message, replace(after, due=_next(after, now, held))


def _told(alert: Alert) -> str:
    return "retrospective" if alert.retrospective else "firing"


def _next(group: Group, now: datetime, held: bool) -> datetime | None:
    """When to look again: sooner while something is muted, since a silence may end."""
    if not group.members:
        return None
    if held:
        return now + group.interval
    return (
        (group.last_sent or now) + group.repeat
        if group.last_sent and group.last_sent + group.repeat > now
        else now + group.repeat
    )


def _message(
    group: Group, new: list[Alert], firing: list[Alert], resolved: list[Alert], repeated: bool
) -> Message:
    loud = [a for a in (firing if repeated else new) if _is_loud(a)]
    urgency = "low"
    if loud:
        urgency = "high" if any(a.severity is Severity.CRITICAL for a in loud) else "normal"
    by_weight = sorted(firing, key=_weight)
    first = {a.fingerprint for a in new}
    told = (
        sorted(by_weight, key=lambda a: a.fingerprint not in first)[:_LISTED]
        if first
        else by_weight[:_LISTED]
    )
    ended = sorted(resolved, key=_weight)[: max(3, _LISTED - len(told))] if resolved else []
    return Message(
        key=f"{group.key}:{group.sent + 1}",
        group=group.key,
        channels=group.channels,
        labels=group.labels,
        status="firing" if firing else "resolved",
        urgency=urgency,
        severity=max((a.severity for a in (firing or resolved)), key=lambda s: s.rank).value,
        title=_title(group, new, firing, resolved, repeated),
        firing=len(firing),
        resolved=len(resolved),
        new=tuple(a.fingerprint for a in new),
        alerts=tuple(_entry(a, new=a.fingerprint in first) for a in (*told, *ended)),
        repeated=repeated,
        can_wait=not loud and not any(map(_is_loud, resolved)),
    )


def _is_loud(alert: Alert) -> bool:
    return not (alert.retrospective or alert.severity is Severity.NOTICE or alert.acknowledged_by)


def _weight(alert: Alert) -> tuple[int, float, str]:
    return -alert.severity.rank, -float(alert.what.get("evidence") or 0.0), alert.fingerprint


def _title(group: Group, new: list[Alert], firing: list[Alert], resolved: list[Alert], repeated: bool) -> str:
    place = ", ".join(group.labels.values()) or "all models"
    if not firing:
        count = len(resolved)
        return f"Resolved: {place}" + (f" ({count} alerts)" if count > 1 else "")
    told = firing if repeated else new or firing
    lead = min(told, key=_weight)
    old = all(a.retrospective for a in told)
    again = "Still: " if repeated else "Looking back: " if old else ""
    what = f"{len(told)} alerts"
    if len(told) == 1:
        what = ("comes and goes: " if lead.flapping else "") + failed_sentence(lead)
    title = f"{again}{place}: {what.rstrip('.')}"
    return title if len(title) <= 200 else title[:197] + "..."


def _entry(alert: Alert, *, new: bool) -> dict[str, Any]:
    story = alert_story(alert)
    return {
        "fingerprint": alert.fingerprint,
        "state": alert.state.value,
        "severity": alert.severity.value,
        "category": alert.category.value,
        "labels": dict(alert.labels),
        "new": new,
        "retrospective": alert.retrospective,
        "flapping": alert.flapping,
        "acknowledged_by": alert.acknowledged_by,
        "headline": story.headline,
        "what": story.what,
        "since": story.since,
        "whom": story.whom,
        "done": story.done,
        "runbook": alert.runbook,
    }
