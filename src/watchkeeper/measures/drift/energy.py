r"""Energy distance: like Wasserstein, with the gap of the distribution functions squared.

Formula
-------
With :math:`F` and :math:`G` the distribution functions, :math:`X, X'` baseline rows and :math:`Y, Y'` the window's,

.. math:: D = \sqrt{2\int (F-G)^2\,dx} = \sqrt{2E|X-Y| - E|X-X'| - E|Y-Y'|}

the root, as in scipy, in the root of the column's unit.

Reads: two `Histogram` states at full resolution, finite values only; never rows. Cost: O(bins).

Limits
------
Its unit is the root of the column's. Less swayed by values far out than Wasserstein. The p-value takes the
limiting distribution for the bins as they are, joined to 64.

References
----------
G. Szekely and M. Rizzo, *Energy Statistics: A Class of Statistics Based on Distances*, J. Stat. Plan. Inference
143, 2013.
"""

from __future__ import annotations

import math
from typing import Any

from scipy.special import gammaln

from watchkeeper.domain.measurement import Measurement
from watchkeeper.measures.drift.alignment import OrderedBins, ordered_bins
from watchkeeper.measures.drift.gap_noise import knots, square_eigenvalues
from watchkeeper.measures.drift.order_measurement import measured_order
from watchkeeper.measures.drift.share_measurement import MARGIN_LEVEL
from watchkeeper.stats import cdf_distances, sampling_noise
from watchkeeper.stats.states.histogram import Histogram


def energy(baseline: Histogram, window: Histogram) -> float:
    """Return the distance, in the root of the column's unit.

    >>> from watchkeeper.stats.states.edges import Edges
    >>> edges = Edges.of_values([0.0, 2.0])
    >>> energy(Histogram.of([0.0], edges), Histogram.of([2.0], edges))
    2.0
    """
    return _energy(ordered_bins(baseline, window))


def measure_energy(
    baseline: Histogram, window: Histogram, *, rows: tuple[float, float] | None = None
) -> Measurement:
    """The measurement, with its margin and p-value."""
    return measured_order("energy", baseline, window, _measured, rows=rows)


def _energy(bins: OrderedBins) -> float:
    left, right = (knots(side) for side in bins.histograms)
    return math.sqrt(2 * cdf_distances.integral_of_gap(left, right, power=2))


def _measured(bins: OrderedBins, n: float, m: float) -> dict[str, Any]:
    value = _energy(bins)
    eigenvalues = square_eigenvalues(bins, n, m)
    exact = bins.histograms[0].wasserstein_bound(bins.histograms[1]) == 0 and not bins.slack
    expected = 0.0
    if eigenvalues.size:  # the mean of the root of the gamma variable with the same mean and variance
        scale = float(eigenvalues.max())  # squares of very large or small ones leave the range of floats
        shares = eigenvalues / scale
        mean, variance = float(shares.sum()), 2 * float((shares**2).sum())
        shape = mean * mean / variance
        expected = math.sqrt(scale) * math.sqrt(variance / mean)
        expected *= math.exp(gammaln(shape + 0.5) - gammaln(shape))
    return {
        "value": value,
        "margin": math.sqrt(sampling_noise.quadratic_quantile(eigenvalues, level=MARGIN_LEVEL)),
        "p_value": sampling_noise.quadratic_tail(eigenvalues, value * value),
        "bound": 0.0 if exact else None,
        "details": {"expected": expected},
    }
