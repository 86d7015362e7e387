r"""Two states of one column, brought to the same bins.

Distances that ignore order (PSI, Jensen-Shannon, chi-square, ...) read `shared_bins`: few bins, each heavy enough
on the baseline's side to say something. How many rows stray into thin bins is chance, and a distance that adds up
thousands of them is mostly noise.

- numbers: 20 bins of about equal baseline mass, or, with at most 64 distinct values, one for each value;
- categories: the 64 most frequent ones of both sides together. Were they chosen by the baseline's counts, those
  that it happens to hold too often would come first, and each would seem to fall in the window;
- in both, values or categories of which, by both sides' rows, the baseline is expected to hold fewer than 10 share
  one bin;
- missing values (null, NaN) and each infinity are bins of their own.

Distances of distribution functions (Kolmogorov-Smirnov, Wasserstein, ...) read `ordered_bins`: all finite values
at full resolution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from watchkeeper.errors import BadInput, Incompatible
from watchkeeper.stats.states.frequencies import Frequencies
from watchkeeper.stats.states.histogram import Histogram, common_coarsening

Distribution = Histogram | Frequencies
"""What a column's distribution is kept as."""

Floats = NDArray[np.float64]

OWN_VALUES = 64
"""Up to this many distinct values or categories each has a bin of its own."""
QUANTILE_BINS = 20
SMALLEST_OWN = 10
"""Rows that a value must be expected to have in the baseline for a bin of its own."""

MOST_IN_THE_REST = 0.2
"""Share of the baseline up to which values without a bin of their own may share one."""
_SURELY_KEPT = 4.0
"""A category of so many times the rows of those that lost their names would not have lost its own."""


@dataclass(frozen=True, slots=True, eq=False)
class SharedBins:
    """Counts ``(bins,)`` of both sides; ``bound`` is how far one share may be off (None: not known)."""

    baseline: Floats
    window: Floats
    bound: float | None = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class OrderedBins:
    """Counts ``(bins,)`` of the finite values of both sides; ``atoms`` are bins of a single value."""

    baseline: Floats
    window: Floats
    atoms: NDArray[np.bool_]
    histograms: tuple[Histogram, Histogram]
    """The two sides on their common edges."""

    @property
    def slack(self) -> float:
        """How far a cumulative share may be off because counts were estimated from a sketch."""
        return self.histograms[0].slack + self.histograms[1].slack

    @property
    def n(self) -> float:
        """Finite values of the baseline."""
        return float(self.baseline.sum())

    @property
    def m(self) -> float:
        """Finite values of the window."""
        return float(self.window.sum())

    @property
    def pooled(self) -> Floats:
        """Pooled shares, each side weighing as many rows as it has."""
        both = self.baseline + self.window
        return both / both.sum()


def shared_bins(baseline: Distribution, window: Distribution) -> SharedBins:
    """Bring two histograms, or two frequency tables, to a few bins that both are counted on.

    Raises
    ------
    Incompatible
        one side is a histogram and the other is not, or their edges share no cut.
    BadInput
        a side has no rows.

    >>> bins = shared_bins(Frequencies.of_counts({"a": 50, "b": 50}, nulls=10),
    ...                    Frequencies.of_counts({"a": 60, "c": 40}))
    >>> bins.baseline.tolist(), bins.window.tolist()      # a, b, c, all else, missing
    ([50.0, 50.0, 0.0, 0.0, 10.0], [60.0, 0.0, 40.0, 0.0, 0.0])
    """
    _check_rows(baseline, window)
    if isinstance(baseline, Histogram) and isinstance(window, Histogram):
        return _of_histograms(*common_coarsening(baseline, window))
    if isinstance(baseline, Frequencies) and isinstance(window, Frequencies):
        return _of_frequencies(baseline, window)
    raise _changed_kind(baseline, window)


def ordered_bins(baseline: Histogram, window: Histogram) -> OrderedBins:
    """Bring two histograms to the finest bins that both are counted on; only finite values.

    Raises
    ------
    Incompatible
        a side is no histogram, or their edges share no cut.
    BadInput
        a side has no finite values.

    >>> bins = ordered_bins(Histogram.of_counts([5, 0, 5]), Histogram.of_counts([1, 2, 3]))
    >>> bins.baseline.tolist(), bins.m
    ([5.0, 0.0, 5.0], 6.0)
    """
    if not (isinstance(baseline, Histogram) and isinstance(window, Histogram)):
        raise _changed_kind(baseline, window)
    left, right = common_coarsening(baseline, window)
    for name, side in (("baseline", left), ("window", right)):
        if not side.n:
            raise BadInput(f"The {name} has no finite values.")
    atoms = left.edges.atoms.copy()
    for end, pair in ((0, (left.low, right.low)), (-1, (left.high, right.high))):
        seen = [value for tail in pair if tail.count for value in (tail.min, tail.max)]
        atoms[end] = not seen or min(seen) == max(
            seen
        )  # an open bin in which all rows are equal hides nothing
    return OrderedBins(left.counts.astype(np.float64), right.counts.astype(np.float64), atoms, (left, right))


def _of_histograms(baseline: Histogram, window: Histogram) -> SharedBins:
    q, p = baseline.counts.astype(np.float64), window.counts.astype(np.float64)
    group = _groups(q, p, exact=baseline.edges.exact)
    apart = [(side.missing, side.pos_inf, side.neg_inf) for side in (baseline, window)]
    return SharedBins(
        np.concatenate([np.bincount(group, q), apart[0]]),
        np.concatenate([np.bincount(group, p), apart[1]]),
        baseline.slack + window.slack,
    )


def _groups(q: Floats, p: Floats, *, exact: bool) -> NDArray[np.intp]:
    """Which shared bin each of the baseline's bins goes to."""
    if exact and np.count_nonzero(q) <= OWN_VALUES:
        # A value that the baseline never held is a gap between its values, whatever lies there now.
        own = (q > 0) & (_expected(q, p, q.sum(), p.sum()) >= SMALLEST_OWN)
        # The values with a bin of their own, in order, and one last bin for everything else; where that would hold much
        # of the baseline, what came would hide what went, and the quantile bins below tell them apart.
        if q[~own].sum() <= MOST_IN_THE_REST * q.sum():
            return np.where(own, np.cumsum(own) - 1, np.count_nonzero(own))
    total = q.sum()
    if not total:
        return np.zeros(q.size, np.intp)
    wanted = max(2, min(QUANTILE_BINS, int(total // SMALLEST_OWN)))
    middle = np.cumsum(q) - q / 2
    return np.minimum((middle / total * wanted).astype(np.intp), wanted - 1)


def _of_frequencies(baseline: Frequencies, window: Frequencies) -> SharedBins:
    names = sorted({*baseline.counts, *window.counts})
    q, p = (np.array([side.counts.get(name, 0) for name in names], np.float64) for side in (baseline, window))
    expected = _expected(q, p, baseline.n, window.n)
    # Where a side lost names, it kept those that it happens to hold often: only what it would have kept anyway can be
    # compared one by one.
    needed = max(SMALLEST_OWN, _SURELY_KEPT * baseline.error)
    if window.error and window.n:
        needed = max(needed, _SURELY_KEPT * window.error * baseline.n / window.n)
    chosen = np.lexsort((np.arange(len(names)), -expected))[:OWN_VALUES]
    own = [names[i] for i in chosen if expected[i] >= needed]
    if not own and (baseline.error or window.error):
        raise BadInput(
            f"It has more than {min(baseline.cap, window.cap):,} categories, and none of them is frequent enough to "
            "be compared."
        )
    sides = []
    for side in (baseline, window):
        named = [side.counts.get(name, 0) for name in own]
        sides.append(np.array([*named, side.n - sum(named), side.nulls], dtype=np.float64))
    lost = [side.error / side.n if side.n else 0.0 for side in (baseline, window)]
    return SharedBins(sides[0], sides[1], sum(lost))


def _expected(q: Floats, p: Floats, n: float, m: float) -> Floats:
    """Rows that the baseline would have of each, if both sides together say how frequent it is."""
    return (q + p) * (n / (n + m)) if n + m else q


def _check_rows(baseline: Distribution, window: Distribution) -> None:
    for name, side in (("baseline", baseline), ("window", window)):
        if not side.total:
            raise BadInput(f"The {name} has no rows.")


def _changed_kind(baseline: object, window: object) -> Incompatible:
    names = [getattr(side, "kind", type(side).__name__) for side in (baseline, window)]
    return Incompatible(
        f"The column was counted as {names[0]} in the baseline and as {names[1]} now.",
        "Give it one kind in the schema, and profile both with it.",
    )
