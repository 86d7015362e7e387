r"""e-SR: has a bounded loss risen? The Shiryaev-Roberts detector on bets.

Formula
-------
For each bet of the grid (see `e_detector`), :math:`R_t = (R_{t-1} + 1)\,e_t`; an alarm when their mean
reaches :math:`1/\alpha`. While nothing is wrong :math:`R_t - t` is a supermartingale, so the mean time to a
false alarm is at least :math:`1/\alpha`. Its values are not e-values: their mean grows with t.

Cost: with :math:`P_t` the running product of bets, :math:`R_t = P_t (R_0 + \sum_{j \le t} 1/P_{j-1})`, so
blocks of bets are array operations, and only one number is carried from block to block.

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

from watchkeeper.stats.evidence.e_detector import EDetector

__all__ = ["ESR"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ESR(EDetector):
    """The state of e-SR; see `EDetector` for its parts.

    >>> state, alarms = ESR(level=0.1).update_many(np.tile([0.0, 1.0], 50))
    >>> alarms[:3]
    array([13, 27, 41])
    """

    name: ClassVar[str] = "e-sr"

    def _path(self, logs: Floats, capital: Floats) -> Floats:
        bets, n = logs.shape
        block = self._block(logs)
        blocks = -(-n // block)
        padded = np.zeros((bets, blocks * block))
        padded[:, :n] = logs
        product = np.exp(np.cumsum(padded.reshape(bets, blocks, block), axis=2))
        started = np.empty_like(product)
        started[:, :, 0] = 1.0
        np.divide(1.0, product[:, :, :-1], out=started[:, :, 1:])
        np.cumsum(started, axis=2, out=started)
        carry = np.empty((bets, blocks))
        r = capital
        with np.errstate(over="ignore"):
            for b in range(blocks):
                carry[:, b] = r
                # Past 1e300 an alarm was due long ago; stay finite.
                r = np.minimum(product[:, b, -1] * (r + started[:, b, -1]), 1e300)
            out: Floats = np.minimum(product * (carry[:, :, None] + started), 1e300)
        return out.reshape(bets, -1)[:, :n]
