"""How old the newest row is.

Formula
-------
Now minus the latest moment of a datetime column, in seconds; negative when rows claim to come from the future.

Reads: one `ColumnProfile` with the state ``span``. Exact. The caller says what time it is.

Limits
------
A clock that runs ahead somewhere makes everything look fresh: the details hold the moment itself.

References
----------
C. Batini et al., *Methodologies for data quality assessment and improvement*, ACM Computing Surveys 41, 2009.
"""

from __future__ import annotations

from datetime import UTC, datetime

from watchkeeper.domain.measurement import Measurement
from watchkeeper.stats.states.profile import ColumnProfile
from watchkeeper.stats.states.span import DatetimeSpan


def freshness(window: ColumnProfile, *, now: datetime) -> Measurement:
    """Return the age of the newest row in seconds, at the time *now* (aware).

    >>> from watchkeeper.domain.schema import Column, Kind
    >>> span = DatetimeSpan.of_moments([1_000_000, 90_000_000])
    >>> at = ColumnProfile(column=Column(name="at", kind=Kind.DATETIME), states={"span": span}, rows=2)
    >>> freshness(at, now=datetime(1970, 1, 1, 0, 2, tzinfo=UTC)).value
    30.0
    """
    span = window.states.get("span")
    if not isinstance(span, DatetimeSpan) or span.max_us is None:
        return Measurement.missing("freshness", "There is no moment in this column.", subject=window.name)
    since = now - datetime(1970, 1, 1, tzinfo=UTC)
    now_us = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    return Measurement(
        measure="freshness",
        subject=window.name,
        value=(now_us - span.max_us) / 1e6,
        rows=span.n,
        bound=0.0,
        details={"newest_us": span.max_us, "oldest_us": span.min_us},
    )
