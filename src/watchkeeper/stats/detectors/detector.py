"""What all classical detectors share: values in, indices of alarms out, and a fresh start after each alarm."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from watchkeeper.errors import BadInput

NO_GUARANTEE = "no guarantee: a classical detector, whose false alarms over time are not bounded"
"""What an alarm of these detectors says of itself."""


class Resumable:
    """A detector whose fields are all its parameters and state, so that it can be saved anywhere."""

    def to_payload(self) -> dict[str, Any]:
        """Plain values; `of_payload` reads them back."""
        return {"detector": type(self).__name__, **asdict(self)}  # type: ignore[call-overload]

    @classmethod
    def of_payload(cls, payload: dict[str, Any]) -> Self:
        """Read what `to_payload` wrote.

        Raises
        ------
        BadInput
            the payload is of another detector.
        """
        if payload["detector"] != cls.__name__:
            raise BadInput(f"This state is of {payload['detector']}, not of {cls.__name__}.")
        return cls(**{key: value for key, value in payload.items() if key != "detector"})


def finite(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return *values* as doubles ``(n,)``; a value that is not finite is refused, since it would never leave."""
    x = np.asarray(values, dtype=float).reshape(-1)
    if not np.isfinite(x).all():
        raise BadInput("A detector was given a value that is not finite.", "Leave missing values out.")
    return x


def doubling_spans(start: int, total: int, *, first: int = 512, largest: int = 16_384) -> Iterator[slice]:
    """Cut ``start..total`` into spans that double, so that a restart wastes little of what was computed.

    >>> list(doubling_spans(0, 1_600))
    [slice(0, 512, None), slice(512, 1536, None), slice(1536, 1600, None)]
    """
    size = min(first, largest)
    while start < total:
        stop = min(start + size, total)
        yield slice(start, stop)
        start, size = stop, min(2 * size, largest)
