r"""A column's distribution as counts between the cuts of the model's `Edges`.

Binning
-------
Bin :math:`b` holds the values in :math:`[c_{b-1}, c_b)`; the first and the last bin are open. Nulls, NaN and the
two infinities are counted apart, so that a surge of any of them is seen as what it is.

What is lost
------------
Inside a bin that is not an atom, positions are gone: a distribution function read from the histogram, and so a
Kolmogorov-Smirnov distance, is off by at most the share of the fullest such bin (`Histogram.fullest_share`). The
open bins keep count, sum, minimum and maximum, so that means and Wasserstein distances stay right when the data
leaves the range that the cuts were made for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf, nan
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from watchkeeper.errors import Incompatible
from watchkeeper.stats.states.edges import LEVELS, Edges, as_numbers
from watchkeeper.stats.states.state import Accuracy


@dataclass(frozen=True, slots=True)
class Tail:
    """An open bin: what is in it, and how much of that lies outside of the range the edges were made for."""

    count: float = 0
    sum: float = 0.0
    min: float = inf
    max: float = -inf
    outside: float = 0

    def merge(self, other: Tail) -> Tail:
        """Both."""
        if not other.count:
            return self
        if not self.count:
            return other
        return Tail(
            self.count + other.count,
            self.sum + other.sum,
            min(self.min, other.min),
            max(self.max, other.max),
            self.outside + other.outside,
        )

    def scaled(self, factor: float) -> Tail:
        """Each row weighs *factor*."""
        return replace(self, count=self.count * factor, sum=self.sum * factor, outside=self.outside * factor)

    @property
    def mean(self) -> float:
        """Mean, held within the range against rounding; NaN when empty."""
        return min(max(self.sum / self.count, self.min), self.max) if self.count else nan

    def to_list(self) -> list[float]:
        """Five numbers."""
        return [self.count, self.sum, self.min, self.max, self.outside]


@dataclass(frozen=True, eq=False)
class Histogram:
    """Counts between `Edges`; ``counts`` is int64 ``(bins,)``, or float64 after `scaled`.

    ``slack`` is not 0 when the counts themselves were estimated (from a quantile sketch): the largest error of a
    cumulative share.

    >>> h = Histogram.of(np.array([1.0, 2.0, 2.0, 5.0, np.nan, np.inf]), Edges.of_values([1.0, 2.0, 5.0]), nulls=3)
    >>> h.n, h.total, h.missing, h.pos_inf
    (4, 9, 4, 1)
    >>> h.mean(), h.quantile(0.5), h.accuracy.exact
    (2.5, 2.0, True)
    """

    kind: ClassVar[str] = "histogram"

    edges: Edges
    counts: NDArray
    nulls: float = 0
    nans: float = 0
    pos_inf: float = 0
    neg_inf: float = 0
    low: Tail = Tail()
    high: Tail = Tail()
    slack: float = 0.0

    # -- making it

    @classmethod
    def empty(cls, edges: Edges) -> Self:
        """No rows."""
        return cls(edges, np.zeros(edges.bins, np.int64))

    @classmethod
    def of(cls, data: ArrayLike, edges: Edges, *, nulls: int = 0) -> Self:
        """Count *data* ``(rows,)``, which holds no nulls; NaN and infinities may be there."""
        return cls.of_sorted(np.sort(as_numbers(data)), edges, nulls=nulls)

    @classmethod
    def of_sorted(cls, data: NDArray, edges: Edges, *, nulls: int = 0) -> Self:
        """Count sorted *data*: minus infinity first, NaN last, as ``np.sort`` leaves them."""
        nans = pos = neg = 0
        if data.dtype.kind == "f" and len(data):
            if data[-1] == inf or data[-1] != data[-1]:
                first_nan = int(np.searchsorted(data, nan))
                first_inf = int(np.searchsorted(data[:first_nan], inf))
                nans, pos = len(data) - first_nan, first_nan - first_inf
                data = data[:first_inf]
            if len(data) and data[0] == -inf:
                neg = int(np.searchsorted(data, -inf, side="right"))
                data = data[neg:]
        starts = edges.starts_in(data)
        counts = np.empty(edges.bins, np.int64)
        if len(starts):
            counts[0], counts[-1] = starts[0], len(data) - starts[-1]
            np.subtract(starts[1:], starts[:-1], out=counts[1:-1])
            low = _tail(data[: starts[0]])
            high = _tail(data[starts[-1] :])
        else:
            counts[0], low, high = len(data), _tail(data), Tail()
        if low.count and edges.low is not None and low.min < edges.low:
            low = replace(low, outside=int(np.searchsorted(data, edges.low)))
        if high.count and edges.high is not None and high.max > edges.high:
            high = replace(high, outside=len(data) - int(np.searchsorted(data, edges.high, side="right")))
        return cls(edges, counts, nulls, nans, pos, neg, low, high)

    @classmethod
    def of_weighted(cls, values: NDArray, counts: NDArray, edges: Edges, **apart: float) -> Self:
        """Count finite *values* ``(d,)``, distinct and sorted, that occur *counts* times each.

        *apart* gives ``nulls``, ``nans``, ``pos_inf`` and ``neg_inf``.
        """
        once = cls.of_sorted(values, edges)
        below = np.concatenate([[0], np.cumsum(counts)])
        at = np.concatenate([[0], np.cumsum(once.counts)])
        ends = []
        for first, last, tail in ((0, at[1], once.low), (at[-2], at[-1], once.high)):
            if not tail.count:
                ends.append(tail)
                continue
            v, c = values[first:last], counts[first:last]
            is_outside = (v < (-inf if edges.low is None else edges.low)) | (
                v > (inf if edges.high is None else edges.high)
            )
            ends.append(
                replace(
                    tail,
                    count=c.sum().item(),
                    sum=float((v.astype(np.float64) * c).sum()),
                    outside=c[is_outside].sum().item(),
                )
            )
        return cls(edges, np.diff(below[at]), low=ends[0], high=ends[1], **apart)

    @classmethod
    def of_counts(cls, counts: ArrayLike) -> Self:
        """Bins of width one with these *counts*: for examples and tests.

        >>> Histogram.of_counts([50, 30, 20]).shares
        array([0.5, 0.3, 0.2])
        """
        c = np.asarray(counts)
        k = len(c)
        edges = Edges(np.arange(1.0, k), np.full(max(k - 1, 0), LEVELS, np.uint8), False, 0.0, float(k))
        low = Tail(c[0].item(), c[0].item() * 0.5, 0.0, 1.0) if c[0] else Tail()
        high = Tail(c[-1].item(), c[-1].item() * (k - 0.5), k - 1.0, float(k)) if k > 1 and c[-1] else Tail()
        return cls(edges, c, low=low, high=high)

    # -- what every state does

    def merge(self, other: Self) -> Self:
        """Add the counts up.

        Raises
        ------
        Incompatible
            the edges differ; `common_coarsening` says how to go on.
        """
        if self.edges != other.edges:
            raise Incompatible(
                "The two histograms were counted with different edges.",
                "Count both with the edges of one baseline, or bring them together first:",
                "left, right = common_coarsening(left, right)",
            )
        n, m = self.n, other.n
        return replace(
            self,
            counts=self.counts + other.counts,
            nulls=self.nulls + other.nulls,
            nans=self.nans + other.nans,
            pos_inf=self.pos_inf + other.pos_inf,
            neg_inf=self.neg_inf + other.neg_inf,
            low=self.low.merge(other.low),
            high=self.high.merge(other.high),
            slack=(self.slack * n + other.slack * m) / (n + m) if self.slack or other.slack else 0.0,
        )

    def scaled(self, factor: float) -> Self:
        """Each row weighs *factor*."""
        return replace(
            self,
            counts=self.counts * float(factor),
            nulls=self.nulls * factor,
            nans=self.nans * factor,
            pos_inf=self.pos_inf * factor,
            neg_inf=self.neg_inf * factor,
            low=self.low.scaled(factor),
            high=self.high.scaled(factor),
        )

    @property
    def accuracy(self) -> Accuracy:
        """Exact when all rows lie in atoms; else a cumulative share is off by at most the bound."""
        return Accuracy.within(self.fullest_share + self.slack, of="cumulative share")

    def to_payload(self) -> dict[str, Any]:
        """Edges (once, or by digest: see `codec`), counts, and what is counted apart."""
        out: dict[str, Any] = {
            "edges": self.edges,
            "counts": self.counts,
            "apart": [self.nulls, self.nans, self.pos_inf, self.neg_inf],
            "low": self.low.to_list(),
            "high": self.high.to_list(),
        }
        if self.slack:
            out["slack"] = self.slack
        return out

    @classmethod
    def of_payload(cls, payload: Mapping[str, Any]) -> Self:
        """Read `to_payload`."""
        nulls, nans, pos_inf, neg_inf = payload["apart"]
        return cls(
            payload["edges"],
            payload["counts"],
            nulls,
            nans,
            pos_inf,
            neg_inf,
            Tail(*payload["low"]),
            Tail(*payload["high"]),
            payload.get("slack", 0.0),
        )

    # -- reading it

    def values(self) -> tuple[NDArray, NDArray] | None:
        """Every finite value that occurs ``(d,)``, rising, and how often; None where a bin hides them.

        >>> h = Histogram.of([2.0, 1.0, 2.0], Edges.of_values([1.0, 2.0, 5.0]))
        >>> [column.tolist() for column in h.values()]
        [[1.0, 2.0], [1, 2]]
        """
        filled = np.flatnonzero(self.counts)
        if not self.edges.atoms[filled].all():
            return None
        return self.edges.cuts[filled - 1], self.counts[filled]

    @cached_property
    def n(self) -> float:
        """Finite values."""
        return self.counts.sum().item()

    @property
    def total(self) -> float:
        """All rows."""
        return self.n + self.nulls + self.nans + self.pos_inf + self.neg_inf

    @property
    def missing(self) -> float:
        """Nulls and NaN."""
        return self.nulls + self.nans

    @property
    def infinite(self) -> float:
        """Both infinities."""
        return self.pos_inf + self.neg_inf

    @property
    def shares(self) -> NDArray[np.float64]:
        """Share of the finite values in each bin; zeros with no values."""
        return self.counts / self.n if self.n else np.zeros(len(self.counts))

    def cdf(self) -> NDArray[np.float64]:
        """Share of the finite values below each cut, ``(k,)``: exact, since cuts are where bins meet."""
        return np.cumsum(self.counts)[:-1] / self.n if self.n else np.zeros(len(self.counts) - 1)

    @property
    def min(self) -> float:
        """Smallest finite value: exact when the first filled bin is open or an atom, else its left cut."""
        return float(self._knots[0][0]) if self.n else nan

    @property
    def max(self) -> float:
        """Largest finite value: exact when the last filled bin is open or an atom, else its right cut."""
        return float(self._knots[0][-1]) if self.n else nan

    @cached_property
    def fullest_share(self) -> float:
        """Share of the fullest bin in which rows may differ: how far a distribution function can be off."""
        if not self.n:
            return 0.0
        loose = np.where(self.edges.atoms, 0, self.counts)
        for end, tail in ((0, self.low), (-1, self.high)):
            if tail.count and tail.min == tail.max:
                loose[end] = 0
        return loose.max().item() / self.n

    def mean(self) -> float:
        """Mean of the finite values; exact for atoms and open bins, the middle of any other bin.

        >>> Histogram.of([1.0, 2.0, 9.0], Edges.of_values([1.0, 2.0, 9.0])).mean()
        4.0
        """
        if not self.n:
            return nan
        x, _, counts = self._knots
        left, right = x[0::2], x[1::2]
        return float(np.dot((left + right) / 2, counts) / self.n)

    def quantile(self, q: ArrayLike) -> Any:
        """The value below or at which a share *q* of the finite values lies (a scalar or an array of them).

        Within a bin values are taken as evenly spread. NaN with no values.
        """
        wanted = np.asarray(q, dtype=np.float64)
        if not self.n:
            return nan if wanted.ndim == 0 else np.full(wanted.shape, nan)
        x, f, _ = self._knots
        t = np.clip(wanted, 0, 1) * f[-1]
        at = np.clip(np.searchsorted(f, t, side="left"), 1, len(f) - 1)
        rise = f[at] - f[at - 1]
        with np.errstate(divide="ignore", invalid="ignore"):
            part = np.where(rise > 0, (t - f[at - 1]) / rise, 0.0)
        out = x[at - 1] + np.clip(part, 0, 1) * (x[at] - x[at - 1])
        return float(out) if wanted.ndim == 0 else out

    def share_below(self, at: ArrayLike) -> NDArray[np.float64]:
        """Share of the finite values below each of the rising points *at* ``(k,)``; zeros with no values.

        Exact at the cuts; within a bin values are taken as evenly spread.

        >>> Histogram.of([1.0, 2.0, 2.0, 9.0], Edges.of_values([1.0, 2.0, 9.0])).share_below([1.0, 2.0, 3.0]).tolist()
        [0.0, 0.25, 0.75]
        """
        points = np.asarray(at, dtype=np.float64)
        return self._cdf_at(points, side="left") if self.n else np.zeros(len(points))

    def wasserstein(self, other: Histogram) -> float:
        r"""First Wasserstein distance :math:`\int |F - G|`, of the finite values, in the column's unit.

        The distribution functions are taken as straight lines within a bin (steps at atoms); the open bins are
        two lines that keep their minimum, mean and maximum. Exact for exact edges; otherwise within
        `wasserstein_bound`. The edges may differ. NaN when either has no values.

        >>> edges = Edges.of_values([0.0, 1.0, 3.0])
        >>> round(Histogram.of([0.0, 1.0, 3.0], edges).wasserstein(Histogram.of([5.0, 6.0, 8.0], edges)), 9)
        5.0
        """
        if not self.n or not other.n:
            return nan
        x = np.unique(np.concatenate([self._knots[0], other._knots[0]]))
        if len(x) < 2:
            return 0.0
        width = np.diff(x)
        # Between neighbouring knots both functions are lines: values just right of the left knot and just left
        # of the right one.
        left = self._cdf_at(x, side="right")[:-1] - other._cdf_at(x, side="right")[:-1]
        right = self._cdf_at(x, side="left")[1:] - other._cdf_at(x, side="left")[1:]
        a, b = np.abs(left), np.abs(right)
        with np.errstate(divide="ignore", invalid="ignore"):
            crossing = (a * a + b * b) / (2 * (a + b))
        area = np.where(left * right >= 0, (a + b) / 2, crossing)
        return float(np.dot(area, width))

    def wasserstein_bound(self, other: Histogram) -> float:
        """How far `wasserstein` may be off: half the width of each bin, for the share that lies in it.

        An open bin is off by at most three times the mean distance from its mean that we give it: we could be as
        far from all rows being at the mean as that, and these twice as far from all being at the two ends.
        """
        return self._spread() + other._spread()

    def _spread(self) -> float:
        if not self.n:
            return 0.0
        x, _, counts = self._knots
        inside = float(np.dot(x[1::2] - x[0::2], counts)) / 2
        ends = sum(
            float(np.dot(right - left, weight)) / 2
            for tail in (self.low, self.high)
            for left, right, weight in _tail_pieces(tail)
        )
        return (inside + 2 * ends) / self.n

    @cached_property
    def _knots(self) -> tuple[NDArray, NDArray, NDArray]:
        """Filled pieces as lines: ``x`` and cumulative count at both ends ``(2p,)``, counts ``(p,)``."""
        filled = np.flatnonzero(self.counts[1:-1] > 0) + 1
        cuts, atoms = self.edges.cuts, self.edges.atoms[filled]
        left = cuts[filled - 1].astype(np.float64)
        top = cuts[filled] if cuts.dtype.kind == "f" else cuts[filled] - cuts.dtype.type(1)
        right = np.where(atoms, left, top.astype(np.float64))
        pieces = [
            *_tail_pieces(self.low),
            *([(left, right, self.counts[filled].astype(np.float64))] if len(filled) else []),
            *_tail_pieces(self.high),
        ]
        lefts, rights, counts = (np.concatenate(p) for p in zip(*pieces)) if pieces else (np.empty(0),) * 3
        x = np.empty(2 * len(counts))
        x[0::2], x[1::2] = lefts, rights
        f = np.empty(2 * len(counts))
        f[1::2] = np.cumsum(counts)
        f[0::2] = f[1::2] - counts
        return x, f, counts

    def _cdf_at(self, at: NDArray, *, side: str) -> NDArray:
        """The distribution function at sorted points, its limit from the left or from the right."""
        x, f, _ = self._knots
        i = np.searchsorted(x, at, side="right" if side == "right" else "left")
        before, after = np.clip(i - 1, 0, len(x) - 1), np.clip(i, 0, len(x) - 1)
        run = x[after] - x[before]
        with np.errstate(divide="ignore", invalid="ignore"):
            part = np.where(run > 0, (at - x[before]) / run, 0.0)
        out = f[before] + part * (f[after] - f[before])
        return np.where(i == 0, 0.0, np.where(i == len(x), f[-1], out)) / f[-1]

    def coarsen(self, bins: int) -> Histogram:
        """The same rows in at most *bins* bins. Counts stay exact; the sums of wider open bins are estimated."""
        edges = self.edges.coarsen(bins)
        return self if edges is self.edges else self._on(edges)

    def _on(self, edges: Edges) -> Histogram:
        """Counts on *edges*, all of whose cuts are cuts of ours."""
        at = np.searchsorted(self.edges.cuts, edges.cuts) + 1
        counts = (
            np.add.reduceat(self.counts, np.concatenate([[0], at])) if len(at) else self.counts.sum()[None]
        )
        low, high = self.low, self.high
        if not len(edges.cuts):
            low, high = low.merge(self._between(1, len(self.counts) - 1)).merge(high), Tail()
        else:
            low = low.merge(self._between(1, at[0]))
            high = self._between(at[-1], len(self.counts) - 1).merge(high)
        return replace(self, edges=edges, counts=counts, low=low, high=high)

    def _between(self, first: int, last: int) -> Tail:
        """Bins first to last - 1 as a tail, each value taken as in the middle of its bin."""
        counts = self.counts[first:last]
        filled = np.flatnonzero(counts)
        if not len(filled):
            return Tail()
        cuts = self.edges.cuts
        left = cuts[first - 1 : last - 1].astype(np.float64)
        atoms = self.edges.atoms[first:last]
        right = np.where(atoms, left, cuts[first:last].astype(np.float64))
        total = float(np.dot((left + right) / 2, counts))
        return Tail(counts.sum().item(), total, left[filled[0]].item(), right[filled[-1]].item())


def common_coarsening(left: Histogram, right: Histogram) -> tuple[Histogram, Histogram]:
    """Bring two histograms to the finest edges that both can be counted on: the cuts that they share.

    Raises
    ------
    Incompatible
        they share no cut, or one has integer cuts and the other has not.

    >>> a = Histogram.of([1.0, 2.0, 3.0], Edges.of_values([1.0, 2.0, 3.0]))
    >>> b = Histogram.of([1.0, 2.0, 3.0], Edges.of_values([1.0, 3.0]))
    >>> [h.counts.tolist() for h in common_coarsening(a, b)]
    [[0, 1, 1, 1, 0], [0, 1, 1, 1, 0]]
    """
    a, b = left.edges, right.edges
    if a == b:
        return left, right
    shared = np.intersect1d(a.cuts, b.cuts) if a.cuts.dtype == b.cuts.dtype else np.empty(0)
    if not len(shared):
        raise Incompatible(
            "The two histograms have no cut in common, so they cannot be compared.",
            "Profile both with the edges of one baseline.",
        )
    level = np.maximum(a.level[np.searchsorted(a.cuts, shared)], b.level[np.searchsorted(b.cuts, shared)])
    edges = Edges(shared, level, False, a.low, a.high)
    return left._on(edges), right._on(edges)


# -- numbers ----------------------------------------------------------------------------------------------


def _tail(data: NDArray) -> Tail:
    if not len(data):
        return Tail()
    with np.errstate(over="ignore", invalid="ignore"):
        return Tail(len(data), float(data.sum(dtype=np.float64)), float(data[0]), float(data[-1]))


def _tail_pieces(tail: Tail) -> list[tuple[NDArray, NDArray, NDArray]]:
    """An open bin as two evenly filled pieces that meet at its mean and have it as their mean."""
    if not tail.count:
        return []
    mean = tail.mean
    below = (tail.max - mean) / (tail.max - tail.min) * tail.count if tail.max > tail.min else 0.0
    return [
        (
            np.array([tail.min, mean]),
            np.array([mean, tail.max]),
            np.array([below, tail.count - below]),
        )
    ]
