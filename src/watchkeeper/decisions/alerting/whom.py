"""For whom a number is worse: the segments in which the same shows most, and the columns that moved with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from watchkeeper.decisions.rules.series import Point
from watchkeeper.domain.measurement import Direction, Family, Measure
from watchkeeper.domain.rule import Evaluation

SeriesName = tuple[str, str, str, str]
"""Measure, subject, segment, version."""
OF_OUTCOMES = (Family.PERFORMANCE, Family.FAIRNESS, Family.COST, Family.ESTIMATE)
"""Families of numbers that other columns may explain."""
DRIFT = ("psi", "jensen_shannon", "missing_drift")
"""What segments are compared by where the alert is of no measure in particular."""
MOST = 3
MOVED = 0.02
"""A PSI below this is no move, whatever its margin."""


def whom_of(
    evaluation: Evaluation, points: Mapping[SeriesName, Sequence[Point]], measures: Mapping[str, Measure]
) -> dict[str, Any]:
    """``segments`` and ``columns``, worst first, at most three of each; absent where there are none.

    Parameters
    ----------
    points : series up to the window that is judged; the last point of each counts.
    """
    out: dict[str, Any] = {}
    if not evaluation.segment:
        for measure in [evaluation.measure] if evaluation.measure else DRIFT:
            worse = _worse_segments(evaluation, measure, points, measures.get(measure))
            if worse:
                out["segments"] = worse
                break
    described = measures.get(evaluation.measure)
    if described is not None and described.family in OF_OUTCOMES and (moved := _moved(evaluation, points)):
        out["columns"] = moved
    return out


def _worse_segments(
    evaluation: Evaluation,
    measure: str,
    points: Mapping[SeriesName, Sequence[Point]],
    described: Measure | None,
) -> list[dict[str, Any]]:
    overall = points.get((measure, evaluation.subject, "", evaluation.version))
    usual = (overall[-1].value if overall else None) or 0.0
    sign = -1.0 if described is not None and described.direction is Direction.LOWER_IS_WORSE else 1.0
    found = [
        (sign * (of[-1].value - usual), segment, of[-1].value, of[-1].rows)
        for (name, subject, segment, version), of in points.items()
        if (name, subject, version) == (measure, evaluation.subject, evaluation.version)
        and segment
        and of[-1].value is not None
    ]
    worse = sorted((f for f in found if f[0] > 0), reverse=True)[:MOST]
    return [
        {"segment": segment, "measure": measure, "value": value, "rows": rows}
        for _, segment, value, rows in worse
    ]


def _moved(evaluation: Evaluation, points: Mapping[SeriesName, Sequence[Point]]) -> list[dict[str, Any]]:
    found = [
        (of[-1].value, subject)
        for (name, subject, segment, version), of in points.items()
        if (name, segment, version) == ("psi", evaluation.segment, evaluation.version)
        and subject
        and of[-1].value is not None
        and of[-1].value > max(of[-1].margin or 0.0, MOVED)
    ]
    return [{"column": c, "measure": "psi", "value": v} for v, c in sorted(found, reverse=True)[:MOST]]
