"""The measures of how a model is served, one line each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from watchkeeper.domain.measurement import Direction, Family, Measure
from watchkeeper.measures.entry import Entry
from watchkeeper.measures.service.durations import latency, outcome_delay
from watchkeeper.measures.service.rates import (
    availability,
    dropped_events,
    error_rate,
    outcome_coverage,
    request_rate,
    rescued_rows,
)


def _entry(
    function: Callable[..., Any],
    title: str,
    sentence: str,
    reference: str,
    *,
    unit: str,
    direction: Direction = Direction.HIGHER_IS_WORSE,
    high: float | None = 1.0,
) -> Entry:
    measure = Measure(
        name=function.__name__,
        family=Family.SERVICE,
        title=title,
        unit=unit,
        direction=direction,
        sentence=sentence,
        low=0.0,
        high=high,
    )
    return Entry(measure=measure, function=function, reads="service", reference=reference)


_SRE, _LOWER, _NEITHER = "Beyer et al. 2016", Direction.LOWER_IS_WORSE, Direction.NEITHER

CATALOGUE: tuple[Entry, ...] = (
    _entry(request_rate, "Requests", "Predictions a second.", _SRE, unit="1/s", direction=_NEITHER, high=None),
    _entry(error_rate, "Error rate", "Share of requests that failed.", "Wilson 1927", unit="share of requests"),
    _entry(availability, "Availability", "Share of requests that were answered.", _SRE, unit="share of requests",
           direction=_LOWER),
    _entry(latency, "Latency", "How long a prediction takes.", "Conover 1999", unit="s", high=None),
    _entry(outcome_delay, "Outcome delay", "How long after its prediction an outcome arrives.", "Conover 1999",
           unit="s", high=None),
    _entry(outcome_coverage, "Outcome coverage", "Share of predictions whose outcome has arrived.", "Wilson 1927",
           unit="share of predictions", direction=_LOWER),
    _entry(dropped_events, "Dropped events", "Share of rows that a recorder could not keep.", _SRE,
           unit="share of rows"),
    _entry(rescued_rows, "Rescued rows", "Share of rows with a value that did not fit its column.", _SRE,
           unit="share of rows"),
)  # fmt: skip
