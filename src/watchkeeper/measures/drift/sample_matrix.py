r"""Sampled rows of both sides as two matrices of numbers, for measures of many columns at once.

Features of all kinds that have numbers or categories take part, each with about the weight of one standardised
number:

- numbers and integers: less the pooled mean, over the pooled standard deviation, held within 8; a missing value
  stands at the mean and is marked in a column of its own;
- categories and booleans: one indicator for each of the 10 most frequent that hold 1% or more, and for missing.

Everything is scaled by both sides together, so that swapping rows between them changes nothing: what permutation
tests rest on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.domain.schema import Column, Kind, Role, Schema
from watchkeeper.errors import BadInput
from watchkeeper.stats.states.sample import Sample

Floats = NDArray[np.float64]

_KINDS = (Kind.NUMERIC, Kind.INTEGER, Kind.BOOLEAN, Kind.CATEGORICAL)
_FEWEST_ROWS = 20
_MOST_CATEGORIES = 10
_SMALLEST_SHARE = 0.01
_REACH = 8.0


@dataclass(frozen=True, slots=True, eq=False)
class JointRows:
    """``baseline`` ``(n, d)`` and ``window`` ``(m, d)``; ``columns`` names the column behind each dimension."""

    baseline: Floats
    window: Floats
    columns: tuple[str, ...]
    complete: bool
    """Whether the samples hold every row, and nothing was left to chance."""


def joint_rows(baseline: Sample, window: Sample, schema: Schema) -> JointRows:
    """Encode the features that both samples hold.

    Raises
    ------
    BadInput
        a side has fewer than 20 rows, or there is no column to compare.
    """
    _check_rows(baseline, window)
    parts: list[Floats] = []
    names: list[str] = []
    n = baseline.size
    for column in schema.of_role(Role.FEATURE):
        if column.kind not in _KINDS or not _held(column, baseline, window):
            continue
        encoded = _encoded(column, baseline.columns[column.name], window.columns[column.name])
        parts.append(encoded)
        names += [column.name] * encoded.shape[1]
    rows = np.hstack(parts) if parts else np.empty((n, 0))
    if not rows.shape[1]:
        raise BadInput("There is no column whose sampled rows can be compared.")
    return JointRows(rows[:n], rows[n:], tuple(names), _complete(baseline, window))


def vector_rows(baseline: Sample, window: Sample, column: Column) -> JointRows:
    """The finite sampled vectors of one column, as they are.

    Raises
    ------
    BadInput
        a side holds fewer than 20 finite vectors.
    """
    if not _held(column, baseline, window):
        raise BadInput(f"The samples do not hold {column.name!r}.")
    sides = []
    for name, sample in (("baseline", baseline), ("window", window)):
        rows = np.asarray(sample.columns[column.name], dtype=np.float64)
        rows = rows[np.isfinite(rows).all(axis=1)]
        if len(rows) < _FEWEST_ROWS:
            raise BadInput(f"The {name}'s sample holds {len(rows)} vectors; {_FEWEST_ROWS} are needed.")
        sides.append(rows)
    return JointRows(sides[0], sides[1], (column.name,) * sides[0].shape[1], _complete(baseline, window))


def _check_rows(baseline: Sample, window: Sample) -> None:
    for name, sample in (("baseline", baseline), ("window", window)):
        if sample.size < _FEWEST_ROWS:
            raise BadInput(f"The {name}'s sample holds {sample.size} rows; {_FEWEST_ROWS} are needed.")


def _held(column: Column, baseline: Sample, window: Sample) -> bool:
    return column.name in baseline.columns and column.name in window.columns


def _complete(baseline: Sample, window: Sample) -> bool:
    return baseline.accuracy.exact and window.accuracy.exact


def _encoded(column: Column, left: Any, right: Any) -> Floats:
    """Both sides' values under each other, as numbers ``(n + m, k)``; k is 0 for a constant column."""
    if column.kind in (Kind.NUMERIC, Kind.INTEGER):
        try:
            return _numbers(np.concatenate([_floats(left), _floats(right)]))
        except (TypeError, ValueError):
            pass  # sampled as objects that are no numbers: compare them as categories
    return _categories([value for side in (left, right) for value in np.asarray(side).tolist()])


def _floats(values: Any) -> Floats:
    array = np.asarray(values)
    if array.dtype == object:
        array = np.array([np.nan if value is None else value for value in array.tolist()])
    return array.astype(np.float64)


def _numbers(values: Floats) -> Floats:
    known = np.isfinite(values)
    parts = []
    if known.any():
        mean, sd = values[known].mean(), values[known].std()
        if sd > 0:
            # infinities stand at the far ends, missing values in the middle
            z = np.nan_to_num((values - mean) / sd, nan=0.0, posinf=_REACH, neginf=-_REACH)
            parts.append(np.clip(z, -_REACH, _REACH))
    missing = np.isnan(values).astype(np.float64)
    if 0 < missing.mean() < 1:
        parts.append((missing - missing.mean()) / missing.std())
    return np.column_stack(parts) if parts else np.empty((len(values), 0))


def _categories(values: list[Any]) -> Floats:
    seen: dict[Any, int] = {}
    codes = np.array([seen.setdefault(value, len(seen)) for value in values], np.intp)
    # Values that are written alike are one category, and so are all that are missing.
    names: dict[str, int] = {}
    place = np.array([names.setdefault(_name(value), len(names)) for value in seen], np.intp)[codes]
    counts = np.bincount(place, minlength=len(names))
    frequent = np.argsort(-counts, kind="stable")[:_MOST_CATEGORIES]
    kept = [k for k in frequent if counts[k] >= _SMALLEST_SHARE * len(values) and counts[k] < len(values)]
    parts = []
    for k in kept:
        indicator = (place == k).astype(np.float64)
        parts.append((indicator - indicator.mean()) / indicator.std())
    # the indicators of one column together weigh as much as one number
    return np.column_stack(parts) / np.sqrt(len(parts)) if parts else np.empty((len(values), 0))


def _name(value: Any) -> str:
    return "\0" if value is None or value != value else str(value)
