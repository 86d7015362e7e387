"""The kernel that makes a `Profile` from batches of rows in one pass.

`Accumulator` folds batch after batch: columns run in threads (sorting and searching let go of the interpreter's
lock), every number is sorted once and that one sort feeds the histogram, the moments and the span, and what is
kept between batches does not grow with the rows.

A column that cannot be measured becomes a note, and never stops the run.

Two passes, or one
------------------
`EdgeSearch` looks at all batches first and gives the `ProfilePlan` with the edges of each numeric column; the
second pass counts. Where rows come by only once, a plan without edges makes the accumulator search and count
at the same time: exact while a column fits into its buffer, else with the quantile sketch's error declared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from watchkeeper.domain.schema import Column, Kind, Role
from watchkeeper.domain.values import Values
from watchkeeper.errors import BadInput, WatchkeeperError
from watchkeeper.stats.hashing import NULL, hash_values, mix
from watchkeeper.stats.states.crew import Call, Crew, Named
from watchkeeper.stats.states.distinct import Distinct
from watchkeeper.stats.states.edge_finder import EdgeFinder
from watchkeeper.stats.states.frequencies import Frequencies
from watchkeeper.stats.states.histogram import Histogram
from watchkeeper.stats.states.moments import Moments
from watchkeeper.stats.states.performance import PerformanceFold
from watchkeeper.stats.states.profile import ColumnProfile, Profile
from watchkeeper.stats.states.profile_plan import ProfilePlan, finder_buffer, is_binned
from watchkeeper.stats.states.sample import Sample, smallest
from watchkeeper.stats.states.span import DatetimeSpan
from watchkeeper.stats.states.state import State
from watchkeeper.stats.states.text import TextLengths
from watchkeeper.stats.states.vector import VectorState


class Accumulator:
    """Folds batches into a profile; use it as a context, so that its threads end.

    >>> from watchkeeper.domain.schema import Column, Kind, Schema
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
        buffer = finder_buffer(len(names))
        self._folds = {c.name: _ColumnFold(c, plan, buffer) for c in plan.columns}
        self._tables = PerformanceFold(plan)
        self._rows_kept = SampleFold(plan) if plan.sample_k else None
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
        # What takes longest is begun first, so that no thread is left waiting for it at the end.
        tasks: list[Named] = [("performance", Call(self._tables.add, batch))]
        if self._rows_kept is not None:
            tasks.append(("the sample", Call(self._rows_kept.add, batch, self.rows, hashes)))
        for name, values in batch.items():
            if name in self._folds:
                tasks.append((name, Call(self._folds[name].add, values, hashes.get(name))))
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


class _ColumnFold:
    """The running states of one column. Only one thread works on it at a time."""

    def __init__(self, column: Column, plan: ProfilePlan, buffer: int) -> None:
        self.column = column
        self.failed: Exception | None = None
        self.note: str | None = None
        self.rows = self.nulls = self.misfits = 0
        self.misfit_example: str | None = None
        self._plan = plan
        self._states: dict[str, State] = {}
        self._finder: EdgeFinder | None = None
        if is_binned(column):
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
            if nulls:
                held = data[valid]
                held.sort()
            else:
                held = np.sort(data)  # the rows' own memory is not ours to sort
            self._fold_sorted(held, nulls)
        elif kind.is_discrete:
            self._keep("frequencies", Frequencies.of(values, cap=self._cap))
        elif kind is Kind.TEXT:
            self._keep("text", TextLengths.of(values))
        elif kind is Kind.VECTOR:
            self._keep("vector", VectorState.of(values))

    def _fold_sorted(self, ordered: NDArray, nulls: int) -> None:
        tally = None
        if self._finder is not None:
            self._finder.add_sorted(ordered, nulls=nulls)
        else:
            edges = self._states["histogram"].edges  # type: ignore[attr-defined]
            ordered = edges.without_rounding(ordered)
            histogram = Histogram.of_sorted(ordered, edges, nulls=nulls)
            self._keep("histogram", histogram)
            tally = histogram.values()
        # Where every value has its bin, its few values stand for all rows.
        self._keep("moments", Moments.of_sorted(ordered) if tally is None else Moments.of_counts(*tally))
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


class SampleFold:
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
        """Offer the rows of a batch, of which *first_row* is the number of the first and *hashes* are `hash_ids`'.

        Hashes may also be of ids that are not in the batch.
        """
        rows = next(iter(batch.values())).rows
        if hashes:
            ((name, ids),) = hashes.items()
            valid = batch[name].valid if name in batch else None
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
        words = np.arange(first_row, first_row + rows, dtype=np.uint64)
        words *= _ODD[0]
        for odd, name in zip(_ODD[1:], self._beside):
            if name in batch and batch[name].kind is not Kind.UNKNOWN:
                words += odd * _words(batch[name])
        return mix(words)


_ODD = np.array([0x9E3779B97F4A7C15, 0xD1B54A32D192ED03, 0x8CB92BA72F3D8DD7], np.uint64)
"""Odd constants, so that the place and each value count in full when they are added up."""


def _words(values: Values) -> NDArray:
    """64 bits for each value: its own where it has as many, which costs nothing, else its hash."""
    data, valid = values.data, values.valid
    if data.ndim != 1 or data.dtype.itemsize != 8:
        return hash_values(values)
    own = np.ascontiguousarray(data).view(np.uint64)
    return own if valid is None else np.where(valid, own, NULL)


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
