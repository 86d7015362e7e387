r"""Predicted minus actual number: sums for means and R2, and a lattice of magnitudes for quantiles.

Formula
-------
With :math:`e = \hat y - y`, moments of :math:`e`, of :math:`y`, of :math:`|e / y|` and of
:math:`2|e| / (|y| + |\hat y|)` are kept, and the co-moments of :math:`e^2` with :math:`y` and with
:math:`(y - \bar y)^2`, which the sampling variance of R2 needs. All are sums, so they merge without loss.

For quantiles every error falls into a cell of a fixed lattice, symmetric about zero, whose cells grow by 2%
from 1e-9 to 1e15: a quantile read from it is off by at most 1% of itself.

References
----------
C. Masson, J. Rim, H. Lee, *DDSketch: a fast and fully-mergeable quantile sketch with relative-error
guarantees*, VLDB 2019.
P. Pébay, *Formulas for robust, one-pass parallel computation of covariances and arbitrary-order statistical
moments*, Sandia report SAND2008-6212, 2008.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil, floor, log, nan
from typing import Any, ClassVar, Self

import numpy as np

from watchkeeper.errors import BadInput
from watchkeeper.stats.states.moments import Moments
from watchkeeper.stats.states.score_table import Bounded
from watchkeeper.stats.states.state import Accuracy

GROWTH = 1.02
SMALLEST, LARGEST = 1e-9, 1e15
SIDE = ceil(log(LARGEST / SMALLEST) / log(GROWTH))
"""Cells on each side of zero; between them lies the cell of errors smaller than `SMALLEST`."""
_NONE = Moments.empty()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Residuals:
    """Errors of a regression. ``cells`` counts them, ``(2 * SIDE + 1,)``, from most negative to most positive.

    ``percentage`` is of the rows whose outcome is not zero, ``symmetric`` of all (0 where both are zero). Rows
    without an outcome are ``unlabelled``, without a prediction ``unpredicted``, with NaN or infinity
    ``nonfinite``; none of them is in a sum.

    >>> r = Residuals.of([2.5, 0.0, 2.0, 8.0], [3.0, -0.5, 2.0, 7.0])
    >>> r.mse, r.mae, round(r.r2, 4)
    (0.375, 0.5, 0.9486)
    """

    kind: ClassVar[str] = "residuals"

    cells: np.ndarray
    error: Moments = _NONE
    outcome: Moments = _NONE
    percentage: Moments = _NONE
    symmetric: Moments = _NONE
    absolute_sum: float = 0.0
    square_by_outcome: float = 0.0
    """Sum of (e² - mean e²)(y - mean y)."""
    square_by_spread: float = 0.0
    """Sum of (e² - mean e²)((y - mean y)² - its mean)."""
    unlabelled: float = 0
    unpredicted: float = 0
    nonfinite: float = 0

    @classmethod
    def empty(cls) -> Self:
        """No rows."""
        return cls(cells=np.zeros(2 * SIDE + 1, np.int64))

    @classmethod
    def of(cls, predicted: Any, actual: Any, *, labelled: Any = None, valid: Any = None) -> Self:
        """Sum up one batch.

        Parameters
        ----------
        predicted, actual : numbers ``(rows,)``.
        labelled : bool ``(rows,)``, which outcomes are known; None means all.
        valid : bool ``(rows,)``, which predictions are not null; None means all.

        Raises
        ------
        BadInput
            the two differ in length.
        """
        predicted, actual = np.asarray(predicted, np.float64), np.asarray(actual, np.float64)
        if predicted.shape != actual.shape:
            raise BadInput(f"There are {actual.size} outcomes, but {predicted.size} predictions.")
        unlabelled = unpredicted = 0
        if labelled is not None or valid is not None:
            known = np.ones(actual.size, bool) if labelled is None else np.asarray(labelled, bool)
            given = np.ones(actual.size, bool) if valid is None else np.asarray(valid, bool)
            unlabelled = int(np.count_nonzero(~known))
            unpredicted = int(np.count_nonzero(known & ~given))
            if unlabelled or unpredicted:
                predicted, actual = predicted[known & given], actual[known & given]
        with np.errstate(invalid="ignore", over="ignore"):
            error = predicted - actual
        finite = np.isfinite(error)
        nonfinite = error.size - int(np.count_nonzero(finite))
        if nonfinite:
            predicted, actual, error = predicted[finite], actual[finite], error[finite]
        if not error.size:
            return replace(cls.empty(), unlabelled=unlabelled, unpredicted=unpredicted, nonfinite=nonfinite)
        size, level = np.abs(error), np.abs(actual)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            share = size / level
            middle = level + np.abs(predicted)
            symmetric = 2.0 * size / middle
        not_zero = level > 0
        if not not_zero.all():
            symmetric[middle == 0] = 0.0
        outcome = Moments.of(actual)
        square = error * error
        square -= square.mean()
        away = actual - outcome.mean
        return cls(
            cells=_count(error, size),
            error=Moments.of(error),
            outcome=outcome,
            percentage=Moments.of(share if not_zero.all() else share[not_zero]),
            symmetric=Moments.of(symmetric),
            absolute_sum=float(size.sum()),
            square_by_outcome=float(square @ away),
            square_by_spread=float(square @ (away * away)),
            unlabelled=unlabelled,
            unpredicted=unpredicted,
            nonfinite=nonfinite,
        )

    def merge(self, other: Self) -> Self:
        """Add up; co-moments by the pairwise formula."""
        by_outcome, by_spread = _joined_comoments(self, other)
        return replace(
            self,
            cells=self.cells + other.cells,
            error=self.error.merge(other.error),
            outcome=self.outcome.merge(other.outcome),
            percentage=self.percentage.merge(other.percentage),
            symmetric=self.symmetric.merge(other.symmetric),
            absolute_sum=self.absolute_sum + other.absolute_sum,
            square_by_outcome=by_outcome,
            square_by_spread=by_spread,
            unlabelled=self.unlabelled + other.unlabelled,
            unpredicted=self.unpredicted + other.unpredicted,
            nonfinite=self.nonfinite + other.nonfinite,
        )

    def scaled(self, factor: float) -> Self:
        """Each row weighs *factor*."""
        return replace(
            self,
            cells=self.cells * factor,
            error=self.error.scaled(factor),
            outcome=self.outcome.scaled(factor),
            percentage=self.percentage.scaled(factor),
            symmetric=self.symmetric.scaled(factor),
            absolute_sum=self.absolute_sum * factor,
            square_by_outcome=self.square_by_outcome * factor,
            square_by_spread=self.square_by_spread * factor,
            unlabelled=self.unlabelled * factor,
            unpredicted=self.unpredicted * factor,
            nonfinite=self.nonfinite * factor,
        )

    # -- what follows from it -----------------------------------------------------------------------------

    @property
    def n(self) -> float:
        """Rows with a finite error."""
        return self.error.n

    @property
    def mse(self) -> float:
        """Mean squared error; NaN with no rows."""
        return self.error.variance() + self.error.mean**2 if self.n else nan

    @property
    def mae(self) -> float:
        """Mean absolute error; NaN with no rows."""
        return self.absolute_sum / self.n if self.n else nan

    @property
    def r2(self) -> float:
        """Share of the outcome's variance that is explained; NaN for a constant outcome."""
        spread = self.outcome.variance() if self.n else nan
        return 1.0 - self.mse / spread if spread > 0 else nan

    @property
    def largest_square(self) -> float:
        """The largest e²; NaN with no rows."""
        return max(self.error.min**2, self.error.max**2) if self.n else nan

    @property
    def variance_of_square(self) -> float:
        """Variance of e²."""
        if not self.n:
            return nan
        e, mean = self.error, self.error.mean
        fourth = e.m4 / e.n + 4 * mean * e.m3 / e.n + 6 * mean**2 * e.m2 / e.n + mean**4
        return max(fourth - self.mse**2, 0.0)

    def quantile(self, q: float) -> Bounded:
        """The *q*-quantile of the signed error (linear between order statistics), and its bound."""
        return _quantile(self.cells, _representatives(), q, self.error.min, self.error.max)

    def absolute_quantile(self, q: float) -> Bounded:
        """The *q*-quantile of the absolute error; 0.5 gives the median absolute error."""
        folded = self.cells[SIDE:].copy()
        folded[1:] += self.cells[:SIDE][::-1]
        largest = max(abs(self.error.min), abs(self.error.max)) if self.n else nan
        return _quantile(folded, _representatives()[SIDE:], q, 0.0, largest)

    @property
    def accuracy(self) -> Accuracy:
        """Means are exact; a quantile of the errors is within 1% of itself."""
        bound = (GROWTH - 1) / (GROWTH + 1) if self.n else 0.0
        return Accuracy.within(bound, of="quantile of the error, relative")

    # -- stored -------------------------------------------------------------------------------------------

    def to_payload(self) -> dict[str, Any]:
        """All sums, and the cells from the first to the last that is not empty."""
        held = np.flatnonzero(self.cells)
        first, last = (int(held[0]), int(held[-1]) + 1) if held.size else (0, 0)
        return {
            "lattice": 1,
            "first_cell": first,
            "cells": self.cells[first:last],
            **{name: getattr(self, name).to_payload() for name in _MOMENTS},
            **{name: getattr(self, name) for name in _NUMBERS},
        }

    @classmethod
    def of_payload(cls, payload: Mapping[str, Any]) -> Self:
        """Read `to_payload`."""
        some = payload["cells"]
        cells = np.zeros(2 * SIDE + 1, dtype=some.dtype)
        cells[payload["first_cell"] : payload["first_cell"] + some.size] = some
        return cls(
            cells=cells,
            error=Moments.of_payload(payload["error"]),
            outcome=Moments.of_payload(payload["outcome"]),
            percentage=Moments.of_payload(payload["percentage"]),
            symmetric=Moments.of_payload(payload["symmetric"]),
            **{name: payload[name] for name in _NUMBERS},
        )


_MOMENTS = ("error", "outcome", "percentage", "symmetric")
_NUMBERS = (
    "absolute_sum",
    "square_by_outcome",
    "square_by_spread",
    "unlabelled",
    "unpredicted",
    "nonfinite",
)


def _joined_comoments(a: Residuals, b: Residuals) -> tuple[float, float]:
    if not (a.n and b.n):
        one = a if a.n else b
        return one.square_by_outcome, one.square_by_spread
    n = a.n + b.n
    mean_y = (a.outcome.mean * a.n + b.outcome.mean * b.n) / n
    mean_square = (a.mse * a.n + b.mse * b.n) / n
    # About the common mean a part's spread is its variance plus the square of its own shift.
    shifts = [part.outcome.mean - mean_y for part in (a, b)]
    spreads = [part.outcome.variance() + d * d for part, d in zip((a, b), shifts, strict=True)]
    mean_spread = (spreads[0] * a.n + spreads[1] * b.n) / n
    by_outcome = by_spread = 0.0
    for part, d, spread in zip((a, b), shifts, spreads, strict=True):
        above = part.n * (part.mse - mean_square)
        by_outcome += part.square_by_outcome + above * d
        by_spread += part.square_by_spread + 2 * d * part.square_by_outcome + above * (spread - mean_spread)
    return by_outcome, by_spread


def _count(error: np.ndarray, size: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        cell = np.log(size * (1 / SMALLEST))
    cell *= 1 / log(GROWTH)
    np.clip(cell, -1, SIDE - 1, out=cell)
    np.floor(cell, out=cell)
    cell += 1.0
    np.copysign(cell, error, out=cell)
    cell += SIDE
    return np.bincount(cell.astype(np.int64), minlength=2 * SIDE + 1).astype(np.int64)


def _representatives() -> np.ndarray:
    """One value for each cell, at most 1% from any error in it."""
    starts = SMALLEST * GROWTH ** np.arange(SIDE)
    sides = starts * (2 * GROWTH / (1 + GROWTH))
    return np.concatenate([-sides[::-1], [0.0], sides])


def _quantile(cells: np.ndarray, values: np.ndarray, q: float, low: float, high: float) -> Bounded:
    if not 0.0 <= q <= 1.0:
        raise BadInput(f"A quantile lies between 0 and 1, not at {q!r}.")
    upto = np.cumsum(cells)
    n = float(upto[-1])
    if n <= 0:
        return Bounded(nan, nan)
    rank = q * max(n - 1, 0.0)
    below, above = (
        float(np.clip(values[min(int(np.searchsorted(upto, r, side="right")), values.size - 1)], low, high))
        for r in (floor(rank), ceil(rank))
    )
    value = below + (above - below) * (rank - floor(rank))
    reach = max(abs(below), abs(above))
    # Beyond the lattice only the extremes are known.
    bound = max(reach * (GROWTH - 1) / 2, SMALLEST) if reach < values[-1] else max(abs(low), abs(high))
    return Bounded(value, bound if low < high else 0.0)
