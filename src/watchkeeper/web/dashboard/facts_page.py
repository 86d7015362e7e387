"""Who did what, when: the ledger's facts, newest first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from watchkeeper.web.dashboard.kit.filters import whole
from watchkeeper.web.dashboard.kit.frame import Page, Room
from watchkeeper.web.dashboard.kit.words import figure

SIZE = 100
KINDS = {
    "": "everything",
    "alert.*": "alerts",
    "silence.*": "silences",
    "incident.*": "incidents",
    "baseline.*": "baselines",
    "window.*": "windows",
    "outcomes.*": "outcomes handed in",
    "labels.*": "labels asked for and read",
    "comparison.*": "comparisons",
    "notification.*": "messages to send",
    "outbox.*": "messages sent",
    "model.*": "calibrations",
    "backfill.*": "backfills",
    "session.*": "sign-ins",
    "token.*": "tokens",
    "rows.*": "rows",
}


def facts_page(room: Room, request: Request) -> Page:
    """The audit trail. ``before`` pages by sequence, so that new facts never shift what is being read."""
    query = request.query_params
    kind, model, actor = query.get("kind", ""), query.get("model", ""), query.get("actor", "").strip()
    before = whole(query, "before", usual=0, least=0, most=2**62)
    found = room.reads.facts(
        kinds=[kind] if kind else [],
        model=model or None,
        actor=actor or None,
        before=before or None,
        limit=SIZE + 1,
    )
    rows = [_row(f) for f in found[:SIZE]]
    data = {
        "facts": rows,
        "older": rows[-1]["sequence"] if len(found) > SIZE else None,
        "filters": {"kind": kind, "model": model, "actor": actor},
        "kinds": KINDS,
        "first": not before,
    }
    return Page(template="facts.html.j2", title="Facts", data=data, here="facts")


def _row(fact: Any) -> dict[str, Any]:
    return {
        "sequence": fact.sequence,
        "at": fact.at.isoformat(),
        "kind": fact.kind,
        "actor": fact.actor,
        "model": fact.model,
        "subject": fact.subject,
        "body": dict(fact.body),
        "said": _said(fact.body),
    }


def _said(body: Mapping[str, Any]) -> str:
    """What a fact holds, as it may be read; the twin has the body itself.

    >>> _said({"rows": 1200, "mature": True, "moved_from": None, "channels": ["mail", "chat"]})
    'rows 1,200; mature yes; channels mail, chat'
    """
    said = []
    for name, value in body.items():
        if value is None or value == "" or value == [] or value == {}:
            continue
        if isinstance(value, (int, float)):
            word = figure(value)
        elif isinstance(value, list) and all(isinstance(v, (str, int, float)) for v in value):
            word = ", ".join(map(str, value))
        else:
            word = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        said.append(f"{name.replace('_', ' ')} {word}")
    text = "; ".join(said)
    return text if len(text) <= 400 else text[:399] + "…"
