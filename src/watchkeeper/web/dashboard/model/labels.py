"""Outcomes: which windows still wait for theirs, and a way to hand them in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypedDict
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from watchkeeper.capture.recorder import Recorder
from watchkeeper.errors import BadInput, NotFound, StoreUnavailable, WatchkeeperError, nearest
from watchkeeper.loop.labels.labelling import (
    estimate_from_labels,
    export_request,
    label_next,
    read_labels,
    requests,
)
from watchkeeper.loop.records.facts import FactKind
from watchkeeper.loop.records.records import write
from watchkeeper.measures.catalogue import described_measures
from watchkeeper.rows.sources import open_source
from watchkeeper.web.dashboard.kit.filters import pager
from watchkeeper.web.dashboard.kit.frame import Page, Room, check_form, root, small_form, told, wants_json
from watchkeeper.web.dashboard.kit.uploads import received
from watchkeeper.web.security import Identity, Role, require

LOOK_BACK = timedelta(days=30)


class OutcomesUploaded(TypedDict):
    rows: int


OUTCOMES_UPLOADED = FactKind("outcomes.uploaded", OutcomesUploaded)


class Labels:
    """The page and its upload. Uploaded outcomes take the way of all outcomes: journal, drain, window."""

    def __init__(self, room: Room) -> None:
        self.room = room

    def page(self, room: Room, request: Request) -> Page:
        """How many predictions of each model still wait for an outcome."""
        names = [n for n in room.watch.models if room.watch.models[n].table is None]
        words = request.query_params.get("q", "").strip().lower()
        shown = [n for n in names if words in n.lower()]
        pages = pager(request.query_params, total=len(shown), size=25)
        rows = [self._row(room, n) for n in shown[pages.offset : pages.offset + pages.size]]
        model = request.query_params.get("model", "")
        data = {
            "models": rows,
            "pager": pages.to_dict(),
            "q": request.query_params.get("q", ""),
            "model": model if model in room.watch.models else "",
            "total": len(names),
            "taken": request.query_params.get("taken", ""),
            **(self._asked(room, model) if model in room.watch.models else {"requests": [], "estimates": []}),
        }
        return Page(template="labels.html.j2", title="Outcomes", data=data, here="labels")

    def _row(self, room: Room, name: str) -> dict[str, Any]:
        model = room.watch.models[name]
        end = room.last_window(name)
        states = []
        if end is not None:
            found = room.watch.ledger.windows.windows(name, start=end - LOOK_BACK, end=end, limit=5_000)
            states = [
                s
                for s in found
                if not s.key.version and not s.key.segment and s.key.window.length == model.cadence
            ]
        rows, outcomes = sum(s.rows for s in states), sum(s.outcomes for s in states)
        waiting = [s for s in states if s.rows and not s.mature]
        return {
            "name": name,
            "rows": rows,
            "outcomes": outcomes,
            "coverage": outcomes / rows if rows else None,
            "waiting_windows": len(waiting),
            "waiting_since": waiting[0].key.window.start.isoformat() if waiting else None,
        }

    def _asked(self, room: Room, name: str) -> dict[str, Any]:
        """What was asked for of one model, newest first, and what the newest labels say about all rows."""
        known = requests(room.watch, name)
        estimates: list[dict[str, Any]] = []
        if known:
            _, found = room.kept(
                ("labels say", name, known[0].key), lambda: estimate_from_labels(room.watch, name), seconds=30
            )
            described = described_measures()
            estimates = [
                {**e.to_dict(), "title": described[e.metric].title if e.metric in described else e.metric}
                for e in found
            ]
        rows = [
            {"key": r.key, "at": r.at.isoformat(), "rows": len(r.ids), "population": r.population}
            for r in known[:20]
        ]
        return {"requests": rows, "estimates": estimates}

    async def next(self, request: Request) -> Response:
        """Choose what to label next; the answer is the file for the labelling tool."""
        who: Identity | None = request.scope.get("state", {}).get("who")
        try:
            form = await small_form(request)
            doer = require(who, Role.LABELLER)
            check_form(doer, form.get("csrf", "") or request.headers.get("x-csrf", ""))
            content, name = await run_in_threadpool(self._choose, form)
        except WatchkeeperError as failure:
            return await run_in_threadpool(told, self.room, request, failure, who)
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(content, media_type="text/csv; charset=utf-8", headers=headers)

    def _choose(self, form: Mapping[str, str]) -> tuple[bytes, str]:
        name, budget = form.get("model", ""), form.get("budget", "")
        if not budget.isdigit() or not 0 < int(budget) <= 100_000:
            raise BadInput(f"{budget!r} is not a number of rows to label.", "Write one from 1 to 100,000.")
        chosen = label_next(self.room.watch, name, budget=int(budget))
        with TemporaryDirectory(prefix="watchkeeper-labels-") as folder:
            file = export_request(chosen, Path(folder) / f"label-{name}-{chosen.key}.csv".replace(":", ""))
            return file.read_bytes(), file.name

    async def upload(self, request: Request) -> Response:
        """Take a file of outcomes: a column ``id`` (the prediction's) and a column ``actual``; maybe ``at``."""
        who: Identity | None = request.scope.get("state", {}).get("who")
        config = self.room.watch.config
        most = int(config.server.max_request_mb if config is not None else 64) << 20
        try:
            doer = require(who, Role.LABELLER)
            async with received(request, ["outcomes"], most_bytes=most) as (files, fields):
                check_form(doer, fields.get("csrf", "") or request.headers.get("x-csrf", ""))
                name = fields.get("model", "")
                taken = await run_in_threadpool(self._take, files["outcomes"], name, doer)
        except WatchkeeperError as failure:
            return await run_in_threadpool(told, self.room, request, failure, who)
        there = f"/labels?model={quote(name)}&taken={taken}"
        if wants_json(request):
            return JSONResponse({"taken": taken, "see": root(request) + there}, status_code=202)
        return RedirectResponse(root(request) + there, status_code=303)

    def _take(self, file: Any, name: str, who: Identity) -> int:
        watch = self.room.watch
        if name not in watch.models:
            raise NotFound(f"There is no model {name!r}.{nearest(name, watch.models)}")
        source = open_source(file.path, name=file.name)
        if "outcome" in source.available and "actual" not in source.available:
            taken = read_labels(watch, name, file.path)  # as a labelling tool gives back what was chosen here
            return self._noted(name, file.name, taken, who)
        for column in ("id", "actual"):
            if column not in source.available:
                raise BadInput(
                    f"{file.name} has no column {column!r}.{nearest(column, source.available)}",
                    "It needs id (the prediction's) and actual (what happened); at (when it was known) may be there.",
                )
        at = "at" if "at" in source.available else None
        taken = 0
        with Recorder(name, "outcomes", path=watch.data, flush_interval_s=60) as recorder:
            for batch in source.batches():
                taken += recorder.outcomes(batch, id="id", actual="actual", at=at)
            if not recorder.flush(30):
                raise StoreUnavailable(
                    "The outcomes could not be written just now.",
                    "Send the same file again: the same ids count once.",
                )
        return self._noted(name, file.name, taken, who)

    def _noted(self, name: str, file: str, taken: int, who: Identity) -> int:
        fact = OUTCOMES_UPLOADED(
            {"rows": taken}, at=self.room.now(), actor=who.name, model=name, subject=file
        )
        write(self.room.watch.ledger.facts, [fact])
        return taken
