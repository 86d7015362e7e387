"""Search from the keyboard: models, columns and alerts by a few letters."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from watchkeeper.web.dashboard.kit.frame import Room
from watchkeeper.web.dashboard.operate.alert_view import alert_row

MOST = 8


def search(room: Room, request: Request) -> Response:
    """Up to eight of each: ``[{kind, title, note, path}]``; names that begin with the words come first."""
    words = request.query_params.get("q", "").strip().lower()[:100]
    found: list[dict[str, Any]] = []
    if words:
        names = [n for n in room.models() if words in n.lower()]
        names.sort(key=lambda n: (not n.lower().startswith(words), n))
        found += [
            {"kind": "model", "title": n, "note": "", "path": f"/models/{quote(n, safe='')}"}
            for n in names[:MOST]
        ]
        for model, column in room.reads.search(words, limit=MOST):
            path = f"/models/{quote(model, safe='')}/columns/{quote(column, safe='')}"
            found.append({"kind": "column", "title": column, "note": model, "path": path})
        alerts = room.kept(
            "alerts to search",
            lambda: [alert_row(d) for d in room.open_alerts(limit=500)],
            seconds=10,
        )
        hits = [a for a in alerts if words in a["sentence"].lower() or words in a["rule"].lower()][:MOST]
        found += [
            {
                "kind": "alert",
                "title": a["sentence"],
                "note": a["model"],
                "path": f"/alerts/{quote(a['key'], safe='')}",
            }
            for a in hits
        ]
    return JSONResponse({"query": words, "found": found})
