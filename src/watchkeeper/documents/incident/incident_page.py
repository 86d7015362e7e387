"""An incident in words: what a page, the terminal and the post-mortem show of it, worked out once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from watchkeeper.domain.incident import Incident, Phase, Similar, TimelineEntry, durations

_PHASES = (
    Phase.DETECTION,
    Phase.ASSESSMENT,
    Phase.MITIGATION,
    Phase.RESOLUTION,
    Phase.POST_MORTEM,
    Phase.CLOSED,
)


def duration_said(seconds: float | None) -> str:
    """A duration with its two largest units.

    >>> duration_said(93_784), duration_said(59), duration_said(None)
    ('1 d 2 h', '59 s', 'not yet')
    """
    if seconds is None:
        return "not yet"
    left = round(seconds)
    parts: list[str] = []
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        count, left = divmod(left, size)
        if count or (parts and unit != "s"):
            parts.append(f"{count} {unit}" if count else "")
        if len(parts) == 2:
            break
    return " ".join(p for p in parts if p) or "0 s"


def timeline_lines(
    incident: Incident, *, pinned_only: bool = False, without_automatic: bool = False
) -> list[TimelineEntry]:
    """The timeline by time; pinned lines only, or without those that no person wrote."""
    lines: Iterable[TimelineEntry] = incident.timeline
    if pinned_only:
        lines = (e for e in lines if e.pinned)
    if without_automatic:
        lines = (e for e in lines if e.pinned or not e.automatic)
    return sorted(lines, key=lambda e: (e.at, e.number))


def incident_view(incident: Incident, similar: Sequence[Similar] = ()) -> dict[str, Any]:
    """Everything that a page shows, as plain values."""
    times = durations(incident)
    firing = sum(state == "firing" for state in incident.alerts.values())
    return {
        "number": incident.number,
        "title": incident.title,
        "severity": incident.severity.value,
        "phase": incident.phase.value,
        "model": incident.model,
        "owner": incident.owner,
        "roles": dict(incident.roles),
        "cause": incident.cause,
        "started_at": _moment(incident.started_at),
        "detected_at": _moment(incident.detected_at),
        "to_detect": duration_said(times["to_detect_s"]),
        "to_acknowledge": duration_said(times["to_acknowledge_s"]),
        "to_resolve": duration_said(times["to_resolve_s"]),
        "durations": times,
        "phases": [
            {"name": p.value, "at": _moment(incident.entered.get(p.value)), "now": p is incident.phase}
            for p in _PHASES
        ],
        "alerts": dict(incident.alerts),
        "firing": firing,
        "assessment": list(incident.assessment.get("sentences", ())),
        "timeline": [
            {
                "number": e.number,
                "at": _moment(e.at),
                "actor": e.actor,
                "kind": e.kind,
                "text": e.text,
                "pinned": e.pinned,
                "automatic": e.automatic,
            }
            for e in timeline_lines(incident)
        ],
        "tasks": [_task(t) for t in incident.tasks if not t.follow_up],
        "follow_ups": [_task(t) for t in incident.tasks if t.follow_up],
        "lessons": list(incident.lessons),
        "similar": [
            {
                "number": s.number,
                "title": s.title,
                "likeness": s.likeness,
                "cause": s.cause,
                "lessons": list(s.lessons),
                "because": list(s.because),
            }
            for s in similar
        ],
        "merged_into": incident.merged_into,
        "merged": list(incident.merged),
    }


def _task(task: Any) -> dict[str, Any]:
    return {
        "number": task.number,
        "text": task.text,
        "owner": task.owner,
        "due": _moment(task.due),
        "done": task.is_done,
        "done_by": task.done_by,
        "done_at": _moment(task.done_at),
    }


def _moment(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M} UTC"
