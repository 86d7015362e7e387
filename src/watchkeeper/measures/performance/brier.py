r"""Brier score: the mean squared difference of score and outcome.

Formula
-------
.. math:: \mathrm{Brier} = \frac1n\sum_i (s_i - y_i)^2

Reads: a `ScoreTable`; exact. Interval: of the mean of both classes' own means, so that it holds for a rare event too
(see `mixed_loss_interval`).

Limits
------
A rare event makes every score look good: predicting the share of positives p for all gives p(1 - p).

References
----------
G. W. Brier, *Verification of forecasts expressed in terms of probability*, Monthly Weather Review 78, 1950.
"""

from __future__ import annotations

import numpy as np

from watchkeeper.domain.measurement import Interval, Measurement
from watchkeeper.measures.performance.decided import UNLABELLED
from watchkeeper.stats.intervals import mixed_loss_interval
from watchkeeper.stats.states.score_table import ScoreTable


def brier(table: ScoreTable, *, level: float = 0.95) -> Measurement:
    """Return the score; 0 is perfect, 0.25 what a constant 0.5 gives.

    >>> import numpy as np
    >>> scores, outcomes = np.array([0.1, 0.9, 0.8, 0.35]), np.array([False, True, True, False])
    >>> round(brier(ScoreTable.of(scores, outcomes)).value, 6)
    0.045625
    """
    squares = table.squared_error
    if (reason := table.no_probabilities) is not None:
        return Measurement.missing("brier", reason, rows=table.labelled)
    if not squares.n:
        return Measurement.missing("brier", UNLABELLED)
    counts, scores = table.held_scores()
    interval = mixed_loss_interval(counts, np.stack([scores**2, (1 - scores) ** 2]), level=level)
    return Measurement(
        measure="brier",
        value=squares.mean,
        rows=squares.n,
        interval=Interval(min(interval.low, squares.mean), min(1.0, max(interval.high, squares.mean)), level),
        bound=0.0,
    )
