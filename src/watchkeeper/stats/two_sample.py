r"""Two-sample tests on raw rows of one number each.

The statistics are those of `cdf_distances`, here on rows instead of counts, and equal to scipy's (with one
exception, said at `cramer_von_mises`). All take two one-dimensional arrays of finite numbers, in any order.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtr

from watchkeeper.errors import BadInput
from watchkeeper.stats import cdf_distances, sampling_noise
from watchkeeper.stats.distances import Floats


class TwoSampleTest(NamedTuple):
    """A statistic, and the probability of one at least as large when both samples are from one distribution."""

    statistic: float
    p_value: float


def ks(x: Any, y: Any) -> TwoSampleTest:
    """Kolmogorov-Smirnov: the largest gap of the distribution functions; see `cdf_distances.ks_p_value`.

    >>> test = ks([1, 2, 3, 4, 5, 6], [4, 5, 6, 7, 8, 9])
    >>> test.statistic, round(test.p_value, 4)
    (0.5, 0.474)
    """
    n, m, q, p, _ = _counted(x, y)
    statistic = cdf_distances.ks(q, p)
    return TwoSampleTest(statistic, cdf_distances.ks_p_value(statistic, n, m))


def cramer_von_mises(x: Any, y: Any) -> TwoSampleTest:
    r"""Cramer-von Mises criterion T, with the p-value of its limit for values as heavy as these are.

    Equal to scipy's statistic when no values tie. With ties scipy's (from midranks) does not fall to 0 for equal
    samples of unequal size; this one does.

    Reference: T. Anderson, Ann. Math. Stat. 33, 1962.

    >>> round(cramer_von_mises([1, 2, 4, 6], [3, 5]).statistic, 4)
    0.0972
    """
    q, p = _counted(x, y)[2:4]
    eigenvalues = sampling_noise.cramer_von_mises_eigenvalues(q + p)
    statistic = cdf_distances.cramer_von_mises(q, p)
    return TwoSampleTest(statistic, sampling_noise.quadratic_tail(eigenvalues, statistic))


def anderson_darling(x: Any, y: Any) -> TwoSampleTest:
    r"""Anderson-Darling with midranks, standardised as in scipy: :math:`(A^2 - 1)/\sigma`.

    The p-value is that of the limit of :math:`A^2`, not a table that ends at 0.001 and 0.25.

    Reference: F. Scholz and M. Stephens, *K-Sample Anderson-Darling Tests*, JASA 82, 1987.

    >>> round(anderson_darling([1, 2, 3, 4], [4, 5, 6, 7]).statistic, 3)
    3.282
    """
    n, m, q, p, _ = _counted(x, y)
    if n + m < 4:
        raise BadInput("The Anderson-Darling test needs at least four rows in all.")
    criterion = cdf_distances.anderson_darling(q, p)
    eigenvalues = sampling_noise.anderson_darling_eigenvalues(q + p)
    return TwoSampleTest(
        (criterion - 1) / cdf_distances.anderson_darling_sd(n, m),
        sampling_noise.quadratic_tail(eigenvalues, criterion),
    )


def mann_whitney(x: Any, y: Any) -> TwoSampleTest:
    r"""Mann-Whitney's U of *x*, two-sided by the normal limit with ties and continuity corrected.

    :math:`U/nm` is the probability that a row of *x* exceeds one of *y* (ties count half): an AUC.

    Reference: H. Mann and D. Whitney, Ann. Math. Stat. 18, 1947.

    >>> test = mann_whitney([1, 2, 3, 4, 5], [3, 4, 5, 6, 7, 8])
    >>> test.statistic, round(test.p_value, 4)
    (4.5, 0.066)
    """
    n, m, q, p, _ = _counted(x, y)
    pooled, total = q + p, n + m
    below = np.cumsum(p) - p / 2
    u = float(np.dot(q, below))
    ties = float(np.sum(pooled**3 - pooled))
    variance = n * m / 12 * (total + 1 - ties / (total * (total - 1)))
    if variance <= 0:
        return TwoSampleTest(u, 1.0)
    z = (max(u, n * m - u) - n * m / 2 - 0.5) / math.sqrt(variance)
    return TwoSampleTest(u, float(min(1.0, 2 * ndtr(-z))))


def wasserstein_distance(x: Any, y: Any) -> float:
    """First Wasserstein distance, in the unit of the values.

    >>> wasserstein_distance([0, 1, 3], [5, 6, 8])
    5.0
    """
    n, m, q, p, values = _counted(x, y)
    return float(np.dot(np.abs(np.cumsum(q / n - p / m))[:-1], np.diff(values)))


def energy_distance(x: Any, y: Any) -> float:
    r"""Energy distance :math:`\sqrt{2\int(F-G)^2}`, in the root of the unit of the values.

    >>> energy_distance([0], [2])
    2.0
    """
    n, m, q, p, values = _counted(x, y)
    return math.sqrt(2 * float(np.dot(np.cumsum(q / n - p / m)[:-1] ** 2, np.diff(values))))


def _counted(x: Any, y: Any) -> tuple[int, int, Floats, Floats, Floats]:
    """Sizes, counts over the pooled distinct values, and these values."""
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    for side in (a, b):
        if side.ndim != 1 or not side.size or not np.isfinite(side).all():
            raise BadInput(
                "A two-sample test needs two arrays of finite numbers, with at least one row each."
            )
    values, place = np.unique(np.concatenate([a, b]), return_inverse=True)
    q = np.bincount(place[: a.size], minlength=values.size).astype(np.float64)
    p = np.bincount(place[a.size :], minlength=values.size).astype(np.float64)
    return a.size, b.size, q, p, values
