r"""Mean errors of a regression: squared, its root, absolute, and signed.

Formula
-------
With :math:`e = \hat y - y`,

.. math:: \mathrm{MSE} = \frac1n\sum e^2,\quad \mathrm{RMSE} = \sqrt{\mathrm{MSE}},\quad
          \mathrm{MAE} = \frac1n\sum |e|,\quad \mathrm{bias} = \frac1n\sum e

Reads: `Residuals`; exact. Intervals: Student's for bias and MAE; for MSE and RMSE that of a skewed mean, with the
variance of the squares themselves (see `skewed_mean_interval`).

Limits
------
MSE and RMSE are ruled by the largest errors. MSE is in the squared unit of the outcome, the others in its unit.
Positive bias: the model predicts too much.

References
----------
C. Willmott, K. Matsuura, *Advantages of the mean absolute error over the root mean square error*, 2005.
"""

from __future__ import annotations

from math import sqrt

from watchkeeper.domain.measurement import Interval, Measurement
from watchkeeper.measures.performance.decided import UNLABELLED
from watchkeeper.stats.intervals import mean_interval, skewed_mean_interval
from watchkeeper.stats.states.residuals import Residuals


def mse(residuals: Residuals, *, level: float = 0.95) -> Measurement:
    """Return the mean squared error.

    >>> mse(Residuals.of([2.5, 0.0, 2.0, 8.0], [3.0, -0.5, 2.0, 7.0])).value
    0.375
    """
    if not residuals.n:
        return Measurement.missing("mse", UNLABELLED)
    return Measurement(
        measure="mse",
        value=residuals.mse,
        rows=residuals.n,
        interval=_square_interval(residuals, level),
        bound=0.0,
    )


def rmse(residuals: Residuals, *, level: float = 0.95) -> Measurement:
    """Return the root of the mean squared error, in the outcome's unit.

    >>> round(rmse(Residuals.of([2.5, 0.0, 2.0, 8.0], [3.0, -0.5, 2.0, 7.0])).value, 4)
    0.6124
    """
    if not residuals.n:
        return Measurement.missing("rmse", UNLABELLED)
    of_squares = _square_interval(residuals, level)
    return Measurement(
        measure="rmse",
        value=sqrt(residuals.mse),
        rows=residuals.n,
        interval=Interval(sqrt(of_squares.low), sqrt(of_squares.high), level),
        bound=0.0,
    )


def mae(residuals: Residuals, *, level: float = 0.95) -> Measurement:
    """Return the mean absolute error, in the outcome's unit.

    >>> mae(Residuals.of([2.5, 0.0, 2.0, 8.0], [3.0, -0.5, 2.0, 7.0])).value
    0.5
    """
    n, value = residuals.n, residuals.mae
    if not n:
        return Measurement.missing("mae", UNLABELLED)
    # The square of |e| is e²: so its variance follows from the two means.
    variance = max(residuals.mse - value**2, 0.0) * n / (n - 1) if n > 1 else float("nan")
    interval = mean_interval(value, variance, n, level=level)
    return Measurement(
        measure="mae",
        value=value,
        rows=n,
        interval=Interval(max(0.0, interval.low), interval.high, level),
        bound=0.0,
    )


def bias(residuals: Residuals, *, level: float = 0.95) -> Measurement:
    """Return the mean of predicted minus actual, in the outcome's unit; positive is too high.

    >>> bias(Residuals.of([2.5, 0.0, 2.0, 8.0], [3.0, -0.5, 2.0, 7.0])).value
    0.25
    """
    error = residuals.error
    if not error.n:
        return Measurement.missing("bias", UNLABELLED)
    return Measurement(
        measure="bias",
        value=error.mean,
        rows=error.n,
        interval=mean_interval(error.mean, error.variance(ddof=1), error.n, level=level),
        bound=0.0,
    )


def _square_interval(residuals: Residuals, level: float) -> Interval:
    n = residuals.n
    if n < 2:
        return Interval(0.0, float("inf"), level)
    variance = residuals.variance_of_square * n / (n - 1)
    return skewed_mean_interval(residuals.mse, variance, n, residuals.largest_square, level=level)
