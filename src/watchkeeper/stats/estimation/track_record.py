r"""How good estimates turned out to be, once the outcomes were there.

Formula
-------
Over the pairs of an estimate with its interval and the realised value,

.. math:: \mathrm{error} = \frac1K\sum_k |\hat\theta_k - \theta_k|, \qquad
          \mathrm{coverage} = \frac1K\sum_k 1[\text{low}_k \le \theta_k \le \text{high}_k]

Coverage has Wilson's interval; the error Student's.

Limits
------
Neighbouring windows are alike, so their hits are not independent: with few windows the interval is itself too
narrow. A realised value from part of the outcomes varies more than the interval was made for.

References
----------
E. B. Wilson, *Probable inference, the law of succession, and statistical inference*, JASA 22, 1927.
T. Gneiting, A. Raftery, *Strictly proper scoring rules, prediction, and estimation*, JASA 102, 2007.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from watchkeeper.domain.measurement import Interval
from watchkeeper.stats.intervals import mean_interval, wilson


@dataclass(frozen=True, slots=True)
class Told:
    """What was estimated of one window, and what its outcomes showed."""

    estimate: float
    interval: Interval
    realised: float
    reliable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackRecord:
    """``windows`` counted, error and coverage with their intervals, and the mean width of the estimates'."""

    windows: int
    error: float
    error_interval: Interval
    coverage: float
    coverage_interval: Interval
    width: float
    bias: float
    """Mean of estimated less realised."""
    level: float


def score_estimates(
    told: Iterable[Told], *, level: float = 0.95, doubted: bool = False
) -> TrackRecord | None:
    """Score estimates against outcomes; None when there is nothing to score.

    Parameters
    ----------
    doubted : also count estimates that were called unreliable.

    >>> record = score_estimates([Told(0.9, Interval(0.88, 0.92), 0.91), Told(0.8, Interval(0.78, 0.82), 0.7)])
    >>> record.coverage, round(record.error, 3), round(record.bias, 3)
    (0.5, 0.055, 0.045)
    """
    kept = [t for t in told if (t.reliable or doubted) and np.isfinite([t.estimate, t.realised]).all()]
    if not kept:
        return None
    gaps = np.array([t.estimate - t.realised for t in kept])
    hits = sum(t.interval.low <= t.realised <= t.interval.high for t in kept)
    spread = float(np.abs(gaps).var(ddof=1)) if len(kept) > 1 else float("nan")
    error = mean_interval(float(np.abs(gaps).mean()), spread, len(kept), level=level)
    return TrackRecord(
        windows=len(kept),
        error=float(np.abs(gaps).mean()),
        error_interval=Interval(max(0.0, error.low), error.high, level),
        coverage=hits / len(kept),
        coverage_interval=wilson(hits, len(kept), level=level),
        width=float(np.mean([t.interval.high - t.interval.low for t in kept])),
        bias=float(gaps.mean()),
        level=kept[0].interval.level,
    )
