r"""Anderson-Darling: the average squared gap, weighted so that the tails count as much as the middle.

Formula
-------
With :math:`F, G` the distribution functions at the middle of each value's rows, :math:`H` the pooled one,

.. math:: A^2 = \frac{nm}{n+m}\int\frac{(F - G)^2}{H(1-H)}\,dH

in the form for ties (midranks) of Scholz and Stephens.

Reads: two `Histogram` states at full resolution, finite values only; never rows. Cost: O(bins).

Limits
------
A statistic, not an effect: it grows with the rows. Its mean is 1 when nothing moved. From bins that hold several
values it is close to, not equal to, that of the rows; the bound is then not known.

References
----------
F. Scholz and M. Stephens, *K-Sample Anderson-Darling Tests*, JASA 82, 1987.
"""

from __future__ import annotations

from typing import Any

from watchkeeper.domain.measurement import Measurement
from watchkeeper.measures.drift.alignment import OrderedBins, ordered_bins
from watchkeeper.measures.drift.order_measurement import measured_order
from watchkeeper.measures.drift.share_measurement import MARGIN_LEVEL
from watchkeeper.stats import cdf_distances, sampling_noise
from watchkeeper.stats.states.histogram import Histogram


def anderson_darling(baseline: Histogram, window: Histogram) -> float:
    """Return the criterion; about 1 when nothing moved.

    >>> round(anderson_darling(Histogram.of_counts([500, 300, 200]), Histogram.of_counts([300, 300, 400])), 4)
    96.639
    """
    bins = ordered_bins(baseline, window)
    return cdf_distances.anderson_darling(bins.baseline, bins.window)


def measure_anderson_darling(
    baseline: Histogram, window: Histogram, *, rows: tuple[float, float] | None = None
) -> Measurement:
    """The measurement, with its margin, p-value, and how far the bins may put it off."""
    return measured_order("anderson_darling", baseline, window, _measured, rows=rows)


def _measured(bins: OrderedBins, n: float, m: float) -> dict[str, Any]:
    scale = n * m / (n + m) / (bins.n * bins.m / (bins.n + bins.m))  # scaled counts rest on fewer rows
    value = scale * cdf_distances.anderson_darling(bins.baseline, bins.window)
    filled = bins.pooled > 0
    eigenvalues = sampling_noise.anderson_darling_eigenvalues(bins.pooled[filled], bins.atoms[filled])
    exact = bool(bins.atoms[filled].all()) and not bins.slack
    return {
        "value": value,
        "margin": sampling_noise.quadratic_quantile(eigenvalues, level=MARGIN_LEVEL),
        "p_value": sampling_noise.quadratic_tail(eigenvalues, value),
        "bound": 0.0 if exact else None,
        "details": {"expected": float(eigenvalues.sum())},
    }
