r"""Change of the share of missing values.

Formula
-------
.. math:: |p - q|,\quad q = \text{missing}_0 / n,\ p = \text{missing}_1 / m

Missing is null, NaN, and what did not fit the column's kind.

Reads: any two states that count rows and nulls (`Histogram`, `Frequencies`, `VectorState`, `DatetimeSpan`, ...);
never rows. Cost: O(1).

Limits
------
A share that falls is a change too: ``details`` holds both. The p-value is Fisher's where fewer than 5 missing
rows are expected on a side, else the two-sample chi-square's.

References
----------
R. Fisher, *Statistical Methods for Research Workers*, 1934 (exact test); K. Pearson, Phil. Mag. 50, 1900.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import chdtrc, gammaln, ndtri

from watchkeeper.domain.measurement import Measurement
from watchkeeper.measures.drift.share_measurement import MARGIN_LEVEL
from watchkeeper.stats.states.text import TextLengths


def missing_drift(baseline: Any, window: Any) -> float:
    """Return the absolute change of the share of missing values.

    >>> from watchkeeper.stats.states.frequencies import Frequencies
    >>> round(missing_drift(Frequencies.of_counts({"a": 90}, nulls=10), Frequencies.of_counts({"a": 7}, nulls=3)), 4)
    0.2
    """
    return abs(_missing(window) / _rows(window) - _missing(baseline) / _rows(baseline))


def measure_missing_drift(
    baseline: Any, window: Any, *, rows: tuple[float, float] | None = None
) -> Measurement:
    """The measurement, with its margin and p-value."""
    totals = _rows(baseline), _rows(window)
    for name, total in zip(("baseline", "window"), totals):
        if not total:
            return Measurement.missing(
                "missing_drift", f"The {name} has no rows.", rows=totals[1], baseline_rows=totals[0]
            )
    n, m = rows if rows is not None else totals
    q, p = _missing(baseline) / totals[0], _missing(window) / totals[1]
    share = (q * n + p * m) / (n + m)
    # two rows of each kind are added, so that a tiny window without a missing row is not taken as certain
    cautious = (share * (n + m) + 2) / (n + m + 4)
    spread = math.sqrt(1 / n + 1 / m)
    sd = math.sqrt(share * (1 - share)) * spread
    return Measurement(
        measure="missing_drift",
        value=abs(p - q),
        rows=m,
        baseline_rows=n,
        margin=float(ndtri((1 + MARGIN_LEVEL) / 2)) * math.sqrt(cautious * (1 - cautious)) * spread,
        p_value=_p_value(q * n, n, p * m, m),
        bound=0.0,
        details={"expected": math.sqrt(2 / math.pi) * sd, "baseline_share": q, "share": p},
    )


def _rows(state: Any) -> float:
    """All rows, with and without a value, of whatever state it is."""
    if hasattr(state, "total"):
        return float(state.total)
    if isinstance(state, TextLengths):
        return float(state.length.n + state.nulls)
    return float(state.n + state.nulls + state.misfits + state.nonfinite)


def _missing(state: Any) -> float:
    """Null, NaN and misfits of whatever state it is."""
    if hasattr(state, "missing"):
        return float(state.missing)
    return float(state.nulls + getattr(state, "misfits", 0))


def _p_value(a: float, n: float, b: float, m: float) -> float:
    """Two-sided p-value for *a* missing of *n* rows against *b* of *m*."""
    k = a + b
    if k == 0 or k == n + m:
        return 1.0
    if min(n, m) * min(k, n + m - k) / (n + m) >= 5:
        share = k / (n + m)
        return float(chdtrc(1, (b / m - a / n) ** 2 / (share * (1 - share) * (1 / n + 1 / m))))
    n, m, k, b = round(n), round(m), round(k), round(b)
    counts = np.arange(max(0, k - n), min(k, m) + 1)
    log_weights = _log_choose(m, counts) + _log_choose(n, k - counts) - _log_choose(n + m, np.array(k))
    weights = np.exp(log_weights)
    seen = weights[int(np.clip(b - counts[0], 0, counts.size - 1))]
    return float(min(1.0, weights[weights <= seen * (1 + 1e-7)].sum()))


def _log_choose(n: float, k: np.ndarray) -> np.ndarray:
    return gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
