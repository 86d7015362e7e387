"""The records that several rooms share, and the facts about them. A room's own are declared in that room."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, TypedDict

from watchkeeper.decisions.alerting.grouping import Group
from watchkeeper.domain.alert import Alert, AlertState
from watchkeeper.domain.fact import Document
from watchkeeper.domain.incident import Incident
from watchkeeper.domain.silence import Silence
from watchkeeper.loop.records.facts import FactKind, kinds_of
from watchkeeper.loop.records.records import Kind

# ---- alerts


def _weight(alert: Alert) -> float:
    """What fires, and the grave, on top."""
    live = alert.state in (AlertState.FIRING, AlertState.PENDING)
    return alert.severity.rank + (10 if live and not alert.retrospective else 0)


ALERT = Kind(
    "alert",
    Alert,
    key="fingerprint",
    state="state",
    model="model",
    rank=_weight,
    find_them="watchkeeper alerts list",
)


class AlertMoved(TypedDict, total=False):
    """One step of an alert's state machine, or what somebody did with it (only ``note``)."""

    text: str
    rule: str
    severity: str
    window: str
    retrospective: bool
    state: str
    flapping: bool
    note: str


ALERT_FACTS = kinds_of(
    "alert",
    (
        *(
            "pending",
            "fired",
            "resolved",
            "dropped",
            "reopened",
            "flapping",
            "calmed",
            "corrected",
            "current",
        ),
        *("acknowledged", "unacknowledged"),
    ),
    AlertMoved,
)

# ---- silences


def _of_silence(document: Document) -> Mapping[str, Any]:
    """Matchers are stored as (label, operator, value)."""
    made = [
        m if isinstance(m, Mapping) else dict(zip(("label", "operator", "value"), m))
        for m in document.body["matchers"]
    ]
    return {**document.body, "matchers": made}


SILENCE = Kind(
    "silence",
    Silence,
    key="id",
    state="state",
    due=lambda silence: silence.ends_at if silence.state == "active" else None,
    upgrade=_of_silence,
    find_them="watchkeeper silences list",
)


class SilenceCreated(TypedDict):
    """The whole silence; its matchers as label, operator and value."""

    matchers: list[list[str]]
    author: str
    reason: str
    starts_at: str
    ends_at: str
    created_at: str | None
    details: dict[str, Any]


Moved = TypedDict("Moved", {"from": str, "to": str})


class Mirrored(TypedDict):
    to: str


SILENCE_CREATED = FactKind("silence.created", SilenceCreated)
SILENCE_EXPIRED = FactKind[None]("silence.expired")
SILENCE_CHANGED = FactKind("silence.changed", Moved)
SILENCE_MIRRORED = FactKind("silence.mirrored", Mirrored)

# ---- groups of alerts


def _of_group(document: Document) -> Mapping[str, Any]:
    """Version 0.1.0 stored times in seconds, as ``wait_s``, ``interval_s`` and ``repeat_s``."""
    body = dict(document.body)
    for name in ("wait", "interval", "repeat"):
        if (seconds := body.pop(f"{name}_s", None)) is not None:
            body[name] = timedelta(seconds=seconds)
    return body


GROUP = Kind(
    "group",
    Group,
    key="key",
    state=lambda group: "open" if group.members else "quiet",
    model=lambda group: str(group.labels.get("model", "")),
    due=lambda group: group.due,
    upgrade=_of_group,
)

# ---- incidents

OPEN = ("detection", "assessment", "mitigation", "resolution", "post_mortem")
"""Phases of an incident that somebody still works on."""


def _gravity(incident: Incident) -> float:
    """What goes on on top, then what is still written up; each by how grave it is."""
    live = 10.0 if incident.phase.is_open else 5.0 if incident.phase.value in OPEN else 0.0
    return live + incident.severity.rank


INCIDENT = Kind(
    "incident",
    Incident,
    key="key",
    state="phase",
    model="model",
    rank=_gravity,
    find_them="watchkeeper incidents list",
)
