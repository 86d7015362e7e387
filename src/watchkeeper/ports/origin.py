"""Where rows of a lake come from, and how far a source has come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Origin", "Position"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where rows come from: all that *source* holds for their table from sequence *first* to *last*."""

    source: str
    first: int
    last: int
    token: int
    """Of the lease under which they are written (`watchkeeper.domain.fact.Lease`)."""
    seen: int | None = None
    """The version of the table (`Position.version`) before its known ids were read; None: they do not matter."""


class Position(NamedTuple):
    """How far a source has come in a table, and the table's version at that moment (-1: there is no table)."""

    sequence: int
    version: int
