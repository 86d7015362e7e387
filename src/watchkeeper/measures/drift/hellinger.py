r"""Hellinger distance: the straight-line distance of the roots of the shares.

Formula
-------
With :math:`q_b, p_b` the shares of bin :math:`b`,

.. math:: H = \sqrt{\tfrac12\sum_b\big(\sqrt{p_b} - \sqrt{q_b}\big)^2}

Reads: two `Histogram` or two `Frequencies` states, brought to shared bins (see `alignment`); never rows.
Cost: O(bins).

Limits
------
When nothing moved :math:`H^2` is close to :math:`(1/n + 1/m)\,\chi^2_{B-1} / 8`. It weighs rare bins more than
total variation does, and less than PSI.

References
----------
E. Hellinger, *Neue Begruendung der Theorie quadratischer Formen*, J. reine angew. Math. 136, 1909.
"""

from __future__ import annotations

from watchkeeper.domain.measurement import Measurement
from watchkeeper.measures.drift.alignment import Distribution, shared_bins
from watchkeeper.measures.drift.share_measurement import measured_shares
from watchkeeper.stats import distances


def hellinger(baseline: Distribution, window: Distribution) -> float:
    """Return the distance; between 0 and 1.

    >>> from watchkeeper.stats.states.histogram import Histogram
    >>> round(hellinger(Histogram.of_counts([360, 640]), Histogram.of_counts([640, 360])), 4)
    0.2
    """
    bins = shared_bins(baseline, window)
    return distances.hellinger(bins.baseline, bins.window)


def measure_hellinger(
    baseline: Distribution, window: Distribution, *, rows: tuple[float, float] | None = None
) -> Measurement:
    """The measurement, with its margin, p-value and expected value when nothing moved."""
    return measured_shares("hellinger", distances.hellinger, baseline, window, rows=rows)
