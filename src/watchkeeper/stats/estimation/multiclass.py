r"""Performance of a model with several classes before outcomes arrive.

Method
------
The score of each class is calibrated against the rest (as in CBPE), and a row's probabilities are made to sum to
one. A row that was predicted as :math:`j` then adds its probability of class :math:`k` to cell :math:`(k, j)` of
the expected confusion, from which precision, recall, F1 and accuracy follow. Which class a row was predicted as
is no state: these need sampled rows. Areas under the curve need the classes' score tables alone.

Interval
--------
Sampling of outcomes given the rows, by the exact covariance of each column of the confusion; calibration, by
drawn curves of every class; and the rows themselves where only a sample of the window's is kept. The mean of the
classes' areas is given the mean of their standard errors: no less than any correlation between them allows.

Under covariate shift the calibration of each class is learnt from weighted rows instead (see `pape`).

Limits
------
Each class is calibrated by its own score alone. Where the other classes' scores move, what that score means may
move a little too, which arrived outcomes then show.

References
----------
J. Białek et al., *Estimating model performance under covariate shift without labels*, arXiv:2401.08348.
B. Zadrozny, C. Elkan, *Transforming classifier scores into accurate multiclass probability estimates*, KDD 2002.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.errors import BadInput, NotFound, nearest
from watchkeeper.stats.estimation.calibrated import SEED, Calibrated, calibrate
from watchkeeper.stats.estimation.cbpe import estimate
from watchkeeper.stats.estimation.estimate import Estimate
from watchkeeper.stats.estimation.importance_weights import DensityRatio
from watchkeeper.stats.estimation.pape import estimate_under_shift, weighted_calibration
from watchkeeper.stats.intervals import normal_quantile
from watchkeeper.stats.states.score_table import CLIP, ScoreTable

Floats = NDArray[np.float64]

DRAWS = 100


def _shares(name: str, counts: Floats) -> Floats:
    """Precision, recall or F1 of each class ``(..., k)``; NaN where it has no rows."""
    hit, rows, said = np.einsum("...kk->...k", counts), counts.sum(-1), counts.sum(-2)
    whole = {"precision": said, "recall": rows, "f1": (rows + said) / 2}[name]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(whole > 1e-12, hit / whole, np.nan)


def _average(name: str, how: str) -> Callable[[Floats], Floats]:
    def function(counts: Floats) -> Floats:
        if how == "micro":
            return _accuracy(counts)
        shares = np.nan_to_num(_shares(name, counts))
        if how == "macro":
            return shares.mean(-1)
        rows = counts.sum(-1)
        return (shares * rows).sum(-1) / rows.sum(-1)

    return function


def _accuracy(counts: Floats) -> Floats:
    return np.einsum("...kk->...", counts) / counts.sum((-1, -2))


_OF_CONFUSION: dict[str, Callable[[Floats], Floats]] = {
    "accuracy": _accuracy,
    **{
        f"{name}_{how}": _average(name, how)
        for name in ("precision", "recall", "f1")
        for how in ("macro", "micro", "weighted")
    },
}
_PER_CLASS = ("precision_per_class", "recall_per_class", "f1_per_class")
_OF_TABLES = ("roc_auc_ovr", "roc_auc_per_class")

MULTICLASS: tuple[str, ...] = (*_OF_CONFUSION, *_PER_CLASS, *_OF_TABLES, "multiclass_log_loss")
"""By the names of the performance measures."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class WeightedRows:
    """Sampled rows of the baseline, weighted to be like the window's (see `pape`)."""

    scores: Floats
    """``(n, k)``, in the order of the baseline's classes."""
    outcomes: NDArray[np.int64]
    """Place of each row's class in that order ``(n,)``; -1 for another."""
    rows: Floats
    """Columns as finite numbers ``(n, d)``."""
    window_rows: Floats
    ratio: DensityRatio


def estimate_classes(
    baseline: Mapping[str, ScoreTable],
    window: Mapping[str, ScoreTable],
    *,
    scores: Any = None,
    predicted: Any = None,
    names: Iterable[str] | None = None,
    level: float = 0.95,
    windows: Sequence[Mapping[str, ScoreTable]] = (),
    arrived: Sequence[Mapping[str, ScoreTable]] = (),
    weighted: WeightedRows | None = None,
    draws: int = DRAWS,
    seed: int = SEED,
) -> dict[tuple[str, str], Estimate]:
    """Estimate metrics of *window*, by name and class (``""`` for all classes together).

    Parameters
    ----------
    baseline, window : the score table of each class against the rest, the baseline's with outcomes.
    scores : of sampled window rows ``(m, k)``, in the order of *baseline*'s classes.
    predicted : places of the predicted classes in that order ``(m,)``; -1 for another class.
    windows : tables of the baseline's own windows, with outcomes: how much they differ is tolerated.
    arrived : tables of recent windows whose outcomes have arrived.
    weighted : the baseline's sampled rows, where the window's columns are distributed otherwise: calibration is then
        learnt from these rows by their weights.

    Raises
    ------
    NotFound
        a name is not a metric.
    BadInput
        a class of the baseline has no table in the window, or the scores have another shape.

    >>> rng = np.random.default_rng(0)
    >>> s = rng.dirichlet([1, 1, 1], 9_000)
    >>> y = (s.cumsum(axis=1) < rng.random((9_000, 1))).sum(axis=1)
    >>> tables = lambda a, b, known: {c: ScoreTable.of(s[a:b, i], (y[a:b] == i) if known else None)
    ...                               for i, c in enumerate("xyz")}
    >>> found = estimate_classes(tables(0, 6_000, True), tables(6_000, 9_000, False), scores=s[6_000:],
    ...                          predicted=s[6_000:].argmax(axis=1), names=["accuracy", "roc_auc_ovr"])
    >>> i = found["accuracy", ""].interval
    >>> bool(i.low < (s[6_000:].argmax(axis=1) == y[6_000:]).mean() < i.high)
    True
    """
    wanted = list(MULTICLASS if names is None else names)
    for name in wanted:
        if name not in MULTICLASS:
            raise NotFound(f"There is no multiclass metric {name!r} to estimate.{nearest(name, MULTICLASS)}")
    classes = list(baseline)
    missing = [c for c in classes if c not in window]
    if missing or not classes:
        raise BadInput(f"The window has no scores of the class {(missing or ['(none)'])[0]!r}.")
    areas = {}
    for i, c in enumerate(classes):
        own = [w[c] for w in windows if c in w]
        if weighted is None:
            came = [a[c] for a in arrived if c in a]
            found = estimate(
                baseline[c], window[c], names=["roc_auc"], level=level, windows=own, arrived=came, seed=seed
            )
        else:
            found = estimate_under_shift(
                weighted.scores[:, i],
                weighted.outcomes == i,
                weighted.rows,
                weighted.window_rows,
                window[c],
                names=["roc_auc"],
                level=level,
                windows=own,
                ratio=weighted.ratio,
                seed=seed,
            )
        areas[c] = found["roc_auc"]
    method = "cbpe" if weighted is None else "pape"
    out: dict[tuple[str, str], Estimate] = {}
    reasons = [
        f"{c}: {r}" for c, e in areas.items() for r in (e.reasons if e.value is not None else e.reasons[:1])
    ]
    if "roc_auc_per_class" in wanted:
        out |= {("roc_auc_per_class", c): _renamed(e, "roc_auc_per_class") for c, e in areas.items()}
    if "roc_auc_ovr" in wanted:
        out["roc_auc_ovr", ""] = _mean_area(list(areas.values()), level, reasons, method)
    rest = [name for name in wanted if name not in _OF_TABLES]
    if not rest:
        return out
    if any(e.value is None for e in areas.values()) or scores is None or predicted is None:
        reason = next(
            (f"{c}: {e.reasons[0]}" for c, e in areas.items() if e.value is None),
            "Which class a row was predicted as is known of sampled rows only, and the window keeps none.",
        )
        return out | {(name, ""): Estimate.impossible(name, reason, method=method) for name in rest}
    if weighted is None:
        fitted = [
            calibrate(baseline[c], [window[c]], draws=draws, seed=seed + i) for i, c in enumerate(classes)
        ]
    else:
        fitted = [_weighted_class(weighted, i, window[c], draws, seed) for i, c in enumerate(classes)]
    known_rows = baseline[classes[0]].labelled if weighted is None else float(len(weighted.scores))
    facts: dict[str, Any] = {"baseline_rows": known_rows, "method": method}
    out |= _of_rows(fitted, window, classes, scores, predicted, rest, level, draws, seed, facts)
    # What makes one class's calibration doubtful makes all that rests on it doubtful.
    known = not all(e.reliable_beforehand for e in areas.values())
    return {
        key: e if e.value is None or key[0] in _OF_TABLES else e.doubted(*reasons, beforehand=known)
        for key, e in out.items()
    }


def _weighted_class(
    weighted: WeightedRows, place: int, window: ScoreTable, draws: int, seed: int
) -> Calibrated:
    s, y = np.clip(weighted.scores[:, place], 0.0, 1.0), weighted.outcomes == place
    table = ScoreTable.of(s.copy(), y)
    return weighted_calibration(s, y, table, window, weighted.ratio, draws=draws, seed=seed)[-1]


def _of_rows(
    fitted: Sequence[Calibrated],
    window: Mapping[str, ScoreTable],
    classes: Sequence[str],
    scores: Any,
    predicted: Any,
    wanted: Sequence[str],
    level: float,
    draws: int,
    seed: int,
    about: Mapping[str, Any],
) -> dict[tuple[str, str], Estimate]:
    k = len(classes)
    s, place = np.clip(np.asarray(scores, float), 0.0, 1.0), np.asarray(predicted, np.int64)
    if s.shape != (len(place), k):
        raise BadInput(f"There are scores of shape {s.shape} for {len(place)} predictions of {k} classes.")
    usable = np.isfinite(s).all(axis=1) & (place >= 0)
    s, place = s[usable], place[usable]
    total = max(float(window[classes[0]].counts.sum()), float(len(s)))
    facts: dict[str, Any] = {"rows": total, **about}
    if len(s) < 2:
        reason = "Of no sampled row both the scores and the prediction are known."
        return {(name, ""): Estimate.impossible(name, reason, **facts) for name in wanted}
    q = _normed(np.column_stack([f.curve(s[:, i]) for i, f in enumerate(fitted)]))
    scale = total / len(s)
    rng = np.random.default_rng(seed)

    def confusion(probabilities: Floats) -> Floats:
        columns = [probabilities[..., place == j, :].sum(axis=-2) for j in range(k)]
        return scale * np.stack(columns, axis=-1)

    mean = confusion(q)
    sampled = np.repeat(mean[None], draws, axis=0)
    for j in range(k):
        inside = q[place == j]
        if len(inside):
            spread = scale * (np.diag(inside.sum(axis=0)) - inside.T @ inside)
            values, vectors = np.linalg.eigh(spread)
            sampled[:, :, j] += rng.standard_normal((draws, k)) @ (vectors * np.sqrt(np.maximum(values, 0))).T
    sampled = np.maximum(sampled, 0.0)
    drawn = _drawn_probabilities(fitted, s)
    curved = confusion(drawn)
    kept = max(1.0 - len(s) / total, 0.0)
    redrawn = mean[None]
    if kept > 0:
        copies = rng.multinomial(len(s), np.full(len(s), 1 / len(s)), size=draws).astype(float)
        columns = [copies[:, place == j] @ q[place == j] for j in range(k)]
        redrawn = scale * np.stack(columns, axis=-1)

    def of(name: str, function: Callable[[Floats], Floats], undefined: str) -> Estimate:
        variances = {
            "sampling": _variance(function(sampled)),
            "calibration": _variance(function(curved)),
            "rows": kept * _variance(function(redrawn)) if kept > 0 else 0.0,
        }
        return Estimate.of(
            name,
            float(function(mean)),
            variances,
            low=0.0,
            high=1.0,
            level=level,
            undefined=undefined,
            details={"calibration": [f.curve.name for f in fitted]},
            **facts,
        )

    out: dict[tuple[str, str], Estimate] = {}
    for name in wanted:
        if name in _OF_CONFUSION:
            out[name, ""] = of(name, _OF_CONFUSION[name], "No row has a prediction.")
        elif name in _PER_CLASS:
            short = name.removesuffix("_per_class")
            for i, c in enumerate(classes):
                out[name, c] = of(
                    name,
                    lambda counts, i=i, short=short: _shares(short, counts)[..., i],  # type: ignore[misc]
                    "No row is expected, or was predicted, to be of this class.",
                )
        else:
            loss = -np.log(np.clip(s, CLIP, 1.0))
            expected = (q * loss).sum(axis=1)
            within = float(((q * loss**2).sum(axis=1) - expected**2).mean()) / total
            rows = kept * float(expected.var()) / len(s)
            calibrating = _variance(np.einsum("bik,ik->b", drawn, loss) / len(s))
            out[name, ""] = Estimate.of(
                name,
                float(expected.mean()),
                {"sampling": within, "calibration": calibrating, "rows": rows},
                low=0.0,
                high=None,
                level=level,
                undefined="",
                **facts,
            )
    return out


def _drawn_probabilities(fitted: Sequence[Calibrated], scores: Floats) -> Floats:
    """Probabilities ``(draws, m, k)`` by drawn curves, with the isotonic ones' draws spread as they should be."""
    parts = []
    for i, f in enumerate(fitted):
        drawn = f.drawn_probabilities(scores[:, i])
        centre = drawn.mean(axis=0)
        parts.append(np.clip(centre + np.sqrt(f.widening) * (drawn - centre), 0.0, 1.0))
    return _normed(np.stack(parts, axis=-1))


def _normed(probabilities: Floats) -> Floats:
    total = probabilities.sum(axis=-1, keepdims=True)
    return np.where(total > 0, probabilities / np.where(total > 0, total, 1.0), 1.0 / probabilities.shape[-1])


def _variance(values: Floats) -> float:
    values = values[np.isfinite(values)]
    return float(values.var(ddof=1)) if values.size > 1 else float("nan")


def _renamed(e: Estimate, name: str) -> Estimate:
    return replace(e, metric=name)


def _mean_area(areas: Sequence[Estimate], level: float, reasons: Sequence[str], method: str) -> Estimate:
    name = "roc_auc_ovr"
    known = [e for e in areas if e.value is not None and e.interval is not None]
    if len(known) < len(areas):
        return Estimate.impossible(name, reasons[0] if reasons else "A class has no estimate.", method=method)
    values = [float(e.value) for e in known if e.value is not None]
    halves = [(e.interval.high - e.interval.low) / 2 for e in known if e.interval is not None]
    sd = float(np.mean(halves)) / normal_quantile(level)
    return Estimate.of(
        name,
        float(np.mean(values)),
        {"sampling and calibration": sd**2},
        low=0.0,
        high=1.0,
        level=level,
        undefined="",
        rows=known[0].rows,
        baseline_rows=known[0].baseline_rows,
        method=method,
    ).doubted(*reasons, beforehand=not all(e.reliable_beforehand for e in areas))
