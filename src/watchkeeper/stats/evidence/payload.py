"""Arrays as plain text inside a payload, so that a state fits JSON and comes back bit for bit."""

from __future__ import annotations

from base64 import b85decode, b85encode
from typing import Any

import numpy as np
from numpy.typing import NDArray


def pack(array: NDArray[Any]) -> dict[str, Any]:
    """Return ``{"shape", "f8"}``: little-endian doubles in base 85.

    >>> unpack(pack(np.array([[0.1, -2.0]])))
    array([[ 0.1, -2. ]])
    """
    doubles = np.ascontiguousarray(array, dtype="<f8")
    return {"shape": list(np.shape(array)), "f8": b85encode(doubles.tobytes()).decode("ascii")}


def unpack(packed: dict[str, Any]) -> NDArray[np.float64]:
    """Read what `pack` wrote."""
    data = np.frombuffer(b85decode(packed["f8"]), dtype="<f8")
    return data.reshape(packed["shape"]).astype(np.float64)
