r"""Direct loss estimation (DLE): errors of a regression before outcomes arrive.

Method
------
How wrong a prediction will be is itself predicted from the row's columns and the prediction, by a ridge regression
of each kind of loss (:math:`|e|`, :math:`e^2`, ...) on quantile bins, squares and products of columns. Its mean over the window
is linear in the baseline's losses, :math:`\hat\theta = \sum_i a_i\,\ell_i`, with weights that balance the window's
bins. So nothing needs to be redrawn: with residuals :math:`r_i` (leverage-corrected)

.. math:: \mathrm{var} = \underbrace{\sum a_i^2 r_i^2}_{\text{model}}
          + \underbrace{\tfrac1N \sum a_i r_i^2}_{\text{sampling of outcomes}}
          + \underbrace{(\tfrac1m - \tfrac1N)\,\mathrm{var}(\hat\ell)}_{\text{sampled rows}}
          + \underbrace{\tau^2}_{\text{windows}}

:math:`\tau^2` is how much the baseline's own windows differ in the metric beyond chance, where they are given. It
counts what their columns explain too, so the interval is rather too wide than too narrow.

With ``model="boosted"`` (scikit-learn) the losses are predicted by gradient boosting, cross-fitted, and the
baseline's remaining errors are balanced by the same weights: what the trees miss is put right, and the same
formula holds with their residuals.

Holds as long as the losses, given the columns, are distributed as they were. Where outcomes come near zero the
percentage error has no mean, and nothing can hold: if a handful of rows decide the variance, the estimate is doubted.

References
----------
NannyML, *Direct Loss Estimation*, https://nannyml.readthedocs.io/en/stable/how_it_works/performance_estimation.html
V. Chernozhukov, W. Newey, R. Singh, *Automatic debiased machine learning of causal and structural effects*,
Econometrica 90, 2022.
D. Hirshberg, S. Wager, *Augmented minimax linear estimation*, Ann. Stat. 49, 2021.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.errors import BadInput, MissingExtra, NotFound, nearest
from watchkeeper.stats.estimation.contradiction import LEVEL_OF_DOUBT
from watchkeeper.stats.estimation.estimate import Estimate
from watchkeeper.stats.estimation.importance_weights import (
    FEWEST_EFFECTIVE,
    largest_difference,
    overlap_doubts,
)
from watchkeeper.stats.states.residuals import Residuals

Floats = NDArray[np.float64]

BINS = 10
RIDGE = 1.0
FOLDS = 3
FEWEST = 50
DECISIVE, MOST_DECISIVE = 5, 0.5
"""A percentage error in which 5 rows hold more than half of the variance is doubted: it may have no mean."""
_PAIRS_UP_TO = 10
_UNDEFINED = "All outcomes are expected to be equal, or zero."


@dataclass(frozen=True, slots=True)
class Loss:
    """A metric as a function of the means of some terms, each a function of prediction and outcome."""

    terms: tuple[str, ...]
    function: Callable[..., float]
    low: float | None = 0.0
    high: float | None = None


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else float("nan")


def _r2(square: float, y: float, y2: float) -> float:
    return 1.0 - square / (y2 - y * y) if y2 - y * y > 0 else float("nan")


REGRESSION: dict[str, Loss] = {
    "rmse": Loss(("square",), lambda square: float(np.sqrt(max(square, 0.0)))),
    "mse": Loss(("square",), lambda square: square),
    "mae": Loss(("absolute",), lambda absolute: absolute),
    "bias": Loss(("error",), lambda error: error, low=None),
    "r2": Loss(("square", "outcome", "outcome2"), _r2, low=None),
    "mape": Loss(("percentage", "not_zero"), _ratio),
    "smape": Loss(("symmetric",), lambda symmetric: symmetric, high=2.0),
}
"""By the names of the performance measures."""


_REALISED: dict[str, Callable[[Residuals], float]] = {
    "rmse": lambda r: float(np.sqrt(r.mse)),
    "mse": lambda r: r.mse,
    "mae": lambda r: r.mae,
    "bias": lambda r: r.error.mean,
    "r2": lambda r: r.r2,
    "mape": lambda r: r.percentage.mean,
    "smape": lambda r: r.symmetric.mean,
}


def estimate_losses(
    predicted: Any,
    actual: Any,
    baseline_rows: Any,
    window_predicted: Any,
    window_rows: Any,
    *,
    rows: float | None = None,
    names: Iterable[str] | None = None,
    windows: Sequence[Residuals] = (),
    came: Any = None,
    level: float = 0.95,
    model: str = "ridge",
    auc: float | None = None,
    columns: Sequence[str] = (),
    seed: int = 0,
) -> dict[str, Estimate]:
    """Estimate a regression's errors in a window.

    Parameters
    ----------
    predicted, actual : of sampled baseline rows ``(n,)``.
    baseline_rows, window_rows : their columns as finite numbers, ``(n, d)`` and ``(m, d)``.
    window_predicted : predictions of the sampled window rows ``(m,)``.
    rows : how many rows the window has in all; None means the sampled ones.
    names : metrics of `REGRESSION`; None takes all.
    windows : errors of the baseline's own windows: how much they differ beyond chance widens the intervals.
    came : outcomes of the sampled window rows that have arrived ``(m,)``, NaN where not yet: they may contradict.
    model : ``"ridge"`` (numpy alone) or ``"boosted"`` (needs scikit-learn).
    auc : how well the sides can be told apart, where that is known.
    columns : the name of each dimension ``(d,)``, for what is said of one.

    Raises
    ------
    NotFound
        a name is not a metric.
    BadInput
        lengths differ, or the model is unknown.
    MissingExtra
        the boosted model needs scikit-learn.

    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.random((5000, 1)), rng.random((3000, 1)) ** 0.5     # the window has more large values
    >>> wrong = lambda rows: rng.normal(0, 0.5 + rows[:, 0])           # which are harder
    >>> found = estimate_losses(np.zeros(5000), -wrong(x), x, np.zeros(3000), y, names=["mae"])["mae"]
    >>> i = found.interval
    >>> bool(i.low < np.abs(wrong(y)).mean() < i.high)
    True
    """
    if model not in ("ridge", "boosted"):
        raise BadInput(f"{model!r} is no model of losses.", "Known: ridge, boosted.")
    metrics = _wanted(names)
    p, y, q = (np.asarray(a, float) for a in (predicted, actual, window_predicted))
    b, w = np.asarray(baseline_rows, float), np.asarray(window_rows, float)
    if not (len(p) == len(y) == len(b)) or len(q) != len(w):
        raise BadInput("Predictions, outcomes and rows differ in length.")
    total = float(len(w) if rows is None else rows)
    facts: dict[str, Any] = {"rows": total, "baseline_rows": float(len(p)), "method": f"dle ({model})"}
    if len(p) < FEWEST or len(w) < 2:
        reason = (
            f"{len(p)} baseline rows with an outcome, and {len(w)} of the window; {FEWEST} and 2 are needed."
        )
        return {name: Estimate.impossible(name, reason, **facts) for name in metrics}
    left, right = np.column_stack([b, p]), np.column_stack([w, q])
    terms = _terms(p, y)
    asked = list(dict.fromkeys(term for loss in metrics.values() for term in loss.terms))
    losses = np.column_stack([terms[term] for term in asked])
    fitted = _fit(left, right, losses, model, seed)
    spreads = fitted.spreads(window_rows=len(w), total=total)
    imbalance, unbalanced = largest_difference(b, w, fitted.weights, columns)
    doubts = overlap_doubts(
        rows=len(p),
        effective=fitted.effective,
        auc=auc,
        imbalance=imbalance,
        column=unbalanced,
        needed=min(FEWEST_EFFECTIVE, len(p) / 2),
    )
    refuted = _refuted(fitted, p, y, q, came, windows)
    out = {}
    for name, loss in metrics.items():
        at = [asked.index(term) for term in loss.terms]
        slope = _slope(loss.function, fitted.means[at])
        variances = {
            source: float(slope @ spread[np.ix_(at, at)] @ slope) for source, spread in spreads.items()
        }
        if windows:
            variances["windows"] = _between(windows, name, variances["sampling"] * total)
        out[name] = Estimate.of(
            name,
            loss.function(*fitted.means[at].tolist()),
            variances,
            low=loss.low,
            high=loss.high,
            level=level,
            undefined=_UNDEFINED,
            details={"effective_rows": fitted.effective, "model": model},
            **facts,
        )
        if "percentage" in loss.terms:
            held = np.sort((fitted.residuals[:, at] @ slope * fitted.weights) ** 2)
            share = float(held[-DECISIVE:].sum() / max(held.sum(), 1e-300))
            if share > MOST_DECISIVE:
                out[name] = out[name].doubted(
                    f"{DECISIVE} of {len(p)} baseline rows, whose outcomes are near zero, hold {share:.0%} of its "
                    "variance: no interval can be trusted."
                )
    return {
        name: e if e.value is None else e.doubted(*doubts).doubted(*refuted, beforehand=False)
        for name, e in out.items()
    }


@dataclass(frozen=True, slots=True, eq=False)
class _Fitted:
    """Losses as predicted, and the weights of the baseline's rows that put right what the prediction misses."""

    means: Floats
    """Of each term in the window ``(k,)``."""
    residuals: Floats
    """What each baseline row's terms differ from their prediction by ``(n, k)``."""
    predicted: Floats
    """The terms of the window's rows ``(m, k)``."""
    weights: Floats
    """Of the baseline's rows ``(n,)``; they sum to about 1, and a few may be negative."""
    design: Floats
    window_design: Floats
    inverse: Floats
    leverage: Floats

    @property
    def effective(self) -> float:
        """Effective rows of the baseline, Kish's."""
        return float(self.weights.sum() ** 2 / (self.weights @ self.weights))

    def spreads(self, *, window_rows: int, total: float) -> dict[str, Floats]:
        """Covariances of the terms' means ``(k, k)``, by what they come from."""
        r, positive = self.residuals, np.maximum(self.weights, 0.0)
        return {
            "sampling": (r * (positive / positive.sum())[:, None]).T @ r / total,
            "calibration": (r * self.weights[:, None] ** 2).T @ r,
            "rows": np.atleast_2d(np.cov(self.predicted.T)) * max(1 / window_rows - 1 / total, 0.0),
        }


def _fit(left: Floats, right: Floats, losses: Floats, model: str, seed: int) -> _Fitted:
    """Predict the terms of *losses* ``(n, k)`` from the baseline's rows *left*, for those of the window, *right*."""
    z, zw = _binned(left, right)
    penalty = np.full(z.shape[1], RIDGE)
    penalty[0] = 1e-9
    inverse = np.asarray(np.linalg.inv(z.T @ z + np.diag(penalty)), np.float64)
    weights = z @ (inverse @ zw.mean(axis=0))
    leverage = np.clip(np.einsum("ij,jk,ik->i", z, inverse, z), 0.0, 0.9)
    if model == "ridge":
        slopes = inverse @ (z.T @ losses)
        means, predicted = weights @ losses, zw @ slopes
        residuals = (losses - z @ slopes) / (1 - leverage)[:, None]
    else:
        inner, predicted = _boosted(left, right, losses, seed)
        residuals = losses - inner
        means = predicted.mean(axis=0) + weights @ residuals
    return _Fitted(means, residuals, predicted, weights, z, zw, inverse, leverage)


def _between(windows: Sequence[Residuals], name: str, of_one: float) -> float:
    """Variance of a metric between windows beyond what *of_one*, one row's variance, makes by chance."""
    seen = [(_REALISED[name](w), w.n) for w in windows if w.n >= 2]
    seen = [(value, n) for value, n in seen if np.isfinite(value)]
    if len(seen) < 2:
        return 0.0
    values, rows = np.array(seen).T
    return max(0.0, float(values.var(ddof=1) - (of_one / rows).mean()))


def _refuted(
    fitted: _Fitted,
    predicted: Floats,
    actual: Floats,
    window_predicted: Floats,
    came: Any,
    windows: Sequence[Residuals],
) -> list[str]:
    """Whether outcomes that have arrived contradict: errors and their sizes against what rows like these had.

    Compared at the rows whose outcomes are there, so it does not matter that some come earlier than others.
    """
    from scipy.special import chdtrc

    z, zw = fitted.design, fitted.window_design
    known = np.zeros(len(zw), bool) if came is None else np.isfinite(np.asarray(came, float))
    n = int(known.sum())
    if n < FEWEST:
        return []
    before, after = (
        np.column_stack([e, np.abs(e)])
        for e in (predicted - actual, window_predicted[known] - np.asarray(came, float)[known])
    )
    slopes = fitted.inverse @ (z.T @ before)
    weights = z @ (fitted.inverse @ zw[known].mean(axis=0))
    residuals = (before - z @ slopes) / (1 - fitted.leverage)[:, None]
    left = after - zw[known] @ slopes
    gap = left.mean(axis=0)
    spread = (residuals * weights[:, None] ** 2).T @ residuals + np.cov(left.T) / n
    for i, name in enumerate(("bias", "mae")):
        spread[i, i] += _between(windows, name, float(residuals[:, i].var()))
    p_value = float(chdtrc(2, float(gap @ np.linalg.solve(spread, gap))))
    if p_value >= LEVEL_OF_DOUBT:
        return []
    mean = after.mean(axis=0)
    return [
        f"{n} outcomes have arrived and contradict it: their mean absolute error is {mean[1]:.4g}, "
        f"{mean[1] - gap[1]:.4g} expected; their bias {mean[0]:.4g}, {mean[0] - gap[0]:.4g} expected "
        f"(p = {p_value:.2g})."
    ]


def _wanted(names: Iterable[str] | None) -> dict[str, Loss]:
    if names is None:
        return dict(REGRESSION)
    out = {}
    for name in names:
        if name not in REGRESSION:
            raise NotFound(f"There is no error {name!r} to estimate.{nearest(name, REGRESSION)}")
        out[name] = REGRESSION[name]
    return out


def _terms(predicted: Floats, actual: Floats) -> dict[str, Floats]:
    e = predicted - actual
    level, both = np.abs(actual), np.abs(actual) + np.abs(predicted)
    centre = actual.mean()
    return {
        "error": e,
        "absolute": np.abs(e),
        "square": e * e,
        # About the baseline's mean, so that the variance does not drown in a large level.
        "outcome": actual - centre,
        "outcome2": (actual - centre) ** 2,
        "percentage": np.divide(np.abs(e), level, out=np.zeros_like(e), where=level > 0),
        "not_zero": (level > 0).astype(float),
        "symmetric": np.divide(2 * np.abs(e), both, out=np.zeros_like(e), where=both > 0),
    }


def _binned(left: Floats, right: Floats) -> tuple[Floats, Floats]:
    """A constant, flags of the baseline's quantile bins of every column, and polynomials, for both sides.

    The last column is the prediction: it has twice the bins. Within and beyond the outer bins columns go on as
    lines and squares, and with at most ten columns also as products.
    """
    d = left.shape[1]
    mean, sd = left.mean(axis=0), left.std(axis=0)
    sd = np.where(sd > 0, sd, 1.0)
    out = []
    pairs = np.triu_indices(d) if d <= _PAIRS_UP_TO else (np.arange(d), np.arange(d))
    cuts_of = []
    for column in range(d):
        bins = BINS * (2 if column == d - 1 else 1)
        cuts = np.unique(np.quantile(left[:, column], np.arange(1, bins) / bins))
        cuts_of.append(cuts[cuts > left[:, column].min()])
    for side in (left, right):
        z = np.clip((side - mean) / sd, -4.0, 4.0)
        parts = [np.ones((len(side), 1)), z, z[:, pairs[0]] * z[:, pairs[1]]]
        for column, cuts in enumerate(cuts_of):
            codes = np.searchsorted(cuts, side[:, column], side="right")
            parts.append((codes[:, None] == np.arange(1, cuts.size + 1)).astype(float))
        out.append(np.hstack(parts))
    return out[0], out[1]


def _boosted(left: Floats, right: Floats, losses: Floats, seed: int) -> tuple[Floats, Floats]:
    """Losses of the baseline as predicted by trees that did not see them; and of the window."""
    try:
        from sklearn.ensemble import HistGradientBoostingRegressor
    except ImportError as cause:
        raise MissingExtra(
            adapter="boosted model of losses",
            library="scikit-learn",
            extra="sklearn",
            instead='Or go on with:  model="ridge"',
        ) from cause
    part = np.random.default_rng(seed).permutation(len(left)) % FOLDS
    inner, outer = np.empty_like(losses), np.zeros((len(right), losses.shape[1]))
    for column in range(losses.shape[1]):
        for fold in range(FOLDS):
            held = part == fold
            trees = HistGradientBoostingRegressor(max_iter=60, max_leaf_nodes=15, random_state=seed)
            trees.fit(left[~held], losses[~held, column])
            inner[held, column] = trees.predict(left[held])
            outer[:, column] += trees.predict(right) / FOLDS
    return inner, outer


def _slope(function: Callable[..., float], at: Floats) -> Floats:
    out = np.empty(len(at))
    for i in range(len(at)):
        step = np.zeros(len(at))
        step[i] = 1e-5 * max(abs(float(at[i])), 1e-6)
        out[i] = (function(*(at + step).tolist()) - function(*(at - step).tolist())) / (2 * step[i])
    return out
