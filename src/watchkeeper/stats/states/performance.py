"""The model against its outcomes: the states that compare predictions and scores with what happened.

Which ones there are follows from the task. They are kept for all rows, and again for each segment that the plan
names: the values of a column, or quarters of a numeric one, or pairs of these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from watchkeeper.domain.schema import Kind, Role, Task
from watchkeeper.domain.values import Values
from watchkeeper.errors import BadInput
from watchkeeper.stats.states.confusion import Confusion, class_codes
from watchkeeper.stats.states.residuals import Residuals
from watchkeeper.stats.states.score_table import ScoreTable
from watchkeeper.stats.states.state import State

if TYPE_CHECKING:
    from watchkeeper.stats.states.profile_plan import ProfilePlan


_OTHER = "(other)"


class PerformanceFold:
    """The states that compare predictions and scores with outcomes, for all rows and for each segment."""

    def __init__(self, plan: ProfilePlan) -> None:
        self._plan = plan
        self.states: dict[str, State] = {}
        self.segments: dict[str, dict[str, State]] = {}
        self.notes: dict[str, None] = {}
        self._labels: dict[tuple[str, ...], set[str]] = {names: set() for names in plan.segments}

    def add(self, batch: Mapping[str, Values]) -> None:
        """Fold in one batch of whole rows."""
        if self._plan.schema.task is None:
            return
        self._fold(self.states, batch)
        used = self._columns_used(batch)
        for names in self._plan.segments:
            if all(name in batch for name in names) and used:
                for label, rows in self._split(names, batch):
                    part = {name: _take(batch[name], rows) for name in used}
                    self._fold(self.segments.setdefault(label, {}), part)

    def _columns_used(self, batch: Mapping[str, Values]) -> list[str]:
        columns = self._plan.schema.of_role(Role.PREDICTION, Role.SCORE, Role.OUTCOME)
        return [c.name for c in columns if c.name in batch]

    def _fold(self, into: dict[str, State], batch: Mapping[str, Values]) -> None:
        for name, state in self._states_of(batch):
            into[name] = into[name].merge(state) if name in into else state

    def _states_of(self, batch: Mapping[str, Values]) -> Iterator[tuple[str, State]]:
        schema = self._plan.schema

        def first(role: Role) -> Values | None:
            column = schema.first(role)
            return None if column is None else batch.get(column.name)

        outcome, prediction = first(Role.OUTCOME), first(Role.PREDICTION)
        if schema.task is Task.REGRESSION:
            prediction = prediction if prediction is not None else first(Role.SCORE)
            if prediction is not None and outcome is not None:
                yield (
                    "residuals",
                    Residuals.of(
                        _numbers(prediction),
                        _numbers(outcome),
                        labelled=outcome.valid,
                        valid=prediction.valid,
                    ),
                )
            return
        if prediction is not None and outcome is not None:
            yield "confusion", Confusion.of(outcome, prediction)
        scores = [c for c in schema.of_role(Role.SCORE) if c.name in batch]
        if not scores:
            return
        codes, names = (None, []) if outcome is None else class_codes(outcome)
        for column in scores:
            values = batch[column.name]
            key, positive = f"score_table:{column.score_of}", column.score_of
            if schema.task is Task.BINARY:
                if column.score_of is None or len(scores) == 1:
                    key = "score_table"
                positive = column.score_of or self._positive(outcome, names)
            elif column.score_of is None:
                self.notes[f"{column.name}: the schema does not say which class it scores (score_of)."] = None
                continue
            if codes is None:
                yield key, ScoreTable.of(_numbers(values), valid=values.valid)
                continue
            wanted = names.index(positive) if positive in names else -2
            yield (
                key,
                ScoreTable.of(_numbers(values), codes == wanted, labelled=codes >= 0, valid=values.valid),
            )

    def _positive(self, outcome: Values | None, names: Sequence[str]) -> str | None:
        """The positive class; where nobody said it, true, 1, or the larger one of the two."""
        given = self._plan.positive_class
        if given is not None:
            if given not in names and {given, *names} <= {"0", "1", "false", "true"}:
                # A flag may be stored as a number or as a boolean.
                return {"0": "false", "1": "true", "false": "0", "true": "1"}[given]
            return given
        if outcome is None or outcome.kind is Kind.BOOLEAN:
            return "true"
        edges = self._plan.edges.get(getattr(self._plan.schema.first(Role.OUTCOME), "name", ""))
        if edges is not None and edges.high is not None:
            return str(int(edges.high)) if float(edges.high).is_integer() else repr(edges.high)
        if set(names) <= {"0", "1"}:
            return "1"
        largest = max(names, key=class_order, default=None)
        self.notes[
            f"The positive class is taken to be {largest!r}, the larger one; say it in the schema (positive)."
        ] = None
        return largest

    # -- segments

    def _split(self, names: tuple[str, ...], batch: Mapping[str, Values]) -> Iterator[tuple[str, NDArray]]:
        """Rows of each segment; rows past the cap together, rows with a null in none."""
        parts = [self._codes(name, batch[name]) for name in names]
        joint, valid = parts[0][0], parts[0][0] >= 0
        for codes, labels in parts[1:]:
            joint = joint * max(len(labels), 1) + codes
            valid &= codes >= 0
        places = np.flatnonzero(valid)
        order = places[np.argsort(joint[places], kind="stable")]
        keys, starts = np.unique(joint[order], return_index=True)
        known, overflow = self._labels[names], []
        groups = np.split(order, starts[1:]) if len(keys) else []
        # Larger segments first, so that they are the ones that are kept.
        for at in sorted(range(len(keys)), key=lambda i: (-len(groups[i]), i)):
            key, words = int(keys[at]), []
            for _, labels in reversed(parts):
                key, code = divmod(key, max(len(labels), 1))
                words.append(labels[code])
            label = " & ".join(reversed(words))
            if label in known or len(known) < self._plan.segment_cap:
                known.add(label)
                yield label, groups[at]
            else:
                overflow.append(groups[at])
        if overflow:
            yield f"{' & '.join(names)}={_OTHER}", np.concatenate(overflow)

    def _codes(self, name: str, values: Values) -> tuple[NDArray, list[str]]:
        edges = self._plan.edges.get(name)
        if edges is not None and values.kind.is_numeric and not (edges.exact and edges.atoms.sum() <= 12):
            cuts = edges.coarsen(4).cuts
            if values.kind is not Kind.DATETIME and len(cuts):
                codes = np.searchsorted(cuts, values.data, side="right")
                if values.valid is not None or values.data.dtype.kind == "f":
                    missing = (
                        np.isnan(values.data)
                        if values.data.dtype.kind == "f"
                        else np.zeros(values.rows, bool)
                    )
                    codes = np.where(missing if values.valid is None else missing | ~values.valid, -1, codes)
                ends = [f"{c:.6g}" for c in cuts.tolist()]
                inner = [f"{name} in [{a}, {b})" for a, b in pairwise(ends)]
                return codes, [f"{name} < {ends[0]}", *inner, f"{name} >= {ends[-1]}"]
        codes, words = class_codes(values)
        return codes, [f"{name}={word}" for word in words]


def _numbers(values: Values) -> NDArray:
    """Float64, for scores and predictions of any numeric kind."""
    if values.kind in (Kind.CATEGORICAL, Kind.TEXT, Kind.VECTOR, Kind.UNKNOWN):
        raise BadInput(f"Numbers are needed here, and the column is {values.kind.value}.")
    return np.asarray(values.data, dtype=np.float64)


def _take(values: Values, rows: NDArray) -> Values:
    return replace(
        values,
        rows=len(rows),
        data=values.data[rows],
        valid=None if values.valid is None else values.valid[rows],
        misfits=0,
    )


def class_order(name: str) -> tuple[int, float, str]:
    """Numbers by size, then words by the alphabet."""
    try:
        return 0, float(name), name
    except ValueError:
        return 1, 0.0, name
