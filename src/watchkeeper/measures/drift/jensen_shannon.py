r"""Jensen-Shannon distance: a bounded, symmetric distance of two distributions.

Formula
-------
With :math:`q, p` the shares of the bins and :math:`r = (p+q)/2` their mixture, in base 2,

.. math:: \mathrm{JS} = \sqrt{\tfrac12\sum_b q_b\log_2\frac{q_b}{r_b} + \tfrac12\sum_b p_b\log_2\frac{p_b}{r_b}}

Reads: two `Histogram` or two `Frequencies` states, brought to shared bins (see `alignment`); never rows.
Cost: O(bins).

Limits
------
It is a root: when nothing moved it falls only with the root of the sample size, about
:math:`\sqrt{(1/n + 1/m)(B-1)/(8\ln 2)}`. Tools disagree on base and root: with natural logarithms the largest
value is 0.833, and the divergence (`js_divergence`) is the square.

References
----------
D. Endres and J. Schindelin, *A New Metric for Probability Distributions*, IEEE Trans. Inf. Theory 49, 2003.
"""

from __future__ import annotations

from watchkeeper.domain.measurement import Measurement
from watchkeeper.measures.drift.alignment import Distribution, shared_bins
from watchkeeper.measures.drift.share_measurement import measured_shares
from watchkeeper.stats import distances


def jensen_shannon(baseline: Distribution, window: Distribution) -> float:
    """Return the distance; between 0 and 1.

    >>> from watchkeeper.stats.states.histogram import Histogram
    >>> round(jensen_shannon(Histogram.of_counts([500, 300, 200]), Histogram.of_counts([300, 300, 400])), 4)
    0.2067
    """
    bins = shared_bins(baseline, window)
    return distances.jensen_shannon_distance(bins.baseline, bins.window)


def measure_jensen_shannon(
    baseline: Distribution, window: Distribution, *, rows: tuple[float, float] | None = None
) -> Measurement:
    """The measurement, with its margin, p-value and expected value when nothing moved."""
    return measured_shares("jensen_shannon", distances.jensen_shannon_distance, baseline, window, rows=rows)
