r"""The value in the middle of a column, and how far its values spread around it.

Formula
-------
With :math:`F` the window's distribution function,

.. math:: \mathrm{median} = F^{-1}(0.5),\qquad
          \text{interval} = \left[F^{-1}(l),\, F^{-1}(u)\right]

where :math:`[l, u]` is Wilson's interval of the share 0.5: the classical interval of order statistics, which needs no
assumption about the shape. The details hold the quantiles at 5, 25, 75 and 95%, which are what a chart of a column
over time draws.

Reads: one `ColumnProfile` with a histogram. Off by at most the width of the bin that the quantile falls into.

Limits
------
Rows of one window are taken as independent. Infinities and missing values are not counted.

References
----------
W. J. Conover, *Practical Nonparametric Statistics*, 3rd edition, section 3.2, 1999.
"""

from __future__ import annotations

from watchkeeper.domain.measurement import Interval, Measurement
from watchkeeper.stats.intervals import wilson
from watchkeeper.stats.states.profile import ColumnProfile

QUANTILES = {"p5": 0.05, "p25": 0.25, "p75": 0.75, "p95": 0.95}
"""What the details hold beside the median."""


def median(window: ColumnProfile, _baseline: ColumnProfile | None = None) -> Measurement:
    """Return the window's median, with the interval of order statistics.

    >>> import numpy as np
    >>> from watchkeeper.domain.schema import Column, Kind
    >>> from watchkeeper.stats.states.histogram import Edges, Histogram
    >>> counted = Histogram.of(np.arange(100.0), Edges.of_values(np.arange(100.0)))
    >>> age = ColumnProfile(column=Column(name="age", kind=Kind.NUMERIC), states={"histogram": counted}, rows=100)
    >>> found = median(age)
    >>> found.value, found.interval.low, found.interval.high, found.details["p95"]
    (49.0, 40.0, 59.0, 94.0)
    """
    counted = window.histogram
    if counted is None:
        return Measurement.missing("median", "It has no numbers.", subject=window.name)
    if not counted.n:
        return Measurement.missing("median", "The window has no finite numbers.", subject=window.name)
    rows = float(counted.n)
    near = wilson(rows / 2, rows)
    middle, low, high, *rest = counted.quantile([0.5, near.low, near.high, *QUANTILES.values()]).tolist()
    return Measurement(
        measure="median",
        subject=window.name,
        value=middle,
        rows=rows,
        interval=Interval(low, high),
        details={name: float(f"{value:.6g}") for name, value in zip(QUANTILES, rest)},
    )
