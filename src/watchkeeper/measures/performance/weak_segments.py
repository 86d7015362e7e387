r"""Weakest segments: where do the losses come from?

Every value (or bin) of every column, and every pair of them, is a segment. Each is compared with all other rows:

Formula
-------
With the segment's rows :math:`n_s` and mean loss :math:`\bar\ell_s`, and the mean loss of all other rows
:math:`\bar\ell_r`, the loss that the segment causes is

.. math:: L_s = n_s (\bar\ell_s - \bar\ell_r),

what would be saved if the model were there as good as elsewhere. Segments are sorted by it.

Reads: arrays of codes and one loss a row (a `Sample`, or a batch). Cost: one ``bincount`` for each pair of columns.

What is reported
----------------
Many segments are searched, and the worst of many is bad by chance alone. So a segment is reported only when its
mean loss exceeds that of the other rows by Welch's test at a level shared by all segments that were searched
(Bonferroni), and a pair only when it is also worse than the rest of both of its columns' segments: "age over
60, in the north" is not news when everybody over 60 is served badly. The other way round, "over 60" is left out
when nothing but its northern part is bad.

Limits
------
Segments of depth three and more are not searched. A column of many categories is cut to its largest 20.

References
----------
Y. Chung et al., *Slice Finder: automated data slicing for model validation*, ICDE 2019.
B. L. Welch, *The generalization of Student's problem when several different population variances are involved*,
Biometrika 34, 1947.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np

from watchkeeper.domain.measurement import Interval, Measurement
from watchkeeper.domain.schema import Task
from watchkeeper.errors import BadInput
from watchkeeper.stats.intervals import normal_quantile

BINS = 5
CATEGORIES = 20


@dataclass(frozen=True, slots=True, eq=False)
class Coded:
    """A column as small whole numbers ``codes`` ``(rows,)`` into ``labels``, which read as conditions."""

    codes: np.ndarray
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WeakSegment:
    """A segment whose rows lose more than others."""

    conditions: tuple[str, ...]
    columns: tuple[str, ...]
    rows: int
    mean_loss: float
    rest_loss: float
    caused: float
    """``rows * (mean_loss - rest_loss)``, in units of loss."""
    share_of_loss: float
    """Caused loss as a share of all rows' loss."""
    interval: Interval
    """Of the difference of mean losses."""
    p_value: float
    """One-sided, adjusted for all segments that were searched."""

    @property
    def name(self) -> str:
        """The conditions in words."""
        return " and ".join(self.conditions)


def coded(name: str, values: Any, *, bins: int = BINS, categories: int = CATEGORIES) -> Coded:
    """Cut a column into segments: *bins* of about equal size, or its largest *categories*.

    Parameters
    ----------
    values : numbers ``(rows,)`` (NaN is missing), booleans, or objects (None is missing).

    >>> coded("age", np.array([20.0, 30.0, 40.0, 50.0, np.nan]), bins=2).labels
    ('age < 35', 'age >= 35', 'age is missing')
    """
    data = np.asarray(values)
    if data.dtype.kind == "b":
        data = np.where(data, "true", "false").astype(object)
    if data.dtype.kind in "iuf":
        return _binned(name, data.astype(np.float64), bins)
    missing = np.array([v is None or v != v for v in data.tolist()], dtype=bool)
    names, inverse = np.unique(data[~missing].astype(str), return_inverse=True)
    sizes = np.bincount(inverse, minlength=names.size)
    kept = np.sort(np.argsort(-sizes, kind="stable")[:categories])
    to = np.full(names.size, kept.size)
    to[kept] = np.arange(kept.size)
    labels = [f"{name} = {names[i]}" for i in kept.tolist()]
    if kept.size < names.size:
        labels.append(f"{name} is one of {names.size - kept.size} others")
    codes = np.full(data.size, len(labels), dtype=np.int64)
    codes[~missing] = to[inverse]
    return Coded(codes, tuple(labels) + ((f"{name} is missing",) if missing.any() else ()))


def row_losses(task: Task, predicted: Any, actual: Any) -> np.ndarray:
    """One loss a row ``(rows,)``: log loss of a score, squared error of a number, 0/1 of a class.

    *predicted* is the score of the positive class for a binary task, where *actual* is bool. Rows with NaN have
    loss NaN, and `weak_segments` leaves them out.

    >>> row_losses(Task.REGRESSION, [1.0, 2.0], [1.0, 4.0]).tolist()
    [0.0, 4.0]
    """
    if task is Task.MULTICLASS:
        return (np.asarray(predicted) != np.asarray(actual)).astype(float)
    scores, truth = np.asarray(predicted, float), np.asarray(actual, float)
    if task is Task.REGRESSION:
        return (scores - truth) ** 2
    eps = np.finfo(float).eps
    scores = np.clip(scores, eps, 1 - eps)
    return -(truth * np.log(scores) + (1 - truth) * np.log1p(-scores))


def weak_segments(
    columns: Mapping[str, Coded],
    losses: np.ndarray,
    *,
    depth: int = 2,
    min_rows: int = 30,
    alpha: float = 0.05,
    most: int = 10,
    level: float = 0.95,
) -> list[WeakSegment]:
    """Return the segments that cause the most loss, worst first.

    Parameters
    ----------
    columns : name -> codes of all rows.
    losses : one number a row ``(rows,)``; rows with NaN are left out.
    depth : 1, or 2 to search pairs of columns too.
    min_rows : smaller segments are not searched.
    alpha : probability of reporting anything when losses do not depend on the columns.

    Raises
    ------
    BadInput
        a column is not as long as *losses*, or *depth* is neither 1 nor 2.

    >>> rng = np.random.default_rng(0)
    >>> city, loss = rng.integers(0, 3, 3000), rng.exponential(size=3000)
    >>> loss[city == 2] += 1
    >>> found = weak_segments({"city": Coded(city, ("city = A", "city = B", "city = C"))}, loss)
    >>> [s.name for s in found]
    ['city = C']
    """
    from scipy.special import ndtr

    losses = np.asarray(losses, dtype=float)
    if depth not in (1, 2):
        raise BadInput(f"Segments are searched to a depth of 1 or 2, not {depth!r}.")
    for name, column in columns.items():
        if column.codes.size != losses.size:
            raise BadInput(
                f"The column {name!r} has {column.codes.size} rows, but there are {losses.size} losses."
            )
    known = np.isfinite(losses)
    loss = losses[known]
    n, total, squares = loss.size, float(loss.sum()), float(loss @ loss)
    if n < 2 * min_rows:
        return []
    codes = {name: column.codes[known].astype(np.int64) for name, column in columns.items()}
    width = {name: len(column.labels) for name, column in columns.items()}
    second = loss * loss

    singles = {name: _sums(codes[name], width[name], loss, second) for name in columns}
    found: list[tuple[tuple[tuple[str, int], ...], np.ndarray]] = []
    searched = 0
    for name, sums in singles.items():
        for code in np.flatnonzero((sums[0] >= min_rows) & (sums[0] <= n - min_rows)).tolist():
            searched += 1
            found.append((((name, code),), sums[:, code]))
    if depth == 2:
        places, pairs, parents = [], [], []
        for a, b in combinations(columns, 2):
            sums = _sums(codes[a] * width[b] + codes[b], width[a] * width[b], loss, second)
            big = np.flatnonzero((sums[0] >= min_rows) & (sums[0] <= n - min_rows))
            in_a, in_b = np.divmod(big, width[b])
            places += [((a, i), (b, j)) for i, j in zip(in_a.tolist(), in_b.tolist())]
            pairs.append(sums[:, big])
            parents.append((singles[a][:, in_a], singles[b][:, in_b]))
        searched += len(places)
        if places:
            pair = np.concatenate(pairs, axis=1)
            parent_a, parent_b = (np.concatenate(side, axis=1) for side in zip(*parents))
            # Only pairs that lose more than both their parents can be news; the rest need no second look.
            worse = (_worse(pair, parent_a) > 3.0) & (_worse(pair, parent_b) > 3.0)
            found += [(places[i], pair[:, i]) for i in np.flatnonzero(worse).tolist()]

    whole = np.array([n, total, squares])
    found = _without_bad_only_in_part(found, whole)
    out = []
    every_z = _worse(np.stack([sums for _, sums in found], axis=1), whole[:, None]).tolist() if found else []
    for (place, sums), z in zip(found, every_z):
        p = min(1.0, float(ndtr(-z)) * searched)
        if not p <= alpha:
            continue
        rest = whole - sums
        mean, other = sums[1] / sums[0], rest[1] / rest[0]
        half = normal_quantile(level) * (mean - other) / z if z > 0 else float("inf")
        caused = float(sums[0] * (mean - other))
        out.append(
            WeakSegment(
                conditions=tuple(columns[name].labels[code] for name, code in place),
                columns=tuple(name for name, _ in place),
                rows=int(sums[0]),
                mean_loss=float(mean),
                rest_loss=float(other),
                caused=caused,
                share_of_loss=caused / total if total > 0 else 0.0,
                interval=Interval(float(mean - other - half), float(mean - other + half), level),
                p_value=p,
            )
        )
    out.sort(key=lambda s: -s.caused)
    return out[:most]


def _without_bad_only_in_part(
    found: list[tuple[tuple[tuple[str, int], ...], np.ndarray]], whole: np.ndarray
) -> list[tuple[tuple[tuple[str, int], ...], np.ndarray]]:
    """Leave out single segments whose rows are no worse than others once a reported pair is taken away."""
    only_in_part = set()
    singles = {place[0]: sums for place, sums in found if len(place) == 1}
    for place, sums in found:
        if len(place) == 2:
            for parent in place:
                if parent in singles:
                    rest, others = singles[parent] - sums, whole - sums
                    if rest[0] < 2 or float(_worse(rest[:, None], others[:, None])[0]) < 3.0:
                        only_in_part.add(parent)
    return [(place, sums) for place, sums in found if len(place) == 2 or place[0] not in only_in_part]


def weakest_segments(columns: Mapping[str, Coded], losses: np.ndarray, **options: Any) -> list[Measurement]:
    """Return `weak_segments` as measurements: the value is the loss that the segment causes.

    >>> codes = Coded(np.arange(200) % 2, ("even", "odd"))
    >>> weakest_segments({"x": codes}, np.where(np.arange(200) % 2, 1.0, 0.0) + np.arange(200) / 1e4)[0].segment
    'odd'
    """
    return [
        Measurement(
            measure="weak_segment",
            value=found.caused,
            rows=found.rows,
            p_value=found.p_value,
            segment=found.name,
            details={
                "columns": list(found.columns),
                "mean_loss": found.mean_loss,
                "rest_loss": found.rest_loss,
                "share_of_loss": found.share_of_loss,
                "difference_low": found.interval.low,
                "difference_high": found.interval.high,
            },
        )
        for found in weak_segments(columns, losses, **options)
    ]


def _sums(codes: np.ndarray, width: int, loss: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Rows, sum of losses and sum of squares of each code ``(3, width)``."""
    return np.stack(
        [
            np.bincount(codes, minlength=width).astype(float),
            np.bincount(codes, loss, width),
            np.bincount(codes, second, width),
        ]
    )


def _worse(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Welch's z of each part ``(3, k)`` against the rest of the whole ``(3, k)``; 0 where there is no rest."""
    rest = whole - part
    with np.errstate(invalid="ignore", divide="ignore"):
        means, variances = [], []
        for n, s, q in (part, rest):
            mean = s / n
            means.append(mean)
            variances.append(np.maximum(q / n - mean * mean, 0.0) / np.maximum(n - 1, 1.0))
        spread = np.sqrt(variances[0] + variances[1])
        z = (means[0] - means[1]) / np.where(spread > 0, spread, np.inf)
        # No spread at all, and yet a difference: as sure as the normal tail can say.
        z = np.where((spread == 0) & (means[0] > means[1]), 38.0, z)
    return np.where(np.isfinite(z) & (rest[0] >= 2), z, np.where(rest[0] >= 2, 0.0, np.inf))


def _told_apart(numbers: list[float]) -> list[str]:
    """Numbers in as few digits as tell them apart, three at least.

    >>> _told_apart([-0.849651, 0.26922, 1200.4])
    ['-0.85', '0.269', '1200']
    """
    for digits in range(3, 17):
        said = [f"{x:.{digits}g}" if "e" not in f"{x:.{digits}g}" else f"{x:.0f}" for x in numbers]
        if len(set(said)) == len(numbers):
            break
    return said


def _binned(name: str, data: np.ndarray, bins: int) -> Coded:
    missing = np.isnan(data)
    shown = data[~missing]
    distinct = np.unique(shown)
    if distinct.size <= bins:
        codes = np.searchsorted(distinct, data)
        labels = [f"{name} = {v:g}" for v in distinct.tolist()]
    else:
        finite = shown[np.isfinite(shown)]
        cuts = np.unique(np.quantile(finite, np.arange(1, bins) / bins))
        cuts = cuts[cuts > distinct[0]]
        if not cuts.size:  # nearly all rows hold the lowest value: it against all others
            cuts = distinct[1:2]
        codes = np.searchsorted(cuts, data, side="right")
        ends = _told_apart(cuts.tolist())
        inner = [f"{low} <= {name} < {high}" for low, high in pairwise(ends)]
        labels = [f"{name} < {ends[0]}", *inner, f"{name} >= {ends[-1]}"]
    codes = np.where(missing, len(labels), codes)
    return Coded(codes, tuple(labels) + ((f"{name} is missing",) if missing.any() else ()))
