r"""Requests, errors and losses of one window.

Formula
-------
Request rate is requests by seconds; the error rate is errors by requests, with Wilson's interval; availability is
its complement. Dropped and rescued rows are counted, and given as a share of what there was to keep.

Reads: one `ServiceState`. Exact.

Limits
------
A model without requests has no error rate: the value is missing, not zero. Errors are those that the recorder saw:
a server that is down records none, which is what the rule on absence is for.

References
----------
E. B. Wilson, *Probable inference, the law of succession, and statistical inference*, JASA 22, 1927.
B. Beyer et al. (eds.), *Site Reliability Engineering*, 2016, chapter 6.
"""

from __future__ import annotations

from watchkeeper.domain.measurement import Measurement
from watchkeeper.stats.intervals import wilson
from watchkeeper.stats.states.service import ServiceState


def request_rate(state: ServiceState, *, seconds: float) -> Measurement:
    """Return requests a second.

    >>> request_rate(ServiceState.of(latency_s=[0.1] * 6, failed=[False] * 6), seconds=60).value
    0.1
    """
    return Measurement(
        measure="request_rate",
        value=state.requests / seconds,
        rows=state.requests,
        bound=0.0,
        details={"requests": state.requests, "seconds": seconds},
    )


def error_rate(state: ServiceState, *, seconds: float = 0.0) -> Measurement:
    """Return the share of requests that failed.

    >>> error_rate(ServiceState.of(latency_s=[0.1] * 4, failed=[True, False, False, False])).value
    0.25
    """
    return _share("error_rate", state.errors, state.requests, "no request was made")


def availability(state: ServiceState, *, seconds: float = 0.0) -> Measurement:
    """Return the share of requests that were answered.

    >>> availability(ServiceState.of(latency_s=[0.1] * 4, failed=[True, False, False, False])).value
    0.75
    """
    return _share("availability", state.requests - state.errors, state.requests, "no request was made")


def dropped_events(state: ServiceState, *, seconds: float = 0.0) -> Measurement:
    """Return the share of rows that a recorder had to drop, because its buffer was full.

    >>> dropped_events(ServiceState.of(latency_s=[0.1] * 3, failed=[False] * 3, dropped=1)).value
    0.25
    """
    return _share("dropped_events", state.dropped, state.requests + state.dropped, "nothing was recorded")


def outcome_coverage(state: ServiceState, *, seconds: float = 0.0) -> Measurement:
    """Return the share of predictions whose outcome has arrived.

    >>> outcome_coverage(ServiceState.of(latency_s=[0.1] * 4, failed=[False] * 4, delay_s=[60.0])).value
    0.25
    """
    arrived = state.delay.n + state.delay.nans
    return _share("outcome_coverage", min(arrived, state.requests), state.requests, "no request was made")


def rescued_rows(state: ServiceState, *, seconds: float = 0.0) -> Measurement:
    """Return the share of rows with a value that did not fit its column.

    >>> rescued_rows(ServiceState.of(latency_s=[0.1] * 4, failed=[False] * 4, rescued=1)).value
    0.25
    """
    return _share("rescued_rows", state.rescued, state.requests, "nothing was recorded")


def _share(name: str, hits: float, rows: float, otherwise: str) -> Measurement:
    if not rows:
        return Measurement.missing(name, otherwise)
    return Measurement(
        measure=name,
        value=hits / rows,
        rows=rows,
        bound=0.0,
        interval=wilson(hits, rows),
        details={"count": hits},
    )
