r"""Accuracy: the share of predictions that were right.

Formula
-------
.. math:: \mathrm{accuracy} = \frac{TP + TN}{n}, \qquad
          \mathrm{balanced} = \tfrac12\left(\frac{TP}{TP+FN} + \frac{TN}{TN+FP}\right)

Reads: a `ScoreTable` at a threshold, or a `Confusion` of any number of classes (balanced: of two). Intervals:
Wilson's; for the balanced one the two shares' intervals are put together (MOVER).

Limits
------
When 99 of 100 rows are negative, a model that always says no is 99% accurate: look at the balanced accuracy,
which gives that model 0.5, or at recall.

References
----------
K. Brodersen et al., *The balanced accuracy and its posterior distribution*, ICPR 2010.
G. Zou, A. Donner, *Construction of confidence limits about effect measures*, Statistics in Medicine 27, 2008.
"""

from __future__ import annotations

from watchkeeper.domain.measurement import Interval, Measurement
from watchkeeper.measures.performance.decided import UNLABELLED, Decisions, measured, ratio
from watchkeeper.stats.intervals import sum_of_independent, wilson
from watchkeeper.stats.states.confusion import Confusion
from watchkeeper.stats.states.score_table import ConfusionCounts


def accuracy(
    state: Decisions, *, threshold: float = 0.5, positive: str | None = None, level: float = 0.95
) -> Measurement:
    """Return the share of right predictions.

    >>> accuracy(ConfusionCounts(tp=40, fp=10, fn=20, tn=30)).value
    0.7
    """
    if isinstance(state, Confusion):  # any number of classes, and exact also past the cap
        if state.n <= 0:
            return Measurement.missing("accuracy", UNLABELLED)
        return Measurement(
            measure="accuracy",
            value=state.right / state.n,
            rows=state.n,
            interval=wilson(state.right, state.n, level=level),
            bound=0.0,
        )
    return measured(
        "accuracy",
        state,
        lambda c: ratio(c.tp + c.tn, sum(c)),
        lambda c: wilson(c.tp + c.tn, sum(c), level=level),
        undefined=UNLABELLED,
        threshold=threshold,
        positive=positive,
    )


def balanced_accuracy(
    state: Decisions, *, threshold: float = 0.5, positive: str | None = None, level: float = 0.95
) -> Measurement:
    """Return the mean of recall and specificity; 0.5 is what guessing gives.

    >>> round(balanced_accuracy(ConfusionCounts(tp=40, fp=10, fn=20, tn=30)).value, 4)
    0.7083
    """

    def interval(c: ConfusionCounts) -> Interval:
        positives, negatives = c.tp + c.fn, c.tn + c.fp
        return sum_of_independent(
            [
                (0.5, c.tp / positives, wilson(c.tp, positives, level=level)),
                (0.5, c.tn / negatives, wilson(c.tn, negatives, level=level)),
            ]
        )

    return measured(
        "balanced_accuracy",
        state,
        lambda c: (ratio(c.tp, c.tp + c.fn) + ratio(c.tn, c.tn + c.fp)) / 2,
        interval,
        undefined="All outcomes are of one class.",
        threshold=threshold,
        positive=positive,
    )
