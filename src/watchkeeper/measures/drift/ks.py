r"""Kolmogorov-Smirnov: the largest gap between two distribution functions.

Formula
-------
With :math:`F` and :math:`G` the baseline's and the window's share of values up to x,

.. math:: D = \sup_x |F(x) - G(x)|

Reads: two `Histogram` states at full resolution, finite values only; never rows. Cost: O(bins).

Limits
------
Blind to what happens far from the middle, and to how far values moved. Read from bins it can miss a gap inside a
bin; the bound says how much (0 when every value has a bin of its own). The p-value takes values without ties and
is cautious with them.

References
----------
N. Smirnov, *Table for Estimating the Goodness of Fit of Empirical Distributions*, Ann. Math. Stat. 19, 1948.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import kolmogi

from watchkeeper.domain.measurement import Measurement
from watchkeeper.measures.drift.alignment import OrderedBins, ordered_bins
from watchkeeper.measures.drift.order_measurement import measured_order
from watchkeeper.measures.drift.share_measurement import MARGIN_LEVEL
from watchkeeper.stats import cdf_distances, sampling_noise
from watchkeeper.stats.states.histogram import Histogram


def ks(baseline: Histogram, window: Histogram) -> float:
    """Return the statistic, between 0 and 1.

    >>> round(ks(Histogram.of_counts([500, 300, 200]), Histogram.of_counts([300, 300, 400])), 4)
    0.2
    """
    bins = ordered_bins(baseline, window)
    return cdf_distances.ks(bins.baseline, bins.window)


def measure_ks(
    baseline: Histogram, window: Histogram, *, rows: tuple[float, float] | None = None
) -> Measurement:
    """The measurement, with its margin, p-value, and how far the bins may put it off."""
    return measured_order("ks", baseline, window, _measured, rows=rows)


def _measured(bins: OrderedBins, n: float, m: float) -> dict[str, Any]:
    value = cdf_distances.ks(bins.baseline, bins.window)
    spread = math.sqrt(1 / n + 1 / m)
    margin = float(kolmogi(1 - MARGIN_LEVEL)) * spread
    filled = int(np.count_nonzero(bins.pooled))
    if filled <= _FEW:  # few values: the gap can only open between them, and is smaller
        margin = min(
            margin,
            sampling_noise.bridge_quantile(
                lambda gap: np.abs(gap).max(axis=1), bins.pooled[bins.pooled > 0], n, m, level=MARGIN_LEVEL
            ),
        )
    return {
        "value": value,
        "margin": margin,
        "p_value": cdf_distances.ks_p_value(value, n, m),
        "bound": cdf_distances.ks_bound(bins.baseline, bins.window, atoms=bins.atoms) + bins.slack,
        "details": {"expected": _MEAN * spread},
    }


_FEW = 64
_MEAN = math.sqrt(math.pi / 2) * math.log(2)
"""Mean of Kolmogorov's distribution, 0.869."""
