r"""A quantile sketch of our own, for where the `datasketches` library cannot be installed (Python 3.14 today).

Values climb a ladder: rung i holds values that each stand for :math:`2^i`. When a rung is full it is sorted and
every second value goes up a rung; which half it is alternates, so that the errors of two compactions cancel.
No chance is involved: the same batches give the same quantiles.

Each compaction of rung i moves a rank by at most :math:`2^i`, and there are at most :math:`n / (2^i 2k)` of them: so
the rank error is below :math:`L / (2k)` of n with L rungs (0.06% for k = 8,192 and ten million rows), always.

References
----------
J. Munro, M. Paterson, *Selection and sorting with limited storage*, Theoretical Computer Science 12, 1980.
P. Agarwal et al., *Mergeable summaries*, PODS 2012, section 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


class Ladder:
    """As much of the interface of ``kll_doubles_sketch`` as `EdgeFinder` uses.

    >>> ladder = Ladder(64)
    >>> ladder.update(np.arange(100_000.0))
    >>> abs(ladder.get_quantiles([0.5])[0] - 50_000) <= ladder.normalized_rank_error(False) * 100_000
    True
    """

    def __init__(self, k: int) -> None:
        self.k = k
        self.n = 0
        self._rungs: list[NDArray] = [np.empty(0)]
        self._odd: list[bool] = [False]
        self._low, self._high = np.inf, -np.inf

    def update(self, values: NDArray) -> None:
        """Take in finite *values* ``(m,)``, which are not empty."""
        step = 64 * self.k
        for start in range(0, len(values), step):
            part = values[start : start + step]
            self.n += len(part)
            self._low, self._high = min(self._low, part.min()), max(self._high, part.max())
            self._put(0, part)

    def _put(self, rung: int, values: NDArray) -> None:
        while len(self._rungs) <= rung:
            self._rungs.append(np.empty(0))
            self._odd.append(False)
        held = np.concatenate([self._rungs[rung], values])
        if len(held) < 2 * self.k:
            self._rungs[rung] = held
            return
        held.sort()
        # An odd one out stays: what goes up must stand for exactly as many as there were.
        self._rungs[rung], held = held[len(held) & ~1 :], held[: len(held) & ~1]
        first, self._odd[rung] = int(self._odd[rung]), not self._odd[rung]
        self._put(rung + 1, held[first::2])

    def merge(self, other: Self) -> None:
        """Take in what *other* has seen."""
        self.n += other.n
        self._low, self._high = min(self._low, other._low), max(self._high, other._high)
        for rung, values in enumerate(other._rungs):
            self._put(rung, values)

    def _weighted(self) -> tuple[NDArray, NDArray]:
        values = np.concatenate(self._rungs)
        weights = np.repeat(2 ** np.arange(len(self._rungs)), [len(r) for r in self._rungs])
        order = np.argsort(values, kind="stable")
        return values[order], np.cumsum(weights[order])

    def get_quantiles(self, ranks: Sequence[float]) -> list[float]:
        """The values at *ranks* in [0, 1]."""
        values, below = self._weighted()
        at = np.searchsorted(below, np.asarray(ranks) * self.n, side="right")
        out = values[np.minimum(at, len(values) - 1)]
        return np.where(np.asarray(ranks) >= 1, self._high, out).tolist()

    def get_cdf(self, split_points: Sequence[float]) -> list[float]:
        """The share below each of *split_points*, and 1 at the end."""
        values, below = self._weighted()
        at = np.searchsorted(values, split_points, side="left")
        return [*(np.concatenate([[0], below])[at] / self.n).tolist(), 1.0]

    def normalized_rank_error(self, as_pmf: bool) -> float:
        """The largest possible error of a rank (of a share between two ranks, if *as_pmf*)."""
        error = (len(self._rungs) - 1) / (2 * self.k)
        return 2 * error if as_pmf else error

    def to_payload(self) -> dict[str, Any]:
        """Every rung."""
        return {
            "k": self.k,
            "n": self.n,
            "rungs": self._rungs,
            "odd": self._odd,
            "range": [float(self._low), float(self._high)],
        }

    @classmethod
    def of_payload(cls, payload: Mapping[str, Any]) -> Self:
        """Read `to_payload`."""
        out = cls(payload["k"])
        out.n, out._rungs, out._odd = payload["n"], list(payload["rungs"]), list(payload["odd"])
        out._low, out._high = payload["range"]
        return out
