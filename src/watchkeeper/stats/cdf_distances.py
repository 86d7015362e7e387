r"""Distances between two distribution functions, read from counts over the same ordered bins.

Below, :math:`F` and :math:`G` are the cumulative shares of the baseline (n rows) and of the window (m rows),
:math:`d = F - G`, and :math:`h_b` is the pooled share of bin b. A bin that can hold one value only is an *atom*;
counts over atoms say all that the rows said, so every number here is then exact. Inside any other bin the rows
are taken as evenly spread, and the functions whose name ends in ``_bound`` say how far off that can be.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import kolmogorov

from watchkeeper.stats.distances import Floats, aligned_counts

_EXACT_STEPS = 600
"""Up to this many rows on both sides together the Kolmogorov-Smirnov p-value is counted, not approximated."""


def ks(baseline: Any, window: Any) -> float:
    r"""Kolmogorov-Smirnov statistic :math:`\max_b |F_b - G_b|` at the ends of the bins.

    Reference: N. Smirnov, Ann. Math. Stat. 19, 1948.

    >>> round(ks([50, 30, 20], [30, 30, 40]), 4)
    0.2
    """
    return float(np.abs(_gap(*aligned_counts(baseline, window))).max())


def ks_bound(baseline: Any, window: Any, *, atoms: NDArray[np.bool_]) -> float:
    """How much larger the statistic of the rows can be than that of their counts.

    Inside a bin the distance is at most that at its left end plus the bin's share of one side; *atoms*
    ``(bins,)`` have no inside.

    >>> ks_bound([50, 50], [50, 50], atoms=np.array([False, False]))
    0.5
    >>> ks_bound([50, 50], [50, 50], atoms=np.array([True, True]))
    0.0
    """
    q, p = np.asarray(baseline, dtype=np.float64), np.asarray(window, dtype=np.float64)
    q, p = q / q.sum(), p / p.sum()
    after = np.cumsum(q - p)
    before = after - (q - p)
    inside = np.maximum(before + q, p - before)
    top = float(np.abs(after).max())
    return max(0.0, float(inside[~atoms].max(initial=0.0)) - top)


def ks_p_value(statistic: float, n: float, m: float) -> float:
    r"""Probability of a Kolmogorov-Smirnov statistic this large when nothing moved.

    Exact for up to 600 whole rows in all: the share of orderings of the pooled rows whose path stays within
    the distance, by a walk without replacement. Otherwise Kolmogorov's limit at
    :math:`z = D\sqrt{nm/(n+m)}`. Both hold for values without ties, and are cautious (too large) with ties.

    Reference: J. Hodges, *The Significance Probability of the Smirnov Two-Sample Test*, Ark. Mat. 3, 1958.

    >>> round(ks_p_value(0.5, 8, 8), 4)
    0.2827
    >>> round(ks_p_value(0.05, 2000, 3000), 4)
    0.005
    """
    if statistic <= 0:
        return 1.0
    if n + m <= _EXACT_STEPS and float(n).is_integer() and float(m).is_integer():
        return _ks_exact(statistic, int(n), int(m))
    return float(kolmogorov(statistic * math.sqrt(n * m / (n + m))))


def cramer_von_mises(baseline: Any, window: Any, *, atoms: NDArray[np.bool_] | None = None) -> float:
    r"""Two-sample Cramer-von Mises criterion :math:`T = \frac{nm}{n+m}\sum_b h_b\,\overline{d_b^2}`.

    For values without ties this is Anderson's :math:`T`. With ties it stays what it measures, the distance of
    two step functions; the rank form (scipy's) grows with :math:`(n-m)^2` even for equal constant samples.

    Reference: T. Anderson, *On the Distribution of the Two-Sample Cramer-von Mises Criterion*, Ann. Math. Stat.
    33, 1962.

    >>> round(cramer_von_mises([1, 1, 0, 1, 0, 1], [0, 0, 1, 0, 1, 0]), 4)   # 1 2 4 6 against 3 5
    0.0972
    """
    q, p, atoms = _with_atoms(baseline, window, atoms)
    n, m = q.sum(), p.sum()
    after = np.cumsum(q / n - p / m)
    before = after - (q / n - p / m)
    square = np.where(atoms, after**2, (before**2 + before * after + after**2) / 3)
    return float(n * m / (n + m) * np.sum((q + p) / (n + m) * square))


def cramer_von_mises_bound(baseline: Any, window: Any, *, atoms: NDArray[np.bool_]) -> float:
    """How far `cramer_von_mises` may be off for rows whose place in their bins is not known."""
    q, p = np.asarray(baseline, dtype=np.float64), np.asarray(window, dtype=np.float64)
    n, m = q.sum(), p.sum()
    q, p = q / n, p / m
    after = np.cumsum(q - p)
    before = after - (q - p)
    # inside, the distance lies between its lowest and highest reach; the square taken lies there as well
    reach = np.maximum(before + q, p - before) ** 2
    taken = (before**2 + before * after + after**2) / 3
    off = np.where(atoms, 0.0, np.maximum(reach - taken, taken))
    return float(n * m / (n + m) * np.sum((q * n + p * m) / (n + m) * off))


def anderson_darling(baseline: Any, window: Any) -> float:
    r"""Two-sample Anderson-Darling criterion with midranks: weighs the tails as much as the middle.

    .. math:: A^2_a = \frac{N-1}{N}\sum_{i}\frac1{n_i}\sum_b \frac{l_b}{N}
              \frac{(N M_{ib} - n_i B_b)^2}{B_b(N-B_b) - N l_b/4}

    with :math:`l_b` the pooled count of bin b, :math:`B_b` and :math:`M_{ib}` the pooled and the side's count
    below the middle of it. Its mean is 1 when nothing moved.

    Reference: F. Scholz and M. Stephens, *K-Sample Anderson-Darling Tests*, JASA 82, 1987, equation 7.

    >>> round(anderson_darling([1, 1, 1, 1, 0, 0], [0, 0, 0, 1, 2, 2]), 4)
    3.645
    """
    q, p = aligned_counts(baseline, window)
    sizes, sides = (q.sum(), p.sum()), (q, p)
    total, pooled = q.sum() + p.sum(), q + p
    middle = np.cumsum(pooled) - pooled / 2
    scale = middle * (total - middle) - total * pooled / 4
    some = scale > 0  # a single bin that holds everything has no spread
    out = 0.0
    for size, side in zip(sizes, sides):
        below = np.cumsum(side) - side / 2
        square = (total * below - size * middle) ** 2
        out += float(np.sum(pooled[some] / total * square[some] / scale[some])) / size
    return float(out * (total - 1) / total)


def anderson_darling_sd(n: int, m: int) -> float:
    """Standard deviation of `anderson_darling` when nothing moved and no values tie (Scholz and Stephens).

    ``(A2 - 1) / sd`` is the standardised statistic that scipy reports.

    >>> round(anderson_darling_sd(50, 60), 3)
    0.749
    """
    total = n + m
    inverse = 1.0 / np.arange(1, total)
    h = float(inverse.sum())
    # g = sum_{i<j} 1 / ((N - i) j), the inner sum over j by a running total
    running = h - np.cumsum(inverse)
    g = float(np.sum(running[:-1] / (total - np.arange(1, total - 1))))
    k, harmonic = 2, 1 / n + 1 / m
    a = (4 * g - 6) * (k - 1) + (10 - 6 * g) * harmonic
    b = (2 * g - 4) * k**2 + 8 * h * k + (2 * g - 14 * h - 4) * harmonic - 8 * h + 4 * g - 6
    c = (6 * h + 2 * g - 2) * k**2 + (4 * h - 4 * g + 6) * k + (2 * h - 6) * harmonic + 4 * h
    d = (2 * h + 6) * k**2 - 4 * h * k
    return math.sqrt(
        (a * total**3 + b * total**2 + c * total + d) / ((total - 1.0) * (total - 2.0) * (total - 3.0))
    )


def integral_of_gap(
    baseline: tuple[Floats, Floats], window: tuple[Floats, Floats], *, power: int = 1
) -> float:
    r"""Integrate :math:`|F - G|^{power}` for two distribution functions made of straight lines and steps.

    Each is ``(x, f)``, both ``(knots,)``: values not falling (a step has the same x twice) and the cumulative
    share there, from 0 to 1. *power* 1 gives the Wasserstein distance; 2 half the squared energy distance.

    >>> one = (np.array([0.0, 0.0]), np.array([0.0, 1.0]))    # all rows at 0
    >>> two = (np.array([3.0, 3.0]), np.array([0.0, 1.0]))    # all rows at 3
    >>> integral_of_gap(one, two), integral_of_gap(one, two, power=2)
    (3.0, 3.0)
    """
    at = np.unique(np.concatenate([baseline[0], window[0]]))
    if at.size < 2:
        return 0.0
    left = _limit(*baseline, at, "right")[:-1] - _limit(*window, at, "right")[:-1]
    right = _limit(*baseline, at, "left")[1:] - _limit(*window, at, "left")[1:]
    if power == 2:
        mean = (left**2 + left * right + right**2) / 3
    else:
        a, b = np.abs(left), np.abs(right)
        with np.errstate(divide="ignore", invalid="ignore"):
            crossing = (a**2 + b**2) / (2 * (a + b))
        mean = np.where(left * right >= 0, (a + b) / 2, crossing)
    return float(np.dot(mean, np.diff(at)))


def _gap(q: Floats, p: Floats) -> Floats:
    return np.cumsum(q / q.sum() - p / p.sum())


def _with_atoms(
    baseline: Any, window: Any, atoms: NDArray[np.bool_] | None
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    q, p = aligned_counts(baseline, window)
    if atoms is None:
        return q, p, np.ones(q.size, bool)
    return q, p, atoms[(np.asarray(baseline) + np.asarray(window)) > 0]


def _limit(x: Floats, f: Floats, at: Floats, side: str) -> Floats:
    """The function at *at*, its limit from the left or from the right."""
    after = np.searchsorted(x, at, side="right" if side == "right" else "left")
    i, j = np.clip(after - 1, 0, x.size - 1), np.clip(after, 0, x.size - 1)
    run = x[j] - x[i]
    part = np.divide(at - x[i], run, out=np.zeros(at.size), where=run > 0)
    return np.where(after == 0, 0.0, np.where(after == x.size, f[-1], f[i] + part * (f[j] - f[i])))


def _ks_exact(statistic: float, n: int, m: int) -> float:
    """1 - P(a random ordering keeps |F - G| below *statistic*), by the walk's remaining probability.

    After k of the pooled rows, i of them the baseline's; the next is the baseline's with probability
    (n - i) / (n + m - k). Paths that reach the distance are dropped.
    """
    total = n + m
    # the distance in whole units of 1/(nm), so that float rounding of the statistic decides nothing
    reach = math.ceil(statistic * n * m - 1e-7 * max(1.0, statistic * n * m) ** 0.5)
    alive = np.zeros(n + 2)  # one spare place keeps the shift simple
    alive[0] = 1.0
    for k in range(total):
        low, high = _corridor(k, n, m, reach)
        i = np.arange(low, high + 1)
        here = alive[low : high + 1]
        stay = here * ((m - (k - i)) / (total - k))
        move = here - stay
        nlow, nhigh = _corridor(k + 1, n, m, reach)
        step = np.zeros(high - low + 2)
        step[:-1] += stay
        step[1:] += move
        alive[low : high + 2] = 0.0
        first, last = max(nlow, low), min(nhigh, high + 1)
        if first > last:
            return 1.0
        alive[first : last + 1] = step[first - low : last - low + 1]
    return float(min(1.0, max(0.0, 1.0 - alive[n])))


def _corridor(k: int, n: int, m: int, reach: int) -> tuple[int, int]:
    """Numbers i of baseline rows among the first k with ``|i m - (k - i) n| < reach``, first and last."""
    total = n + m
    low = (k * n - reach) // total + 1
    high = -((-(k * n + reach)) // total) - 1
    return max(low, 0, k - m), min(high, n, k)
