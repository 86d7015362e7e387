"""The first screen: is anything wrong, and what should I do?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request

from watchkeeper.domain.measurement import Measure
from watchkeeper.domain.schema import Task
from watchkeeper.measures.catalogue import described_measures
from watchkeeper.ports.page_reads import NewestValue
from watchkeeper.web.charts_data import EPOCH
from watchkeeper.web.dashboard.health import ORDER, Health, headline, health_of, pressing
from watchkeeper.web.dashboard.kit.filters import pager
from watchkeeper.web.dashboard.kit.frame import Page, Room
from watchkeeper.web.dashboard.operate.alert_view import alert_row

MAIN: dict[str, tuple[str, ...]] = {
    "binary": ("roc_auc", "f1", "accuracy"),
    "multiclass": ("accuracy", "f1_macro"),
    "regression": ("mae", "rmse"),
}
"""The measure that stands for a model's performance, by task; the first that has values."""
SIZE = 50
MOST_TO_DO = 5
SORTS = {
    "need": "what needs you",
    "name": "name",
    "last": "newest window first",
    "quiet": "oldest window first",
}


def main_measure(task: Task | None, having: Collection[str]) -> str | None:
    """Which of *having* stands for the model."""
    order = MAIN.get(task.value, ()) if task is not None else ()
    return next((m for m in (*order, *(m for names in MAIN.values() for m in names)) if m in having), None)


def fleet(room: Room, request: Request) -> Page:
    """Every model as a row, sorted by what needs a person."""
    query, now = request.query_params, room.now()
    names = room.models()
    healths = room.kept("healths", lambda: _healths(room, names, now))
    last = room.kept("last", lambda: room.reads.last_windows(names))
    words = query.get("q", "").strip().lower()
    state = query.get("state", "")
    team = query.get("owner", "")
    shown = [
        n
        for n in names
        if (not words or words in n.lower())
        and (state not in ORDER or healths[n].state == state)
        and (not team or _owner(room, n) == team)
    ]
    sort = query.get("sort", "need") if query.get("sort") in SORTS else "need"
    oldest = datetime.min.replace(tzinfo=now.tzinfo)
    keys: dict[str, Any] = {
        "need": lambda n: (-healths[n].rank, n),
        "name": lambda n: n,
        "last": lambda n: (-(last.get(n, oldest) - EPOCH).total_seconds(), n),
        "quiet": lambda n: ((last.get(n, now) - EPOCH).total_seconds(), n),
    }
    shown.sort(key=keys[sort])
    pages = pager(query, total=len(shown), size=SIZE)
    here = shown[pages.offset : pages.offset + SIZE]
    title, sentence = headline([h.state for h in healths.values()])
    todo = _todo(room)
    counts = {s: sum(h.state == s for h in healths.values()) for s in ORDER}
    data = {
        "headline": title,
        "sentence": sentence,
        "gravest": next((s for s in ORDER if counts[s]), "waiting"),
        "todo": todo,
        "firing": sum(t.get("firing", (0, 0))[0] for t in room.alert_tally().values()),
        "counts": counts,
        "models": _rows(room, here, healths, last, now),
        "pager": pages.to_dict(),
        "filters": {
            "q": query.get("q", ""),
            "state": state if state in ORDER else "",
            "sort": sort,
            "owner": team,
        },
        "sorts": SORTS,
        "total": len(names),
    }
    return Page(template="fleet.html.j2", title=title, data=data, here="fleet")


def _todo(room: Room) -> list[dict[str, Any]]:
    """The gravest alert of each of the five models that need somebody most; where fewer models do, further ones.

    The last of each model says how many more it has.
    """
    tally = room.alert_tally()
    # What somebody has in hand recedes.
    firing = sorted(
        room.open_alerts(states=["firing"], limit=200), key=lambda d: bool(d.body.get("acknowledged_by"))
    )
    first: dict[str, Any] = {}
    for document in firing:
        first.setdefault(document.model, document)
    others = (d for d in firing if first[d.model] is not d)
    chosen = {d.key for d in (*first.values(), *others)[:MOST_TO_DO]}
    rows = [alert_row(d) for d in firing if d.key in chosen]
    last = {r["model"]: i for i, r in enumerate(rows)}
    shown = Counter(r["model"] for r in rows)
    for i, row in enumerate(rows):
        there = tally.get(row["model"], {}).get("firing", (1, 0.0))[0]
        row["more"] = max(0, there - shown[row["model"]]) if last[row["model"]] == i else 0
    return rows


def _owner(room: Room, name: str) -> str:
    model = room.watch.models.get(name)
    return model.owner if model is not None else ""


def _healths(room: Room, names: list[str], now: datetime) -> dict[str, Health]:
    tally = room.alert_tally()
    last = room.kept("last", lambda: room.reads.last_windows(names))
    urgent = pressing(room.open_alerts(states=["firing"], limit=5_000))
    return {
        n: health_of(room.watch.models.get(n), tally.get(n, {}), last.get(n), now, pressing=urgent[n])
        for n in names
    }


def _rows(
    room: Room, names: list[str], healths: Mapping[str, Health], last: Mapping[str, datetime], now: datetime
) -> list[dict[str, Any]]:
    described = described_measures()
    main = list(dict.fromkeys(m for order in MAIN.values() for m in order))
    newest: dict[str, dict[str, NewestValue]] = {}
    guesses = [f"estimated_{m}" for m in main]
    for row in room.reads.latest(names, [*main, *guesses, "request_rate", "error_rate"]):
        newest.setdefault(row["model"], {})[row["measure"]] = row
    for row in room.reads.latest(names, ["latency"], whole=False):
        if row["subject"] == "p95":
            newest.setdefault(row["model"], {})["latency"] = row
    for (model_name, measure_name), row in room.reads.last_known(
        _without_outcomes(newest, main), main
    ).items():
        newest[model_name][measure_name] = row
    furthest: dict[str, NewestValue] = {}
    for row in room.reads.latest(names, ["psi"], whole=False):
        held = furthest.get(row["model"])
        if row["value"] is not None and (held is None or row["value"] > (held["value"] or 0.0)):
            furthest[row["model"]] = row
    chosen = {}
    for name in names:
        model = room.watch.models.get(name)
        having = {m: r for m, r in newest.get(name, {}).items() if r["value"] is not None}
        task = model.task if model else None
        realised = main_measure(task, having)
        guess = main_measure(
            task, {m.removeprefix("estimated_") for m in having if m.startswith("estimated_")}
        )
        if realised is not None:
            chosen[name] = realised
        elif guess is not None:
            chosen[name] = f"estimated_{guess}"
    since = max(last.values(), default=now) - timedelta(days=60)
    lines = room.reads.sparks(chosen, start=since)
    tally = room.alert_tally()
    out = []
    for name in names:
        values = newest.get(name, {})
        line = lines.get(name, [])
        out.append(
            {
                "name": name,
                "owner": _owner(room, name),
                "health": healths[name].to_dict(),
                "main": _number(values.get(chosen.get(name, "")), described),
                "spark": [[(d - EPOCH).days, *(float(f"{v:.4g}") for v in rest)] for d, *rest in line],
                "drift": _number(furthest.get(name), described),
                "requests": _number(values.get("request_rate"), described),
                "errors": _number(values.get("error_rate"), described),
                "latency": _number(values.get("latency"), described),
                "last_window": last[name].isoformat() if name in last else None,
                "alerts": {s: n for s, (n, _) in tally.get(name, {}).items()},
            }
        )
    return out


def _without_outcomes(
    newest: Mapping[str, Mapping[str, Mapping[str, Any]]], main: Sequence[str]
) -> list[str]:
    """Models whose newest window still waits for its outcomes: an older window says how they do."""
    return [
        name for name, rows in newest.items() if any(m in rows and rows[m]["value"] is None for m in main)
    ]


def _number(row: Mapping[str, Any] | None, described: Mapping[str, Measure]) -> dict[str, Any] | None:
    """A measurement as a cell says it; None where there is none."""
    if row is None:
        return None
    measure = described.get(row["measure"])
    return {
        "measure": row["measure"],
        "title": measure.title if measure else row["measure"],
        "unit": measure.unit if measure else "",
        "subject": row["subject"],
        "value": row["value"],
        "low": row["low"],
        "high": row["high"],
        "rows": row["rows"],
        "reason": row["reason"],
    }
