r"""Outliers among numbers, above all among predictions: robust z-score and quantile fences.

Formula
-------
With the median :math:`\tilde x` and the median absolute deviation :math:`\mathrm{MAD}`,

.. math:: z = \Phi^{-1}(3/4)\,\frac{x - \tilde x}{\mathrm{MAD}} \approx 0.6745\,\frac{x - \tilde x}{\mathrm{MAD}}

is an outlier beyond a threshold (3.5). When more than half of the values are equal the MAD is 0; then the mean
absolute deviation stands in for it, :math:`z = (x - \tilde x) / (\sqrt{\pi/2}\,\mathrm{mean}|x - \tilde x|)`.
The fences are :math:`Q_1 - k\,\mathrm{IQR}` and :math:`Q_3 + k\,\mathrm{IQR}` with k = 1.5.

Why not mean and standard deviation: the outlier itself inflates the sd, and no value of n can have a z-score above
:math:`(n - 1)/\sqrt n`. In [50, 52, 49, 51, 500] the 500 stops at 1.79; its robust z-score is 302.

Reads: raw values, or a column's `Histogram` (quantiles within its bins; ``bound`` says what that may hide). With
a baseline its centre and spread are used, and its own share of outliers is expected.

Limits
------
Both take a distribution with one hump. A skewed one has many "outliers" that are nothing but its tail: 0.7% of a
normal, but 4.8% of an exponential distribution lie beyond the fences.

References
----------
B. Iglewicz, D. Hoaglin, *How to Detect and Handle Outliers*, ASQC 1993.
J. Tukey, *Exploratory Data Analysis*, 1977.
R. Shiffler, *Maximum Z scores and outliers*, The American Statistician 42, 1988.
"""

from __future__ import annotations

from math import isfinite, nan, pi, sqrt
from typing import Any

import numpy as np

from watchkeeper.domain.measurement import Measurement
from watchkeeper.measures.quality.completeness import share_of_rows
from watchkeeper.measures.quality.counting import count_above, count_below
from watchkeeper.stats.states.histogram import Histogram
from watchkeeper.stats.states.profile import ColumnProfile

NORMAL_MAD = 0.6744897501960817
"""The MAD of a standard normal distribution, its 3/4 quantile."""


def robust_z(values: Any) -> np.ndarray:
    """The robust z-score of each of *values* ``(rows,)``; NaN where a value is not finite, 0 for a constant.

    >>> robust_z([50, 52, 49, 51, 500]).round(2).tolist()
    [-0.67, 0.67, -1.35, 0.0, 302.85]
    """
    data = np.asarray(values, dtype=float)
    finite = data[np.isfinite(data)]
    out = np.full(data.shape, nan)
    if finite.size:
        centre = float(np.median(finite))
        away = np.abs(finite - centre)
        unit = _unit(float(np.median(away)), float(away.mean()))
        out[np.isfinite(data)] = (finite - centre) / unit if unit else 0.0
    return out


def robust_z_limits(values: Any, *, threshold: float = 3.5) -> tuple[float, float]:
    """The values at which the robust z-score of *values* (raw, or a `Histogram`) reaches *threshold*.

    >>> low, high = robust_z_limits([50, 52, 49, 51, 500], threshold=3)
    >>> round(low, 2), round(high, 2)
    (46.55, 55.45)
    """
    if isinstance(values, Histogram):
        centre, mad, mean_away = _histogram_spread(values)
    else:
        data = np.asarray(values, dtype=float)
        data = data[np.isfinite(data)]
        if not data.size:
            return nan, nan
        centre = float(np.median(data))
        away = np.abs(data - centre)
        mad, mean_away = float(np.median(away)), float(away.mean())
    reach = threshold * _unit(mad, mean_away)
    return centre - reach, centre + reach


def fence_limits(values: Any, *, k: float = 1.5) -> tuple[float, float]:
    """Tukey's fences of *values* (raw, or a `Histogram`).

    >>> fence_limits([50, 52, 49, 51, 500])
    (47.0, 55.0)
    """
    if isinstance(values, Histogram):
        first, third = (float(q) for q in values.quantile([0.25, 0.75]))
    else:
        data = np.asarray(values, dtype=float)
        data = data[np.isfinite(data)]
        if not data.size:
            return nan, nan
        first, third = np.quantile(data, [0.25, 0.75]).tolist()
    return first - k * (third - first), third + k * (third - first)


def robust_z_outliers(
    window: ColumnProfile, baseline: ColumnProfile | None = None, *, threshold: float = 3.5
) -> Measurement:
    """Return the share of values whose robust z-score is beyond *threshold*.

    >>> from watchkeeper.domain.schema import Column, Kind
    >>> from watchkeeper.stats.states.edges import Edges
    >>> values = [50.0, 52.0, 49.0, 51.0, 500.0]
    >>> states = {"histogram": Histogram.of(values, Edges.of_values(values))}
    >>> robust_z_outliers(ColumnProfile(column=Column(name="y", kind=Kind.NUMERIC), states=states, rows=5)).value
    0.2
    """
    return _outliers("robust_z_outliers", window, baseline, lambda h: robust_z_limits(h, threshold=threshold))


def fence_outliers(
    window: ColumnProfile, baseline: ColumnProfile | None = None, *, k: float = 1.5
) -> Measurement:
    """Return the share of values beyond Tukey's fences.

    >>> from watchkeeper.domain.schema import Column, Kind
    >>> from watchkeeper.stats.states.edges import Edges
    >>> values = [50.0, 52.0, 49.0, 51.0, 500.0]
    >>> states = {"histogram": Histogram.of(values, Edges.of_values(values))}
    >>> fence_outliers(ColumnProfile(column=Column(name="y", kind=Kind.NUMERIC), states=states, rows=5)).value
    0.2
    """
    return _outliers("fence_outliers", window, baseline, lambda h: fence_limits(h, k=k))


def _outliers(name: str, window: ColumnProfile, baseline: ColumnProfile | None, limits: Any) -> Measurement:
    h = window.histogram
    if h is None or not h.n:
        return Measurement.missing(name, "There are no finite numbers.", subject=window.name)
    judge = baseline.histogram if baseline is not None else None
    low, high = limits(judge if judge is not None and judge.n else h)
    if not (isfinite(low) and isfinite(high)):
        return Measurement.missing(name, "The numbers are too large to tell.", subject=window.name)
    hits, bound = _beyond(h, low, high)
    before = None
    if judge is not None and judge.n:
        before = (_beyond(judge, low, high)[0], judge.n)
    return share_of_rows(
        name, window.name, (hits, h.n), before, {"low": low, "high": high}, bound=bound / h.n
    )


def _beyond(h: Histogram, low: float, high: float) -> tuple[float, float]:
    below, above = count_below(h, low), count_above(h, high)
    return below.value + above.value, below.bound + above.bound


def _unit(mad: float, mean_away: float) -> float:
    """One robust standard deviation."""
    return mad / NORMAL_MAD if mad > 0 else sqrt(pi / 2) * mean_away


def _histogram_spread(h: Histogram) -> tuple[float, float, float]:
    """Median, MAD and mean absolute deviation, read at 4,096 evenly spaced quantiles."""
    shares = (np.arange(4096) + 0.5) / 4096
    values = np.asarray(h.quantile(shares), dtype=float)
    centre = float(h.quantile(0.5))
    away = np.abs(values - centre)
    return centre, float(np.median(away)), float(away.mean())
