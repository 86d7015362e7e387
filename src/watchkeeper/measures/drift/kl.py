r"""Kullback-Leibler divergence: how surprising is the window to one who expects the baseline?

Formula
-------
With :math:`q_b, p_b` the baseline's and the window's share of bin :math:`b`, after *pseudo_count* rows were
added to every bin of both, in nats,

.. math:: \mathrm{KL}(p\,\|\,q) = \sum_b p_b\,\ln\frac{p_b}{q_b}

Reads: two `Histogram` or two `Frequencies` states, brought to shared bins (see `alignment`); never rows.
Cost: O(bins).

Limits
------
Not symmetric, and infinite where the window fills a bin that is empty in the baseline: *pseudo_count* keeps it
finite, so its size there depends on the baseline's rows. PSI is the sum of both directions.

References
----------
S. Kullback and R. A. Leibler, *On Information and Sufficiency*, Ann. Math. Stat. 22, 1951.
"""

from __future__ import annotations

from watchkeeper.domain.measurement import Measurement
from watchkeeper.measures.drift.alignment import Distribution, shared_bins
from watchkeeper.measures.drift.share_measurement import measured_shares
from watchkeeper.stats import distances


def kl(baseline: Distribution, window: Distribution, *, pseudo_count: float = 0.5) -> float:
    """Return the divergence; 0 means identical shares.

    >>> from watchkeeper.stats.states.histogram import Histogram
    >>> round(kl(Histogram.of_counts([500, 500]), Histogram.of_counts([750, 250]), pseudo_count=0), 4)
    0.1308
    """
    bins = shared_bins(baseline, window)
    return distances.kl(bins.baseline, bins.window, pseudo_count=pseudo_count)


def measure_kl(
    baseline: Distribution, window: Distribution, *, rows: tuple[float, float] | None = None
) -> Measurement:
    """The measurement, with its margin, p-value and expected value when nothing moved."""
    return measured_shares("kl", distances.kl, baseline, window, rows=rows)
