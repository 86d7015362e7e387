"""A sample of whole rows that merges and can be drawn again: the rows whose id has the smallest hash.

The hash of an id is as good as a random number, but the same everywhere: so every process keeps the same rows,
the sample of a day is the sample of its hours' samples, and a row keeps its place however often it is read.
Rows with the same hash are the same row, and the first one is kept.

References
----------
E. Cohen, H. Kaplan, *Summarizing data using bottom-k sketches*, PODC 2007.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from watchkeeper.errors import Incompatible
from watchkeeper.stats.states.state import Accuracy


def smallest(hashes: np.ndarray, k: int) -> np.ndarray:
    """Places of the *k* smallest distinct hashes, in ascending order of hash; the first of equal ones.

    >>> smallest(np.array([9, 3, 7, 3, 1], dtype=np.uint64), 3)
    array([4, 1, 2])
    """
    places = np.arange(hashes.size)
    if hashes.size > 4 * k:
        # Repeated hashes may leave fewer than k distinct ones below the cut: then look further.
        reach = 2 * k
        while True:
            cut = np.partition(hashes, reach)[reach]
            places = np.flatnonzero(hashes <= cut)
            if places.size == hashes.size or np.unique(hashes[places]).size >= k:
                break
            reach = min(4 * reach, hashes.size - 1)
    _, first = np.unique(hashes[places], return_index=True)
    return places[first[:k]]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Sample:
    """At most ``k`` rows: ``hashes`` ``(m,)`` uint64 ascending, and ``columns`` name -> array ``(m, ...)``.

    Categories and texts are object arrays of str, with None for null; numbers are float64 (NaN for null) or
    whole; vectors are ``(m, dimensions)``. ``rows`` is how many rows the sample stands for.

    >>> s = Sample.of(np.array([5, 2, 9], np.uint64), {"age": np.array([31, 42, 53])}, 2)
    >>> s.columns["age"].tolist(), s.rows
    ([42, 31], 3)
    """

    kind: ClassVar[str] = "sample"

    k: int
    hashes: np.ndarray
    columns: dict[str, np.ndarray]
    rows: float = 0

    @classmethod
    def empty(cls, k: int) -> Self:
        """No rows; it has no columns yet, and merges with any sample."""
        return cls(k=k, hashes=np.empty(0, np.uint64), columns={})

    @classmethod
    def of(cls, hashes: Any, columns: Mapping[str, np.ndarray], k: int) -> Self:
        """Keep the *k* rows of smallest hash out of a batch.

        Raises
        ------
        Incompatible
            a column is not as long as *hashes*.
        """
        hashes = np.asarray(hashes, dtype=np.uint64)
        for name, column in columns.items():
            if len(column) != hashes.size:
                raise Incompatible(f"The column {name!r} has {len(column)} rows, the ids {hashes.size}.")
        chosen = smallest(hashes, k)
        return cls(
            k=k,
            hashes=hashes[chosen],
            columns={name: np.asarray(column)[chosen] for name, column in columns.items()},
            rows=hashes.size,
        )

    def merge(self, other: Self) -> Self:
        """Keep the smallest hashes of both; the smaller ``k`` of the two holds.

        Raises
        ------
        Incompatible
            the two have different columns.
        """
        k, rows = min(self.k, other.k), self.rows + other.rows
        if not other.hashes.size or not self.hashes.size:
            one = self if self.hashes.size else other
            return replace(one, k=k, rows=rows)._cut()
        if self.columns.keys() != other.columns.keys():
            odd = sorted(self.columns.keys() ^ other.columns.keys())
            raise Incompatible(f"Two samples hold different columns; only one has {odd[0]!r}.")
        hashes = np.concatenate([self.hashes, other.hashes])
        chosen = smallest(hashes, k)
        columns = {}
        for name, column in self.columns.items():
            further = other.columns[name]
            if column.shape[1:] != further.shape[1:]:
                raise Incompatible(
                    f"The vectors of {name!r} have {column.shape[1:]} and {further.shape[1:]} dimensions."
                )
            columns[name] = np.concatenate([column, further])[chosen]
        return replace(self, k=k, hashes=hashes[chosen], columns=columns, rows=rows)

    def scaled(self, factor: float) -> Self:
        """The same rows, which stand for *factor* times as many."""
        return replace(self, rows=self.rows * factor)

    @property
    def size(self) -> int:
        """Rows that are kept."""
        return int(self.hashes.size)

    @property
    def limit(self) -> int:
        """Rows with a larger hash than this need not be offered: the sample is full below it."""
        return int(self.hashes[-1]) if self.hashes.size >= self.k else 2**64 - 1

    @property
    def accuracy(self) -> Accuracy:
        """Exact while every row is kept; a sample has no bound that always holds."""
        return Accuracy.exactly() if self.size >= self.rows else Accuracy.within(None, of="row")

    def _cut(self) -> Self:
        if self.hashes.size <= self.k:
            return self
        columns = {name: column[: self.k] for name, column in self.columns.items()}
        return replace(self, hashes=self.hashes[: self.k], columns=columns)

    def to_payload(self) -> dict[str, Any]:
        """Hashes and columns."""
        return {"k": self.k, "hashes": self.hashes, "columns": self.columns, "rows": self.rows}

    @classmethod
    def of_payload(cls, payload: Mapping[str, Any]) -> Self:
        """Read `to_payload`."""
        return cls(
            k=payload["k"],
            hashes=payload["hashes"],
            columns=dict(payload["columns"]),
            rows=payload["rows"],
        )
