r"""alibi-detect's own offline detectors, on raw rows.

Definition
----------
- ``ks`` (the default for numbers): two-sided, with the asymptotic p-value always. ``cvm``: Cramer-von Mises.
- ``chi2`` (the default for categories): the contingency table over both sides' categories, with Yates'
  correction for 2 x 2. ``fet``: Fisher's exact test of 0/1 columns, alternative ``greater``; the score is the
  odds ratio.
- `mmd_drift`: unbiased MMD squared with an RBF kernel; sigma is the root of half the median squared distance
  among the reference rows, kept in single precision; ``p = mean(observed <= permuted)``, without the plus one,
  so it can be 0.

Nothing is cleaned: one NaN makes every number NaN, one null among objects is an error. The univariate
detectors keep both numbers in single precision, so these are rounded to it.

Reads: columns, or rows of vectors, never states. Cost: O(n log n); MMD O(n^2) memory and time.

Limits
------
Several columns at once: the peer divides 0.05 by the number of columns (Bonferroni); pass that as *threshold*.
Permutation p-values depend on the random stream: equal to the peer's within simulation error.

References
----------
alibi-detect 0.13, ``alibi_detect.cd`` (BSL 1.1 since 0.12: read for its definitions only, nothing is copied);
A. Gretton et al., *A Kernel Two-Sample Test*, JMLR 13, 2012.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from watchkeeper.domain.schema import Kind
from watchkeeper.errors import BadInput, nearest
from watchkeeper.measures.compat.result import CompatResult
from watchkeeper.measures.compat.samples import aligned_counts, array_of, treated_as

PEER = "alibi"


def column_drift(
    reference: Any,
    current: Any,
    *,
    kind: Kind | str | None = None,
    method: str | None = None,
    threshold: float = 0.05,
) -> CompatResult:
    """Return what alibi-detect says of one column: ``score`` is its distance, drift is p below *threshold*.

    Parameters
    ----------
    reference, current : columns of raw rows: arrays, lists, or anything that exports Arrow.
    kind : numeric or categorical; None goes by what the arrays hold.
    method : one of `METHODS`; None is ``ks`` for numbers and ``chi2`` for categories.

    Raises
    ------
    BadInput
        the method is unknown.

    >>> round(column_drift([1.0, 2, 3, 4], [2.0, 3, 4, 5], method="ks").score, 6)
    0.25
    """
    left, right = array_of(reference), array_of(current)
    as_kind = treated_as(kind, left, right)
    chosen = method or ("ks" if as_kind == "numeric" else "chi2")
    if chosen not in METHODS:
        raise BadInput(
            f"{chosen!r} is no detector of one column in alibi-detect.{nearest(chosen, METHODS)}",
            f"Known: {', '.join(METHODS)}.",
        )
    rows: dict[str, Any] = {"baseline_rows": len(left), "rows": len(right), "threshold": threshold}
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            score, p_value = METHODS[chosen](left, right)
    except (ValueError, TypeError) as cause:
        reason = f"the peer fails here too: {cause}"
        return CompatResult(peer=PEER, method=chosen, score=None, reason=reason, **rows)
    if np.isnan(p_value):
        reason = "the peer's own number is NaN here: it does not drop missing values"
        return CompatResult(peer=PEER, method=chosen, score=None, reason=reason, **rows)
    return CompatResult(
        peer=PEER, method=chosen, score=score, p_value=p_value, drifted=bool(p_value < threshold), **rows
    )


def mmd_drift(
    reference: np.ndarray,
    current: np.ndarray,
    *,
    permutations: int = 100,
    seed: int = 0,
    threshold: float = 0.05,
) -> CompatResult:
    """Return alibi-detect's MMD test of two sets of rows.

    Parameters
    ----------
    reference, current : ``(rows, dimensions)`` numbers, at least two rows each.
    permutations : how many shuffles the p-value rests on.

    Raises
    ------
    BadInput
        the shapes do not fit, or there are too few rows.

    >>> rows = np.arange(12.0).reshape(6, 2)
    >>> mmd_drift(rows, rows + 20, permutations=50).drifted
    True
    """
    x, y = np.asarray(reference, dtype=float), np.asarray(current, dtype=float)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise BadInput(
            f"MMD compares two tables of as many columns and at least 2 rows; got {x.shape}, {y.shape}."
        )
    kernel = _kernel(x, y)
    n, m = len(x), len(y)
    inside = np.zeros((n + m, 1))
    inside[:n] = 1.0
    observed = float(_mmd_squared(kernel, inside, n, m)[0])
    shuffle = np.random.default_rng(seed)
    labels = shuffle.permuted(np.repeat(inside, permutations, axis=1), axis=0)
    permuted = _mmd_squared(kernel, labels, n, m)
    p_value = float(np.mean(observed <= permuted))
    return CompatResult(
        peer=PEER,
        method="mmd",
        score=observed,
        p_value=p_value,
        threshold=threshold,
        drifted=p_value < threshold,
        note=f"the p-value rests on {permutations} shuffles of our own random stream",
        baseline_rows=n,
        rows=m,
    )


def _squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    found = (x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1)[None, :] - 2 * x @ y.T
    return np.maximum(found, 1e-30)


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    within = _squared_distances(x, x)
    n = len(x)
    median = np.partition(within.ravel(), n + (n * n - n) // 2 - 1)[n + (n * n - n) // 2 - 1]
    # The peer keeps the logarithm of sigma in single precision; so do its kernel values follow.
    sigma = np.exp(np.float32(0.5 * np.log(0.5 * median)))
    both = np.concatenate([x, y])
    kernel = np.exp(-float(np.float32(1) / (np.float32(2) * sigma**2)) * _squared_distances(both, both))
    np.fill_diagonal(kernel, 0.0)
    return kernel


def _mmd_squared(kernel: np.ndarray, inside: np.ndarray, n: int, m: int) -> np.ndarray:
    """MMD squared for each column of *inside* (1 for rows of the first sample): one matrix product for all."""
    towards = kernel @ inside
    within_x = np.sum(inside * towards, axis=0)
    across = np.sum((1 - inside) * towards, axis=0)
    within_y = kernel.sum() - within_x - 2 * across
    return within_x / (n * (n - 1)) + within_y / (m * (m - 1)) - 2 * across / (n * m)


def _single(score: float, p_value: float) -> tuple[float, float]:
    return float(np.float32(score)), float(np.float32(p_value))


def _ks(reference: np.ndarray, current: np.ndarray) -> tuple[float, float]:
    from scipy.stats import ks_2samp

    found = ks_2samp(reference, current, method="asymp")
    return _single(found.statistic, found.pvalue)


def _cramer_von_mises(reference: np.ndarray, current: np.ndarray) -> tuple[float, float]:
    from scipy.stats import cramervonmises_2samp

    found = cramervonmises_2samp(reference, current, method="auto")
    return _single(found.statistic, found.pvalue)


def _chi2(reference: np.ndarray, current: np.ndarray) -> tuple[float, float]:
    from scipy.stats import chi2_contingency

    for side in (reference, current):
        if side.dtype.kind == "O" and any(value is None for value in side.tolist()):
            raise ValueError("it cannot order categories with nulls among them")
    left, right, _ = aligned_counts(reference, current)
    found = chi2_contingency(np.vstack([left, right]))
    return _single(found.statistic, found.pvalue)


def _fisher(reference: np.ndarray, current: np.ndarray) -> tuple[float, float]:
    from scipy.stats import fisher_exact

    x, y = (np.asarray(side, dtype=np.int64) for side in (reference, current))
    if not set(np.unique(y).tolist()) <= {0, 1}:
        raise ValueError("Fisher's exact test is for columns of 0 and 1")
    table = [[y.sum(), x.sum()], [len(y) - y.sum(), len(x) - x.sum()]]
    found = fisher_exact(table, alternative="greater")
    return float(found.statistic), float(found.pvalue)


METHODS: dict[str, Callable[[np.ndarray, np.ndarray], tuple[float, float]]] = {
    "ks": _ks,
    "cvm": _cramer_von_mises,
    "chi2": _chi2,
    "fet": _fisher,
}
"""Each detector of one column: distance and p-value."""
