"""What decides on what was measured: the judges of a watch, and what they are given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from watchkeeper.domain.fact import Lease
from watchkeeper.domain.series import PlacedMeasurement
from watchkeeper.domain.watched import WatchedModel
from watchkeeper.domain.window import Window
from watchkeeper.ports.ledger import Ledger

if TYPE_CHECKING:
    from watchkeeper.stats.states.baseline import Baseline
    from watchkeeper.stats.states.profile import Profile

__all__ = ["Judge", "JudgedWindow", "Watching"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedWindow:
    """One measured window of one model, for rules to be held against."""

    ledger: Ledger
    model: WatchedModel
    window: Window
    measurements: Sequence[PlacedMeasurement]
    """Of the window and its versions and segments."""
    now: datetime
    profiles: Mapping[tuple[str, str], Profile] = field(default_factory=dict)
    """By version and segment; those that have rows."""
    baseline: Baseline | None = None
    mature: bool = True
    """Whether enough of its outcomes have come."""
    read: Callable[[Window, Sequence[str]], Iterable[Any]] | None = None
    """Reads columns of the rows of a window of this model, as Arrow; for rules on rows."""
    lease: Lease | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching:
    """A project under watch, at the end of a tick."""

    ledger: Ledger
    models: Mapping[str, WatchedModel]
    now: datetime
    lease: Lease | None = None


class Judge(Protocol):
    """Decides on windows, and on what did not come.

    In a tick, every judge sees each window as it has been measured, in the order in which the judges were given. When
    all models are done, every judge sees the sources, then every judge comes after: so one that follows what another
    decided is given behind it. Everything is done again after a crash, and must then come out the same.
    """

    def judge(self, window: JudgedWindow) -> object:
        """A window has been measured; it is marked as done only after every judge has seen it."""
        ...

    def sources(self, at: Watching, troubles: Mapping[str, str]) -> object:
        """What could not be read in this tick: model -> why."""
        ...

    def after(self, at: Watching) -> object:
        """What needs no window: quiet sources, silences that ended, messages that are due."""
        ...
