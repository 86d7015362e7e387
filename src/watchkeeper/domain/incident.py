"""An incident: from the first sign to the last follow-up, with everything that happened on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from watchkeeper.domain.rule import Severity

__all__ = ["Incident", "IncidentTask", "Phase", "Similar", "TimelineEntry", "durations"]


class Phase(StrEnum):
    """Where an incident stands.

    >>> Phase.MITIGATION.is_open, Phase.POST_MORTEM.is_open
    (True, False)
    """

    DETECTION = "detection"
    ASSESSMENT = "assessment"
    MITIGATION = "mitigation"
    RESOLUTION = "resolution"
    POST_MORTEM = "post_mortem"
    CLOSED = "closed"
    MERGED = "merged"
    """It goes on as part of another."""

    @property
    def is_open(self) -> bool:
        """Whether the trouble itself still goes on."""
        return self in (Phase.DETECTION, Phase.ASSESSMENT, Phase.MITIGATION)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEntry:
    """One line of the timeline. Lines are appended; only their pin changes."""

    number: int
    at: datetime
    """When it happened."""
    noted_at: datetime
    """When it was written down; later than ``at`` for what is told afterwards."""
    actor: str
    kind: str
    """``phase``, ``alert``, ``note``, ``task``, ``runbook``, ``role``, ``severity``, ``merge``, ``external``."""
    text: str
    pinned: bool = False
    automatic: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentTask:
    """Something to do: during the incident, or a follow-up that stays open after it."""

    number: int
    text: str
    created_at: datetime
    created_by: str
    owner: str = ""
    due: datetime | None = None
    follow_up: bool = False
    done_at: datetime | None = None
    done_by: str = ""

    @property
    def is_done(self) -> bool:
        """Whether it is done."""
        return self.done_at is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One incident, as it stands now; facts ``incident.*`` say how it came to that.

    ``alerts`` maps fingerprints to their state when last heard of. ``entered`` says when each phase began.
    """

    number: int
    title: str
    severity: Severity
    phase: Phase = Phase.DETECTION
    model: str = ""
    owner: str = ""
    roles: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    group: str = ""
    """What it was grouped by: alerts with the same group join it."""
    started_at: datetime
    """When the trouble began, as far as is known."""
    detected_at: datetime
    acknowledged_at: datetime | None = None
    """When a person first did something about it."""
    entered: Mapping[str, datetime] = field(default_factory=dict)
    alerts: Mapping[str, str] = field(default_factory=dict)
    features: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What it is like: rules, measures, columns, segments; for finding similar ones."""
    timeline: tuple[TimelineEntry, ...] = ()
    tasks: tuple[IncidentTask, ...] = ()
    lessons: tuple[str, ...] = ()
    cause: str = ""
    assessment: Mapping[str, Any] = field(default_factory=dict)
    merged_into: int | None = None
    merged: tuple[int, ...] = ()

    @property
    def key(self) -> str:
        """Its name in the ledger."""
        return str(self.number)

    @property
    def is_firing(self) -> bool:
        """Whether an alert of it still fires."""
        return "firing" in self.alerts.values()

    @property
    def open_follow_ups(self) -> tuple[IncidentTask, ...]:
        """Follow-ups that nobody has done yet."""
        return tuple(t for t in self.tasks if t.follow_up and not t.is_done)


@dataclass(frozen=True, slots=True, kw_only=True)
class Similar:
    """A past incident that looks like this one, and how much (0 to 1)."""

    number: int
    title: str
    likeness: float
    lessons: tuple[str, ...]
    cause: str
    because: tuple[str, ...]


def durations(incident: Incident) -> dict[str, float | None]:
    """Seconds to detect, to acknowledge and to resolve; None for what has not happened."""
    resolved = incident.entered.get(Phase.RESOLUTION.value)
    return {
        "to_detect_s": (incident.detected_at - incident.started_at).total_seconds(),
        "to_acknowledge_s": None
        if incident.acknowledged_at is None
        else (incident.acknowledged_at - incident.detected_at).total_seconds(),
        "to_resolve_s": None if resolved is None else (resolved - incident.detected_at).total_seconds(),
    }
