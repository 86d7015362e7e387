r"""Vectors (embeddings): the mean and variance of each dimension, and the lengths of the vectors.

Means and sums of squared deviations :math:`M_2` are joined pairwise, so that a mean far from zero does not eat
the variance.

References
----------
T. Chan, G. Golub, R. LeVeque, *Updating formulae and a pairwise algorithm for computing sample variances*,
Stanford report STAN-CS-79-773, 1979.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from watchkeeper.domain.values import Values
from watchkeeper.errors import Incompatible
from watchkeeper.stats.states.moments import Moments
from watchkeeper.stats.states.state import Accuracy

_NO_NORMS = Moments.empty()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class VectorState:
    """Per dimension ``mean`` and ``m2``, both ``(dimensions,)``, of the ``n`` vectors that are finite.

    ``misfits`` are vectors of another length (they count as null in `Values`, and here), ``nulls`` the rest of
    the nulls, ``nonfinite`` vectors with a NaN or an infinity in them.

    >>> v = VectorState.of_vectors(np.array([[3.0, 4.0], [3.0, 0.0]]))
    >>> v.mean.tolist(), v.variance().tolist(), v.norms.mean
    ([3.0, 2.0], [0.0, 4.0], 4.0)
    """

    kind: ClassVar[str] = "vector"

    n: float
    mean: np.ndarray
    m2: np.ndarray
    norms: Moments = _NO_NORMS
    nulls: float = 0
    misfits: float = 0
    nonfinite: float = 0

    @classmethod
    def empty(cls) -> Self:
        """No rows, of no dimension yet; it merges with any other."""
        return cls(n=0, mean=np.empty(0), m2=np.empty(0))

    @classmethod
    def of(cls, values: Values) -> Self:
        """The state of one batch of a vector column."""
        data, valid = values.data, values.valid
        if valid is None:
            return cls.of_vectors(data)
        nulls = int(np.count_nonzero(~valid)) - values.misfits
        return replace(cls.of_vectors(data[valid]), nulls=nulls, misfits=values.misfits)

    @classmethod
    def of_vectors(cls, vectors: Any) -> Self:
        """The state of an array ``(rows, dimensions)``."""
        data = np.asarray(vectors, dtype=np.float64)
        if data.ndim != 2 or not data.size:
            return cls.empty()
        finite = np.isfinite(data).all(axis=1)
        bad = int(np.count_nonzero(~finite))
        if bad:
            data = data[finite]
        if not data.size:
            return replace(cls.empty(), nonfinite=bad)
        mean = data.mean(axis=0)
        m2 = np.einsum("ij,ij->j", data - mean, data - mean)
        lengths = np.sqrt(np.einsum("ij,ij->i", data, data))
        return cls(n=len(data), mean=mean, m2=m2, norms=Moments.of(lengths), nonfinite=bad)

    def merge(self, other: Self) -> Self:
        """The state of both.

        Raises
        ------
        Incompatible
            the vectors have different dimensions.
        """
        counts = {
            name: getattr(self, name) + getattr(other, name) for name in ("nulls", "misfits", "nonfinite")
        }
        if not (self.n and other.n):
            return replace(self if self.n else other, **counts)
        if self.dimensions != other.dimensions:
            raise Incompatible(
                f"Vectors of {self.dimensions} and of {other.dimensions} dimensions cannot be compared.",
                "Was the model that makes the embedding changed? Then take a new baseline.",
            )
        n = self.n + other.n
        gap = other.mean - self.mean
        return replace(
            self,
            n=n,
            mean=self.mean * (self.n / n) + other.mean * (other.n / n),
            m2=self.m2 + other.m2 + gap * gap * (self.n * other.n / n),
            norms=self.norms.merge(other.norms),
            **counts,
        )

    def scaled(self, factor: float) -> Self:
        """Each row weighs *factor*."""
        return replace(
            self,
            n=self.n * factor,
            m2=self.m2 * factor,
            norms=self.norms.scaled(factor),
            nulls=self.nulls * factor,
            misfits=self.misfits * factor,
            nonfinite=self.nonfinite * factor,
        )

    @property
    def dimensions(self) -> int:
        """Length of one vector; 0 when none was seen."""
        return int(self.mean.size)

    @property
    def total(self) -> float:
        """All rows."""
        return self.n + self.nulls + self.misfits + self.nonfinite

    def variance(self, ddof: float = 0) -> np.ndarray:
        """Variance of each dimension ``(dimensions,)``; NaN with no more than *ddof* rows."""
        if self.n <= ddof:
            return np.full(self.dimensions, np.nan)
        return np.maximum(self.m2, 0.0) / (self.n - ddof)

    @property
    def accuracy(self) -> Accuracy:
        """Exact, up to rounding."""
        return Accuracy.exactly()

    def to_payload(self) -> dict[str, Any]:
        """Means, sums of squares, and the moments of the norms."""
        return {
            "n": self.n,
            "mean": self.mean,
            "m2": self.m2,
            "norms": self.norms.to_payload(),
            "nulls": self.nulls,
            "misfits": self.misfits,
            "nonfinite": self.nonfinite,
        }

    @classmethod
    def of_payload(cls, payload: Mapping[str, Any]) -> Self:
        """Read `to_payload`."""
        plain = ("n", "mean", "m2", "nulls", "misfits", "nonfinite")
        return cls(norms=Moments.of_payload(payload["norms"]), **{name: payload[name] for name in plain})
