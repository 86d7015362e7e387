"""Break: sudden, large damage, told within a window or three. See `stats.evidence.break_rule` for columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from watchkeeper.decisions.rules.condition import Context
from watchkeeper.decisions.rules.effect_and_evidence import evidence_evaluation
from watchkeeper.domain.rule import Evaluation, Reads
from watchkeeper.errors import BadInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """Fails where windows are so far off that their rows alone are the evidence.

    Three in a row are needed, or one where rows are declared independent: rows of one day rarely are, and days
    with heavy tails broke the one-window rule in every simulated deployment.
    """

    kind: ClassVar[str] = "break"
    needs_measure: ClassVar[bool] = False
    reads: ClassVar[Reads] = "evidence"
    may_page: ClassVar[bool] = True
    guarantee: ClassVar[str] = "a stated chance of ever firing falsely, if rows are independent"

    matters: float = 0.0
    """Smallest effect that matters, in the measure's unit; for columns the largest gap of shares (0: .1)."""
    independent_rows: bool = False
    min_rows: float = 20

    def __post_init__(self) -> None:
        if self.matters < 0:
            raise BadInput("What matters cannot be less than nothing.")

    def evaluate(self, context: Context) -> Evaluation:
        """Say what the evidence of a column or a series says of a break."""
        return evidence_evaluation(context, breaks=True)
