"""An alert: what changed, since when, for whom, and what was done about it; in that order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b
from typing import Any, NamedTuple

from watchkeeper.domain.rule import Category, Severity

__all__ = ["Alert", "AlertState", "LogEntry", "Story", "Transition", "fingerprint"]


class AlertState(StrEnum):
    """Where an alert stands. Inactive is one that was pending and passed; resolved is one that had fired."""

    INACTIVE = "inactive"
    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


def fingerprint(labels: Mapping[str, str]) -> str:
    """Return the name of the alert with these labels: 16 hexadecimal digits that depend on nothing else.

    >>> fingerprint({"a": "1", "b": "2"}) == fingerprint({"b": "2", "a": "1"})
    True
    """
    text = "\x1e".join(f"{k}\x1f{v}" for k, v in sorted(labels.items()))
    return blake2b(text.encode(), digest_size=8).hexdigest()


class LogEntry(NamedTuple):
    """One line of what was done: who did what, when."""

    at: datetime
    actor: str
    text: str


@dataclass(frozen=True, slots=True)
class Transition:
    """One step of the state machine: ``pending``, ``fired``, ``resolved``, ``dropped``, ``reopened``, ``flapping``,
    ``calmed``, ``corrected``, ``current`` (a retrospective alert that still goes on), ``unacknowledged``."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Story:
    """An alert in words, in the order in which people ask."""

    headline: str
    what: str
    since: str
    whom: str
    done: str

    def lines(self) -> tuple[str, ...]:
        """The four answers, each after its question."""
        return (
            f"What changed: {self.what}",
            f"Since when: {self.since}",
            f"For whom: {self.whom}",
            f"What was done: {self.done}",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """The present state of one alert. Times of windows are event time; ``changed_at`` is the clock's.

    ``labels`` are what routes, silences and inhibitions see. ``what`` is the newest failing evaluation
    (`Evaluation.to_dict`), ``whom`` the segments and columns it shows in, ``log`` what was done.
    """

    fingerprint: str
    labels: Mapping[str, str]
    severity: Severity
    category: Category = Category.RULE
    state: AlertState = AlertState.INACTIVE
    episode: int = 0
    """How often it has fired."""
    since: datetime | None = None
    """When the change began."""
    pending_since: datetime | None = None
    fired_at: datetime | None = None
    """End of the window that made it fire."""
    resolved_at: datetime | None = None
    last_failed: datetime | None = None
    """End of the newest failing window."""
    window_start: datetime | None = None
    window_end: datetime | None = None
    """The newest window that was judged."""
    changed_at: datetime | None = None
    verdict: str = ""
    """Of the newest evaluation."""
    sentence: str = ""
    retrospective: bool = False
    """It is about a window of long ago: nobody is paged for it."""
    passes: int = 0
    """Good windows in a row while it fires."""
    flips: str = ""
    """One letter a judged window, newest last: 1 firing, 0 not; 21 at most."""
    flapping: bool = False
    acknowledged_by: str = ""
    acknowledged_at: datetime | None = None
    acknowledged_note: str = ""
    rule: str = ""
    model: str = ""
    about: str = ""
    runbook: str = ""
    what: Mapping[str, Any] = field(default_factory=dict)
    whom: Mapping[str, Any] = field(default_factory=dict)
    log: tuple[LogEntry, ...] = ()

    @property
    def is_firing(self) -> bool:
        """Whether it fires now."""
        return self.state is AlertState.FIRING
