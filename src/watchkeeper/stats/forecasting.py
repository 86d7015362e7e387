r"""Forecasting a short series: small methods, intervals from their own past errors, and a naive one to beat.

Methods
-------
- ``naive``: :math:`\hat y_{t+h} = y_t`; ``seasonal``: the value one period ago.
- ``trend``: Theil-Sen, :math:`b = \operatorname{median}_{i<j} (y_j - y_i)/(j - i)`, level the median of
  :math:`y_i - b\,i`; half of the points may be wild and the line stands.
- ``holt``: additive trend, damped,
  :math:`l_t = \alpha y_t + (1-\alpha)(l_{t-1} + \phi b_{t-1})`,
  :math:`b_t = \beta(l_t - l_{t-1}) + (1-\beta)\phi b_{t-1}`,
  :math:`\hat y_{t+h} = l_t + (\phi + \dots + \phi^h) b_t`, parameters from a grid by one-step error.

A period is taken off first where there are two whole ones (median of each phase around the Theil-Sen line)
and put back on.

Which one, and whether to believe it, is decided by *rolling origin*: each method forecasts from every origin in
the last half of the series with what was known then. The one with the smallest mean absolute error wins; its
errors at each horizon are its prediction interval (their 2.5% and 97.5% conformal quantiles, never narrower for
a longer horizon). If none beats the naive one, the naive one is used, and nothing that it says may page.

References
----------
C. Holt, *Forecasting seasonals and trends by exponentially weighted averages*, 1957.
P. Sen, *Estimates of the regression coefficient based on Kendall's tau*, JASA 63, 1968.
E. Gardner, E. McKenzie, *Forecasting trends in time series*, Management Science 31, 1985 (damping).
L. Tashman, *Out-of-sample tests of forecasting accuracy*, International Journal of Forecasting 16, 2000.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

from watchkeeper.errors import BadInput, nearest

Floats = NDArray[np.float64]

_FEWEST = 8
_LONGEST = 400
"""Points that a forecast is made from: what came before says little of the next days."""
_GRID = tuple(product((0.1, 0.3, 0.5, 0.8), (0.05, 0.2, 0.5), (0.9, 1.0)))


def theil_sen(y: ArrayLike) -> tuple[float, float]:
    """Return slope per step and level at the last point.

    >>> theil_sen([1.0, 2.0, 3.0, 99.0, 5.0])
    (1.0, 5.0)
    """
    values = np.asarray(y, dtype=float)
    n = len(values)
    if n < 2:
        return 0.0, float(values[-1])
    i, j = np.triu_indices(n, 1)
    slope = float(np.median((values[j] - values[i]) / (j - i)))
    return slope, float(np.median(values - slope * np.arange(n))) + slope * (n - 1)


def holt(y: ArrayLike, alpha: float, beta: float, phi: float = 1.0) -> tuple[float, float, float]:
    """Return level, trend, and the mean absolute one-step error of Holt's method over *y*.

    >>> level, trend, error = holt([1.0, 2.0, 3.0, 4.0], 0.5, 0.5)
    >>> level, trend, error
    (4.0, 1.0, 0.0)
    """
    values = np.asarray(y, dtype=float).tolist()
    level, trend, total = values[0], values[1] - values[0], 0.0
    for value in values[1:]:
        expected = level + phi * trend
        total += abs(value - expected)
        before = level
        level = alpha * value + (1 - alpha) * expected
        trend = beta * (level - before) + (1 - beta) * phi * trend
    return level, trend, total / (len(values) - 1)


def _naive(y: Floats, steps: int, period: int) -> Floats:
    return np.full(steps, y[-1])


def _seasonal(y: Floats, steps: int, period: int) -> Floats:
    return y[len(y) - period + np.arange(steps) % period]


def _trend(y: Floats, steps: int, period: int) -> Floats:
    flat, phases = _without_period(y, period)
    slope, level = theil_sen(flat)
    return level + slope * np.arange(1, steps + 1) + _phase(phases, len(y), steps)


def _holt(
    y: Floats, steps: int, period: int, *, parameters: tuple[float, float, float] | None = None
) -> Floats:
    flat, phases = _without_period(y, period)
    alpha, beta, phi = parameters or _best_holt(flat)
    level, trend, _ = holt(flat, alpha, beta, phi)
    return level + trend * np.cumsum(phi ** np.arange(1, steps + 1)) + _phase(phases, len(y), steps)


METHODS: dict[str, Callable[..., Floats]] = {
    "naive": _naive,
    "seasonal": _seasonal,
    "trend": _trend,
    "holt": _holt,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What the next steps look like: ``mean``, ``low`` and ``high`` ``(steps,)``.

    ``trusted``: on the series' own past the method beat the naive one, and its interval held what it should.
    """

    method: str
    mean: Floats
    low: Floats
    high: Floats
    level: float
    error: float
    """Mean absolute error on rolling origins, over all steps."""
    naive_error: float
    coverage: float
    """Share of later values that the interval, made from earlier errors, held."""
    origins: int
    trusted: bool
    reason: str

    @property
    def skill(self) -> float:
        """How much smaller the error is than the naive one's: 1 is perfect, 0 none."""
        return 0.0 if self.naive_error == 0 else 1 - self.error / self.naive_error


def rolling_errors(y: ArrayLike, method: str, *, steps: int, period: int = 1, first: int = _FEWEST) -> Floats:
    """Return actual less forecast ``(origins, steps)``, from each origin *first* to the last but one; NaN past the end.

    Raises
    ------
    BadInput
        there is no such method.

    >>> rolling_errors([1.0, 2, 3, 4, 5, 6], "naive", steps=2, first=4).tolist()
    [[1.0, 2.0], [1.0, nan]]
    """
    if method not in METHODS:
        raise BadInput(
            f"There is no forecasting method {method!r}.{nearest(method, METHODS)}",
            f"Known: {', '.join(METHODS)}.",
        )
    values = np.asarray(y, dtype=float)
    call: Callable[..., Floats] = METHODS[method]
    if method == "holt":
        # The parameters are those that the first origin would have chosen: nothing of the future is used.
        call = partial(_holt, parameters=_best_holt(_without_period(values[:first], period)[0]))
    out = np.full((max(0, len(values) - first), steps), np.nan)
    for row, origin in enumerate(range(first, len(values))):
        ahead = values[origin : origin + steps]
        out[row, : len(ahead)] = ahead - call(values[:origin], steps, period)[: len(ahead)]
    return out


def forecast(y: ArrayLike, *, steps: int, period: int = 1, level: float = 0.95) -> Forecast:
    """Forecast *steps* values after *y* ``(n,)``, by the method that did best on its past.

    Parameters
    ----------
    period : length of a season in steps; 1 is none. It is used once two whole ones have been seen.
    level : of the prediction intervals.

    Raises
    ------
    BadInput
        fewer than 8 values, or one that is not finite.

    >>> made = forecast(np.arange(30.0) + np.tile([0.0, 0.2, -0.2], 10), steps=3)
    >>> made.method, made.trusted, made.mean.round(0).tolist()
    ('trend', True, [30.0, 31.0, 32.0])
    """
    values = np.asarray(y, dtype=float)[-_LONGEST:]
    if values.ndim != 1 or len(values) < _FEWEST or not np.isfinite(values).all():
        raise BadInput(f"A forecast needs at least {_FEWEST} finite values in a row.")
    if steps < 1:
        raise BadInput(f"A forecast looks at least one step ahead, not {steps}.")
    period = period if 1 < period <= len(values) // 2 else 1
    first = max(_FEWEST - 2, len(values) // 2, period * 2 if period > 1 else 0)
    first = min(first, len(values) - 1)
    names = ["naive", *(["seasonal"] if period > 1 else []), "trend", "holt"]
    errors = {name: rolling_errors(values, name, steps=steps, period=period, first=first) for name in names}
    sizes = {name: float(np.nanmean(np.abs(e))) for name, e in errors.items()}
    best = min(names, key=lambda name: (sizes[name], names.index(name)))
    benchmark = min(sizes[name] for name in ("naive", "seasonal") if name in sizes)
    method = (
        best if sizes[best] < benchmark else min(("naive", "seasonal"), key=lambda n: sizes.get(n, np.inf))
    )
    low, high = _band(errors[method], steps, level)
    coverage = _coverage(errors[method], level)
    origins = len(errors[method])
    if method in ("naive", "seasonal"):
        trusted, reason = False, "no method forecasts this series better than repeating what was seen"
    elif origins < 10:
        trusted, reason = False, f"its error was measured on only {origins} past forecasts, and 10 are needed"
    elif sizes[method] > 0.9 * benchmark:
        trusted, reason = False, "it is hardly better than repeating what was seen"
    elif coverage < level - 0.15:
        trusted, reason = False, f"its intervals held only {coverage:.0%} of what came"
    else:
        trusted, reason = (
            True,
            f"its error was {1 - sizes[method] / benchmark:.0%} smaller than a naive forecast's",
        )
    mean = METHODS[method](values, steps, period)
    return Forecast(
        method=method,
        mean=mean,
        low=mean + low,
        high=mean + high,
        level=level,
        error=sizes[method],
        naive_error=benchmark,
        coverage=coverage,
        origins=origins,
        trusted=trusted,
        reason=reason,
    )


def time_to_breach(path: Floats, *, above: float | None = None, below: float | None = None) -> int | None:
    """Return the first step, from 1, at which *path* ``(steps,)`` crosses a level; None if it does not.

    >>> time_to_breach(np.array([0.1, 0.2, 0.3]), above=0.25)
    3
    """
    crossed = np.zeros(len(path), bool)
    if above is not None:
        crossed |= path > above
    if below is not None:
        crossed |= path < below
    return int(crossed.argmax()) + 1 if crossed.any() else None


def _best_holt(y: Floats) -> tuple[float, float, float]:
    return min(_GRID, key=lambda p: holt(y, *p)[2])


def _without_period(y: Floats, period: int) -> tuple[Floats, Floats]:
    """Return the series without its period, and the period's phases ``(period,)``; zeros if it is not seen twice."""
    if period < 2 or len(y) < 2 * period:
        return y, np.zeros(1)
    # The slope between values one period apart is free of the period.
    slope = float(np.median(y[period:] - y[:-period])) / period
    left = y - slope * np.arange(len(y))
    phases = np.array([np.median(left[k::period]) for k in range(period)])
    phases -= phases.mean()
    return y - phases[np.arange(len(y)) % period], phases


def _phase(phases: Floats, n: int, steps: int) -> Floats:
    out: Floats = phases[(n + np.arange(steps)) % len(phases)]
    return out


def _band(errors: Floats, steps: int, level: float) -> tuple[Floats, Floats]:
    """Conformal quantiles of the errors at each horizon, never narrower further out."""
    low, high = np.zeros(steps), np.zeros(steps)
    for h in range(steps):
        seen = np.sort(errors[:, h][np.isfinite(errors[:, h])])
        if len(seen):
            k = min(len(seen) - 1, int(np.ceil((1 + level) / 2 * (len(seen) + 1))) - 1)
            low[h], high[h] = seen[len(seen) - 1 - k], seen[k]
    return np.minimum.accumulate(np.minimum(low, 0)), np.maximum.accumulate(np.maximum(high, 0))


def _coverage(errors: Floats, level: float) -> float:
    """Of the second half of the origins, the share that the first half's band held; steps all together."""
    half = len(errors) // 2
    if half < 3:
        return 0.0
    low, high = _band(errors[:half], errors.shape[1], level)
    later = errors[half:]
    known = np.isfinite(later)
    held = (later >= low - 1e-12) & (later <= high + 1e-12)
    return float(held[known].mean()) if known.any() else 0.0
