"""All measures of service, in one call."""

from __future__ import annotations

from dataclasses import replace

from watchkeeper.domain.measurement import Measurement
from watchkeeper.measures.service.catalogue import CATALOGUE
from watchkeeper.stats.states.service import ServiceState

_OF_ALL_ROWS = ("request_rate", "dropped_events")
"""What is counted whole: drops are never sampled."""


def measure_service(state: ServiceState, *, seconds: float, rows: float | None = None) -> list[Measurement]:
    """Measure one window of *seconds*.

    *rows* are the rows behind the state's counts, where these were scaled up from sampled capture: intervals are
    those of that many rows.

    >>> s = ServiceState.of(latency_s=[0.1], failed=[False])
    >>> [m.measure for m in measure_service(s, seconds=60)][:3]
    ['request_rate', 'error_rate', 'availability']
    """
    out: list[Measurement] = []
    for entry in CATALOGUE:
        found = entry.function(state, seconds=seconds)
        out += found if isinstance(found, list) else [found]
    if rows is None or not state.requests:
        return out
    kept = {
        (m.measure, m.subject): m
        for m in measure_service(state.scaled(rows / state.requests), seconds=seconds)
    }
    return [
        m if m.measure in _OF_ALL_ROWS else replace(m, interval=k.interval, rows=k.rows)
        for m in out
        if (k := kept[m.measure, m.subject])
    ]
