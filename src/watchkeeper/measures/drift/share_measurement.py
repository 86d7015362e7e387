"""How a distance of shares becomes a measurement: value, margin, p-value, what sampling alone gives."""

from __future__ import annotations

from collections.abc import Callable

from watchkeeper.domain.measurement import Measurement
from watchkeeper.errors import BadInput, Incompatible
from watchkeeper.measures.drift.alignment import Distribution, shared_bins
from watchkeeper.stats import sampling_noise

MARGIN_LEVEL = 0.99
"""A margin is exceeded by one pair in a hundred in which nothing moved."""


def measured_shares(
    name: str,
    distance: Callable[..., float],
    baseline: Distribution,
    window: Distribution,
    *,
    rows: tuple[float, float] | None = None,
) -> Measurement:
    """Measure *distance*, a function of `stats.distances`, between two states.

    *rows* are the rows behind each side where counts were scaled. ``details["expected"]`` is the mean distance
    of two samples of these sizes when nothing moved. A side without rows, or of another kind, gives a
    measurement without a value.
    """
    try:
        bins = shared_bins(baseline, window)
    except (BadInput, Incompatible) as problem:
        return Measurement.missing(name, problem.what, rows=window.total, baseline_rows=baseline.total)
    n, m = rows if rows is not None else (baseline.total, window.total)
    pair = bins.baseline, bins.window
    value = distance(*pair)
    details = {"expected": sampling_noise.expected(distance, *pair, rows=(n, m)), "bins": len(bins.window)}
    unnamed = max(_unnamed(baseline), _unnamed(window))
    if unnamed:
        details["unnamed"] = unnamed
    return Measurement(
        measure=name,
        value=value,
        rows=m,
        baseline_rows=n,
        margin=sampling_noise.quantile(distance, *pair, level=MARGIN_LEVEL, rows=(n, m)),
        p_value=sampling_noise.p_value(distance, *pair, value=value, rows=(n, m)),
        bound=0.0 if bins.bound == 0 else None,
        details=details,
    )


def _unnamed(side: Distribution) -> float:
    """Share of the rows in categories that were too many to be counted by name."""
    other = getattr(side, "other", 0)
    return float(other / side.total) if other else 0.0
