"""What a peer's own definition says of one column: its number, its threshold, its verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class CompatResult:
    """One peer's answer about one column.

    ``score`` is the number that the peer itself would print: a distance for some methods, a p-value for others
    (then ``p_value`` holds it too). ``score=None`` means that the peer has no answer here, and ``reason`` says
    why; it never means zero. A score may be infinite where the peer's is.
    """

    peer: str
    method: str
    score: float | None
    p_value: float | None = None
    threshold: float | None = None
    drifted: bool = False
    reason: str | None = None
    note: str = ""
    """What a reader must know to compare it with the peer's own run (a random sketch, a trap)."""
    baseline_rows: int = 0
    rows: int = 0
    details: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.score is None and not self.reason:
            raise ValueError(f"{self.peer} {self.method} has no score and gives no reason")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: what is not finite becomes null beside its name.

        >>> CompatResult(peer="whylogs", method="chi-square", score=float("inf"), p_value=0.0).to_dict()
        {'peer': 'whylogs', 'method': 'chi-square', 'score': None, 'raw_score': 'inf', 'drifted': False,
         'rows': 0, 'baseline_rows': 0, 'p_value': 0.0}
        """
        out: dict[str, Any] = {"peer": self.peer, "method": self.method, "score": self.score}
        if self.score is not None and not isfinite(self.score):
            out["score"], out["raw_score"] = None, repr(self.score)
        out.update(drifted=self.drifted, rows=self.rows, baseline_rows=self.baseline_rows)
        for name in ("p_value", "threshold", "reason"):
            if (item := getattr(self, name)) is not None:
                out[name] = item
        if self.note:
            out["note"] = self.note
        if self.details:
            out["details"] = dict(self.details)
        return out
