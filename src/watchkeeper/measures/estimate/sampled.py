"""What estimates need of sampled rows: scores, decisions and outcomes as plain arrays, by the schema's roles."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.domain.classes import spelled_as
from watchkeeper.domain.schema import Column, Role, Schema
from watchkeeper.stats.classes import positive_class
from watchkeeper.stats.states.moments import Moments
from watchkeeper.stats.states.sample import Sample


@dataclass(frozen=True, slots=True, eq=False)
class BinaryRows:
    """Of each sampled row: its score (NaN where none), outcome and decision (1, 0, or -1 where not known)."""

    scores: NDArray[np.float64]
    outcomes: NDArray[np.int8]
    decisions: NDArray[np.int8]


def class_names(values: Any) -> list[str | None]:
    """Each value as the name of a class, as confusions write it; None for a missing one.

    >>> class_names(np.array([1.0, 0.5, np.nan])), class_names(np.array(["cat", None], dtype=object))
    (['1', '0.5', None], ['cat', None])
    """
    out: list[str | None] = []
    for value in np.asarray(values).tolist():
        if value is None or value != value:
            out.append(None)
        elif isinstance(value, float) and value.is_integer():
            out.append(str(int(value)))
        elif isinstance(value, bool):
            out.append("true" if value else "false")
        else:
            out.append(str(value))
    return out


def numbers(values: Any) -> NDArray[np.float64]:
    """Values as numbers, NaN where there is none."""
    array = np.asarray(values)
    if array.dtype == object:
        array = np.array([np.nan if value is None else value for value in array.tolist()])
    return array.astype(np.float64)


def column_of(sample: Sample | None, schema: Schema, *roles: Role) -> Column | None:
    """The first column of one of *roles* that the sample holds."""
    if sample is None:
        return None
    for role in roles:
        for column in schema.of_role(role):
            if column.name in sample.columns:
                return column
    return None


def positive_of(names: set[str], positive: str | None) -> str | None:
    """The positive class among *names*, in their spelling: as said, or the usual one (1 of 0 and 1)."""
    if positive is not None:
        return spelled_as([positive], names)[0]
    return positive_class(dict.fromkeys(names, Moments.empty()), {}).name


@lru_cache(maxsize=16)
def binary_rows(sample: Sample, schema: Schema, positive: str | None) -> BinaryRows | None:
    """Scores, outcomes and decisions of sampled rows; None where no score was sampled.

    Remembered by the sample itself (samples are never changed): a baseline's is asked for with every window.
    """
    score = column_of(sample, schema, Role.SCORE)
    if score is None:
        return None
    wanted = score.score_of or positive or schema.positive
    scores = numbers(sample.columns[score.name])
    flags = []
    for role in (Role.OUTCOME, Role.PREDICTION):
        column = column_of(sample, schema, role)
        if column is None:
            flags.append(np.full(len(scores), -1, np.int8))
            continue
        names = class_names(sample.columns[column.name])
        yes = positive_of({name for name in names if name is not None}, wanted)
        flags.append(np.array([-1 if name is None else int(name == yes) for name in names], np.int8))
    return BinaryRows(scores, flags[0], flags[1])


def decision_threshold(rows: BinaryRows, given: float) -> float | None:
    """Where scores become decisions: *given*, where rows agree; else what separates them; None if nothing does.

    >>> decided = BinaryRows(np.array([0.1, 0.3, 0.6]), np.zeros(3, np.int8), np.array([0, 1, 1], np.int8))
    >>> decision_threshold(decided, 0.5), decision_threshold(decided, 0.25)
    (0.2, 0.25)
    """
    known = np.isfinite(rows.scores) & (rows.decisions >= 0)
    scores, yes = rows.scores[known], rows.decisions[known] == 1
    if not known.any() or bool(((scores >= given) == yes).all()):
        return given
    if yes.all() or not yes.any():
        return given
    low, high = float(scores[~yes].max()), float(scores[yes].min())
    if low >= high:
        return None
    middle = round((low + high) / 2, 3)
    return middle if low < middle <= high else high
