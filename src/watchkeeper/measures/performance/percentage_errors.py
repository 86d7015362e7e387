r"""Mean errors in relation to the outcome: MAPE and sMAPE.

Formula
-------
.. math:: \mathrm{MAPE} = \frac1{n'}\sum_{y \ne 0} \left|\frac{\hat y - y}{y}\right|,\qquad
          \mathrm{sMAPE} = \frac1n\sum \frac{2\,|\hat y - y|}{|y| + |\hat y|}

as shares (0.1 is 10%); a term of sMAPE with both zero is 0. Reads: `Residuals`; exact. Intervals: Student's.

Limits
------
MAPE has no value for an outcome of zero: those rows are left out and counted in ``details`` (scikit-learn
divides by 2.2e-16 instead, which lets one such row decide the result). It punishes predicting too much more than
predicting too little. sMAPE lies between 0 and 2.

References
----------
R. Hyndman, A. Koehler, *Another look at measures of forecast accuracy*, 2006.
S. Makridakis, *Accuracy measures: theoretical and practical concerns*, 1993.
"""

from __future__ import annotations

from watchkeeper.domain.measurement import Interval, Measurement
from watchkeeper.measures.performance.decided import UNLABELLED
from watchkeeper.stats.intervals import mean_interval
from watchkeeper.stats.states.moments import Moments
from watchkeeper.stats.states.residuals import Residuals


def mape(residuals: Residuals, *, level: float = 0.95) -> Measurement:
    """Return the mean absolute percentage error, as a share.

    >>> round(mape(Residuals.of([2.5, 0.0, 2.0, 8.0], [3.0, -0.5, 2.0, 7.0])).value, 4)
    0.3274
    """
    zeros = residuals.n - residuals.percentage.n
    if residuals.n and not residuals.percentage.n:
        return Measurement.missing("mape", "Every outcome is zero.", rows=residuals.n)
    return _mean("mape", residuals.percentage, level, {"outcomes_of_zero": zeros} if zeros else {})


def smape(residuals: Residuals, *, level: float = 0.95) -> Measurement:
    """Return the symmetric mean absolute percentage error, as a share (0 to 2).

    >>> round(smape(Residuals.of([2.5, 0.0, 2.0, 8.0], [3.0, -0.5, 2.0, 7.0])).value, 4)
    0.5788
    """
    return _mean("smape", residuals.symmetric, level, {})


def _mean(name: str, moments: Moments, level: float, details: dict[str, float]) -> Measurement:
    if not moments.n:
        return Measurement.missing(name, UNLABELLED)
    interval = mean_interval(moments.mean, moments.variance(ddof=1), moments.n, level=level)
    return Measurement(
        measure=name,
        value=moments.mean,
        rows=moments.n,
        interval=Interval(max(0.0, interval.low), interval.high, level),
        bound=0.0,
        details=details,
    )
