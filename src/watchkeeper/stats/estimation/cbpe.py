r"""Confidence-based performance estimation (CBPE): metrics of a binary model before outcomes arrive.

Method
------
With :math:`w_c` the window's rows and :math:`q_c` the calibrated probability of a positive in cell :math:`c` of
the score, the window is expected to hold :math:`w_c q_c` positives and :math:`w_c (1 - q_c)` negatives there,
and every metric follows from these counts. Calibration is learnt from the baseline's labelled cells, where it
helps. The value is the mean of the metric over draws of outcomes, not the metric of mean outcomes: they differ
for average precision, lift and calibration error.

Interval
--------
For the value that the window's own outcomes will show. Three sources of variance add up:

- *sampling*: outcomes are drawn, independently given the score (Poisson-binomial);
- *calibration*: the baseline is finite: its cells are drawn again (a multinomial bootstrap), and the curve is
  fitted to each draw;
- *windows*: if the baseline's own windows are given, how much further their outcomes were from their estimates
  than the first two allow. Rows of one day are not independent, and without this the interval is too narrow.

Holds as long as the chance of a positive, given the score, is what it was in the baseline. Coverage of 95%
intervals is at least 93% where the baseline has at least twice the window's rows (simulated, see the tests).

References
----------
J. Białek et al., *Estimating model performance under covariate shift without labels*, arXiv:2401.08348.
B. Sen, M. Banerjee, M. Woodroofe, *Inconsistency of bootstrap: the Grenander estimator*, Ann. Stat. 38, 2010.
J. Kivimäki, J. Białek, J. K. Nurminen, W. Kuberski, *Confidence-based estimators for predictive performance in
model monitoring*, JAIR 82, 2025 (arXiv:2407.08649).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.errors import NotFound, nearest
from watchkeeper.stats.estimation.calibrated import DRAWS, SEED, Calibrated, calibrate
from watchkeeper.stats.estimation.contradiction import LEVEL_OF_DOUBT, Contradiction, contradiction
from watchkeeper.stats.estimation.estimate import Estimate
from watchkeeper.stats.estimation.expected_metrics import BINARY, CellCounts, Metric
from watchkeeper.stats.estimation.support import MOST_OUTSIDE, share_outside
from watchkeeper.stats.states.score_table import NEGATIVE, POSITIVE, ScoreTable

Floats = NDArray[np.float64]

FEWEST = 20
"""Baseline rows of each class below which a calibration is not to be trusted."""


def estimate(
    baseline: ScoreTable,
    window: ScoreTable,
    *,
    names: Iterable[str] | None = None,
    threshold: float = 0.5,
    level: float = 0.95,
    windows: Sequence[ScoreTable] = (),
    arrived: Sequence[ScoreTable] = (),
    calibration: str = "auto",
    draws: int = DRAWS,
    seed: int = SEED,
) -> dict[str, Estimate]:
    """Estimate metrics of *window* from its scores alone.

    Parameters
    ----------
    baseline : scores with outcomes.
    window : scores; outcomes that it has already are not used for the value, only to contradict it.
    names : metrics, of `expected_metrics.BINARY`; None takes all.
    threshold : where a score becomes a decision.
    windows : the baseline's own windows, with outcomes: how much they differ is tolerated.
    arrived : recent windows whose outcomes have arrived; if they contradict their estimates, so may this one.
    calibration : a way of `calibration.WAYS`; ``"auto"`` calibrates where that helps.

    Raises
    ------
    NotFound
        a name is not a metric.
    BadInput
        *calibration* is no known way.

    >>> rng = np.random.default_rng(0)
    >>> s = rng.random(30_000)
    >>> table = ScoreTable.of(s[:20_000], rng.random(20_000) < s[:20_000])
    >>> found = estimate(table, ScoreTable.of(s[20_000:]), names=["accuracy", "roc_auc"])
    >>> round(found["accuracy"].value, 2), round(found["roc_auc"].value, 2), found["accuracy"].reliable
    (0.75, 0.83, True)
    """
    metrics = wanted_metrics(names)
    window_cells, window_sums = window.counts.sum(axis=0).astype(float), window.sums.sum(axis=0)
    facts: dict[str, Any] = {
        "rows": float(window_cells.sum()),
        "baseline_rows": baseline.labelled,
        "method": "cbpe",
    }
    problem = _problem(baseline, facts["rows"])
    if problem:
        return {name: Estimate.impossible(name, problem, **facts) for name in metrics}
    fitted = calibrate(
        baseline,
        [window, *arrived],
        threshold=threshold,
        calibration=calibration,
        draws=draws,
        seed=seed,
    )
    found = fitted.measure(window_cells, window_sums, metrics)
    extra = window_variances(fitted, windows, metrics)
    tolerance = extra.get("positive_share", 0.0)
    contradicted = contradiction(fitted, [window, *arrived], tolerance=tolerance)
    before = contradiction(fitted, arrived, tolerance=tolerance) if arrived else None
    out = {}
    for name, metric in metrics.items():
        value, sampling, calibrating = found[name]
        variances = {"sampling": sampling, "calibration": calibrating}
        if windows:
            variances["windows"] = extra[name] * (facts["rows"] ** 2 if metric.counts_rows else 1.0)
        out[name] = Estimate.of(
            name,
            value,
            variances,
            low=metric.low,
            high=metric.high,
            level=level,
            undefined=metric.undefined,
            details={"calibration": fitted.curve.name, "threshold": threshold},
            **facts,
        )
    return judged(out, baseline=baseline, window=window, contradicted=contradicted, before=before)


def judged(
    estimates: Mapping[str, Estimate],
    *,
    baseline: ScoreTable,
    window: ScoreTable,
    contradicted: Contradiction | None,
    before: Contradiction | None = None,
) -> dict[str, Estimate]:
    """The same, unreliable where scores or arrived outcomes say so; *before* is without the window's own outcomes."""
    reasons = []
    few = min(baseline.positives, baseline.negatives)
    if few < FEWEST:
        reasons.append(
            f"The baseline has only {few:g} outcomes of one class; a calibration needs {FEWEST} of each."
        )
    outside = share_outside(baseline, window)
    if outside > MOST_OUTSIDE:
        reasons.append(f"{outside:.0%} of the scores lie where the baseline had hardly any outcome.")
    late: list[str] = []
    if contradicted is not None and contradicted.p_value < LEVEL_OF_DOUBT:
        known = before is not None and before.p_value < LEVEL_OF_DOUBT
        (reasons if known else late).append(contradicted.sentence)
    return {
        name: e if e.value is None else e.doubted(*reasons).doubted(*late, beforehand=False)
        for name, e in estimates.items()
    }


def window_variances(
    fitted: Calibrated, windows: Sequence[ScoreTable], metrics: Mapping[str, Metric]
) -> dict[str, float]:
    r"""How far the outcomes of the baseline's own windows are from their estimates, beyond chance.

    The mean square of the gaps less the sampling variance that is expected; 0 where chance explains them. Of
    metrics that count rows it is that of their share. Under ``"positive_share"`` that of the share of positives.
    """
    asked = {**metrics, "positive_share": _POSITIVE_SHARE}
    labelled = [t for t in windows if t.labelled >= 2]
    if len(labelled) < 2:
        return dict.fromkeys(asked, 0.0)
    whole = labelled[0]
    for table in labelled[1:]:
        whole = whole.merge(table)
    rows, sums = (a[NEGATIVE] + a[POSITIVE] for a in (whole.counts.astype(float), whole.sums))
    total = float(rows.sum())
    # The variance that one row would have: a window of n rows has 1/n of it.
    of_one = {
        name: variance * total / (total**2 if asked[name].counts_rows else 1.0)
        for name, (_, variance, _) in fitted.measure(rows, sums, asked).items()
    }
    squares: dict[str, list[float]] = {name: [] for name in asked}
    for table in labelled:
        n, s = (a[NEGATIVE] + a[POSITIVE] for a in (table.counts.astype(float), table.sums))
        held, size = n > 0, float(n.sum())
        expected = fitted.cell_counts(n, s)
        counted = CellCounts(
            table.counts[POSITIVE][held].astype(float),
            table.counts[NEGATIVE][held].astype(float),
            expected.scores,
            expected.first,
        )
        for name, metric in asked.items():
            gap = float(metric.function(counted) - metric.function(expected))
            gap /= size if metric.counts_rows else 1.0
            if np.isfinite(gap) and np.isfinite(of_one[name]):
                squares[name].append(gap * gap - of_one[name] / size)
    return {name: max(0.0, float(np.mean(found))) if found else 0.0 for name, found in squares.items()}


def wanted_metrics(names: Iterable[str] | None) -> dict[str, Metric]:
    """Metrics by name.

    Raises
    ------
    NotFound
        with the nearest name.
    """
    if names is None:
        return dict(BINARY)
    out = {}
    for name in names:
        if name not in BINARY:
            raise NotFound(f"There is no binary metric {name!r} to estimate.{nearest(name, BINARY)}")
        out[name] = BINARY[name]
    return out


_POSITIVE_SHARE = Metric(lambda c: c.positives.sum(-1) / np.maximum(c.rows, 1e-300))


def _problem(baseline: ScoreTable, rows: float) -> str:
    if rows <= 0:
        return "The window has no score between 0 and 1."
    if not baseline.labelled:
        return "The baseline has no outcomes to learn from what a score is worth."
    if not (baseline.positives and baseline.negatives):
        return "All outcomes of the baseline are of one class."
    return ""
