"""Finding the edges of a column in one pass over batches, however many rows there are.

Never from the first batch: an ordered file would put nearly all later rows into one open bin. A finder takes in
every batch and keeps, in this order, as little as it can:

1. the distinct values with their counts, while they are few (16,384): everything is exact;
2. all values, while they fit in a buffer: the quantiles are exact;
3. beyond that a KLL sketch of the quantiles (the `datasketches` library; where it cannot be installed, `Ladder`), and a Misra-Gries summary of the
   values that are frequent enough for a bin of their own.

Finders merge, and are stored by the codec, so that a cluster's partitions can each have one. Where the rows can
be read again, they are then counted between the edges in a second pass. Where they cannot, `EdgeFinder.histogram`
is what one pass knows: exact in the first two regimes, else with the sketch's error as its slack.

The sketch draws random numbers of its own: in the third regime two runs over the same rows give slightly
different edges. Edges belong to the model and are found once.

References
----------
Z. Karnin, K. Lang, E. Liberty, *Optimal quantile approximation in streams*, FOCS 2016.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf, nan
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from watchkeeper.domain.values import Values
from watchkeeper.errors import Incompatible
from watchkeeper.stats.states.edges import FULL_BINS, Edges
from watchkeeper.stats.states.histogram import Histogram, Tail
from watchkeeper.stats.states.ladder import Ladder

_DISTINCT = 16_384
_HEAVY = 8_192
"""Candidates for heavy values: a value above 1/2048 of the rows is surely among them."""


@dataclass(frozen=True, slots=True, eq=False)
class _Heavy:
    """A Misra-Gries summary over sorted distinct values; a count is too small by at most ``error``."""

    values: NDArray
    counts: NDArray
    error: int = 0

    def with_counts(self, values: NDArray, counts: NDArray, error: int = 0) -> _Heavy:
        """Add the counts of other distinct values."""
        values, counts = _added(self.values, self.counts, values, counts)
        error += self.error
        if len(counts) > _HEAVY:
            taken = int(np.partition(counts, len(counts) - _HEAVY - 1)[len(counts) - _HEAVY - 1])
            keep = counts > taken
            values, counts, error = values[keep], counts[keep] - taken, error + taken
        return _Heavy(values, counts, error)


class EdgeFinder:
    """Looks at every batch of one numeric column, and then knows its edges.

    Parameters
    ----------
    buffer : values that are kept before a sketch takes their place (8 bytes each).
    sketch_k : size of the sketch; its rank error is about 2.8 / sketch_k, in 99% of cases.

    >>> finder = EdgeFinder()
    >>> finder.add(np.array([3.0, 1.0, 3.0, np.nan]))
    >>> finder.edges().cuts.round(6), finder.rows
    (array([1., 1., 3., 3.]), 4)
    """

    kind: ClassVar[str] = "edge_finder"

    def __init__(self, *, buffer: int = 1 << 20, sketch_k: int = 8_192) -> None:
        self.buffer, self.sketch_k = buffer, sketch_k
        self.nulls = self.nans = self.pos_inf = self.neg_inf = 0
        self.n = 0
        self._dtype: Any = None
        self._low: Any = None
        self._high: Any = None
        self._distinct: tuple[NDArray, NDArray] | None = None
        self._chunks: list[NDArray] | None = None
        self._unsorted = False
        self._sketch: Any = None
        self._heavy = _Heavy(np.empty(0), np.empty(0, np.int64))

    # -- taking rows in

    def update(self, values: Values) -> None:
        """Take in one batch of the column."""
        data = values.data if values.valid is None else values.data[values.valid]
        self.add(data, nulls=values.rows - len(data))

    def add(self, data: NDArray, *, nulls: int = 0) -> None:
        """Take in numbers ``(rows,)`` without nulls, in any order."""
        self.add_sorted(np.sort(data), nulls=nulls)

    def add_sorted(self, data: NDArray, *, nulls: int = 0) -> None:
        """Take in sorted numbers, NaN last."""
        self.nulls += nulls
        if data.dtype.kind == "f" and len(data):
            first_nan = int(np.searchsorted(data, nan)) if data[-1] != data[-1] else len(data)
            first_inf = int(np.searchsorted(data[:first_nan], inf))
            first = int(np.searchsorted(data[:first_inf], -inf, side="right"))
            self.nans += len(data) - first_nan
            self.pos_inf += first_nan - first_inf
            self.neg_inf += first
            data = data[first:first_inf]
        if not len(data):
            return
        data = self._in_one_type(data)
        self.n += len(data)
        low, high = data[0], data[-1]
        self._low = low if self._low is None else min(self._low, low)
        self._high = high if self._high is None else max(self._high, high)
        if self._sketch is not None:
            self._sketch_in(data)
        elif self._chunks is not None:
            self._chunks.append(data)
            self._unsorted = True
            self._shrink()
        else:
            self._count_in(*_run_lengths(data))

    def _count_in(self, values: NDArray, counts: NDArray) -> None:
        known = self._distinct or (values[:0], counts[:0])
        self._distinct = _added(*known, values, counts)
        if len(self._distinct[0]) <= _DISTINCT:
            return
        values, counts = self._distinct
        self._distinct = None
        if self.n <= self.buffer:
            self._chunks = [np.repeat(values, counts)]
        else:
            self._weighted_in(values, counts)

    def _shrink(self) -> None:
        if self._chunks is not None and self.n > self.buffer:
            chunks, self._chunks = self._chunks, None
            for chunk in chunks:
                self._sketch_in(np.sort(chunk))

    def _sketch_in(self, data: NDArray) -> None:
        self._opened().update(data.astype(np.float64, copy=False))
        values, counts = _run_lengths(data)
        self._heavy = self._heavy.with_counts(values, counts)

    def _weighted_in(self, values: NDArray, counts: NDArray) -> None:
        """Counted values into the sketch, which has no weights: repeated, a bounded number at a time."""
        sketch = self._opened()
        self._heavy = self._heavy.with_counts(values, counts)
        step = 1 << 20
        below = np.concatenate([[0], np.cumsum(counts)])
        for start in range(0, int(below[-1]), step):
            end = min(start + step, int(below[-1]))
            inside = np.clip(below, start, end)
            sketch.update(np.repeat(values.astype(np.float64), np.diff(inside)))

    def _opened(self) -> Any:
        if self._sketch is None:
            try:
                from datasketches import kll_doubles_sketch

                self._sketch = kll_doubles_sketch(self.sketch_k)
            except ImportError:
                self._sketch = Ladder(self.sketch_k)
            self._heavy = _Heavy(np.empty(0, self._dtype), np.empty(0, np.int64))
        return self._sketch

    def _in_one_type(self, data: NDArray) -> NDArray:
        """int64 and uint64 stay; where a column changes its type between batches all become float64."""
        if data.dtype not in (np.float64, np.int64, np.uint64):
            data = data.astype(np.int64 if data.dtype.kind in "iub" else np.float64)
        if self._dtype is None or self._dtype == data.dtype:
            self._dtype = data.dtype
            return data
        self._dtype = np.dtype(np.float64)
        if self._distinct is not None:
            values, counts = self._distinct
            floats, owner = np.unique(values.astype(np.float64), return_inverse=True)
            self._distinct = floats, np.bincount(owner, counts).astype(np.int64)
        if self._chunks is not None:
            self._chunks = [chunk.astype(np.float64) for chunk in self._chunks]
        floats = self._heavy.values.astype(np.float64)
        self._heavy = _Heavy(*_added(floats[:0], self._heavy.counts[:0], floats, self._heavy.counts))
        return data.astype(np.float64)

    def merge(self, other: EdgeFinder) -> EdgeFinder:
        """Return a finder that has seen the rows of both."""
        both = EdgeFinder(buffer=self.buffer, sketch_k=self.sketch_k)
        for one in (self, other):
            one._pour_into(both)
        return both

    def _pour_into(self, target: EdgeFinder) -> None:
        for name in ("nulls", "nans", "pos_inf", "neg_inf"):
            setattr(target, name, getattr(target, name) + getattr(self, name))
        if not self.n:
            return
        if self._chunks is not None:
            for chunk in self._chunks:
                target.add_sorted(np.sort(chunk))
            return
        values = self._distinct[0] if self._distinct is not None else self._heavy.values
        ends = target._in_one_type(np.array([self._low, self._high], dtype=self._dtype))
        values = values.astype(ends.dtype)
        target.n += self.n
        target._low = ends[0] if target._low is None else min(target._low, ends[0])
        target._high = ends[1] if target._high is None else max(target._high, ends[1])
        if self._distinct is not None:
            counts = self._distinct[1]
            if target._sketch is not None:
                target._weighted_in(values, counts)
            elif target._chunks is not None:
                if target.n <= target.buffer:
                    target._chunks.append(np.repeat(values, counts))
                    target._unsorted = True
                else:
                    target._shrink()
                    target._weighted_in(values, counts)
            else:
                target._count_in(values, counts)
            return
        if target._sketch is None:
            self._open_with_what_was_kept(target)
        if type(target._sketch) is not type(self._sketch):
            raise Incompatible(
                "Two machines sketched the quantiles with different libraries, so they cannot be joined.",
                "Use one Python version on all of them (the datasketches library is not there for all).",
            )
        target._sketch.merge(self._sketch)
        target._heavy = target._heavy.with_counts(values, self._heavy.counts, self._heavy.error)

    @staticmethod
    def _open_with_what_was_kept(target: EdgeFinder) -> None:
        target._opened()
        if target._distinct is not None:
            counted, target._distinct = target._distinct, None
            target._weighted_in(*counted)
        if target._chunks is not None:
            chunks, target._chunks = target._chunks, None
            for chunk in chunks:
                target._sketch_in(np.sort(chunk))

    # -- what it knows

    @property
    def rows(self) -> int:
        """All rows, nulls and what is not finite included."""
        return self.n + self.nulls + self.nans + self.pos_inf + self.neg_inf

    @property
    def rank_error(self) -> float:
        """How far a quantile's share may be off: 0, or the sketch's error (held in 99% of cases)."""
        return 0.0 if self._sketch is None else float(self._sketch.normalized_rank_error(False))

    def edges(self) -> Edges:
        """The edges of all rows so far."""
        if self._sketch is None:
            if self._chunks is not None:
                return Edges.of_sorted(self._all_sorted())
            values, counts = self._distinct or (np.empty(0, self._dtype), np.empty(0, np.int64))
            return Edges.of_counts(values, counts)
        ranks = np.arange(1, FULL_BINS) / FULL_BINS
        at = self._as_column(np.array(self._sketch.get_quantiles(ranks.tolist())))
        # Counted too low by at most the error: so no heavy value is missed, and hardly one too many taken.
        heavy = self._heavy.values[(self._heavy.counts + self._heavy.error) * FULL_BINS > self.n]
        return Edges.of_quantiles(at, heavy=heavy, low=self._low, high=self._high)

    def histogram(self, edges: Edges | None = None) -> Histogram:
        """The rows so far, counted between *edges* (this finder's own, if none are given)."""
        edges = edges or self.edges()
        apart = {n: getattr(self, n) for n in ("nulls", "nans", "pos_inf", "neg_inf")}
        if self._sketch is None:
            if self._chunks is not None:
                h = Histogram.of_sorted(self._all_sorted(), edges)
                return replace(h, **apart)
            values, counts = self._distinct or (np.empty(0), np.empty(0, np.int64))
            return Histogram.of_weighted(values, counts, edges, **apart)
        cuts = edges.cuts.astype(np.float64)
        split = np.unique(cuts)
        shares = np.array(self._sketch.get_cdf(split.tolist()))[np.searchsorted(split, cuts)]
        below = np.concatenate([[0], np.rint(shares * self.n), [self.n]]).astype(np.int64)
        counts = np.diff(np.maximum.accumulate(below))
        return Histogram(
            edges,
            counts,
            **apart,
            low=self._tail(0.0, counts[0].item(), float(self._low), None),
            high=self._tail(1 - counts[-1] / self.n, counts[-1].item(), None, float(self._high)),
            slack=self.rank_error,
        )

    def _all_sorted(self) -> NDArray:
        if self._chunks is None:
            raise TypeError("this finder has counts or a sketch, not the values")
        if self._unsorted:
            self._chunks, self._unsorted = [np.sort(np.concatenate(self._chunks))], False
        return self._chunks[0]

    def _tail(self, from_share: float, count: int, low: float | None, high: float | None) -> Tail:
        if not count:
            return Tail()
        share = count / self.n
        ranks = from_share + share * (np.arange(64) + 0.5) / 64
        inside = np.array(self._sketch.get_quantiles(np.clip(ranks, 0, 1).tolist()))
        least = float(inside[0]) if low is None else low
        most = float(inside[-1]) if high is None else high
        return Tail(count, float(inside.mean()) * count, least, most)

    def _as_column(self, values: NDArray) -> NDArray:
        if self._dtype.kind == "f":
            return values
        limits = np.iinfo(self._dtype)
        # A float above the largest integer would wrap; the ends are known exactly.
        whole = [min(max(int(v), limits.min), limits.max) for v in np.rint(values).tolist()]
        return np.array(whole, dtype=self._dtype)

    # -- storing it

    def to_payload(self) -> dict[str, Any]:
        """Everything; the sketch as its library's bytes."""
        return {
            "buffer": self.buffer,
            "sketch_k": self.sketch_k,
            "apart": [self.nulls, self.nans, self.pos_inf, self.neg_inf],
            "n": self.n,
            "range": None if self._low is None else np.array([self._low, self._high], dtype=self._dtype),
            "distinct": None if self._distinct is None else list(self._distinct),
            "values": None if self._chunks is None else self._all_sorted(),
            "sketch": None if self._sketch is None else _stored(self._sketch),
            "heavy": [self._heavy.values, self._heavy.counts, self._heavy.error],
        }

    @classmethod
    def of_payload(cls, payload: Mapping[str, Any]) -> Self:
        """Read `to_payload`."""
        out = cls(buffer=payload["buffer"], sketch_k=payload["sketch_k"])
        out.nulls, out.nans, out.pos_inf, out.neg_inf = payload["apart"]
        out.n = payload["n"]
        if payload["range"] is not None:
            out._dtype = payload["range"].dtype
            out._low, out._high = payload["range"]
        if payload["distinct"] is not None:
            values, counts = payload["distinct"]
            out._distinct = values, counts
        if payload["values"] is not None:
            out._chunks = [payload["values"]]
        if payload["sketch"] is not None:
            out._sketch = _read(payload["sketch"])
        out._heavy = _Heavy(*payload["heavy"])
        return out


def _stored(sketch: Any) -> Any:
    return sketch.to_payload() if isinstance(sketch, Ladder) else sketch.serialize()


def _read(raw: Any) -> Any:
    if not isinstance(raw, bytes):
        return Ladder.of_payload(raw)
    try:
        from datasketches import kll_doubles_sketch
    except ImportError as cause:
        raise Incompatible(
            "The quantiles were sketched with the datasketches library, which is not installed here.",
            "Use a Python version that has it: up to 3.13 at the time of writing.",
        ) from cause
    return kll_doubles_sketch.deserialize(raw)


def _run_lengths(data: NDArray) -> tuple[NDArray, NDArray]:
    """Distinct values of sorted *data*, and how often each occurs."""
    if not len(data):
        return data, np.empty(0, np.int64)
    first = np.flatnonzero(np.concatenate([[True], data[1:] != data[:-1]]))
    return data[first], np.diff(np.append(first, len(data)))


def _added(
    values: NDArray, counts: NDArray, more_values: NDArray, more_counts: NDArray
) -> tuple[NDArray, NDArray]:
    """Counts of distinct sorted values, added up."""
    if not len(values):
        return more_values, more_counts
    if not len(more_values):
        return values, counts
    both = np.concatenate([values, more_values])
    weight = np.concatenate([counts, more_counts])
    order = np.argsort(both, kind="stable")
    both, weight = both[order], weight[order]
    first = np.flatnonzero(np.concatenate([[True], both[1:] != both[:-1]]))
    return both[first], np.add.reduceat(weight, first)
