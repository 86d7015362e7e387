"""All measures of service, in one call."""

from __future__ import annotations

from watchkeeper.domain.measurement import Measurement
from watchkeeper.measures.service.catalogue import CATALOGUE
from watchkeeper.stats.states.service import ServiceState

__all__ = ["measure_service"]


def measure_service(state: ServiceState, *, seconds: float) -> list[Measurement]:
    """Measure one window of *seconds*.

    >>> s = ServiceState.of(latency_s=[0.1], failed=[False])
    >>> [m.measure for m in measure_service(s, seconds=60)][:3]
    ['request_rate', 'error_rate', 'availability']
    """
    out: list[Measurement] = []
    for entry in CATALOGUE:
        found = entry.function(state, seconds=seconds)
        out += found if isinstance(found, list) else [found]
    return out
