"""The first of two passes over rows that can be read again: where the bins of each numeric column lie."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from watchkeeper.domain.schema import Role, Schema, Task
from watchkeeper.domain.values import Values
from watchkeeper.stats.states.confusion import class_codes
from watchkeeper.stats.states.crew import Call, Crew, Named
from watchkeeper.stats.states.edge_finder import EdgeFinder
from watchkeeper.stats.states.edges import Edges
from watchkeeper.stats.states.performance import class_order
from watchkeeper.stats.states.profile_plan import ProfilePlan, finder_buffer, is_binned


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
        self._outcome = schema.first(Role.OUTCOME) if schema.task is Task.BINARY else None
        self._classes: set[str] = set()
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
        if self._outcome is not None and self._outcome.name in batch and len(self._classes) < 10:
            tasks.append((self._outcome.name, Call(self._see_classes, batch[self._outcome.name])))
        self.failures.update(self._crew.run(tasks))

    def _see_classes(self, values: Values) -> None:
        codes, names = class_codes(values)
        held = np.unique(codes[codes >= 0])
        self._classes.update(names[i] for i in held[:10].tolist())

    def edges(self) -> dict[str, Edges]:
        """The edges found, but for columns that failed."""
        return {name: f.edges() for name, f in self.finders.items() if name not in self.failures}

    @property
    def positive(self) -> str | None:
        """The larger of a binary outcome's two classes: numbers by size, words by the alphabet."""
        return max(self._classes, key=class_order, default=None)

    def plan(self, **options: Any) -> ProfilePlan:
        """The plan for the second pass; *options* are those of `ProfilePlan`."""
        given = {"positive": self.schema.positive or self.positive, **options}
        return ProfilePlan(schema=self.schema, edges=self.edges(), **given)
