"""Incidents over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from watchkeeper.decisions.incidents.incidents import phase_of
from watchkeeper.documents.incident.incident_page import incident_view
from watchkeeper.documents.incident.postmortem import postmortem_html, postmortem_markdown
from watchkeeper.domain.duration import moment_of
from watchkeeper.domain.incident import Incident
from watchkeeper.domain.rule import Severity
from watchkeeper.loop.incidents.follow import incidents_of
from watchkeeper.loop.incidents.incidents import OPEN, Incidents
from watchkeeper.web.api.alerts import Body, who
from watchkeeper.web.security import Role

if TYPE_CHECKING:
    from datetime import datetime

    from watchkeeper.loop.watch.watch import Watch


Text = Annotated[str, Field(max_length=5000)]
Name = Annotated[str, Field(max_length=200)]


class NewIncident(Body):
    title: Name
    """What is wrong, in a few words."""
    severity: Severity = Severity.WARNING
    model: str = ""
    since: str | None = None
    """When the trouble began: a time, or how long ago."""
    text: Text = ""


class NextPhase(Body):
    phase: Name
    """assessment, mitigation, resolution, post-mortem or closed."""
    text: Text = ""
    at: str | None = None
    """When it began, for what is told afterwards: a time, or how long ago."""


class Note(Body):
    text: Text
    kind: Literal["note", "lesson", "cause"] = "note"
    """A lesson comes back when a similar alert fires."""
    at: str | None = None
    """When it was, for what is told afterwards: a time, or how long ago."""
    pin: bool = False
    """It stands in summaries."""


class Pin(Body):
    line: int
    pin: bool = True


class Task(Body):
    text: Text
    owner: Name = ""
    due: str | None = None
    """By when: a time, or how long from now."""
    follow_up: bool = False
    """It stays open after the incident, until it is done."""


class Change(Body):
    title: Name | None = None
    severity: Severity | None = None
    owner: Name | None = None
    roles: dict[Name, Name] = Field(default_factory=dict)
    """Role -> person; an empty name takes it away."""


class Merge(Body):
    other: int
    """The incident that becomes part of this one."""


def incident_routes(watch: Watch) -> APIRouter:
    """The routes over the incidents of an open project."""
    router = APIRouter(prefix="/v1", tags=["incidents"])

    def held() -> Incidents:
        return incidents_of(watch)

    def shown(incident: Incident) -> dict[str, Any]:
        return incident_view(incident, held().similar(incident.number))

    def past(text: str | None) -> datetime | None:
        return None if text is None else moment_of(text, watch.clock())

    @router.get("/incidents", summary="Incidents, what is open and grave first")
    def incidents(
        request: Request,
        over: bool = Query(default=False, description="Also those that are over."),
        model: str | None = None,
        limit: int = Query(default=100, ge=1, le=1000),
        offset: int = Query(default=0, ge=0),
    ) -> dict[str, Any]:
        who(request, Role.VIEWER)
        states = () if over else OPEN
        found = held().find(states=states, model=model, limit=limit, offset=offset)
        return {
            "incidents": [incident_view(i) for i in found],
            "total": watch.ledger.facts.count("incident", states=states, model=model),
        }

    @router.get("/incidents/figures", summary="Mean times to detect, acknowledge and resolve")
    def figures(request: Request, model: str | None = None) -> dict[str, Any]:
        who(request, Role.VIEWER)
        return held().figures(model=model)

    @router.get("/incidents/follow-ups", summary="Follow-ups that nobody has done yet")
    def follow_ups(request: Request) -> dict[str, Any]:
        who(request, Role.VIEWER)
        left = [
            {"incident": i.number, "task": t.number, "text": t.text, "owner": t.owner, "due": t.due}
            for i, t in held().follow_ups()
        ]
        return {"follow_ups": left}

    @router.post("/incidents", status_code=201, summary="Open an incident by hand")
    def open_one(request: Request, body: NewIncident) -> dict[str, Any]:
        actor = who(request, Role.OPERATOR)
        if body.model:
            watch.model(body.model)
        made = held().open(
            body.title,
            actor=actor,
            severity=body.severity,
            model=body.model,
            started_at=past(body.since),
            text=body.text,
        )
        return shown(made)

    @router.get(
        "/incidents/{number}", summary="One incident: where it stands, its timeline, tasks, similar ones"
    )
    def incident(request: Request, number: int) -> dict[str, Any]:
        who(request, Role.VIEWER)
        return shown(held().get(number))

    @router.patch("/incidents/{number}", summary="Title, severity, owner and roles")
    def change(request: Request, number: int, body: Change) -> dict[str, Any]:
        made = held().assign(
            number,
            actor=who(request, Role.OPERATOR),
            owner=body.owner,
            roles=body.roles,
            severity=body.severity,
            title=body.title,
        )
        return shown(made)

    @router.post("/incidents/{number}/phase", summary="Go on to the next phase; an assessment drafts itself")
    def enter(request: Request, number: int, body: NextPhase) -> dict[str, Any]:
        actor = who(request, Role.OPERATOR)
        phase = phase_of(body.phase)
        return shown(held().enter(number, phase, actor=actor, text=body.text, at=past(body.at)))

    @router.post("/incidents/{number}/notes", status_code=201, summary="Add a line, a lesson or the cause")
    def note(request: Request, number: int, body: Note) -> dict[str, Any]:
        actor, store = who(request, Role.OPERATOR), held()
        if body.kind == "cause":
            return shown(store.find_cause(number, body.text, actor=actor))
        if body.kind == "lesson":
            return shown(store.learn(number, body.text, actor=actor))
        return shown(store.note(number, body.text, actor=actor, at=past(body.at), pin=body.pin))

    @router.post("/incidents/{number}/pins", summary="Pin a line of the timeline, or take the pin off")
    def pin(request: Request, number: int, body: Pin) -> dict[str, Any]:
        return shown(held().pin(number, body.line, actor=who(request, Role.OPERATOR), on=body.pin))

    @router.post("/incidents/{number}/tasks", status_code=201, summary="Add a task or a follow-up")
    def task(request: Request, number: int, body: Task) -> dict[str, Any]:
        actor = who(request, Role.OPERATOR)
        due = None if body.due is None else moment_of(body.due, watch.clock(), ahead=True)
        made = held().add_task(
            number, body.text, actor=actor, owner=body.owner, due=due, follow_up=body.follow_up
        )
        return shown(made)

    @router.post("/incidents/{number}/tasks/{task}/done", summary="A task or follow-up is done")
    def task_done(request: Request, number: int, task: int) -> dict[str, Any]:
        actor = who(request, Role.OPERATOR)
        return shown(held().finish_task(number, task, actor=actor))

    @router.post("/incidents/{number}/merge", summary="Make another incident part of this one")
    def merge(request: Request, number: int, body: Merge) -> dict[str, Any]:
        actor = who(request, Role.OPERATOR)
        return shown(held().merge(number, body.other, actor=actor))

    @router.get("/incidents/{number}/postmortem", summary="The post-mortem as far as it is written")
    def postmortem(
        request: Request, number: int, format: Literal["md", "html"] = Query(default="md")
    ) -> Response:
        who(request, Role.VIEWER)
        store = held()
        made = {"md": postmortem_markdown, "html": postmortem_html}[format]
        text = made(store.get(number), project=watch.config.project.name, similar=store.similar(number))
        media = {"md": "text/markdown", "html": "text/html"}[format]
        policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
        return Response(text, media_type=media, headers={"Content-Security-Policy": policy})

    return router
