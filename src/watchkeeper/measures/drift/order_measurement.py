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


def few_groups(pooled: NDArray[np.float64], *, limit: int = FEW) -> NDArray[np.intp]:
    """Which of at most *limit* bins each filled bin goes to, ``(filled,)``: neighbours are joined."""
    masses = pooled[pooled > 0]
    if masses.size <= limit:
        return np.arange(masses.size)
    middle = np.cumsum(masses) - masses / 2
    places = np.minimum((middle * limit).astype(np.intp), limit - 1)
    return np.cumsum(np.diff(places, prepend=places[0]) > 0)


def few_masses(bins: OrderedBins) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Pooled shares of the joined bins ``(k,)``, and which of them are a single value ``(k,)``.

    >>> from watchkeeper.measures.drift.alignment import ordered_bins
    >>> wide = Histogram.of_counts([1] * 640)
    >>> few_masses(ordered_bins(wide, wide))[0].size
    64
    """
    filled = bins.pooled > 0
    groups = few_groups(bins.pooled)
    masses = np.asarray(np.bincount(groups, bins.pooled[filled]), dtype=np.float64)
    alone = np.bincount(groups) == 1
    return masses, alone & (np.bincount(groups, bins.atoms[filled]) == 1)


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
