"""Alerts and silences: what fires, what it means, and what people do about it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from starlette.requests import Request

from watchkeeper.decisions.alerting.story import alert_story
from watchkeeper.domain.alert import Alert
from watchkeeper.domain.duration import duration_of, duration_words
from watchkeeper.domain.silence import Matcher, Silence, all_match
from watchkeeper.errors import BadInput, NotFound
from watchkeeper.loop.alerting.alert_actions import (
    acknowledge_alert,
    add_silence,
    expire_silence,
    silences_of,
)
from watchkeeper.loop.records.kinds import ALERT, SILENCE
from watchkeeper.loop.records.records import Records
from watchkeeper.web.dashboard.kit.filters import pager
from watchkeeper.web.dashboard.kit.frame import Page, Room
from watchkeeper.web.dashboard.operate.alert_view import alert_evidence, alert_row
from watchkeeper.web.security import Identity

SIZE = 50
STATES: dict[str, tuple[str, ...]] = {
    "open": ("firing", "pending"),
    "firing": ("firing",),
    "pending": ("pending",),
    "resolved": ("resolved",),
    "all": ("firing", "pending", "resolved", "inactive"),
}
LENGTHS = ("1h", "4h", "1d", "3d", "7d")


def alerts_page(room: Room, request: Request) -> Page:
    """A list of alerts, gravest or newest first."""
    query, facts = request.query_params, room.watch.ledger.facts
    state = query.get("state", "open") if query.get("state", "open") in STATES else "open"
    model = query.get("model", "").strip()
    counts = room.kept(
        ("alert counts", model),
        lambda: {
            s: facts.count("alert", states=[s], model=model or None)
            for s in ("firing", "pending", "resolved")
        },
    )
    total = sum(counts.get(s, 0) for s in STATES[state]) if state != "all" else sum(counts.values())
    pages = pager(query, total=total, size=SIZE)
    if state in ("open", "firing", "pending"):
        found = room.open_alerts(states=STATES[state], model=model or None, limit=SIZE, offset=pages.offset)
    else:
        found = facts.documents(
            "alert", states=STATES[state], model=model or None, limit=SIZE, offset=pages.offset
        )
    firing = counts["firing"]
    title = (
        f"{firing:,} {'alert is' if firing == 1 else 'alerts are'} firing" if firing else "No alert is firing"
    ) + (f" for {model}" if model else "")
    silences = _silences(room)
    now = room.now()
    rows = [{**alert_row(d), "silenced": _muted_by(ALERT.read(d).value, silences, now)} for d in found]
    data = {
        "headline": title,
        "alerts": rows,
        "counts": {**counts, "open": counts["firing"] + counts["pending"]},
        "filters": {"state": state, "model": model},
        "pager": pages.to_dict(),
        "silences": sum(s.active(now) for s in silences),
    }
    return Page(template="alerts.html.j2", title=title, data=data, here="alerts")


def alert_page(room: Room, request: Request) -> Page:
    """One alert: what changed, since when, for whom, what was done; and what can be done now."""
    document = room.watch.ledger.facts.document("alert", request.path_params["key"])
    if document is None:
        raise NotFound(
            f"There is no alert {request.path_params['key']!r}.", "All of them are on the page Alerts."
        )
    alert = ALERT.read(document).value
    story = alert_story(alert)
    now = room.now()
    silences = _silences(room)
    what = dict(alert.what)
    row = alert_row(document)
    evidence = alert_evidence(room, document)
    labels = {k: v for k, v in alert.labels.items() if v}
    open_alerts = [ALERT.read(d).value for d in room.open_alerts(limit=2000)]
    data = {
        **row,
        "headline": story.headline,
        "story": {"what": story.what, "since": story.since, "whom": story.whom, "done": story.done},
        "what": {k: v for k, v in what.items() if k not in ("sentence", "rule", "model")},
        "guarantee": str(what.get("guarantee", "")),
        "assumption": str(what.get("assumption", "")),
        "about": alert.about,
        "runbook": alert.runbook,
        "episode": alert.episode,
        "flips": alert.flips,
        "log": [{"at": e.at.isoformat(), "actor": e.actor, "text": e.text} for e in reversed(alert.log)],
        "chart": urlencode({"alert": document.key}) if evidence else "",
        "chart_title": evidence.title if evidence else "",
        "silenced": _muted_by(alert, silences, now),
        "would_mute": sum(all(a.labels.get(k) == v for k, v in labels.items()) for a in open_alerts),
        "lengths": [{"value": text, "word": duration_words(duration_of(text))} for text in LENGTHS],
        "incidents": _incidents_of(room, alert),
    }
    return Page(template="alert.html.j2", title=story.headline, data=data, here="alerts")


def _incidents_of(room: Room, alert: Alert) -> list[dict[str, Any]]:
    found = room.watch.ledger.facts.documents("incident", model=alert.model, limit=100)
    return [
        {"key": d.key, "title": str(d.body.get("title", "")), "phase": d.state}
        for d in found
        if alert.fingerprint in d.body.get("alerts", {})
    ]


def _silences(room: Room) -> list[Silence]:
    return silences_of(room.watch.ledger.facts)


def _muted_by(alert: Alert, silences: list[Silence], now: datetime) -> str:
    return next((s.id for s in silences if s.mutes(alert.labels, now)), "")


def silences_page(room: Room, request: Request) -> Page:
    """Silences: those that hold, those to come, and those that are over; and a form for a new one."""
    now, facts = room.now(), room.watch.ledger.facts
    show = request.query_params.get("show", "active")
    states = ["active"] if show != "all" else []
    total = facts.count("silence", states=states)
    pages = pager(request.query_params, total=total, size=SIZE)
    rows = []
    for kept in Records(facts, SILENCE).some(states=states, limit=SIZE, offset=pages.offset):
        silence = kept.value
        state = (
            "over"
            if silence.state != "active" or silence.ends_at <= now
            else "active"
            if silence.active(now)
            else "to come"
        )
        rows.append(
            {
                "id": silence.id,
                "state": state,
                "matchers": [str(m) for m in silence.matchers],
                "author": silence.author,
                "reason": silence.reason,
                "starts_at": silence.starts_at.isoformat(),
                "ends_at": silence.ends_at.isoformat(),
            }
        )
    given = request.query_params.get("matchers", "")
    data = {
        "silences": rows,
        "pager": pages.to_dict(),
        "show": show,
        "matchers": given,
        "preview": _preview(room, given) if given else None,
        "lengths": [{"value": text, "word": duration_words(duration_of(text))} for text in LENGTHS],
    }
    return Page(template="silences.html.j2", title="Silences", data=data, here="alerts")


def _preview(room: Room, text: str) -> dict[str, Any]:
    """Which open alerts these matchers would mute now."""
    matchers = _matchers(text)
    found = room.open_alerts(limit=5000)
    muted = [d for d in found if all_match(matchers, ALERT.read(d).value.labels)]
    return {"count": len(muted), "of": len(found), "alerts": [alert_row(d) for d in muted[:10]]}


def _matchers(text: str) -> tuple[Matcher, ...]:
    from watchkeeper.domain.silence import parse_matchers

    lines = [line.strip() for line in text.replace(";", "\n").splitlines() if line.strip()]
    if not lines:
        raise BadInput("A silence needs at least one matcher.", "Write one a line, such as model=churn.")
    return parse_matchers(lines)


# ---- what buttons do --------------------------------------------------------------------------------


def acknowledge(room: Room, request: Request, form: Mapping[str, str], who: Identity) -> str:
    """Somebody takes it, or gives it back."""
    key = request.path_params["key"]
    back = form.get("back") == "1"
    acknowledge_alert(
        room.watch.ledger.facts,
        key,
        actor=who.name,
        now=room.now(),
        note=form.get("note", "").strip()[:500],
        back=back,
    )
    return f"/alerts/{quote(key, safe='')}?did={'given_back' if back else 'taken'}"


def silence_alert(room: Room, request: Request, form: Mapping[str, str], who: Identity) -> str:
    """Mute alerts with the labels of this one."""
    key = request.path_params["key"]
    document = room.watch.ledger.facts.document("alert", key)
    if document is None:
        raise NotFound(f"There is no alert {key!r}.")
    labels = ALERT.read(document).value.labels
    matchers = [str(Matcher(name, "=", value)) for name, value in labels.items() if value]
    _add(room, matchers, form, who)
    return f"/alerts/{quote(key, safe='')}?did=silenced"


def make_silence(room: Room, request: Request, form: Mapping[str, str], who: Identity) -> str:
    """Mute alerts that match what was written."""
    _add(room, [str(m) for m in _matchers(form.get("matchers", ""))], form, who)
    return "/silences?did=silenced"


def _add(room: Room, matchers: list[str], form: Mapping[str, str], who: Identity) -> None:
    add_silence(
        room.watch.ledger.facts,
        matchers,
        author=who.name,
        reason=form.get("reason", ""),
        now=room.now(),
        lasts=duration_of(form.get("lasts", "")),
    )


def expire(room: Room, request: Request, form: Mapping[str, str], who: Identity) -> str:
    """End a silence now."""
    expire_silence(room.watch.ledger.facts, request.path_params["id"], actor=who.name, now=room.now())
    return "/silences?did=ended"
