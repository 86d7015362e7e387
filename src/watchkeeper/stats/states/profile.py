"""The profile: the states of all columns of one window, and the kernel that makes it from batches in one pass.

A `Profile` is all that measures read. `Accumulator` folds batch after batch into one: columns run in threads
(sorting and searching let go of the interpreter's lock), every number is sorted once and that one sort feeds
the histogram, the moments and the span, and what is kept between batches does not grow with the rows.

A column that cannot be measured becomes a note, and never stops the run.

Two passes, or one
------------------
`EdgeSearch` looks at all batches first and gives the `ProfilePlan` with the edges of each numeric column; the
second pass counts. Where rows come by only once, a plan without edges makes the accumulator search and count
at the same time: exact while a column fits into its buffer, else with the quantile sketch's error declared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from watchkeeper.domain.schema import Column, Kind, Role, Schema, Task
from watchkeeper.domain.values import Values
from watchkeeper.errors import BadInput, WatchkeeperError
from watchkeeper.stats.hashing import combine, hash_ints, hash_values
from watchkeeper.stats.states.codec import decode, encode
from watchkeeper.stats.states.confusion import class_codes
from watchkeeper.stats.states.crew import Call, Crew, Named
from watchkeeper.stats.states.distinct import Distinct
from watchkeeper.stats.states.edges import EdgeFinder
from watchkeeper.stats.states.frequencies import CAP, Frequencies
from watchkeeper.stats.states.histogram import Edges, Histogram
from watchkeeper.stats.states.moments import Moments
from watchkeeper.stats.states.performance import PerformanceFold, class_order
from watchkeeper.stats.states.sample import Sample, smallest
from watchkeeper.stats.states.span import DatetimeSpan
from watchkeeper.stats.states.state import Accuracy, State
from watchkeeper.stats.states.text import TextLengths
from watchkeeper.stats.states.vector import VectorState

__all__ = [
    "Accumulator",
    "ColumnProfile",
    "EdgeSearch",
    "Profile",
    "ProfilePlan",
    "profile_columns",
]

SAMPLE_K = 5_000
SEGMENT_CAP = 50
_SAMPLE_CELLS = 4_000_000
_BUFFER_TOTAL = 1 << 25
"""Values that all edge finders together may hold (256 MB)."""

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
    def missing(self) -> float:
        """Nulls and NaN."""
        return self.nulls + (self.histogram.nans if self.histogram is not None else 0)

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

    def to_bytes(self, *, known: Mapping[str, Edges] | None = None) -> bytes:
        """Store it; edges that are *known* by their digest (a baseline's) are left out."""
        return encode(self, known=known or ())

    @classmethod
    def of_bytes(cls, raw: bytes, *, known: Mapping[str, Edges] | None = None) -> Profile:
        """Read `to_bytes`, of this or any earlier version.

        Raises
        ------
        BadInput
            the bytes are damaged, or are something else.
        Incompatible
            a later version wrote them, or the edges that were left out are not *known*.
        """
        found = decode(raw, known=known)
        if not isinstance(found, cls):
            raise BadInput(
                f"This is a stored {getattr(found, 'kind', 'thing')}, not a profile.",
                "A baseline file is read as a baseline: Baseline.of_bytes.",
            )
        return found

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


@dataclass(frozen=True, eq=False, kw_only=True)
class ProfilePlan:
    """What to count, the same for every window of a model.

    Parameters
    ----------
    schema : the columns; those of role *ignored* are left out.
    edges : the edges of each numeric column. One without is counted on edges of its own, found on the way.
    positive : the outcome's positive class as text, where the schema does not say it.
    sample_k : rows of the sample; 0 for none.
    frequency_cap : categories that are counted by name.
    distinct : columns whose distinct values are counted; None for ids, texts and categories.
    segments : column names (or pairs of them, ...) by whose values performance is kept apart.
    segment_cap : largest number of segments of one such entry; the rest is ``(other)``.
    """

    kind: ClassVar[str] = "profile_plan"

    schema: Schema
    edges: dict[str, Edges] = field(default_factory=dict)
    positive: str | None = None
    sample_k: int = SAMPLE_K
    frequency_cap: int = CAP
    distinct: tuple[str, ...] | None = None
    segments: tuple[tuple[str, ...], ...] = ()
    segment_cap: int = SEGMENT_CAP

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns that are profiled."""
        return tuple(c for c in self.schema.columns if c.role is not Role.IGNORED)

    @property
    def sample_rows(self) -> int:
        """Rows that are sampled: ``sample_k``, or fewer (not under 1,000) for very wide tables."""
        return min(self.sample_k, max(1_000, _SAMPLE_CELLS // max(len(self.columns), 1)))

    @property
    def positive_class(self) -> str | None:
        """The outcome that counts as positive, as text, if anybody said it."""
        return self.positive if self.positive is not None else self.schema.positive

    def counts_distinct(self, column: Column) -> bool:
        """Whether distinct values of *column* are counted."""
        if self.distinct is not None:
            return column.name in self.distinct
        return column.role is Role.ID or column.kind in (Kind.TEXT, Kind.CATEGORICAL)

    def to_payload(self) -> dict[str, Any]:
        """Everything."""
        return {
            "schema": self.schema.to_dict(),
            "edges": self.edges,
            "positive": self.positive,
            "sample_k": self.sample_k,
            "frequency_cap": self.frequency_cap,
            "distinct": None if self.distinct is None else list(self.distinct),
            "segments": [list(names) for names in self.segments],
            "segment_cap": self.segment_cap,
        }

    @classmethod
    def of_payload(cls, payload: Mapping[str, Any]) -> Self:
        """Read `to_payload`."""
        distinct = payload["distinct"]
        return cls(
            schema=Schema.of_dict(payload["schema"]),
            edges=dict(payload["edges"]),
            positive=payload["positive"],
            sample_k=payload["sample_k"],
            frequency_cap=payload["frequency_cap"],
            distinct=None if distinct is None else tuple(distinct),
            segments=tuple(tuple(names) for names in payload["segments"]),
            segment_cap=payload["segment_cap"],
        )


# -- the kernel -------------------------------------------------------------------------------------------


class Accumulator:
    """Folds batches into a profile; use it as a context, so that its threads end.

    >>> schema = Schema(columns=(Column(name="x", kind=Kind.NUMERIC),))
    >>> with Accumulator(ProfilePlan(schema=schema)) as fold:
    ...     fold.add({"x": Values(kind=Kind.NUMERIC, rows=2, data=np.array([1.0, 3.0]))})
    ...     fold.add({"x": Values(kind=Kind.NUMERIC, rows=1, data=np.array([8.0]))})
    ...     fold.profile()["x"].moments.mean
    4.0
    """

    def __init__(self, plan: ProfilePlan, *, workers: int | None = None) -> None:
        self.plan = plan
        self.rows = 0
        names = [c.name for c in plan.columns]
        buffer = min(1 << 20, _BUFFER_TOTAL // max(len(names), 1))
        self._folds = {c.name: _ColumnFold(c, plan, buffer) for c in plan.columns}
        self._tables = PerformanceFold(plan)
        self._rows_kept = _SampleFold(plan) if plan.sample_k else None
        self._notes: dict[str, None] = {}
        self._crew = Crew(workers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._crew.close()

    def add(self, batch: Mapping[str, Values]) -> None:
        """Fold in one batch: values of the same rows, by column name. A column may be absent."""
        if not batch:
            return
        hashes: dict[str, NDArray] = {}
        if self._rows_kept is not None:
            # The id's hash serves the sample and the distinct count; hashing it twice would be waste.
            hashes = self._note_failure("the sample", self._rows_kept.hash_ids, batch) or {}
        rows = next(iter(batch.values())).rows
        tasks: list[Named] = []
        for name, values in batch.items():
            if name in self._folds:
                tasks.append((name, Call(self._folds[name].add, values, hashes.get(name))))
        tasks.append(("performance", Call(self._tables.add, batch)))
        if self._rows_kept is not None:
            tasks.append(("the sample", Call(self._rows_kept.add, batch, self.rows, hashes)))
        for name, failure in self._crew.run(tasks):
            self._note(name, failure)
        self.rows += rows

    def profile(self) -> Profile:
        """What was folded so far; folding may go on."""
        columns: dict[str, ColumnProfile] = {}
        for name, fold in self._folds.items():
            if fold.failed is None:
                found = self._note_failure(name, fold.profile)
                if found is not None:
                    columns[name] = found
            if fold.failed is not None or name not in columns:
                columns[name] = ColumnProfile(column=fold.column, rows=fold.rows, nulls=fold.nulls)
            if fold.note is not None:
                self._notes[fold.note] = None
        for note in self._tables.notes:
            self._notes[note] = None
        return Profile(
            schema=self.plan.schema,
            columns=columns,
            rows=self.rows,
            sample=None if self._rows_kept is None else self._rows_kept.sample,
            performance=dict(self._tables.states),
            segments={label: dict(states) for label, states in sorted(self._tables.segments.items())},
            notes=tuple(self._notes),
        )

    def _note_failure(self, name: str, do: Callable[..., Any], *args: Any) -> Any:
        try:
            return do(*args)
        except Exception as failure:
            self._note(name, failure)
            return None

    def _note(self, name: str, failure: Exception) -> None:
        what = (
            failure.what if isinstance(failure, WatchkeeperError) else f"{type(failure).__name__}: {failure}"
        )
        self._notes[f"{name}: could not be profiled. {what}"] = None
        if name in self._folds:
            self._folds[name].failed = failure


def profile_columns(
    values: Mapping[str, Values], plan: ProfilePlan, *, workers: int | None = None
) -> Profile:
    """Profile one batch.

    Parameters
    ----------
    values : values of the same rows, by column name.
    plan : what to count.
    workers : threads; by default one for each core.
    """
    with Accumulator(plan, workers=workers) as fold:
        fold.add(values)
        return fold.profile()


class EdgeSearch:
    """The first of two passes: the edges of every numeric column, from all batches.

    >>> schema = Schema(columns=(Column(name="x", kind=Kind.INTEGER),))
    >>> with EdgeSearch(schema) as search:
    ...     search.add({"x": Values(kind=Kind.INTEGER, rows=2, data=np.array([1, 3]))})
    ...     search.plan().edges["x"].cuts
    array([1, 2, 3, 4])
    """

    def __init__(self, schema: Schema, *, workers: int | None = None) -> None:
        self.schema = schema
        columns = [c for c in schema.columns if _is_binned(c)]
        buffer = min(1 << 20, _BUFFER_TOTAL // max(len(columns), 1))
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


# -- how one column is folded -----------------------------------------------------------------------------


def _is_binned(column: Column) -> bool:
    return column.kind.is_numeric and column.role not in (Role.IGNORED, Role.ID)


class _ColumnFold:
    """The running states of one column. Only one thread works on it at a time."""

    def __init__(self, column: Column, plan: ProfilePlan, buffer: int) -> None:
        self.column = column
        self.failed: Exception | None = None
        self.note: str | None = None
        self.rows = self.nulls = self.misfits = 0
        self.misfit_example: str | None = None
        self._plan = plan
        self._states: States = {}
        self._finder: EdgeFinder | None = None
        if _is_binned(column):
            edges = plan.edges.get(column.name)
            if edges is None:
                self._finder = EdgeFinder(buffer=buffer)
            else:
                self._states["histogram"] = Histogram.empty(edges)
            self._states["moments"] = Moments.empty()
        if plan.counts_distinct(column) and column.kind is not Kind.UNKNOWN:
            self._states["distinct"] = Distinct.empty()
        # Names beyond the cap are kept while folding, so that the most frequent ones are counted better.
        self._cap = 4 * plan.frequency_cap
        if column.kind.is_discrete and column.role is not Role.ID:
            self._states["frequencies"] = Frequencies.empty(cap=self._cap)

    def add(self, values: Values, hashes: NDArray | None) -> None:
        if self.failed is not None:
            return
        kind, data, valid = self.column.kind, values.data, values.valid
        self.rows += values.rows
        nulls = 0 if valid is None else values.rows - int(np.count_nonzero(valid))
        self.nulls += nulls
        self.misfits += values.misfits
        self.misfit_example = self.misfit_example or values.misfit_example
        if kind is Kind.UNKNOWN or values.kind is Kind.UNKNOWN:
            self.note = (
                f"{self.column.name}: values of type {self.column.dtype or 'unknown'} cannot be measured; "
                "only rows and nulls are counted."
            )
            return
        if values.kind is not kind:
            raise BadInput(f"The schema says {kind.value}, the values are {values.kind.value}.")
        if "distinct" in self._states:
            self._count_distinct(values, hashes)
        if self.column.role is Role.ID:
            return
        if kind.is_numeric:
            self._fold_numbers(data if not nulls else data[valid], nulls)
        elif kind.is_discrete:
            self._keep("frequencies", Frequencies.of(values, cap=self._cap))
        elif kind is Kind.TEXT:
            self._keep("text", TextLengths.of(values))
        elif kind is Kind.VECTOR:
            self._keep("vector", VectorState.of(values))

    def _fold_numbers(self, data: NDArray, nulls: int) -> None:
        ordered = np.sort(data)
        if self._finder is not None:
            self._finder.add_sorted(ordered, nulls=nulls)
        else:
            edges = self._states["histogram"].edges  # type: ignore[attr-defined]
            self._keep("histogram", Histogram.of_sorted(ordered, edges, nulls=nulls))
        self._keep("moments", Moments.of(ordered))
        if self.column.kind is Kind.DATETIME:
            self._keep("span", DatetimeSpan.of_moments(ordered[[0, -1]] if len(ordered) else ordered))
            span = self._states["span"]
            exact = replace(span, n=self.rows - self.nulls, nulls=self.nulls)  # type: ignore[type-var]
            self._states["span"] = exact

    def _count_distinct(self, values: Values, hashes: NDArray | None) -> None:
        known = self._states["distinct"]
        assert isinstance(known, Distinct)
        if hashes is None:
            hashes = _hashes_held(values)
        elif values.valid is not None:
            hashes = hashes[values.valid]
        self._states["distinct"] = known.merge(
            Distinct.of(hashes[hashes <= np.uint64(known.limit)], k=known.k)
        )

    def _keep(self, name: str, state: State) -> None:
        known = self._states.get(name)
        self._states[name] = state if known is None else known.merge(state)

    def profile(self) -> ColumnProfile:
        states = dict(self._states)
        if self._finder is not None:
            states = {"histogram": self._finder.histogram(), **states}
        if "frequencies" in states:
            states["frequencies"] = states["frequencies"].capped(self._plan.frequency_cap)  # type: ignore[attr-defined]
        return ColumnProfile(
            column=self.column,
            states=states,
            rows=self.rows,
            nulls=self.nulls,
            misfits=self.misfits,
            misfit_example=self.misfit_example,
        )


def _hashes_held(values: Values) -> NDArray:
    """Hashes of the values that are there; of a dictionary, only of its entries in use."""
    if values.dictionary is None:
        hashes = hash_values(values)
        return hashes if values.valid is None else hashes[values.valid]
    codes = values.data if values.valid is None else values.data[values.valid]
    held = np.flatnonzero(np.bincount(codes, minlength=1)) if len(codes) else np.empty(0, np.intp)
    words = values.dictionary[held] if len(held) < len(values.dictionary) else values.dictionary
    return hash_values(
        replace(values, rows=len(held), data=np.arange(len(held)), valid=None, dictionary=words)
    )


# -- the sample -------------------------------------------------------------------------------------------


class _SampleFold:
    """The rows of smallest hash: of their id; without one, of their number and the values beside it.

    A row number alone would be the same in every file, and two windows' samples would then be taken for one
    another when they are merged: so the values of up to two columns are hashed with it.
    """

    _NOT_KEPT = frozenset({Kind.TEXT, Kind.UNKNOWN})

    def __init__(self, plan: ProfilePlan) -> None:
        self.sample = Sample.empty(plan.sample_rows)
        self._id = plan.schema.first(Role.ID)
        self._columns = [
            c for c in plan.columns if c.kind not in self._NOT_KEPT and c.role not in (Role.ID, Role.VERSION)
        ]
        numeric_first = sorted(
            plan.columns, key=lambda c: (not c.kind.is_numeric, c.kind is not Kind.NUMERIC)
        )
        self._beside = [
            c.name for c in numeric_first if c.kind is not Kind.UNKNOWN and c.role is not Role.ID
        ][:2]

    def hash_ids(self, batch: Mapping[str, Values]) -> dict[str, NDArray]:
        """The id column's hashes by its name, if there is such a column."""
        if self._id is None or self._id.name not in batch or self._id.kind is Kind.UNKNOWN:
            return {}
        return {self._id.name: hash_values(batch[self._id.name])}

    def add(self, batch: Mapping[str, Values], first_row: int, hashes: Mapping[str, NDArray]) -> None:
        rows = next(iter(batch.values())).rows
        if hashes:
            ((name, ids),) = hashes.items()
            valid = batch[name].valid
            if valid is not None and not valid.all():
                # Rows without an id are told apart by their place.
                ids = np.where(valid, ids, self._by_place(batch, first_row, rows))
        else:
            ids = self._by_place(batch, first_row, rows)
        chosen = np.flatnonzero(ids <= np.uint64(self.sample.limit))
        if len(chosen) > self.sample.k:
            chosen = chosen[smallest(ids[chosen], self.sample.k)]
        columns = {c.name: self._column(batch.get(c.name), chosen) for c in self._columns}
        part = Sample.of(ids[chosen], columns, self.sample.k)
        self.sample = self.sample.merge(replace(part, rows=rows))

    @staticmethod
    def _column(values: Values | None, chosen: NDArray) -> NDArray:
        try:
            if values is not None and values.kind is not Kind.UNKNOWN:
                return _at(values, chosen)
        except Exception:  # noqa: S110 - the column's own fold says what is wrong with it
            pass
        return np.full(len(chosen), np.nan)

    def _by_place(self, batch: Mapping[str, Values], first_row: int, rows: int) -> NDArray:
        hashes = hash_ints(np.arange(first_row, first_row + rows))
        for name in self._beside:
            if name in batch and batch[name].kind is not Kind.UNKNOWN:
                hashes = combine(hashes, hash_values(batch[name]))
        return hashes


def _at(values: Values, chosen: NDArray) -> NDArray:
    """The values of some rows: numbers with NaN for null, or texts with None."""
    valid = None if values.valid is None else values.valid[chosen]
    if values.kind in (Kind.CATEGORICAL, Kind.BOOLEAN):
        words = (
            np.array(["false", "true"], dtype=object) if values.kind is Kind.BOOLEAN else values.dictionary
        )
        out = np.full(len(chosen), None, dtype=object)
        held = slice(None) if valid is None else valid
        if len(words):
            out[held] = words[values.data[chosen][held].astype(np.intp)]
        return out
    data = values.data[chosen]
    if values.kind is Kind.VECTOR:
        data = data.astype(np.float32)
    if valid is not None and not valid.all():
        data = data.astype(data.dtype if data.dtype.kind == "f" else np.float64)
        data[~valid] = np.nan
    return data


def _merged(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(left)
    for name, state in right.items():
        out[name] = out[name].merge(state) if name in out else state
    return out
