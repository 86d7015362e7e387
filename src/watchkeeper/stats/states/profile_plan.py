"""What is counted, the same for every window of a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from watchkeeper.domain.schema import Column, Kind, Role, Schema
from watchkeeper.stats.states.edges import Edges
from watchkeeper.stats.states.frequencies import CAP

SAMPLE_K = 5_000
SEGMENT_CAP = 50
_SAMPLE_CELLS = 4_000_000
_BUFFER_TOTAL = 1 << 25
"""Values that all edge finders together may hold (256 MB)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ProfilePlan:
    """What to count, the same for every window of a model.

    Parameters
    ----------
    schema : the columns; those of role *ignored* are left out.
    edges : the edges of each numeric column. One without is counted on edges of its own, found on the way.
    positive : the outcome's positive class as text, where the schema does not say it.
    classes : the classes of outcomes and predictions, in the spelling that later ones are brought to.
    ranks : columns of scores that are no probabilities, of which only the order means anything.
    sample_k : rows of the sample; 0 for none.
    frequency_cap : categories that are counted by name.
    distinct : columns whose distinct values are counted; None for ids, texts and categories.
    segments : column names (or pairs of them, ...) by whose values performance is kept apart.
    segment_cap : largest number of segments of one such entry; the rest is ``(other)``.
    """

    kind: ClassVar[str] = "profile_plan"

    schema: Schema
    edges: dict[str, Edges] = field(default_factory=dict)
    positive: str | None = None
    classes: tuple[str, ...] = ()
    ranks: tuple[str, ...] = ()
    sample_k: int = SAMPLE_K
    frequency_cap: int = CAP
    distinct: tuple[str, ...] | None = None
    segments: tuple[tuple[str, ...], ...] = ()
    segment_cap: int = SEGMENT_CAP

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns that are profiled."""
        return tuple(c for c in self.schema.columns if c.role is not Role.IGNORED)

    @property
    def sample_rows(self) -> int:
        """Rows that are sampled: ``sample_k``, or fewer (not under 1,000) for very wide tables."""
        return min(self.sample_k, max(1_000, _SAMPLE_CELLS // max(len(self.columns), 1)))

    @property
    def positive_class(self) -> str | None:
        """The outcome that counts as positive, as text, if anybody said it."""
        return self.positive if self.positive is not None else self.schema.positive

    def counts_distinct(self, column: Column) -> bool:
        """Whether distinct values of *column* are counted."""
        if self.distinct is not None:
            return column.name in self.distinct
        return column.role is Role.ID or column.kind in (Kind.TEXT, Kind.CATEGORICAL)

    def to_payload(self) -> dict[str, Any]:
        """Everything."""
        return {
            "schema": self.schema.to_dict(),
            "edges": self.edges,
            "positive": self.positive,
            "classes": list(self.classes),
            "ranks": list(self.ranks),
            "sample_k": self.sample_k,
            "frequency_cap": self.frequency_cap,
            "distinct": None if self.distinct is None else list(self.distinct),
            "segments": [list(names) for names in self.segments],
            "segment_cap": self.segment_cap,
        }

    @classmethod
    def of_payload(cls, payload: Mapping[str, Any]) -> Self:
        """Read `to_payload`."""
        distinct = payload["distinct"]
        return cls(
            schema=Schema.of_dict(payload["schema"]),
            edges=dict(payload["edges"]),
            positive=payload["positive"],
            classes=tuple(payload.get("classes", ())),
            ranks=tuple(payload.get("ranks", ())),
            sample_k=payload["sample_k"],
            frequency_cap=payload["frequency_cap"],
            distinct=None if distinct is None else tuple(distinct),
            segments=tuple(tuple(names) for names in payload["segments"]),
            segment_cap=payload["segment_cap"],
        )


def is_binned(column: Column) -> bool:
    """Whether *column* is counted in a histogram, and so needs edges."""
    return column.kind.is_numeric and column.role not in (Role.IGNORED, Role.ID)


def finder_buffer(columns: int) -> int:
    """Values that each edge finder of so many columns may hold."""
    return min(1 << 20, _BUFFER_TOTAL // max(columns, 1))
