r"""EDDM, early drift detection: have the distances between a classifier's errors shrunk?

Formula
-------
With :math:`p', s'` the mean and the standard deviation (of a sample) of the distances between errors, the
largest :math:`p' + 2s'` is remembered. Where it is not a new largest, more than *warm_start* errors were
seen, and :math:`(p' + 2s') / \max < \beta`: an alarm, and a fresh start; where below :math:`\alpha`: a warning.

Limits: no bound on false alarms over time. It alarms much more often than DDM.

References
----------
M. Baena-Garcia and others, *Early drift detection method*, 2006.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.errors import BadInput
from watchkeeper.stats.detectors.detector import Resumable, finite


@dataclass(frozen=True, slots=True, kw_only=True)
class EDDM(Resumable):
    """Parameters and state.

    >>> calm, worse = np.tile([0] * 9 + [1] + [0] * 29 + [1], 30), np.tile([0, 1], 60)
    >>> EDDM().update_many(np.r_[calm, worse])[1]
    array([ 609, 1203])
    """

    warm_start: int = 30
    alpha: float = 0.95
    beta: float = 0.9
    n: int = 0
    errors: int = 0
    last_error: int = 0
    mean: float = 0.0
    squares: float = 0.0
    """Sum of squared deviations of distances from their mean."""
    largest: float = -1.0
    warning: bool = False

    def __post_init__(self) -> None:
        if self.alpha < self.beta:
            raise BadInput("EDDM's alpha (warning) must be at least its beta (alarm).")

    def update(self, error: bool | int) -> tuple[EDDM, bool]:
        """Return the state after one prediction, wrong or right, and whether it alarms."""
        state, alarms = self.update_many(np.array([error]))
        return state, bool(len(alarms))

    def update_many(self, errors: NDArray[Any]) -> tuple[EDDM, NDArray[np.intp]]:
        """Return the state after *errors* ``(n,)`` of 0 and 1, and the indices in *errors* of alarms.

        Only errors cost anything; between two of them nothing happens.
        """
        x = finite(errors)
        if ((x != 0) & (x != 1)).any():
            raise BadInput("EDDM takes errors of 0 and 1.")
        found: list[int] = []
        s, begin = self, -self.n
        n_errors, last, mean, squares = s.errors, s.last_error, s.mean, s.squares
        largest, warning = s.largest, s.warning
        for place in np.flatnonzero(x).tolist():
            n = place - begin + 1
            n_errors += 1
            off = (n - last) - mean
            mean += off / n_errors
            squares += off * (n - last - mean)
            last = n
            if n <= self.warm_start:
                continue
            level = mean + 2 * (squares / (n_errors - 1) if n_errors > 1 else 0.0) ** 0.5
            if level > largest:
                largest = level
            elif n_errors > self.warm_start:
                share = level / largest
                if share < self.beta:
                    found.append(place)
                    begin, n_errors, last, mean, squares = place + 1, 0, 0, 0.0, 0.0
                    largest, warning = -1.0, False
                else:
                    warning = share < self.alpha
        state = replace(
            self,
            n=len(x) - begin,
            errors=n_errors,
            last_error=last,
            mean=mean,
            squares=squares,
            largest=largest,
            warning=warning,
        )
        return state, np.array(found, dtype=np.intp)
