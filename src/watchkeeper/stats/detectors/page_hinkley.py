r"""Page-Hinkley test: has the mean of a stream moved up or down?

Formula
-------
With :math:`\bar x_n` the running mean and :math:`d_n = x_n - \bar x_n`,

.. math:: U_n = \alpha U_{n-1} + d_n - \delta,\qquad D_n = \alpha D_{n-1} + d_n + \delta,

an alarm, and a fresh start, where :math:`U_n - \min_{i \le n} U_i` or :math:`\max(-1, \max_{i \le n} D_i) - D_n`
passes *threshold* and n is at least *min_instances*. (The -1 is how the common implementations begin the
maximum; it is kept so that alarms fall on the same index.)

Cost: :math:`U_n = \alpha^n (U_0 + \sum_i \alpha^{-i} (d_i - \delta))`, so a batch is a few array operations, in
spans in which :math:`\alpha^{-i}` does not overflow.

Limits: no bound on false alarms over time.

References
----------
E. S. Page, *Continuous inspection schemes*, Biometrika 41, 1954.
D. V. Hinkley, *Inference about the change-point from cumulative sum tests*, Biometrika 58, 1971.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from math import inf, log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.errors import BadInput
from watchkeeper.stats.detectors.detector import Resumable, doubling_spans, finite

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class PageHinkley(Resumable):
    """Parameters and state.

    >>> state, alarms = PageHinkley(threshold=5).update_many(np.r_[np.zeros(100), np.ones(20)])
    >>> alarms
    array([105])
    """

    min_instances: int = 30
    delta: float = 0.005
    threshold: float = 50.0
    alpha: float = 1 - 0.0001
    mode: str = "both"
    """``"up"``, ``"down"`` or ``"both"``."""
    n: int = 0
    mean: float = 0.0
    increase: float = 0.0
    decrease: float = 0.0
    least: float = inf
    most: float = -1.0

    def __post_init__(self) -> None:
        if self.mode not in ("up", "down", "both"):
            raise BadInput(f"Page-Hinkley looks 'up', 'down' or to 'both' sides, not {self.mode!r}.")
        if not 0 < self.alpha <= 1:
            raise BadInput(f"Page-Hinkley's forgetting factor lies in (0, 1], not at {self.alpha!r}.")

    def update(self, value: float) -> tuple[PageHinkley, bool]:
        """Return the state after one value, and whether it alarms."""
        state, alarms = self.update_many(np.array([value]))
        return state, bool(len(alarms))

    def update_many(self, values: NDArray[Any]) -> tuple[PageHinkley, NDArray[np.intp]]:
        """Return the state after *values* ``(n,)``, and the indices in *values* of alarms."""
        x = finite(values)
        found: list[int] = []
        state, start = self, 0
        while start < len(x):
            for span in doubling_spans(start, len(x), largest=self._largest):
                state, stop = state._run(x[span])
                if stop is not None:
                    found.append(span.start + stop)
                    state = self._fresh()
                    start = span.start + stop + 1
                    break
            else:
                break
        return state, np.array(found, dtype=np.intp)

    def _fresh(self) -> PageHinkley:
        return replace(self, n=0, mean=0.0, increase=0.0, decrease=0.0, least=inf, most=-1.0)

    def _run(self, x: Floats) -> tuple[PageHinkley, int | None]:
        power, inverse, ones = _powers(self.alpha, self._largest)
        power, inverse, ones = power[: len(x)], inverse[: len(x)], ones[: len(x)]
        off = np.cumsum(x)
        off += self.mean * self.n
        off /= np.arange(self.n + 1, self.n + len(x) + 1)
        mean = float(off[-1])
        np.subtract(x, off, out=off)
        off *= inverse
        faded = np.cumsum(off, out=off)
        faded *= power
        quiet = max(0, self.min_instances - 1 - self.n)
        first = len(x)
        increase, decrease, least, most = self.increase, self.decrease, self.least, self.most
        if self.mode != "down":
            up = power * increase
            up -= self.delta * ones
            up += faded
            increase, lowest = float(up[-1]), min(float(up.min()), least)
            # No running minimum is needed where even the whole range of the span is below the threshold.
            if up.max() - lowest > self.threshold:
                low = np.minimum.accumulate(up)
                np.minimum(low, least, out=low)
                first = min(first, _first_above(up - low, self.threshold, quiet))
            least = lowest
        if self.mode != "up":
            down = power * decrease
            down += self.delta * ones
            down += faded
            decrease, highest = float(down[-1]), max(float(down.max()), most)
            if highest - down.min() > self.threshold:
                high = np.maximum.accumulate(down)
                np.maximum(high, most, out=high)
                first = min(first, _first_above(high - down, self.threshold, quiet))
            most = highest
        if first < len(x):
            return self, first
        return replace(
            self,
            n=self.n + len(x),
            mean=mean,
            increase=increase,
            decrease=decrease,
            least=least,
            most=most,
        ), None

    @property
    def _largest(self) -> int:
        """How long a span may be before ``alpha ** -n`` overflows a double."""
        return _SPAN if self.alpha == 1 else max(1, min(_SPAN, int(-300 / log(self.alpha))))


_SPAN = 16_384


@lru_cache(maxsize=8)
def _powers(alpha: float, n: int) -> tuple[Floats, Floats, Floats]:
    """alpha^i, alpha^-i, and what a sum of ones fades to, each ``(n,)`` from i = 1.

    Terms that are multiplied by alpha^-i grow, so their running sums lose no digits to earlier ones.
    """
    power = alpha ** np.arange(1.0, n + 1)
    return power, 1 / power, power * np.cumsum(1 / power)


def _first_above(values: Floats, threshold: float, quiet: int) -> int:
    """The first place from *quiet* on where *values* pass *threshold*, or their number."""
    part = values[quiet:]
    if not len(part) or not part.max() > threshold:
        return len(values)
    return quiet + int((part > threshold).argmax())
