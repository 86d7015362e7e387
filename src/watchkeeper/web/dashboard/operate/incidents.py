"""Incidents: what goes on, who does what, what happened when, and what was learnt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from watchkeeper.decisions.incidents import incidents as steps
from watchkeeper.documents.incident.postmortem import postmortem_html, postmortem_markdown
from watchkeeper.domain.incident import Incident, Phase
from watchkeeper.domain.rule import Severity
from watchkeeper.errors import BadInput, NotFound, WatchkeeperError
from watchkeeper.loop.incidents.follow import incidents_of
from watchkeeper.loop.incidents.incidents import Incidents
from watchkeeper.loop.incidents.runbooks import Runbooks
from watchkeeper.loop.records.kinds import ALERT
from watchkeeper.loop.records.records import Records, plain
from watchkeeper.web.dashboard.kit.filters import pager
from watchkeeper.web.dashboard.kit.frame import Page, Room
from watchkeeper.web.dashboard.operate.alert_view import alert_row
from watchkeeper.web.security import Identity

SIZE = 50
OPEN = tuple(p.value for p in Phase if p.is_open)
AFTER = (Phase.RESOLUTION.value, Phase.POST_MORTEM.value)
SHOWN: dict[str, tuple[str, ...]] = {"open": OPEN, "over": (*AFTER, Phase.CLOSED.value), "all": ()}
WHAT_IT_MEANS = {
    "assessment": "Somebody looks at who is hit and since when; a first draft is written from the measurements.",
    "mitigation": "Something is being done against the damage; the cause may still be unknown.",
    "resolution": "The damage has stopped. Alerts of the same group that fire again bring it back.",
    "post_mortem": "What happened is written down, and what to do so that it does not come back.",
    "closed": "Nothing is left to do but the follow-ups, which stay open on their own.",
}


def _incidents(room: Room) -> Incidents:
    return incidents_of(room.watch)


def incidents_page(room: Room, request: Request) -> Page:
    """Incidents, what is open and grave first; and follow-ups that nobody has done."""
    query, facts = request.query_params, room.watch.ledger.facts
    show = query.get("show", "open") if query.get("show", "open") in SHOWN else "open"
    model = query.get("model", "").strip()
    store = _incidents(room)
    counts = {
        name: facts.count("incident", states=states, model=model or None) for name, states in SHOWN.items()
    }
    pages = pager(query, total=counts[show], size=SIZE)
    found = store.find(states=SHOWN[show], model=model or None, limit=SIZE, offset=pages.offset)
    n = counts["open"]
    title = f"{n:,} {'incident is' if n == 1 else 'incidents are'} open" if n else "No incident is open"
    figures = room.kept("incident figures", store.figures, seconds=30)
    follow_ups = room.kept("follow-ups", store.follow_ups, seconds=10)
    data = {
        "headline": title,
        "incidents": [_row(i) for i in found],
        "counts": counts,
        "figures": figures,
        "follow_ups": [
            {"incident": i.key, "text": t.text, "owner": t.owner, "due": t.due.isoformat() if t.due else None}
            for i, t in follow_ups[:20]
        ],
        "filters": {"show": show, "model": model},
        "pager": pages.to_dict(),
        "severities": [s.value for s in Severity],
    }
    return Page(template="incidents.html.j2", title=title, data=data, here="incidents")


def _row(incident: Incident) -> dict[str, Any]:
    return {
        "key": incident.key,
        "title": incident.title,
        "severity": incident.severity.value,
        "phase": incident.phase.value,
        "is_open": incident.phase.is_open,
        "model": incident.model,
        "owner": incident.owner,
        "started_at": incident.started_at.isoformat(),
        "detected_at": incident.detected_at.isoformat(),
        "alerts": len(incident.alerts),
        "firing": sum(s == "firing" for s in incident.alerts.values()),
        "tasks_left": sum(not t.is_done for t in incident.tasks),
    }


def incident_page(room: Room, request: Request) -> Page:
    """One incident: where it stands, what to do next, and its timeline, newest first."""
    store = _incidents(room)
    incident = store.get(request.path_params["key"])
    query = request.query_params
    kinds = {"people": lambda e: not e.automatic, "pinned": lambda e: e.pinned}
    keep: Callable[[Any], bool] = kinds.get(query.get("lines", ""), lambda _: True)
    lines = [e for e in reversed(incident.timeline) if keep(e)]
    pages = pager(query, total=len(lines), size=100)
    took = steps.durations(incident)
    alerts = []
    for name in list(incident.alerts)[:20]:
        document = room.watch.ledger.facts.document("alert", name)
        if document is not None:
            alerts.append(alert_row(document))
    alerts.sort(key=lambda a: (a["state"] != "firing", -Severity(a["severity"]).rank, a["since"]))
    body = plain(incident)
    data = {
        **_row(incident),
        "cause": incident.cause,
        "roles": dict(incident.roles),
        "lessons": list(incident.lessons),
        "assessment": body["assessment"],
        "merged_into": incident.merged_into,
        "merged": list(incident.merged),
        "durations": took,
        "entered": body["entered"],
        "next": [
            {"phase": p.value, "means": WHAT_IT_MEANS.get(p.value, "")} for p in steps.NEXT[incident.phase]
        ],
        "tasks": body["tasks"],
        "alerts_shown": alerts,
        "alerts_left_out": max(0, len(incident.alerts) - len(alerts)),
        "timeline": [
            {
                "number": e.number,
                "at": e.at.isoformat(),
                "noted_at": e.noted_at.isoformat(),
                "actor": e.actor,
                "kind": e.kind,
                "text": e.text,
                "pinned": e.pinned,
                "automatic": e.automatic,
            }
            for e in lines[pages.offset : pages.offset + pages.size]
        ],
        "lines": query.get("lines", ""),
        "pager": pages.to_dict(),
        "similar": [
            {"key": str(s.number), "title": s.title, "lessons": list(s.lessons)}
            for s in store.similar(incident.number)
        ],
        "severities": [s.value for s in Severity],
        **_runbook(room, incident, query.get("runbook", "")),
    }
    title = f"Incident {incident.key}: {incident.title}"
    return Page(template="incident.html.j2", title=title, data=data, here="incidents")


def _runbooks(room: Room) -> Runbooks:
    watch = room.watch
    channels = list(watch.config.channels) if watch.config is not None else []
    return Runbooks(
        watch.ledger.facts,
        _incidents(room),
        folder=watch.path / "runbooks",
        watch=watch,
        channels=channels,
        clock=watch.clock,
    )


def _runbook(room: Room, incident: Incident, asked: str) -> dict[str, Any]:
    """The runbook for this incident's first alert, or the one that was asked for; and what was run already."""
    books = _runbooks(room)
    try:
        known = books.all()
    except WatchkeeperError as failure:
        return {
            "runbook": None,
            "runbooks": [],
            "runbook_trouble": [failure.what, *failure.next_steps],
            "runs": [],
        }
    name = asked if asked in known else ""
    if not name:
        for fingerprint in incident.alerts:
            if (kept := Records(room.watch.ledger.facts, ALERT).get(fingerprint)) is not None:
                name = books.for_alert(kept.value)
                break
    runs: list[dict[str, Any]] = [
        {
            "key": r.key,
            "runbook": r.runbook,
            "state": r.state,
            "actor": r.actor,
            "at": r.started_at.isoformat(),
            "commands": r.commands,
        }
        for r in books.records(limit=200)
        if r.incident == incident.key
    ]
    done = {(r["runbook"], c["line"]) for r in runs for c in r["commands"] if c["state"] == "done"}
    book = known.get(name)
    shown = None
    if book is not None:
        shown = {
            "name": book.name,
            "title": book.title,
            "text": book.text,
            "steps": [
                {
                    "number": s.number,
                    "title": s.title,
                    "text": s.text,
                    "commands": [c.text for c in s.commands],
                    "done": bool(s.commands) and all((book.name, c.line) in done for c in s.commands),
                }
                for s in book.steps
            ],
        }
    return {"runbook": shown, "runbooks": sorted(known), "runbook_trouble": [], "runs": runs[:20]}


def postmortem(room: Room, request: Request) -> Response:
    """The post-mortem as far as it is written: a page of its own, or Markdown."""
    store = _incidents(room)
    key, form = request.path_params["key"], request.path_params["form"]
    incident = store.get(key)
    similar = store.similar(key)
    if form == "md":
        text = postmortem_markdown(incident, project=room.name, similar=similar)
        headers = {"Content-Disposition": f'attachment; filename="incident-{incident.key}.md"'}
        return Response(text, media_type="text/markdown; charset=utf-8", headers=headers)
    if form != "html":
        raise NotFound(f"A post-mortem has no form {form!r}.", "Known: html, md.")
    text = postmortem_html(incident, project=room.name, similar=similar)
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; sandbox"
    return Response(text, media_type="text/html", headers={"Content-Security-Policy": policy})


# ---- what buttons do --------------------------------------------------------------------------------


def open_incident(room: Room, request: Request, form: Mapping[str, str], who: Identity) -> str:
    """Open one by hand."""
    made = _incidents(room).open(
        form.get("title", "").strip()[:200] or "Something is wrong",
        actor=who.name,
        severity=_severity(form.get("severity", "warning")),
        model=form.get("model", "").strip(),
        text=form.get("text", "").strip()[:5000],
    )
    return f"/incidents/{made.key}?did=opened"


def _severity(word: str) -> Severity:
    known = [s.value for s in Severity]
    if word not in known:
        raise BadInput(f"There is no severity {word!r}.", f"Known: {', '.join(known)}.")
    return Severity(word)


def change(room: Room, request: Request, form: Mapping[str, str], who: Identity) -> str:
    """One step of one incident: ``phase``, ``note``, ``pin``, ``task``, ``task-done``, ``assign`` or ``lesson``."""
    key, verb = request.path_params["key"], request.path_params["verb"]
    if verb not in _STEPS:
        raise NotFound(f"An incident has no step {verb!r}.", f"Known: {', '.join(_STEPS)}.")
    _STEPS[verb](_incidents(room), key, form, who.name)
    return f"/incidents/{key}?did={verb}"


def run_step(room: Room, request: Request, form: Mapping[str, str], who: Identity) -> str:
    """Run the commands of one step of a runbook, or go on with a run that stopped."""
    key, books = request.path_params["key"], _runbooks(room)
    if form.get("run"):
        record = books.resume(form["run"], actor=who.name)
    else:
        record = books.run(
            form.get("runbook", ""), actor=who.name, incident=key, steps=[_number(form.get("step", ""))]
        )
    book = quote(record.runbook, safe="")
    return f"/incidents/{key}?did={'ran' if record.state == 'done' else 'stopped'}&runbook={book}#h-run"


Step = Callable[[Incidents, str, Mapping[str, str], str], object]


def _phase(store: Incidents, key: str, form: Mapping[str, str], actor: str) -> object:
    text = form.get("text", "").strip()[:2000]
    return store.enter(key, steps.phase_of(form.get("to", "")), actor=actor, text=text)


def _note(store: Incidents, key: str, form: Mapping[str, str], actor: str) -> object:
    at, pin = _when(form.get("at", "")), form.get("pin") == "1"
    return store.note(key, form.get("text", "")[:5000], actor=actor, at=at, pin=pin)


def _pin(store: Incidents, key: str, form: Mapping[str, str], actor: str) -> object:
    return store.pin(key, _number(form.get("line", "")), actor=actor, on=form.get("off") != "1")


def _task(store: Incidents, key: str, form: Mapping[str, str], actor: str) -> object:
    return store.add_task(
        key,
        form.get("text", "")[:500],
        actor=actor,
        owner=form.get("owner", "").strip()[:100],
        due=_when(form.get("due", "")),
        follow_up=form.get("follow_up") == "1",
    )


def _task_done(store: Incidents, key: str, form: Mapping[str, str], actor: str) -> object:
    return store.finish_task(key, _number(form.get("task", "")), actor=actor)


def _assign(store: Incidents, key: str, form: Mapping[str, str], actor: str) -> object:
    severity = _severity(form["severity"]) if form.get("severity") else None
    owner = form["owner"].strip()[:100] if "owner" in form else None
    made = store.assign(key, actor=actor, owner=owner, severity=severity)
    cause = form.get("cause", made.cause).strip()[:2000]
    return made if cause == made.cause else store.find_cause(key, cause, actor=actor)


def _lesson(store: Incidents, key: str, form: Mapping[str, str], actor: str) -> object:
    return store.learn(key, form.get("text", "")[:2000], actor=actor)


_STEPS: dict[str, Step] = {
    "phase": _phase,
    "note": _note,
    "pin": _pin,
    "task": _task,
    "task-done": _task_done,
    "assign": _assign,
    "lesson": _lesson,
}


def _when(text: str) -> datetime | None:
    if not text.strip():
        return None
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise BadInput(f"{text!r} is not a time.", "Write 2026-03-01T06:00, in UTC.") from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise BadInput(f"{text!r} is not a number.") from None
