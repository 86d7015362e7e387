"""How a distance of distribution functions becomes a measurement."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.domain.measurement import Measurement
from watchkeeper.errors import BadInput, Incompatible
from watchkeeper.measures.drift.alignment import OrderedBins, ordered_bins
from watchkeeper.stats.states.histogram import Histogram

__all__ = ["FEW", "few_groups", "few_masses", "measured_order"]

FEW = 64
"""Bins that noise is worked out on: more would cost much and change little."""


def few_masses(pooled: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pooled shares ``(<= 64,)``: empty bins dropped, and neighbours joined until few remain.

    >>> few_masses(np.full(128, 1 / 128)).size
    64
    """
    return np.asarray(np.bincount(few_groups(pooled), pooled[pooled > 0]), dtype=np.float64)


def few_groups(pooled: NDArray[np.float64]) -> NDArray[np.intp]:
    """Which of the few bins each filled bin goes to, ``(filled,)``."""
    masses = pooled[pooled > 0]
    if masses.size <= FEW:
        return np.arange(masses.size)
    middle = np.cumsum(masses) - masses / 2
    _, groups = np.unique(np.minimum((middle * FEW).astype(np.intp), FEW - 1), return_inverse=True)
    return groups


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
