r"""e-SR: has a bounded loss risen? The Shiryaev-Roberts detector on bets.

Formula
-------
For each bet of the grid (see `e_detector`), :math:`R_t = (R_{t-1} + 1)\,e_t`; an alarm when their mean
reaches :math:`1/\alpha`. While nothing is wrong :math:`R_t - t` is a supermartingale, so the mean time to a
false alarm is at least :math:`1/\alpha`. Its values are not e-values: their mean grows with t.

Cost: within a block of losses :math:`R_t = P_t R_0 + B_t` with :math:`P_t = P_{t-1} e_t` and
:math:`B_t = (B_{t-1} + 1) e_t`. So all blocks are advanced side by side, and only one number a bet is carried from
block to block.

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

from watchkeeper.stats.evidence.e_detector import FRACTIONS, EDetector

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ESR(EDetector):
    """The state of e-SR; see `EDetector` for its parts.

    >>> state, alarms = ESR(level=0.1).update_many(np.tile([0.0, 1.0], 50))
    >>> alarms[:3]
    array([13, 27, 41])
    """

    name: ClassVar[str] = "e-sr"

    def _path(self, losses: Floats, capital: Floats) -> tuple[Floats, Floats]:
        stakes = np.array(FRACTIONS) / self.level
        # How many bets may be multiplied before a double would overflow.
        widest = np.abs(np.log1p(stakes[-1] * (np.array([0.0, 1.0]) - self.level))).max()
        block = max(1, min(128, int(300 / widest), len(losses)))
        blocks = -(-len(losses) // block)
        padded = np.full(blocks * block, self.level)  # after the last; cut off below
        padded[: len(losses)] = losses
        # Time first: each step is taken in all blocks side by side. Within a block R = product * carry + own.
        off = np.ascontiguousarray(padded.reshape(blocks, block).T - self.level)
        product = off[:, None, :] * stakes[None, :, None]
        product += 1.0
        own = np.empty_like(product)
        own[0] = product[0]
        for step in range(1, block):
            now = own[step]
            np.add(own[step - 1], 1.0, out=now)
            np.multiply(now, product[step], out=now)
            np.multiply(product[step], product[step - 1], out=product[step])
        carry = np.empty((len(stakes), blocks))
        for bet, r in enumerate(capital.tolist()):
            carries = []
            for factor, gained in zip(product[-1, bet].tolist(), own[-1, bet].tolist()):
                carries.append(r)
                # Past 1e300 an alarm was due long ago; stay finite.
                r = min(factor * r + gained, 1e300)
            carry[bet] = carries
        with np.errstate(over="ignore"):
            product *= carry
            own += product
            path = own.sum(1).T.reshape(-1)[: len(losses)] / len(stakes)
        last = (len(losses) - 1) % block
        return path, np.minimum(own[last, :, -1], 1e300)
