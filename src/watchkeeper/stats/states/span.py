"""From when to when: the earliest and the latest moment of a datetime column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from watchkeeper.domain.values import Values
from watchkeeper.stats.states.state import Accuracy


@dataclass(frozen=True, slots=True, kw_only=True)
class DatetimeSpan:
    """Earliest and latest moment in microseconds since 1970 UTC (None with no moment), and how many.

    >>> DatetimeSpan.of_moments([5_000_000, 1_000_000]).length_s
    4.0
    """

    kind: ClassVar[str] = "span"

    min_us: int | None = None
    max_us: int | None = None
    n: float = 0
    nulls: float = 0

    @classmethod
    def empty(cls) -> Self:
        """No rows."""
        return cls()

    @classmethod
    def of(cls, values: Values) -> Self:
        """The span of one batch of a datetime column."""
        if values.valid is None:
            return cls.of_moments(values.data)
        return cls.of_moments(values.data[values.valid], nulls=int(np.count_nonzero(~values.valid)))

    @classmethod
    def of_moments(cls, moments: Any, *, nulls: int = 0) -> Self:
        """The span of whole microseconds ``(rows,)``."""
        data = np.asarray(moments, dtype=np.int64)
        if not data.size:
            return cls(nulls=nulls)
        return cls(min_us=int(data.min()), max_us=int(data.max()), n=int(data.size), nulls=nulls)

    def merge(self, other: Self) -> Self:
        """The span of both."""
        mins = [s.min_us for s in (self, other) if s.min_us is not None]
        maxs = [s.max_us for s in (self, other) if s.max_us is not None]
        return type(self)(
            min_us=min(mins, default=None),
            max_us=max(maxs, default=None),
            n=self.n + other.n,
            nulls=self.nulls + other.nulls,
        )

    def scaled(self, factor: float) -> Self:
        """Each row weighs *factor*; the ends stay."""
        return type(self)(
            min_us=self.min_us, max_us=self.max_us, n=self.n * factor, nulls=self.nulls * factor
        )

    @property
    def length_s(self) -> float | None:
        """Seconds from the first to the last moment; None with no moment."""
        return None if self.min_us is None or self.max_us is None else (self.max_us - self.min_us) / 1e6

    @property
    def accuracy(self) -> Accuracy:
        """Exact."""
        return Accuracy.exactly(of="microsecond")

    def to_payload(self) -> dict[str, Any]:
        """All four numbers."""
        return {"min_us": self.min_us, "max_us": self.max_us, "n": self.n, "nulls": self.nulls}

    @classmethod
    def of_payload(cls, payload: Mapping[str, Any]) -> Self:
        """Read `to_payload`."""
        return cls(**{name: payload[name] for name in ("min_us", "max_us", "n", "nulls")})
