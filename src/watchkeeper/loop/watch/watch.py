"""A project under watch. What ``wk.open(path)`` gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypedDict

from watchkeeper.domain.series import WindowKey
from watchkeeper.domain.window import Window, floor_to
from watchkeeper.loop.records.facts import FactKind
from watchkeeper.loop.records.records import Kind, Records, write
from watchkeeper.loop.watch.project import Project
from watchkeeper.loop.watch.tick import Ticked, tick
from watchkeeper.ports.judge import Judge


class Backfilled(TypedDict):
    """What was measured again."""

    model: str
    start: str
    end: str


BACKFILL_STARTED = FactKind("backfill.started", Backfilled)
BACKFILL_FINISHED = FactKind("backfill.finished", Backfilled)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfill:
    """Windows that somebody wants measured again, so that an interrupted run goes on where it stopped."""

    model: str
    start: datetime
    end: datetime
    state: str = "running"

    @property
    def key(self) -> str:
        """Its name in the ledger."""
        return f"{self.model}:{self.start.isoformat()}:{self.end.isoformat()}"


BACKFILL = Kind("backfill", Backfill, key="key", state="state", model="model")


class Watch(Project):
    """A project, and the tick that measures and judges it. Made by `watchkeeper.open`."""

    def __init__(self, *, judges: Sequence[Judge] = (), **project: Any) -> None:
        super().__init__(**project)
        self.judges = tuple(judges)

    def tick(
        self,
        *,
        models: Iterable[str] | None = None,
        progress: Callable[[str, int, int | None], None] | None = None,
    ) -> Ticked:
        """Drain, measure and judge everything that is due."""
        return tick(self, models=models, judges=self.judges, progress=progress)

    def backfill(
        self,
        model: str,
        start: datetime,
        end: datetime,
        *,
        progress: Callable[[str, int, int | None], None] | None = None,
    ) -> Ticked:
        """Measure all windows of [start, end) again. What was finished before an interruption is not repeated."""
        watched = self.model(model)
        facts, backfills = self.ledger.facts, Records(self.ledger.facts, BACKFILL)
        running = Backfill(model=model, start=start, end=end)
        said: Backfilled = {"model": model, "start": start.isoformat(), "end": end.isoformat()}
        known = backfills.get(running.key) or BACKFILL.new(replace(running, state="finished"))
        if known.value.state != "running":
            at = floor_to(start, watched.cadence)
            keys = []
            while at < end:
                keys.append(WindowKey(model=model, window=Window(at, at + watched.cadence)))
                at += watched.cadence
            self.ledger.windows.mark_dirty(keys, reason="backfill")
            fact = BACKFILL_STARTED(said, at=self.clock(), actor="user", model=model)
            write(facts, [fact], [known.to(running)])
        done = self.tick(models=[model], progress=progress)
        if not done.held_by_another:
            fact = BACKFILL_FINISHED(said, at=self.clock(), actor="user", model=model)
            backfills.put(replace(running, state="finished"), fact, now=self.clock())
        return done
