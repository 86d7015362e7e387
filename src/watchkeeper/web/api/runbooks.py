"""Runbooks over HTTP, and alerts of other systems that come in and open or feed incidents."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field

from watchkeeper.errors import BadInput
from watchkeeper.loop.incidents import webhooks as incoming
from watchkeeper.loop.incidents.follow import incidents_of
from watchkeeper.web.api.alerts import Body, who
from watchkeeper.web.security import Role
from watchkeeper.wiring.telling import runbooks_of

if TYPE_CHECKING:
    from watchkeeper.domain.incident import Incident
    from watchkeeper.loop.watch.watch import Watch


class Run(Body):
    alert: str = ""
    incident: int | None = None
    steps: list[int] = Field(default_factory=list)
    """Numbers of the steps to run; all of them otherwise."""
    values: dict[str, str] = Field(default_factory=dict)
    """What fills placeholders, before what the alert or incident says."""


async def posted(request: Request) -> Any:
    """A body of JSON, whatever its content type says: not every system that calls says it right."""
    try:
        return json.loads(await request.body())
    except ValueError as cause:
        raise BadInput(f"The body is no JSON: {cause}.") from None


Posted = Annotated[Any, Depends(posted)]
POSTED = {"requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}}


def runbook_routes(watch: Watch) -> APIRouter:
    """The routes over the runbooks of an open project."""
    router = APIRouter(prefix="/v1", tags=["incidents"])

    @router.get("/runbooks", summary="Runbooks: the project's own, and ours")
    def runbooks(request: Request) -> dict[str, Any]:
        who(request, Role.VIEWER)
        books = runbooks_of(watch)
        own = books.own()
        every = [
            {"name": n, "title": b.title, "own": n in own, "steps": len(b.steps)}
            for n, b in sorted(books.all().items())
        ]
        return {"runbooks": every}

    @router.get("/runbooks/runs", summary="Runs: which runbook, who, when, and what came of it")
    def runs(request: Request, limit: int = Query(default=50, ge=1, le=1000)) -> dict[str, Any]:
        who(request, Role.VIEWER)
        return {"runs": [r.view() for r in runbooks_of(watch).records(limit=limit)]}

    @router.get("/runbooks/{name}", summary="One runbook, step by step")
    def runbook(request: Request, name: str) -> dict[str, Any]:
        who(request, Role.VIEWER)
        book = runbooks_of(watch).get(name)
        told = [
            {"step": s.number, "title": s.title, "text": s.text, "commands": [c.text for c in s.commands]}
            for s in book.steps
        ]
        return {"name": book.name, "title": book.title, "text": book.text, "steps": told}

    @router.post("/runbooks/{name}/runs", status_code=201, summary="Run the commands of a runbook")
    def run(request: Request, name: str, body: Run) -> dict[str, Any]:
        actor = who(request, Role.OPERATOR)
        record = runbooks_of(watch).run(
            name, actor=actor, alert=body.alert, incident=body.incident, values=body.values, steps=body.steps
        )
        return record.view()

    @router.post("/runbooks/runs/{key}/resume", summary="Go on with a run that stopped")
    def resume(request: Request, key: str) -> dict[str, Any]:
        actor = who(request, Role.OPERATOR)
        return runbooks_of(watch).resume(key, actor=actor).view()

    return router


def hook_routes(watch: Watch) -> APIRouter:
    """The routes that other systems call with their alerts."""
    router = APIRouter(prefix="/v1", tags=["incidents"])

    def taken(found: list[Incident]) -> dict[str, Any]:
        return {"incidents": [{"number": i.number, "title": i.title, "phase": i.phase.value} for i in found]}

    @router.post(
        "/hooks/alertmanager",
        openapi_extra=POSTED,
        summary="Alertmanager's webhook (version 4) opens and feeds incidents",
    )
    def from_alertmanager(request: Request, body: Posted) -> dict[str, Any]:
        who(request, Role.OPERATOR)
        return taken(incoming.alertmanager(incidents_of(watch), body, now=watch.clock()))

    @router.post(
        "/hooks/alert", openapi_extra=POSTED, summary="An alert of any other system opens and feeds incidents"
    )
    def from_anybody(request: Request, body: Posted) -> dict[str, Any]:
        who(request, Role.OPERATOR)
        return taken(incoming.generic(incidents_of(watch), body, now=watch.clock()))

    return router
