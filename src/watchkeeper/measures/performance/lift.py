r"""Lift: how much better than chance the best-scored rows are.

Formula
-------
With the :math:`k = \lceil \text{share} \cdot n \rceil` rows of highest score, of which :math:`t` are positive,

.. math:: \mathrm{lift} = \frac{t / k}{P / n}

Reads: a `ScoreTable`; where the k-th row lies within a cell, ``bound`` says what its order could change.
Interval: delta method on the logarithmic scale, with the k rows taken as given.

Limits
------
It cannot exceed n / P nor 1 / share: lifts of windows with different shares of positives do not compare.

References
----------
M. Berry, G. Linoff, *Data Mining Techniques*, 1997.
"""

from __future__ import annotations

import numpy as np

from watchkeeper.domain.measurement import Measurement
from watchkeeper.errors import BadInput
from watchkeeper.measures.performance.decided import UNLABELLED
from watchkeeper.stats.intervals import delta_interval, variance_of_counts
from watchkeeper.stats.states.score_table import ScoreTable


def lift(table: ScoreTable, *, share: float = 0.1, level: float = 0.95) -> Measurement:
    """Return the lift of the best-scored *share* of rows; 1 is what chance gives.

    >>> scores, outcomes = np.arange(100) / 100, np.arange(100) >= 80
    >>> lift(ScoreTable.of(scores, outcomes), share=0.1).value
    5.0
    """
    if not 0.0 < share <= 1.0:
        raise BadInput(f"The share of best-scored rows lies in (0, 1], not at {share!r}.", "Give 0.1, say.")
    if not table.labelled:
        return Measurement.missing("lift", UNLABELLED)
    if not table.positives:
        return Measurement.missing("lift", "No outcome was positive.", rows=table.labelled)
    value, bound = table.lift(share)
    n, positives = table.labelled, table.positives
    best = max(1.0, float(np.ceil(share * n - 1e-9)))
    hits = value * best * positives / n
    counts = np.array([hits, best - hits, positives - hits, n - best - positives + hits]) + 0.5

    def ratio(c: np.ndarray) -> float:
        return float(c[0] / (c[0] + c[1]) / ((c[0] + c[2]) / c.sum()))

    interval = delta_interval(value, variance_of_counts(ratio, counts), low=0.0, level=level)
    return Measurement(
        measure="lift",
        value=value,
        rows=n,
        interval=interval,
        bound=bound,
        details={"share": share, "rows_taken": best, "share_of_positives": positives / n},
    )
