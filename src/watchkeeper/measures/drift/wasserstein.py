r"""Wasserstein distance: how far must values be moved, on average, to turn one distribution into the other?

Formula
-------
With :math:`F` and :math:`G` the baseline's and the window's share of values up to x,

.. math:: W_1 = \int_{-\infty}^{\infty} |F(x) - G(x)|\,dx

in the column's own unit: a shift of all values by 3 gives 3.

Reads: two `Histogram` states at full resolution, finite values only; never rows. Cost: O(bins).

Limits
------
One value far out moves it as much as many near by; the open end bins keep their sum and extremes, so values that
leave the baseline's range are not lost. The unit makes columns incomparable: see `wasserstein_sd`. It is never
0 for two samples: read it against its margin. Without a p-value: its distribution depends on the column's.

References
----------
L. Vaserstein, Problems of Information Transmission 5, 1969; A. Ramdas, N. Garcia Trillos and M. Cuturi, *On
Wasserstein Two-Sample Testing*, Entropy 19, 2017.
"""

from __future__ import annotations

from typing import Any

from watchkeeper.domain.measurement import Measurement
from watchkeeper.measures.drift.alignment import OrderedBins, ordered_bins
from watchkeeper.measures.drift.gap_noise import area_noise
from watchkeeper.measures.drift.order_measurement import measured_order
from watchkeeper.stats.states.histogram import Histogram


def wasserstein(baseline: Histogram, window: Histogram) -> float:
    """Return the distance, in the column's unit.

    >>> from watchkeeper.stats.states.edges import Edges
    >>> edges = Edges.of_values([0.0, 1.0, 3.0])
    >>> round(wasserstein(Histogram.of([0.0, 1.0, 3.0], edges), Histogram.of([5.0, 6.0, 8.0], edges)), 9)
    5.0
    """
    bins = ordered_bins(baseline, window)
    return bins.histograms[0].wasserstein(bins.histograms[1])


def measure_wasserstein(
    baseline: Histogram, window: Histogram, *, rows: tuple[float, float] | None = None
) -> Measurement:
    """The measurement, with its margin, and how far the bins may put it off."""
    return measured_order("wasserstein", baseline, window, _measured, rows=rows)


def _measured(bins: OrderedBins, n: float, m: float) -> dict[str, Any]:
    left, right = bins.histograms
    noise = area_noise(bins, n, m)
    return {
        "value": left.wasserstein(right),
        "margin": noise.margin,
        "bound": None if bins.slack else left.wasserstein_bound(right),
        "details": {"expected": noise.expected},
    }
