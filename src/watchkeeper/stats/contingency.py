r"""Tests and effect sizes on a table of two rows of counts: the baseline's and the window's.

The null hypothesis is homogeneity: both rows come from one distribution over the bins.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from scipy.special import chdtrc

from watchkeeper.stats.distances import Floats, aligned_counts


class TableTest(NamedTuple):
    """A statistic of a table, its p-value, its degrees of freedom."""

    statistic: float
    p_value: float
    df: int


def merge_small_bins(baseline: Any, window: Any, *, min_expected: float = 5.0) -> tuple[Floats, Floats]:
    """Return the counts with the smallest bins joined until every cell expects *min_expected* rows.

    The expected count of a bin is smallest on the smaller side, so bins are taken by their pooled count,
    smallest first, into one bin "rest" (it comes last). What remains may be a single bin: then the table says
    nothing and the tests answer p = 1.

    >>> merge_small_bins([40, 50, 4, 6], [45, 45, 5, 5])
    (array([40., 50., 10.]), array([45., 45., 10.]))
    """
    q, p = aligned_counts(baseline, window)
    pooled = q + p
    needed = min_expected * pooled.sum() / min(q.sum(), p.sum())
    if pooled.min() >= needed:
        return q, p
    order = np.argsort(pooled, kind="stable")
    small = int(np.count_nonzero(pooled < needed))
    # "rest" itself must expect enough: take further bins, smallest first, until it does
    heaped = np.cumsum(pooled[order])
    small = max(small, int(np.searchsorted(heaped, needed, side="left")) + 1)
    rest, kept = order[:small], np.sort(order[small:])
    return np.append(q[kept], q[rest].sum()), np.append(p[kept], p[rest].sum())


def chi_square(baseline: Any, window: Any, *, min_expected: float = 5.0) -> TableTest:
    r"""Pearson's chi-square test of homogeneity, :math:`\sum (O-E)^2/E` over both rows, without correction.

    Reference: K. Pearson, Phil. Mag. 50, 1900; the merging rule is W. Cochran's, Biometrics 10, 1954.

    >>> test = chi_square([50, 30, 20], [30, 30, 40])
    >>> round(test.statistic, 4), test.df, round(test.p_value, 4)
    (11.6667, 2, 0.0029)
    """
    q, p = merge_small_bins(baseline, window, min_expected=min_expected)
    statistic = _pearson(q, p)
    return TableTest(statistic, _p_value(statistic, q.size - 1), q.size - 1)


def g_test(baseline: Any, window: Any, *, min_expected: float = 5.0) -> TableTest:
    r"""Likelihood-ratio (G) test of homogeneity, :math:`2\sum O\ln(O/E)` over both rows.

    Reference: R. Sokal and F. Rohlf, *Biometry*, 4th edition, 2012, chapter 17.

    >>> test = g_test([50, 30, 20], [30, 30, 40])
    >>> round(test.statistic, 4), test.df, round(test.p_value, 4)
    (11.8494, 2, 0.0027)
    """
    q, p = merge_small_bins(baseline, window, min_expected=min_expected)
    n, m, pooled = q.sum(), p.sum(), q + p
    statistic = 0.0
    for side, size in ((q, n), (p, m)):
        some = side > 0
        expected = pooled[some] * (size / (n + m))
        statistic += 2 * float(np.sum(side[some] * np.log(side[some] / expected)))
    statistic = max(0.0, statistic)
    return TableTest(statistic, _p_value(statistic, q.size - 1), q.size - 1)


def cramers_v(baseline: Any, window: Any, *, balanced: bool = True) -> float:
    r"""Bias-corrected Cramer's V between "which side" and "which bin": 0 no association, 1 complete.

    With :math:`\phi^2 = \chi^2/N` of a table of :math:`r=2` rows and :math:`k` bins,

    .. math:: \tilde\phi^2 = \max\!\Big(0, \phi^2 - \tfrac{(k-1)(r-1)}{N-1}\Big),\quad
              \tilde V = \sqrt{\tilde\phi^2 / \min(\tilde k - 1, \tilde r - 1)},\quad
              \tilde k = k - \tfrac{(k-1)^2}{N-1}

    *balanced* (default) weighs both sides alike, as if each had the harmonic mean of both sizes. Without it a
    small window against a large baseline can never be far from 0, whatever it holds.

    Reference: W. Bergsma, *A bias-correction for Cramer's V and Tschuprow's T*, J. Korean Stat. Soc. 42,
    2013.

    >>> round(cramers_v([500, 300, 200], [300, 300, 400]), 4)
    0.2395
    >>> cramers_v([500, 0], [0, 500])
    1.0
    """
    q, p = aligned_counts(baseline, window)
    if balanced:
        size = 2 * q.sum() * p.sum() / (q.sum() + p.sum())
        q, p = q * (size / q.sum()), p * (size / p.sum())
    total, k = float(q.sum() + p.sum()), q.size
    if k < 2 or total <= 2:
        return 0.0
    excess = max(0.0, _pearson(q, p) / total - (k - 1) / (total - 1))
    bins, rows = k - (k - 1) ** 2 / (total - 1), 2 - 1 / (total - 1)
    room = min(bins - 1, rows - 1)
    return min(1.0, math.sqrt(excess / room)) if room > 0 else 0.0


def _pearson(q: Floats, p: Floats) -> float:
    """Pearson's statistic by its shortcut for two rows: ``nm sum (p/m - q/n)^2 / (p + q)``."""
    n, m = q.sum(), p.sum()
    return float(n * m * np.sum((p / m - q / n) ** 2 / (p + q)))


def _p_value(statistic: float, df: int) -> float:
    return float(chdtrc(df, statistic)) if df > 0 else 1.0
