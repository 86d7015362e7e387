r"""G-test: the likelihood ratio of one distribution against two.

Formula
-------
Over both rows of the table (baseline, window) with expected counts :math:`E` from the pooled shares,

.. math:: G = 2\sum O\ln\frac{O}{E}

with one degree of freedom less than bins. Bins are joined until every cell expects 5 rows.

Reads: two `Frequencies` or two `Histogram` states, brought to shared bins (see `alignment`); never rows.
Cost: O(bins).

Limits
------
A statistic, not an effect: with enough rows any difference is significant. Close to chi-square; somewhat too
eager where cells expect few rows.

References
----------
R. Sokal and F. Rohlf, *Biometry*, 4th edition, 2012, chapter 17.
"""

from __future__ import annotations

from watchkeeper.domain.measurement import Measurement
from watchkeeper.measures.drift.alignment import Distribution, shared_bins
from watchkeeper.measures.drift.table_measurement import measured_table
from watchkeeper.stats import contingency


def g_test(baseline: Distribution, window: Distribution) -> float:
    """Return the statistic; with one degree of freedom less than bins when nothing moved.

    >>> from watchkeeper.stats.states.frequencies import Frequencies
    >>> round(g_test(Frequencies.of_counts({"a": 500, "b": 300, "c": 200}),
    ...       Frequencies.of_counts({"a": 300, "b": 300, "c": 400})), 4)
    118.4939
    """
    bins = shared_bins(baseline, window)
    return contingency.g_test(bins.baseline, bins.window).statistic


def measure_g_test(
    baseline: Distribution, window: Distribution, *, rows: tuple[float, float] | None = None
) -> Measurement:
    """The measurement, with its p-value; the margin is the 99% point of its distribution."""
    return measured_table("g_test", contingency.g_test, baseline, window, rows=rows)
