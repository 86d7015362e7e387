"""The charts of the pages, as Vega-Lite: one definition for the screen, for SVG and PNG.

A chart's colours are those of the page (see docs/design.md): one blue for what is measured, grey for what it is
held against, and rust only for what needs a person. No meaning rests on colour alone: alerts are triangles,
versions dashed lines with a name, estimates a dashed line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from watchkeeper.documents.drawing import charts as shared
from watchkeeper.documents.drawing.picture import Picture

FORMS = ("vega", "csv", "json", "arrow", "svg", "png")
Theme = Literal["light", "dark"]
MARK, MAYBE, COLD, WARM, CARD = "#8a929a", "#7a5a00", "#f3f1ec", "#d98b6b", "#ffffff"
DARK = {
    shared.INK: "#e8e6e1",
    shared.SOFT: "#a0a8b0",
    shared.LINE: "#2c3239",
    shared.CURRENT: "#7db4f0",
    shared.BASE: "#454d56",
    shared.FAIL: "#f2a08c",
    MARK: "#7c8690",
    MAYBE: "#e6c873",
    COLD: "#22272d",
    WARM: "#a5583f",
}
"""Each colour of the shared charts, as it is on a dark page."""


def themed(spec: Mapping[str, Any], theme: Theme, *, picture: bool = False) -> dict[str, Any]:
    """*spec* in the colours of a theme; on a page its ground is the page's own."""
    text = json.dumps({**spec, "config": _config(picture)})
    if theme == "dark":
        for light, dark in DARK.items():
            text = text.replace(f'"{light}"', f'"{dark}"')
    made: dict[str, Any] = json.loads(text)
    if picture:
        made["config"]["background"] = CARD if theme == "light" else "#1b1f24"
    return made


def _config(picture: bool) -> dict[str, Any]:
    return {
        "background": "transparent",
        "font": "system-ui, -apple-system, Segoe UI, Roboto, Helvetica Neue, Arial, sans-serif",
        "view": {"stroke": None},
        "title": {
            "color": shared.INK,
            "subtitleColor": shared.SOFT,
            "anchor": "start",
            "fontSize": 15,
            "offset": 12,
        },
        "axis": {
            "labelColor": shared.SOFT,
            "labelFontSize": 12,
            "gridColor": shared.LINE,
            "domainColor": shared.LINE,
            "tickColor": shared.LINE,
            "labelPadding": 6,
            "titleColor": shared.SOFT,
            "titleFontWeight": "normal",
        },
        "legend": {"labelColor": shared.SOFT, "titleColor": shared.SOFT, "labelFontSize": 12},
        "text": {"color": shared.SOFT},
    }


def series_spec(
    points: Sequence[Mapping[str, Any]],
    *,
    title: str,
    unit: str,
    span: tuple[str, str],
    estimated: Sequence[Mapping[str, Any]] = (),
    alerts: Sequence[Mapping[str, Any]] = (),
    versions: Sequence[Mapping[str, Any]] = (),
    apart: Sequence[Mapping[str, Any]] = (),
    level: float | None = None,
    height: int = 220,
) -> dict[str, Any]:
    """The shared line chart on a page: with the range of each pixel's bucket, an estimate, and what happened meanwhile.

    *points* have ``at``, ``value``, maybe ``low``/``high`` (interval) and ``least``/``largest`` (of a bucket);
    *estimated* likewise. *alerts* and *versions* have ``at`` and ``text``; *apart* has the spans, ``at`` to ``end``,
    in which the estimate and what was realised differ by more than chance.
    """
    spec = shared.series_line(points, title=title, threshold=level, marks=versions, height=height)
    for row, point in zip(spec["data"]["values"], points):
        row.update({k: point[k] for k in ("least", "largest", "rows") if point.get(k) is not None})
    x = _time_axis(span)
    y: dict[str, Any] = {
        "type": "quantitative",
        "title": None,
        "scale": {"zero": False, "nice": True},
        "axis": {"tickCount": 4, "domain": False, "ticks": False, **_labels(unit)},
    }
    own: list[dict[str, Any]] = []
    if any("least" in row for row in spec["data"]["values"]):
        mark = {"type": "area", "color": shared.CURRENT, "opacity": 0.3}
        own.append(
            {"mark": mark, "encoding": {"x": x, "y": {**y, "field": "least"}, "y2": {"field": "largest"}}}
        )
    if estimated:
        rows = [{**p, "at": str(p["at"])} for p in estimated]
        data = {"name": "estimated", "values": rows}
        band = {"type": "area", "color": MARK, "opacity": 0.2}
        line = {"type": "line", "color": MARK, "strokeWidth": 1.6, "strokeDash": [5, 4]}
        own.append(
            {
                "data": data,
                "mark": band,
                "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}},
            }
        )
        own.append({"data": data, "mark": line, "encoding": {"x": x, "y": {**y, "field": "value"}}})
    if apart:
        said = [{"field": "text", "title": "from here"}, {"field": "at", "title": "window (UTC)"}]
        rows = [{**a, "text": "estimated and realised differ by more than chance"} for a in apart]
        strip = {"type": "rect", "color": MAYBE, "opacity": 1}
        at = {**x, "scale": {"type": "utc"}}  # the other layers say how far the axis goes
        encoding = {"x": at, "x2": {"field": "end"}, "y": {"value": 0}, "y2": {"value": 4}, "tooltip": said}
        own.append({"data": {"name": "apart", "values": rows}, "mark": strip, "encoding": encoding})
    layers = [*own, *spec["layer"]]
    if len(points) > 60:
        layers = [la for la in layers if la["mark"]["type"] != "point"]
    for layer in layers:
        encoding, mark = layer["encoding"], layer["mark"]
        if (
            isinstance(encoding.get("x"), dict)
            and encoding["x"].get("type") == "temporal"
            and "x2" not in encoding
        ):
            encoding["x"] = x
        if isinstance(encoding.get("y"), dict) and encoding["y"].get("type") == "quantitative":
            encoding["y"] = {**encoding["y"], **{k: y[k] for k in ("title", "axis", "scale")}}
        mark["clip"] = mark["type"] != "text"
        if mark["type"] == "line" and "data" not in layer:
            layer["params"] = [BRUSH]
            encoding["tooltip"] = _tooltip(title, unit, points)
    return {**spec, **_on_a_page(spec, height), "layer": [*layers, *_alert_marks(alerts, x, height)]}


BRUSH = {"name": "brush", "select": {"type": "interval", "encodings": ["x"]}}


def _on_a_page(spec: Mapping[str, Any], height: int) -> dict[str, Any]:
    """As wide as its place, without the title that stands beside it as text."""
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "width": "container",
        "height": height,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "title": None,
        "description": spec.get("description", ""),
    }


def _labels(unit: str) -> dict[str, Any]:
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
    return {"format": "~g"}


def _time_axis(span: tuple[str, str]) -> dict[str, Any]:
    length = datetime.fromisoformat(span[1]) - datetime.fromisoformat(span[0])
    days = length / timedelta(days=1)
    axis = {
        "format": "%-d %b, %H:%M" if days <= 3 else "%-d %b" if days <= 200 else "%b %Y",
        "title": None,
        "grid": False,
        "labelOverlap": "greedy",
        "labelSeparation": 12,
        "labelFlush": False,
        "labelBound": True,
        "tickCount": {"expr": "max(3, min(9, floor(width / 110)))"},
    }
    return {
        "field": "at",
        "type": "temporal",
        "title": None,
        "scale": {"type": "utc", "domain": list(span)},
        "axis": axis,
    }


def _tooltip(title: str, unit: str, points: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    form = ".3~%" if unit.startswith("share of") else ".4~g"
    said = [
        {"field": "at", "title": "from (UTC)"},
        {"field": "value", "type": "quantitative", "title": title, "format": form},
    ]
    if any(p.get("low") is not None for p in points):
        said += [
            {"field": "low", "type": "quantitative", "title": "interval from", "format": form},
            {"field": "high", "type": "quantitative", "title": "to", "format": form},
        ]
    if any(p.get("rows") is not None for p in points):
        said.append({"field": "rows", "type": "quantitative", "title": "rows", "format": ",.0f"})
    return said


def _alert_marks(
    alerts: Sequence[Mapping[str, Any]], x: Mapping[str, Any], height: int
) -> list[dict[str, Any]]:
    if not alerts:
        return []
    mark = {
        "type": "point",
        "shape": "triangle-up",
        "filled": True,
        "size": 70,
        "color": shared.FAIL,
        "opacity": 1,
        "clip": True,
    }
    tooltip = [{"field": "text", "title": "alert"}, {"field": "at", "title": "fired (UTC)"}]
    encoding = {"x": dict(x), "y": {"value": height - 6}, "tooltip": tooltip}
    return [{"data": {"name": "alerts", "values": list(alerts)}, "mark": mark, "encoding": encoding}]


def _version_marks(versions: Sequence[Mapping[str, Any]], x: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A line with its name where each version began: the shared chart's own marks."""
    marks = shared.series_line([], title="", marks=versions)["layer"][2:] if versions else []
    for layer in marks:
        layer["encoding"]["x"] = dict(x)
    return marks


def grid_spec(
    columns: Sequence[str],
    times: Sequence[str],
    cells: Sequence[Sequence[float | None]],
    *,
    title: str,
    top: float,
    alerts: Sequence[Mapping[str, Any]] = (),
    versions: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Columns by time; darker is further from the baseline. Rows keep their order; cells without a number stay empty.

    *top* is the value at which the darkest shade is reached. *alerts* get a row of their own below the columns, and
    each of *versions* a line through all of them.
    """
    shorter = [n if len(n) <= 26 else n[:25] + "…" for n in columns]
    rows = [{"c": i, "v": list(row)} for i, row in enumerate(cells)]
    step = 20 if len(columns) <= 24 else 14
    last = len(columns)  # the row of alerts
    labels = json.dumps([*shorter, "alerts"])
    x = {**_time_axis((times[0], times[-1])), "scale": {"type": "utc"}}  # the cells cover it from end to end
    down = {"domain": list(range(last + 1 if alerts else last))}
    cells_layer = {
        "data": {"values": rows},
        "transform": [
            {"flatten": ["v"], "as": ["v"]},
            {"window": [{"op": "row_number", "as": "k"}], "groupby": ["c"]},
            {"calculate": f"toDate({json.dumps(list(times))}[datum.k - 1])", "as": "t"},
            {"calculate": f"toDate({json.dumps(list(times))}[datum.k])", "as": "u"},
            {"calculate": f"{labels}[datum.c]", "as": "name"},
            {"calculate": f"{json.dumps(list(columns))}[datum.c]", "as": "full"},
            {"filter": "isValid(datum.v)"},
        ],
        "mark": {"type": "rect", "cornerRadius": 1},
        "params": [{"name": "picked", "select": {"type": "point", "fields": ["c"], "toggle": False}}],
        "encoding": {
            "x": {**x, "field": "t"},
            "x2": {"field": "u"},
            "y": {
                "field": "c",
                "type": "ordinal",
                "scale": down,
                "axis": {
                    "title": None,
                    "labelExpr": f"{labels}[datum.value]",
                    "domain": False,
                    "ticks": False,
                    "labelLimit": 190,
                    "labelFontSize": 11 if step < 18 else 12,
                },
            },
            "color": {
                "field": "v",
                "type": "quantitative",
                "scale": {
                    "domain": [0, top],
                    "range": [COLD, WARM, shared.FAIL],
                    "clamp": True,
                    "interpolate": "lab",
                },
                "legend": {
                    "orient": "bottom",
                    "direction": "horizontal",
                    "title": None,
                    "values": [0, top],
                    "labelExpr": f"datum.value >= {top} ? '{top:g} or more' : 'as the baseline'",
                    "gradientLength": 240,
                    "gradientThickness": 8,
                    "offset": 4,
                },
            },
            "tooltip": [
                {"field": "name", "title": "column"},
                {"field": "v", "type": "quantitative", "title": title, "format": ".3~g"},
                {"field": "t", "type": "temporal", "title": "from", "format": "%-d %b %Y"},
            ],
        },
    }
    layers: list[dict[str, Any]] = [cells_layer]
    if versions:
        inside = [v for v in versions if times[0] <= v["at"] <= times[-1]]
        above = {"type": "text", "align": "left", "baseline": "bottom", "dx": 3, "dy": -3, "fontSize": 11}
        told = [{"field": "text", "title": "version"}, {"field": "at", "title": "from (UTC)"}]
        data = {"name": "versions", "values": inside}
        layers += [
            {
                "data": data,
                "mark": {"type": "rule", "color": shared.SOFT},
                "encoding": {"x": x, "tooltip": told},
            },
            {"data": data, "mark": above, "encoding": {"x": x, "y": {"value": 0}, "text": {"field": "text"}}},
        ]
    if alerts:
        inside = [{**a, "c": last} for a in alerts if times[0] <= a["at"] <= times[-1]]
        for layer in _alert_marks(inside, x, 0):
            layer["encoding"]["y"] = {"field": "c", "type": "ordinal", "scale": down}
            layers.append(layer)
    return {
        **_on_a_page({"description": title}, step * max(1, len(down["domain"]))),
        "layer": layers,
    }


def bands_spec(
    points: Sequence[Mapping[str, Any]],
    *,
    title: str,
    span: tuple[str, str],
    baseline: Mapping[str, float] | None = None,
    alerts: Sequence[Mapping[str, Any]] = (),
    versions: Sequence[Mapping[str, Any]] = (),
    height: int = 240,
) -> dict[str, Any]:
    """A numeric column over time: bands from the 5th to the 95th percentile, and the middle half, around the median.

    *points* have ``t`` and ``p5``, ``p25``, ``p50``, ``p75``, ``p95``; so has *baseline*, drawn as lines.
    """
    y: dict[str, Any] = {
        "type": "quantitative",
        "scale": {"zero": False, "nice": True},
        "axis": {"title": None, "tickCount": 5, "format": "~s", "domain": False, "ticks": False},
    }
    layers: list[dict[str, Any]] = [
        {
            "mark": {
                "type": "area",
                "color": shared.CURRENT,
                "opacity": opacity,
                "interpolate": "monotone",
                "clip": True,
            },
            "encoding": {"y": {"field": low, **y}, "y2": {"field": high}},
        }
        for low, high, opacity in (("p5", "p95", 0.15), ("p25", "p75", 0.25))
    ]
    if baseline:
        lines = [{"v": baseline[p], "w": p} for p in ("p25", "p50", "p75") if p in baseline]
        layers.append(
            {
                "data": {"values": lines},
                "mark": {"type": "rule", "color": MARK, "strokeDash": [4, 3]},
                "encoding": {"x": None, "y": {"field": "v", **y}},
            }
        )
    layers.append(
        {
            "mark": {"type": "line", "color": shared.CURRENT, "strokeWidth": 1.7, "interpolate": "monotone", "clip": True},
            "params": [BRUSH],
            "encoding": {
                "y": {"field": "p50", **y},
                "tooltip": [
                    {"field": "t", "type": "temporal", "title": "from", "format": "%-d %b %Y, %H:%M"},
                    *({"field": p, "type": "quantitative", "title": w, "format": ".4~g"}
                      for p, w in (("p5", "5%"), ("p25", "25%"), ("p50", "median"), ("p75", "75%"), ("p95", "95%"))),
                ],
            },
        }
    )  # fmt: skip
    return {
        **_on_a_page({"description": title}, height),
        "data": {"values": list(points)},
        "encoding": {"x": {**_time_axis(span), "field": "t"}},
        "layer": [
            *layers,
            *_version_marks(versions, _time_axis(span)),
            *_alert_marks(alerts, _time_axis(span), height),
        ],
    }


def distribution_spec(
    pair: Picture, *, title: str, names: tuple[str, str], height: int = 230
) -> dict[str, Any]:
    """The shared picture of two distributions on a page, with the names of its two sides."""
    spec = shared.distribution(pair, title=title, height=height)
    text = json.dumps({**spec, **_on_a_page(spec, height)})
    for word, name in zip(("baseline", "window"), names):
        text = text.replace(f'"{word}"', json.dumps(name)).replace(
            f"datum.rows == '{word}'", f"datum.rows == {_quoted(name)}"
        )
    made: dict[str, Any] = json.loads(text)
    for layer in made["layer"]:
        layer["mark"]["opacity"] = 1
        layer["encoding"]["x"].setdefault("axis", {})["grid"] = False
        layer["encoding"]["color"]["legend"]["labelLimit"] = 320
        layer["encoding"]["y"]["title"] = None
        layer["encoding"]["y"]["axis"] = {"format": "~%", "tickCount": 4, "domain": False, "ticks": False}
    return made


def _quoted(name: str) -> str:
    """A text inside an expression inside JSON."""
    return json.dumps(json.dumps(name))[1:-1]


def picture(
    spec: Mapping[str, Any], form: str, *, title: str, subtitle: str, theme: Theme
) -> tuple[bytes, str]:
    """The chart as an SVG or PNG file of its own, with its title in it; and the media type."""
    said = {"text": title, "subtitle": subtitle} if subtitle else {"text": title}
    whole = themed(
        {**spec, "width": 760, "title": said, "padding": 18, "autosize": "pad"}, theme, picture=True
    )
    if form == "svg":
        return shared.render_svg(whole).encode(), "image/svg+xml"
    return shared.render_png(whole), "image/png"
