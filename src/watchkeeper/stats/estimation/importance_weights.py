r"""Importance weights: how much more frequent rows like this one are in the window than in the baseline.

Method
------
A logistic regression tells window from baseline rows by the columns, their squares and (with at most 10 columns)
their products; its odds are the ratio of densities, so baseline row :math:`i` has the weight
:math:`w_i = \frac{n}{m} e^{x_i^T\beta}`. How uncertain :math:`\beta` is follows from each row's score, so that
weights of redrawn rows need no second fit.

References
----------
M. Sugiyama, T. Suzuki, T. Kanamori, *Density Ratio Estimation in Machine Learning*, 2012.
A. Kong, *A note on importance sampling using standardized weights*, 1992 (effective sample size).
E. A. Stuart, *Matching Methods for Causal Inference*, Statist. Sci. 25, 2010 (balance after weighting, and 0.25).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.stats.mmd import two_matrices
from watchkeeper.stats.multivariate import domain_classifier_auc

Floats = NDArray[np.float64]

FEWEST_EFFECTIVE = 100
"""Effective baseline rows below which a weighted estimate is not to be believed."""
MOST_SEPARATED = 0.95
"""Area under the domain classifier's curve above which both sides hardly overlap."""
MOST_UNBALANCED = 0.25
"""Standardised difference of means, beyond what chance does, above which weighted baseline rows are not like the
window's: where a window holds rows of a kind that the baseline has none of, no weights can make up for them."""
_PAIRS_UP_TO = 10


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class DensityRatio:
    """Weights of the baseline's rows, and what is needed to redraw them.

    ``weights`` ``(n,)`` have the mean 1. ``features`` are those of the ``n`` baseline rows ``(n, f)``;
    ``influence`` ``(n + m, f)`` is how much one more copy of each row would move the coefficients.
    """

    weights: Floats
    features: Floats
    influence: Floats
    auc: float
    """How well the sides can be told apart, on rows that were not learnt from."""
    imbalance: float
    """The largest standardised difference between a column's mean in the window and in the weighted baseline."""
    unbalanced: str = ""
    """The column in which it is, if columns have names."""

    @property
    def effective(self) -> float:
        """Effective sample size, Kish's ``sum(w)² / sum(w²)``."""
        return float(self.weights.sum() ** 2 / (self.weights @ self.weights))

    def drawn_weights(self, copies: Floats) -> Floats:
        """Weights ``(draws, n)`` had each row been drawn ``copies`` ``(draws, n + m)`` times; mean about 1."""
        moved = ((copies - 1.0) @ self.influence) @ self.features.T
        drawn = self.weights * np.exp(np.clip(moved, -3.0, 3.0))
        return drawn / drawn.mean(axis=1, keepdims=True)


def density_ratio(
    baseline: Any, window: Any, *, columns: Sequence[str] = (), ridge: float = 1.0, judge: bool = True
) -> DensityRatio:
    """Fit the ratio of densities from two matrices of rows ``(n, d)`` and ``(m, d)``.

    Parameters
    ----------
    columns : the name of each dimension ``(d,)``, for what is said of one.
    ridge : penalty on standardised coefficients, in rows.
    judge : also measure on unseen rows how well the sides can be told apart (else ``auc`` is NaN).

    Raises
    ------
    BadInput
        a side has no rows or holds numbers that are not finite, or the two differ in columns.

    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(size=(4000, 1)), rng.normal(1, 1, size=(4000, 1))
    >>> found = density_ratio(x, y)
    >>> round(float(np.average(x[:, 0], weights=found.weights)), 1), 800 < found.effective < 2_000
    (1.0, True)
    """
    x, y = two_matrices(baseline, window)
    features, sides = expanded(np.concatenate([x, y])), np.concatenate([np.zeros(len(x)), np.ones(len(y))])
    beta, influence = fit_logistic(features, sides, ridge=ridge)
    n = len(x)
    z = features[:n] @ beta
    weights = np.exp(z - z.max())
    imbalance, unbalanced = largest_difference(x, y, weights, columns)
    return DensityRatio(
        weights=weights / weights.mean(),
        imbalance=imbalance,
        unbalanced=unbalanced,
        features=features[:n],
        influence=influence,
        auc=domain_classifier_auc(x, y, permutations=0).auc if judge else float("nan"),
    )


def largest_difference(
    x: Floats, y: Floats, weights: Floats, columns: Sequence[str] = ()
) -> tuple[float, str]:
    """The largest standardised difference of means between *y* and *x* as weighted, and the name of its column.

    0 where nothing varies; no name where *columns* has none.

    >>> x, y = np.array([[0.0, 1.0], [2.0, 1.0]]), np.array([[1.0, 1.0], [3.0, 1.0]])
    >>> largest_difference(x, y, np.array([1.0, 3.0]), ["a", "b"])
    (0.5, 'a')
    """
    sd = np.sqrt((x.var(axis=0) + y.var(axis=0)) / 2)
    apart = np.abs(np.average(x, axis=0, weights=weights) - y.mean(axis=0))
    apart = np.divide(apart, sd, out=np.zeros_like(apart), where=sd > 0)
    if not apart.size:
        return 0.0, ""
    furthest = int(np.argmax(apart))
    return float(apart[furthest]), columns[furthest] if len(columns) == apart.size else ""


def weight_doubts(ratio: DensityRatio) -> list[str]:
    """Why an estimate by these weights is not to be believed."""
    return overlap_doubts(
        rows=len(ratio.weights),
        effective=ratio.effective,
        auc=ratio.auc,
        imbalance=ratio.imbalance,
        column=ratio.unbalanced,
    )


def overlap_doubts(
    *,
    rows: int,
    effective: float,
    auc: float | None,
    imbalance: float,
    column: str = "",
    needed: float = FEWEST_EFFECTIVE,
) -> list[str]:
    """Why nothing in the baseline says how the model does on the window's rows.

    Parameters
    ----------
    rows, effective : baseline rows, and their effective number as weighted; *needed* is the least that will do.
    auc : how well the sides can be told apart, where that is known.
    imbalance, column : the largest standardised difference that the weights leave, and in which column.
    """
    out = []
    if effective < needed:
        out.append(
            f"Few baseline rows are like the window's: {effective:.0f} effective rows of {rows}, and "
            f"{FEWEST_EFFECTIVE} are needed."
        )
    tolerated = MOST_UNBALANCED + 2 / np.sqrt(effective)
    if imbalance > tolerated:
        where = f" in {column}" if column else ""
        out.append(
            f"The window holds rows of a kind that the baseline has hardly any of: weighted to be alike, the two still "
            f"differ{where} by {imbalance:.2g} standard deviations, and {tolerated:.2g} are tolerated."
        )
    if auc is not None and auc > MOST_SEPARATED:
        out.append(
            f"Window and baseline can be told apart almost surely (area under the curve {auc:.3f}): "
            "nothing in the baseline says how the model does on such rows."
        )
    return out


def expanded(rows: Floats) -> Floats:
    """A constant, standardised columns, their squares, and products where columns are few."""
    sd = rows.std(axis=0)
    z = np.clip((rows - rows.mean(axis=0)) / np.where(sd > 0, sd, 1.0), -8.0, 8.0)
    d = z.shape[1]
    left, right = np.triu_indices(d) if d <= _PAIRS_UP_TO else (np.arange(d), np.arange(d))
    more = z[:, left] * z[:, right]
    more = (more - more.mean(axis=0)) / np.maximum(more.std(axis=0), 1e-12)
    # The square of a flag says nothing new, and a constant nothing at all.
    kept = (more.std(axis=0) > 0.5) & ~((left == right) & _is_flag(z)[left])
    return np.column_stack([np.ones(len(rows)), z, more[:, kept]])


def fit_logistic(features: Floats, sides: Floats, *, ridge: float = 1.0) -> tuple[Floats, Floats]:
    """Coefficients ``(f,)``, and each row's influence on them ``(rows, f)``; the constant is not penalised."""
    f = features.shape[1]
    penalty = np.full(f, ridge)
    penalty[0] = 0.0
    share = float(np.clip(sides.mean(), 1e-9, 1 - 1e-9))
    beta = np.zeros(f)
    beta[0] = np.log(share / (1 - share))

    def height(b: Floats) -> float:
        z = features @ b
        return float(sides @ z - np.logaddexp(0.0, z).sum() - (penalty * b * b).sum() / 2)

    best, curvature, p = height(beta), np.eye(f), np.full(len(sides), share)
    for _ in range(30):
        p = 1.0 / (1.0 + np.exp(-np.clip(features @ beta, -30.0, 30.0)))
        curvature = (features * (p * (1 - p))[:, None]).T @ features
        curvature[np.diag_indices(f)] += np.maximum(penalty, 1e-9)
        step = np.linalg.solve(curvature, features.T @ (sides - p) - penalty * beta)
        size = 1.0
        while size > 1e-4 and height(beta + size * step) < best:
            size /= 2
        beta = beta + size * step
        found = height(beta)
        if found - best < 1e-6:
            break
        best = found
    influence = np.linalg.solve(curvature, (features * (sides - p)[:, None]).T).T
    return beta, np.asarray(influence, np.float64)


def _is_flag(z: Floats) -> NDArray[np.bool_]:
    low, high = z.min(axis=0), z.max(axis=0)
    return ((z == low) | (z == high)).all(axis=0)
