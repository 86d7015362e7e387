"""What does effects of one kind: a notification, a training, a traffic split, an export."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from watchkeeper.domain.effect import Effect, Performed

__all__ = ["Performer"]


class Performer(Protocol):
    """Does effects of one kind. The engine claims, renews, retries and records; a performer only does the thing."""

    def perform(self, effect: Effect) -> Performed | None:
        """Do it, or what is left of it (``effect.progress``); None: it is done.

        It may be asked twice for the same ``effect.key``, after a crash: a receiver that knows keys drops a repeat.
        Raise `StoreUnavailable` where trying again may help (with ``retry_after_s``), and any other error of ours
        where it does not: then the effect is a dead letter. Of an error that is not ours only its type is kept.
        """
        ...

    def given_up(self, effect: Effect, *, now: datetime) -> Sequence[Effect]:
        """What follows when *effect* is dead: further effects, such as a message to somebody else. Known keys are left out."""
        ...
