"""Counts that several quality measures need: values below a limit, and how surprising a share is."""

from __future__ import annotations

from math import inf, nextafter

import numpy as np

from watchkeeper.stats.intervals import wilson
from watchkeeper.stats.states.histogram import Histogram
from watchkeeper.stats.states.score_table import Bounded


def count_below(histogram: Histogram, limit: float) -> Bounded:
    """Finite values smaller than *limit*, and how far that may be off (0 at a cut, or in a bin of one value).

    >>> h = Histogram.of_counts([50, 30, 20])
    >>> count_below(h, 2.0), count_below(h, 1.5)
    (Bounded(value=80.0, bound=0.0), Bounded(value=65.0, bound=15.0))
    """
    cuts, counts = histogram.edges.cuts, histogram.counts
    if limit == -inf:
        return Bounded(0.0, 0.0)
    if limit == inf:
        return Bounded(float(counts.sum()), 0.0)
    at = int(np.searchsorted(cuts, limit, side="left"))
    if at == 0 and limit == histogram.edges.low:  # the state counts apart what lies beyond its own range
        return Bounded(float(histogram.low.outside), 0.0)
    if at < cuts.size and cuts[at] == limit:
        return Bounded(float(counts[: at + 1].sum()), 0.0)
    before, inside = float(counts[:at].sum()), float(counts[at])
    tail = histogram.low if at == 0 else histogram.high if at == counts.size - 1 else None
    if not inside:
        return Bounded(before, 0.0)
    if tail is not None and tail.count:
        first, last = float(tail.min), float(tail.max)
    elif histogram.edges.atoms[at]:
        first = last = float(cuts[at - 1])
    else:
        first, last = float(cuts[at - 1]), float(cuts[at])
    if limit <= first:
        return Bounded(before, 0.0)
    if limit > last:
        return Bounded(before + inside, 0.0)
    part = (limit - first) / (last - first) if last > first else 0.0
    if tail is not None and tail.count:
        # An open bin knows its mean too: one value far out must not spread the others over all that way.
        return Bounded(histogram.share_below([limit])[0].item() * histogram.n, inside * max(part, 1.0 - part))
    return Bounded(before + inside * part, inside * max(part, 1.0 - part))


def count_above(histogram: Histogram, limit: float) -> Bounded:
    """Finite values larger than *limit*, and how far that may be off.

    >>> round(count_above(Histogram.of_counts([50, 30, 20]), 2.5).value, 6)
    10.0
    """
    if histogram.edges.cuts.size and limit == histogram.edges.high:
        return Bounded(float(histogram.high.outside), 0.0)
    whole = histogram.edges.cuts.dtype.kind in "iu"
    after = float(np.floor(limit) + 1) if whole and np.isfinite(limit) else nextafter(limit, inf)
    below, bound = count_below(histogram, after)
    return Bounded(max(float(histogram.counts.sum()) - below, 0.0), bound)


def tail_probability(hits: float, rows: float, share: float) -> float:
    """Probability of *hits* or more of *rows* when each is one with probability *share*.

    >>> round(tail_probability(2, 10, 0.1), 4)
    0.2639
    """
    from scipy.special import betainc

    if hits <= 0:
        return 1.0
    if hits > rows or share <= 0:
        return 0.0
    return float(betainc(hits, rows - hits + 1, min(share, 1.0)))


def more_than_baseline(hits: float, rows: float, baseline_hits: float, baseline_rows: float) -> float:
    """p-value of a share that grew: the binomial tail at the upper end of the baseline's 95% interval.

    Taking that end, and not the baseline's share itself, accounts for what the baseline does not know of
    itself; the p-value is on the safe side.

    >>> round(more_than_baseline(30, 1000, 10, 1000), 4)
    0.0069
    """
    return tail_probability(hits, rows, wilson(baseline_hits, baseline_rows).high)
