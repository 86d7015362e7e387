r"""Population stability index: how far has one column's distribution moved?

Formula
-------
With :math:`q_b, p_b` the baseline's and the window's share of bin :math:`b`, after *pseudo_count* rows were
added to every bin of both,

.. math:: \mathrm{PSI} = \sum_b (p_b - q_b)\,\ln\frac{p_b}{q_b}

Reads: two `Histogram` or two `Frequencies` states, brought to shared bins (see `alignment`); never rows.
Cost: O(bins).

Limits
------
The usual cut-offs (0.1, 0.25) ignore sample size. With no drift at all PSI is close to
:math:`(1/n + 1/m)\,\chi^2_{B-1}`, so small windows look drifted: read it against its margin.

References
----------
B. Yurdakul, *Statistical Properties of Population Stability Index*, 2018.
"""

from __future__ import annotations

from watchkeeper.domain.measurement import Measurement
from watchkeeper.measures.drift.alignment import Distribution, shared_bins
from watchkeeper.measures.drift.share_measurement import measured_shares
from watchkeeper.stats import distances


def psi(baseline: Distribution, window: Distribution, *, pseudo_count: float = 0.5) -> float:
    """Return the index; 0 means identical shares.

    >>> from watchkeeper.stats.states.histogram import Histogram
    >>> round(psi(Histogram.of_counts([500, 300, 200]), Histogram.of_counts([300, 300, 400]), pseudo_count=0), 4)
    0.2408
    """
    bins = shared_bins(baseline, window)
    return distances.psi(bins.baseline, bins.window, pseudo_count=pseudo_count)


def measure_psi(
    baseline: Distribution, window: Distribution, *, rows: tuple[float, float] | None = None
) -> Measurement:
    """The measurement, with its margin, p-value and expected value when nothing moved."""
    return measured_shares("psi", distances.psi, baseline, window, rows=rows)
