"""What moved in one window, and what it cost the model: other rows, another concept, and which columns."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

from starlette.requests import Request

from watchkeeper.domain.measurement import Measurement
from watchkeeper.domain.window import Window
from watchkeeper.errors import BadInput, NotFound, WatchkeeperError
from watchkeeper.loop.reports.change import explain_change
from watchkeeper.web.dashboard.fleet import main_measure
from watchkeeper.web.dashboard.kit.filters import period
from watchkeeper.web.dashboard.kit.frame import Page, Room
from watchkeeper.web.dashboard.kit.words import figure, moment
from watchkeeper.web.dashboard.model.page import judged_window, newest_moment

LONGEST = timedelta(days=31)
KEPT_S = 600
"""Seconds for which an answer stands: outcomes that come meanwhile may change it."""
_ONE = threading.Lock()
"""Rows are read and weighted: one such answer is worked out at a time, and kept for a while."""


def change_page(room: Room, request: Request) -> Page:
    """The change of the mean loss from the baseline to one window, in parts, each with its interval."""
    name = room.known_model(request.path_params["model"])
    room.watch.model(name)
    window = _window(room, name, request.query_params.get("window", ""))

    found, trouble = _change(room, name, window)
    parts = [_part(m) for m in found]
    whole = [p for p in parts if not p["column"]]
    data = {
        "model": name,
        "window": {"start": window.start.isoformat(), "end": window.end.isoformat()},
        "title": moment(window.start, now=room.now()),
        "parts": whole,
        "columns": sorted((p for p in parts if p["column"]), key=lambda p: -abs(p["value"] or 0.0)),
        "trouble": trouble,
        "sentence": _sentence(whole),
    }
    return Page(template="change.html.j2", title=f"What moved in {name}", data=data, here="fleet")


def _change(room: Room, name: str, window: Window) -> tuple[list[Measurement], list[str]]:
    """The parts of the change, or why there are none."""

    def ask() -> tuple[list[Measurement], list[str]]:
        with _ONE:
            try:
                return explain_change(room.watch, name, window), []
            except WatchkeeperError as failure:
                return [], [failure.what, *failure.next_steps]

    return room.kept(("change", name, window), ask, seconds=KEPT_S)


def share_of(room: Room, name: str, column: str, asked: str, *, now: bool) -> dict[str, Any]:
    """What one column has to do with the change of performance in the window *asked*.

    It is worked out when *now* is true, or when it is known from before; rows are read for it, which takes seconds.
    """
    window = _window(room, name, asked)
    said: dict[str, Any] = {"window": asked, "title": moment(window.start, now=room.now()), "sentence": ""}
    if not now and not room.kept.knows(("change", name, window)):
        return said
    found, trouble = _change(room, name, window)
    part = next((p for p in map(_part, found) if p["column"] == column), None)
    if trouble:
        said["sentence"] = trouble[0]
    elif part is None or part["value"] is None:
        why = part["reason"] if part is not None and part["reason"] else "it is not among the features"
        said["sentence"] = f"Its share in the change of performance is not known: {why}."
    else:
        between = f", between {part['low']:+.3g} and {part['high']:+.3g}" if part["low"] is not None else ""
        sure = part["low"] is not None and part["low"] * part["high"] > 0
        verb = "raised" if part["value"] > 0 else "lowered"
        said["sentence"] = (
            f"In the window of {said['title']}, other values of {column} {verb} the mean loss by {figure(abs(part['value']))}{between} "
            f"(95% interval){'' if sure else ', which may be chance'}."
        )
    return {**said, "part": part}


def _window(room: Room, name: str, asked: str) -> Window:
    start, slash, end = asked.partition("/")
    if not slash:
        having = {m for m, subject, segment, *_ in room.series_of(name) if not subject and not segment}
        main = main_measure(room.watch.models[name].task, having)
        known = judged_window(room, name, main) if main else None
        if known is not None:
            return known
        length = room.watch.models[name].judge_every
        newest = newest_moment(room, name)
        return Window(newest - length, newest)
    span = period({"start": start, "end": end}, newest=newest_moment(room, name))
    if span.end - span.start > LONGEST:
        raise BadInput(
            "This window is longer than a month.", "Its rows are read and weighted; choose a shorter one."
        )
    if span.start >= span.end:
        raise NotFound("This window is empty.")
    return Window(span.start, span.end)


def _part(m: Measurement) -> dict[str, Any]:
    titles = {"performance_change_covariate": "Other rows", "performance_change_concept": "Another concept"}
    return {
        "measure": m.measure,
        "title": titles.get(m.measure, m.subject),
        "column": m.subject,
        "value": m.value,
        "low": m.interval.low if m.interval else None,
        "high": m.interval.high if m.interval else None,
        "reason": m.reason,
    }


def _sentence(parts: list[dict[str, Any]]) -> str:
    known = {p["measure"]: p for p in parts if p["value"] is not None}
    rows, concept = (known.get(f"performance_change_{w}") for w in ("covariate", "concept"))
    if rows is None and concept is None:
        return ""
    said = []
    if rows is not None:
        sure = rows["low"] is not None and rows["low"] * rows["high"] > 0
        said.append(
            f"Other rows {'raised' if rows['value'] > 0 else 'lowered'} the mean loss by {figure(abs(rows['value']))}"
            + ("" if sure else ", which may be chance")
        )
    if concept is not None:
        sure = concept["low"] is not None and concept["low"] * concept["high"] > 0
        said.append(
            f"{'the' if said else 'The'} relation of rows to outcomes changed it by {figure(concept['value'])}"
            + ("" if sure else ", which may be chance")
        )
    return "; ".join(said) + "."
