"""An effect: a thing to be done to the world outside, written down before it is done, under an idempotency key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

__all__ = ["Effect", "EffectState", "Performed"]


class EffectState(StrEnum):
    """Where an effect stands. The stored words are those of notifications, the first kind that there was."""

    WAITING = "waiting"
    """Due at ``due``."""
    PERFORMING = "sending"
    """Claimed until ``due``: a claim that ran out belongs to a process that died, and is taken over."""
    DONE = "sent"
    DEAD = "dead"
    """Refused, or given up after many tries: a dead letter."""
    DROPPED = "dropped"
    """Dead, and given up by somebody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One thing to do. The same ``key`` is the same thing, however often it is asked for."""

    key: str
    lane: str
    """Effects of one kind and lane are performed one after the other, and wait together when one fails (a channel)."""
    created_at: datetime
    kind: str = "notify"
    """Which performer does it."""
    model: str = ""
    state: EffectState = EffectState.WAITING
    due: datetime | None = None
    """When it is looked at next; at once where it is None and it waits."""
    tries: int = 0
    rounds: int = 0
    """How often somebody brought it back from the dead letters."""
    retried_at: datetime | None = None
    last_error: str = ""
    progress: Mapping[str, Any] = field(default_factory=dict)
    """What its performer has done of it so far (each target of a channel)."""
    body: Mapping[str, Any] = field(default_factory=dict)
    """What it is about; never a secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Performed:
    """What became of one try. Without an error it is done."""

    progress: Mapping[str, Any] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    """Part (or "") -> what went wrong; never a secret."""
    again: bool = False
    """Whether trying again may help."""
    wait_s: float | None = None
    """How long the other side asked to be left alone."""
