r"""Jensen-Shannon divergence: information gained about the side by seeing a row's bin.

Formula
-------
With :math:`q, p` the shares of the bins and :math:`r = (p+q)/2` their mixture, in bits (base 2) or nats,

.. math:: \mathrm{JSD} = \tfrac12\sum_b q_b\log\frac{q_b}{r_b} + \tfrac12\sum_b p_b\log\frac{p_b}{r_b}

Reads: two `Histogram` or two `Frequencies` states, brought to shared bins (see `alignment`); never rows.
Cost: O(bins).

Limits
------
When nothing moved it is close to :math:`(1/n + 1/m)\,\chi^2_{B-1} / (8\ln 2)` bits. It saturates at 1 once the
sides are disjoint, however far apart they are.

References
----------
J. Lin, *Divergence Measures Based on the Shannon Entropy*, IEEE Trans. Inf. Theory 37, 1991.
"""

from __future__ import annotations

from watchkeeper.domain.measurement import Measurement
from watchkeeper.measures.drift.alignment import Distribution, shared_bins
from watchkeeper.measures.drift.share_measurement import measured_shares
from watchkeeper.stats import distances


def js_divergence(baseline: Distribution, window: Distribution, *, base: float = 2.0) -> float:
    """Return the divergence; between 0 and 1 in base 2, ln 2 in nats.

    >>> from watchkeeper.stats.states.histogram import Histogram
    >>> round(js_divergence(Histogram.of_counts([500, 300, 200]), Histogram.of_counts([300, 300, 400])), 4)
    0.0427
    """
    bins = shared_bins(baseline, window)
    return distances.jensen_shannon_divergence(bins.baseline, bins.window, base=base)


def measure_js_divergence(
    baseline: Distribution, window: Distribution, *, rows: tuple[float, float] | None = None
) -> Measurement:
    """The measurement, with its margin, p-value and expected value when nothing moved."""
    return measured_shares("js_divergence", distances.jensen_shannon_divergence, baseline, window, rows=rows)
