"""All measures of data quality that a profile allows, in one call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from watchkeeper.domain.expectation import Expectation
from watchkeeper.domain.measurement import Measurement
from watchkeeper.domain.schema import Kind, Role
from watchkeeper.errors import NotFound, WatchkeeperError, nearest
from watchkeeper.measures.entry import Entry
from watchkeeper.measures.quality.catalogue import CATALOGUE
from watchkeeper.stats.duplicates import Duplicates
from watchkeeper.stats.states.profile import ColumnProfile, Profile

_OUTLIERS = ("robust_z_outliers", "fence_outliers")
"""Taken of predictions and scores by default, and of other columns when they are named."""


def measure_quality(
    window: Profile,
    baseline: Profile | None = None,
    *,
    names: Iterable[str] | None = None,
    expectations: Iterable[Expectation] = (),
    duplicates: Mapping[str, Duplicates] | None = None,
    now: datetime | None = None,
) -> list[Measurement]:
    """Measure what *window* allows, against *baseline* where there is one.

    Parameters
    ----------
    names : measures by name; None takes the default ones.
    expectations : what the user expects of columns.
    duplicates : column -> copies of its values; ``""`` -> copies of whole rows.
    now : what time it is, for freshness; None leaves it out.

    A measure that fails on a column is a measurement with a reason, and stops nothing.

    Raises
    ------
    NotFound
        a name is not a measure of this room.

    >>> from watchkeeper.domain.schema import Schema
    >>> [m.measure for m in measure_quality(Profile(schema=Schema(columns=()), rows=3))]
    ['row_count']
    """
    out: list[Measurement] = []
    found = dict(duplicates or {})
    for entry in _wanted(names):
        if entry.reads == "profile":
            out.append(entry.function(window, baseline))
        elif entry.reads == "profiles":
            if baseline is not None:
                out += entry.function(window, baseline)
        elif entry.reads == "duplicates":
            out += _of_duplicates(entry, found)
        elif entry.reads != "expectation":
            for column in _columns(entry, window, asked=names is not None):
                before = baseline.columns.get(column.name) if baseline is not None else None
                out += _of_column(entry, column, before, now)
    for expected in expectations:
        entry = next(e for e in CATALOGUE if e.reads == "expectation")
        out.append(
            entry.function(
                window.columns.get(expected.column), expected, duplicates=found.get(expected.column)
            )
        )
    return out


def _of_column(
    entry: Entry, column: ColumnProfile, before: ColumnProfile | None, now: datetime | None
) -> Iterator[Measurement]:
    try:
        if entry.reads == "span":
            made: Any = entry.function(column, now=now) if now is not None else []
        elif entry.reads == "columns":
            made = entry.function(column, before) if before is not None else []
        else:
            made = entry.function(column, before)
    except Exception as cause:
        said = cause.what if isinstance(cause, WatchkeeperError) else f"{type(cause).__name__}: {cause}"
        made = Measurement.missing(entry.name, said, subject=column.name, details={"failed": True})
    yield from made if isinstance(made, list) else [made]


def _of_duplicates(entry: Entry, found: Mapping[str, Duplicates]) -> Iterator[Measurement]:
    for name, copies in found.items():
        if (name == "") == (entry.name == "duplicate_rows"):
            yield entry.function(copies, subject=name)


def _columns(entry: Entry, window: Profile, *, asked: bool) -> Iterator[ColumnProfile]:
    for column in window.columns.values():
        kind, role = column.column.kind, column.column.role
        if entry.kinds and kind not in entry.kinds:
            continue
        if kind is Kind.UNKNOWN or role is Role.IGNORED:
            continue
        if entry.name in ("out_of_range", "median", *_OUTLIERS) and role in (Role.ID, Role.VERSION):
            continue  # they grow, and have no histogram
        if entry.reads == "span" and role is not Role.TIME and not asked:
            continue
        if entry.name in _OUTLIERS and not asked and role not in (Role.PREDICTION, Role.SCORE):
            continue
        yield column


def _wanted(names: Iterable[str] | None) -> list[Entry]:
    if names is None:
        return [e for e in CATALOGUE if e.default or e.name in _OUTLIERS or e.reads == "duplicates"]
    known = {entry.name: entry for entry in CATALOGUE}
    out = []
    for name in names:
        if name not in known:
            raise NotFound(f"There is no quality measure {name!r}.{nearest(name, known)}")
        out.append(known[name])
    return out
