r"""Values beyond everything that the baseline has seen.

Formula
-------
.. math:: \frac1m \#\{x < \min_0 \text{ or } x > \max_0\}

Reads: two `ColumnProfile` with moments and histogram. Of m new rows from the *same* distribution some lie beyond
the extremes of n old ones: for a continuous column their number is beta-binomial with parameters (2, n - 1), on
average 2m/(n + 1), whatever the distribution. That is ``expected``, and gives ``margin`` and p-value.

Limits
------
Says nothing about how far beyond; the details hold the window's own extremes. Infinities are not counted here.

References
----------
S. Wilks, *Determination of sample sizes for setting tolerance limits*, Annals of Mathematical Statistics 12, 1941.
"""

from __future__ import annotations

import numpy as np

from watchkeeper.domain.measurement import Measurement
from watchkeeper.measures.quality.counting import count_above, count_below
from watchkeeper.stats.intervals import wilson
from watchkeeper.stats.states.profile import ColumnProfile


def out_of_range(window: ColumnProfile, baseline: ColumnProfile) -> Measurement:
    """Return the share of the window's finite values beyond the baseline's range.

    >>> from watchkeeper.domain.schema import Column, Kind
    >>> from watchkeeper.stats.states.edges import Edges
    >>> from watchkeeper.stats.states.histogram import Histogram
    >>> from watchkeeper.stats.states.moments import Moments
    >>> def x(values, edges=Edges.of_values(np.arange(100.0))):
    ...     states = {"histogram": Histogram.of(values, edges), "moments": Moments.of(values)}
    ...     return ColumnProfile(column=Column(name="x", kind=Kind.NUMERIC), states=states, rows=len(values))
    >>> found = out_of_range(x([5.0, 50.0, 99.5, 180.0]), x(np.arange(100.0)))
    >>> found.value, found.details["max"], found.details["baseline_max"]
    (0.5, 180.0, 99.0)
    """
    name = "out_of_range"
    now, then, histogram = window.moments, baseline.moments, window.histogram
    if histogram is None or now is None or then is None:
        return Measurement.missing(name, "It has no numbers.", subject=window.name)
    if not now.n or not then.n:
        return Measurement.missing(
            name, f"The {'window' if not now.n else 'baseline'} has no finite numbers.", subject=window.name
        )
    hits = bound = 0.0
    if now.min < then.min:
        below = count_below(histogram, then.min)
        hits, bound = max(below.value, 1.0), below.bound
    if now.max > then.max:
        above = count_above(histogram, then.max)
        hits, bound = hits + max(above.value, 1.0), bound + above.bound
    m, n = float(now.n), float(then.n)
    whole = round(hits)
    return Measurement(
        measure=name,
        subject=window.name,
        value=hits / m,
        rows=m,
        baseline_rows=n,
        interval=wilson(hits, m),
        p_value=beyond_extremes(whole, round(m), round(n)),
        bound=bound / m,
        details={
            "count": hits,
            "expected": min(1.0, 2 / (n + 1)),
            "min": now.min,
            "max": now.max,
            "baseline_min": then.min,
            "baseline_max": then.max,
        },
    )


def beyond_extremes(hits: int, rows: int, baseline_rows: int) -> float:
    """Probability that *hits* or more of *rows* lie beyond the extremes of *baseline_rows* others.

    >>> round(beyond_extremes(1, 1, 99), 6)  # the next value is a new extreme with probability 2/100
    0.02
    """
    from scipy.special import betaln, gammaln

    if hits <= 0 or baseline_rows < 2:
        return 1.0
    if hits > 20_000:  # by then the tail is far below any level, or the baseline tiny: bound it by Markov
        return float(min(1.0, 2 * rows / (baseline_rows + 1) / hits))
    k = np.arange(min(hits, rows + 1))
    log_p = (
        gammaln(rows + 1)
        - gammaln(k + 1)
        - gammaln(rows - k + 1)
        + betaln(k + 2, rows - k + baseline_rows - 1)
        - betaln(2, baseline_rows - 1)
    )
    return float(min(1.0, max(0.0, 1.0 - np.exp(log_p).sum())))
