r"""L-infinity (Chebyshev): the largest change of a single bin's share.

Formula
-------
With :math:`q_b, p_b` the shares of bin :math:`b`,

.. math:: L_\infty = \max_b |p_b - q_b|

Reads: two `Histogram` or two `Frequencies` states, brought to shared bins (see `alignment`); never rows.
Cost: O(bins).

Limits
------
Sees one bin only: a change spread over many bins stays small. For numbers the bins hold about a twentieth of
the baseline each, so 0.05 is already a bin doubled or gone.

References
----------
Vertex AI and Amazon SageMaker use it for categories; S.-H. Cha, *Comprehensive Survey on Distance Measures*, 2007.
"""

from __future__ import annotations

from watchkeeper.domain.measurement import Measurement
from watchkeeper.measures.drift.alignment import Distribution, shared_bins
from watchkeeper.measures.drift.share_measurement import measured_shares
from watchkeeper.stats import distances


def l_infinity(baseline: Distribution, window: Distribution) -> float:
    """Return the distance; between 0 and 1.

    >>> from watchkeeper.stats.states.histogram import Histogram
    >>> round(l_infinity(Histogram.of_counts([500, 300, 200]), Histogram.of_counts([300, 300, 400])), 4)
    0.2
    """
    bins = shared_bins(baseline, window)
    return distances.l_infinity(bins.baseline, bins.window)


def measure_l_infinity(
    baseline: Distribution, window: Distribution, *, rows: tuple[float, float] | None = None
) -> Measurement:
    """The measurement, with its margin, p-value and expected value when nothing moved."""
    return measured_shares("l_infinity", distances.l_infinity, baseline, window, rows=rows)
