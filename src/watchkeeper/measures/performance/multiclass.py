r"""Precision, recall and F1 of a model with several classes: of each class, and averaged over them.

Formula
-------
With the counts :math:`d_k` of rows of class k that were predicted as k, :math:`r_k` of its rows, and
:math:`c_k` of its predictions,

.. math:: P_k = d_k / c_k,\quad R_k = d_k / r_k,\quad F_k = 2 d_k / (r_k + c_k).

*Macro* is the plain mean over classes, *weighted* the mean by :math:`r_k`. *Micro* pools all rows: there all
three are the accuracy.

Reads: a `Confusion`. Cost: O(k²). Intervals: Wilson's for one class and for micro; macro precision and recall put
the classes' intervals together (MOVER); the other averages take the delta method from the whole table (every
cell's influence), on the logit scale.

Limits
------
As in scikit-learn a class that was never predicted (or never occurred) counts with 0 in an average; its own
measurement has no value, and says why. Classes past the table's cap are one class, "(rest)", and averages then
have no bound.

References
----------
M. Sokolova, G. Lapalme, *A systematic analysis of performance measures for classification tasks*, 2009.
K. Takahashi et al., *Confidence interval for micro-averaged F1 and macro-averaged F1 scores*, 2022.
"""

from __future__ import annotations

import numpy as np

from watchkeeper.domain.measurement import Interval, Measurement
from watchkeeper.measures.performance.decided import UNLABELLED
from watchkeeper.stats.intervals import delta_interval, sum_of_independent, wilson
from watchkeeper.stats.states.confusion import Confusion

_UNDEFINED = {
    "precision": "No row was predicted as this class.",
    "recall": "No outcome was of this class.",
    "f1": "No outcome and no prediction was of this class.",
}


def per_class(confusion: Confusion, *, name: str, level: float = 0.95) -> list[Measurement]:
    """Return the score *name* ("precision", "recall" or "f1") of each class; ``subject`` is the class.

    >>> three = Confusion.of_labels(list("aaaabbbccc"), list("aaabbbaccb"))
    >>> [round(m.value, 4) for m in per_class(three, name="f1")]
    [0.75, 0.5714, 0.8]
    """
    out = []
    for k, label in enumerate(confusion.labels):
        d, r, c = (float(x) for x in (confusion.counts[k, k], confusion.actual[k], confusion.predicted[k]))
        details = {"rows_of_class": r, "predictions_of_class": c, "right": d}
        lumped = confusion.rest and k == len(confusion.labels) - 1
        if lumped:
            # Within the rest the diagonal also counts one rare class taken for another.
            continue
        whole = {"precision": c, "recall": r, "f1": r + c}[name]
        if whole <= 0:
            out.append(
                Measurement.missing(
                    f"{name}_per_class", _UNDEFINED[name], subject=label, rows=confusion.n, details=details
                )
            )
            continue
        if name == "f1":
            j = wilson(d, r + c - d, level=level)
            value, interval = (
                2 * d / whole,
                Interval(2 * j.low / (1 + j.low), 2 * j.high / (1 + j.high), level),
            )
        else:
            value, interval = d / whole, wilson(d, whole, level=level)
        out.append(
            Measurement(
                measure=f"{name}_per_class",
                subject=label,
                value=value,
                rows=confusion.n,
                interval=interval,
                bound=0.0,
                details=details,
            )
        )
    return out


def average(confusion: Confusion, *, name: str, how: str, level: float = 0.95) -> Measurement:
    """Return the score *name* averaged over classes: "macro", "micro" or "weighted".

    >>> three = Confusion.of_labels(list("aaaabbbccc"), list("aaabbbaccb"))
    >>> [round(average(three, name="recall", how=how).value, 4) for how in ("macro", "micro", "weighted")]
    [0.6944, 0.7, 0.7]
    """
    measure, n = f"{name}_{how}", float(confusion.n)
    if n <= 0:
        return Measurement.missing(measure, UNLABELLED)
    if how == "micro":
        value, interval = confusion.right / n, wilson(confusion.right, n, level=level)
        return Measurement(measure=measure, value=value, rows=n, interval=interval, bound=0.0)
    counts = confusion.counts.astype(float)
    values, hit, by_row, by_column = _class_values(name, counts)
    rows = counts.sum(axis=1)
    k = rows.size
    weights = np.full(k, 1.0 / k) if how == "macro" else rows / n
    value = float(weights @ values)
    # What one more row in cell (i, j) would change: through the class's hits, its rows, its predictions.
    influence = np.diag(weights * hit) + (weights * by_row)[:, None] + (weights * by_column)[None, :]
    if how == "weighted":
        influence = influence + ((values - value) / n)[:, None]
    variance = float((counts * influence**2).sum())
    if how == "macro" and name != "f1":
        # Each class's share has rows of its own, so their Wilson intervals can be put together.
        of_class = counts.sum(axis=1 if name == "recall" else 0)
        interval = sum_of_independent(
            [
                (1.0 / k, float(v), wilson(float(v * m), float(m), level=level))
                for v, m in zip(values, of_class, strict=True)
            ]
        )
    elif 0.0 < value < 1.0 and variance > 0:
        interval = delta_interval(value, variance, low=0.0, high=1.0, level=level)
    else:
        interval = wilson(value * n, n, level=level)
    sides = {"precision": counts.sum(axis=0), "recall": rows, "f1": rows + counts.sum(axis=0)}[name]
    return Measurement(
        measure=measure,
        value=value,
        rows=n,
        interval=interval,
        bound=None if confusion.rest else 0.0,
        details={"classes": k, "undefined_classes": int(np.count_nonzero(sides <= 0))},
    )


def _class_values(name: str, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Each class's value, and its slopes by hits, by rows and by predictions; all ``(k,)``."""
    d, r, c = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    zero = np.zeros_like(d)
    if name == "precision":
        whole, factor = c, 1.0
    elif name == "recall":
        whole, factor = r, 1.0
    else:
        whole, factor = r + c, 2.0
    safe = np.where(whole > 0, whole, 1.0)
    value = np.where(whole > 0, factor * d / safe, 0.0)
    hit = np.where(whole > 0, factor / safe, 0.0)
    fall = -value / safe
    return value, hit, zero if name == "precision" else fall, zero if name == "recall" else fall
