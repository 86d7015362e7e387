r"""Pearson's chi-square test: do the window's counts fit the baseline's shares?

Formula
-------
Over both rows of the table (baseline, window) with expected counts :math:`E` from the pooled shares,

.. math:: \chi^2 = \sum\frac{(O - E)^2}{E}

with one degree of freedom less than bins. Bins are joined until every cell expects 5 rows.

Reads: two `Frequencies` or two `Histogram` states, brought to shared bins (see `alignment`); never rows.
Cost: O(bins).

Limits
------
A statistic, not an effect: with enough rows any difference is significant. Read `cramers_v` or PSI beside it.

References
----------
K. Pearson, Phil. Mag. 50, 1900; W. Cochran, *Some Methods for Strengthening the Common Chi-square Tests*,
Biometrics 10, 1954 (the rule of five).
"""

from __future__ import annotations

from watchkeeper.domain.measurement import Measurement
from watchkeeper.measures.drift.alignment import Distribution, shared_bins
from watchkeeper.measures.drift.table_measurement import measured_table
from watchkeeper.stats import contingency


def chi_square(baseline: Distribution, window: Distribution) -> float:
    """Return the statistic; with one degree of freedom less than bins when nothing moved.

    >>> from watchkeeper.stats.states.frequencies import Frequencies
    >>> round(chi_square(Frequencies.of_counts({"a": 500, "b": 300, "c": 200}),
    ...       Frequencies.of_counts({"a": 300, "b": 300, "c": 400})), 4)
    116.6667
    """
    bins = shared_bins(baseline, window)
    return contingency.chi_square(bins.baseline, bins.window).statistic


def measure_chi_square(
    baseline: Distribution, window: Distribution, *, rows: tuple[float, float] | None = None
) -> Measurement:
    """The measurement, with its p-value; the margin is the 99% point of its distribution."""
    return measured_table("chi_square", contingency.chi_square, baseline, window, rows=rows)
