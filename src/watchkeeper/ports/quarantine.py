"""Where events go that cannot be stored: whole, with the reason, until somebody replays or drops them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import pyarrow as pa

    from watchkeeper.ports.origin import Origin

__all__ = ["DeadLetter", "Quarantine"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One event, or one block of a journal, that could not be stored."""

    source: str
    sequence: int
    place: int
    """Where it stood among the events of its flush; the three name it for ever."""
    at: datetime
    """When it was flushed."""
    version: str
    rows: int
    reason: str
    event: bytes
    """As it was in the journal (`watchkeeper.capture.events`)."""

    @property
    def key(self) -> tuple[str, int, int]:
        """Its name."""
        return self.source, self.sequence, self.place


@runtime_checkable
class Quarantine(Protocol):
    """The dead letters of a lake, model by model."""

    def set_aside(self, model: str, letters: Sequence[DeadLetter], *, origin: Origin) -> int:
        """Keep *letters*, exactly once as `watchkeeper.ports.lake.EventLog.append`; return how many were new."""
        ...

    def dead_letters(self, model: str) -> list[DeadLetter]:
        """All that there are, in order of time."""
        ...

    def drop_letters(self, model: str, keys: Iterable[tuple[str, int, int]], *, token: int) -> None:
        """Remove those with these keys; they have been replayed, or nobody wants them."""
        ...

    def refusal(self, model: str, table: str, rows: pa.Table) -> str | None:
        """Why the table could never hold *rows*, tried out on a copy without its rows; None when it could."""
        ...
