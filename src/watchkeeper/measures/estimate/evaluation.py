"""All estimates that two profiles allow, in one call: what a watch shows beside the realised numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.domain.classes import spelled_as
from watchkeeper.domain.measurement import Measurement
from watchkeeper.domain.schema import Role, Task
from watchkeeper.errors import BadInput, NotFound, nearest
from watchkeeper.measures.drift.sample_matrix import joint_rows
from watchkeeper.measures.estimate.catalogue import CATALOGUE
from watchkeeper.measures.estimate.change import MOST_COLUMNS, REST, change_parts
from watchkeeper.measures.estimate.label_shift import estimated_positive_share
from watchkeeper.measures.estimate.sampled import (
    binary_rows,
    class_names,
    column_of,
    decision_threshold,
    numbers,
)
from watchkeeper.measures.estimate.told import PREFIX, told
from watchkeeper.stats.estimation.bbse import estimate_label_shift
from watchkeeper.stats.estimation.cbpe import estimate
from watchkeeper.stats.estimation.dle import REGRESSION, estimate_losses
from watchkeeper.stats.estimation.estimate import Estimate
from watchkeeper.stats.estimation.expected_metrics import BINARY
from watchkeeper.stats.estimation.importance_weights import DensityRatio, density_ratio, weight_doubts
from watchkeeper.stats.estimation.multiclass import MULTICLASS, WeightedRows, estimate_classes
from watchkeeper.stats.estimation.pape import estimate_under_shift
from watchkeeper.stats.multivariate import domain_classifier_auc
from watchkeeper.stats.states.profile import Profile
from watchkeeper.stats.states.residuals import Residuals
from watchkeeper.stats.states.score_table import ScoreTable

UNWEIGHTED = "Weighting needs sampled rows of both sides, with features and the baseline's outcomes."
METHODS = ("auto", "cbpe", "pape", "label_shift")
SHIFTED = 0.6
"""Area under the domain classifier's curve from which rows are weighted."""
_OF_ORDER = frozenset(["roc_auc", "average_precision"])
_DECIDED = frozenset(
    [
        "accuracy",
        "balanced_accuracy",
        "precision",
        "recall",
        "specificity",
        "f1",
        "mcc",
        "true_positives",
        "false_positives",
        "false_negatives",
        "true_negatives",
    ]
)


def measure_estimates(
    baseline: Profile,
    window: Profile,
    *,
    task: Task | None = None,
    positive: str | None = None,
    threshold: float = 0.5,
    names: Iterable[str] | None = None,
    windows: Sequence[Profile] = (),
    arrived: Sequence[Profile] = (),
    level: float = 0.95,
    method: str = "auto",
    model: str = "ridge",
) -> list[Measurement]:
    """Estimate the window's performance without its outcomes.

    Parameters
    ----------
    baseline, window : profiles; the baseline with outcomes.
    task : of the model; None takes the schema's.
    positive : the positive class of a binary task, where the schema does not say it.
    threshold : where a score becomes a decision. Where sampled decisions follow another threshold, that is taken.
    names : measures (``estimated_f1``, or ``f1``); None takes the default ones.
    windows : the baseline's own windows: how much they differ is tolerated and widens the intervals.
    arrived : recent windows whose outcomes have arrived: they may contradict the estimates.
    method : ``"cbpe"``; ``"pape"`` weights rows under covariate shift; ``"label_shift"`` adjusts for other shares
        of classes; ``"auto"`` is CBPE, or PAPE where sampled rows of both sides differ. Where no weights make the
        baseline's rows like the window's, it is CBPE again, and unreliable.
    model : of a regression's losses: ``"ridge"``, or ``"boosted"`` (scikit-learn).

    Raises
    ------
    NotFound
        a name is not an estimate.
    BadInput
        there is no such method, or it is not for this task.
    """
    if method not in METHODS:
        raise BadInput(f"There is no way {method!r} to estimate.{nearest(method, METHODS)}")
    task = task or baseline.schema.task
    wanted = _wanted(names)
    if task is Task.REGRESSION:
        return _regression(baseline, window, [n for n in wanted if n in REGRESSION], windows, level, model)
    if task is Task.MULTICLASS:
        if method == "label_shift":
            raise BadInput(
                "The way 'label_shift' is for two classes; several are estimated by 'cbpe' or 'pape'.",
                'Say method="auto".',
            )
        names = [n for n in wanted if n in MULTICLASS]
        return _several(baseline, window, names, windows, arrived, level, method)
    known, seen = baseline.performance.get("score_table"), window.performance.get("score_table")
    if not isinstance(known, ScoreTable) or not isinstance(seen, ScoreTable):
        return []
    out = _binary(
        baseline,
        window,
        known,
        seen,
        [n for n in wanted if n in BINARY],
        positive=positive,
        threshold=threshold,
        windows=_tables(windows),
        arrived=_tables(arrived),
        level=level,
        method=method,
    )
    if "positive_share" in wanted:
        out.append(estimated_positive_share(known, seen, threshold=threshold, level=level))
    return out


def measure_change(
    baseline: Profile,
    window: Profile,
    *,
    task: Task | None = None,
    positive: str | None = None,
    threshold: float = 0.5,
    level: float = 0.95,
) -> list[Measurement]:
    """What moved, and what it cost: the change of the mean loss, split (see `change`); empty without samples.

    Beyond the five columns that tell both sides apart best, columns are taken as one.
    """
    task = task or baseline.schema.task
    names = ("performance_change_covariate", "performance_change_concept")
    try:
        rows = _joint(baseline, window)
    except BadInput as refusal:
        return [Measurement.missing(name, refusal.what) for name in names]
    losses = [_losses(p, task, positive, threshold) for p in (baseline, window)]
    if losses[0] is None or losses[1] is None or np.isfinite(losses[0]).sum() < 50:
        reason = "Sampled rows with an outcome are needed, at least 50 in the baseline."
        return [Measurement.missing(name, reason) for name in names]
    known, came = np.isfinite(losses[0]), np.isfinite(losses[1])
    columns = list(rows.columns)
    if len(set(columns)) > MOST_COLUMNS + 1:
        weights = domain_classifier_auc(rows.baseline, rows.window, permutations=0).weights
        of_column: dict[str, float] = {}
        for name, weight in zip(columns, weights.tolist(), strict=True):
            of_column[name] = of_column.get(name, 0.0) + weight
        kept = set(sorted(of_column, key=lambda name: -of_column[name])[:MOST_COLUMNS])
        columns = [name if name in kept else REST for name in columns]
    return change_parts(
        losses[0][known],
        rows.baseline[known],
        rows.window,
        columns,
        window_losses=losses[1][came] if came.sum() >= 2 else None,
        window_known=came if came.sum() >= 2 else None,
        level=level,
    )


def _wanted(names: Iterable[str] | None) -> list[str]:
    if names is None:
        return [e.name.removeprefix(PREFIX) for e in CATALOGUE if e.default and e.name.startswith(PREFIX)]
    known = {e.name for e in CATALOGUE if e.name.startswith(PREFIX)}
    out = []
    for name in names:
        full = name if name.startswith(PREFIX) else PREFIX + name
        if full not in known:
            raise NotFound(f"There is no estimate {name!r}.{nearest(full, known)}")
        out.append(full.removeprefix(PREFIX))
    return out


def _tables(profiles: Sequence[Profile]) -> list[ScoreTable]:
    found = [p.performance.get("score_table") for p in profiles]
    return [t for t in found if isinstance(t, ScoreTable) and t.labelled]


# -- classes ------------------------------------------------------------------------------------------------


def _binary(
    baseline: Profile,
    window: Profile,
    known: ScoreTable,
    seen: ScoreTable,
    names: Sequence[str],
    *,
    positive: str | None,
    threshold: float,
    windows: Sequence[ScoreTable],
    arrived: Sequence[ScoreTable],
    level: float,
    method: str,
) -> list[Measurement]:
    impossible: dict[str, Estimate] = {}
    reason = known.no_probabilities or seen.no_probabilities
    if reason is not None:
        # Only their order can be read: a calibrated place among the baseline's scores.
        impossible = {n: Estimate.impossible(n, reason) for n in names if n not in _OF_ORDER}
        if method != "label_shift":
            method = "cbpe"
    own = None if baseline.sample is None else binary_rows(baseline.sample, baseline.schema, positive)
    if own is not None and reason is None:
        taken = decision_threshold(own, threshold)
        if taken is None:
            reason = "The model's decisions do not follow from its score at one threshold."
            impossible = {n: Estimate.impossible(n, reason) for n in names if n in _DECIDED}
        threshold = threshold if taken is None else taken
    asked = [n for n in names if n not in impossible]
    if method == "label_shift":
        found = estimate_label_shift(known, seen, names=asked, threshold=threshold, level=level)
        return [told((impossible | found)[n]) for n in names]
    weighted = (
        None if method == "cbpe" or own is None else _weighted(baseline, window, own.outcomes, own.scores)
    )
    if method == "pape" and weighted is None:
        return [told(Estimate.impossible(n, UNWEIGHTED, method="pape")) for n in names]
    ratio = None if weighted is None else weighted.ratio(always=method == "pape")
    doubts = [] if ratio is None or method == "pape" else weight_doubts(ratio)
    if weighted is not None and own is not None and ratio is not None and not doubts:
        kept = weighted.kept
        found = estimate_under_shift(
            own.scores[kept],
            own.outcomes[kept] == 1,
            weighted.baseline,
            weighted.window,
            seen,
            names=asked,
            threshold=threshold,
            level=level,
            windows=windows,
            ratio=ratio,
        )
    else:
        found = estimate(
            known, seen, names=asked, threshold=threshold, level=level, windows=windows, arrived=arrived
        )
        found = {n: _doubted(e, doubts, ratio) for n, e in found.items()}
    return [told((impossible | found)[n]) for n in names]


def _doubted(found: Estimate, doubts: Sequence[str], ratio: DensityRatio | None) -> Estimate:
    """CBPE's estimate where the rows differ and no weights make up for it: it says so."""
    if ratio is None or found.value is None or not doubts:
        return found
    told_by = {"domain_auc": ratio.auc, "effective_rows": ratio.effective, "imbalance": ratio.imbalance}
    return replace(found, details={**found.details, **told_by}).doubted(*doubts)


@dataclass(frozen=True, slots=True, eq=False)
class _Weighted:
    baseline: NDArray[np.float64]
    window: NDArray[np.float64]
    kept: NDArray[np.intp]
    """Places of the baseline's sampled rows that have a score and an outcome."""
    auc: float
    columns: tuple[str, ...]

    def ratio(self, *, always: bool) -> DensityRatio | None:
        """Weights of the baseline's rows; None where the sides are alike, unless *always*."""
        if not (always or self.auc > SHIFTED):
            return None
        found = density_ratio(self.baseline, self.window, columns=self.columns, judge=False)
        return replace(found, auc=self.auc)


def _weighted(baseline: Profile, window: Profile, outcomes: Any, scores: Any) -> _Weighted | None:
    """Both sides' sampled features, and how well they can be told apart; None where there are none."""
    try:
        rows = _joint(baseline, window)
    except BadInput:
        return None
    kept = np.flatnonzero((outcomes >= 0) & np.isfinite(scores))
    if len(kept) < 50:
        return None
    auc = domain_classifier_auc(rows.baseline, rows.window, permutations=0).auc
    return _Weighted(rows.baseline[kept], rows.window, kept, auc, rows.columns)


def _joint(baseline: Profile, window: Profile) -> Any:
    if baseline.sample is None or window.sample is None:
        raise BadInput("One side keeps no sampled rows.", "Profile it with sample_k > 0.")
    return joint_rows(baseline.sample, window.sample, baseline.schema)


def _several(
    baseline: Profile,
    window: Profile,
    names: Sequence[str],
    windows: Sequence[Profile],
    arrived: Sequence[Profile],
    level: float,
    method: str,
) -> list[Measurement]:
    known, seen = _by_class(baseline), _by_class(window)
    shared = {c: t for c, t in known.items() if c in seen}
    if not shared:
        return []
    scores = predicted = None
    sample, schema = window.sample, window.schema
    said = column_of(sample, schema, Role.PREDICTION)
    columns = {c.score_of: c.name for c in schema.of_role(Role.SCORE)}
    if sample is not None and said is not None and all(columns.get(c) in sample.columns for c in shared):
        scores = np.column_stack([numbers(sample.columns[str(columns[c])]) for c in shared])
        predicted = _places(sample.columns[said.name], list(shared))
    weighted = (
        None
        if method == "cbpe"
        else _weighted_classes(baseline, window, list(shared), always=method == "pape")
    )
    if method == "pape" and weighted is None:
        return [told(Estimate.impossible(n, UNWEIGHTED, method="pape")) for n in names]
    doubts = [] if weighted is None or method == "pape" else weight_doubts(weighted.ratio)
    found = estimate_classes(
        shared,
        {c: seen[c] for c in shared},
        scores=scores,
        predicted=predicted,
        names=names,
        level=level,
        windows=[_by_class(p) for p in windows],
        arrived=[_by_class(p) for p in arrived],
        weighted=None if doubts else weighted,
    )
    ratio = None if weighted is None else weighted.ratio
    return [told(_doubted(e, doubts, ratio), subject=subject) for (_, subject), e in found.items()]


def _places(values: Any, classes: Sequence[str]) -> NDArray[np.int64]:
    """Where each value stands among *classes*, -1 for none of them."""
    names = class_names(values)
    distinct = list({name for name in names if name is not None})
    spelled = dict(zip(distinct, spelled_as(distinct, classes), strict=True))
    place = {c: i for i, c in enumerate(classes)}
    return np.array([-1 if name is None else place.get(spelled[name], -1) for name in names], np.int64)


def _weighted_classes(
    baseline: Profile, window: Profile, classes: Sequence[str], *, always: bool
) -> WeightedRows | None:
    """The baseline's sampled rows with weights; None where there are none, or where they need none."""
    sample, schema = baseline.sample, baseline.schema
    outcome = column_of(sample, schema, Role.OUTCOME)
    columns = {c.score_of: c.name for c in schema.of_role(Role.SCORE)}
    if sample is None or outcome is None or not all(columns.get(c) in sample.columns for c in classes):
        return None
    outcomes = _places(sample.columns[outcome.name], classes)
    scores = np.column_stack([numbers(sample.columns[str(columns[c])]) for c in classes])
    found = _weighted(baseline, window, outcomes, scores.sum(axis=1))
    ratio = None if found is None else found.ratio(always=always)
    if found is None or ratio is None:
        return None
    return WeightedRows(
        scores=scores[found.kept],
        outcomes=outcomes[found.kept],
        rows=found.baseline,
        window_rows=found.window,
        ratio=ratio,
    )


def _by_class(profile: Profile) -> dict[str, ScoreTable]:
    prefix = "score_table:"
    return {
        name.removeprefix(prefix): state
        for name, state in profile.performance.items()
        if name.startswith(prefix) and isinstance(state, ScoreTable)
    }


# -- numbers ------------------------------------------------------------------------------------------------


def _regression(
    baseline: Profile,
    window: Profile,
    names: Sequence[str],
    windows: Sequence[Profile],
    level: float,
    model: str,
) -> list[Measurement]:
    schema = baseline.schema
    said = column_of(baseline.sample, schema, Role.PREDICTION, Role.SCORE)
    outcome = column_of(baseline.sample, schema, Role.OUTCOME)
    try:
        rows = _joint(baseline, window)
        if said is None or outcome is None or said.name not in window.sample.columns:  # type: ignore[union-attr]
            raise BadInput("Sampled predictions of both sides are needed, and outcomes of the baseline.")
    except BadInput as refusal:
        return [told(Estimate.impossible(n, refusal.what, method="dle")) for n in names]
    assert baseline.sample is not None
    assert window.sample is not None
    predicted, actual = (numbers(baseline.sample.columns[c.name]) for c in (said, outcome))
    later = numbers(window.sample.columns[said.name])
    came = window.sample.columns.get(outcome.name)
    kept, given = np.isfinite(predicted) & np.isfinite(actual), np.isfinite(later)
    known = [w.performance.get("residuals") for w in windows]
    auc = domain_classifier_auc(rows.baseline, rows.window, permutations=0).auc
    found = estimate_losses(
        predicted[kept],
        actual[kept],
        rows.baseline[kept],
        later[given],
        rows.window[given],
        rows=max(float(window.rows), float(given.sum())),
        names=names,
        windows=[r for r in known if isinstance(r, Residuals)],
        came=None if came is None else numbers(came)[given],
        level=level,
        model=model,
        auc=auc,
        columns=rows.columns,
    )
    return [told(found[n]) for n in names]


def _losses(
    profile: Profile, task: Task | None, positive: str | None, threshold: float
) -> NDArray[np.float64] | None:
    """Each sampled row's loss, NaN where it has no outcome: wrong or not, or the absolute error."""
    sample, schema = profile.sample, profile.schema
    if sample is None:
        return None
    said = column_of(sample, schema, Role.PREDICTION)
    outcome = column_of(sample, schema, Role.OUTCOME)
    if task is Task.REGRESSION:
        said = said or column_of(sample, schema, Role.SCORE)
        if said is None or outcome is None:
            return None
        return np.abs(numbers(sample.columns[said.name]) - numbers(sample.columns[outcome.name]))
    if task is Task.BINARY and column_of(sample, schema, Role.SCORE) is not None:
        rows = binary_rows(sample, schema, positive)
        assert rows is not None
        yes = np.where(rows.decisions >= 0, rows.decisions == 1, rows.scores >= threshold)
        wrong = (yes != (rows.outcomes == 1)).astype(float)
        return np.where((rows.outcomes >= 0) & np.isfinite(rows.scores), wrong, np.nan)
    if said is None or outcome is None:
        return None
    outcomes = class_names(sample.columns[outcome.name])
    known = sorted({name for name in outcomes if name is not None})
    a, b = (_places(sample.columns[c.name], known) for c in (said, outcome))
    missing = np.array([name is None for name in class_names(sample.columns[said.name])]) | (b < 0)
    return np.where(missing, np.nan, (a != b).astype(float))
