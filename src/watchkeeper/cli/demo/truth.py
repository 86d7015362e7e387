"""The same year, told by scikit-learn and scipy from the flights themselves: what the demo's alarms are held against.

Nothing here reads what Watchkeeper measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from watchkeeper.cli.demo.flights import Flights

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """Flights as they were sent to the model, what it answers to them, and what happened; by departure time.

    ``sent`` holds the features, ``before`` those of the baseline with its scores (``score``).
    """

    departs_us: NDArray[np.int64]
    arrived_us: NDArray[np.int64]
    sent: pa.Table
    scores: NDArray[np.float64]
    late: NDArray[np.int64]
    before: pa.Table
    baseline: dict[str, float]

    @classmethod
    def of(
        cls, flights: Flights, sent: pa.Table, scores: NDArray[np.float64], *, past: Flights, unseen: Any
    ) -> Truth:
        """*sent* are the rows of *flights* as the model was given them; *unseen* are the baseline's scores."""
        return cls(
            departs_us=flights.departs_us,
            arrived_us=flights.arrived_us,
            sent=sent,
            scores=scores,
            late=flights.late,
            before=past.rows.append_column("score", pa.array(unseen)),
            baseline=_performance(past.late, unseen),
        )

    def between(self, start: datetime, end: datetime) -> dict[str, Any]:
        """How good the model was over [start, end), and how many flights were late."""
        a, b = self._places(start, end)
        return {"flights": b - a, **_performance(self.late[a:b], self.scores[a:b])}

    def if_calibrated(self, start: datetime, end: datetime) -> dict[str, float]:
        """AUC and Brier score over [start, end) if every score were the true probability: what a label-free
        estimate that trusts the scores must say.
        """
        from sklearn.metrics import roc_auc_score

        a, b = self._places(start, end)
        p = self.scores[a:b]
        both = np.concatenate([np.ones(len(p)), np.zeros(len(p))])
        weight = np.concatenate([p, 1 - p])
        return {
            "auc": round(float(roc_auc_score(both, np.concatenate([p, p]), sample_weight=weight)), 4),
            "brier": round(float((p * (1 - p)).mean()), 4),
        }

    def column(self, name: str, start: datetime, end: datetime, *, category: str = "") -> dict[str, Any]:
        """How far *name* is from the baseline over [start, end): the Kolmogorov-Smirnov distance and means of
        numbers, the share of *category* (of the one that moved most); and what share is missing.
        """
        a, b = self._places(start, end)
        rows = self.sent.slice(a, b - a).append_column("score", pa.array(self.scores[a:b]))
        before, now = self.before[name], rows[name]
        out: dict[str, Any] = {"missing": round(now.null_count / max(1, len(now)), 4)}
        if pa.types.is_string(now.type):
            shares = [_shares(c) for c in (before, now)]
            moved = category or max(
                {*shares[0], *shares[1]}, key=lambda w: abs(shares[1].get(w, 0) - shares[0].get(w, 0))
            )
            return {**out, "category": moved, "share": [round(s.get(moved, 0.0), 4) for s in shares]}
        from scipy.stats import ks_2samp

        left, right = (c.drop_null().to_numpy() for c in (before, now))
        found = ks_2samp(left, right, method="asymp")
        means = [round(float(v.mean()), 4) for v in (left, right)]
        return {**out, "ks": round(float(found.statistic), 4), "mean": means}

    def flights_on(self, day: datetime) -> dict[str, Any]:
        """Flights in the 24 hours from *day*, and the median of the eight weeks before on the same weekday."""

        def count(start: datetime) -> int:
            a, b = self._places(start, start + DAY)
            return b - a

        earlier = [n for w in range(1, 9) if (n := count(day - 7 * w * DAY))]
        return {"flights": count(day), "usual": float(np.median(earlier)) if earlier else None}

    def outcomes_known(self, start: datetime, end: datetime, *, by: datetime, delay: timedelta) -> int:
        """How many flights of [start, end) had landed at least *delay* before *by*."""
        a, b = self._places(start, end)
        arrived = self.arrived_us[a:b]
        return int(((arrived >= 0) & (arrived <= (by - delay).timestamp() * 1e6)).sum())

    def _places(self, start: datetime, end: datetime) -> tuple[int, int]:
        a, b = np.searchsorted(self.departs_us, [int(start.timestamp() * 1e6), int(end.timestamp() * 1e6)])
        return int(a), int(b)


def _performance(late: NDArray[np.int64], scores: NDArray[np.float64]) -> dict[str, float]:
    from sklearn.metrics import accuracy_score, brier_score_loss, roc_auc_score

    known = late >= 0
    y, p = late[known], scores[known]
    if len(y) < 2 or len(np.unique(y)) < 2:
        return {}
    return {
        "brier": round(float(brier_score_loss(y, p)), 4),
        "auc": round(float(roc_auc_score(y, p)), 4),
        "accuracy": round(float(accuracy_score(y, p >= 0.5)), 4),
        "late_share": round(float(y.mean()), 4),
    }


def _shares(column: pa.ChunkedArray) -> dict[str, float]:
    counted = column.value_counts().to_pylist()
    return {
        c["values"] if c["values"] is not None else "(missing)": c["counts"] / len(column) for c in counted
    }
