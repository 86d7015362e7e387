r"""Metrics of a binary model from how many positives and negatives lie in each cell of the score.

The counts may be counted, expected or drawn: every function takes arrays ``(..., cells)`` in ascending order of
score, and gives ``(...)``. So one call serves a table, or two hundred draws of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from watchkeeper.stats.states.score_table import CLIP

Floats = NDArray[np.float64]

LIFT_SHARE = 0.1
BINS = 10


@dataclass(frozen=True, slots=True, eq=False)
class CellCounts:
    """Positives and negatives ``(..., cells)``; mean scores ``(cells,)``; cells from *first* on are decided yes."""

    positives: Floats
    negatives: Floats
    scores: Floats
    first: int

    @property
    def tp(self) -> Floats:
        """True positives."""
        return self.positives[..., self.first :].sum(-1)

    @property
    def fp(self) -> Floats:
        """False positives."""
        return self.negatives[..., self.first :].sum(-1)

    @property
    def fn(self) -> Floats:
        """False negatives."""
        return self.positives[..., : self.first].sum(-1)

    @property
    def tn(self) -> Floats:
        """True negatives."""
        return self.negatives[..., : self.first].sum(-1)

    @property
    def rows(self) -> Floats:
        """All rows."""
        return self.positives.sum(-1) + self.negatives.sum(-1)


@dataclass(frozen=True, slots=True)
class Metric:
    """A function of the counts, the limits of its values, and what is said when it has none."""

    function: Callable[[CellCounts], Floats]
    low: float | None = 0.0
    high: float | None = 1.0
    undefined: str = "All outcomes are expected to be of one class."
    counts_rows: bool = False
    """Whether the value grows with the rows."""


def _over(part: Floats, whole: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.asarray(whole) > 0, part / whole, np.nan)


def _accuracy(c: CellCounts) -> Floats:
    return _over(c.tp + c.tn, c.rows)


def _precision(c: CellCounts) -> Floats:
    tp = c.tp
    return _over(tp, tp + c.fp)


def _recall(c: CellCounts) -> Floats:
    return _over(c.tp, c.positives.sum(-1))


def _specificity(c: CellCounts) -> Floats:
    return _over(c.tn, c.negatives.sum(-1))


def _balanced_accuracy(c: CellCounts) -> Floats:
    return (_recall(c) + _specificity(c)) / 2


def _f1(c: CellCounts) -> Floats:
    tp = c.tp
    return _over(2 * tp, 2 * tp + c.fp + c.fn)


def _mcc(c: CellCounts) -> Floats:
    tp, fp, fn, tn = c.tp, c.fp, c.fn, c.tn
    return _over(tp * tn - fp * fn, np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)))


def _roc_auc(c: CellCounts) -> Floats:
    below = np.cumsum(c.negatives, axis=-1) - c.negatives / 2
    return _over((c.positives * below).sum(-1), c.positives.sum(-1) * c.negatives.sum(-1))


def _average_precision(c: CellCounts) -> Floats:
    pos, neg = c.positives[..., ::-1], c.negatives[..., ::-1]
    tp = np.cumsum(pos, axis=-1)
    seen = tp + np.cumsum(neg, axis=-1)
    return _over((pos * tp / np.where(seen > 0, seen, 1.0)).sum(-1), pos.sum(-1))


def _log_loss(c: CellCounts) -> Floats:
    s = np.clip(c.scores, CLIP, 1 - CLIP)
    return _over(c.positives @ -np.log(s) + c.negatives @ -np.log1p(-s), c.rows)


def _brier(c: CellCounts) -> Floats:
    return _over(c.positives @ (1 - c.scores) ** 2 + c.negatives @ c.scores**2, c.rows)


def _expected_calibration_error(c: CellCounts) -> Floats:
    bins = np.minimum((c.scores * BINS).astype(int), BINS - 1)
    starts = np.flatnonzero(np.diff(bins, prepend=-1))
    gaps = c.positives - c.scores * (c.positives + c.negatives)
    return _over(np.abs(np.add.reduceat(gaps, starts, axis=-1)).sum(-1), c.rows)


def _lift(c: CellCounts) -> Floats:
    pos = c.positives[..., ::-1]
    rows = pos + c.negatives[..., ::-1]
    upto = np.cumsum(rows, axis=-1)
    wanted = LIFT_SHARE * upto[..., -1:]
    taken = np.clip((wanted - (upto - rows)) / np.where(rows > 0, rows, 1.0), 0.0, 1.0)
    return _over((pos * taken).sum(-1), LIFT_SHARE * pos.sum(-1))


BINARY: dict[str, Metric] = {
    "accuracy": Metric(_accuracy),
    "balanced_accuracy": Metric(_balanced_accuracy),
    "precision": Metric(_precision, undefined="No score reaches the threshold."),
    "recall": Metric(_recall, undefined="No outcome is expected to be positive."),
    "specificity": Metric(_specificity, undefined="No outcome is expected to be negative."),
    "f1": Metric(_f1, undefined="No outcome and no decision is expected to be positive."),
    "mcc": Metric(
        _mcc, low=-1.0, undefined="All outcomes, or all decisions, are expected to be of one class."
    ),
    "roc_auc": Metric(_roc_auc),
    "average_precision": Metric(_average_precision, undefined="No outcome is expected to be positive."),
    "log_loss": Metric(_log_loss, high=None),
    "brier": Metric(_brier),
    "expected_calibration_error": Metric(_expected_calibration_error),
    "lift": Metric(_lift, high=None, undefined="No outcome is expected to be positive."),
    "true_positives": Metric(lambda c: c.tp, high=None, counts_rows=True),
    "false_positives": Metric(lambda c: c.fp, high=None, counts_rows=True),
    "false_negatives": Metric(lambda c: c.fn, high=None, counts_rows=True),
    "true_negatives": Metric(lambda c: c.tn, high=None, counts_rows=True),
}
"""By the names of the performance measures; the four counts are in rows."""
