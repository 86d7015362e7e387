r"""Drift of many columns at once, on samples of rows: can the two sides be told apart?

All functions take two matrices of rows, ``(n, d)`` and ``(m, d)``, of finite numbers. Maximum mean discrepancy is
in `mmd`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, chdtri, ndtr, ndtri

from watchkeeper.errors import BadInput
from watchkeeper.stats.mmd import two_matrices

Floats = NDArray[np.float64]

_PAIRS_UP_TO = 20
"""Columns up to which products of pairs are features too: a change of correlation is seen only by them."""


@dataclass(frozen=True, slots=True)
class Separability:
    """Held-out AUC of a classifier of sides; 0.5 is no drift, 1 is complete."""

    auc: float
    p_value: float
    threshold: float
    """The 99% quantile of the AUC over relabellings."""
    weights: Floats
    """How much each column ``(d,)`` helps to tell the sides apart; they sum to 1."""


def domain_classifier_auc(
    baseline: Any,
    window: Any,
    *,
    folds: int = 5,
    permutations: int = 200,
    ridge: float = 1.0,
    seed: int = 0,
) -> Separability:
    r"""Train a classifier to tell the two sides apart, and return its AUC on rows that it has not seen.

    The classifier is a ridge regression on the side (Fisher's linear discriminant) over standardised columns,
    their squares, and with at most 20 columns their pairwise products: it sees shifts of means, spreads and
    correlations. It needs no library, and gives the same number everywhere. Its predictions are linear in the
    labels, so all relabellings are trained at once by one product, and the p-value is that of an exact
    permutation test, ``(1 + number at least as large) / (permutations + 1)``.

    Parameters
    ----------
    folds : parts of the rows; each is predicted by what was learnt from the others.
    ridge : penalty on the standardised features, in rows.

    References: D. Lopez-Paz and M. Oquab, *Revisiting Classifier Two-Sample Tests*, ICLR 2017; I. Kim et al.,
    *Classification Accuracy as a Proxy for Two-Sample Testing*, Ann. Stat. 49, 2021.

    >>> rng = np.random.default_rng(0)
    >>> moved = domain_classifier_auc(rng.normal(size=(300, 2)), rng.normal([0, 1], 1, size=(300, 2)))
    >>> 0.7 < moved.auc < 0.85, round(moved.p_value, 4), moved.weights.round(1).tolist()
    (True, 0.005, [0.0, 1.0])
    """
    x, y = two_matrices(baseline, window)
    n, m = len(x), len(y)
    folds = max(2, min(folds, n, m))
    rows = np.concatenate([x, y])
    features, columns = _expanded(rows)
    rng = np.random.default_rng(seed)
    labels = np.zeros((n + m, permutations + 1))
    labels[n:, 0] = 1
    for column in range(1, permutations + 1):
        labels[rng.permutation(n + m)[:m], column] = 1
    part = rng.permutation(n + m) % folds
    centred = features - features.mean(axis=0)
    gram = centred.T @ centred
    aucs = np.zeros(permutations + 1)
    used = np.zeros(permutations + 1)
    for k in range(folds):
        held = part == k
        seen, out = centred[~held], centred[held]
        inner = gram - out.T @ out
        inner[np.diag_indices_from(inner)] += ridge
        scores = out @ np.linalg.solve(inner, seen.T @ (labels[~held] - labels[~held].mean(axis=0)))
        found, known = _aucs(scores, labels[held])
        aucs += np.where(known, found, 0.0)
        used += known
    aucs = np.divide(aucs, used, out=np.full(permutations + 1, 0.5), where=used > 0)
    gram[np.diag_indices_from(gram)] += ridge
    slope = np.linalg.solve(gram, centred.T @ (labels[:, 0] - labels[:, 0].mean()))
    # what each feature adds to the difference of the sides' mean scores; products are shared by both columns
    effect = np.abs(slope * (features[n:].mean(axis=0) - features[:n].mean(axis=0)))
    weights = np.zeros(rows.shape[1])
    for side in columns:
        np.add.at(weights, side, effect / 2)
    total = weights.sum()
    return Separability(
        auc=float(aucs[0]),
        p_value=(1 + int(np.count_nonzero(aucs[1:] >= aucs[0] - 1e-12))) / (permutations + 1),
        threshold=float(np.quantile(aucs[1:], 0.99)) if permutations else math.nan,
        weights=weights / total if total > 0 else np.full(rows.shape[1], 1 / rows.shape[1]),
    )


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """Mean error of both sides after projection on the baseline's main components."""

    baseline_error: float
    window_error: float
    components: int
    p_value: float
    ratio_sd: float
    """Standard deviation of the ratio of both errors when nothing moved."""

    @property
    def ratio(self) -> float:
        """The window's error over the baseline's; 1 when nothing moved."""
        return self.window_error / self.baseline_error if self.baseline_error > 0 else math.inf


def pca_reconstruction(
    baseline: Any, window: Any, *, explained: float = 0.65, seed: int = 0
) -> Reconstruction:
    r"""Compare how well the baseline's main components rebuild rows of both sides.

    Columns are scaled by the baseline. Components that explain a share *explained* of the variance are learnt
    on one half of the baseline's rows; errors :math:`\|z - \hat z\|` are compared between the *other* half and
    the window, since a fit is too good on the rows that it was made from. The p-value is Welch's, two-sided:
    a smaller error is a change of the correlations too.

    Reference: NannyML's data reconstruction with PCA; I. Jolliffe, *Principal Component Analysis*, 2002.

    >>> rng = np.random.default_rng(0)
    >>> line = rng.normal(size=(400, 1))
    >>> tied = np.hstack([line, line, line]) + rng.normal(0, 0.1, size=(400, 3))
    >>> loose = rng.normal(size=(400, 3))
    >>> found = pca_reconstruction(tied, loose)
    >>> found.components, found.ratio > 5, found.p_value < 1e-6
    (1, True, True)
    """
    x, y = two_matrices(baseline, window)
    if len(x) < 4:
        raise BadInput("The components need at least four baseline rows.")
    order = np.random.default_rng(seed).permutation(len(x))
    fit, rest = x[order[: len(x) // 2]], x[order[len(x) // 2 :]]
    mean, sd = fit.mean(axis=0), fit.std(axis=0)
    sd = np.where(sd > 0, sd, 1.0)
    fit, rest, y = (fit - mean) / sd, (rest - mean) / sd, (y - mean) / sd
    variances, vectors = np.linalg.eigh(fit.T @ fit / len(fit))
    variances, vectors = np.maximum(variances[::-1], 0.0), vectors[:, ::-1]
    total = variances.sum()
    kept = 1
    if total > 0:
        kept = int(np.searchsorted(np.cumsum(variances) / total, explained - 1e-12)) + 1
    axes = vectors[:, : min(kept, fit.shape[1])]
    errors = [np.linalg.norm(side - side @ axes @ axes.T, axis=1) for side in (rest, y)]
    means = [float(e.mean()) for e in errors]
    noise = math.sqrt(sum(float(e.var(ddof=1)) / len(e) for e in errors if len(e) > 1))
    # when nothing moved both errors vary as the baseline's do
    null = float(errors[0].std(ddof=1)) * math.sqrt(1 / len(errors[0]) + 1 / len(errors[1]))
    gap = abs(means[1] - means[0])
    p_value = float(2 * ndtr(-gap / noise)) if noise > 0 else (1.0 if gap <= 1e-12 else 0.0)
    return Reconstruction(
        baseline_error=means[0],
        window_error=means[1],
        components=axes.shape[1],
        p_value=p_value,
        ratio_sd=null / means[0] if means[0] > 0 else 0.0,
    )


@dataclass(frozen=True, slots=True)
class MeanDistance:
    """Distance of two mean vectors, in units of the baseline's overall spread."""

    distance: float
    p_value: float
    margin: float
    expected: float


def mean_distance(
    baseline_mean: Any,
    baseline_variance: Any,
    n: float,
    window_mean: Any,
    window_variance: Any,
    m: float,
    *,
    level: float = 0.99,
) -> MeanDistance:
    r"""Compare mean vectors from the moments of each dimension: :math:`\|\bar y - \bar x\| / \sqrt{\sum_j s_j^2}`.

    Means and variances are ``(d,)``. When nothing moved, the squared distance is a mixture of chi-squares that
    depends on correlations, which moments do not hold. *margin* and *p_value* take the worst case, one direction
    that carries all the variance: they are bounds for any correlation (for p below about 0.2).

    Reference: G. Szekely and N. Bakirov, *Extremal Probabilities for Gaussian Quadratic Forms*, Probab. Theory
    Relat. Fields 126, 2003.

    >>> mean_distance([0.0, 0.0], [1.0, 3.0], 100, [0.0, 2.0], [1.0, 3.0], 100).distance
    1.0
    """
    x, y = np.asarray(baseline_mean, dtype=np.float64), np.asarray(window_mean, dtype=np.float64)
    spread = float(np.sum(baseline_variance))
    if not spread > 0:
        raise BadInput("All baseline vectors are equal, so their spread is no unit.")
    square = float(np.sum((y - x) ** 2))
    pooled = (n * spread + m * float(np.sum(window_variance))) / (n + m)
    noise = pooled * (1 / n + 1 / m)
    return MeanDistance(
        distance=math.sqrt(square / spread),
        p_value=float(chdtrc(1, square / noise)),
        margin=math.sqrt(float(chdtri(1, 1 - level)) * noise / spread),
        expected=math.sqrt(noise / spread),
    )


def ratio_margin(found: Reconstruction, *, level: float = 0.99) -> float:
    """How far from 1 the ratio of errors strays when nothing moved."""
    return float(ndtri((1 + level) / 2)) * found.ratio_sd


def _expanded(rows: Floats) -> tuple[Floats, tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Standardised columns, squares, pairs; and the two columns that each feature comes from."""
    d = rows.shape[1]
    sd = rows.std(axis=0)
    z = (rows - rows.mean(axis=0)) / np.where(sd > 0, sd, 1.0)
    z = np.clip(z, -8.0, 8.0)  # one value far out shall not own the squares
    left, right = np.triu_indices(d, k=0) if d <= _PAIRS_UP_TO else (np.arange(d), np.arange(d))
    more = z[:, left] * z[:, right]
    spread = more.std(axis=0)
    more = more / np.where(spread > 1e-12, spread, 1.0)
    single = np.arange(d)
    return np.hstack([z, more]), (np.concatenate([single, left]), np.concatenate([single, right]))


def _aucs(scores: Floats, labels: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """AUC of each column of *scores* for the same column of *labels*; and whether both labels occur."""
    order = np.argsort(scores, axis=0)
    ranked = np.take_along_axis(scores, order, axis=0)
    ranks = np.arange(1.0, len(scores) + 1)[:, None].repeat(scores.shape[1], axis=1)
    for column in np.flatnonzero((np.diff(ranked, axis=0) == 0).any(axis=0)):
        _, place, counts = np.unique(ranked[:, column], return_inverse=True, return_counts=True)
        last = np.cumsum(counts)
        ranks[:, column] = (last - (counts - 1) / 2)[place]
    ones = np.take_along_axis(labels, order, axis=0)
    positives = ones.sum(axis=0)
    negatives = len(scores) - positives
    pairs = positives * negatives
    u = (ranks * ones).sum(axis=0) - positives * (positives + 1) / 2
    return np.divide(u, pairs, out=np.zeros_like(u), where=pairs > 0), pairs > 0
