r"""Levels: an upper bound for what a loss usually is, estimated from a baseline.

A sequential test against a known level :math:`m_0` promises what it says only if :math:`m_0` is known. With
the plain estimate in its place the mean time between false alarms can be a third of what was promised; with an
upper confidence bound at :math:`1 - \delta` the promise holds up to a factor :math:`1 - \delta`.

References
----------
C. Clopper, E. Pearson, *The use of confidence or fiducial limits*, Biometrika 26, 1934.
I. Waudby-Smith, A. Ramdas, *Estimating means of bounded random variables by betting*, JRSS B 86, 2024
(arXiv:2010.09686).
"""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.errors import BadInput
from watchkeeper.stats.intervals import clopper_pearson


def upper_rate(errors: float, rows: float, *, delta: float = 0.025) -> float:
    """Return the upper bound of an error rate, of *errors* among *rows* independent rows.

    >>> round(upper_rate(100, 1000), 4)
    0.1203
    """
    return clopper_pearson(errors, rows, level=1 - 2 * delta).high


def upper_mean(losses: NDArray[Any], *, delta: float = 0.025) -> float:
    """Return the upper bound of the mean of independent *losses* ``(n,)`` in [0, 1], by betting.

    The capital :math:`\\prod_i (1 - \\lambda_i (x_i - m))` is a martingale for the true mean m, and rises
    with m; the bound is where it reaches :math:`1/\\delta`. Stakes are predictable:
    :math:`\\lambda_i = \\min(.9, \\sqrt{2\\ln(1/\\delta)/(n \\hat\\sigma^2_{i-1})})`.

    >>> 0.1 < upper_mean(np.tile([0.0, 0.1, 0.2, 0.1], 25)) < 0.16
    True
    """
    x = bounded(losses)
    n = len(x)
    if n == 0:
        return 1.0
    i = np.arange(1, n + 1)
    means = (0.5 + np.cumsum(x)) / (i + 1)
    variance = (0.25 + np.cumsum((x - means) ** 2)) / (i + 1)
    before = np.concatenate([[0.25], variance[:-1]])
    stakes = np.minimum(0.9, np.sqrt(2 * log(1 / delta) / (n * before)))
    low, high = float(x.mean()), 1.0
    for _ in range(50):
        middle = (low + high) / 2
        if np.log1p(-stakes * (x - middle)).sum() < log(1 / delta):
            low = middle
        else:
            high = middle
    return high


def bounded(losses: NDArray[Any]) -> NDArray[np.float64]:
    """Return *losses* as doubles, and refuse values outside [0, 1] or NaN.

    Raises
    ------
    BadInput
        a value is outside [0, 1]: scale the loss first (clip an absolute error at a largest one, say).
    """
    x = np.asarray(losses, dtype=float)
    if x.size and not (x.min() >= 0 and x.max() <= 1):
        raise BadInput(
            "These losses are not all within [0, 1], and the guarantee needs bounded losses.",
            "Clip them at the largest loss that matters and divide by it.",
        )
    return x
