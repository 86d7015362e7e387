"""The profile: the states of all columns of one window. It is all that measures read.

`accumulator` makes one from rows; `codec` stores it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np

from watchkeeper.domain.schema import Column, Role, Schema
from watchkeeper.stats.states.distinct import Distinct
from watchkeeper.stats.states.edges import Edges
from watchkeeper.stats.states.frequencies import Frequencies
from watchkeeper.stats.states.histogram import Histogram
from watchkeeper.stats.states.moments import Moments
from watchkeeper.stats.states.sample import Sample
from watchkeeper.stats.states.state import Accuracy, State

States = dict[str, State]


@dataclass(frozen=True, eq=False, kw_only=True)
class ColumnProfile:
    """One column's states by name, as its kind has them.

    The names are ``histogram``, ``moments``, ``frequencies``, ``distinct``, ``span``, ``vector`` and ``text``.
    ``rows`` counts all rows, ``nulls`` those without a value, ``misfits`` the nulls that had one which did not
    fit the kind.
    """

    kind: ClassVar[str] = "column_profile"

    column: Column
    states: States = field(default_factory=dict)
    rows: float = 0
    nulls: float = 0
    misfits: float = 0
    misfit_example: str | None = None
    constant_windows: int = 0
    """Of a baseline's column: how many of the baseline's own windows hold one value only (`Baseline` counts them)."""

    @property
    def name(self) -> str:
        """The column's name."""
        return self.column.name

    @property
    def histogram(self) -> Histogram | None:
        """The state of that name, if the column has it."""
        return self.states.get("histogram")  # type: ignore[return-value]

    @property
    def moments(self) -> Moments | None:
        """The state of that name, if the column has it."""
        return self.states.get("moments")  # type: ignore[return-value]

    @property
    def frequencies(self) -> Frequencies | None:
        """The state of that name, if the column has it."""
        return self.states.get("frequencies")  # type: ignore[return-value]

    @property
    def distribution(self) -> Histogram | Frequencies | None:
        """The histogram, or else the frequencies."""
        return self.histogram or self.frequencies

    @property
    def distinct(self) -> float | None:
        """Distinct values: counted where every one has its bin or name, else estimated; None if unknown."""
        f = self.frequencies
        if f is not None and not f.error:
            return len(f.counts)
        state = self.states.get("distinct")
        if isinstance(state, Distinct):
            return state.estimate
        h = self.histogram
        if h is not None and h.fullest_share == 0:
            return int(np.count_nonzero(h.counts))
        return None

    @property
    def is_constant(self) -> bool | None:
        """Whether all values are one; a single row is no constant; None where that is not known."""
        if self.rows - self.missing < 2:
            return False
        if self.moments is not None and self.moments.n:
            infinite = self.histogram.infinite if self.histogram is not None else 0
            return self.moments.min == self.moments.max and not infinite
        return None if self.distinct is None else self.distinct == 1

    @property
    def missing(self) -> float:
        """Nulls and NaN."""
        return self.nulls + (self.histogram.nans if self.histogram is not None else 0)

    def without_missing(self) -> Self:
        """The same without the rows that have no value."""
        states = dict(self.states)
        if self.histogram is not None:
            states["histogram"] = replace(self.histogram, nulls=0, nans=0)
        if self.frequencies is not None:
            states["frequencies"] = replace(self.frequencies, nulls=0)
        return replace(self, states=states, rows=self.rows - self.missing, nulls=0)

    def merge(self, other: Self) -> Self:
        """State by state.

        Raises
        ------
        Incompatible
            two states of the same name cannot be merged (other edges).
        """
        states = dict(self.states)
        for name, state in other.states.items():
            states[name] = states[name].merge(state) if name in states else state
        return replace(
            self,
            states=states,
            rows=self.rows + other.rows,
            nulls=self.nulls + other.nulls,
            misfits=self.misfits + other.misfits,
            misfit_example=self.misfit_example or other.misfit_example,
        )

    def scaled(self, factor: float) -> Self:
        """Each row weighs *factor*."""
        return replace(
            self,
            states={name: state.scaled(factor) for name, state in self.states.items()},
            rows=self.rows * factor,
            nulls=self.nulls * factor,
            misfits=self.misfits * factor,
        )

    def coarsen(self, bins: int) -> Self:
        """The same with the histogram in at most *bins* bins: how older windows are kept."""
        if self.histogram is None:
            return self
        return replace(self, states={**self.states, "histogram": self.histogram.coarsen(bins)})

    def to_payload(self) -> dict[str, Any]:
        """The column, its states and counts."""
        return {
            "column": self.column.to_dict(),
            "states": self.states,
            "counts": [self.rows, self.nulls, self.misfits],
            "misfit_example": self.misfit_example,
        }

    @classmethod
    def of_payload(cls, payload: Mapping[str, Any]) -> Self:
        """Read `to_payload`."""
        rows, nulls, misfits = payload["counts"]
        return cls(
            column=Column.of_dict(payload["column"]),
            states=dict(payload["states"]),
            rows=rows,
            nulls=nulls,
            misfits=misfits,
            misfit_example=payload["misfit_example"],
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Profile:
    """All that is known of one window of one model version: what measures read.

    ``performance`` holds what compares the model with its outcomes: ``score_table``, ``score_table:<class>``,
    ``confusion``, ``residuals``, as the task has them. ``segments`` holds the same for each segment, under a
    label such as ``"region=north"`` or ``"age in [30, 42) & region=north"``. ``notes`` say what could not be
    measured.
    """

    kind: ClassVar[str] = "profile"

    schema: Schema
    columns: dict[str, ColumnProfile] = field(default_factory=dict)
    rows: float = 0
    sample: Sample | None = None
    performance: States = field(default_factory=dict)
    segments: dict[str, States] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> ColumnProfile:
        """The profile of one column; raises `NotFound` with the nearest name."""
        if name in self.columns:
            return self.columns[name]
        return ColumnProfile(column=self.schema[name])

    @property
    def edges(self) -> dict[str, Edges]:
        """The edges of all columns that have a histogram."""
        return {n: c.histogram.edges for n, c in self.columns.items() if c.histogram is not None}

    def merge(self, other: Self) -> Self:
        """Column by column; the schema of the first holds for columns that both have.

        Raises
        ------
        Incompatible
            two states cannot be merged (other edges).
        """
        known = set(self.schema.names)
        schema = replace(
            self.schema,
            columns=(*self.schema.columns, *(c for c in other.schema.columns if c.name not in known)),
        )
        sample = self.sample
        if sample is None or other.sample is None:
            sample = sample or other.sample
        else:
            sample = sample.merge(other.sample)
        return replace(
            self,
            schema=schema,
            columns=_merged(self.columns, other.columns),
            rows=self.rows + other.rows,
            sample=sample,
            performance=_merged(self.performance, other.performance),
            segments={
                label: _merged(self.segments.get(label, {}), other.segments.get(label, {}))
                for label in dict.fromkeys((*self.segments, *other.segments))
            },
            notes=tuple(dict.fromkeys((*self.notes, *other.notes))),
        )

    def scaled(self, factor: float) -> Self:
        """Each row weighs *factor*."""
        return replace(
            self,
            columns={name: column.scaled(factor) for name, column in self.columns.items()},
            rows=self.rows * factor,
            sample=None if self.sample is None else self.sample.scaled(factor),
            performance={name: state.scaled(factor) for name, state in self.performance.items()},
            segments={
                label: {name: state.scaled(factor) for name, state in states.items()}
                for label, states in self.segments.items()
            },
        )

    def coarsen(self, bins: int) -> Self:
        """The same with every histogram in at most *bins* bins."""
        return replace(self, columns={name: c.coarsen(bins) for name, c in self.columns.items()})

    def with_arrived_outcomes(self) -> Self:
        """The same with outcomes that are not there left out: they are late, not missing.

        What is measured of an outcome is then measured of the outcomes that have arrived.
        """
        late = {
            name: column.without_missing()
            for name, column in self.columns.items()
            if column.column.role is Role.OUTCOME and column.missing
        }
        return replace(self, columns={**self.columns, **late}) if late else self

    def without_rows(self) -> Self:
        """The same without the sample: nothing in it is any single row's."""
        return replace(self, sample=None)

    @property
    def accuracy(self) -> Accuracy:
        """Exact only if every state is; each says its own bound."""
        states = [s for column in self.columns.values() for s in column.states.values()]
        states += [*self.performance.values(), *(s for part in self.segments.values() for s in part.values())]
        if all(state.accuracy.exact for state in states):
            return Accuracy.exactly()
        return Accuracy.within(None, of="state")

    def to_payload(self) -> dict[str, Any]:
        """Everything, in order."""
        return {
            "schema": self.schema.to_dict(),
            "columns": list(self.columns.values()),
            "rows": self.rows,
            "sample": self.sample,
            "performance": self.performance,
            "segments": self.segments,
            "notes": list(self.notes),
        }

    @classmethod
    def of_payload(cls, payload: Mapping[str, Any]) -> Self:
        """Read `to_payload`."""
        return cls(
            schema=Schema.of_dict(payload["schema"]),
            columns={c.name: c for c in payload["columns"]},
            rows=payload["rows"],
            sample=payload["sample"],
            performance=dict(payload["performance"]),
            segments={label: dict(states) for label, states in payload["segments"].items()},
            notes=tuple(payload["notes"]),
        )


def _merged(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(left)
    for name, state in right.items():
        out[name] = out[name].merge(state) if name in out else state
    return out
