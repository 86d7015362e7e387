"""An explanation: one cause, one sentence, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Cause(StrEnum):
    """What can happen to a column, the most telling first: of two that explain as much, the earlier one is shown."""

    TYPE = "type"
    SWAPPED = "swapped"
    """Two columns, or two categories, have changed places."""
    CONSTANT = "constant"
    MISSING = "missing"
    SCALE = "scale"
    SIGN = "sign"
    RENAMED = "renamed"
    MIXTURE = "mixture"
    FILLED = "filled"
    NEW = "new"
    VANISHED = "vanished"
    SHIFT = "shift"
    SPREAD = "spread"
    OUT_OF_RANGE = "out_of_range"
    SHARES = "shares"
    SHAPE = "shape"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One thing that happened to one column. ``share`` is the share of rows that it concerns, 0 to 1."""

    cause: Cause
    column: str
    sentence: str
    advice: str
    share: float
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "cause": self.cause.value,
            "column": self.column,
            "sentence": self.sentence,
            "advice": self.advice,
            "share": round(self.share, 6),
            "details": dict(self.details),
        }
