r"""Count, mean, and the central sums that give variance, skewness and kurtosis.

Formula
-------
:math:`M_k = \sum_i (x_i - \bar x)^k` for k = 2, 3, 4. Two sets of rows are joined by Pébay's pairwise
formulas, so that no power of a large mean is ever subtracted from another; one batch is computed about a
point close to its mean. With :math:`\delta = \bar x_b - \bar x_a`,

.. math:: M_2 = M_{2a} + M_{2b} + \delta^2 \frac{n_a n_b}{n}

and so on (Pébay, eq. 2.1 and 3.1).

Non-finite values and nulls are not moments' business: the histogram counts them.

References
----------
P. Pébay, *Formulas for robust, one-pass parallel computation of covariances and arbitrary-order statistical
moments*, Sandia report SAND2008-6212, 2008.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf, isfinite, isinf, nan, sqrt
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from watchkeeper.stats.states.state import Accuracy

_BLOCK = 8_192
"""Values worked on at a time. They stay in the processor's cache; and BLAS starts threads of its own for longer
ones, which costs more than the sums when columns run in threads already."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Moments of the finite values of one column; ``n`` may be fractional after `scaled`.

    >>> m = Moments.of([1.0, 2.0, 3.0, 4.0])
    >>> m.mean, m.variance(), round(m.kurtosis, 2)
    (2.5, 1.25, -1.36)
    >>> m == Moments.of([1.0, 2.0]).merge(Moments.of([3.0, 4.0]))
    True
    """

    kind: ClassVar[str] = "moments"

    n: float = 0
    mean: float = nan
    m2: float = 0.0
    m3: float = 0.0
    m4: float = 0.0
    min: float = inf
    max: float = -inf

    @classmethod
    def empty(cls) -> Self:
        """No rows."""
        return cls()

    @classmethod
    def of(cls, values: ArrayLike) -> Self:
        """Moments of the finite numbers among *values* ``(rows,)``; NaN and infinities are left out."""
        data = np.asarray(values, dtype=np.float64).reshape(-1)
        with np.errstate(over="ignore", invalid="ignore"):
            # A finite sum has finite terms; the other way round is rare and looked at closely.
            if not isfinite(float(data.sum())):
                data = data[np.isfinite(data)]
        if not data.size:
            return cls()
        return cls._of_finite(data, float(data.min()), float(data.max()))

    @classmethod
    def of_sorted(cls, values: NDArray) -> Self:
        """The same for sorted numbers, NaN last, as ``np.sort`` leaves them: the ends need no search."""
        data = np.asarray(values, dtype=np.float64)
        if data.size and not (isfinite(data[0]) and isfinite(data[-1])):
            data = data[np.searchsorted(data, -inf, side="right") : np.searchsorted(data, inf)]
        return cls._of_finite(data, float(data[0]), float(data[-1])) if data.size else cls()

    @classmethod
    def of_counts(cls, values: NDArray, counts: NDArray) -> Self:
        """Moments of finite *values* ``(d,)`` that rise and occur *counts* times each.

        >>> Moments.of_counts(np.array([1.0, 4.0]), np.array([2, 1])) == Moments.of([1.0, 1.0, 4.0])
        True
        """
        n = counts.sum().item()
        if not n:
            return cls()
        data, weights = np.asarray(values, dtype=np.float64), np.asarray(counts, dtype=np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            centre = float(np.dot(data, weights / n))
            d = data - centre
            p = d * d
            wd, wp = weights * d, weights * p
            sums = float(wd.sum()), float(wp.sum()), float(np.dot(wp, d)), float(np.dot(wp, p))
        return cls._about(centre, n, sums, float(data[0]), float(data[-1]))

    @classmethod
    def _of_finite(cls, data: NDArray, low: float, high: float) -> Self:
        with np.errstate(over="ignore", invalid="ignore"):
            # One centre for the whole batch, near its mean: blocks then need no merging of their own.
            head = data[:: max(1, data.size // 1_024)]
            centre = float(head.mean())
            if isinf(centre):
                centre = float((head / head.size).sum())
            s1 = s2 = s3 = s4 = 0.0
            buffer, power = np.empty(min(_BLOCK, data.size)), np.empty(min(_BLOCK, data.size))
            for start in range(0, data.size, _BLOCK):
                block = data[start : start + _BLOCK]
                d, p = buffer[: block.size], power[: block.size]
                np.subtract(block, centre, out=d)
                np.multiply(d, d, out=p)
                s1 += float(d.sum())
                s2 += float(p.sum())
                s3 += float(np.dot(p, d))
                s4 += float(np.dot(p, p))
            return cls._about(centre, data.size, (s1, s2, s3, s4), low, high)

    def merge(self, other: Self) -> Self:
        """Pébay's pairwise update."""
        if not self.n:
            return other
        if not other.n:
            return self
        a, b = self, other
        n = a.n + b.n
        wa, wb = a.n / n, b.n / n
        d = b.mean - a.mean
        d2 = d * d
        return replace(
            self,
            n=n,
            mean=a.mean * wa + b.mean * wb if wa and wb else a.mean,
            m2=a.m2 + b.m2 + d2 * a.n * wb,
            m3=a.m3 + b.m3 + d * d2 * a.n * wb * (wa - wb) + 3 * d * (wa * b.m2 - wb * a.m2),
            m4=(
                a.m4
                + b.m4
                + d2 * d2 * a.n * wb * (wa * wa - wa * wb + wb * wb)
                + 6 * d2 * (wa * wa * b.m2 + wb * wb * a.m2)
                + 4 * d * (wa * b.m3 - wb * a.m3)
            ),
            min=min(a.min, b.min),
            max=max(a.max, b.max),
        )

    def scaled(self, factor: float) -> Self:
        """Each row weighs *factor*: sums grow, mean and shape stay."""
        return replace(self, n=self.n * factor, m2=self.m2 * factor, m3=self.m3 * factor, m4=self.m4 * factor)

    @property
    def accuracy(self) -> Accuracy:
        """Exact, up to rounding."""
        return Accuracy.exactly()

    def variance(self, ddof: float = 0) -> float:
        """Variance; NaN with no more than *ddof* rows."""
        return max(self.m2, 0.0) / (self.n - ddof) if self.n > ddof else nan

    @property
    def sd(self) -> float:
        """Standard deviation of the rows themselves (ddof 0)."""
        return sqrt(self.variance())

    @property
    def sum(self) -> float:
        """Sum of the values; 0 with no rows."""
        return self.n * self.mean if self.n else 0.0

    @property
    def skewness(self) -> float:
        """Fisher-Pearson skewness; NaN for a constant."""
        return sqrt(self.n) * self.m3 / self.m2**1.5 if self.m2 > 0 else nan

    @property
    def kurtosis(self) -> float:
        """Excess kurtosis: 0 for a normal distribution; NaN for a constant."""
        return self.n * self.m4 / self.m2**2 - 3.0 if self.m2 > 0 else nan

    def to_payload(self) -> dict[str, Any]:
        """All seven numbers."""
        return {
            "n": self.n,
            "mean": self.mean,
            "m2": self.m2,
            "m3": self.m3,
            "m4": self.m4,
            "min": self.min,
            "max": self.max,
        }

    @classmethod
    def of_payload(cls, payload: Mapping[str, Any]) -> Self:
        """Read `to_payload`."""
        names = ("n", "mean", "m2", "m3", "m4", "min", "max")
        return cls(**{name: payload[name] for name in names})

    @classmethod
    def _about(
        cls, centre: float, n: int, sums: tuple[float, float, float, float], low: float, high: float
    ) -> Self:
        """Central moments from the power sums about a *centre* close to the mean."""
        s1, s2, s3, s4 = sums
        d = s1 / n
        d2 = d * d
        return cls(
            n=n,
            mean=centre + d,
            m2=max(s2 - n * d2, 0.0),
            m3=s3 - 3 * d * s2 + 2 * n * d * d2,
            m4=max(s4 - 4 * d * s3 + 6 * d2 * s2 - 3 * n * d2 * d2, 0.0),
            min=low,
            max=high,
        )
