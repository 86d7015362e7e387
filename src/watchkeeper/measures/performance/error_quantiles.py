r"""Quantiles of the errors: the median absolute error, and how wrong the worst predictions are.

Formula
-------
The q-quantile of :math:`|\hat y - y|`, linear between order statistics (numpy's default).

Reads: `Residuals`; within 1% of itself, which is the measurement's ``bound``. Interval: the order statistics at
:math:`q \pm z\sqrt{q(1-q)/n}`, whatever the distribution.

Limits
------
Blind to how large the errors past the quantile are.

References
----------
R. Hyndman, Y. Fan, *Sample quantiles in statistical packages*, The American Statistician 50, 1996.
W. Conover, *Practical Nonparametric Statistics*, 3rd ed., 1999, section 3.2.
"""

from __future__ import annotations

from math import sqrt

from watchkeeper.domain.measurement import Interval, Measurement
from watchkeeper.measures.performance.decided import UNLABELLED
from watchkeeper.stats.intervals import normal_quantile
from watchkeeper.stats.states.residuals import Residuals


def median_absolute_error(residuals: Residuals, *, level: float = 0.95) -> Measurement:
    """Return the median of the absolute errors, in the outcome's unit.

    >>> m = median_absolute_error(Residuals.of([2.5, 0.0, 2.0, 8.0], [3.0, -0.5, 2.0, 7.0]))
    >>> abs(m.value - 0.5) <= m.bound
    True
    """
    return _quantile("median_absolute_error", residuals, 0.5, level)


def error_quantiles(
    residuals: Residuals, *, quantiles: tuple[float, ...] = (0.9, 0.95, 0.99), level: float = 0.95
) -> list[Measurement]:
    """Return a quantile of the absolute errors for each of *quantiles*, in the outcome's unit.

    >>> errors = Residuals.of(list(range(101)), [0.0] * 101)
    >>> [(m.measure, round(m.value)) for m in error_quantiles(errors, quantiles=(0.9,))]
    [('error_p90', 90)]
    """
    return [_quantile(f"error_p{100 * q:g}", residuals, q, level) for q in quantiles]


def _quantile(name: str, residuals: Residuals, q: float, level: float) -> Measurement:
    n = residuals.n
    if not n:
        return Measurement.missing(name, UNLABELLED)
    value, bound = residuals.absolute_quantile(q)
    reach = normal_quantile(level) * sqrt(q * (1 - q) / n)
    ends = []
    for at, side in ((q - reach - 0.5 / n, -1), (q + reach + 0.5 / n, 1)):
        if not 0.0 < at < 1.0:  # too few rows lie beyond the quantile to bound it from that side
            ends.append(0.0 if side < 0 else float("inf"))
        else:
            end, off = residuals.absolute_quantile(at)
            ends.append(max(0.0, end + side * off))
    return Measurement(
        measure=name,
        value=value,
        rows=n,
        interval=Interval(min(ends[0], value), max(ends[1], value), level),
        bound=bound,
        details={"quantile": q},
    )
