"""A project under watch. What ``wk.open(path)`` gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from watchkeeper.domain.fact import Document, Fact
from watchkeeper.domain.series import WindowKey
from watchkeeper.domain.window import Window, floor_to
from watchkeeper.loop.watch.project import Project
from watchkeeper.loop.watch.tick import Judge, Ticked, tick


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
        marker = Document(
            kind="backfill",
            key=f"{model}:{start.isoformat()}:{end.isoformat()}",
            body={"model": model, "start": start.isoformat(), "end": end.isoformat()},
            state="running",
            model=model,
        )
        known = self.ledger.facts.document(marker.kind, marker.key)
        if known is None or known.state != "running":
            at = floor_to(start, watched.cadence)
            keys = []
            while at < end:
                keys.append(WindowKey(model=model, window=Window(at, at + watched.cadence)))
                at += watched.cadence
            self.ledger.windows.mark_dirty(keys, reason="backfill")
            revision = 0 if known is None else known.revision
            fact = Fact(kind="backfill.started", at=self.clock(), actor="user", model=model, body=marker.body)
            self.ledger.facts.append([fact], [replace(marker, revision=revision)])
        done = self.tick(models=[model], progress=progress)
        if not done.held_by_another:
            known = self.ledger.facts.document(marker.kind, marker.key)
            fact = Fact(
                kind="backfill.finished", at=self.clock(), actor="user", model=model, body=marker.body
            )
            self.ledger.facts.append(
                [fact], [replace(marker, state="finished", revision=known.revision if known else 0)]
            )
        return done
