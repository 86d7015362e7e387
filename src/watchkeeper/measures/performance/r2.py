r"""R2: the share of the outcome's variance that the model explains.

Formula
-------
.. math:: R^2 = 1 - \frac{\sum (\hat y - y)^2}{\sum (y - \bar y)^2}

Reads: `Residuals`; exact. Interval: delta method for the ratio of the two means, with the covariance of their
terms that the state keeps, on the logarithmic scale of the ratio; with Student's quantile and room for errors and
outcomes larger than any seen where a few rows make up the squares (see `tail_allowance`).

Limits
------
Negative when the window's mean would have been the better prediction. It falls when outcomes vary less, with
the model as good as before: look at RMSE beside it.

References
----------
T. Kvålseth, *Cautionary note about R2*, The American Statistician 39, 1985.
"""

from __future__ import annotations

from math import exp, sqrt

from watchkeeper.domain.measurement import Interval, Measurement
from watchkeeper.measures.performance.decided import UNLABELLED
from watchkeeper.stats.intervals import tail_allowance
from watchkeeper.stats.states.residuals import Residuals


def r2(residuals: Residuals, *, level: float = 0.95) -> Measurement:
    """Return the share; 1 is perfect, 0 what predicting the mean gives.

    >>> round(r2(Residuals.of([2.5, 0.0, 2.0, 8.0], [3.0, -0.5, 2.0, 7.0])).value, 4)
    0.9486
    """
    n, y = residuals.n, residuals.outcome
    if not n:
        return Measurement.missing("r2", UNLABELLED)
    spread, mse = y.variance(), residuals.mse
    if not spread > 0:
        return Measurement.missing("r2", "All outcomes are the same number.", rows=n)
    ratio = mse / spread
    interval = Interval(-float("inf"), 1.0, level)
    if n > 2 and mse > 0:
        of_spread = max(y.m4 / n - spread**2, 0.0)
        together = residuals.square_by_spread / n
        relative = (
            residuals.variance_of_square / mse**2 + of_spread / spread**2 - 2 * together / (mse * spread)
        )
        of_errors, errors = tail_allowance(
            mse, residuals.variance_of_square, n, residuals.largest_square, level=level
        )
        farthest = max((y.min - y.mean) ** 2, (y.max - y.mean) ** 2)
        of_outcomes, outcomes = tail_allowance(spread, of_spread, n, farthest, level=level)
        reach = max(of_errors, of_outcomes) * sqrt(max(relative, 0.0) / (n - 2))
        if reach < 500:
            low, high = ratio * exp(-reach) / (1 + outcomes), ratio * exp(reach) * (1 + errors)
            interval = Interval(1.0 - high, 1.0 - low, level)
    elif mse == 0:
        interval = Interval(1.0, 1.0, level)
    return Measurement(measure="r2", value=1.0 - ratio, rows=n, interval=interval, bound=0.0)
