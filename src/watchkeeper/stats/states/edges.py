r"""Where the bins of a column lie: cuts that belong to the model, not to one batch.

The cuts are the quantiles :math:`i / 2048` of the data that they were made from. A value that holds more than
1/2048 of the rows gets a bin of its own, ``[v, next(v))``, an *atom*: zero-inflated and discrete columns are
counted, not smeared. With at most 2,048 distinct values every one is an atom, and distances are exact.

Each cut has a *level*: the quantile :math:`i/2048` in lowest terms is :math:`j/2^{level}`. The cuts up to level 8
are the 256-bin edges, those up to level 6 the 64-bin edges: so a histogram coarsens without error, and what was
coarsened for storage compares with what was counted coarsely. A value that covers several quantiles takes the two
lowest levels among them for the two sides of its atom. (Level 12: an atom that only the full edges have.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b
from math import inf
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

FULL_BINS = 2_048
LEVELS = 11
"""2,048 is two to the eleventh."""
_FULL_ONLY = LEVELS + 1
_QUANTILE_LEVEL = np.array(
    [LEVELS - ((i & -i).bit_length() - 1) for i in range(1, FULL_BINS)], dtype=np.uint8
)
"""Level of the cut at quantile (index + 1) / 2048."""


@dataclass(frozen=True, eq=False)
class Edges:
    """Where the bins of one column lie.

    ``cuts`` is float64, int64 or uint64 ``(k,)``, strictly rising: ``k + 1`` bins. ``level`` is uint8 ``(k,)``.
    ``exact``: every distinct value of the data that they were made from has a bin of its own. ``low`` and
    ``high`` are the smallest and largest of these values: rows beyond them are counted as *outside*.

    >>> edges = Edges.of_values(np.array([1, 2, 2, 5]))
    >>> edges.cuts, edges.exact
    (array([1, 2, 3, 5, 6]), True)
    >>> Edges.of_values(np.linspace(0, 1, 100_001)).coarsen(4).cuts
    array([0.25, 0.5 , 0.75])
    """

    kind: ClassVar[str] = "edges"

    cuts: NDArray
    level: NDArray[np.uint8]
    exact: bool = False
    low: float | int | None = None
    high: float | int | None = None
    _coarser: dict[int, Edges] = field(init=False, repr=False, default_factory=dict)

    # -- making them

    @classmethod
    def of_values(cls, values: ArrayLike) -> Self:
        """Cuts at the quantiles of *values* ``(rows,)``; NaN and infinities are left out."""
        data = as_numbers(values)
        if data.dtype.kind == "f":
            data = data[np.isfinite(data)]
        return cls.of_sorted(np.sort(data))

    @classmethod
    def of_sorted(cls, data: NDArray) -> Self:
        """The same for finite values that are sorted already."""
        n = len(data)
        if n == 0:
            return cls.of_counts(data, np.zeros(0, np.int64))
        new = np.flatnonzero(data[1:] != data[:-1]) + 1
        if len(new) < FULL_BINS:
            first = np.concatenate([[0], new])
            return cls.of_counts(data[first], np.diff(np.concatenate([first, [n]])))
        ranks = np.arange(1, FULL_BINS) * n // FULL_BINS
        at = data[ranks]
        # A run longer than n / 2048 covers a quantile, so every heavy value is among the cuts.
        counts = np.searchsorted(data, at, side="right") - np.searchsorted(data, at, side="left")
        return cls._of_quantiles(at, counts * FULL_BINS > n, data[0], data[-1])

    @classmethod
    def of_counts(cls, values: NDArray, counts: NDArray) -> Self:
        """Cuts for *values* ``(d,)``, distinct and sorted, that occur *counts* times each.

        With at most 2,048 of them, an atom for every one; with more, the same as `of_values` of all rows.
        """
        values = as_numbers(values)
        n = int(counts.sum())
        ranks = np.arange(1, FULL_BINS) * n // FULL_BINS
        owner = np.searchsorted(np.cumsum(counts), ranks, side="right") if n else ranks[:0]
        if len(values) > FULL_BINS:
            return cls._of_quantiles(values[owner], counts[owner] * FULL_BINS > n, values[0], values[-1])
        level = np.full(len(values), _FULL_ONLY, np.uint8)
        second = level.copy()
        if n:
            _lowest_two(owner, _QUANTILE_LEVEL, level, second)
        cuts, levels = _with_next(values, level, values, second)
        ends = (values[0].item(), values[-1].item()) if len(values) else (None, None)
        return cls(cuts, levels, exact=True, low=ends[0], high=ends[1])

    @classmethod
    def of_quantiles(
        cls, quantiles: ArrayLike, *, heavy: ArrayLike = (), low: float | int, high: float | int
    ) -> Self:
        """Cuts at *quantiles* ``(2047,)`` (of i/2048, not falling), and an atom for each *heavy* value."""
        at = as_numbers(quantiles)
        if len(at) != FULL_BINS - 1:
            raise ValueError(f"needs {FULL_BINS - 1} quantiles, got {len(at)}")
        wanted = np.asarray(heavy, dtype=at.dtype)
        edges = cls._of_quantiles(at, np.isin(at, wanted), low, high)
        missed = np.setdiff1d(wanted, at)
        if not len(missed):
            return edges
        level_of_missed = np.full(len(missed), _FULL_ONLY, np.uint8)
        atoms, levels = _with_next(missed, level_of_missed, missed, level_of_missed)
        cuts, level = _joined([(edges.cuts, edges.level), (atoms, levels)])
        return replace(edges, cuts=cuts, level=level)

    @classmethod
    def _of_quantiles(cls, at: NDArray, is_heavy: NDArray, low: Any, high: Any) -> Self:
        values, owner = np.unique(at, return_inverse=True)
        level = np.full(len(values), _FULL_ONLY, np.uint8)
        second = level.copy()
        _lowest_two(owner, _QUANTILE_LEVEL, level, second)
        heavy = np.zeros(len(values), bool)
        heavy[owner[is_heavy]] = True
        cuts, levels = _with_next(values, level, values[heavy], second[heavy])
        return cls(cuts, levels, exact=False, low=_plain(low), high=_plain(high))

    # -- what they are

    @property
    def bins(self) -> int:
        """Number of bins, the two open ones included."""
        return len(self.cuts) + 1

    @cached_property
    def digest(self) -> str:
        """16 hex digits of the content: equal exactly when the edges are the same."""
        h = blake2b(digest_size=8)
        h.update(f"{self.cuts.dtype.str.lstrip('<>=')} {self.exact} {self.low!r} {self.high!r}".encode())
        h.update(self.cuts.astype(self.cuts.dtype.newbyteorder("<")).tobytes())
        h.update(self.level.tobytes())
        return h.hexdigest()

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Edges) and self.digest == other.digest)

    def __hash__(self) -> int:
        return hash(self.digest)

    @cached_property
    def atoms(self) -> NDArray[np.bool_]:
        """Which bins ``(bins,)`` can hold one value only."""
        out = np.zeros(self.bins, bool)
        if len(self.cuts) > 1:
            out[1:-1] = self.cuts[1:] == _next(self.cuts[:-1])
        return out

    def coarsen(self, bins: int) -> Edges:
        """The edges of at most *bins* bins, a power of two (other numbers are taken down to one).

        Every cut of the result is one of ours. Edges that have no more bins already, or no more distinct values
        (gaps between them are not counted), are returned as they are.
        """
        if bins >= FULL_BINS or self.bins <= bins or (self.exact and self.atoms.sum() <= bins):
            return self
        level = max(bins, 1).bit_length() - 1
        if level not in self._coarser:
            keep = self.level <= level
            self._coarser[level] = Edges(self.cuts[keep], self.level[keep], False, self.low, self.high)
        return self._coarser[level]

    def to_payload(self) -> dict[str, Any]:
        """Cuts, levels and range."""
        return {
            "cuts": self.cuts,
            "level": self.level,
            "exact": self.exact,
            "low": self.low,
            "high": self.high,
        }

    @classmethod
    def of_payload(cls, payload: Mapping[str, Any]) -> Self:
        """Read `to_payload`."""
        return cls(
            payload["cuts"], payload["level"], payload["exact"], payload.get("low"), payload.get("high")
        )

    # -- counting

    def without_rounding(self, data: NDArray) -> NDArray:
        """Sorted *data* in which what single precision made of a value with a bin of its own is that value again.

        Training rows are often float64 and a service's float32, or the other way round: 0.1 and 0.10000000149 are
        then one value. Only values that have no bin of their own are taken for another.

        >>> Edges.of_values([0.1, 0.5]).without_rounding(np.array([0.1, 0.2], np.float32).astype(float))
        array([0.1, 0.2])
        """
        atoms, low, high = self._single_precision
        if not atoms.size or data.dtype.kind != "f" or not data.size:
            return data
        first, last = np.searchsorted(data, low), np.searchsorted(data, high, side="right")
        own = np.searchsorted(data, atoms, side="right") - np.searchsorted(data, atoms)
        own = np.where((low <= atoms) & (atoms <= high), own, 0)
        rounded = np.flatnonzero(last - first > own)
        if not rounded.size:
            return data
        data = data.astype(np.float64)
        for i in rounded.tolist():
            data[first[i] : last[i]] = atoms[i]
        return np.sort(data)

    @cached_property
    def _single_precision(self) -> tuple[NDArray, NDArray, NDArray]:
        """Values with a bin of their own, and the range of float64 that is one with each in single precision."""
        none = np.empty(0)
        if self.cuts.dtype.kind != "f":
            return none, none, none
        atoms = self.cuts[:-1][self.atoms[1:-1]]
        with np.errstate(over="ignore"):
            rounded = atoms.astype(np.float32)
        wide = rounded.astype(np.float64)
        normal = np.abs(wide) >= np.finfo(np.float32).tiny  # smaller ones, and 0, are rounded by more
        if not atoms.size or (wide == atoms).all():  # they may be rounded themselves: all that rounds to them
            with np.errstate(over="ignore"):
                below, above = (
                    np.nextafter(rounded, np.float32(end)).astype(np.float64) for end in (-inf, inf)
                )
            low, high = np.nextafter((below + wide) / 2, inf), np.nextafter((wide + above) / 2, -inf)
            usable = np.isfinite(low) & np.isfinite(high) & normal
            return atoms[usable], low[usable], high[usable]
        _, place, times = np.unique(wide, return_inverse=True, return_counts=True)
        shared = times[place] > 1
        usable = (wide != atoms) & np.isfinite(wide) & normal & ~shared & ~np.isin(wide, atoms)
        return atoms[usable], wide[usable], wide[usable]

    def starts_in(self, data: NDArray) -> NDArray[np.intp]:
        """Where each bin after the first begins in sorted, finite *data*: searches cuts in data, ``(k,)``.

        Integers are compared as integers with integer cuts, whatever their signs and widths.
        """
        cuts = self.cuts
        if data.dtype == cuts.dtype:
            return np.searchsorted(data, cuts)
        if (
            data.dtype.kind == "f"
        ):  # x >= c for an integer c: compare with the least float that is not below c
            floats = cuts.astype(np.float64)
            short = _as_python(floats) < _as_python(cuts) if cuts.dtype.kind in "iu" else floats < cuts
            return np.searchsorted(data, np.where(short, np.nextafter(floats, inf), floats))
        if cuts.dtype.kind == "f":
            return np.searchsorted(data.astype(np.float64), cuts)
        if data.dtype.kind == "u":  # cuts are int64: a negative one lies before everything
            at = np.searchsorted(data, np.maximum(cuts, 0).astype(np.uint64))
            return np.where(cuts < 0, 0, at)
        beyond = cuts > np.uint64(2**63 - 1)
        at = np.searchsorted(data, np.where(beyond, 0, cuts).astype(np.int64))
        return np.where(beyond, len(data), at)


# -- numbers ----------------------------------------------------------------------------------------------


def as_numbers(values: ArrayLike) -> NDArray:
    """Float64, int64 or uint64."""
    data = np.asarray(values)
    if data.dtype in (np.float64, np.int64, np.uint64):
        return data
    return data.astype(np.int64 if data.dtype.kind in "iub" else np.float64)


def _plain(value: Any) -> float | int:
    return value.item() if isinstance(value, np.generic) else value


def _as_python(values: NDArray) -> NDArray:
    """Python's numbers, which compare integers with floats exactly."""
    out = np.empty(len(values), dtype=object)
    out[:] = values.tolist()
    return out


def _next(values: NDArray) -> NDArray:
    """The least number of this type above each value; a value with none above it stays."""
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):
            above = np.nextafter(values, inf)
        return np.where(np.isinf(above), values, above)
    return values + (values < np.iinfo(values.dtype).max).astype(values.dtype)


def _lowest_two(owner: NDArray, levels: NDArray, first: NDArray, second: NDArray) -> None:
    """For each owner the lowest and second lowest of the levels that it owns, in place."""
    order = np.lexsort((levels, owner))
    owned, sorted_levels = owner[order], levels[order]
    heads = np.flatnonzero(np.concatenate([[True], owned[1:] != owned[:-1]]))
    first[owned[heads]] = sorted_levels[heads]
    runners_up = heads[np.diff(np.concatenate([heads, [len(owned)]])) > 1] + 1
    second[owned[runners_up]] = sorted_levels[runners_up]


def _with_next(
    values: NDArray, level: NDArray, atoms: NDArray, atom_level: NDArray
) -> tuple[NDArray, NDArray]:
    """Cuts at *values*, and at the next number after each of *atoms*; the lower level wins where they meet."""
    after = _next(atoms)
    grows = after > atoms
    return _joined([(values, level), (after[grows], atom_level[grows])])


def _joined(parts: list[tuple[NDArray, NDArray]]) -> tuple[NDArray, NDArray]:
    cuts = np.concatenate([c for c, _ in parts])
    levels = np.concatenate([level for _, level in parts])
    order = np.lexsort((levels, cuts))
    cuts, levels = cuts[order], levels[order]
    keep = np.ones(len(cuts), bool)
    keep[1:] = cuts[1:] != cuts[:-1]
    return cuts[keep], levels[keep].astype(np.uint8)
