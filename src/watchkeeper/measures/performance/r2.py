r"""R2: the share of the outcome's variance that the model explains.

Formula
-------
.. math:: R^2 = 1 - \frac{\sum (\hat y - y)^2}{\sum (y - \bar y)^2}

Reads: `Residuals`; exact. Interval: delta method for the ratio of the two means, with the covariance of their
terms that the state keeps, on the logarithmic scale of the ratio.

Limits
------
Negative when the window's mean would have been the better prediction. It falls when outcomes vary less, with
the model as good as before: look at RMSE beside it.

References
----------
T. Kvålseth, *Cautionary note about R2*, The American Statistician 39, 1985.
"""

from __future__ import annotations

from watchkeeper.domain.measurement import Interval, Measurement
from watchkeeper.measures.performance.decided import UNLABELLED
from watchkeeper.stats.intervals import delta_interval
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
        unexplained = delta_interval(ratio, ratio**2 * max(relative, 0.0) / (n - 2), low=0.0, level=level)
        interval = Interval(1.0 - unexplained.high, 1.0 - unexplained.low, level)
    elif mse == 0:
        interval = Interval(1.0, 1.0, level)
    return Measurement(measure="r2", value=1.0 - ratio, rows=n, interval=interval, bound=0.0)
