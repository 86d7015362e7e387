"""The first of two passes over rows that can be read again: where the bins of each numeric column lie."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from watchkeeper.domain.classes import class_order, spelled_as
from watchkeeper.domain.schema import Role, Schema, Task
from watchkeeper.domain.values import Values
from watchkeeper.stats.classes import PositiveClass, merged_scores, positive_class, scores_of_classes
from watchkeeper.stats.states.confusion import CAP, class_codes
from watchkeeper.stats.states.crew import Call, Crew, Named
from watchkeeper.stats.states.edge_finder import EdgeFinder
from watchkeeper.stats.states.edges import Edges
from watchkeeper.stats.states.moments import Moments
from watchkeeper.stats.states.profile_plan import ProfilePlan, finder_buffer, is_binned
from watchkeeper.stats.states.score_table import MOST_OUTSIDE, ROUNDING


class EdgeSearch:
    """The first of two passes: the edges of every numeric column, from all batches.

    >>> from watchkeeper.domain.schema import Column, Kind, Schema
    >>> schema = Schema(columns=(Column(name="x", kind=Kind.INTEGER),))
    >>> with EdgeSearch(schema) as search:
    ...     search.add({"x": Values(kind=Kind.INTEGER, rows=2, data=np.array([1, 3]))})
    ...     search.plan().edges["x"].cuts
    array([1, 2, 3, 4])
    """

    def __init__(self, schema: Schema, *, workers: int | None = None) -> None:
        self.schema = schema
        columns = [c for c in schema.columns if is_binned(c)]
        buffer = finder_buffer(len(columns))
        self.finders = {c.name: EdgeFinder(buffer=buffer) for c in columns}
        self.failures: dict[str, Exception] = {}
        self._outside: dict[str, tuple[int, int]] = {}
        self._scores: dict[Role, dict[str, Moments]] = {Role.OUTCOME: {}, Role.PREDICTION: {}}
        self._crew = Crew(workers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._crew.close()

    def add(self, batch: Mapping[str, Values]) -> None:
        """Look at one batch."""
        tasks: list[Named] = [
            (name, Call(finder.update, batch[name]))
            for name, finder in self.finders.items()
            if name in batch and name not in self.failures
        ]
        if self.schema.task in (Task.BINARY, Task.MULTICLASS):
            tasks += [
                (role.value, Call(self._see_classes, role, batch))
                for role in self._scores
                if len(self._scores[role]) <= CAP
            ]
            tasks += [
                (c.name, Call(self._see_outside, c.name, batch[c.name]))
                for c in self.schema.of_role(Role.SCORE)
                if c.name in batch
            ]
        self.failures.update(self._crew.run(tasks))

    def _see_outside(self, name: str, values: Values) -> None:
        """Count the scores that are no probabilities."""
        data = values.data if values.valid is None else values.data[values.valid]
        with np.errstate(invalid="ignore"):
            outside = int(np.count_nonzero((data < -ROUNDING) | (data > 1 + ROUNDING)))
        seen, rows = self._outside.get(name, (0, 0))
        self._outside[name] = (seen + outside, rows + len(data))

    @property
    def ranks(self) -> dict[str, float]:
        """Columns of scores that are no probabilities, and the share that lies outside [0, 1]."""
        shares = {name: outside / rows for name, (outside, rows) in self._outside.items() if rows}
        return {
            name: share for name, share in shares.items() if share > MOST_OUTSIDE and name in self.edges()
        }

    @property
    def notes(self) -> list[str]:
        """What was guessed, in sentences."""
        found = [note] if (note := self.positive().note) else []
        for name, share in self.ranks.items():
            edges = self.finders[name].edges()
            found.append(
                f"{100 * share:.3g}% of the scores in {name!r} lie outside [0, 1] (from {edges.low:.4g} to "
                f"{edges.high:.4g}), so they are no probabilities: measures of their order hold, log loss, Brier score and "
                "calibration are not measured. A percentage divided by 100 is a probability."
            )
        return found

    def _see_classes(self, role: Role, batch: Mapping[str, Values]) -> None:
        column = self.schema.first(role)
        values = batch.get(column.name) if column is not None else None
        if values is None:
            return
        codes, names = class_codes(values)
        score = self._score(batch) if self.schema.task is Task.BINARY else None
        found = scores_of_classes(codes, names, score)
        self._scores[role] = merged_scores(self._scores[role], found)

    def _score(self, batch: Mapping[str, Values]) -> NDArray[np.float64] | None:
        """The score of the positive class, NaN where there is none."""
        column = next((c for c in self.schema.of_role(Role.SCORE) if c.score_of is None), None)
        values = batch.get(column.name) if column is not None else None
        if values is None or values.data is None or values.data.dtype.kind not in "iuf":
            return None
        scores = values.data.astype(np.float64)
        return scores if values.valid is None else np.where(values.valid, scores, np.nan)

    @property
    def columns(self) -> set[str]:
        """The columns that it looks at."""
        return {*self.finders, *(c.name for c in self.schema.of_role(Role.OUTCOME, Role.PREDICTION))}

    def edges(self) -> dict[str, Edges]:
        """The edges found, but for columns that failed."""
        return {name: f.edges() for name, f in self.finders.items() if name not in self.failures}

    @property
    def classes(self) -> tuple[str, ...]:
        """The outcomes' classes, and those predictions that are none of them; empty where they are too many."""
        outcomes, predictions = self._scores[Role.OUTCOME], self._scores[Role.PREDICTION]
        if self.schema.task is Task.BINARY and len(predictions) > 2:
            predictions = {}  # no decisions, but numbers
        names = {*outcomes, *spelled_as(predictions, outcomes)}
        return tuple(sorted(names, key=class_order)) if len(names) <= CAP else ()

    def positive(self) -> PositiveClass:
        """Which of a binary model's classes is the positive one, and how that is known.

        Raises
        ------
        BadInput
            the schema names another class than there are.
        """
        if self.schema.task is not Task.BINARY:
            return PositiveClass(self.schema.positive)
        outcomes, predictions = self._scores[Role.OUTCOME], self._scores[Role.PREDICTION]
        scores = self.schema.of_role(Role.SCORE)
        said = scores[0].score_of if len(scores) == 1 else None
        return positive_class(
            outcomes, predictions if len(predictions) <= 2 else {}, given=self.schema.positive or said
        )

    def plan(self, **options: Any) -> ProfilePlan:
        """The plan for the second pass; *options* are those of `ProfilePlan`."""
        given = {
            "positive": self.positive().name,
            "classes": self.classes,
            "ranks": tuple(self.ranks),
            **options,
        }
        return ProfilePlan(schema=self.schema, edges=self.edges(), **given)
