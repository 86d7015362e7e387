r"""Total variation: the share of rows that would have to change bins.

Formula
-------
With :math:`q_b, p_b` the shares of bin :math:`b`,

.. math:: \mathrm{TV} = \tfrac12\sum_b |p_b - q_b|

Reads: two `Histogram` or two `Frequencies` states, brought to shared bins (see `alignment`); never rows.
Cost: O(bins).

Limits
------
The most readable of the bounded distances, but when nothing moved it falls only with the root of the sample
size: about :math:`\sum_b\sqrt{q_b(1-q_b)(1/n+1/m)/2\pi}`.

References
----------
D. Levin, Y. Peres and E. Wilmer, *Markov Chains and Mixing Times*, 2009, chapter 4.
"""

from __future__ import annotations

from watchkeeper.domain.measurement import Measurement
from watchkeeper.measures.drift.alignment import Distribution, shared_bins
from watchkeeper.measures.drift.share_measurement import measured_shares
from watchkeeper.stats import distances


def total_variation(baseline: Distribution, window: Distribution) -> float:
    """Return the distance; between 0 and 1.

    >>> from watchkeeper.stats.states.histogram import Histogram
    >>> round(total_variation(Histogram.of_counts([500, 300, 200]), Histogram.of_counts([300, 300, 400])), 4)
    0.2
    """
    bins = shared_bins(baseline, window)
    return distances.total_variation(bins.baseline, bins.window)


def measure_total_variation(
    baseline: Distribution, window: Distribution, *, rows: tuple[float, float] | None = None
) -> Measurement:
    """The measurement, with its margin, p-value and expected value when nothing moved."""
    return measured_shares("total_variation", distances.total_variation, baseline, window, rows=rows)
