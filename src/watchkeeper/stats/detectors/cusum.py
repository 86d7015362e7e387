r"""CUSUM chart: has a mean left its target, by deviations that add up?

Formula
-------
With :math:`z_n = (x_n - \mu_0) / \sigma`,

.. math:: H_n = \max(0, H_{n-1} + z_n - k),\qquad L_n = \max(0, L_{n-1} - z_n - k),

an alarm, and a fresh start, where one passes *h*. k is half the shift that matters, in standard deviations.
For known target and independent normal values the mean run length of one side is close to Siegmund's
:math:`(e^{2kb} - 2kb - 1) / (2k^2)`, :math:`b = h + 1.166` (`mean_run_length`); two sides have half of it.

Limits: target and standard deviation are taken as known. Estimated ones shorten run lengths.

References
----------
E. S. Page, *Continuous inspection schemes*, Biometrika 41, 1954.
D. Siegmund, *Sequential Analysis*, Springer 1985.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.errors import BadInput
from watchkeeper.stats.detectors.detector import Resumable, doubling_spans, finite


@dataclass(frozen=True, slots=True, kw_only=True)
class CUSUM(Resumable):
    """Parameters and state.

    >>> CUSUM(target=0, sd=1).update_many(np.ones(20))[1]
    array([ 8, 17])
    """

    target: float
    sd: float
    k: float = 0.5
    h: float = 4.0
    mode: str = "both"
    high: float = 0.0
    low: float = 0.0

    def __post_init__(self) -> None:
        if not self.sd > 0:
            raise BadInput(f"CUSUM needs a standard deviation above 0, not {self.sd!r}.")
        if self.mode not in ("up", "down", "both"):
            raise BadInput(f"CUSUM looks 'up', 'down' or to 'both' sides, not {self.mode!r}.")

    def update(self, value: float) -> tuple[CUSUM, bool]:
        """Return the state after one value, and whether it alarms."""
        state, alarms = self.update_many(np.array([value]))
        return state, bool(len(alarms))

    def update_many(self, values: NDArray[Any]) -> tuple[CUSUM, NDArray[np.intp]]:
        """Return the state after *values* ``(n,)``, and the indices in *values* of alarms."""
        z = (finite(values) - self.target) / self.sd
        found: list[int] = []
        high, low, start = self.high, self.low, 0
        while start < len(z):
            for span in doubling_spans(start, len(z)):
                highs, lows = _reflected(z[span] - self.k, high), _reflected(-z[span] - self.k, low)
                over = np.zeros(len(highs), bool)
                if self.mode != "down":
                    over |= highs > self.h
                if self.mode != "up":
                    over |= lows > self.h
                first = int(over.argmax())
                if over[first]:
                    found.append(span.start + first)
                    high = low = 0.0
                    start = span.start + first + 1
                    break
                high, low = float(highs[-1]), float(lows[-1])
            else:
                break
        return replace(self, high=high, low=low), np.array(found, dtype=np.intp)


def mean_run_length(k: float, h: float, *, sides: int = 2) -> float:
    """Return Siegmund's approximation of the mean number of values between false alarms.

    >>> round(mean_run_length(0.5, 4)), round(mean_run_length(0.5, 5))
    (169, 469)
    """
    b = h + 1.166
    one = h * h if k == 0 else (exp(2 * k * b) - 2 * k * b - 1) / (2 * k * k)
    return one / sides


def _reflected(steps: NDArray[np.float64], start: float) -> NDArray[np.float64]:
    """Return :math:`H_n = max(0, H_(n-1) + step_n)` for *steps* ``(n,)`` from *start*."""
    sums = np.cumsum(steps)
    return np.asarray(sums - np.minimum(np.minimum.accumulate(sums), -start))
