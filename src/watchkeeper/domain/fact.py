"""What happened, who did it, when: the ledger's one kind of truth, and the documents folded from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from watchkeeper.errors import BadInput

__all__ = ["Document", "Fact", "Lease"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One thing that happened. Facts are appended, never changed.

    ``kind`` is ``thing.verb`` in the past tense (``alert.fired``, ``incident.opened``, ``window.measured``).
    ``key`` makes it idempotent: a second fact with the same key is not appended. ``body`` holds plain JSON
    values, and never a secret.
    """

    kind: str
    at: datetime
    actor: str
    model: str = ""
    subject: str = ""
    body: Mapping[str, Any] = field(default_factory=dict)
    key: str | None = None
    sequence: int = 0
    """The place in the ledger, from 1; 0 before it is appended."""

    def __post_init__(self) -> None:
        if self.at.tzinfo is None:
            raise BadInput(f"The fact {self.kind!r} has a time without a zone: {self.at}.")
        object.__setattr__(self, "at", self.at.astimezone(UTC))


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """The present state of one thing, folded from facts and written in the same transaction as they are.

    ``kind`` and ``key`` name it (``alert``/fingerprint, ``incident``/number, ``silence``, ``outbox``, ...).
    ``state``, ``model`` and ``rank`` are indexed, so that lists of tens of thousands page quickly.
    ``revision`` is for compare-and-swap: a write with another revision than the stored one is a `Conflict`.
    """

    kind: str
    key: str
    body: Mapping[str, Any]
    state: str = ""
    model: str = ""
    rank: float = 0.0
    due: datetime | None = None
    """When somebody has to look at it again (an outbox entry's next try, a silence's expiry)."""
    updated_at: datetime | None = None
    revision: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to be the only one to do something, until ``expires_at``.

    ``token`` grows with each holder: a write that carries an older token than the ledger has seen is refused.
    """

    name: str
    holder: str
    token: int
    expires_at: datetime
