r"""DDM, the drift detection method: has a classifier's error rate risen above its lowest?

Formula
-------
With :math:`p_n` the error rate of the first n predictions and :math:`s_n = \sqrt{p_n (1 - p_n) / n}`, the
smallest :math:`p + s` is remembered as :math:`p_{\min}, s_{\min}` (the later one of equals). Once n is above
*warm_start*: a warning where :math:`p_n + s_n > p_{\min} + 2 s_{\min}`, an alarm, and a fresh start, where
:math:`> p_{\min} + 3 s_{\min}`.

Limits: no bound on false alarms over time. In the first hundred predictions they are common.

References
----------
J. Gama, P. Medas, G. Castillo, P. Rodrigues, *Learning with drift detection*, SBIA 2004.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.errors import BadInput
from watchkeeper.stats.detectors.detector import Resumable, doubling_spans, finite


@dataclass(frozen=True, slots=True, kw_only=True)
class DDM(Resumable):
    """Parameters and state.

    >>> state, alarms = DDM().update_many(np.r_[np.tile([0, 0, 0, 1], 50), np.ones(40)])
    >>> alarms
    array([216])
    """

    warm_start: int = 30
    warning_threshold: float = 2.0
    drift_threshold: float = 3.0
    n: int = 0
    errors: int = 0
    p_min: float = inf
    s_min: float = inf
    warning: bool = False

    def update(self, error: bool | int) -> tuple[DDM, bool]:
        """Return the state after one prediction, wrong or right, and whether it alarms."""
        state, alarms = self.update_many(np.array([error]))
        return state, bool(len(alarms))

    def update_many(self, errors: NDArray[Any]) -> tuple[DDM, NDArray[np.intp]]:
        """Return the state after *errors* ``(n,)`` of 0 and 1, and the indices in *errors* of alarms.

        Raises
        ------
        BadInput
            a value is neither 0 nor 1.
        """
        x = np.asarray(errors)
        if x.dtype != bool:
            x = finite(x)
            wrong = x != 0
            if (x[wrong] != 1).any():
                raise BadInput("DDM takes errors of 0 and 1.", "For a loss use PageHinkley, CUSUM or e-SR.")
            x = wrong
        found: list[int] = []
        state, start = self, 0
        while start < len(x):
            for span in doubling_spans(start, len(x)):
                state, stop = state._run(x[span])
                if stop is not None:
                    found.append(span.start + stop)
                    state = self._fresh()
                    start = span.start + stop + 1
                    break
            else:
                break
        return state, np.array(found, dtype=np.intp)

    def _fresh(self) -> DDM:
        return replace(self, n=0, errors=0, p_min=inf, s_min=inf, warning=False)

    def _run(self, x: NDArray[np.bool_]) -> tuple[DDM, int | None]:
        """The state after *x* without restart, or the index of the alarm."""
        n = np.arange(self.n + 1, self.n + len(x) + 1, dtype=float)
        p = np.cumsum(x, dtype=np.int64) + self.errors
        errors = int(p[-1])
        p = p / n
        s = np.sqrt(p * (1 - p) / n)
        level = p + s
        skip = max(0, min(self.warm_start - self.n, len(x)))
        warning = self.warning
        p_min, s_min = self.p_min, self.s_min
        alarm = p_min + self.drift_threshold * s_min
        if skip == 0 and level.min() > p_min + s_min and level.max() <= alarm:
            # Neither a new lowest nor an alarm in the whole span, which is the usual case.
            warning = bool(level[-1] > p_min + self.warning_threshold * s_min)
        elif skip < len(x):
            p, s, level = p[skip:], s[skip:], level[skip:]
            lowest = np.minimum.accumulate(level)
            if p_min + s_min < inf:
                lowest = np.minimum(lowest, p_min + s_min)
            # Where the running minimum is met anew, p and s of that place are the ones to remember.
            record = np.where(level <= lowest, np.arange(len(level)), -1)
            record = np.maximum.accumulate(record)
            known = record >= 0
            at = np.maximum(record, 0)
            base_p, base_s = np.where(known, p[at], p_min), np.where(known, s[at], s_min)
            over = level > base_p + self.drift_threshold * base_s
            first = int(over.argmax())
            if over[first]:
                return self, skip + first
            warning = bool(level[-1] > base_p[-1] + self.warning_threshold * base_s[-1])
            p_min, s_min = float(base_p[-1]), float(base_s[-1])
        return replace(
            self, n=self.n + len(x), errors=errors, p_min=p_min, s_min=s_min, warning=warning
        ), None
