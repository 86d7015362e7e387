"""What one check says of one subject, in a sentence that a person can act on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from watchkeeper.domain.measurement import Family, Interval, Measurement
from watchkeeper.domain.verdict import Verdict

__all__ = ["Finding"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A judged measurement: the verdict, what it was judged against, and why.

    ``weight`` orders findings by what matters: 1.0 is an effect right at the level that fails, 2.0 twice that.
    ``q_value`` is the p-value after control of false discoveries over all subjects of the same check.
    """

    family: Family
    measure: str
    subject: str
    verdict: Verdict
    sentence: str
    weight: float = 0.0
    value: float | None = None
    baseline_value: float | None = None
    fail_at: float | None = None
    margin: float | None = None
    p_value: float | None = None
    q_value: float | None = None
    interval: Interval | None = None
    rows: float = 0
    baseline_rows: float | None = None
    segment: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, m: Measurement, *, family: Family, verdict: Verdict, sentence: str, **rest: Any) -> Finding:
        """A finding that takes its numbers from a measurement."""
        return cls(
            family=family,
            measure=m.measure,
            subject=m.subject,
            verdict=verdict,
            sentence=sentence,
            value=m.value,
            margin=m.margin,
            p_value=m.p_value,
            interval=m.interval,
            rows=m.rows,
            baseline_rows=m.baseline_rows,
            segment=m.segment,
            details=m.details,
            **rest,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: no NaN; keys that have nothing to say are left out, ``value`` is always there."""
        out: dict[str, Any] = {
            "family": self.family.value,
            "measure": self.measure,
            "subject": self.subject,
            "verdict": self.verdict.value,
            "sentence": self.sentence,
            "value": self.value,
            "rows": self.rows,
            "weight": round(self.weight, 6),
        }
        for name in ("baseline_value", "fail_at", "margin", "p_value", "q_value", "baseline_rows"):
            if (item := getattr(self, name)) is not None:
                out[name] = item
        if self.interval is not None:
            out["interval"] = {
                "low": self.interval.low,
                "high": self.interval.high,
                "level": self.interval.level,
            }
        if self.segment:
            out["segment"] = self.segment
        if self.details:
            out["details"] = dict(self.details)
        return out
