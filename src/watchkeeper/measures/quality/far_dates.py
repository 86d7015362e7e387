r"""Moments that lie decades from all that the baseline has seen: 1900-01-01, 1970-01-01, 9999-12-31.

Formula
-------
With :math:`d` twenty years,

.. math:: \frac1m \#\{t < \min_0 - d \text{ or } t > \max_0 + d\}

Reads: two `ColumnProfile` of a datetime column, with moments and histogram; never rows. Times move on, so a moment
beyond the baseline's range is no news; one that is decades beyond it stands for "unknown", or for a clock, a unit
or a calendar that was read wrongly.

Limits
------
A baseline that holds such moments itself has them in its range, and nothing is far from it. The count comes from
the open end bins, and is estimated where these hold other moments too (``bound``).

References
----------
W. Kim et al., *A taxonomy of dirty data*, Data Mining and Knowledge Discovery 7, 2003.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from watchkeeper.domain.measurement import Measurement
from watchkeeper.measures.quality.completeness import share_of_rows
from watchkeeper.measures.quality.counting import count_above, count_below
from watchkeeper.stats.states.profile import ColumnProfile

FAR_YEARS = 20
_FAR_US = FAR_YEARS * 365.25 * 86_400e6


def far_dates(window: ColumnProfile, baseline: ColumnProfile) -> Measurement:
    """Return the share of the window's rows whose moment is 20 years or more outside the baseline's range.

    >>> import numpy as np
    >>> from watchkeeper.domain.schema import Column, Kind
    >>> from watchkeeper.stats.states.edges import Edges
    >>> from watchkeeper.stats.states.histogram import Histogram
    >>> from watchkeeper.stats.states.moments import Moments
    >>> def at(days, edges=Edges.of_values(np.arange(20_000, 20_030) * 86_400_000_000)):
    ...     t = np.array(days) * 86_400_000_000
    ...     states = {"histogram": Histogram.of(t, edges), "moments": Moments.of(t)}
    ...     return ColumnProfile(column=Column(name="at", kind=Kind.DATETIME), states=states, rows=len(days))
    >>> far_dates(at([20_005, 20_040, 0, 0]), at(range(20_000, 20_030))).value  # days after 1970-01-01
    0.5
    """
    name = "far_dates"
    now, then, histogram = window.moments, baseline.moments, window.histogram
    if histogram is None or now is None or then is None or not then.n:
        return Measurement.missing(name, "There is no moment to compare with.", subject=window.name)
    hits = bound = 0.0
    for far, count, limit in (
        (now.min < then.min - _FAR_US, count_below, then.min - _FAR_US),
        (now.max > then.max + _FAR_US, count_above, then.max + _FAR_US),
    ):
        if far:
            found = count(histogram, limit)
            hits, bound = hits + max(found.value, 1.0), bound + found.bound
    rows = float(window.rows)
    hits = min(hits, rows)
    details: dict[str, Any] = {"earliest_us": now.min, "latest_us": now.max} if now.n else {}
    if hits:
        ends = [
            _day(end) for end in (now.min, now.max) if not then.min - _FAR_US <= end <= then.max + _FAR_US
        ]
        details["sentence"] = (
            f"{_moments(hits)} of {window.name}, as far as {' and '.join(ends)}: {FAR_YEARS} years or more "
            "outside all that the baseline has seen."
        )
    return share_of_rows(
        name, window.name, (hits, rows), details=details, bound=bound / rows if rows else None
    )


def _moments(hits: float) -> str:
    return "One moment" if round(hits) == 1 else f"{hits:,.0f} moments"


def _day(us: float) -> str:
    try:
        return f"{datetime(1970, 1, 1) + timedelta(microseconds=us):%Y-%m-%d}"
    except OverflowError:  # Python's calendar ends in 9999
        return f"the year {1970 + us / 31_556_952e6:.0f}"
