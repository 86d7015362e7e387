r"""Ever-test: is the mean of a bounded loss above a level? Wrong *ever* with probability at most alpha.

Formula
-------
:math:`W_t = \operatorname{mean}_\lambda \prod_{s \le t} (1 + \lambda(x_s - m_0))`; reject when
:math:`W_t \ge 1/\alpha`. While the mean is at most :math:`m_0`, W is a supermartingale that begins at 1, so
it ever reaches :math:`1/\alpha` with probability at most :math:`\alpha` (Ville). After a long calm its capital
is small and a later rise is found late: e-SR is for changes, this for a question with one answer (a gate).

References
----------
I. Waudby-Smith, A. Ramdas, *Estimating means of bounded random variables by betting*, JRSS B 86, 2024.
A. Podkopaev, A. Ramdas, *Tracking the risk of a deployed model and detecting harmful distribution shifts*,
ICLR 2022 (arXiv:2110.06177): alpha split between the level's estimate and the test.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.errors import BadInput
from watchkeeper.stats.evidence.e_detector import FRACTIONS, log_bets
from watchkeeper.stats.evidence.levels import bounded


@dataclass(frozen=True, slots=True, kw_only=True)
class EverTest:
    """The state of an ever-test.

    >>> state, first = EverTest(level=0.1).update_many(np.tile([0.0, 1.0], 50))
    >>> first, state.rejected_at
    (9, 10)
    """

    level: float
    alpha: float = 0.05
    delta: float = 0.0
    """Chance that ``level`` is below the true one; the whole is wrong with at most ``alpha + delta``."""
    independent_rows: bool = False
    log_capital: tuple[float, ...] = field(default=())
    seen: int = 0
    rejected_at: int = 0
    """The number of the loss (1, 2, ...) that decided, and stays; 0: not yet."""

    def __post_init__(self) -> None:
        if not (0 < self.level < 1 and 0 < self.alpha < 1):
            raise BadInput("An ever-test's level and alpha lie strictly between 0 and 1.")
        if not self.log_capital:
            object.__setattr__(self, "log_capital", (0.0,) * len(FRACTIONS))

    @property
    def log_value(self) -> float:
        """ln of the capital, averaged over bets."""
        return float(np.logaddexp.reduce(self.log_capital) - log(len(self.log_capital)))

    @property
    def guarantee(self) -> str:
        """The promise in words."""
        return f"at most a 1 in {1 / (self.alpha + self.delta):.3g} chance of ever rejecting falsely"

    @property
    def assumption(self) -> str:
        """What the promise rests on, in words."""
        unit = "row" if self.independent_rows else "window"
        return f"if the mean loss of a {unit}, given those before it, is at most {self.level:.4g}"

    def update(self, loss: float) -> EverTest:
        """Return the state after one loss."""
        return self.update_many(np.array([loss], dtype=float))[0]

    def update_many(self, losses: NDArray[Any]) -> tuple[EverTest, int | None]:
        """Return the state after *losses* ``(n,)``, and the index of the first that decided, or None."""
        x = bounded(losses)
        if not len(x):
            return self, None
        sums = np.cumsum(log_bets(x, self.level), axis=1) + np.array(self.log_capital)[:, None]
        value = np.logaddexp.reduce(sums, axis=0) - log(len(sums))
        over = np.flatnonzero(value >= -log(self.alpha))
        first = int(over[0]) if len(over) and not self.rejected_at else None
        state = replace(
            self,
            log_capital=tuple(sums[:, -1].tolist()),
            seen=self.seen + len(x),
            rejected_at=self.rejected_at if first is None else self.seen + first + 1,
        )
        return state, first

    def to_payload(self) -> dict[str, Any]:
        """Plain values; `of_payload` reads them back."""
        return {
            "level": self.level,
            "alpha": self.alpha,
            "delta": self.delta,
            "independent_rows": self.independent_rows,
            "log_capital": list(self.log_capital),
            "seen": self.seen,
            "rejected_at": self.rejected_at,
        }

    @classmethod
    def of_payload(cls, payload: dict[str, Any]) -> EverTest:
        """Read what `to_payload` wrote."""
        return cls(**{**payload, "log_capital": tuple(payload["log_capital"])})
