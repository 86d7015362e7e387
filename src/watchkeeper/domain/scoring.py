"""How a model's predictions are scored: as what task, which class is the positive one, from which score on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from watchkeeper.domain.schema import Task

__all__ = ["Scoring", "ScoringOptions"]


class ScoringOptions(TypedDict):
    """The three as keyword arguments of measures."""

    task: Task | None
    positive: str | None
    threshold: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """One model's task, positive class and threshold; None: not known.

    >>> Scoring(task=Task.BINARY).where_unknown(task=Task.REGRESSION, positive="yes")
    Scoring(task=<Task.BINARY: 'binary'>, positive='yes', threshold=0.5)
    """

    task: Task | None = None
    positive: str | None = None
    threshold: float = 0.5
    """Scores at or above it are predicted positive."""

    def where_unknown(self, *, task: Task | None, positive: str | None) -> Scoring:
        """The same, with these where nothing was said."""
        return Scoring(task=self.task or task, positive=self.positive or positive, threshold=self.threshold)

    @property
    def options(self) -> ScoringOptions:
        """As keyword arguments of `measure_performance` and its kin."""
        return {"task": self.task, "positive": self.positive, "threshold": self.threshold}
