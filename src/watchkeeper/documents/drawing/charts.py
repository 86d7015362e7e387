"""One chart definition for page, report and message: Vega-Lite specifications, with their data inside.

The dashboard hands a spec to the browser, a mail or a chat gets `render_png` of the same spec. Nothing is
fetched: the data stand in the spec, and the renderer may not open any address.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from math import isfinite
from typing import TYPE_CHECKING, Any

from watchkeeper.documents.drawing.picture import Picture

if TYPE_CHECKING:
    import pyarrow as pa


SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"
INK, SOFT, LINE, CURRENT, BASE, FAIL = "#1b2127", "#57626c", "#e5e2db", "#1f5fa8", "#cfd3d8", "#9c2f1b"
Spec = dict[str, Any]

_STYLE: Spec = {
    "font": "system-ui, -apple-system, Segoe UI, Roboto, Helvetica Neue, Arial, sans-serif",
    "background": "#ffffff",
    "view": {"stroke": None},
    "title": {"color": INK, "fontSize": 14, "fontWeight": 600, "anchor": "start", "subtitleColor": SOFT},
    "axis": {
        "labelColor": SOFT,
        "titleColor": SOFT,
        "titleFontWeight": 400,
        "gridColor": LINE,
        "domainColor": SOFT,
        "tickColor": LINE,
    },
    "legend": {"labelColor": SOFT, "titleColor": SOFT, "titleFontWeight": 400},
}


def points_of(table: pa.Table) -> list[Spec]:
    """The points of one series (`MeasurementStore.series`) as `series_line` takes them."""
    present = [c for c in ("start", "value", "low", "high") if c in table.column_names]
    return [
        {"at": row["start"], **{k: row.get(k) for k in ("value", "low", "high")}}
        for row in table.select(present).to_pylist()
    ]


def series_line(
    points: Sequence[Mapping[str, Any]],
    *,
    title: str,
    subtitle: str = "",
    unit: str = "",
    threshold: float | None = None,
    baseline: float | None = None,
    marks: Iterable[Mapping[str, Any]] = (),
    width: int = 560,
    height: int = 220,
) -> Spec:
    """A series by time with its interval, the level that matters, and what happened.

    Parameters
    ----------
    points : each has ``at`` (datetime or ISO text) and ``value`` (None leaves a gap), maybe ``low`` and ``high``.
    threshold, baseline : drawn as rules; the threshold is dashed and named.
    marks : each has ``at`` and ``text``, maybe ``kind`` (``"fail"`` is red) and ``side`` (``"left"``: the text stands
        before its line): versions, alerts, baselines.

    >>> spec = series_line([{"at": "2026-03-01T00:00:00Z", "value": 0.1}], title="PSI of age", threshold=0.2)
    >>> [layer["mark"]["type"] for layer in spec["layer"]]
    ['line', 'point', 'rule', 'text']
    """
    rows = [
        {
            "at": _time(p["at"]),
            "value": _number(p.get("value")),
            "low": _number(p.get("low")),
            "high": _number(p.get("high")),
        }
        for p in points
    ]
    x = {
        "field": "at",
        "type": "temporal",
        "title": None,
        "scale": {"type": "utc"},
        "axis": {"labelOverlap": True, "grid": False, "format": _tick_format(rows)},
    }
    y = {"type": "quantitative", "title": unit or None, "scale": {"zero": False, "nice": True}}
    tooltip = [
        {"field": "at", "type": "temporal", "title": "window", "format": "%Y-%m-%d %H:%M"},
        {"field": "value", "type": "quantitative", "title": unit or "value", "format": ".4~g"},
    ]
    layers: list[Spec] = []
    if any(r["low"] is not None and r["high"] is not None for r in rows):
        layers.append(
            {
                "mark": {"type": "area", "color": CURRENT, "opacity": 0.16},
                "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}},
            }
        )
    layers += [
        {
            "mark": {
                "type": "line",
                "color": CURRENT,
                "strokeWidth": 1.8,
                "invalid": "break-paths-show-domains",
            },
            "encoding": {"x": x, "y": {**y, "field": "value"}},
        },
        {
            "mark": {"type": "point", "color": CURRENT, "filled": True, "size": 22},
            "encoding": {"x": x, "y": {**y, "field": "value"}, "tooltip": tooltip},
        },
    ]
    # What moved has left its baseline at the right end: there the name stands free.
    for level, name, colour, dash, side in (
        (threshold, "level that matters", FAIL, [6, 4], "left"),
        (baseline, "baseline", SOFT, [2, 3], "right"),
    ):
        if level is not None and isfinite(level):
            layers += _level(level, f"{name} {level:.4g}", colour, dash, y, side)
    noted = [
        {
            "at": _time(m["at"]),
            "text": _cut(str(m["text"]), 40),
            "kind": str(m.get("kind", "")),
            **({"side": "left"} if m.get("side") == "left" else {}),
        }
        for m in marks
    ]
    if noted:
        layers += _marks(noted, x)
    return {
        "$schema": SCHEMA,
        "title": {"text": title, **({"subtitle": subtitle} if subtitle else {})},
        "description": title + (f". {subtitle}" if subtitle else ""),
        "data": {"name": "points", "values": rows},
        "width": width,
        "height": height,
        "layer": layers,
        "config": _STYLE,
    }


def distribution(
    picture: Picture, *, title: str, subtitle: str = "", width: int = 560, height: int = 220
) -> Spec:
    """The baseline's shares as an area (or bars), the current ones as a line (or ticks) over it.

    >>> picture = Picture(baseline=(0.5, 0.5), current=(0.2, 0.8), labels=("a", "b"))
    >>> [layer["mark"]["type"] for layer in distribution(picture, title="plan")["layer"]]
    ['bar', 'tick']
    """
    head: Spec = {
        "$schema": SCHEMA,
        "title": {"text": title, **({"subtitle": subtitle} if subtitle else {})},
        "description": f"{title}: shares of the baseline and of the window"
        + (f". {subtitle}" if subtitle else ""),
        "width": width,
        "height": height,
        "config": _STYLE,
    }
    sides = (("baseline", picture.baseline), ("window", picture.current))
    colour = {
        "field": "rows",
        "type": "nominal",
        "title": None,
        "scale": {"domain": ["baseline", "window"], "range": [BASE, CURRENT]},
        "legend": {"orient": "top", "symbolType": "square", "symbolStrokeWidth": 0},
    }
    y = {"field": "share", "type": "quantitative", "title": "share of rows", "axis": {"format": ".0~%"}}
    if picture.labels:
        values = [
            {"name": name, "rows": side, "share": share}
            for side, shares in sides
            for name, share in zip(picture.labels, shares)
        ]
        x: Spec = {
            "field": "name",
            "type": "nominal",
            "sort": list(picture.labels),
            "title": None,
            "axis": {"labelAngle": 0},
        }
        tooltip = [{"field": f} for f in ("name", "rows")] + [
            {"field": "share", "type": "quantitative", "format": ".2%"}
        ]
        encoding = {"x": x, "y": y, "color": colour, "tooltip": tooltip}
        layers: list[Spec] = [
            {
                "transform": [{"filter": "datum.rows == 'baseline'"}],
                "mark": {"type": "bar"},
                "encoding": encoding,
            },
            {
                "transform": [{"filter": "datum.rows == 'window'"}],
                "mark": {"type": "tick", "thickness": 3, "bandSize": 28},
                "encoding": encoding,
            },
        ]
    else:
        borders = [_moment(b) for b in picture.borders] if picture.is_time else list(picture.borders)
        # A step needs its last value twice: once where the last bin starts, once where it ends.
        values = [
            {"from": at, "rows": side, "share": share}
            for side, shares in sides
            for at, share in zip(borders, (*shares, *shares[-1:]))
        ]
        x = {
            "field": "from",
            "type": "temporal" if picture.is_time else "quantitative",
            "title": None,
            "scale": {"zero": False, "nice": False},
        }
        layers = [
            {
                "transform": [{"filter": "datum.rows == 'baseline'"}],
                "mark": {"type": "area", "interpolate": "step-after", "line": False},
                "encoding": {"x": x, "y": y, "color": colour},
            },
            {
                "transform": [{"filter": "datum.rows == 'window'"}],
                "mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 1.8},
                "encoding": {"x": x, "y": y, "color": colour},
            },
        ]
    return {**head, "data": {"name": "shares", "values": values}, "layer": layers}


def heat_map(
    cells: Iterable[Mapping[str, Any]],
    *,
    title: str,
    unit: str = "",
    limit: float | None = None,
    width: int = 640,
    row_height: int = 18,
) -> Spec:
    """Columns by time: each cell has ``row`` (a column, a segment), ``at``, ``value`` (None: not measured).

    With *limit*, colour tells how far a value is along the way to the level that matters; past it is full red.
    """
    values = [{"row": str(c["row"]), "at": _time(c["at"]), "value": _number(c.get("value"))} for c in cells]
    rows = list(dict.fromkeys(v["row"] for v in values))
    scale: Spec = {"scheme": "blues"}
    if limit is not None and limit > 0:
        scale = {
            "domain": [0, limit / 2, limit],
            "range": ["#eef2f6", "#e8c48a", FAIL],
            "clamp": True,
            "interpolate": "rgb",
        }
    return {
        "$schema": SCHEMA,
        "title": title,
        "description": f"{title}: {len(rows)} rows by time",
        "data": {"name": "cells", "values": values},
        "width": width,
        "height": max(1, len(rows)) * row_height,
        "mark": {"type": "rect", "invalid": None},
        "encoding": {
            "x": {
                "field": "at",
                "type": "ordinal",
                "title": None,
                "axis": {"labelExpr": "slice(datum.value, 0, 10)", "labelOverlap": True, "labelAngle": 0},
            },
            "y": {
                "field": "row",
                "type": "nominal",
                "sort": rows,
                "title": None,
                "axis": {"labelLimit": 180},
            },
            "color": {
                "condition": {"test": "datum.value === null", "value": "#ffffff"},
                "field": "value",
                "type": "quantitative",
                "title": unit or None,
                "scale": scale,
            },
            "tooltip": [
                {"field": "row", "title": "column"},
                {"field": "at", "title": "window"},
                {"field": "value", "type": "quantitative", "format": ".4~g", "title": unit or "value"},
            ],
        },
        "config": _STYLE,
    }


def render_png(spec: Mapping[str, Any], *, scale: float = 2.0) -> bytes:
    """The picture of *spec* for those who cannot run it: mails, chats, PDFs. About 0.1 s."""
    import vl_convert

    return bytes(vl_convert.vegalite_to_png(dict(spec), scale=scale, allowed_base_urls=[]))


def render_svg(spec: Mapping[str, Any]) -> str:
    """The drawing of *spec*, for pages that must stand alone."""
    import vl_convert

    return str(vl_convert.vegalite_to_svg(dict(spec), allowed_base_urls=[]))


def _level(level: float, text: str, colour: str, dash: list[int], y: Spec, side: str) -> list[Spec]:
    datum = {**y, "datum": level}
    return [
        {
            "data": {"values": [{}]},
            "mark": {"type": "rule", "color": colour, "strokeDash": dash},
            "encoding": {"y": datum},
        },
        {
            "data": {"values": [{}]},
            "mark": {
                "type": "text",
                "color": colour,
                "align": side,
                "baseline": "bottom",
                "dx": 3 if side == "left" else -3,
                "dy": -2,
            },
            "encoding": {
                "y": datum,
                "x": {"value": 0 if side == "left" else "width"},
                "text": {"value": text},
            },
        },
    ]


def _marks(noted: list[Spec], x: Spec) -> list[Spec]:
    colour = {"condition": {"test": "datum.kind === 'fail'", "value": FAIL}, "value": SOFT}
    before = [m for m in noted if m.get("side") == "left"]
    after = [m for m in noted if m.get("side") != "left"]

    def text(side: str, values: list[Spec], name: str) -> Spec:
        dx = 4 if side == "left" else -4
        mark = {"type": "text", "align": side, "baseline": "top", "dx": dx, "fontSize": 10}
        return {
            "data": {"name": name, "values": values},
            "mark": mark,
            "encoding": {"x": x, "y": {"value": 0}, "text": {"field": "text"}, "color": colour},
        }

    return [
        {
            "data": {"name": "marks", "values": noted},
            "mark": {"type": "rule", "strokeWidth": 1},
            "encoding": {"x": x, "color": colour, "tooltip": [{"field": "text", "title": "what happened"}]},
        },
        text("left", after, "marks" if not before else "marks_after"),
        *([text("right", before, "marks_before")] if before else []),
    ]


def _time(at: datetime | str) -> str:
    """ISO 8601 in UTC, which every browser reads alike."""
    if isinstance(at, str):
        return at
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _tick_format(rows: Sequence[Spec]) -> str:
    """How the time axis writes its ticks: hours where the series is short, days, or months where it is long."""
    times = sorted(datetime.fromisoformat(r["at"]) for r in rows)
    days = (times[-1] - times[0]).total_seconds() / 86_400 if times else 0.0
    return "%-d %b, %H:%M" if days <= 3 else "%-d %b" if days <= 200 else "%b %Y"


def _moment(us: float) -> str:
    try:
        return _time(datetime.fromtimestamp(us / 1e6, tz=UTC))
    except (OverflowError, ValueError, OSError):
        return _time(datetime(9999, 1, 1, tzinfo=UTC))


def _number(value: Any) -> float | None:
    return float(value) if value is not None and isfinite(float(value)) else None


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
