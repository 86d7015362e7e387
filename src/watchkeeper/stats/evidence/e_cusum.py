r"""e-CUSUM: has a bounded loss risen? The CUSUM detector on bets.

Formula
-------
For each bet of the grid (see `e_detector`), :math:`M_t = \max(M_{t-1}, 1)\,e_t`; an alarm when their mean
reaches :math:`1/\alpha`. It is at most e-SR, so its mean time between false alarms is longer than stated,
and its delay too: take e-SR unless you know CUSUM and want it.

Cost: with :math:`S_t` the running sum of :math:`\ln e`, :math:`\ln M_t = S_t - \min(-\ln^+ M_0, \min_{j<t} S_j)`:
two accumulations.

References
----------
J. Shin, A. Ramdas, A. Rinaldo, *E-detectors: a nonparametric framework for sequential change detection*,
New England Journal of Statistics in Data Science, 2023.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from watchkeeper.stats.evidence.e_detector import EDetector, log_bets

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ECUSUM(EDetector):
    """The state of e-CUSUM; see `EDetector` for its parts.

    >>> state, alarms = ECUSUM(level=0.1).update_many(np.tile([0.0, 1.0], 50))
    >>> alarms[:3]
    array([15, 31, 47])
    """

    name: ClassVar[str] = "e-cusum"

    def _path(self, losses: Floats, capital: Floats) -> tuple[Floats, Floats]:
        total = np.cumsum(log_bets(losses, self.level), axis=1)
        before = np.concatenate([-np.log(np.maximum(capital, 1.0))[:, None], total[:, :-1]], axis=1)
        np.minimum.accumulate(before, axis=1, out=before)
        total -= before
        np.exp(np.minimum(total, 690.0, out=total), out=total)
        return total.mean(0), total[:, -1].copy()
