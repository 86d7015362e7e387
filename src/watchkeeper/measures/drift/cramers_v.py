r"""Cramer's V: how strongly does a row's value tell on which side it is?

Formula
-------
With :math:`\phi^2 = \chi^2/N` of the table of 2 rows and k bins, both sides weighed alike,

.. math:: \tilde V = \sqrt{\frac{\max(0,\ \phi^2 - \frac{k-1}{N-1})}{\min(\tilde k - 1, \tilde r - 1)}},\quad
          \tilde k = k - \tfrac{(k-1)^2}{N-1},\ \tilde r = 2 - \tfrac1{N-1}

Reads: two `Frequencies` or two `Histogram` states, brought to shared bins (see `alignment`); never rows.
Cost: O(bins).

Limits
------
The correction takes off what sampling gives on average, so that V of two like samples is about 0; it can still
exceed its margin in one pair of a hundred. Without equal weights (as in most tools) V falls towards 0 as the
baseline grows, whatever the window holds.

References
----------
W. Bergsma, *A bias-correction for Cramer's V and Tschuprow's T*, J. Korean Stat. Soc. 42, 2013.
"""

from __future__ import annotations

import math

from scipy.special import chdtri

from watchkeeper.domain.measurement import Measurement
from watchkeeper.errors import BadInput, Incompatible
from watchkeeper.measures.drift.alignment import Distribution, shared_bins
from watchkeeper.measures.drift.share_measurement import MARGIN_LEVEL
from watchkeeper.measures.drift.table_measurement import table
from watchkeeper.stats import contingency
from watchkeeper.stats.distances import aligned_counts


def cramers_v(baseline: Distribution, window: Distribution) -> float:
    """Return V, between 0 and 1.

    >>> from watchkeeper.stats.states.frequencies import Frequencies
    >>> round(cramers_v(Frequencies.of_counts({"a": 500, "b": 300, "c": 200}),
    ...                 Frequencies.of_counts({"a": 300, "b": 300, "c": 400})), 4)
    0.2395
    """
    bins = shared_bins(baseline, window)
    return contingency.cramers_v(bins.baseline, bins.window)


def measure_cramers_v(
    baseline: Distribution, window: Distribution, *, rows: tuple[float, float] | None = None
) -> Measurement:
    """The measurement, with the chi-square test's p-value and V at that test's 99% point as margin."""
    try:
        bins, n, m = table(baseline, window, rows)
    except (BadInput, Incompatible) as problem:
        return Measurement.missing("cramers_v", problem.what, rows=window.total, baseline_rows=baseline.total)
    q, p = aligned_counts(bins.baseline, bins.window)
    total, k = 4 * n * m / (n + m), q.size
    margin = 0.0
    if k > 1 and total > 2:
        excess = max(0.0, (float(chdtri(k - 1, 1 - MARGIN_LEVEL)) - (k - 1) * total / (total - 1)) / total)
        margin = min(1.0, math.sqrt(excess / max(1e-12, 1 - 1 / (total - 1))))
    return Measurement(
        measure="cramers_v",
        value=contingency.cramers_v(q, p),
        rows=m,
        baseline_rows=n,
        margin=margin,
        p_value=contingency.chi_square(q, p).p_value,
        bound=0.0 if bins.bound == 0 else None,
        details={"expected": 0.0, "bins": k},
    )
