r"""Matthews correlation coefficient: how far decisions and outcomes agree, all four counts considered.

Formula
-------
.. math:: \mathrm{MCC} = \frac{TP \cdot TN - FP \cdot FN}{\sqrt{(TP+FP)(TP+FN)(TN+FP)(TN+FN)}}

Reads: a `ScoreTable` at a threshold, or a `Confusion`. Interval: delta method on the scale where -1 and 1 are
at infinity (Fisher's z), with half a row added to each count for the variance.

Limits
------
Undefined when all outcomes, or all predictions, are of one class; scikit-learn then says 0, we say why.

References
----------
B. Matthews, *Comparison of the predicted and observed secondary structure of T4 phage lysozyme*, 1975.
D. Chicco, G. Jurman, *The advantages of the Matthews correlation coefficient over F1 and accuracy*, 2020.
"""

from __future__ import annotations

from math import nan, sqrt

import numpy as np

from watchkeeper.domain.measurement import Interval, Measurement
from watchkeeper.measures.performance.decided import Decisions, measured
from watchkeeper.stats.intervals import delta_interval, variance_of_counts
from watchkeeper.stats.states.score_table import ConfusionCounts


def mcc(
    state: Decisions, *, threshold: float = 0.5, positive: str | None = None, level: float = 0.95
) -> Measurement:
    """Return the coefficient; 1 is perfect, 0 no better than chance, -1 always wrong.

    >>> round(mcc(ConfusionCounts(tp=40, fp=10, fn=20, tn=30)).value, 4)
    0.4082
    """

    def interval(c: ConfusionCounts) -> Interval:
        padded = np.array(c, float) + 0.5
        centre = _coefficient(padded)
        found = delta_interval(
            centre, variance_of_counts(_coefficient, padded), low=-1.0, high=1.0, level=level
        )
        value = _coefficient(np.array(c, float))
        return Interval(min(found.low, value), max(found.high, value), level)

    return measured(
        "mcc",
        state,
        lambda c: _coefficient(np.array(c, float)),
        interval,
        undefined="All outcomes, or all predictions, are of one class.",
        threshold=threshold,
        positive=positive,
    )


def _coefficient(counts: np.ndarray) -> float:
    tp, fp, fn, tn = counts.tolist()
    sides = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return (tp * tn - fp * fn) / sqrt(sides) if sides > 0 else nan
