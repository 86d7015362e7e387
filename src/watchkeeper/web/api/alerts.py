"""Alerts and silences over HTTP: what fires, who has it, and what is muted until when."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from watchkeeper.decisions.alerting.silences import preview
from watchkeeper.decisions.alerting.story import alert_story
from watchkeeper.domain.alert import Alert, AlertState
from watchkeeper.domain.duration import duration_of, moment_of
from watchkeeper.domain.silence import Silence, parse_matchers
from watchkeeper.loop.alerting.alert_actions import (
    acknowledge_alert,
    add_silence,
    alert_record,
    alerts_by_weight,
    expire_silence,
    silence_view,
    silences_of,
)
from watchkeeper.loop.records.kinds import ALERT
from watchkeeper.loop.records.records import Records, plain
from watchkeeper.web.security import Role, require

if TYPE_CHECKING:
    from watchkeeper.loop.watch.watch import Watch


State = Annotated[list[AlertState], Query(description="Only these states; pending and firing otherwise.")]


class Body(BaseModel):
    """A body of JSON; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Acknowledgement(Body):
    note: str = Field(default="", max_length=2000)
    """What you are doing about it."""


class Matched(Body):
    matchers: dict[str, str] | list[str]
    """What it mutes: ``{"model": "churn"}``, or ``["model=churn", "column=~age.*"]``; all must match."""


class NewSilence(Matched):
    reason: str = Field(max_length=2000)
    """Why; whoever finds it later will want to know."""
    lasts: str | None = None
    """How long, such as "4h"; or say `until`."""
    until: str | None = None
    """When it ends: a time, or how long from now."""
    start: str | None = None
    """When it begins: a time, or how long from now; now otherwise."""


def who(request: Request, needed: Role) -> str:
    """The name of who asks, where they may."""
    return require(getattr(request.state, "who", None), needed).name


def alert_routes(watch: Watch) -> APIRouter:
    """The routes over the alerts and silences of an open project."""
    router = APIRouter(prefix="/v1", tags=["alerts"])
    facts = watch.ledger.facts

    @router.get("/alerts", summary="Alerts, the gravest first")
    def alerts(
        request: Request,
        state: State = [AlertState.PENDING, AlertState.FIRING],  # noqa: B006 - never changed
        model: str | None = None,
        limit: int = Query(default=100, ge=1, le=1000),
        offset: int = Query(default=0, ge=0),
    ) -> dict[str, Any]:
        who(request, Role.VIEWER)
        wanted = [s.value for s in state]
        held = Records(facts, ALERT)
        found = held.some(states=wanted, model=model, limit=limit, offset=offset, order="-rank")
        return {
            "alerts": [_shown(kept.value) for kept in found],
            "total": held.count(states=wanted, model=model),
        }

    @router.get("/alerts/{alert}", summary="One alert: its story, its log, its history")
    def alert(request: Request, alert: str) -> dict[str, Any]:
        who(request, Role.VIEWER)
        found = alert_record(facts, alert).value
        history = facts.facts(subject=found.fingerprint, limit=1000)
        return {
            **_shown(found),
            "history": [{"at": f.at, "kind": f.kind, "actor": f.actor, **f.body} for f in history],
        }

    @router.post(
        "/alerts/{alert}/acknowledge", summary="Say that you have it: repeats stop until it resolves"
    )
    def acknowledge(request: Request, alert: str, body: Acknowledgement | None = None) -> dict[str, Any]:
        actor = who(request, Role.OPERATOR)
        note = body.note if body is not None else ""
        return _shown(acknowledge_alert(facts, alert, actor=actor, now=watch.clock(), note=note))

    @router.delete("/alerts/{alert}/acknowledge", summary="Take an acknowledgement back")
    def unacknowledge(request: Request, alert: str) -> dict[str, Any]:
        actor = who(request, Role.OPERATOR)
        return _shown(acknowledge_alert(facts, alert, actor=actor, now=watch.clock(), back=True))

    @router.get("/silences", summary="Silences, those that end first on top")
    def silences(request: Request, ended: bool = Query(default=False, description="Also those that have ended.")) -> dict[str, Any]:  # fmt: skip
        who(request, Role.VIEWER)
        now = watch.clock()
        found = silences_of(facts, states=("active", "expired") if ended else ("active",))
        shown = sorted((s for s in found if ended or s.ends_at > now), key=lambda s: s.ends_at)
        return {"silences": [_silence(s, now) for s in shown]}

    @router.post("/silences", status_code=201, summary="Mute what matches, for a while")
    def silence(request: Request, body: NewSilence) -> dict[str, Any]:
        actor, now = who(request, Role.OPERATOR), watch.clock()
        made = add_silence(
            facts,
            body.matchers,
            author=actor,
            reason=body.reason,
            now=now,
            lasts=None if body.lasts is None else duration_of(body.lasts),
            starts_at=None if body.start is None else moment_of(body.start, now, ahead=True),
            ends_at=None if body.until is None else moment_of(body.until, now, ahead=True),
        )
        return _silence(made, now)

    @router.post("/silences/preview", summary="What a silence would mute now, without adding it")
    def silence_preview(request: Request, body: Matched) -> dict[str, Any]:
        who(request, Role.VIEWER)
        found = preview(parse_matchers(body.matchers), alerts_by_weight(facts))
        return {
            "firing": [a.fingerprint for a in found.firing],
            "pending": [a.fingerprint for a in found.pending],
            "quiet": found.quiet,
            "hints": list(found.hints),
        }

    @router.delete("/silences/{silence}", summary="End a silence now")
    def unsilence(request: Request, silence: str) -> dict[str, Any]:
        actor, now = who(request, Role.OPERATOR), watch.clock()
        return _silence(expire_silence(facts, silence, actor=actor, now=now), now)

    return router


def _shown(alert: Alert) -> dict[str, Any]:
    return {**ALERT.body(alert), "story": plain(alert_story(alert))}


def _silence(silence: Silence, now: datetime) -> dict[str, Any]:
    return {**silence_view(silence), "active": silence.active(now)}
