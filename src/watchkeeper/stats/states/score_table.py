r"""Scores against outcomes on a fixed lattice: from it follow AUC, curves, calibration, and any threshold.

The lattice never depends on data: a score moves away from its baseline's edges exactly when it matters. It
has 2,048 cells of [0, 1]: a cut at every multiple of 0.001, so that every threshold of three decimals and
every usual calibration bin is exact, and 524 further cuts, geometrically spaced from one millionth to 0.05,
at each end, because the scores of a rare event all lie below 0.05.

Each cell keeps the count and the sum of scores of the rows with outcome 0, with outcome 1, and with no
outcome yet. Logarithmic and squared losses are summed beside the cells, row by row, so they are exact.

References
----------
T. Fawcett, *An introduction to ROC analysis*, Pattern Recognition Letters 27, 2006.
J. Davis, M. Goadrich, *The relationship between precision-recall and ROC curves*, ICML 2006.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from math import ceil, nan
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from watchkeeper.stats.states.edges import Edges
from watchkeeper.stats.states.moments import Moments
from watchkeeper.stats.states.state import Accuracy

CELLS = 2_048
NEGATIVE, POSITIVE, UNLABELLED = 0, 1, 2
ROUNDING = 1e-6
"""A score this far outside [0, 1] is taken as rounding (single precision softmax), and moved to 0 or 1."""
MOST_OUTSIDE = 0.01
"""With a larger share of scores outside [0, 1] the rest are not taken for probabilities either."""
CLIP = float(np.finfo(np.float64).eps)
"""Scores are kept this far from 0 and 1 in the logarithm, as scikit-learn's ``log_loss`` does."""


_NONE = Moments.empty()


@cache
def lattice() -> np.ndarray:
    """The 2,047 cuts; cell ``i`` is ``[cuts[i - 1], cuts[i])``, and the last one includes 1.

    >>> cuts = lattice()
    >>> len(cuts), 0.3 in cuts, float(cuts[0])
    (2047, True, 1e-06)
    """
    even = np.arange(1, 1000) / 1000
    low = np.geomspace(1e-6, 0.05, (CELLS - 1 - even.size) // 2, endpoint=False)
    cuts = np.sort(np.concatenate([low, even, 1.0 - low]))
    cuts.flags.writeable = False
    return cuts


class Bounded(NamedTuple):
    """A value, and how far it may be from what the rows would have given."""

    value: float
    bound: float


class ConfusionCounts(NamedTuple):
    """Rows by decision and outcome at one threshold."""

    tp: float
    fp: float
    fn: float
    tn: float


class Calibration(NamedTuple):
    """For each bin ``(bins,)`` of the score: rows, mean score, share of positives (NaN in an empty bin)."""

    counts: np.ndarray
    mean_score: np.ndarray
    positive_share: np.ndarray
    positives: np.ndarray
    edges: np.ndarray
    exact: bool


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ScoreTable:
    """Counts and score sums of each cell, by outcome.

    ``counts`` and ``sums`` are ``(3, 2048)``: outcome 0, outcome 1, no outcome. NaN and null are counted and in no cell.
    Scores ``outside`` [0, 1] are in the cell at their end (``clipped`` of them; a former version kept them in none), so
    that they are ranked, and in no loss. With ``ranks`` the scores never were probabilities: cells hold their places
    among the baseline's, and only their order means anything.

    >>> table = ScoreTable.of(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True]))
    >>> table.auc()
    Bounded(value=0.75, bound=0.0)
    >>> table.confusion_at(0.4)
    ConfusionCounts(tp=1, fp=1, fn=1, tn=1)
    """

    kind: ClassVar[str] = "score_table"

    counts: np.ndarray
    sums: np.ndarray
    nulls: float = 0
    nans: float = 0
    outside: float = 0
    clipped: float = 0
    ranks: bool = False
    negative_log_loss: Moments = _NONE
    """-log(1 - score) of the rows with outcome 0."""
    positive_log_loss: Moments = _NONE
    """-log(score) of the rows with outcome 1."""
    squared_error: Moments = _NONE
    """(score - outcome)² of the labelled rows."""

    @classmethod
    def empty(cls) -> Self:
        """No rows."""
        return cls(counts=np.zeros((3, CELLS), np.int64), sums=np.zeros((3, CELLS)))

    @classmethod
    def of(
        cls,
        scores: Any,
        outcomes: Any = None,
        *,
        labelled: Any = None,
        valid: Any = None,
        among: Edges | None = None,
    ) -> Self:
        """Tabulate one batch.

        Parameters
        ----------
        scores : probabilities of the positive class ``(rows,)``.
        outcomes : whether the row turned out positive ``(rows,)`` bool; None when no outcome is known.
        labelled : bool ``(rows,)``, which outcomes are known; None means all.
        valid : bool ``(rows,)``, which scores are not null; None means all.
        among : the edges of the baseline's scores, where they are no probabilities.
        """
        scores = np.asarray(scores, dtype=np.float64)
        if among is not None:
            scores = places_among(scores, among)
        rows = scores.size
        keep = np.ones(rows, bool) if valid is None else np.asarray(valid, bool)
        nulls = rows - int(np.count_nonzero(keep))
        with np.errstate(invalid="ignore"):
            possible = (scores >= -ROUNDING) & (scores <= 1.0 + ROUNDING) & keep
        usable = int(np.count_nonzero(possible))
        nans = int(np.count_nonzero(np.isnan(scores) & keep)) if usable + nulls < rows else 0
        outside = rows - usable - nulls - nans
        inside = keep & ~np.isnan(scores) if outside else possible

        if outcomes is None:
            parts = [np.empty(0), np.empty(0), scores[inside]]
        else:
            positive = np.asarray(outcomes, bool)
            known = inside if labelled is None else inside & np.asarray(labelled, bool)
            unknown = scores[inside & ~known] if labelled is not None else np.empty(0)
            parts = [scores[known & ~positive], scores[known & positive], unknown]
        lost = [part[(part >= -ROUNDING) & (part <= 1.0 + ROUNDING)] if outside else part for part in parts]

        counts, sums = np.zeros((3, CELLS), np.int64), np.zeros((3, CELLS))
        for row, part in enumerate(parts):
            np.clip(part, 0.0, 1.0, out=part)
            part.sort()
            _tabulate(part, counts[row], sums[row])
        zero, one, _ = (np.sort(np.clip(part, 0.0, 1.0)) for part in lost) if outside else parts
        if among is not None:
            zero = one = np.empty(0)
        errors = np.concatenate([zero, 1.0 - one])
        return cls(
            counts=counts,
            sums=sums,
            nulls=nulls,
            nans=nans,
            outside=outside,
            clipped=outside,
            ranks=among is not None,
            negative_log_loss=Moments.of_sorted(-np.log1p(-np.clip(zero, CLIP, 1.0 - CLIP))),
            positive_log_loss=Moments.of_sorted(-np.log(np.clip(one[::-1], CLIP, 1.0 - CLIP))),
            squared_error=Moments.of(errors * errors),
        )

    def merge(self, other: Self) -> Self:
        """Cell by cell; the lattice is the same for all."""
        return replace(
            self,
            counts=self.counts + other.counts,
            sums=self.sums + other.sums,
            nulls=self.nulls + other.nulls,
            nans=self.nans + other.nans,
            outside=self.outside + other.outside,
            clipped=self.clipped + other.clipped,
            ranks=self.ranks or other.ranks,
            negative_log_loss=self.negative_log_loss.merge(other.negative_log_loss),
            positive_log_loss=self.positive_log_loss.merge(other.positive_log_loss),
            squared_error=self.squared_error.merge(other.squared_error),
        )

    def scaled(self, factor: float) -> Self:
        """Each row weighs *factor*."""
        return replace(
            self,
            counts=self.counts * factor,
            sums=self.sums * factor,
            nulls=self.nulls * factor,
            nans=self.nans * factor,
            outside=self.outside * factor,
            clipped=self.clipped * factor,
            negative_log_loss=self.negative_log_loss.scaled(factor),
            positive_log_loss=self.positive_log_loss.scaled(factor),
            squared_error=self.squared_error.scaled(factor),
        )

    def without_outcomes(self) -> Self:
        """The same scores with every outcome forgotten: what a label-free estimate may read."""
        empty = type(self).empty()
        counts, sums = empty.counts.astype(self.counts.dtype), empty.sums
        counts[UNLABELLED], sums[UNLABELLED] = self.counts.sum(axis=0), self.sums.sum(axis=0)
        return replace(
            empty,
            counts=counts,
            sums=sums,
            nulls=self.nulls,
            nans=self.nans,
            outside=self.outside,
            clipped=self.clipped,
            ranks=self.ranks,
        )

    # -- how many ---------------------------------------------------------------------------------------

    @property
    def negatives(self) -> float:
        """Rows with outcome 0."""
        return _number(self.counts[NEGATIVE].sum())

    @property
    def positives(self) -> float:
        """Rows with outcome 1."""
        return _number(self.counts[POSITIVE].sum())

    @property
    def labelled(self) -> float:
        """Rows whose outcome is known."""
        return self.negatives + self.positives

    @property
    def unlabelled(self) -> float:
        """Rows with a score but no outcome yet."""
        return _number(self.counts[UNLABELLED].sum())

    @property
    def total(self) -> float:
        """All rows seen, also those without a usable score."""
        return self.scored + self.nulls + self.nans

    @property
    def scored(self) -> float:
        """Rows with a score, of whatever size."""
        return self.labelled + self.unlabelled + self.outside - self.clipped

    @property
    def no_probabilities(self) -> str | None:
        """Why measures that read probabilities have nothing to read; None where they have."""
        if self.ranks:
            return "The scores are no probabilities: in the baseline they lie outside 0 to 1"
        share = self.outside / self.scored if self.outside else 0.0
        if share > MOST_OUTSIDE:
            return f"{100 * share:.3g}% of the scores lie outside 0 to 1, so they are no probabilities"
        return None

    @property
    def accuracy(self) -> Accuracy:
        """Losses, and thresholds of three decimals, are exact; the area under the curve has this bound."""
        return Accuracy.within(self.auc().bound if self.positives and self.negatives else 0.0, of="auc")

    # -- what follows from it -----------------------------------------------------------------------------

    def auc(self) -> Bounded:
        r"""Area under the ROC curve; NaN when a class has no rows.

        Rows of one cell count as tied; however they are really ordered, that is wrong by at most
        :math:`\sum_c p_c n_c / (2 P N)`.
        """
        neg, pos = self.counts[NEGATIVE].astype(float), self.counts[POSITIVE].astype(float)
        pairs = float(neg.sum()) * float(pos.sum())
        if pairs <= 0:
            return Bounded(nan, nan)
        tied = float(pos @ neg) / 2
        won = float(pos @ (np.cumsum(neg) - neg))
        return Bounded((won + tied) / pairs, tied / pairs)

    def average_precision(self) -> Bounded:
        """Average precision (scikit-learn's area under the precision-recall curve); NaN without positives.

        A cell in which both classes have the same mean score holds one score, and its rows are tied. In any
        other cell the rows are taken in random order. The bound puts all positives of a cell first, then last.
        """
        from scipy.special import digamma

        pos, neg = self.counts[POSITIVE][::-1].astype(float), self.counts[NEGATIVE][::-1].astype(float)
        total = float(pos.sum())
        if total <= 0:
            return Bounded(nan, nan)
        cells, discrete = self._tied()
        tied = cells[::-1] | discrete
        held = pos > 0
        pos, neg, tied, before = pos[held], neg[held], tied[held], (np.cumsum(pos) - pos)[held]
        fp_before = (np.cumsum(self.counts[NEGATIVE][::-1]) - self.counts[NEGATIVE][::-1])[held]
        after = before + pos
        as_tied = pos * after / (after + fp_before + neg)
        # In random order about j n / (p + 1) negatives of the cell stand before its j-th positive.
        pace = 1.0 + neg / (pos + 1.0)
        start = (before + fp_before) / pace
        as_random = pos / pace + (before - start) / pace * (digamma(start + pos + 1) - digamma(start + 1))
        value = float(np.where(tied, as_tied, as_random).sum()) / total
        best = float((pos * after / (after + fp_before)).sum()) / total
        behind = before + fp_before + neg
        last = pos - (fp_before + neg) * (digamma(behind + pos + 1) - digamma(behind + 1))
        return Bounded(value, max(best - value, value - float(last.sum()) / total, 0.0))

    def _tied(self) -> tuple[np.ndarray, bool]:
        """Which cells hold both classes at one score, and whether all mixed cells do (a discrete score)."""
        neg, pos = self.counts[NEGATIVE], self.counts[POSITIVE]
        mixed = (neg > 0) & (pos > 0)
        left, right = self.sums[NEGATIVE] * pos, self.sums[POSITIVE] * neg
        tied = mixed & (np.abs(left - right) <= 1e-10 * np.abs(left))
        return tied, bool(tied.sum() == mixed.sum())

    def held_scores(self) -> tuple[np.ndarray, np.ndarray]:
        """Labelled rows of each cell that has any, by outcome ``(2, cells)``, and their mean scores ``(cells,)``."""
        counts, sums = self.counts[:UNLABELLED], self.sums[:UNLABELLED].sum(axis=0)
        rows = counts.sum(axis=0)
        held = rows > 0
        return counts[:, held].astype(float), sums[held] / rows[held]

    def log_loss(self) -> float:
        """Mean negative log-likelihood, exact; NaN without outcomes."""
        return self.negative_log_loss.merge(self.positive_log_loss).mean

    def brier(self) -> float:
        """Mean squared difference of score and outcome, exact; NaN without outcomes."""
        return self.squared_error.mean

    def confusion_at(self, threshold: float) -> ConfusionCounts:
        """Rows at or above *threshold* against outcome.

        Exact where the threshold is a cut (three decimals). Elsewhere the one cell that is split goes, for
        each class, to the side of its mean score; `unsure_at` says how many rows that concerns.
        """
        cuts = lattice()
        cell = int(np.searchsorted(cuts, threshold, side="right"))
        first = np.array([cell, cell])
        if threshold > 1.0:
            first[:] = CELLS
        elif threshold > 0.0 and not (cell and cuts[cell - 1] == threshold):
            n, s = self.counts[:UNLABELLED, cell], self.sums[:UNLABELLED, cell]
            first += (s < threshold * n) & (n > 0)
        neg, pos = self.counts[NEGATIVE], self.counts[POSITIVE]
        return ConfusionCounts(
            tp=_number(pos[first[1] :].sum()),
            fp=_number(neg[first[0] :].sum()),
            fn=_number(pos[: first[1]].sum()),
            tn=_number(neg[: first[0]].sum()),
        )

    def unsure_at(self, threshold: float) -> float:
        """Labelled rows that may stand on the wrong side of *threshold*; 0 for a cut of the lattice."""
        cuts = lattice()
        cell = int(np.searchsorted(cuts, threshold, side="right"))
        if not 0.0 < threshold <= 1.0 or (cell and cuts[cell - 1] == threshold):
            return 0
        n = self.counts[:UNLABELLED, cell]
        return _number(n[n != 1].sum())  # one row alone is where its sum says

    def calibration(self, bins: int = 10) -> Calibration:
        """Mean score and share of positives in *bins* bins of equal width.

        Exact when *bins* divides 1,000; otherwise a cell that an edge splits goes where its middle lies.
        """
        cuts = lattice()
        edges = np.round(np.arange(bins + 1) * (1000 / bins)) / 1000 if 1000 % bins == 0 else None
        exact = edges is not None
        if edges is None:
            edges = np.linspace(0.0, 1.0, bins + 1)
        where = np.clip(np.searchsorted(edges, _middles(cuts), side="right") - 1, 0, bins - 1)
        pos = np.bincount(where, self.counts[POSITIVE], bins)
        n = pos + np.bincount(where, self.counts[NEGATIVE], bins)
        total = np.bincount(where, self.sums[POSITIVE] + self.sums[NEGATIVE], bins)
        with np.errstate(invalid="ignore", divide="ignore"):
            return Calibration(n, total / n, pos / n, pos, edges, exact)

    def lift(self, share: float = 0.1) -> Bounded:
        """How many times as many positives the best-scored *share* of rows holds as a random share would."""
        pos, neg = self.counts[POSITIVE][::-1].astype(float), self.counts[NEGATIVE][::-1].astype(float)
        total, rows = float(pos.sum()), float(pos.sum() + neg.sum())
        if total <= 0 or not 0.0 < share <= 1.0:
            return Bounded(nan, nan)
        wanted = min(max(1.0, float(ceil(share * rows - 1e-9))), rows)
        upto = np.cumsum(pos + neg)
        cell = int(np.searchsorted(upto, wanted))
        left = wanted - (upto[cell] - pos[cell] - neg[cell])
        before = float(pos[:cell].sum())
        within = pos[cell] * left / (pos[cell] + neg[cell])
        most, least = min(pos[cell], left), max(0.0, left - neg[cell])
        scale = rows / wanted / total
        return Bounded(float((before + within) * scale), float(max(most - within, within - least) * scale))

    def roc(self) -> tuple[np.ndarray, np.ndarray]:
        """False and true positive rate ``(2049,)`` from the strictest threshold to the laxest."""
        pos, neg = self.counts[POSITIVE][::-1], self.counts[NEGATIVE][::-1]
        rates = [np.concatenate([[0.0], np.cumsum(x) / max(float(x.sum()), 1e-300)]) for x in (neg, pos)]
        return rates[0], rates[1]

    # -- stored -------------------------------------------------------------------------------------------

    def to_payload(self) -> dict[str, Any]:
        """Counts and sums of the cells, and the sums of losses."""
        return {
            "lattice": 1,
            "counts": self.counts,
            "sums": self.sums,
            "nulls": self.nulls,
            "nans": self.nans,
            "outside": self.outside,
            "clipped": self.clipped,
            "ranks": self.ranks,
            "negative_log_loss": self.negative_log_loss.to_payload(),
            "positive_log_loss": self.positive_log_loss.to_payload(),
            "squared_error": self.squared_error.to_payload(),
        }

    @classmethod
    def of_payload(cls, payload: Mapping[str, Any]) -> Self:
        """Read `to_payload`."""
        return cls(
            counts=payload["counts"],
            sums=payload["sums"],
            nulls=payload["nulls"],
            nans=payload["nans"],
            outside=payload["outside"],
            clipped=payload.get("clipped", 0),
            ranks=payload.get("ranks", False),
            negative_log_loss=Moments.of_payload(payload["negative_log_loss"]),
            positive_log_loss=Moments.of_payload(payload["positive_log_loss"]),
            squared_error=Moments.of_payload(payload["squared_error"]),
        )


def _tabulate(ordered: np.ndarray, counts: np.ndarray, sums: np.ndarray) -> None:
    """Fill one row of the table from scores in ascending order: edges are searched in the data."""
    if not ordered.size:
        return
    ends = np.concatenate([[0], np.searchsorted(ordered, lattice(), side="left"), [ordered.size]])
    counts[:] = np.diff(ends)
    held = np.flatnonzero(counts)
    sums[held] = np.add.reduceat(ordered, ends[held])


def places_among(scores: np.ndarray, edges: Edges) -> np.ndarray:
    """Where each score lies among the baseline's, from 0 to 1, in the same order; NaN stays.

    Between two cuts by its distance from them; beyond the last ones ever nearer to the end, so that order is kept.

    >>> from watchkeeper.stats.states.edges import Edges
    >>> places = places_among(np.array([-9.0, -1.0, 0.0, 1.0, 50.0]), Edges.of_values([-1.0, 0.0, 1.0]))
    >>> bool((np.diff(places) > 0).all()), bool(0 < places[0] and places[-1] < 1)
    (True, True)
    """
    cuts = edges.cuts.astype(np.float64)
    if not cuts.size:
        return np.where(np.isnan(scores), scores, 0.5)
    at = np.searchsorted(cuts, scores, side="right")
    low, high = cuts[np.maximum(at - 1, 0)], cuts[np.minimum(at, cuts.size - 1)]
    unit = float(cuts[-1] - cuts[0]) or abs(float(cuts[0])) or 1.0
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        inner = np.where(high > low, (scores - low) / (high - low), 0.0)
        below = unit / (unit + (cuts[0] - scores))
        above = 1.0 - unit / (unit + (scores - cuts[-1]))
    part = np.where(at == 0, below, np.where(at == cuts.size, above, inner))
    part = np.clip(np.nan_to_num(part, nan=0.5), 0.0, 1.0 - 1e-9)
    return np.where(np.isnan(scores), scores, (at + part) / (cuts.size + 1))


def _middles(cuts: np.ndarray) -> np.ndarray:
    ends = np.concatenate([[0.0], cuts, [1.0]])
    return (ends[1:] + ends[:-1]) / 2


def _number(count: Any) -> float:
    """A whole count stays an int, a weighted one a float."""
    return int(count) if isinstance(count, np.integer | int) else float(count)
