r"""Maximum mean discrepancy: are two samples of vectors from one distribution?

Formula
-------
With the Gaussian kernel :math:`k(u,v) = \exp(-\|u-v\|^2 / 2\sigma^2)`, n baseline rows x and m window rows y,

.. math:: \mathrm{MMD}^2 = \frac{\sum_{i\ne j} k(x_i,x_j)}{n(n-1)} + \frac{\sum_{i\ne j} k(y_i,y_j)}{m(m-1)}
          - \frac{2\sum_{ij} k(x_i,y_j)}{nm}

which is unbiased, so it may be a little below zero. :math:`2\sigma^2` is the median squared distance between
baseline rows: the kernel depends on the baseline alone, so the numbers of many windows can be compared.

Permutations
------------
Let a be the 0/1 vector of "is in the window" over the N pooled rows, K the kernel without its diagonal and
r its row sums. All three sums follow from :math:`a^\top K a`, :math:`a^\top r` and :math:`1^\top r`. So the kernel
is computed once, in strips of its upper triangle that are never kept, and each strip meets the labels of *all*
permutations in one matrix product. Adding a constant to K changes nothing in the unbiased statistic; a constant
near its mean is taken off first, which keeps single precision honest.

References
----------
A. Gretton et al., *A Kernel Two-Sample Test*, JMLR 13, 2012. B. Phipson and G. Smyth, *Permutation P-values
Should Never Be Zero*, Stat. Appl. Genet. Mol. Biol. 9, 2010.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.errors import BadInput, Incompatible

_BLOCK = 512
"""Rows of the kernel that are held at once: 512 x 10,000 single numbers are 20 MB."""
_SINGLE_FROM = 2_000
"""Pooled rows from which single precision is taken: below, double costs nothing that anyone would notice."""


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """The squared discrepancy, its permutation p-value, and the null quantile that it would have to exceed."""

    statistic: float
    p_value: float | None
    threshold: float | None
    """The 99% quantile of the permuted statistics; None without permutations."""
    bandwidth: float
    permutations: int


def mmd(
    baseline: Any,
    window: Any,
    *,
    permutations: int = 200,
    bandwidth: float | None = None,
    unbiased: bool = True,
    seed: int = 0,
    precision: str = "auto",
) -> Discrepancy:
    """Return the squared discrepancy of two samples of vectors and its p-value.

    Parameters
    ----------
    baseline, window : ``(n, d)`` and ``(m, d)``, finite numbers; scale the columns first where units differ.
    permutations : relabellings for the p-value ``(1 + number at least as large) / (permutations + 1)``, which
        is never 0; with 0 there is no p-value.
    bandwidth : sigma of the kernel; None takes the median of the baseline's pairs.
    unbiased : leave the pairs of a row with itself out (default); False gives the biased statistic, never
        negative.
    precision : ``"double"``, ``"single"``, or ``"auto"``: single from 2,000 pooled rows on.

    Raises
    ------
    Incompatible
        the two have vectors of different lengths.
    BadInput
        fewer than two rows on a side, or a number that is not finite.

    >>> rng = np.random.default_rng(0)
    >>> still = mmd(rng.normal(size=(200, 3)), rng.normal(size=(100, 3)))
    >>> moved = mmd(rng.normal(size=(200, 3)), rng.normal(0.7, 1, size=(100, 3)))
    >>> still.p_value > 0.05, round(moved.p_value, 4)
    (True, 0.005)
    """
    x, y = two_matrices(baseline, window)
    n, m = len(x), len(y)
    single = precision == "single" or (precision == "auto" and n + m >= _SINGLE_FROM)
    dtype: Any = np.float32 if single else np.float64
    centre = x.mean(axis=0)  # distances do not change, rounding of their squares does
    rows = np.concatenate([x - centre, y - centre]).astype(dtype)
    sigma = median_bandwidth(rows[:n]) if bandwidth is None else float(bandwidth)
    if not sigma > 0:
        sigma = 1.0  # more than half of the baseline's pairs are equal: any width tells equal from different
    labels = _labels(n, m, permutations, seed, dtype)
    within, across, total = _sums(rows, sigma, labels)
    # `within`, `across`, `total`: a'Ka, a'r and 1'r for every labelling
    xx, xy, yy = total - 2 * across + within, across - within, within
    if unbiased:
        values = xx / (n * (n - 1)) + yy / (m * (m - 1)) - 2 * xy / (n * m)
    else:
        shift = _offset(rows, sigma)  # put back what was taken off: here the diagonal, 1 each, counts
        values = (
            (xx + shift * n * (n - 1) + n) / n**2
            + (yy + shift * m * (m - 1) + m) / m**2
            - 2 * (xy + shift * n * m) / (n * m)
        )
    statistic, permuted = float(values[0]), values[1:]
    if not permutations:
        return Discrepancy(statistic, None, None, sigma, 0)
    # a statistic that ties but for rounding counts as at least as large
    slack = 1e-12 if dtype is np.float64 else 0.0
    at_least = int(np.count_nonzero(permuted >= statistic - slack))
    return Discrepancy(
        statistic,
        (1 + at_least) / (permutations + 1),
        float(np.quantile(permuted, 0.99)),
        sigma,
        permutations,
    )


def median_bandwidth(rows: NDArray) -> float:
    r"""Return sigma with :math:`2\sigma^2` the (lower) median squared distance over all pairs of *rows*.

    >>> round(median_bandwidth(np.array([[0.0], [1.0], [3.0]])), 4)   # squared distances 1, 4, 9
    1.4142
    """
    n = len(rows)
    if n < 2:
        return 0.0
    squares = np.einsum("ij,ij->i", rows, rows)
    pairs = np.empty(n * (n - 1) // 2, dtype=rows.dtype)
    filled = 0
    for start in range(0, n, _BLOCK):
        stop = min(start + _BLOCK, n)
        gram = rows[start:stop] @ rows[start:].T
        gram *= -2
        gram += squares[start:stop, None]
        gram += squares[None, start:]
        for i in range(stop - start):  # the upper triangle, row by row: contiguous copies
            part = gram[i, i + 1 :]
            pairs[filled : filled + part.size] = part
            filled += part.size
    middle = (pairs.size - 1) // 2
    pairs.partition(middle)
    return float(np.sqrt(max(0.0, float(pairs[middle])) / 2))


def _labels(n: int, m: int, permutations: int, seed: int, dtype: Any) -> NDArray:
    """0/1 ``(n + m, 1 + permutations)``: column 0 as it is, the others relabelled."""
    labels = np.zeros((n + m, permutations + 1), dtype=dtype)
    labels[n:, 0] = 1
    rng = np.random.default_rng(seed)
    for column in range(1, permutations + 1):
        labels[rng.permutation(n + m)[:m], column] = 1
    return labels


def _offset(rows: NDArray, sigma: float) -> float:
    """A cheap value near the kernel's mean over pairs: from every row against at most 64 of them."""
    few = rows[:: max(1, len(rows) // 64)]
    return float(_kernel(rows, few, sigma).mean())


def _kernel(a: NDArray, b: NDArray, sigma: float) -> NDArray:
    scale = a.dtype.type(-1 / (2 * sigma**2))
    out = a @ b.T
    out *= -2
    out += np.einsum("ij,ij->i", a, a)[:, None]
    out += np.einsum("ij,ij->i", b, b)[None, :]
    np.maximum(out, 0, out=out)
    out *= scale
    return np.exp(out, out=out)


def _sums(rows: NDArray, sigma: float, labels: NDArray) -> tuple[NDArray, NDArray, float]:
    """``a'Ka``, ``a'r`` for every column a of *labels*, and ``1'r``, of the offset kernel without diagonal."""
    size = len(rows)
    offset = rows.dtype.type(_offset(rows, sigma))
    row_sums = np.zeros(size)
    within = np.zeros(labels.shape[1])
    for start in range(0, size, _BLOCK):  # the block on the diagonal, and all that lies to its right
        here, right = slice(start, start + _BLOCK), slice(start + _BLOCK, size)
        block = _kernel(rows[here], rows[here], sigma)
        block -= offset
        np.fill_diagonal(block, 0)
        row_sums[here] += block.sum(axis=1)
        within += np.einsum("ij,ij->j", labels[here], block @ labels[here])
        if start + _BLOCK < size:
            block = _kernel(rows[here], rows[right], sigma)
            block -= offset
            row_sums[here] += block.sum(axis=1)
            row_sums[right] += block.sum(axis=0)
            within += 2.0 * np.einsum("ij,ij->j", labels[here], block @ labels[right])
    return within, labels.T.astype(np.float64) @ row_sums, float(row_sums.sum())


def two_matrices(baseline: Any, window: Any) -> tuple[NDArray, NDArray]:
    """Both sides as float64 ``(rows, d)``; refused unless they are finite, of one width, with two rows each."""
    x, y = _matrix(baseline, "baseline"), _matrix(window, "window")
    if x.shape[1] != y.shape[1]:
        raise Incompatible(
            f"Vectors of {x.shape[1]} and of {y.shape[1]} numbers cannot be compared.",
            "Compare columns of one dimension.",
        )
    return x, y


def _matrix(rows: Any, side: str) -> NDArray:
    out = np.asarray(rows, dtype=np.float64)
    if out.ndim == 1:
        out = out[:, None]
    if out.ndim != 2 or len(out) < 2:
        raise BadInput(f"The {side} needs at least two rows of numbers, got an array {out.shape}.")
    if not np.isfinite(out).all():
        raise BadInput(f"The {side} holds numbers that are not finite.", "Fill or drop those rows first.")
    return out
