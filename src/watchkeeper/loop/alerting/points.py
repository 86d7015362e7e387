"""Series of measurements as the points that rules read."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from watchkeeper.decisions.rules.series import Point
from watchkeeper.domain.window import Window


def points_of_table(table: Any, length: timedelta) -> dict[tuple[str, str, str, str], list[Point]]:
    """Series by (measure, subject, segment, version) of the windows of *length*, oldest first."""
    out: dict[tuple[str, str, str, str], list[Point]] = {}
    rows = table.select(
        [
            "measure",
            "subject",
            "segment",
            "version",
            "start",
            "end",
            "value",
            "low",
            "high",
            "margin",
            "rows",
            "reason",
        ]
    ).to_pylist()
    tolerance = timedelta(hours=1) if length >= timedelta(hours=23) else timedelta(0)
    for r in rows:
        window = Window(r["start"], r["end"])
        if abs(window.length - length) > tolerance:
            continue
        point = Point(
            window,
            r["value"],
            r["rows"] or 0,
            r["low"],
            r["high"],
            r["margin"],
            r["reason"] or "",
        )
        out.setdefault((r["measure"], r["subject"], r["segment"], r["version"]), []).append(point)
    for points in out.values():
        points.sort(key=lambda p: p.window)
    return out
