r"""Autocorrelation between windows: the one thing that breaks the rank e-process, so it is estimated and said.

The lag-1 correlation of a series of window scores, corrected for its bias
(:math:`-(1 + 3r)/n`, Kendall 1954). Its interval holds the :math:`\rho` with
:math:`|r - \rho| \le z (1 + 3/n) \sqrt{(1 - \rho^2)/n}` (Bartlett 1946; Fisher's scale, which is made for pairs,
covers 85% in place of 95% at a correlation of .6).

*Prewhitening* replaces scores by :math:`x_t - \rho\,x_{t-1}` with :math:`\rho` the interval's upper end. In
simulation this repairs correlations up to about .6; beyond, an alarm is a heuristic, and says so.

References
----------
M. S. Bartlett, *On the theoretical specification and sampling properties of autocorrelated time-series*, 1946.
M. G. Kendall, *Note on bias in the estimation of autocorrelation*, Biometrika 41, 1954.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.domain.measurement import Interval
from watchkeeper.stats.intervals import normal_quantile

Floats = NDArray[np.float64]


def lag_one(scores: Floats, strata: NDArray[np.integer[Any]] | None = None) -> Floats:
    """Return the bias-corrected lag-1 correlation ``(...)`` of *scores* ``(..., n)``, around strata's means.

    >>> float(lag_one(np.array([1.0, 2, 1, 2, 1, 2, 1, 2])).round(2))
    -1.0
    """
    x = np.asarray(scores, dtype=float)
    n = x.shape[-1]
    groups = np.zeros(n, int) if strata is None else np.asarray(strata)
    left = x - np.stack([x[..., groups == g].mean(-1) for g in groups], axis=-1)
    power = (left**2).sum(-1)
    r = (left[..., 1:] * left[..., :-1]).sum(-1) / np.where(power > 0, power, 1)
    return np.clip(r + (1 + 3 * r) / n, -0.999, 0.999)


def lag_one_interval(r: float, n: int, *, level: float = 0.95) -> Interval:
    """Return the interval of a lag-1 correlation *r* estimated from *n* windows.

    >>> lag_one_interval(0.5, 40)  # doctest: +ELLIPSIS
    Interval(low=0.1718..., high=0.7282..., level=0.95)
    """
    low, high = lag_one_band(np.asarray(r), n, level=level)
    return Interval(float(low), float(high), level)


def lag_one_band(r: Floats, n: int, *, level: float = 0.95) -> tuple[Floats, Floats]:
    """As `lag_one_interval`, of many correlations *r* ``(...)`` at once."""
    k = (normal_quantile(level) * (1 + 3 / n)) ** 2 / n
    half = np.sqrt(k * np.maximum(1 + k - r**2, 0))
    return np.maximum((r - half) / (1 + k), -1.0), np.minimum((r + half) / (1 + k), 1.0)


def prewhiten(scores: Floats, rho: Floats) -> Floats:
    """Return ``x_t - rho x_(t-1)`` of *scores* ``(..., n)`` with one *rho* a series ``(...)``.

    The first value is scaled to the spread of the others.
    """
    rho = np.asarray(rho, dtype=float)[..., None]
    first = scores[..., :1] * np.sqrt(1 - rho**2)
    return np.concatenate([first, scores[..., 1:] - rho * scores[..., :-1]], axis=-1)
