r"""Confidence sequences: intervals that hold at all times at once.

``P(the truth is inside every interval, for all n) >= 1 - alpha``: they may be read after every row or window,
and a decision may be taken when it suits. They are wider than intervals for one fixed n; that is the price.

==================== ================================================================= =================
function             of                                                                holds
==================== ================================================================= =================
`proportion`         a share of independent rows, by a beta-binomial mixture            for every n
`bounded_mean`       a mean of values in [0, 1], empirical Bernstein                    for every n
`betting_mean`       the same, tighter, by betting on a grid                            for every n
`quantile`           a quantile of any distribution                                     for every n
`difference`         two means or shares, from two of the above at alpha / 2            for every n
`asymptotic_mean`    a mean of anything with a variance                                 for large n
`asymptotic_difference` a difference of two such means                                  for large n
==================== ================================================================= =================

References
----------
I. Waudby-Smith, A. Ramdas, *Estimating means of bounded random variables by betting*, JRSS B 86, 2024.
S. Howard, A. Ramdas, *Sequential estimation of quantiles with applications to A/B testing and best-arm
identification*, Bernoulli 28, 2022.
H. Robbins, *Statistical methods related to the law of the iterated logarithm*, 1970 (mixtures).
I. Waudby-Smith, D. Arbour, R. Sinha, E. Kennedy, A. Ramdas, *Time-uniform central limit theory and asymptotic
confidence sequences*, Annals of Statistics 52, 2024 (arXiv:2103.06476).
"""

from __future__ import annotations

from math import log, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.errors import BadInput
from watchkeeper.stats.evidence.levels import bounded

Floats = NDArray[np.float64]
Band = tuple[Floats, Floats]


def proportion(
    successes: Any, n: Any, *, alpha: float = 0.05, prior: tuple[float, float] = (0.5, 0.5)
) -> Band:
    r"""Return low and high of a share, after *n* rows with *successes* (arrays of one shape).

    The p for which :math:`\frac{B(a + S, b + F)}{B(a, b)\, p^S (1-p)^F} < 1/\alpha`: under the true p the left
    side is a martingale that begins at 1.

    >>> low, high = proportion(30, 100)
    >>> round(float(low), 3), round(float(high), 3)
    (0.166, 0.463)
    """
    from scipy.special import betaln, xlog1py, xlogy

    _check(alpha)
    s, n = np.broadcast_arrays(np.asarray(successes, float), np.asarray(n, float))
    f = n - s
    if (s < 0).any() or (f < 0).any():
        raise BadInput("There are more successes than rows, or fewer than none.")
    a, b = prior
    level = betaln(a + s, b + f) - betaln(a, b) + log(alpha)
    centre = np.where(n > 0, s / np.maximum(n, 1), 0.5)

    def inside(p: Floats) -> NDArray[np.bool_]:
        return np.asarray(xlogy(s, p) + xlog1py(f, -p) > level)

    ends = []
    for end in (0.0, 1.0):
        out, within = np.full(s.shape, end), centre.copy()
        whole = inside(out)
        for _ in range(60):
            middle = (out + within) / 2
            good = inside(middle)
            within, out = np.where(good, middle, within), np.where(good, out, middle)
        ends.append(np.where(whole, end, out))
    return ends[0], ends[1]


def bounded_mean(values: NDArray[Any], *, alpha: float = 0.05) -> Band:
    r"""Return low and high ``(n,)`` of the mean of *values* in [0, 1] after each of them (empirical Bernstein).

    With predictable stakes :math:`\lambda_t`, :math:`\psi(\lambda) = -\ln(1-\lambda) - \lambda` and the mean
    before, :math:`\hat\mu_{t-1}`,

    .. math:: \frac{\sum \lambda_i x_i}{\sum \lambda_i} \pm
       \frac{\ln(2/\alpha) + \sum (x_i - \hat\mu_{i-1})^2 \psi(\lambda_i)}{\sum \lambda_i}.

    Intervals are intersected as they come. Raises BadInput if a value is outside [0, 1].

    >>> low, high = bounded_mean(np.tile([0.2, 0.4], 500))
    >>> bool(low[-1] < 0.3 < high[-1] and high[-1] - low[-1] < 0.08)
    True
    """
    _check(alpha)
    x = bounded(values)
    before, variance = _running(x)
    t = np.arange(1, len(x) + 1)
    stakes = np.minimum(0.5, np.sqrt(2 * log(2 / alpha) / (variance * t * np.log(t + 1))))
    total = np.cumsum(stakes)
    centre = np.cumsum(stakes * x) / total
    psi = -np.log1p(-stakes) - stakes
    half = (log(2 / alpha) + np.cumsum((x - before) ** 2 * psi)) / total
    return (
        np.maximum.accumulate(np.maximum(centre - half, 0.0)),
        np.minimum.accumulate(np.minimum(centre + half, 1.0)),
    )


def betting_mean(values: NDArray[Any], *, alpha: float = 0.05, grid: int = 1000) -> tuple[float, float]:
    r"""Return low and high of the mean of *values* ``(n,)`` in [0, 1], as they stand after the last one.

    The hedged capital :math:`\tfrac12\prod(1 + \lambda_i(m)(x_i - m)) + \tfrac12\prod(1 - \lambda_i(m)(x_i - m))`
    is below :math:`1/\alpha`, at all times so far. Means are tried on a *grid*, rounded outwards.

    >>> low, high = betting_mean(np.tile([0.2, 0.4], 500))
    >>> low < 0.3 < high and high - low < 0.05
    True
    """
    _check(alpha)
    x = bounded(values)
    if not len(x):
        return 0.0, 1.0
    _, variance = _running(x)
    t = np.arange(1, len(x) + 1)
    stakes = np.sqrt(2 * log(2 / alpha) / (variance * t * np.log(t + 1)))
    inside = np.ones(grid + 1, bool)
    tried = np.arange(grid + 1) / grid
    for i, m in enumerate(tried):
        off = x - m
        up = np.minimum(stakes, 0.75 / max(m, 1e-12))
        down = np.minimum(stakes, 0.75 / max(1 - m, 1e-12))
        wealth = np.logaddexp(np.cumsum(np.log1p(up * off)), np.cumsum(np.log1p(-down * off))) - log(2)
        inside[i] = wealth.max() < log(1 / alpha)
    kept = np.flatnonzero(inside)
    if not len(kept):
        mean = float(x.mean())
        return max(0.0, mean - 1 / grid), min(1.0, mean + 1 / grid)
    return max(0.0, float(tried[kept[0]]) - 1 / grid), min(1.0, float(tried[kept[-1]]) + 1 / grid)


def quantile(values: NDArray[Any], q: float, *, alpha: float = 0.05) -> tuple[float, float]:
    r"""Return low and high of the *q*-quantile, from all *values* ``(n,)`` so far, of any distribution.

    The sample quantiles at :math:`q - f(q)` and :math:`q + f(1 - q)`, with
    :math:`f(q) = 1.5\sqrt{q(1-q)\ell} + .8\ell` and
    :math:`\ell = (1.4 \ln\ln(2.1 n) + \ln(10/\alpha)) / n` (Howard & Ramdas 2022). Infinite where n is too small.

    >>> quantile(np.arange(10_000.0), 0.5)
    (4774.0, 5225.0)
    """
    _check(alpha)
    if not 0 < q < 1:
        raise BadInput(f"A quantile lies strictly between 0 and 1, not at {q!r}.")
    x = np.sort(np.asarray(values, dtype=float))
    n = len(x)
    if n == 0:
        return -np.inf, np.inf
    ell = (1.4 * log(max(log(2.1 * n), 1e-9)) + log(10 / alpha)) / n
    half = 1.5 * sqrt(q * (1 - q) * ell) + 0.8 * ell
    low, high = q - half, q + half
    first = int(np.ceil(n * low)) - 1
    last = int(np.floor(n * high))
    return (float(x[first]) if low > 0 else -np.inf), (float(x[last]) if last < n else np.inf)


def difference(first: Band, second: Band) -> Band:
    """Return low and high of first less second, from the sequences of both at half of alpha (a union).

    >>> low, high = difference(proportion(30, 100, alpha=0.025), proportion(70, 100, alpha=0.025))
    >>> bool(high < 0)
    True
    """
    return first[0] - second[1], first[1] - second[0]


def asymptotic_half_width(n: Any, sd: Any, *, alpha: float = 0.05, rho: float) -> Floats:
    r"""Return :math:`\hat\sigma\sqrt{\frac{2(n\rho^2 + 1)}{n^2\rho^2} \ln\frac{\sqrt{n\rho^2 + 1}}{\alpha}}`.

    >>> round(float(asymptotic_half_width(10_000, 1.0, rho=tightest_rho(5_000))), 5)
    0.03061
    """
    _check(alpha)
    n = np.asarray(n, dtype=float)
    grown = n * rho**2 + 1
    with np.errstate(divide="ignore", invalid="ignore"):
        half = np.asarray(sd) * np.sqrt(2 * grown / (n * rho) ** 2 * np.log(np.sqrt(grown) / alpha))
    return np.where(n > 1, half, np.inf)


def tightest_rho(n: float, *, alpha: float = 0.05) -> float:
    r"""Return a :math:`\rho` that is almost tightest at *n* rows: :math:`\sqrt{(-2\ln\alpha + \ln(1 - 2\ln\alpha))/n}`.

    >>> round(tightest_rho(5_000), 4)
    0.0398
    """
    _check(alpha)
    return sqrt((-2 * log(alpha) + log(1 - 2 * log(alpha))) / n)


def asymptotic_mean(values: NDArray[Any], *, alpha: float = 0.05, tight_at: float = 5_000) -> Band:
    """Return low and high ``(n,)`` of the mean of *values* after each, tightest near *tight_at* values.

    Holds in the limit: do not act before a few hundred values. Infinite for the first.
    """
    x = np.asarray(values, dtype=float)
    n = np.arange(1, len(x) + 1)
    mean = np.cumsum(x) / n
    sd = np.sqrt(np.maximum(np.cumsum(x**2) / n - mean**2, 0))
    half = asymptotic_half_width(n, sd, alpha=alpha, rho=tightest_rho(tight_at, alpha=alpha))
    return mean - half, mean + half


def asymptotic_difference(
    mean_a: Any,
    variance_a: Any,
    n_a: Any,
    mean_b: Any,
    variance_b: Any,
    n_b: Any,
    *,
    alpha: float = 0.05,
    tight_at: float = 5_000,
) -> Band:
    """Return low and high of mean a less mean b, of two independent groups that grow together.

    From their moments, so that nothing but a merged state is needed. With n the rows of both and shares w, the
    difference is the mean of n terms with variance ``variance_a / w_a + variance_b / w_b``.
    """
    n_a, n_b = np.asarray(n_a, dtype=float), np.asarray(n_b, dtype=float)
    n = n_a + n_b
    with np.errstate(divide="ignore", invalid="ignore"):
        sd = np.sqrt(n * (np.asarray(variance_a) / n_a + np.asarray(variance_b) / n_b))
    half = asymptotic_half_width(n, sd, alpha=alpha, rho=tightest_rho(tight_at, alpha=alpha))
    half = np.where(np.minimum(n_a, n_b) > 1, half, np.inf)
    centre = np.asarray(mean_a) - np.asarray(mean_b)
    return centre - half, centre + half


def _running(x: Floats) -> Band:
    """Mean and variance before each value, each begun with one pseudo-observation (1/2 and 1/4)."""
    t = np.arange(1, len(x) + 1)
    mean = (0.5 + np.cumsum(x)) / (t + 1)
    variance = (0.25 + np.cumsum((x - mean) ** 2)) / (t + 1)
    return np.concatenate([[0.5], mean[:-1]]), np.concatenate([[0.25], variance[:-1]])


def _check(alpha: float) -> None:
    if not 0 < alpha < 1:
        raise BadInput(f"alpha lies strictly between 0 and 1, not at {alpha!r}.", "Give 0.05, say.")
