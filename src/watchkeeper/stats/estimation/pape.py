r"""Performance under covariate shift: CBPE with a calibration for the window's kind of rows (PAPE).

Method
------
When the columns move, the chance of a positive at a given score may move too: rows that score 0.3 for another
reason are other rows. Baseline rows are therefore weighted to look like the window's (`importance_weights`), the
calibration is learnt from the weighted rows, and the rest is CBPE. The interval adds the uncertainty of the
weights: rows of both sides are redrawn (Poisson bootstrap), and weights and curve move with them.

Holds as long as the chance of a positive, given the *columns*, is what it was. It needs sampled rows, and is less
precise than CBPE where nothing moved.

References
----------
J. Białek et al., *Estimating model performance under covariate shift without labels*, arXiv:2401.08348.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.errors import BadInput
from watchkeeper.stats.estimation.calibrated import DRAWS, SEED, Calibrated, calibrate
from watchkeeper.stats.estimation.calibration import (
    BetaCurve,
    Curve,
    CurveDraws,
    beta_features,
    calibrate_scores,
    expit,
    fit_beta,
    fit_isotonic,
)
from watchkeeper.stats.estimation.cbpe import judged, wanted_metrics, window_variances
from watchkeeper.stats.estimation.contradiction import contradiction
from watchkeeper.stats.estimation.estimate import Estimate
from watchkeeper.stats.estimation.importance_weights import DensityRatio, density_ratio, weight_doubts
from watchkeeper.stats.states.score_table import ScoreTable

Floats = NDArray[np.float64]


def estimate_under_shift(
    scores: Any,
    outcomes: Any,
    baseline_rows: Any,
    window_rows: Any,
    window: ScoreTable,
    *,
    names: Iterable[str] | None = None,
    threshold: float = 0.5,
    level: float = 0.95,
    windows: Sequence[ScoreTable] = (),
    ratio: DensityRatio | None = None,
    draws: int = DRAWS,
    seed: int = SEED,
) -> dict[str, Estimate]:
    """Estimate metrics of *window* when its columns are not distributed as the baseline's.

    Parameters
    ----------
    scores, outcomes : of sampled baseline rows ``(n,)``, the outcomes bool.
    baseline_rows, window_rows : columns of sampled rows as finite numbers, ``(n, d)`` and ``(m, d)``.
    window : the scores of all the window's rows.
    windows : the baseline's own windows, with outcomes: how much they differ is tolerated and widens the interval.
    ratio : the weights, if they are known already.

    Raises
    ------
    BadInput
        scores, outcomes and rows differ in length.
    NotFound
        a name is not a metric.

    >>> rng = np.random.default_rng(1)
    >>> x, y = rng.normal(size=(4000, 2)), rng.normal([0, 1], 1, size=(4000, 2))
    >>> score = lambda rows: 1 / (1 + np.exp(-rows[:, 0]))           # the model does not see the second column
    >>> chance = lambda rows: 1 / (1 + np.exp(-rows.sum(axis=1)))
    >>> found = estimate_under_shift(score(x), rng.random(4000) < chance(x), x, y, ScoreTable.of(score(y)))
    >>> came = rng.random(4000) < chance(y)
    >>> i = found["accuracy"].interval
    >>> bool(i.low < np.mean((score(y) >= 0.5) == came) < i.high)
    True
    """
    metrics = wanted_metrics(names)
    s, y = np.clip(np.asarray(scores, float), 0.0, 1.0), np.asarray(outcomes, bool)
    if not len(s) == len(y) == len(baseline_rows):
        raise BadInput(
            f"There are {len(s)} scores, {len(y)} outcomes and {len(baseline_rows)} baseline rows."
        )
    table = ScoreTable.of(s.copy(), y)
    cells, sums = window.counts.sum(axis=0).astype(float), window.sums.sum(axis=0)
    facts: dict[str, Any] = {"rows": float(cells.sum()), "baseline_rows": float(len(s)), "method": "pape"}
    if not cells.sum() or y.all() or not y.any():
        reason = (
            "All outcomes of the baseline's sampled rows are of one class."
            if cells.sum()
            else "The window has no score between 0 and 1."
        )
        return {name: Estimate.impossible(name, reason, **facts) for name in metrics}
    ratio = density_ratio(baseline_rows, window_rows) if ratio is None else ratio
    plain, held, fitted = weighted_calibration(
        s, y, table, window, ratio, threshold=threshold, draws=draws, seed=seed
    )
    found = fitted.measure(cells, sums, metrics)
    without = held.measure(cells, sums, metrics)
    extra = window_variances(replace(plain, draws=draws), windows, metrics) if windows else {}
    contradicted = contradiction(fitted, [window], tolerance=extra.get("positive_share", 0.0))
    doubts = weight_doubts(ratio)
    out = {}
    for name, metric in metrics.items():
        value, sampling, both = found[name]
        calibrating = min(without[name][2], both)
        variances = {"sampling": sampling, "calibration": calibrating, "weights": both - calibrating}
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
            details={
                "calibration": fitted.curve.name,
                "threshold": threshold,
                "effective_rows": ratio.effective,
                "domain_auc": ratio.auc,
            },
            **facts,
        )
    out = judged(out, baseline=table, window=window, contradicted=contradicted)
    return {name: e if e.value is None else e.doubted(*doubts) for name, e in out.items()}


def weighted_calibration(
    scores: Floats,
    outcomes: NDArray[np.bool_],
    table: ScoreTable,
    window: ScoreTable,
    ratio: DensityRatio,
    *,
    threshold: float = 0.5,
    draws: int = DRAWS,
    seed: int = SEED,
) -> tuple[Calibrated, Calibrated, Calibrated]:
    """Calibrate on weighted rows: without weights, with draws that hold the weights, and that draw them too.

    Parameters
    ----------
    scores, outcomes : of sampled baseline rows ``(n,)``; *table* is their score table.
    ratio : the weights of these rows.
    """
    plain = calibrate(table, [window], threshold=threshold, draws=2, seed=seed)
    rng = np.random.default_rng(seed + 2)
    copies = rng.poisson(1.0, (draws, len(ratio.influence))).astype(float)
    own = copies[:, : len(scores)]
    fixed, free = own * ratio.weights, own * ratio.drawn_weights(copies)
    curve, of_fixed, of_free = _weighted_curves(scores, outcomes, ratio, fixed, free)
    fitted = replace(plain, curve=curve, drawn_probabilities=of_free, draws=draws)
    return plain, replace(fitted, drawn_probabilities=of_fixed), fitted


def _weighted_curves(
    scores: Floats, outcomes: NDArray[np.bool_], ratio: DensityRatio, fixed: Floats, free: Floats
) -> tuple[Curve, CurveDraws, CurveDraws]:
    """The weighted rows' curve, and its draws with weights held and with weights redrawn."""
    order = np.argsort(scores, kind="stable")
    s, hit, w = scores[order], outcomes[order].astype(float), ratio.weights[order]
    fixed, free = fixed[:, order], free[:, order]
    starts = np.unique(np.linspace(0, len(s), min(200, len(s)), endpoint=False).astype(int))
    group = lambda a: np.add.reduceat(a, starts, axis=-1)  # noqa: E731
    rows = group(w)
    curve, _ = calibrate_scores(
        group(w * s) / rows, group(w * hit), rows, draws=1, effective=ratio.effective / len(s)
    )
    if curve.name == "isotonic":
        centres = group(w * s) / rows

        def isotonic(drawn: Floats) -> CurveDraws:
            n, hits = group(drawn), group(drawn * hit)
            curves = [fit_isotonic(centres, h, r) for h, r in zip(hits, n, strict=True)]
            return lambda at: np.stack([c(at) for c in curves])

        return curve, isotonic(fixed), isotonic(free)
    beta = fit_beta(s, w * hit, w)
    x = beta_features(s)
    push = x * (hit - beta(s))[:, None]

    def stepped(drawn: Floats) -> CurveDraws:
        # One Newton step from the fitted curve, for all draws at once.
        coefficients = beta.coefficients + (drawn - w) @ push @ beta.covariance
        return lambda at: expit(coefficients @ beta_features(at).T)

    kept = BetaCurve(beta.coefficients, beta.covariance) if curve.name == "beta" else curve
    return kept, stepped(fixed), stepped(free)
