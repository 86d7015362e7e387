r"""How many distinct values: exact while they are few, else estimated from the smallest hashes.

Formula
-------
The k smallest of the hashes of all values are kept. When there are k of them and the largest, as a share of
the range of hashes, is u, then about :math:`(k - 1) / u` values are distinct, with relative standard error
:math:`1/\sqrt{k - 2}` (1.6% for k = 4,096).

References
----------
Z. Bar-Yossef et al., *Counting distinct elements in a data stream*, RANDOM 2002.
K. Beyer et al., *On synopses for distinct-value estimation under multiset operations*, SIGMOD 2007.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any, ClassVar, Self

import numpy as np

from watchkeeper.errors import Incompatible
from watchkeeper.stats.states.state import Accuracy


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Distinct:
    """The smallest distinct hashes ``(<=k,)``, uint64 ascending; nulls are not values.

    >>> Distinct.of(np.array([7, 7, 3], np.uint64)).estimate
    2
    """

    kind: ClassVar[str] = "distinct"

    k: int
    hashes: np.ndarray

    @classmethod
    def empty(cls, *, k: int = 4_096) -> Self:
        """No values."""
        return cls(k=k, hashes=np.empty(0, np.uint64))

    @classmethod
    def of(cls, hashes: Any, *, k: int = 4_096) -> Self:
        """Count the values behind *hashes* ``(rows,)``."""
        ordered = np.sort(np.asarray(hashes, dtype=np.uint64))
        if ordered.size:
            ordered = ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])][:k]
        return cls(k=k, hashes=ordered)

    def merge(self, other: Self) -> Self:
        """Keep the smallest of both.

        Raises
        ------
        Incompatible
            the two keep different numbers of hashes.
        """
        if self.k != other.k:
            raise Incompatible(f"One distinct count keeps {self.k} hashes, the other {other.k}.")
        return replace(self, hashes=np.union1d(self.hashes, other.hashes)[: self.k])

    def scaled(self, factor: float) -> Self:
        """The same: a value that was seen counts once, whatever its rows weigh.

        Under sampled capture this is the number of distinct values *captured*; what was not captured
        cannot be known from it.
        """
        return self

    @property
    def limit(self) -> int:
        """Hashes above this change nothing any more, and need not be offered."""
        return int(self.hashes[-1]) if self.hashes.size >= self.k else 2**64 - 1

    @property
    def estimate(self) -> float:
        """Distinct values; a whole number while exact."""
        if self.hashes.size < self.k:
            return int(self.hashes.size)
        return (self.k - 1) * 2.0**64 / (float(self.hashes[-1]) + 1.0)

    @property
    def accuracy(self) -> Accuracy:
        """Exact below k; otherwise the estimate is within this relative bound 997 times in 1,000."""
        if self.hashes.size < self.k:
            return Accuracy.exactly(of="distinct values")
        return Accuracy.within(3.0 / sqrt(self.k - 2), of="distinct values, relative, in 99.7% of cases")

    def to_payload(self) -> dict[str, Any]:
        """The hashes."""
        return {"k": self.k, "hashes": self.hashes}

    @classmethod
    def of_payload(cls, payload: Mapping[str, Any]) -> Self:
        """Read `to_payload`."""
        return cls(k=payload["k"], hashes=payload["hashes"])
