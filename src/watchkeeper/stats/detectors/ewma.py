r"""EWMA chart: has a smoothed mean left its target?

Formula
-------
:math:`Z_n = (1 - \lambda) Z_{n-1} + \lambda (x_n - \mu_0) / \sigma`, an alarm, and a fresh start, where

.. math:: |Z_n| > L \sqrt{\tfrac{\lambda}{2 - \lambda}\,(1 - (1 - \lambda)^{2n})} .

The last factor is left out with ``exact_limits=False``, which is what published run lengths are of:
:math:`\lambda = .2, L = 2.962` has a mean run length of 500.

Limits: target and standard deviation are taken as known. Estimated ones shorten run lengths.

References
----------
S. W. Roberts, *Control chart tests based on geometric moving averages*, Technometrics 1, 1959.
J. Lucas, M. Saccucci, *Exponentially weighted moving average control schemes*, Technometrics 32, 1990 (tables).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.errors import BadInput
from watchkeeper.stats.detectors.detector import Resumable, doubling_spans, finite


@dataclass(frozen=True, slots=True, kw_only=True)
class EWMA(Resumable):
    """Parameters and state.

    >>> EWMA(target=0, sd=1).update_many(np.full(12, 1.5))[1]
    array([4, 9])
    """

    target: float
    sd: float
    smoothing: float = 0.2
    limit: float = 2.962
    exact_limits: bool = True
    n: int = 0
    level: float = 0.0

    def __post_init__(self) -> None:
        if not self.sd > 0:
            raise BadInput(f"EWMA needs a standard deviation above 0, not {self.sd!r}.")
        if not 0 < self.smoothing <= 1:
            raise BadInput(f"EWMA's smoothing lies in (0, 1], not at {self.smoothing!r}.")

    def update(self, value: float) -> tuple[EWMA, bool]:
        """Return the state after one value, and whether it alarms."""
        state, alarms = self.update_many(np.array([value]))
        return state, bool(len(alarms))

    def update_many(self, values: NDArray[Any]) -> tuple[EWMA, NDArray[np.intp]]:
        """Return the state after *values* ``(n,)``, and the indices in *values* of alarms."""
        z = (finite(values) - self.target) / self.sd
        found: list[int] = []
        n, level, start = self.n, self.level, 0
        keep = 1 - self.smoothing
        asymptote = self.limit * (self.smoothing / (2 - self.smoothing)) ** 0.5
        while start < len(z):
            for span in doubling_spans(start, len(z)):
                levels = _smoothed(self.smoothing * z[span], keep, level)
                bound = asymptote
                if self.exact_limits:
                    bound = asymptote * np.sqrt(1 - keep ** (2.0 * np.arange(n + 1, n + len(levels) + 1)))
                over = np.abs(levels) > bound
                first = int(over.argmax())
                if over[first]:
                    found.append(span.start + first)
                    n, level = 0, 0.0
                    start = span.start + first + 1
                    break
                n, level = n + len(levels), float(levels[-1])
            else:
                break
        return replace(self, n=n, level=level), np.array(found, dtype=np.intp)


def _smoothed(steps: NDArray[np.float64], keep: float, start: float) -> NDArray[np.float64]:
    """Return :math:`Z_n = keep Z_(n-1) + step_n` for *steps* ``(n,)`` from *start*."""
    if keep == 0:
        return steps
    # Blocks within which keep^-i does not overflow. Terms grow, so sums lose no digits to earlier ones.
    block = max(1, min(len(steps), int(-300 / log(keep))))
    rows = -(-len(steps) // block)
    padded = np.zeros(rows * block)
    padded[: len(steps)] = steps
    power = keep ** np.arange(1, block + 1)
    sums = np.cumsum(padded.reshape(rows, block) / power, axis=1)
    ends = np.empty(rows)
    for row in range(rows):
        ends[row] = start
        start = float(power[-1] * (start + sums[row, -1]))
    out = power * (ends[:, None] + sums)
    return np.asarray(out.reshape(-1)[: len(steps)])
