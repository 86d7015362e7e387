"""One column: how it looked in any two windows, and how it went over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request

from watchkeeper.documents.drawing.column_view import change_in_words, picture_of, summary_of
from watchkeeper.domain.window import Window
from watchkeeper.errors import BadInput, NotFound, nearest
from watchkeeper.loop.watch.profile_rollups import ColumnBetween, column_between, columns_by_time
from watchkeeper.measures.catalogue import described_measures
from watchkeeper.stats.states.frequencies import Frequencies
from watchkeeper.stats.states.histogram import Histogram
from watchkeeper.stats.states.profile import ColumnProfile
from watchkeeper.web.charts_data import fold_spreads
from watchkeeper.web.dashboard.fleet import main_measure
from watchkeeper.web.dashboard.kit.filters import Period, period
from watchkeeper.web.dashboard.kit.frame import Page, Room
from watchkeeper.web.dashboard.kit.words import per_cent, span_of_days
from watchkeeper.web.dashboard.model.change import share_of
from watchkeeper.web.dashboard.model.page import (
    judged_window,
    newest_moment,
    room_has_baseline,
    span_of,
    window_query,
)

DAY = timedelta(days=1)
QUANTILES = {"p5": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}
MOST_SEGMENTS = 60
MOST_POINTS = 400
"""Points of a column over time: two pixels each on a wide page."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two that are compared: its name in the URL, in words, and its profile if there is one."""

    asked: str
    title: str
    profile: ColumnProfile | None
    left_out: int = 0
    """Stored windows that could not be read."""


def column_within(room: Room, model: str, column: str, window: Window, segment: str) -> ColumnBetween:
    """The merge of the stored windows within *window*."""
    if model not in room.watch.models:
        return ColumnBetween(profile=None)
    # The page and its chart ask for the same.
    return room.kept(
        ("side", model, column, window, segment),
        lambda: column_between(room.watch, model, column, window, segment=segment),
        seconds=10,
    )


def sides_of(
    room: Room, model: str, column: str, query: Mapping[str, str], shown: Period
) -> tuple[Side, Side]:
    """The two windows of the URL: ``a`` (the baseline, unless said) and ``b`` (the newest judged window, unless said).

    Each is ``baseline``, ``newest``, ``period``, or ``START/END`` with times in ISO 8601; ``own`` takes the two
    from ``a_from`` and ``a_to`` (or ``b_from``, ``b_to``).
    """
    segment = query.get("segment", "")
    return (
        _side(room, model, column, _asked(query, "a", "baseline"), shown, segment),
        _side(room, model, column, _asked(query, "b", "newest"), shown, segment),
    )


def _asked(query: Mapping[str, str], side: str, usual: str) -> str:
    """The window of one side as the URL says it; two dates of a form are one window."""
    asked = query.get(side) or usual
    if asked != "own":
        return asked
    start, end = query.get(f"{side}_from", ""), query.get(f"{side}_to", "")
    if not start or not end:
        raise BadInput("A window of your own needs both of its dates.", "Choose the first and the last day.")
    return f"{start}/{end}"


def _side(room: Room, model: str, column: str, asked: str, shown: Period, segment: str) -> Side:
    if asked == "baseline":
        made = room.watch.baseline(model) if model in room.watch.models else None
        held = made.profile.columns.get(column) if made is not None else None
        return Side(asked, "baseline", held)
    if asked == "newest":
        watched = room.watch.models.get(model)
        length = watched.judge_every if watched is not None else timedelta(days=1)
        end = newest_moment(room, model)
        window = Window(end - length, end)
        title = "newest window"
    elif asked == "period":
        window, title = Window(shown.start, shown.end), "the whole period"
    else:
        window = _window(asked)
        title = span_of_days(window.start, window.end, now=room.now())
    found = column_within(room, model, column, window, segment)
    return Side(asked, title, found.profile, found.unreadable)


def _window(text: str) -> Window:
    start, slash, end = text.partition("/")
    if not slash:
        raise BadInput(
            f"{text!r} is not a window.",
            "Write baseline, newest, period, or START/END such as 2026-03-01/2026-03-08.",
        )
    span = period({"start": start, "end": end}, newest=datetime.fromisoformat("2000-01-01T00:00+00:00"))
    return Window(span.start, span.end)


def column_page(room: Room, request: Request) -> Page:
    """Baseline against window, in words, a picture and figures; then over time."""
    model = room.known_model(request.path_params["model"])
    column = request.path_params["column"]
    query = request.query_params
    known = room.series_of(model)
    series = {(m, s) for m, s, *_ in known}
    columns = {s for m, s in series if m in ("psi", "missing")}
    if column not in columns:
        made = room.watch.baseline(model) if model in room.watch.models else None
        if made is None or column not in made.profile.columns:
            raise NotFound(f"{model} has no column {column!r}.{nearest(column, columns)}")
    shown = span_of(room, model, query)
    segment = query.get("segment", "")
    segments = sorted({g for _, s, g, *_ in known if g and s == column})
    before, after = sides_of(room, model, column, query, shown)
    described = described_measures()
    newest = {
        r["measure"]: r
        for r in room.reads.latest([model], list(described), whole=False, segment=segment)
        if r["subject"] == column
    }
    profile = after.profile or before.profile
    asked = {"a": before.asked, "b": after.asked, **({"segment": segment} if segment else {})}
    over_time = [m for m in ("psi", "missing", "new_categories", "out_of_range") if (m, column) in series]
    data = {
        "model": model,
        "column": column,
        "kind": str(profile.column.kind.value) if profile is not None else "",
        "role": str(profile.column.role.value) if profile is not None else "",
        "segment": segment,
        "segments": segments[:MOST_SEGMENTS],
        "period": shown.to_dict(),
        "period_query": urlencode(shown.query),
        "a": _side_of(before),
        "b": _side_of(after),
        "left_out": _left_out(before, after),
        "share": _share(room, model, column, query),
        "sentence": _sentence(column, before, after),
        "drawable": bool(before.profile and after.profile and picture_of(before.profile, after.profile)),
        "chart_query": urlencode({**shown.query, **asked, "column": column}),
        "figures": _figures(before, after),
        "categories": _categories(before, after),
        "over_time": [
            {"measure": m, "title": described[m].title, "sentence": described[m].sentence} for m in over_time
        ],
        "bands": profile is not None and profile.histogram is not None,
        "measures": [
            {
                "measure": m,
                "title": described[m].title,
                "unit": described[m].unit,
                **{k: r[k] for k in ("value", "low", "high", "margin", "rows", "reason")},
            }
            for m, r in sorted(newest.items(), key=lambda item: list(described).index(item[0]))
        ],
    }
    return Page(template="column.html.j2", title=f"{column} of {model}", data=data, here="fleet")


def _side_of(side: Side) -> dict[str, Any]:
    first, slash, last = side.asked.partition("/")
    return {
        "asked": side.asked,
        "title": side.title,
        "there": side.profile is not None,
        "from": first[:10] if slash else "",
        "to": last[:10] if slash else "",
    }


def _left_out(before: Side, after: Side) -> str:
    """What the two windows do not hold, though it is stored."""
    told = [f"{s.left_out:,} of {s.title}" for s in (before, after) if s.left_out]
    if not told:
        return ""
    return f"Left out, because they cannot be read with the baseline of today: {' and '.join(told)} (stored windows)."


def _share(room: Room, model: str, column: str, query: Mapping[str, str]) -> dict[str, Any] | None:
    """What the column has to do with the newest change of performance; None where that cannot be told."""
    watched = room.watch.models.get(model)
    if watched is None or not room_has_baseline(room, model):
        return None
    having = {m for m, subject, segment, *_ in room.series_of(model) if not subject and not segment}
    main = main_measure(watched.task, having)
    window = judged_window(room, model, main) if main else None
    if window is None:
        return None
    return share_of(room, model, column, window_query(window), now=query.get("share") == "1")


def _sentence(column: str, before: Side, after: Side) -> str:
    if after.profile is None and before.profile is None:
        return "Neither of the two windows holds this column."
    if after.profile is None or before.profile is None:
        missing = after if after.profile is None else before
        what = (
            "There is no baseline yet"
            if missing.asked == "baseline"
            else f"Nothing is stored for {'the ' if missing.asked == 'newest' else ''}{missing.title}"
        )
        return f"{what}, so there is nothing to compare with."
    said = change_in_words(before.profile, after.profile)
    if not said:
        return f"It looks as in the {before.title}." if before.asked == "baseline" else "The two look alike."
    return f"{said[0].upper()}{said[1:]}."


def _figures(before: Side, after: Side) -> list[dict[str, Any]]:
    if before.profile is None or after.profile is None:
        return []
    return [{"name": n, "a": a, "b": b} for n, a, b in summary_of(before.profile, after.profile)]


def _categories(before: Side, after: Side) -> dict[str, Any] | None:
    """Categories that came and went, with their shares."""
    sides = [s.profile.frequencies if s.profile is not None else None for s in (before, after)]
    if not all(isinstance(f, Frequencies) for f in sides):
        return None
    old, new = sides
    assert old is not None
    assert new is not None
    came = sorted((n for n in new.counts if n not in old.counts), key=lambda n: -new.counts[n])
    went = sorted((n for n in old.counts if n not in new.counts), key=lambda n: -old.counts[n])
    return {
        "came": [{"name": n, "share": new.counts[n] / max(new.total, 1), "said": per_cent(new.counts[n] / max(new.total, 1))} for n in came[:20]],
        "went": [{"name": n, "share": old.counts[n] / max(old.total, 1), "said": per_cent(old.counts[n] / max(old.total, 1))} for n in went[:20]],
        "came_more": max(0, len(came) - 20),
        "went_more": max(0, len(went) - 20),
        "not_listed": bool(old.error or new.error or old.other or new.other),
    }  # fmt: skip


def spread_by_time(
    room: Room, model: str, column: str, shown: Period, *, segment: str = ""
) -> list[dict[str, Any]]:
    """Quantiles of the column over the period, in at most `MOST_POINTS` rows.

    The windows' own numbers in the ledger are read: a year of hours is one index range there, and thousands of
    profiles in the lake. Windows that were measured before the ledger kept these numbers are merged from the lake.
    """
    found = room.reads.spreads(model, column, start=shown.start, end=shown.end, segment=segment)
    rows = fold_spreads(found, MOST_POINTS)
    begins = rows[0]["start"] if rows else shown.end
    first = room.first_window(model)
    if first is None or begins <= max(shown.start, first) + room.watch.models[model].judge_every:
        return rows
    before = Period(max(shown.start, first), begins)
    earlier = room.kept(
        ("spread", model, column, segment, before.start, before.end),
        lambda: _from_the_lake(room, model, column, before, segment),
        seconds=300,
    )
    return [*earlier, *rows]


def _from_the_lake(room: Room, model: str, column: str, shown: Period, segment: str) -> list[dict[str, Any]]:
    """Quantiles of merged profiles, in spans as long as make at most `MOST_POINTS` of them."""
    length = max(room.watch.models[model].cadence, (shown.end - shown.start) / MOST_POINTS)
    if length > DAY / 2:
        length = max(length, DAY)  # days are merged already
    found = columns_by_time(
        room.watch, model, column, Window(shown.start, shown.end), length, segment=segment
    )
    return _quantiles(found)


def _quantiles(found: Sequence[tuple[datetime, ColumnProfile | None]]) -> list[dict[str, Any]]:
    rows = []
    for start, profile in found:
        h = profile.histogram if profile is not None else None
        if isinstance(h, Histogram) and h.n:
            values = h.quantile(list(QUANTILES.values()))
            rows.append(
                {
                    "start": start,
                    **{name: float(v) for name, v in zip(QUANTILES, values)},
                    "rows": float(h.total),
                }
            )
    return rows
