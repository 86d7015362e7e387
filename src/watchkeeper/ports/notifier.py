"""One way to send people a message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

__all__ = ["Notifier"]


@runtime_checkable
class Notifier(Protocol):
    """One way to tell people. One call sends one message to one target."""

    name: str

    def send(self, message: Mapping[str, Any], *, key: str) -> None:
        """Deliver, or raise `StoreUnavailable` (try again, with ``retry_after_s``) or `BadConfig` (do not).

        *key* is the idempotency key: a receiver that knows keys drops a repeat.

        One that wakes people (a pager, a telephone) may have an attribute ``wakes`` that is true: then it is spared
        what can wait (``can_wait`` of the message).
        """
        ...
