"""How a distance of distribution functions becomes a measurement."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from watchkeeper.domain.measurement import Measurement
from watchkeeper.errors import BadInput, Incompatible
from watchkeeper.measures.drift.alignment import OrderedBins, ordered_bins
from watchkeeper.stats.states.histogram import Histogram


def measured_order(
    name: str,
    baseline: Histogram,
    window: Histogram,
    measured: Callable[[OrderedBins, float, float], dict[str, Any]],
    *,
    rows: tuple[float, float] | None = None,
) -> Measurement:
    """Measure by *measured*, which gets the bins and the finite rows behind each side.

    A side without finite values, or of another kind, gives a measurement without a value.
    """
    try:
        bins = ordered_bins(baseline, window)
    except (BadInput, Incompatible) as problem:
        return Measurement.missing(name, problem.what, rows=window.total, baseline_rows=baseline.total)
    n, m = bins.n, bins.m
    if rows is not None:  # of the rows behind scaled counts, the finite ones
        n, m = rows[0] * n / baseline.total, rows[1] * m / window.total
    try:
        return Measurement(measure=name, rows=m, baseline_rows=n, **measured(bins, n, m))
    except BadInput as problem:
        return Measurement.missing(name, problem.what, rows=m, baseline_rows=n)
