"""The budget for false alarms of one deployment."""

from __future__ import annotations

from dataclasses import dataclass

from watchkeeper.errors import BadInput
from watchkeeper.stats.evidence.column_evidence import revision_share


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The chance that anything ever pages falsely in this deployment, and how it is cut up.

    >>> budget = Budget()
    >>> round(budget.columns + budget.breaks + budget.measures + budget.revisions, 12)
    0.05
    """

    total: float = 0.05

    def __post_init__(self) -> None:
        if not 0 < self.total < 1:
            raise BadInput(f"The budget for false alarms lies between 0 and 1, not at {self.total}.")

    @property
    def columns(self) -> float:
        """For lasting changes of columns."""
        return 0.4 * self.total

    @property
    def breaks(self) -> float:
        """For breaks, of columns and measures together."""
        return 0.1 * self.total

    @property
    def measures(self) -> float:
        """For lasting changes of measures."""
        return 0.3 * self.total

    @property
    def revisions(self) -> float:
        """For corrections of the past."""
        return 0.2 * self.total

    def revised(self, revision: int) -> Budget:
        """The budget of evidence that is folded again from a corrected past, for the *revision*-th time.

        All revisions together take no more than ``revisions``: the r-th takes 1/(r(r+1)) of it. 0 is no revision.

        >>> parts = [Budget().revised(r) for r in (1, 2, 3)]
        >>> [round(b.columns + b.breaks + b.measures, 5) for b in parts]
        [0.005, 0.00167, 0.00083]
        """
        if not revision:
            return self
        return Budget(total=self.revisions * revision_share(revision) / 0.8)
