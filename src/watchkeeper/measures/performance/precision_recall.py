r"""Precision, recall, specificity and F1 of a binary model's decisions.

Formula
-------
.. math:: \mathrm{precision} = \frac{TP}{TP+FP},\quad \mathrm{recall} = \frac{TP}{TP+FN},\quad
          \mathrm{specificity} = \frac{TN}{TN+FP},\quad F_1 = \frac{2\,TP}{2\,TP+FP+FN}

Reads: a `ScoreTable` at a threshold, or a `Confusion`. Intervals: Wilson's. F1 has one too: with
:math:`J = TP/(TP+FP+FN)`, a proportion, :math:`F_1 = 2J/(1+J)` rises with J, so the ends of Wilson's interval
of J become those of F1.

Limits
------
A share without a whole (precision when nothing was predicted positive) has no value and says why; scikit-learn
calls it 0. None of these counts true negatives except specificity.

References
----------
C. van Rijsbergen, *Information Retrieval*, 2nd ed., 1979.
E. B. Wilson, *Probable inference, the law of succession, and statistical inference*, JASA 22, 1927.
"""

from __future__ import annotations

from watchkeeper.domain.measurement import Interval, Measurement
from watchkeeper.measures.performance.decided import Decisions, measured, ratio
from watchkeeper.stats.intervals import wilson
from watchkeeper.stats.states.score_table import ConfusionCounts


def precision(
    state: Decisions, *, threshold: float = 0.5, positive: str | None = None, level: float = 0.95
) -> Measurement:
    """Return the share of positive predictions that were right.

    >>> precision(ConfusionCounts(tp=40, fp=10, fn=20, tn=30)).value
    0.8
    """
    return measured(
        "precision",
        state,
        lambda c: ratio(c.tp, c.tp + c.fp),
        lambda c: wilson(c.tp, c.tp + c.fp, level=level),
        undefined="No row was predicted positive.",
        threshold=threshold,
        positive=positive,
    )


def recall(
    state: Decisions, *, threshold: float = 0.5, positive: str | None = None, level: float = 0.95
) -> Measurement:
    """Return the share of positive outcomes that were predicted.

    >>> round(recall(ConfusionCounts(tp=40, fp=10, fn=20, tn=30)).value, 4)
    0.6667
    """
    return measured(
        "recall",
        state,
        lambda c: ratio(c.tp, c.tp + c.fn),
        lambda c: wilson(c.tp, c.tp + c.fn, level=level),
        undefined="No outcome was positive.",
        threshold=threshold,
        positive=positive,
    )


def specificity(
    state: Decisions, *, threshold: float = 0.5, positive: str | None = None, level: float = 0.95
) -> Measurement:
    """Return the share of negative outcomes that were predicted as such.

    >>> specificity(ConfusionCounts(tp=40, fp=10, fn=20, tn=30)).value
    0.75
    """
    return measured(
        "specificity",
        state,
        lambda c: ratio(c.tn, c.tn + c.fp),
        lambda c: wilson(c.tn, c.tn + c.fp, level=level),
        undefined="No outcome was negative.",
        threshold=threshold,
        positive=positive,
    )


def f1(
    state: Decisions, *, threshold: float = 0.5, positive: str | None = None, level: float = 0.95
) -> Measurement:
    """Return the harmonic mean of precision and recall.

    >>> round(f1(ConfusionCounts(tp=40, fp=10, fn=20, tn=30)).value, 4)
    0.7273
    """

    def interval(c: ConfusionCounts) -> Interval:
        jaccard = wilson(c.tp, c.tp + c.fp + c.fn, level=level)
        return Interval(2 * jaccard.low / (1 + jaccard.low), 2 * jaccard.high / (1 + jaccard.high), level)

    return measured(
        "f1",
        state,
        lambda c: ratio(2 * c.tp, 2 * c.tp + c.fp + c.fn),
        interval,
        undefined="No outcome and no prediction was positive.",
        threshold=threshold,
        positive=positive,
    )
