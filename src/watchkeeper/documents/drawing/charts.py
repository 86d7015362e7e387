"""Charts for pages, reports and messages: Vega-Lite specifications, built once with their place and theme.

A chart names what it draws (``measured``, ``threshold``, ``alert``); the theme says which colour that is, in Vega's
own ``config``. Nothing is fetched: the data stand in the specification, and the renderer may not open any address.
No meaning rests on colour alone: alerts are triangles, versions lines with a name, estimates dashed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal

from watchkeeper.documents.drawing.picture import Picture

if TYPE_CHECKING:
    import pyarrow as pa


SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
Spec = dict[str, Any]
Theme = Literal["light", "dark"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a chart is shown, and in which theme.

    On a ``page`` it is as wide as its container, its title stands beside it as text, and dragging selects a span. In
    a ``report`` (a file of its own) and in a ``message`` it carries its title and says its own names.
    """

    kind: Literal["page", "report", "message"] = "message"
    theme: Theme = "light"

    @property
    def on_page(self) -> bool:
        """Whether the page around it says its title and legend."""
        return self.kind == "page"


MESSAGE = Place()
COLOURS: dict[Theme, dict[str, str]] = {
    "light": {
        "ink": "#1b2127",
        "soft": "#57626c",
        "line": "#e5e2db",
        "measured": "#1f5fa8",
        "base": "#cfd3d8",
        "grey": "#8a929a",
        "doubt": "#7a5a00",
        "fail": "#9c2f1b",
        "cold": "#f3f1ec",
        "warm": "#d98b6b",
        "card": "#ffffff",
    },
    "dark": {
        "ink": "#e8e6e1",
        "soft": "#a0a8b0",
        "line": "#2c3239",
        "measured": "#7db4f0",
        "base": "#454d56",
        "grey": "#7c8690",
        "doubt": "#e6c873",
        "fail": "#f2a08c",
        "cold": "#22272d",
        "warm": "#a5583f",
        "card": "#1b1f24",
    },
}
MANY = 45
"""From so many windows on, single ones are faint and the mean of the last `TOGETHER` is bold."""
TOGETHER = 7
BRUSH = {"name": "brush", "select": {"type": "interval", "encodings": ["x"]}}


def config_of(place: Place) -> Spec:
    """Vega's configuration at *place*: fonts, ground, and the colour of everything that a chart names."""
    c = COLOURS[place.theme]
    return {
        "background": "transparent" if place.on_page else c["card"],
        "font": "system-ui, -apple-system, Segoe UI, Roboto, Helvetica Neue, Arial, sans-serif",
        "view": {"stroke": None},
        "title": {
            "color": c["ink"],
            "fontSize": 15,
            "fontWeight": 600,
            "anchor": "start",
            "offset": 12,
            "subtitleColor": c["soft"],
        },
        "axis": {
            "labelColor": c["soft"],
            "labelFontSize": 12,
            "labelPadding": 6,
            "titleColor": c["soft"],
            "titleFontWeight": 400,
            "gridColor": c["line"],
            "domainColor": c["line"],
            "tickColor": c["line"],
        },
        "legend": {
            "labelColor": c["soft"],
            "labelFontSize": 12,
            "titleColor": c["soft"],
            "titleFontWeight": 400,
        },
        "text": {"color": c["soft"]},
        "range": {"category": [c["base"], c["measured"]], "heatmap": [c["cold"], c["warm"], c["fail"]]},
        "style": {
            "measured": {"color": c["measured"], "strokeWidth": 1.8},
            "single": {"color": c["measured"], "strokeWidth": 1, "opacity": 0.45},
            "several": {"color": c["measured"], "strokeWidth": 2.4},
            "interval": {"color": c["measured"], "opacity": 0.16},
            "range": {"color": c["measured"], "opacity": 0.3},
            "half": {"color": c["measured"], "opacity": 0.26},
            "estimate": {"color": c["grey"], "strokeWidth": 1.6, "strokeDash": [5, 4]},
            "estimate-interval": {"color": c["grey"], "opacity": 0.2},
            "tolerated": {"color": c["grey"], "opacity": 0.13},
            "baseline": {"color": c["soft"], "strokeDash": [2, 3]},
            "threshold": {"color": c["fail"], "strokeDash": [6, 4]},
            "ink": {"color": c["ink"]},
            "event": {"color": c["soft"]},
            "fail": {"color": c["fail"]},
            "alert": {"color": c["fail"], "size": 70, "shape": "triangle-up", "opacity": 1},
            "firing": {"color": c["fail"], "opacity": 0.1},
            "incident": {"color": c["doubt"], "opacity": 0.12},
            "apart": {"color": c["doubt"], "opacity": 1},
        },
    }


LEGEND = {
    "measured": "measured",
    "single": "each window",
    "several": f"mean of {TOGETHER} windows",
    "range": "least to largest",
    "interval": "95% interval",
    "estimate": "estimated without outcomes",
    "apart": "the two differ by more than chance",
    "tolerated": "tolerated",
    "incident": "incident",
    "firing": "alert firing",
    "alert": "alert fired",
}
"""What each style means, in the order in which a legend lists them; what has its name in the chart is left out."""


def legend_of(spec: Spec) -> list[tuple[str, str]]:
    """(style, meaning) of everything that a chart draws more than one of.

    >>> legend_of(series_line([{"at": "2026-03-01T00:00:00Z", "value": 0.1}], title="PSI of age"))
    []
    """
    drawn = {layer["mark"].get("style") for layer in spec["layer"]}
    found = [(style, words) for style, words in LEGEND.items() if style in drawn]
    return found if len(found) > 1 else []


def points_of(table: pa.Table) -> list[Spec]:
    """The points of one series (`MeasurementStore.series`) as `series_line` takes them."""
    names = {"start": "at", "end": "end", "value": "value", "low": "low", "high": "high"}
    present = [c for c in names if c in table.column_names]
    return [{names[c]: row[c] for c in present} for row in table.select(present).to_pylist()]


def series_line(
    points: Sequence[Mapping[str, Any]],
    *,
    title: str,
    subtitle: str = "",
    unit: str = "",
    place: Place = MESSAGE,
    span: tuple[datetime | str, datetime | str] | None = None,
    threshold: float | None = None,
    baseline: float | None = None,
    tolerated: tuple[float, float] | None = None,
    estimated: Sequence[Mapping[str, Any]] = (),
    apart: Sequence[Mapping[str, Any]] = (),
    spans: Sequence[Mapping[str, Any]] = (),
    marks: Iterable[Mapping[str, Any]] = (),
    alerts: Sequence[Mapping[str, Any]] = (),
    width: int = 560,
    height: int = 220,
) -> Spec:
    """A series by time, one step a window, with its interval, what it is held against, and what happened.

    Parameters
    ----------
    points : each has ``at`` (datetime or ISO text) and ``value`` (None leaves a gap), maybe ``end`` (else the next
        window's start), ``low`` and ``high`` (interval), ``least`` and ``largest`` (of several windows drawn as one).
    estimated : the same measure without outcomes, drawn dashed.
    span : what the axis of time covers; without it, what the points cover.
    threshold, baseline : drawn as rules with their names; *tolerated* as a band.
    apart : spans, ``at`` to ``end``, in which estimate and outcome differ by more than chance.
    spans : ``at``, ``end``, ``text`` and ``kind`` (``"firing"`` or ``"incident"``), maybe ``link`` (a path): shaded.
    marks : each has ``at`` and ``text``, maybe ``kind`` (``"fail"`` is red), ``link``, and ``side`` (``"left"``: the
        text stands before its line): versions, deployments, when it began.
    alerts : ``at``, ``text`` and maybe ``link`` (a path): triangles at the foot.

    >>> spec = series_line([{"at": "2026-03-01T00:00:00Z", "value": 0.1}], title="PSI of age", threshold=0.2)
    >>> [layer["mark"]["type"] for layer in spec["layer"]]
    ['line', 'rule', 'text']
    """
    rows, guesses = _rows(points), _rows(estimated)
    covered = _covered(span, [*rows, *guesses])
    several = any("least" in r for r in rows)
    many = len(rows) > MANY and not several
    if many:
        _running_mean(rows)
    numbers = [r[k] for r in (*rows, *guesses) for k in ("value", "low", "high") if r.get(k) is not None]
    steps, x = _time_axes(covered)
    y = _value_axis(unit, [*numbers, *(v for v in (threshold, baseline) if v is not None and isfinite(v))])

    def band(style: str, low: str, high: str, given: Spec) -> Spec:
        return {
            **given,
            "mark": {"type": "area", "style": style, "invalid": "break-paths-show-domains", "clip": True},
            "encoding": {"x": steps, "y": {**y, "field": low}, "y2": {"field": high}},
        }

    def line(style: str, field: str, given: Spec) -> Spec:
        return {
            **given,
            "mark": {"type": "line", "style": style, "invalid": "break-paths-show-domains", "clip": True},
            "encoding": {"x": steps, "y": {**y, "field": field}},
        }

    guessed: Spec = {"data": _windows("estimated", guesses), "transform": [STEPS]}
    layers = _shade(spans, x)
    if tolerated is not None:
        layers.append(_level_band(tolerated, y))
    if several:
        layers.append(band("range", "least", "largest", {}))
    if any(r["low"] is not None and r["high"] is not None for r in rows):
        layers.append(band("interval", "low", "high", {}))
    if guesses:
        layers += [band("estimate-interval", "low", "high", guessed), line("estimate", "value", guessed)]
    layers.append(line("single" if many else "measured", "value", {}))
    if many:
        layers.append(line("several", "mean", {}))
    if place.on_page:
        layers[-1]["params"] = [BRUSH]
    # What moved has left its baseline at the right end: there the name stands free.
    for level, name, side in ((threshold, "threshold", "left"), (baseline, "baseline", "right")):
        if level is not None and isfinite(level):
            layers += _level(level, name, y, side, unit=unit)
    if apart:
        layers.append(_strip(apart, x))
    layers += _marks(marks, x)
    if alerts:
        layers.append(_triangles(alerts, x, {"value": height - 6}))
    return {
        **_head(title, subtitle, place, width, height),
        "data": _windows("points", rows),
        "transform": [STEPS],
        "layer": layers,
    }


def distribution(
    picture: Picture,
    *,
    title: str,
    subtitle: str = "",
    place: Place = MESSAGE,
    names: tuple[str, str] = ("baseline", "window"),
    width: int = 560,
    height: int = 220,
) -> Spec:
    """The first side's shares as an area (or bars), the second's as a line (or ticks) over it.

    >>> picture = Picture(baseline=(0.5, 0.5), current=(0.2, 0.8), labels=("a", "b"))
    >>> [layer["mark"]["type"] for layer in distribution(picture, title="plan")["layer"]]
    ['bar', 'tick']
    """
    sides = (("before", picture.baseline), ("after", picture.current))
    colour = {
        "field": "rows",
        "type": "nominal",
        "title": None,
        "scale": {"domain": list(names), "range": "category"},
        "legend": {"orient": "top", "symbolType": "square", "symbolStrokeWidth": 0, "labelLimit": 320},
    }
    y: Spec = {
        "field": "share",
        "type": "quantitative",
        "title": None if place.on_page else "share of rows",
        "axis": {"format": "~%", "tickCount": 4, "domain": False, "ticks": False},
    }
    tooltip = [
        {"field": "name", "title": "value"},
        {"field": "rows", "title": "rows of"},
        {"field": "share", "type": "quantitative", "format": ".3~%"},
    ]
    if picture.labels:
        values: list[Spec] = [
            {"name": name, "side": side, "rows": said, "share": share}
            for (side, shares), said in zip(sides, names)
            for name, share in zip(picture.labels, shares)
        ]
        x: Spec = {
            "field": "name",
            "type": "nominal",
            "sort": list(picture.labels),
            "title": None,
            "axis": {"labelAngle": 0, "labelOverlap": "greedy"},
        }
        shapes: tuple[Spec, Spec] = ({"type": "bar"}, {"type": "tick", "thickness": 3, "bandSize": 28})
    else:
        borders = [_moment(b) for b in picture.borders] if picture.is_time else list(picture.borders)
        # A step needs its last value twice: once where the last bin starts, once where it ends.
        values = [
            {"from": at, "side": side, "rows": said, "share": share}
            for (side, shares), said in zip(sides, names)
            for at, share in zip(borders, (*shares, *shares[-1:]))
        ]
        x = {
            "field": "from",
            "type": "temporal" if picture.is_time else "quantitative",
            "title": None,
            "scale": {"zero": False, "nice": False, **({"type": "utc"} if picture.is_time else {})},
            "axis": {"grid": False},
        }
        step = {"interpolate": "step-after"}
        shapes = ({"type": "area", **step, "line": False}, {"type": "line", **step, "strokeWidth": 1.8})
    encoding = {"x": x, "y": y, "color": colour, **({"tooltip": tooltip} if picture.labels else {})}
    return {
        **_head(title, subtitle, place, width, height),
        "description": f"{title}: shares of {names[0]} and of {names[1]}"
        + (f". {subtitle}" if subtitle else ""),
        "data": {"name": "shares", "values": values},
        "layer": [
            {
                "transform": [{"filter": f"datum.side == '{side}'"}],
                "mark": {**shape, "opacity": 1},
                "encoding": encoding,
            }
            for (side, _), shape in zip(sides, shapes)
        ],
    }


def column_bands(
    points: Sequence[Mapping[str, Any]],
    *,
    title: str,
    subtitle: str = "",
    place: Place = MESSAGE,
    span: tuple[datetime | str, datetime | str] | None = None,
    baseline: Mapping[str, float] | None = None,
    marks: Iterable[Mapping[str, Any]] = (),
    spans: Sequence[Mapping[str, Any]] = (),
    alerts: Sequence[Mapping[str, Any]] = (),
    width: int = 560,
    height: int = 240,
) -> Spec:
    """A numeric column over time, one step a window: the median in bands from the 5th to the 95th percentile.

    *points* have ``at``, maybe ``end``, and ``p5``, ``p25``, ``p50``, ``p75``, ``p95``; so has *baseline*, whose
    quartiles are drawn as lines.
    """
    rows = _rows(points, ("p5", "p25", "p50", "p75", "p95"))
    steps, x = _time_axes(_covered(span, rows))
    y = _value_axis("", [r[k] for r in rows for k in ("p5", "p95") if r[k] is not None])
    layers = _shade(spans, x)
    for low, high, style in (("p5", "p95", "interval"), ("p25", "p75", "half")):
        layers.append(
            {
                "mark": {"type": "area", "style": style, "clip": True},
                "encoding": {"x": steps, "y": {**y, "field": low}, "y2": {"field": high}},
            }
        )
    layers.append(
        {
            "mark": {"type": "line", "style": "measured", "clip": True},
            "encoding": {"x": steps, "y": {**y, "field": "p50"}},
            **({"params": [BRUSH]} if place.on_page else {}),
        }
    )
    for name, word in (("p25", ""), ("p50", "baseline"), ("p75", "")):
        if baseline and name in baseline:
            layers += _level(baseline[name], word, y, "right", style="baseline")
    layers += _marks(marks, x)
    if alerts:
        layers.append(_triangles(alerts, x, {"value": height - 6}))
    return {
        **_head(title, subtitle, place, width, height),
        "data": _windows("points", rows),
        "transform": [STEPS],
        "layer": layers,
    }


def heat_map(
    columns: Sequence[str],
    times: Sequence[datetime | str],
    cells: Sequence[Sequence[float | None]],
    *,
    title: str,
    top: float,
    subtitle: str = "",
    place: Place = MESSAGE,
    marks: Sequence[Mapping[str, Any]] = (),
    alerts: Sequence[Mapping[str, Any]] = (),
    width: int = 640,
) -> Spec:
    """Columns by time; stronger is further from the baseline. Rows keep their order; a cell without a number is empty.

    ``cells[i][j]`` is column i between ``times[j]`` and ``times[j + 1]``. *top* is the value at which the strongest
    colour is reached. *alerts* have a row of their own below the columns, *marks* a line through all of them.
    """
    when = [_time(t) for t in times]
    said = json.dumps([_cut(n, 26) for n in (*columns, "alerts")])
    values = [{"c": i, "v": [_number(v) for v in row]} for i, row in enumerate(cells)]
    unfolded = [  # one row a column in the data, one a cell in the drawing
        {"flatten": ["v"], "as": ["value"]},
        {"window": [{"op": "row_number", "as": "k"}], "groupby": ["c"]},
        {"calculate": f"toDate({json.dumps(when)}[datum.k - 1])", "as": "at"},
        {"calculate": f"toDate({json.dumps(when)}[datum.k])", "as": "end"},
        {"calculate": f"{json.dumps(list(columns))}[datum.c]", "as": "name"},
        {"filter": "isValid(datum.value)"},
    ]
    down = list(range(len(columns) + bool(alerts)))
    step = 20 if len(columns) <= 24 else 14
    x = _time_axes((when[0], when[-1]))[1] if when else {"field": "at", "type": "temporal"}
    y: Spec = {
        "field": "c",
        "type": "ordinal",
        "scale": {"domain": down},
        "axis": {
            "title": None,
            "labelExpr": f"{said}[datum.value]",
            "domain": False,
            "ticks": False,
            "labelLimit": 190,
            "labelFontSize": 11 if step < 18 else 12,
        },
    }
    legend = {
        "orient": "bottom",
        "direction": "horizontal",
        "title": None,
        "values": [0, top],
        "labelExpr": f"datum.value >= {top} ? '{top:g} or more' : 'as the baseline'",
        "gradientLength": 240,
        "gradientThickness": 8,
        "offset": 4,
    }
    colour = {
        "field": "value",
        "type": "quantitative",
        "scale": {"domain": [0, top / 2, top], "range": "heatmap", "clamp": True, "interpolate": "lab"},
        "legend": legend,
    }
    tooltip = [
        {"field": "name", "title": "column"},
        {"field": "value", "type": "quantitative", "title": title, "format": ".3~g"},
        {"field": "at", "timeUnit": "utcyearmonthdate", "title": "from", "format": "%-d %b %Y"},
    ]
    picked = {"name": "picked", "select": {"type": "point", "fields": ["c"], "toggle": False}}
    layers: list[Spec] = [
        {
            "data": {"name": "cells", "values": values},
            "transform": unfolded,
            "mark": {"type": "rect", "cornerRadius": 1},
            "encoding": {"x": x, "x2": {"field": "end"}, "y": y, "color": colour, "tooltip": tooltip},
            **({"params": [picked]} if place.on_page else {}),
        }
    ]
    if when:
        layers += _marks([m for m in marks if when[0] <= _time(m["at"]) <= when[-1]], x, above=True)
        inside = [{**a, "c": len(columns)} for a in alerts if when[0] <= _time(a["at"]) <= when[-1]]
        if inside:
            layers.append(_triangles(inside, x, {"field": "c", "type": "ordinal", "scale": {"domain": down}}))
    return {
        **_head(title, subtitle, place, width, step * max(1, len(down))),
        "layer": layers,
    }


def render_png(spec: Mapping[str, Any], *, scale: float = 2.0) -> bytes:
    """The picture of *spec* for those who cannot run it: mails, chats, PDFs. About 0.1 s."""
    import vl_convert

    return bytes(vl_convert.vegalite_to_png(dict(spec), scale=scale, allowed_base_urls=[]))


def render_svg(spec: Mapping[str, Any]) -> str:
    """The drawing of *spec*, for pages that must stand alone."""
    import vl_convert

    return str(vl_convert.vegalite_to_svg(dict(spec), allowed_base_urls=[]))


# ---- the parts ----------------------------------------------------------------------------------------

DATES = {"parse": {"at": "date", "end": "date"}}
STEPS = {"fold": ["at", "end"], "as": ["edge", "t"]}
"""Each window is drawn from its start to its end; what lies between two windows is a step, never a slope."""


def _head(title: str, subtitle: str, place: Place, width: int, height: int) -> Spec:
    said = title + (f". {subtitle}" if subtitle else "")
    head: Spec = {"$schema": SCHEMA, "description": said, "height": height, "config": config_of(place)}
    if place.on_page:
        return {**head, "width": "container", "autosize": {"type": "fit-x", "contains": "padding"}}
    heading = {"text": title, **({"subtitle": subtitle} if subtitle else {})}
    padding = {"padding": 18} if place.kind == "report" else {}
    return {**head, **padding, "title": heading, "width": 760 if place.kind == "report" else width}


def _windows(name: str, rows: list[Spec]) -> Spec:
    return {"name": name, "values": rows, "format": DATES}


def _rows(points: Sequence[Mapping[str, Any]], names: Sequence[str] = ("value", "low", "high")) -> list[Spec]:
    """Points as the chart's data: times as text, numbers finite, every window with its end."""
    rows = []
    times = [_time(p["at"]) for p in points]
    for i, p in enumerate(points):
        following = times[i + 1] if i + 1 < len(times) else None
        row: Spec = {"at": times[i], "end": _time(p["end"]) if p.get("end") else following}
        row |= {k: _number(p.get(k)) for k in names}
        row |= {k: _number(p[k]) for k in ("least", "largest") if p.get(k) is not None}
        if row.get("value") == 0 and row.get("low") == 0:
            row["low"] = row["high"] = None  # above a line at nothing, a band would look like something
        rows.append(row)
    if rows and rows[-1]["end"] is None:  # the last window is as long as the one before it
        last = datetime.fromisoformat(times[-1])
        length = last - datetime.fromisoformat(times[-2]) if len(times) > 1 else timedelta(days=1)
        rows[-1]["end"] = _time(last + length)
    return rows


def _running_mean(rows: list[Spec]) -> None:
    """The mean of each window and the six before it, where at least four of them have a value."""
    for i, row in enumerate(rows):
        known = [r["value"] for r in rows[max(0, i + 1 - TOGETHER) : i + 1] if r["value"] is not None]
        enough = len(known) > TOGETHER // 2 and row["value"] is not None
        row["mean"] = float(f"{sum(known) / len(known):.5g}") if enough else None


def _covered(span: tuple[datetime | str, datetime | str] | None, rows: Sequence[Spec]) -> tuple[str, str]:
    if span is not None:
        return _time(span[0]), _time(span[1])
    if not rows:
        return "2000-01-01T00:00:00Z", "2000-01-02T00:00:00Z"
    return min(r["at"] for r in rows), max(r["end"] for r in rows)


def _time_axes(span: tuple[str, str]) -> tuple[Spec, Spec]:
    """The axis of time for the steps of windows, which says how far it goes, and for everything else."""
    values, form = _ticks(*map(datetime.fromisoformat, span))
    axis = {
        "values": [int(v.timestamp() * 1000) for v in values],
        "labelExpr": form,
        "grid": False,
        "labelOverlap": "greedy",
        "labelSeparation": 10,
        "labelFlush": True,
    }
    x: Spec = {"field": "at", "type": "temporal", "title": None, "axis": axis, "scale": {"type": "utc"}}
    return {**x, "field": "t", "scale": {"type": "utc", "domain": list(span)}}, x


def _ticks(start: datetime, end: datetime) -> tuple[list[datetime], str]:
    """At most nine round moments of UTC within a span, and the expression that says each: no two read alike.

    >>> day = datetime(2026, 3, 1, tzinfo=UTC)
    >>> [t.day for t in _ticks(day, day + timedelta(days=6))[0]]
    [1, 2, 3, 4, 5, 6, 7]
    """
    length, epoch = end - start, datetime(1970, 1, 5, tzinfo=UTC)  # a Monday
    day, hour = timedelta(days=1), timedelta(hours=1)
    for step in (hour / 4, hour, 3 * hour, 6 * hour, 12 * hour, day, 2 * day, 7 * day, 14 * day):
        if length <= 8 * step:
            first = epoch - (epoch - start) // step * step
            values = [first + i * step for i in range(10) if start <= first + i * step <= end]
            if step >= day:
                return values, "utcFormat(datum.value, '%-d %b')"
            clock = "utcFormat(datum.value, '%H:%M')"
            return (
                values,
                f"utchours(datum.value) + utcminutes(datum.value) == 0 ? utcFormat(datum.value, '%-d %b') : {clock}",
            )
    months = next((m for m in (1, 2, 3, 6) if length <= 8 * m * 31 * day), 0) or 12 * -(
        -length // (8 * 365 * day)
    )
    values = []
    year, month = start.year, 1
    while (at := datetime(year, month, 1, tzinfo=UTC)) <= end:
        if at >= start:
            values.append(at)
        year, month = year + (month - 1 + months) // 12, (month - 1 + months) % 12 + 1
        if year > 9998:
            break
    return values, "utcFormat(datum.value, '%b %Y')" if months < 12 else "utcFormat(datum.value, '%Y')"


def _value_axis(unit: str, numbers: Sequence[float]) -> Spec:
    return {
        "type": "quantitative",
        "title": None,
        "scale": {"zero": False, "nice": True},
        "axis": {"tickCount": 4, "domain": False, "ticks": False, **_labels(unit, numbers)},
    }


def _labels(unit: str, numbers: Sequence[float]) -> Spec:
    """How an axis says a measure's unit."""
    if unit.startswith("share of"):
        return {"format": "~%"}
    if unit == "s":
        steps = (("172800", 86400, " d"), ("5400", 3600, " h"), ("100", 60, " min"), ("1", 1, " s"))
        said = "format(datum.value * 1000, '~g') + ' ms'"
        for least, size, word in reversed(steps):
            said = f"datum.value >= {least} ? format(datum.value / {size}, '.3~g') + '{word}' : {said}"
        return {"labelExpr": f"datum.value == 0 ? '0' : {said}"}
    if unit == "1/s":
        said = "datum.value * 60 >= 1 ? format(datum.value * 60, '.3~g') + '/min' : format(datum.value * 3600, '.3~g') + '/h'"
        return {
            "labelExpr": f"datum.value == 0 ? '0' : datum.value >= 1 ? format(datum.value, '.3~g') + '/s' : {said}"
        }
    large = max(map(abs, numbers), default=0.0) >= 10_000
    return {"labelExpr": f"format(datum.value, '{'.4~s' if large else '.6~g'}')"}


def _level(level: float, name: str, y: Spec, side: str, *, style: str = "", unit: str = "") -> list[Spec]:
    datum = {**y, "datum": level}
    text = f"{100 * level:.3g}%" if unit.startswith("share of") else f"{level:.3g}"
    mark = {"align": side, "baseline": "bottom", "dx": 3 if side == "left" else -3, "dy": -2}
    rule: Spec = {
        "data": {"values": [{}]},
        "mark": {"type": "rule", "style": style or name},
        "encoding": {"y": datum},
    }
    label: Spec = {
        "data": {"values": [{}]},
        "mark": {"type": "text", "style": style or name, **mark},
        "encoding": {
            "y": datum,
            "x": {"value": 0 if side == "left" else "width"},
            "text": {"value": f"{name} {text}"},
        },
    }
    return [rule, label] if name else [rule]


def _level_band(between: tuple[float, float], y: Spec) -> Spec:
    low, high = between
    return {
        "data": {"values": [{}]},
        "mark": {"type": "rect", "style": "tolerated", "clip": True},
        "encoding": {"y": {**y, "datum": low}, "y2": {"datum": high}},
    }


def _shade(spans: Sequence[Mapping[str, Any]], x: Spec) -> list[Spec]:
    layers = []
    for style in ("incident", "firing"):
        values = [{**s, "at": _time(s["at"]), "end": _time(s["end"])} for s in spans if s["kind"] == style]
        if values:
            encoding = {"x": x, "x2": {"field": "end"}, "tooltip": [{"field": "text", "title": style}]}
            layers.append(
                {
                    "data": _windows(style, values),
                    "mark": {"type": "rect", "style": style, "clip": True, **_link(values)},
                    "encoding": encoding,
                }
            )
    return layers


def _link(values: Sequence[Mapping[str, Any]]) -> Spec:
    """A page follows a datum's ``link`` when its mark is clicked."""
    return {"cursor": "pointer"} if any(v.get("link") for v in values) else {}


def _strip(apart: Sequence[Mapping[str, Any]], x: Spec) -> Spec:
    text = "estimated and realised differ by more than chance"
    rows = [{"at": _time(a["at"]), "end": _time(a["end"]), "text": text} for a in apart]
    return {
        "data": _windows("apart", rows),
        "mark": {"type": "rect", "style": "apart", "clip": True},
        "encoding": {
            "x": x,
            "x2": {"field": "end"},
            "y": {"value": 0},
            "y2": {"value": 4},
            "tooltip": [{"field": "text", "title": "from here"}],
        },
    }


def _triangles(alerts: Sequence[Mapping[str, Any]], x: Spec, y: Spec) -> Spec:
    rows = [{**a, "at": _time(a["at"])} for a in alerts]
    encoding = {"x": x, "y": y, "tooltip": [{"field": "text", "title": "alert"}]}
    return {
        "data": _windows("alerts", rows),
        "mark": {"type": "point", "style": "alert", "filled": True, **_link(rows)},
        "encoding": encoding,
    }


def _marks(marks: Iterable[Mapping[str, Any]], x: Spec, *, above: bool = False) -> list[Spec]:
    """A line with its name where something happened; *above* the plot where its top is not free."""
    noted = [{**m, "at": _time(m["at"]), "text": _cut(str(m["text"]), 40)} for m in marks]
    layers: list[Spec] = []
    for style, wanted in (("event", False), ("fail", True)):
        values = [m for m in noted if (m.get("kind") == "fail") is wanted]
        if not values:
            continue
        link = _link(values)
        tooltip = [{"field": "text", "title": "what happened"}]
        layers.append(
            {
                "data": _windows("marks" if not wanted else "marks_fail", values),
                "mark": {"type": "rule", "style": style, "strokeWidth": 1, "clip": True, **link},
                "encoding": {"x": x, "tooltip": tooltip},
            }
        )
        for side in ("left", "right"):
            here = [m for m in values if (m.get("side") == "left") is (side == "right")]
            if here:
                edge = {"align": side, "dx": 4 if side == "left" else -4, "fontSize": 11}
                place = {"baseline": "bottom", "dy": -3} if above else {"baseline": "top", "dy": 5}
                layers.append(
                    {
                        "data": _windows(f"{style}_{side}", here),
                        "mark": {"type": "text", "style": style, **edge, **place, **link},
                        "encoding": {"x": x, "y": {"value": 0}, "text": {"field": "text"}},
                    }
                )
    return layers


def _time(at: datetime | str) -> str:
    """ISO 8601 in UTC, which every browser reads alike."""
    if isinstance(at, str):
        return at
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(us: float) -> str:
    try:
        return _time(datetime.fromtimestamp(us / 1e6, tz=UTC))
    except (OverflowError, ValueError, OSError):
        return _time(datetime(9999, 1, 1, tzinfo=UTC))


def _number(value: Any) -> float | None:
    return float(value) if value is not None and isfinite(float(value)) else None


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
