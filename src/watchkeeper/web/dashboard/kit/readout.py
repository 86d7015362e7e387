"""What a chart says at each of its windows, for the crosshair: by mouse, by touch, by keyboard, to a screen reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from watchkeeper.web.dashboard.kit.words import per_cent, span_of_days, with_unit


def readout(
    points: Sequence[Mapping[str, Any]],
    *,
    title: str,
    unit: str,
    now: datetime,
    estimated: Sequence[Mapping[str, Any]] = (),
    coverage: Mapping[str, float | None] | None = None,
    versions: Sequence[Mapping[str, Any]] = (),
    alerts: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Labels, and for each window its start and end (milliseconds), when it was in words, and a text a label.

    *points* and *estimated* have ``at``, ``end``, ``value``, maybe ``low``, ``high``, ``rows``, ``least``,
    ``largest``, ``reason``; *coverage* is the share of outcomes by the start of a window. An alert belongs to the
    window at whose end it fired.
    """
    guesses = {g["at"]: g for g in estimated}
    known = {p["at"]: p for p in points}
    windows = sorted({*known, *guesses})
    lines: dict[str, list[str]] = {}

    def put(label: str, i: int, text: str) -> None:
        if text:
            lines.setdefault(label, [""] * len(windows))[i] = text

    out = []
    for i, at in enumerate(windows):
        point, guess = known.get(at, {}), guesses.get(at, {})
        end = (point or guess)["end"]
        if point:
            value = point.get("value")
            put(
                title,
                i,
                str(point.get("reason") or "not measured") if value is None else with_unit(value, unit),
            )
            put("95% interval", i, _between(point, "low", "high", unit))
            put("least to largest", i, _between(point, "least", "largest", unit))
            if point.get("rows") is not None:
                put("rows", i, f"{point['rows']:,.0f}")
        if coverage is not None and coverage.get(at) is not None:
            put("with outcome", i, per_cent(coverage[at]))
        if guess.get("value") is not None:
            between = _between(guess, "low", "high", unit)
            put("estimated", i, with_unit(guess["value"], unit) + (f" ({between})" if between else ""))
        serving = [v["text"] for v in versions if v["at"] < end]
        if serving:
            put("version", i, serving[-1])
        put("alert", i, "; ".join(a["text"] for a in alerts if at < a["at"] <= end))
        first, last = datetime.fromisoformat(at), datetime.fromisoformat(end)
        out.append([_ms(first), _ms(last), span_of_days(first, last, now=now)])
    return {"labels": list(lines), "windows": out, "texts": list(lines.values())}


def _between(row: Mapping[str, Any], low: str, high: str, unit: str) -> str:
    if row.get(low) is None or row.get(high) is None:
        return ""
    return f"{with_unit(row[low], unit)} to {with_unit(row[high], unit)}"


def _ms(at: datetime) -> int:
    return int(at.astimezone(UTC).timestamp() * 1000)
