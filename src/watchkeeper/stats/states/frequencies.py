r"""How often each category occurs: exact up to a cap, and then the rest is one declared bin.

While at most ``cap`` categories occur, every count is exact. Beyond that the state becomes a Misra-Gries summary:
in a merge the ``cap + 1``-th largest count :math:`d` is taken off every category, those that reach zero
lose their name, and what was taken off is counted as *other*. A named count is then too small by at most ``error``,
the sum of all :math:`d`, which is less than :math:`2 n / cap`; no category that holds a larger share is lost.

References
----------
J. Misra, D. Gries, *Finding repeated elements*, Science of Computer Programming 2, 1982.
P. Agarwal et al., *Mergeable summaries*, PODS 2012.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from watchkeeper.domain.schema import Kind
from watchkeeper.domain.values import Values
from watchkeeper.errors import BadInput
from watchkeeper.stats.states.state import Accuracy

CAP = 4_096


@dataclass(frozen=True, kw_only=True)
class Frequencies:
    """Counts by category; ``other`` rows have a value whose name was not kept, ``nulls`` have none.

    >>> f = Frequencies.of_counts({"a": 5, "b": 3}, nulls=2)
    >>> f.n, f.total, f.share("b"), f.top(1)
    (8, 10, 0.375, [('a', 5)])
    >>> f.merge(Frequencies.of_counts({"b": 1, "c": 1})).counts
    {'a': 5, 'b': 4, 'c': 1}
    """

    kind: ClassVar[str] = "frequencies"

    counts: dict[str, float] = field(default_factory=dict)
    other: float = 0
    nulls: float = 0
    cap: int = CAP
    error: float = 0

    @classmethod
    def empty(cls, *, cap: int = CAP) -> Self:
        """No rows."""
        return cls(cap=cap)

    @classmethod
    def of(cls, values: Values, *, cap: int = CAP) -> Self:
        """Count a column: codes, booleans (``"false"``, ``"true"``), or numbers by their shortest name.

        Raises
        ------
        BadInput
            the column is a vector, or of unknown type.
        """
        valid = values.valid
        data = values.data if valid is None else values.data[valid]
        nulls = values.rows - len(data)
        match values.kind:
            case Kind.CATEGORICAL | Kind.TEXT:
                names: Any = values.dictionary
                counts = np.bincount(data, minlength=len(names)) if len(data) else np.zeros(0, np.int64)
            case Kind.BOOLEAN:
                true = int(np.count_nonzero(data))
                names, counts = ("false", "true"), np.array([len(data) - true, true])
            case Kind.NUMERIC | Kind.INTEGER | Kind.DATETIME:
                numbers, counts = np.unique(data, return_counts=True)
                names = [_name(x) for x in numbers.tolist()]
            case _:
                raise BadInput(
                    f"A column of kind {values.kind.value!r} has no frequencies.",
                    'Give it the kind "categorical" in the schema to count its values.',
                )
        return cls._of_arrays(names, counts, nulls=nulls, cap=cap)

    @classmethod
    def of_counts(cls, counts: Mapping[str, float], *, nulls: float = 0, cap: int = CAP) -> Self:
        """From counts that are known."""
        return cls(counts={k: v for k, v in counts.items() if v}, nulls=nulls, cap=cap).capped(cap)

    @classmethod
    def _of_arrays(cls, names: Any, counts: NDArray, *, nulls: int, cap: int) -> Self:
        seen = np.flatnonzero(counts)
        other = error = 0
        if len(seen) > cap:
            order = sorted(seen.tolist(), key=lambda i: (-counts[i], names[i]))
            seen = np.sort(np.array(order[:cap]))
            error = int(counts[order[cap]])
            other = int(counts.sum() - counts[seen].sum())
        named: dict[str, float] = {}
        for i, count in zip(seen.tolist(), counts[seen].tolist()):
            name = names[i]
            named[name] = named.get(name, 0) + count  # a dictionary may hold an entry twice
        return cls(counts=named, other=other, nulls=nulls, cap=cap, error=error)

    def merge(self, other: Self) -> Self:
        """Add the counts up; the smaller cap of the two holds."""
        large, small = (self, other) if len(self.counts) >= len(other.counts) else (other, self)
        counts = dict(large.counts)
        for name, count in small.counts.items():
            counts[name] = counts.get(name, 0) + count
        cap = min(self.cap, other.cap)
        taken: float = 0
        if len(counts) > cap:
            sizes = np.fromiter(counts.values(), np.float64, len(counts))
            at = len(sizes) - cap - 1
            taken = np.partition(sizes, at)[at].item()
            taken = int(taken) if taken == int(taken) else taken
            before = sum(counts.values())
            counts = {name: count - taken for name, count in counts.items() if count > taken}
            lost = before - sum(counts.values())
        else:
            lost = 0
        return replace(
            self,
            counts=counts,
            other=self.other + other.other + lost,
            nulls=self.nulls + other.nulls,
            cap=cap,
            error=self.error + other.error + taken,
        )

    def scaled(self, factor: float) -> Self:
        """Each row weighs *factor*."""
        return replace(
            self,
            counts={name: count * factor for name, count in self.counts.items()},
            other=self.other * factor,
            nulls=self.nulls * factor,
            error=self.error * factor,
        )

    def capped(self, cap: int) -> Self:
        """The same with at most *cap* names: the most frequent ones, their counts as they are."""
        if len(self.counts) <= cap:
            return replace(self, cap=cap)
        order = sorted(self.counts, key=lambda name: (-self.counts[name], name))
        kept = set(order[:cap])
        counts = {name: count for name, count in self.counts.items() if name in kept}
        lost = sum(self.counts.values()) - sum(counts.values())
        error = self.error + self.counts[order[cap]]
        return replace(self, counts=counts, other=self.other + lost, cap=cap, error=error)

    @property
    def accuracy(self) -> Accuracy:
        """Exact until names are lost; then a named share is too small by at most the bound."""
        return Accuracy.within(self.error / self.n if self.error else 0.0, of="share of a category")

    @property
    def n(self) -> float:
        """Rows with a value, named or not."""
        return sum(self.counts.values()) + self.other

    @property
    def total(self) -> float:
        """All rows."""
        return self.n + self.nulls

    def share(self, name: str) -> float:
        """Share of the non-null rows; 0 for a category that is not named (or with no rows)."""
        return self.counts.get(name, 0) / self.n if self.n else 0.0

    def top(self, k: int) -> list[tuple[str, float]]:
        """The *k* most frequent categories with their counts; equal counts in the order of their names."""
        return sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))[:k]

    def to_payload(self) -> dict[str, Any]:
        """Names in order, and their counts."""
        names = sorted(self.counts)
        return {
            "names": names,
            "counts": np.array([self.counts[name] for name in names]),
            "other": self.other,
            "nulls": self.nulls,
            "cap": self.cap,
            "error": self.error,
        }

    @classmethod
    def of_payload(cls, payload: Mapping[str, Any]) -> Self:
        """Read `to_payload`."""
        return cls(
            counts=dict(zip(payload["names"], payload["counts"].tolist(), strict=True)),
            other=payload["other"],
            nulls=payload["nulls"],
            cap=payload["cap"],
            error=payload["error"],
        )


def _name(number: float) -> str:
    whole = isinstance(number, int) or (number == number and abs(number) < 2**53 and number == int(number))
    return str(int(number)) if whole else repr(number)
