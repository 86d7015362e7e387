"""The name of a prediction as text, one spelling whatever type held it: 10000, 10000.0 and "10000" are one id."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

__all__ = ["EXACT_FLOAT", "id_text"]

EXACT_FLOAT = 2.0**53
"""From here on a float is not one integer but several, so it names nothing."""


def id_text(value: Any) -> str | None:
    """Return *value* as an id; None where it is missing (None, NaN, NaT, NA, empty text).

    >>> id_text(10000.0), id_text(2**70), id_text("00123"), id_text(float("nan"))
    ('10000', '1180591620717411303424', '00123', None)

    Raises
    ------
    ValueError
        it cannot be an id: a truth, a fraction, or a float that is so large that it is no single integer.
    """
    if type(value) is str:
        return value or None
    if value is None or type(value).__name__ in ("NaTType", "NAType"):
        return None
    if callable(getattr(value, "item", None)) and getattr(value, "shape", None) == ():
        value = value.item()
    if isinstance(value, bool):
        raise ValueError(f"the id {value} is a truth, not a name")
    if isinstance(value, float | Decimal):
        if math.isnan(value):
            return None
        if isinstance(value, float) and abs(value) >= EXACT_FLOAT:
            raise ValueError(
                f"the id {value!r} is a float, which holds integers exactly only up to 2^53: use text"
            )
        if not math.isfinite(value) or value != int(value):
            raise ValueError(f"the id {value} is no whole number")
        return str(int(value))
    if isinstance(value, bytes):
        try:
            return value.decode() or None
        except UnicodeDecodeError:
            return value.hex()
    return str(value) or None
