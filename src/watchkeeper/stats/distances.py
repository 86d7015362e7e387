r"""Distances between two distributions that are given as counts over the same bins.

Every function takes two count vectors of one length, the baseline's and the window's, in any common order:
the bins may be intervals, categories, missing values. Counts may be fractions (scaled samples). Only shares
matter, never the totals; how large a distance sampling alone produces is the business of `sampling_noise`.

Distances that know the order of the bins (Kolmogorov-Smirnov, Wasserstein, ...) are in `cdf_distances`, tests
on tables of counts in `contingency`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.errors import BadInput, Incompatible

Floats = NDArray[np.float64]


def aligned_counts(baseline: Any, window: Any) -> tuple[Floats, Floats]:
    """Return both sides as float64 ``(bins,)`` without the bins that are empty on both.

    Raises
    ------
    Incompatible
        the sides differ in length.
    BadInput
        a side has no rows, or a count is negative or not a number.

    >>> aligned_counts([3, 0, 1], [2, 0, 0])
    (array([3., 1.]), array([2., 0.]))
    """
    q, p = np.asarray(baseline, dtype=np.float64), np.asarray(window, dtype=np.float64)
    if q.shape != p.shape or q.ndim != 1:
        raise Incompatible(
            f"Counts over different bins cannot be compared: {q.shape} against {p.shape}.",
            "Bring both sides to the same bins first.",
        )
    for name, side in (("baseline", q), ("window", p)):
        total = side.sum()
        if not (math.isfinite(total) and side.min(initial=0.0) >= 0):
            raise BadInput(f"The {name}'s counts hold a negative number or one that is not finite.")
        if total == 0:
            raise BadInput(f"The {name} has no rows, so there is no distribution to compare.")
    filled = (q + p) > 0
    return q[filled], p[filled]


def shares(baseline: Any, window: Any, *, pseudo_count: float = 0.0) -> tuple[Floats, Floats]:
    """Return both sides as shares that sum to one; *pseudo_count* is added to every bin of both first.

    >>> shares([1, 3], [2, 2])
    (array([0.25, 0.75]), array([0.5, 0.5]))
    """
    q, p = aligned_counts(baseline, window)
    q, p = q + pseudo_count, p + pseudo_count
    return q / q.sum(), p / p.sum()


def psi(baseline: Any, window: Any, *, pseudo_count: float = 0.5) -> float:
    r"""Population stability index, :math:`\sum_b (p_b - q_b)\ln(p_b/q_b)`; symmetric, 0 for equal shares.

    *pseudo_count* keeps it finite where one side of a bin is empty; with 0 such a bin gives infinity.

    Reference: B. Yurdakul, *Statistical Properties of Population Stability Index*, 2018.

    >>> round(psi([50, 30, 20], [30, 30, 40], pseudo_count=0), 4)
    0.2408
    """
    return float(psi_of_shares(*shares(baseline, window, pseudo_count=pseudo_count)))


def kl(baseline: Any, window: Any, *, pseudo_count: float = 0.5) -> float:
    r"""Kullback-Leibler divergence of the window from the baseline, :math:`\sum_b p_b\ln(p_b/q_b)`, in nats.

    Not symmetric: swap the arguments for the other direction.

    Reference: S. Kullback and R. A. Leibler, *On Information and Sufficiency*, Ann. Math. Stat. 22, 1951.

    >>> round(kl([50, 50], [75, 25], pseudo_count=0), 4)
    0.1308
    """
    return float(kl_of_shares(*shares(baseline, window, pseudo_count=pseudo_count)))


def jensen_shannon_divergence(baseline: Any, window: Any, *, base: float = 2.0) -> float:
    r"""Mean divergence of both sides from their mixture; between 0 and 1 in base 2, ln 2 in nats.

    .. math:: \mathrm{JSD} = \tfrac12\mathrm{KL}(q\|r) + \tfrac12\mathrm{KL}(p\|r),\quad r = (p+q)/2

    Reference: J. Lin, *Divergence Measures Based on the Shannon Entropy*, IEEE Trans. Inf. Theory 37, 1991.

    >>> jensen_shannon_divergence([1, 0], [0, 1])
    1.0
    >>> round(jensen_shannon_divergence([1, 0], [0, 1], base=math.e), 4)
    0.6931
    """
    return float(jensen_shannon_of_shares(*shares(baseline, window))) / math.log(base)


def jensen_shannon_distance(baseline: Any, window: Any, *, base: float = 2.0) -> float:
    """The square root of `jensen_shannon_divergence`: a metric, between 0 and 1 in base 2.

    Reference: D. Endres and J. Schindelin, *A New Metric for Probability Distributions*, IEEE Trans. Inf.
    Theory 49, 2003.

    >>> round(jensen_shannon_distance([50, 30, 20], [30, 30, 40]), 4)
    0.2067
    """
    return math.sqrt(jensen_shannon_divergence(baseline, window, base=base))


def hellinger(baseline: Any, window: Any) -> float:
    r"""Hellinger distance :math:`\sqrt{\tfrac12\sum_b(\sqrt{p_b}-\sqrt{q_b})^2}`, between 0 and 1.

    Reference: E. Hellinger, J. reine angew. Math. 136, 1909.

    >>> round(hellinger([36, 64], [64, 36]), 4)
    0.2
    """
    return math.sqrt(float(squared_hellinger_of_shares(*shares(baseline, window))))


def total_variation(baseline: Any, window: Any) -> float:
    r"""Half the sum of share differences: the share of rows that would have to change bins, 0 to 1.

    >>> round(total_variation([50, 30, 20], [30, 30, 40]), 4)
    0.2
    """
    return float(total_variation_of_shares(*shares(baseline, window)))


def l_infinity(baseline: Any, window: Any) -> float:
    """The largest difference of one bin's share (Chebyshev distance), 0 to 1.

    >>> round(l_infinity([50, 30, 20], [30, 30, 40]), 4)
    0.2
    """
    return float(l_infinity_of_shares(*shares(baseline, window)))


# The formulas themselves, along the last axis: one pair of shares, or thousands of simulated ones.


def psi_of_shares(q: Floats, p: Floats) -> Floats:
    """Along the last axis, as `psi`."""
    with np.errstate(divide="ignore"):
        return np.sum((p - q) * (np.log(p) - np.log(q)), axis=-1)


def kl_of_shares(q: Floats, p: Floats) -> Floats:
    """Along the last axis, as `kl`: of *p* from *q*, with 0 ln 0 = 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = p * (np.log(p) - np.log(q))
    return np.sum(np.where(p > 0, terms, 0.0), axis=-1)


def jensen_shannon_of_shares(q: Floats, p: Floats) -> Floats:
    """Along the last axis, as `jensen_shannon_divergence`, in nats."""
    mixture = (q + p) / 2
    return np.maximum(0.0, (kl_of_shares(mixture, q) + kl_of_shares(mixture, p)) / 2)


def squared_hellinger_of_shares(q: Floats, p: Floats) -> Floats:
    """Along the last axis, the square of `hellinger`."""
    return np.sum((np.sqrt(p) - np.sqrt(q)) ** 2, axis=-1) / 2


def total_variation_of_shares(q: Floats, p: Floats) -> Floats:
    """Along the last axis, as `total_variation`."""
    return np.abs(p - q).sum(axis=-1) / 2


def l_infinity_of_shares(q: Floats, p: Floats) -> Floats:
    """Along the last axis, as `l_infinity`."""
    return np.abs(p - q).max(axis=-1)
