r"""Average precision: the area under the precision-recall curve, as steps.

Formula
-------
.. math:: \mathrm{AP} = \sum_c (R_c - R_{c-1})\,P_c

over thresholds from the strictest to the laxest, with precision P and recall R.

Reads: a `ScoreTable`. Cost: O(cells). Within a cell the order of the rows is not known; the measurement's
``bound`` says what that can change at most. Interval: delta method from the cells, on the logit scale, with
Student's quantile for as many degrees of freedom as there are positives, less one.

Limits
------
What guessing gives is the share of positives, not 0.5: windows with another share of positives do not compare.

References
----------
K. Boyd, K. Eng, C. Page, *Area under the precision-recall curve: point estimates and confidence intervals*,
ECML PKDD 2013.
"""

from __future__ import annotations

import numpy as np

from watchkeeper.domain.measurement import Interval, Measurement
from watchkeeper.measures.performance.decided import UNLABELLED
from watchkeeper.stats.intervals import delta_interval, normal_quantile, wilson
from watchkeeper.stats.states.score_table import NEGATIVE, POSITIVE, ScoreTable


def average_precision(table: ScoreTable, *, level: float = 0.95) -> Measurement:
    """Return the area; compare it with the share of positives in ``details``.

    >>> scores = np.array([0.1, 0.4, 0.35, 0.8])
    >>> round(average_precision(ScoreTable.of(scores, np.array([False, False, True, True]))).value, 4)
    0.8333
    """
    from scipy.special import stdtrit

    if not table.labelled:
        return Measurement.missing("average_precision", UNLABELLED)
    if not table.positives:
        return Measurement.missing("average_precision", "No outcome was positive.", rows=table.labelled)
    value, bound = table.average_precision()
    variance = _variance(
        table.counts[POSITIVE][::-1].astype(float), table.counts[NEGATIVE][::-1].astype(float)
    )
    if 0.0 < value < 1.0 and variance > 0 and table.positives >= 2:
        # With few positives the variance is itself uncertain (simulated: 92% cover with 14 of them without this).
        variance *= (float(stdtrit(table.positives - 1, 0.5 + level / 2)) / normal_quantile(level)) ** 2
        interval = delta_interval(value, variance, low=0.0, high=1.0, level=level)
    else:  # full separation: as certain as that many positives can make us
        interval = wilson(value * table.positives, table.positives, level=level)
    return Measurement(
        measure="average_precision",
        value=value,
        rows=table.labelled,
        interval=Interval(min(interval.low, value), max(interval.high, value), level),
        bound=bound,
        details={"positives": table.positives, "share_of_positives": table.positives / table.labelled},
    )


def _variance(pos: np.ndarray, neg: np.ndarray) -> float:
    """Sampling variance by influence: what one more row in each cell, from the top, would change."""
    total = pos.sum()
    tp, fp = np.cumsum(pos), np.cumsum(neg)
    seen = np.where(tp + fp > 0, tp + fp, 1.0)
    # A further row at the top of a cell enters the precision of this cell and of all below it.
    gain = np.cumsum((pos * fp / seen**2)[::-1])[::-1]
    loss = np.cumsum((pos * tp / seen**2)[::-1])[::-1]
    value = float((pos * tp / seen).sum() / total)
    of_positive = (tp / seen + gain - value) / total
    of_negative = -loss / total
    return float(pos @ of_positive**2 + neg @ of_negative**2)
