r"""Wasserstein distance in units of the baseline's standard deviation: comparable between columns.

Formula
-------
.. math:: W_1 / s_0

with :math:`W_1` the Wasserstein distance and :math:`s_0` the baseline's standard deviation.

Reads: two `Histogram` states at full resolution, finite values only; never rows. Cost: O(bins).

Limits
------
A shift of all values by one standard deviation gives 1. A baseline with a few values far out has a large
standard deviation, which hides shifts of the rest. With a constant baseline there is no such unit, and no value.

References
----------
Evidently AI, *Which test is the best? We compared 5 methods to detect data drift on large datasets*, 2022
(the normalisation); L. Vaserstein, Problems of Information Transmission 5, 1969.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from watchkeeper.domain.measurement import Measurement
from watchkeeper.errors import BadInput
from watchkeeper.measures.drift.alignment import OrderedBins, ordered_bins
from watchkeeper.measures.drift.gap_noise import area_noise, knots
from watchkeeper.measures.drift.order_measurement import measured_order
from watchkeeper.stats.states.histogram import Histogram


def wasserstein_sd(baseline: Histogram, window: Histogram) -> float:
    """Return the distance over the baseline's standard deviation.

    Raises
    ------
    BadInput
        the baseline is constant.

    >>> from watchkeeper.stats.states.edges import Edges
    >>> edges = Edges.of_values([0.0, 2.0])
    >>> wasserstein_sd(Histogram.of([0.0, 2.0], edges), Histogram.of([3.0, 5.0], edges))
    3.0
    """
    bins = ordered_bins(baseline, window)
    return bins.histograms[0].wasserstein(bins.histograms[1]) / _unit(bins)


def measure_wasserstein_sd(
    baseline: Histogram, window: Histogram, *, rows: tuple[float, float] | None = None
) -> Measurement:
    """The measurement, with its margin, and how far the bins may put it off."""
    return measured_order("wasserstein_sd", baseline, window, _measured, rows=rows)


def _measured(bins: OrderedBins, n: float, m: float) -> dict[str, Any]:
    left, right = bins.histograms
    sd = _unit(bins)
    noise = area_noise(bins, n, m)
    exact = left.wasserstein_bound(right) == 0 and not bins.slack
    return {
        "value": left.wasserstein(right) / sd,
        "margin": noise.margin / sd,
        "bound": 0.0 if exact else None,
        "details": {"expected": noise.expected / sd, "baseline_sd": sd},
    }


def _unit(bins: OrderedBins) -> float:
    """The baseline's standard deviation (over n), rows spread evenly inside a bin."""
    x, f = knots(bins.histograms[0])
    low, high, share = x[0::2] / 2, x[1::2] / 2, f[1::2] - f[0::2]
    mean = float(np.dot(low + high, share)) / 2
    low, high = low - mean, high - mean
    reach = max(float(np.abs(low).max()), float(np.abs(high).max()))
    if not reach > 0:
        raise BadInput("The baseline is constant, so its standard deviation is no unit.")
    # In units of the reach, since squares of very large or very small values leave the range of floats.
    low, high = low / reach, high / reach
    return 2 * reach * math.sqrt(float(np.dot((low * low + low * high + high * high) / 3, share)))
