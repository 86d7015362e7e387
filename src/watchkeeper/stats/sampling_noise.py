r"""How large a distance is when nothing moved: what sampling alone produces for given sizes and shares.

Two samples of one distribution are never alike. For sizes :math:`n` and :math:`m` over :math:`B` bins the
quadratic distances are, to first order, multiples of one chi-square variable,

.. math:: \mathrm{PSI} \approx 2\,\mathrm{KL} \approx 8\,\mathrm{JSD} \approx 8\,\mathrm{H}^2
          \approx \Big(\tfrac1n + \tfrac1m\Big)\,\chi^2_{B-1}

which `quantile` uses while every bin expects enough rows. Where bins are thin it simulates instead, from
multinomial draws with a fixed seed, and matches a gamma distribution to their mean and variance (steadier than
an empirical quantile of few draws). Total variation and L-infinity are always simulated.

Distances of cumulative distributions (`bridge_quantile`) follow a Brownian bridge over the bins.

References
----------
B. Yurdakul, *Statistical Properties of Population Stability Index*, 2018 (PSI). J. Burbea and C. R. Rao,
*On the Convexity of Some Divergence Measures*, IEEE Trans. Inf. Theory 28, 1982 (the others' second order).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, chdtri, gammaincc, gammaincinv, gammaln, ndtr

from watchkeeper.errors import BadInput
from watchkeeper.stats import distances
from watchkeeper.stats.distances import Floats, aligned_counts

_ENOUGH = 50.0
"""Rows that a bin must expect on the smaller side before the chi-square approximation is taken."""
_DRAWS = 400
_SEED = 20_240_229
_TOTAL_VARIATION = distances.total_variation_of_shares


@dataclass(frozen=True, slots=True)
class _Null:
    """How one distance behaves under the null: its formula on shares and its chi-square multiple, if any."""

    of_shares: Callable[[Floats, Floats], Floats]
    multiple: float | None
    root: bool = False
    pseudo_count: float = 0.0


_NULLS: dict[Callable[..., float], _Null] = {
    distances.psi: _Null(distances.psi_of_shares, 1.0, pseudo_count=0.5),
    distances.kl: _Null(distances.kl_of_shares, 1 / 2, pseudo_count=0.5),
    distances.jensen_shannon_divergence: _Null(
        lambda q, p: distances.jensen_shannon_of_shares(q, p) / math.log(2), 1 / 8 / math.log(2)
    ),
    distances.jensen_shannon_distance: _Null(
        lambda q, p: distances.jensen_shannon_of_shares(q, p) / math.log(2), 1 / 8 / math.log(2), root=True
    ),
    distances.hellinger: _Null(distances.squared_hellinger_of_shares, 1 / 8, root=True),
    distances.total_variation: _Null(_TOTAL_VARIATION, None),
    distances.l_infinity: _Null(distances.l_infinity_of_shares, None),
}


def quantile(
    distance: Callable[..., float],
    baseline: Any,
    window: Any,
    *,
    level: float = 0.99,
    rows: tuple[float, float] | None = None,
) -> float:
    """Return the *level* quantile of *distance* between two samples of one distribution.

    *distance* is a function of `distances` with its default parameters. The common distribution is estimated
    by pooling both sides. *rows* replaces the sizes where counts were scaled and rest on fewer rows.

    >>> from watchkeeper.stats.distances import psi
    >>> round(quantile(psi, [500] * 20, [500] * 20), 4)
    0.0072
    """
    null, n, m, pooled = _null_of(distance, baseline, window, rows)
    if pooled.size < 2:
        return 0.0
    if null.multiple is not None and min(n, m) * pooled.min() >= _ENOUGH:
        top = null.multiple * (1 / n + 1 / m) * float(chdtri(pooled.size - 1, 1 - level))
    else:
        draws = _simulate(distance, n, m, pooled.tobytes())
        # a maximum, or a sum over few bins, has no gamma shape
        shaped = null.multiple is not None or (null.of_shares is _TOTAL_VARIATION and pooled.size >= 10)
        top = _gamma_quantile(draws, level) if shaped else float(np.quantile(draws, level))
    return math.sqrt(top) if null.root else top


def expected(
    distance: Callable[..., float], baseline: Any, window: Any, *, rows: tuple[float, float] | None = None
) -> float:
    """Return the mean of *distance* between two samples of one distribution; parameters as `quantile`.

    >>> from watchkeeper.stats.distances import psi
    >>> round(expected(psi, [500] * 20, [500] * 20), 4)
    0.0038
    """
    null, n, m, pooled = _null_of(distance, baseline, window, rows)
    if pooled.size < 2:
        return 0.0
    if null.multiple is not None and min(n, m) * pooled.min() >= _ENOUGH:
        scale, df = null.multiple * (1 / n + 1 / m), pooled.size - 1
        if not null.root:
            return scale * df
        return math.sqrt(2 * scale) * math.exp(gammaln((df + 1) / 2) - gammaln(df / 2))
    draws = _simulate(distance, n, m, pooled.tobytes())
    return float(np.sqrt(draws).mean() if null.root else draws.mean())


def p_value(
    distance: Callable[..., float],
    baseline: Any,
    window: Any,
    *,
    value: float | None = None,
    rows: tuple[float, float] | None = None,
) -> float:
    """Return the probability of a *distance* of at least *value* (None: of these counts) without drift.

    The tail of the same approximation that `quantile` inverts; for L-infinity the sum of the bins' own normal
    tails, an upper bound.

    >>> from watchkeeper.stats.distances import psi
    >>> round(p_value(psi, [500] * 20, [500] * 20, value=0.0072), 2)
    0.01
    """
    null, n, m, pooled = _null_of(distance, baseline, window, rows)
    if pooled.size < 2:
        return 1.0
    value = distance(baseline, window) if value is None else value
    if null.of_shares is distances.l_infinity_of_shares:
        sd = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
        return min(1.0, float(np.sum(2 * ndtr(-value / sd))))
    if null.root:
        value = value**2
    if null.multiple is not None and min(n, m) * pooled.min() >= _ENOUGH:
        return float(chdtrc(pooled.size - 1, value / null.multiple / (1 / n + 1 / m)))
    draws = _simulate(distance, n, m, pooled.tobytes())
    if null.multiple is None and pooled.size < 10:
        at_least = int(np.count_nonzero(draws >= value))
        if at_least >= 10:  # enough of them to count
            return at_least / draws.size
    return _gamma_tail(draws, value)


def bridge_quantile(
    functional: Callable[[Floats], Floats],
    masses: Any,
    n: float,
    m: float,
    *,
    level: float = 0.99,
    draws: int = 2000,
) -> float:
    r"""Return the *level* quantile of a functional of the difference of two empirical distribution functions.

    *masses* ``(bins,)`` are the pooled shares. Simulated differences at the bins' ends, ``(draws, bins)``, are
    Gaussian with the bridge's covariance :math:`(1/n + 1/m)(F_i \wedge F_j - F_i F_j)`; *functional* turns each
    row into one number. At most *draws* are taken, fewer where there are many bins.

    >>> top = bridge_quantile(lambda d: abs(d).max(axis=1), [0.01] * 100, 1000, 1000)
    >>> 0.065 < top < 0.075   # Kolmogorov's 1.63 * sqrt(2/1000) = 0.073 for infinitely many bins
    True
    """
    masses = np.asarray(masses, dtype=np.float64)
    masses = masses / masses.sum()
    walk = np.cumsum(_normals(masses.size)[:draws] * np.sqrt(masses), axis=1)
    walk -= np.cumsum(masses) * walk[:, -1:]
    walk *= math.sqrt(1 / n + 1 / m)
    return float(np.quantile(functional(walk), level))


def bridge_eigenvalues(masses: Any, weights: Any, *, at: Any = 1.0, averaged: Any = False) -> Floats:
    r"""Eigenvalues of the limit of :math:`\sum_b w_b B(F_b)^2`, B the Brownian bridge: what it is distributed as.

    The sum is a mixture :math:`\sum_i \lambda_i \chi^2_1`.

    Parameters
    ----------
    masses : pooled shares ``(bins,)``.
    weights : the :math:`w_b`, ``(bins,)``.
    at : where in its bin the bridge is taken, 0 to 1: its end (default), or 0.5 for the middle; a number, or
        one for each bin.
    averaged : whether the mean of the bridge at both ends stands for the middle (as midranks do): it varies by
        a quarter of the bin's share less. A bool, or one for each bin.

    >>> bridge_eigenvalues([0.5, 0.5], [1.0, 0.0]).round(4).tolist()   # one point, variance 1/4
    [0.25]
    """
    h = np.asarray(masses, dtype=np.float64)
    h = h / h.sum()
    f = np.cumsum(h) - h * (1 - np.asarray(at, dtype=np.float64))
    covariance = np.minimum.outer(f, f) - np.outer(f, f)
    covariance[np.diag_indices(h.size)] -= np.where(averaged, h / 4, 0.0)
    root = np.sqrt(np.asarray(weights, dtype=np.float64))
    values = np.linalg.eigvalsh(covariance * np.outer(root, root))
    return values[values > values.max(initial=0.0) * 1e-10]


def joined_groups(pooled: Any, *, limit: int = 64) -> NDArray[np.intp]:
    """Which of at most *limit* groups of neighbours each bin goes to, ``(bins,)``; no bin may be empty.

    Noise is worked out on few bins: more would cost much and change little.

    >>> joined_groups([0.5, 0.1, 0.1, 0.3], limit=2)
    array([0, 1, 1, 1])
    """
    masses = np.asarray(pooled, dtype=np.float64)
    if masses.size <= limit:
        return np.arange(masses.size)
    middle = (np.cumsum(masses) - masses / 2) / masses.sum()
    places = np.minimum((middle * limit).astype(np.intp), limit - 1)
    return np.cumsum(np.diff(places, prepend=places[0]) > 0)


def cramer_von_mises_eigenvalues(pooled: Any, atoms: Any = True) -> Floats:
    """Eigenvalues of the limit of the Cramer-von Mises criterion; they sum to its mean.

    *pooled* are the shares of the bins, none empty; *atoms* says which hold one value only.

    >>> eigenvalues = cramer_von_mises_eigenvalues([0.001] * 1000)
    >>> [round(float(e), 4) for e in (eigenvalues.sum(), eigenvalues.max())]   # the limit's are 1/(pi j)^2
    [0.1667, 0.1013]
    """
    masses, alone = _joined(pooled, atoms)
    # the gap counts at the end of an atom, and all through any other bin
    return bridge_eigenvalues(masses, masses, at=np.where(alone, 1.0, 0.5))


def anderson_darling_eigenvalues(pooled: Any, atoms: Any = True) -> Floats:
    """Eigenvalues of the limit of the Anderson-Darling criterion with midranks; parameters as for the other.

    >>> eigenvalues = anderson_darling_eigenvalues([0.001] * 1000)
    >>> [round(float(e), 2) for e in (eigenvalues.sum(), eigenvalues.max())]   # the limit's are 1/(j(j+1))
    [1.0, 0.5]
    """
    masses, alone = _joined(pooled, atoms)
    middle = np.cumsum(masses) - masses / 2
    room = middle * (1 - middle) - np.where(alone, masses / 4, 0.0)
    weights = np.divide(masses, room, out=np.zeros(masses.size), where=room > 1e-12)
    return bridge_eigenvalues(masses, weights, at=0.5, averaged=alone)


def _joined(pooled: Any, atoms: Any) -> tuple[Floats, NDArray[np.bool_]]:
    """Shares of the joined bins, and which of them are a single value."""
    groups = joined_groups(pooled)
    masses = np.asarray(np.bincount(groups, np.asarray(pooled, dtype=np.float64)), dtype=np.float64)
    single = np.bincount(groups) == 1
    lumps = np.bincount(groups, np.broadcast_to(np.asarray(atoms, dtype=np.float64), groups.shape)) > 0
    return masses / masses.sum(), single & lumps


def quadratic_tail(eigenvalues: Floats, value: float) -> float:
    r"""Return :math:`P(\sum_i \lambda_i \chi^2_1 \ge value)` by the saddlepoint of Lugannani and Rice.

    Relative error of about a percent in the tail, however far out.

    Reference: D. Kuonen, *Saddlepoint Approximations for Distributions of Quadratic Forms in Normal Variables*,
    Biometrika 86, 1999.

    >>> round(quadratic_tail(np.array([1.0, 1.0, 1.0]), 7.8147), 3)   # chi-square with 3: 5%
    0.05
    """
    scale = float(eigenvalues.max(initial=0.0))
    if scale <= 0 or value <= 0:
        return 1.0
    e, q = eigenvalues / scale, value / scale
    mean = float(e.sum())
    if abs(q - mean) < 1e-3 * mean:  # the formula is 0/0 at the mean: take the line through both sides
        return (quadratic_tail(e, mean * 0.998) + quadratic_tail(e, mean * 1.002)) / 2
    z = _saddlepoint(e, q, mean)
    cumulant = -0.5 * float(np.sum(np.log1p(-2 * z * e)))
    curvature = 2 * float(np.sum((e / (1 - 2 * z * e)) ** 2))
    w = math.copysign(math.sqrt(max(0.0, 2 * (z * q - cumulant))), z)
    v = z * math.sqrt(curvature)
    return float(min(1.0, max(0.0, ndtr(-(w + math.log(v / w) / w)))))


def _saddlepoint(e: Floats, q: float, mean: float) -> float:
    """Solve ``sum e / (1 - 2 z e) = q`` for z below 1/2 (the largest of *e* is 1): Newton, kept in a bracket."""
    low, high = (0.0, 0.5) if q > mean else (-e.size / (2 * q), 0.0)
    # one term alone, or all with the same share of the mean, would give these
    z = min(0.5 - 0.5 / q, 0.5 - 1e-9) if q > mean and q > 2 else (low + high) / 2
    for _ in range(100):
        terms = e / (1 - 2 * z * e)
        off = float(terms.sum()) - q
        if abs(off) < 1e-10 * q:
            break
        low, high = (z, high) if off < 0 else (low, z)
        z -= off / (2 * float((terms * terms).sum()))
        if not low < z < high:
            z = (low + high) / 2
    return z


def quadratic_quantile(eigenvalues: Floats, *, level: float = 0.99) -> float:
    r"""Return the value that :math:`\sum_i \lambda_i \chi^2_1` stays below with probability *level*.

    >>> round(quadratic_quantile(np.array([1.0, 1.0, 1.0]), level=0.95), 1)
    7.8
    """
    scale = float(eigenvalues.max(initial=0.0))
    if scale <= 0:
        return 0.0
    eigenvalues = eigenvalues / scale  # squares of very large or small ones leave the range of floats
    # from the gamma variable of the same mean and variance, by secants of the logarithm, nearly straight there
    mean, variance = float(eigenvalues.sum()), 2 * float(np.sum(eigenvalues**2))
    wanted = math.log(1 - level)
    at = float(gammaincinv(mean**2 / variance, level)) * variance / mean
    other = at * 1.05
    f, g = (math.log(max(quadratic_tail(eigenvalues, x), 1e-300)) - wanted for x in (at, other))
    for _ in range(20):
        if f == g or abs(g) < 1e-4:
            break
        at, other, f = other, max(other - g * (other - at) / (g - f), at * 1e-3), g
        g = math.log(max(quadratic_tail(eigenvalues, other), 1e-300)) - wanted
    return other * scale


def _null_of(
    distance: Callable[..., float], baseline: Any, window: Any, rows: tuple[float, float] | None
) -> tuple[_Null, float, float, Floats]:
    if distance not in _NULLS:
        raise BadInput(f"The sampling noise of {getattr(distance, '__name__', distance)!r} is not known.")
    q, p = aligned_counts(baseline, window)
    n, m = rows if rows is not None else (float(q.sum()), float(p.sum()))
    scaled = q * (n / q.sum()) + p * (m / p.sum())
    return _NULLS[distance], n, m, scaled / scaled.sum()


@lru_cache(maxsize=16)
def _simulate(distance: Callable[..., float], n: float, m: float, shares: bytes) -> Floats:
    """Draws of the distance (of its square, where it is a root) under the null, ``(draws,)``.

    Kept, since the level, the p-value and the mean of one measurement ask for the same ones in turn.
    """
    null, pooled = _NULLS[distance], np.frombuffer(shares)
    if min(n, m) * pooled.min() >= _ENOUGH:
        q, p = _gaussian_pairs(n, m, pooled)
    else:
        q, p = _multinomial_pairs(max(1, round(n)), max(1, round(m)), pooled.tobytes())
        if null.pseudo_count:
            room = null.pseudo_count * pooled.size
            q = (q * n + null.pseudo_count) / (n + room)
            p = (p * m + null.pseudo_count) / (m + room)
    return null.of_shares(q, p)


@lru_cache(maxsize=16)
def _multinomial_pairs(n: int, m: int, pooled: bytes) -> tuple[Floats, Floats]:
    """Simulated shares of both sides; kept, since a column's measures ask for the same ones in turn."""
    generator = np.random.default_rng(_SEED)
    probabilities = np.frombuffer(pooled)
    return (
        generator.multinomial(n, probabilities, size=_DRAWS) / n,
        generator.multinomial(m, probabilities, size=_DRAWS) / m,
    )


def _gaussian_pairs(n: float, m: float, pooled: Floats) -> tuple[Floats, Floats]:
    """The same by the normal limit: all the difference is put on the second side."""
    root = np.sqrt(pooled)
    z = _normals(pooled.size)
    tied = z - np.outer(z @ root, root)
    return pooled, pooled + root * tied * math.sqrt(1 / n + 1 / m)


@lru_cache(maxsize=8)
def _normals(bins: int) -> Floats:
    """Standard normal draws ``(draws, bins)``, the same in every process; fewer where there are many bins."""
    draws = max(_DRAWS, min(2000, 200_000 // bins))
    return np.random.default_rng(_SEED).standard_normal((draws, bins))


def _gamma_quantile(draws: Floats, level: float) -> float:
    mean, variance = float(draws.mean()), float(draws.var())
    if mean <= 0 or variance <= 0:
        return mean
    return float(gammaincinv(mean**2 / variance, level)) * variance / mean


def _gamma_tail(draws: Floats, value: float) -> float:
    mean, variance = float(draws.mean()), float(draws.var())
    if mean <= 0 or variance <= 0:
        return 1.0 if value <= mean else 0.0
    return float(gammaincc(mean**2 / variance, max(0.0, value) * mean / variance))
