"""How a model was served: requests, errors, how long they took, how late outcomes came.

Latencies are counted on a fixed geometric lattice, the same for every model and window, so that a day's 99th
percentile follows from its hours: any quantile is within one per cent of the value (half a bin).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from watchkeeper.stats.states.edges import Edges
from watchkeeper.stats.states.histogram import Histogram
from watchkeeper.stats.states.state import Accuracy

GROWTH = 1.02
RELATIVE_BOUND = GROWTH - 1
"""A quantile is off by at most this share of its value: the width of the bin that it lies in."""


@cache
def duration_edges() -> Edges:
    """Seconds from a microsecond to three years, each cut two per cent above the last."""
    count = int(np.ceil(np.log(1e8 / 1e-6) / np.log(GROWTH)))
    cuts = 1e-6 * GROWTH ** np.arange(count + 1)
    return Edges(cuts, np.full(cuts.size, 11, np.uint8))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ServiceState:
    """``requests`` predictions, ``errors`` of them failed; ``latency`` and outcome ``delay`` in seconds.

    ``dropped`` rows are those that a recorder could not keep, ``rescued`` those with a value that did not fit.

    >>> s = ServiceState.of(latency_s=[0.01, 0.02, float("nan")], failed=[False, False, True])
    >>> s.requests, s.errors, round(float(s.latency.quantile(1.0)), 3)
    (3, 1, 0.02)
    """

    kind: ClassVar[str] = "service"

    requests: float = 0
    errors: float = 0
    rescued: float = 0
    dropped: float = 0
    latency: Histogram = field(default_factory=lambda: Histogram.empty(duration_edges()))
    delay: Histogram = field(default_factory=lambda: Histogram.empty(duration_edges()))

    @classmethod
    def empty(cls) -> Self:
        """Nothing served."""
        return cls()

    @classmethod
    def of(
        cls,
        *,
        latency_s: ArrayLike,
        failed: ArrayLike,
        delay_s: ArrayLike = (),
        rescued: int = 0,
        dropped: int = 0,
    ) -> Self:
        """The state of some requests.

        Parameters
        ----------
        latency_s : seconds ``(rows,)``; NaN where it was not measured.
        failed : bool ``(rows,)``.
        delay_s : seconds from the prediction to its outcome, for those that have one ``(outcomes,)``; NaN where
            it is not known when the outcome came.
        """
        latency = np.asarray(latency_s, dtype=np.float64)
        broken = np.asarray(failed, dtype=bool)
        delay = np.asarray(delay_s, dtype=np.float64)
        return cls(
            requests=int(broken.size),
            errors=int(np.count_nonzero(broken)),
            rescued=rescued,
            dropped=dropped,
            latency=Histogram.of(latency[np.isfinite(latency)], duration_edges()),
            delay=Histogram.of(np.maximum(delay[~np.isinf(delay)], 0.0), duration_edges()),
        )

    @property
    def rows(self) -> float:
        """Rows behind the counts: one a request."""
        return self.requests

    def merge(self, other: Self) -> Self:
        """Both sets of requests."""
        return replace(
            self,
            requests=self.requests + other.requests,
            errors=self.errors + other.errors,
            rescued=self.rescued + other.rescued,
            dropped=self.dropped + other.dropped,
            latency=self.latency.merge(other.latency),
            delay=self.delay.merge(other.delay),
        )

    def scaled(self, factor: float) -> Self:
        """Each request weighs *factor*; dropped rows were counted whole and stay so."""
        return replace(
            self,
            requests=self.requests * factor,
            errors=self.errors * factor,
            rescued=self.rescued * factor,
            latency=self.latency.scaled(factor),
            delay=self.delay.scaled(factor),
        )

    @property
    def accuracy(self) -> Accuracy:
        """Counts are exact; quantiles are within the width of a bin."""
        return Accuracy.within(RELATIVE_BOUND, of="relative quantile")

    def to_payload(self) -> dict[str, Any]:
        """Everything."""
        return {
            "requests": self.requests,
            "errors": self.errors,
            "rescued": self.rescued,
            "dropped": self.dropped,
            "latency": self.latency,
            "delay": self.delay,
        }

    @classmethod
    def of_payload(cls, payload: Mapping[str, Any]) -> Self:
        """Read `to_payload`."""
        return cls(
            **{
                name: payload[name]
                for name in ("requests", "errors", "rescued", "dropped", "latency", "delay")
            }
        )
