r"""Cramer-von Mises: the average squared gap between two distribution functions.

Formula
-------
With :math:`F, G` the distribution functions, :math:`H` the pooled one, n and m the rows,

.. math:: T = \frac{nm}{n+m}\int (F - G)^2\,dH

Reads: two `Histogram` states at full resolution, finite values only; never rows. Cost: O(bins).

Limits
------
A statistic, not an effect: it grows with the rows. Its mean is 1/6 when nothing moved and values do not tie. The
p-value comes from the limit for the bins as they are, so heavy values and ties are accounted for.

References
----------
T. Anderson, *On the Distribution of the Two-Sample Cramer-von Mises Criterion*, Ann. Math. Stat. 33, 1962.
"""

from __future__ import annotations

from typing import Any

from watchkeeper.domain.measurement import Measurement
from watchkeeper.measures.drift.alignment import OrderedBins, ordered_bins
from watchkeeper.measures.drift.order_measurement import measured_order
from watchkeeper.measures.drift.share_measurement import MARGIN_LEVEL
from watchkeeper.stats import cdf_distances, sampling_noise
from watchkeeper.stats.states.histogram import Histogram


def cramer_von_mises(baseline: Histogram, window: Histogram) -> float:
    """Return the criterion; about 1/6 when nothing moved.

    >>> round(cramer_von_mises(Histogram.of_counts([500, 300, 200]), Histogram.of_counts([300, 300, 400])), 4)
    10.6667
    """
    bins = ordered_bins(baseline, window)
    return cdf_distances.cramer_von_mises(bins.baseline, bins.window, atoms=bins.atoms)


def measure_cramer_von_mises(
    baseline: Histogram, window: Histogram, *, rows: tuple[float, float] | None = None
) -> Measurement:
    """The measurement, with its margin, p-value, and how far the bins may put it off."""
    return measured_order("cramer_von_mises", baseline, window, _measured, rows=rows)


def _measured(bins: OrderedBins, n: float, m: float) -> dict[str, Any]:
    scale = n * m / (n + m) / (bins.n * bins.m / (bins.n + bins.m))  # scaled counts rest on fewer rows
    value = scale * cdf_distances.cramer_von_mises(bins.baseline, bins.window, atoms=bins.atoms)
    filled = bins.pooled > 0
    eigenvalues = sampling_noise.cramer_von_mises_eigenvalues(bins.pooled[filled], bins.atoms[filled])
    return {
        "value": value,
        "margin": sampling_noise.quadratic_quantile(eigenvalues, level=MARGIN_LEVEL),
        "p_value": sampling_noise.quadratic_tail(eigenvalues, value),
        "bound": scale * cdf_distances.cramer_von_mises_bound(bins.baseline, bins.window, atoms=bins.atoms)
        if not bins.slack
        else None,
        "details": {"expected": float(eigenvalues.sum())},
    }
