r"""NannyML's own CBPE for binary models, on raw rows.

Definition
----------
The reference is calibrated by isotonic regression (lines between its points, flat beyond them) where that lowers
the expected calibration error on held-out rows: ten stratified splits of 90/10 with scikit-learn's seed 42, all
held-out rows together in ten bins of equal size. It is not where a class is missing or the area under the curve is
above 0.999. With calibrated probabilities :math:`q` and the model's decisions, expected counts of the confusion
give accuracy, precision, recall, F1 and specificity (0 where nothing is to be divided by); areas follow from
:math:`q` in the order of the raw score, with sums rounded to 5 decimals.

A band of three sampling errors, learnt from the reference, lies around each estimate; the error of the calibration
is not in it. Alerts go by mean ± 3 standard deviations (ddof 0) of what the reference's own chunks realised, held
within [0, 1]. Chunks are tenths of the rows, the remainder is a chunk of its own.

Reads: raw rows of reference and analysis, never states. Cost: O(n log n).

Limits
------
The sampling error of average precision is a bootstrap without a seed in the peer, so it is not given here. Several
classes, confusion and business value are not written again. For intervals that hold see
`watchkeeper.measures.estimate`.

References
----------
NannyML 0.13, ``nannyml.performance_estimation.confidence_based`` and ``nannyml.calibration`` (Apache-2.0), read
for their definitions; scikit-learn, ``StratifiedShuffleSplit``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.errors import BadInput, nearest

Floats = NDArray[np.float64]

_CHUNKS = 10
_SPLITS, _BINS, _SEED, _HELD = 10, 10, 42, 0.1
_BAND = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkEstimate:
    """What the peer says of one metric of one chunk; NaN becomes None."""

    metric: str
    start: int
    rows: int
    value: float | None
    sampling_error: float | None
    low: float | None
    high: float | None
    lower_threshold: float | None
    upper_threshold: float | None
    alert: bool
    calibrated: bool


def chunk_estimates(
    reference_scores: Any,
    reference_decisions: Any,
    reference_outcomes: Any,
    scores: Any,
    decisions: Any,
    *,
    metrics: Iterable[str] | None = None,
    chunk_rows: int | None = None,
) -> list[ChunkEstimate]:
    """Return what NannyML estimates of each metric, chunk by chunk.

    Parameters
    ----------
    reference_scores, reference_decisions, reference_outcomes : of the reference's rows in order, decisions and
        outcomes 0 or 1.
    scores, decisions : of the analysed rows in order.
    metrics : names of `METRICS`; None takes all.
    chunk_rows : rows of a chunk; None is a tenth of each side.

    Raises
    ------
    BadInput
        a metric is unknown, lengths differ, or there are fewer rows than chunks.

    >>> s = np.tile([0.2, 0.4, 0.6, 0.8], 100)
    >>> y = (np.arange(400) % 5 < 2 + (s > 0.5)).astype(int)
    >>> found = chunk_estimates(s, s > 0.5, y, s[:100], s[:100] > 0.5, metrics=["accuracy"], chunk_rows=100)
    >>> round(found[0].value, 3), found[0].calibrated
    (0.6, True)
    """
    wanted = list(METRICS if metrics is None else metrics)
    for name in wanted:
        if name not in METRICS:
            raise BadInput(f"NannyML's CBPE has no metric {name!r} here.{nearest(name, METRICS)}")
    ref = [np.asarray(a).astype(float) for a in (reference_scores, reference_decisions, reference_outcomes)]
    new = [np.asarray(a).astype(float) for a in (scores, decisions)]
    if len({len(a) for a in ref}) > 1 or len({len(a) for a in new}) > 1:
        raise BadInput("Scores, decisions and outcomes differ in length.")
    sizes = [chunk_rows or len(side[0]) // _CHUNKS for side in (ref, new)]
    if min(sizes) < 1:
        raise BadInput("A tenth of fewer than ten rows is no chunk, and the peer refuses it.")
    raw, decided, came = ref
    calibrated = needs_calibration(raw, came)
    curve = _isotonic(raw, came) if calibrated else (lambda at: at)
    out = []
    for name in wanted:
        metric = METRICS[name]
        realised = [metric.realised(raw[at], decided[at], came[at]) for at in _chunks(len(raw), sizes[0])]
        centre, spread = float(np.nanmean(realised)), float(np.nanstd(realised))
        low, high = max(centre - 3 * spread, 0.0), min(centre + 3 * spread, 1.0)
        deviation, share = metric.deviation(raw, decided, came)
        for at in _chunks(len(new[0]), sizes[1]):
            s, d = new[0][at], new[1][at]
            value = metric.estimate(s, d, curve(s))
            error = deviation / np.sqrt(len(s) * share) if share > 0 else float("nan")
            out.append(
                ChunkEstimate(
                    metric=name,
                    start=at.start,
                    rows=len(s),
                    value=_given(value),
                    sampling_error=_given(error),
                    low=_given(max(0.0, value - _BAND * error)),
                    high=_given(min(1.0, value + _BAND * error)),
                    lower_threshold=_given(low),
                    upper_threshold=_given(high),
                    alert=bool(value < low or value > high),
                    calibrated=calibrated,
                )
            )
    return out


def needs_calibration(scores: Any, outcomes: Any) -> bool:
    """Whether the peer calibrates, from the reference's scores and outcomes ``(n,)``.

    >>> s = np.tile([0.2, 0.4, 0.6, 0.8], 100)
    >>> needs_calibration(s, np.arange(400) % 5 < 2)
    True
    """
    s, y = np.asarray(scores, float), np.asarray(outcomes, float)
    if len(np.unique(y)) == 1 or _realised_auc(s, np.empty(0), y) > 0.999:
        return False
    held_y, held_s, held_q = [], [], []
    for train, test in _stratified_splits(y):
        held_y.append(y[test])
        held_s.append(s[test])
        held_q.append(_isotonic(s[train], y[train])(s[test]))
    came, plain, curved = (np.concatenate(parts) for parts in (held_y, held_s, held_q))
    return _calibration_error(came, plain) > _calibration_error(came, curved)


def _stratified_splits(outcomes: Floats) -> Iterable[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """scikit-learn's ``StratifiedShuffleSplit(10, test_size=.1, random_state=42)``, drawn as it draws."""
    classes, codes = np.unique(outcomes, return_inverse=True)
    counts = np.bincount(codes)
    members = np.split(np.argsort(codes, kind="mergesort"), np.cumsum(counts)[:-1])
    n_test = int(np.ceil(_HELD * len(outcomes)))
    n_train = len(outcomes) - n_test
    rng = np.random.RandomState(_SEED)
    for _ in range(_SPLITS):
        of_train = _apportioned(counts, n_train, rng)
        of_test = _apportioned(counts - of_train, n_test, rng)
        train, test = [], []
        for i in range(len(classes)):
            shuffled = members[i][rng.permutation(counts[i])]
            train.append(shuffled[: of_train[i]])
            test.append(shuffled[of_train[i] : of_train[i] + of_test[i]])
        yield rng.permutation(np.concatenate(train)), rng.permutation(np.concatenate(test))


def _apportioned(counts: NDArray[Any], draws: int, rng: np.random.RandomState) -> NDArray[np.intp]:
    """Whole numbers nearest to proportional ones; of equal remainders, which is rounded up is drawn."""
    exact = counts / counts.sum() * draws
    whole = np.floor(exact)
    missing = int(draws - whole.sum())
    if missing > 0:
        rest = exact - whole
        for value in np.sort(np.unique(rest))[::-1]:
            (at,) = np.where(rest == value)
            taken = min(len(at), missing)
            whole[rng.choice(at, size=taken, replace=False)] += 1
            missing -= taken
            if missing == 0:
                break
    return whole.astype(np.intp)


def _calibration_error(outcomes: Floats, probabilities: Floats) -> float:
    order = probabilities.argsort()
    y, p = outcomes[order], probabilities[order]
    bins = _BINS if len(y) > 2 * _BINS else len(y) // 2
    edges = np.arange(0, len(y) + 1, len(y) // bins)
    edges[-1] = len(y)
    total = 0.0
    for a, b in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        total += (b - a) / len(y) * abs(float(np.mean(p[a:b])) - float(np.mean(y[a:b])))
    return total


def _isotonic(scores: Floats, outcomes: Floats) -> Callable[[Floats], Floats]:
    from scipy.optimize import isotonic_regression

    at, place, rows = np.unique(scores, return_inverse=True, return_counts=True)
    fitted = isotonic_regression(np.bincount(place, outcomes) / rows, weights=rows.astype(float)).x
    return lambda s: np.interp(s, at, fitted)


def _chunks(rows: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]


def _given(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


# -- the metrics --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Metric:
    """Estimate from score, decision, probability; realised from score, decision, outcome; its deviation."""

    estimate: Callable[[Floats, Floats, Floats], float]
    realised: Callable[[Floats, Floats, Floats], float]
    deviation: Callable[[Floats, Floats, Floats], tuple[float, float]]
    """Standard deviation per row in the reference, and the share of rows that count."""


def _expected(name: str) -> Callable[[Floats, Floats, Floats], float]:
    """A metric of expected counts; outcomes are probabilities of one or zero."""

    def value(_: Floats, d: Floats, q: Floats) -> float:
        yes = d == 1
        tp, fp = float(np.sum(q[yes])), float(np.sum(1 - q[yes]))
        fn, tn = float(np.sum(q[~yes])), float(np.sum(1 - q[~yes]))
        part, whole = {
            "accuracy": (tp + tn, float(len(d))),
            "precision": (tp, tp + fp),
            "recall": (tp, tp + fn),
            "specificity": (tn, tn + fp),
            "f1": (tp, tp + 0.5 * (fp + fn)),
        }[name]
        return part / whole if whole != 0 else 0.0

    return value


def _realised_counts(name: str) -> Callable[[Floats, Floats, Floats], float]:
    """As the peer: not a number where a chunk holds one class of outcomes or of decisions."""
    expected = _expected(name)

    def value(s: Floats, d: Floats, y: Floats) -> float:
        if name == "specificity":
            undefined = bool((y == 1).all())
        else:
            undefined = name != "accuracy" and (len(np.unique(y)) <= 1 or len(np.unique(d)) <= 1)
        return float("nan") if undefined else expected(s, d, y)

    return value


def _auc(s: Floats, _: Floats, q: Floats) -> float:
    q = q[np.argsort(s)[::-1]]
    tp = np.cumsum(q)
    fp = 1 + np.arange(len(q)) - tp
    tp, fp = (np.round(np.concatenate([[0.0], a]), 5) for a in (tp, fp))
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.trapezoid(tp / tp[-1], fp / fp[-1]))


def _realised_auc(s: Floats, _: Floats, y: Floats) -> float:
    from scipy.stats import rankdata

    positives = float(y.sum())
    negatives = len(y) - positives
    if not positives or not negatives:
        return float("nan")
    won = float(rankdata(s)[y == 1].sum()) - positives * (positives + 1) / 2
    return won / (positives * negatives)


def _average_precision(s: Floats, _: Floats, q: Floats) -> float:
    q = q[np.argsort(s)[::-1]]
    tp = np.round(np.cumsum(q), 5)
    with np.errstate(divide="ignore", invalid="ignore"):
        recall = np.concatenate([[0.0], tp]) / tp[-1]
        return float(np.sum(np.diff(recall) * tp / np.arange(1, len(q) + 1)))


def _realised_ap(s: Floats, _: Floats, y: Floats) -> float:
    if not y.any():
        return float("nan")
    order = np.argsort(-s, kind="stable")
    last = np.append(np.flatnonzero(np.diff(s[order])), len(s) - 1)
    tp = np.cumsum(y[order])[last]
    return float(np.sum(np.diff(tp, prepend=0.0) / tp[-1] * tp / (last + 1)))


def _auc_deviation(s: Floats, _: Floats, y: Floats) -> tuple[float, float]:
    if np.mean(y) > 0.5:
        y, s = np.abs(y - 1), 1 - s
    ranks = np.unique(y[np.argsort(s)] * np.arange(len(y)))[1:]
    positives = float(np.sum(y))
    beaten = (ranks - np.arange(len(ranks))) / (len(y) - positives)
    return float(np.std(beaten)), positives / len(y)


def _count_deviation(name: str) -> Callable[[Floats, Floats, Floats], tuple[float, float]]:
    def deviation(_: Floats, d: Floats, y: Floats) -> tuple[float, float]:
        n, right = len(d), d == y
        if name == "accuracy":
            return float(np.std(right.astype(float))), 1.0
        if name == "f1":
            kept = (d == 1) | (y == 1)
            hits = (right & (d == 1))[kept].astype(float)
            if not hits.size:
                return float("nan"), 0.0
            factor = len(hits) / (0.5 * float(np.sum(hits == 0)) + float(np.sum(hits)))
            return float(np.std(hits * factor)), len(hits) / n
        kept = {"precision": d == 1, "recall": y == 1, "specificity": y == 0}[name]
        if not kept.any():
            return float("nan"), 0.0
        return float(np.std(right[kept].astype(float))), float(kept.sum()) / n

    return deviation


METRICS: dict[str, _Metric] = {
    "roc_auc": _Metric(_auc, _realised_auc, _auc_deviation),
    "average_precision": _Metric(_average_precision, _realised_ap, lambda s, d, y: (float("nan"), 1.0)),
    **{
        name: _Metric(_expected(name), _realised_counts(name), _count_deviation(name))
        for name in ("f1", "precision", "recall", "specificity", "accuracy")
    },
}
"""By the peer's own names."""
