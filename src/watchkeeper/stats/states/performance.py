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

from watchkeeper.domain.classes import class_key, spelled_as
from watchkeeper.domain.schema import Column, Kind, Role, Task
from watchkeeper.domain.values import Values
from watchkeeper.errors import BadInput
from watchkeeper.stats.classes import positive_class
from watchkeeper.stats.states.confusion import Confusion, class_codes
from watchkeeper.stats.states.moments import Moments
from watchkeeper.stats.states.residuals import Residuals
from watchkeeper.stats.states.score_table import ScoreTable
from watchkeeper.stats.states.state import State

if TYPE_CHECKING:
    from watchkeeper.stats.states.profile_plan import ProfilePlan


_OTHER = "(other)"
_MOST_NOTES = 50


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
        classes = self._plan.classes
        if prediction is not None and outcome is not None:
            yield "confusion", Confusion.of(outcome, prediction, classes=classes)
            if prediction.kind is not Kind.NUMERIC or schema.task is Task.MULTICLASS:
                self._note_spelling("predictions", prediction)
        scores = [c for c in schema.of_role(Role.SCORE) if c.name in batch]
        if outcome is not None:
            self._note_spelling("outcomes", outcome)
        if schema.task is Task.BINARY and len(scores) > 1:
            scores = self._of_positive(scores)
        if not scores:
            return
        codes, names = (None, []) if outcome is None else class_codes(outcome)
        names = spelled_as(names, classes)
        for column in scores:
            values = batch[column.name]
            key, positive = f"score_table:{column.score_of}", column.score_of
            if schema.task is Task.BINARY:
                key = "score_table"
                positive = column.score_of or self._positive(outcome, names)
            elif column.score_of is None:
                self.notes[
                    f"{column.name!r} is a score, and of which class is not known, so it is not measured; say the role score:CLASS."
                ] = None
                continue
            among = self._plan.edges.get(column.name) if column.name in self._plan.ranks else None
            if codes is None or positive is None:
                yield key, ScoreTable.of(_numbers(values), valid=values.valid, among=among)
                continue
            spelled = spelled_as(names, [positive])
            wanted = np.array([name == positive for name in spelled] + [False], bool)
            yield (
                key,
                ScoreTable.of(
                    _numbers(values), wanted[codes], labelled=codes >= 0, valid=values.valid, among=among
                ),
            )

    def _of_positive(self, scores: Sequence[Column]) -> list[Column]:
        """Of several scores of a binary model the one of its positive class."""
        positive = self._plan.positive_class
        of = {c: None if c.score_of is None else class_key(c.score_of) for c in scores}
        if positive is not None and (mine := [c for c in scores if of[c] == class_key(positive)]):
            return mine[:1]
        return [c for c in scores if c.score_of is None][:1]

    def _positive(self, outcome: Values | None, names: Sequence[str]) -> str | None:
        """The positive class; where nobody knows it yet, what this batch alone says of it."""
        given = self._plan.positive_class
        if given is not None:
            return given
        edges = self._plan.edges.get(getattr(self._plan.schema.first(Role.OUTCOME), "name", ""))
        seen = names
        if edges is not None and edges.low is not None and edges.low != edges.high:
            seen = [f"{end:g}" for end in (edges.low, edges.high)]
        found = positive_class(dict.fromkeys(seen, Moments.empty()), {})
        if found.name is not None and not found.note:
            return found.name
        if outcome is not None and names:
            self.notes[found.note] = None
        return found.name

    def _note_spelling(self, what: str, values: Values) -> None:
        known = self._plan.classes
        if len(self.notes) > _MOST_NOTES:
            return
        if values.words:
            pairs = ", ".join(f"{word!r} as {class_key(word)!r}" for word in values.words)
            self.notes[
                f"The {what} are spelled in another way than the classes of the baseline: {pairs}."
            ] = None
        if not known:
            return
        codes, names = class_codes(values)
        names = [names[i] for i in np.unique(codes[codes >= 0]).tolist()]
        changed = [(a, b) for a, b in zip(names, spelled_as(names, known), strict=True) if a != b]
        if changed:
            pairs = ", ".join(f"{a!r} as {b!r}" for a, b in changed[:5])
            self.notes[
                f"The {what} are spelled in another way than the classes of the baseline: {pairs}."
            ] = None

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
