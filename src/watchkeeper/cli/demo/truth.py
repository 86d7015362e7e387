"""The same year, told by scikit-learn from the flights themselves: what the demo's alarms are held against.

Nothing here reads what Watchkeeper measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.cli.demo.flights import Flights

__all__ = ["Truth"]

DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """Scores that the model gives to clean features, and what happened; by departure time."""

    departs_us: NDArray[np.int64]
    scores: NDArray[np.float64]
    late: NDArray[np.int64]
    baseline_brier: float
    baseline_auc: float

    @classmethod
    def of(
        cls, flights: Flights, scores: NDArray[np.float64], *, baseline: tuple[NDArray[Any], NDArray[Any]]
    ) -> Truth:
        """*baseline* holds the scores and outcomes of the baseline's rows."""
        from sklearn.metrics import brier_score_loss, roc_auc_score

        known = baseline[1] >= 0
        return cls(
            departs_us=flights.departs_us,
            scores=scores,
            late=flights.late,
            baseline_brier=float(brier_score_loss(baseline[1][known], baseline[0][known])),
            baseline_auc=float(roc_auc_score(baseline[1][known], baseline[0][known])),
        )

    def between(self, start: datetime, end: datetime) -> dict[str, Any]:
        """Brier score, AUC, share of late flights and mean score of [start, end)."""
        from sklearn.metrics import brier_score_loss, roc_auc_score

        a, b = np.searchsorted(self.departs_us, [int(start.timestamp() * 1e6), int(end.timestamp() * 1e6)])
        y, p = self.late[a:b], self.scores[a:b]
        known = y >= 0
        if known.sum() < 2 or len(np.unique(y[known])) < 2:
            return {"flights": int(b - a)}
        return {
            "flights": int(b - a),
            "brier": round(float(brier_score_loss(y[known], p[known])), 4),
            "auc": round(float(roc_auc_score(y[known], p[known])), 4),
            "late_share": round(float(y[known].mean()), 4),
            "mean_score": round(float(p.mean()), 4),
            "brier_if_calibrated": round(float((p * (1 - p)).mean()), 4),
        }

    def daily_brier(self, start: datetime, end: datetime) -> list[tuple[datetime, float]]:
        """The Brier score of each UTC day."""
        out = []
        at = start
        while at < end:
            found = self.between(at, at + timedelta(days=1))
            if "brier" in found:
                out.append((at, found["brier"]))
            at += timedelta(days=1)
        return out
