"""What users expect of their columns, checked on profiles, and suggested from a baseline.

Formula
-------
The share of the column's values that break the expectation; ``details["expected"]`` is the tolerance.

Reads: one `ColumnProfile`. Ranges are counted in the histogram (exact at its cuts and extremes, else with a
``bound``), sets and patterns on the names of categories, ``unique`` from a duplicate count or the distinct count.

Limits
------
Patterns and sets need the values by name: columns of free text beyond the cap of names are answered with what is
not known as ``bound``. A suggestion describes what was there, not what is right: read it before you rely on it.

References
----------
S. Schelter et al., *Automating large-scale data quality verification*, VLDB 2018.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from math import ceil, floor, log10
from typing import Any

import numpy as np

from watchkeeper.domain.expectation import Expectation, Rule
from watchkeeper.domain.measurement import Measurement
from watchkeeper.domain.schema import Kind, Role
from watchkeeper.measures.quality.counting import count_above, count_below
from watchkeeper.stats.duplicates import Duplicates
from watchkeeper.stats.intervals import wilson
from watchkeeper.stats.states.frequencies import Frequencies
from watchkeeper.stats.states.histogram import Histogram
from watchkeeper.stats.states.profile import ColumnProfile, Profile
from watchkeeper.stats.states.score_table import Bounded

NAME = "expectation"
FEW_ROWS = 100
MOST_VALUES = 50


def expectation(
    window: ColumnProfile | None, expected: Expectation, *, duplicates: Duplicates | None = None
) -> Measurement:
    """Return the share of values that break *expected*; no column at all breaks it wholly.

    >>> from watchkeeper.domain.schema import Column
    >>> f = Frequencies.of_counts({"f": 6, "m": 3, "x": 1})
    >>> sex = ColumnProfile(column=Column(name="sex", kind=Kind.CATEGORICAL), states={"frequencies": f}, rows=10)
    >>> expectation(sex, Expectation.one_of("sex", ["f", "m"])).value
    0.1
    """
    details: dict[str, Any] = {"expectation": expected.to_dict()}
    if expected.tolerance:
        details["expected"] = expected.tolerance
    if window is None:
        details["sentence"] = f"Expected: {expected.sentence}. There is no such column."
        return Measurement(measure=NAME, subject=expected.column, value=1.0, details=details, bound=0.0)
    if window.rows <= 0:
        return Measurement.missing(NAME, "There are no rows.", subject=expected.column, details=details)
    broken = _BROKEN[expected.rule](window, expected, duplicates, details)
    if isinstance(broken, str):
        return Measurement.missing(NAME, broken, subject=expected.column, rows=window.rows, details=details)
    of_all = expected.rule in (Rule.NOT_NULL, Rule.COMPLETE)
    rows = window.rows if of_all else window.rows - window.missing
    if rows <= 0:  # nothing is there to break it
        return Measurement(measure=NAME, subject=expected.column, value=0.0, details=details, bound=0.0)
    hits, bound = broken
    details["count"] = hits
    surely = details.get("surely", 0) / rows > expected.tolerance
    if hits / rows > expected.tolerance:
        about = "" if not bound else "about "
        details["sentence"] = (
            f"Expected: {expected.sentence}. {about}{hits:,.0f} of {rows:,.0f} rows break it."
        )
    return Measurement(
        measure=NAME,
        subject=expected.column,
        value=min(hits / rows, 1.0),
        rows=rows,
        interval=wilson(min(hits, rows), rows),
        # What the state cannot tell apart is no evidence against the column; what surely breaks it is.
        margin=None if not bound or surely else expected.tolerance + bound / rows,
        bound=bound / rows,
        details=details,
    )


def suggest_expectations(baseline: Profile) -> list[Expectation]:
    """Return what all of the baseline's rows have in common, with room to breathe.

    Nothing is suggested from fewer than 100 rows, nor for outcomes and ignored columns. Completeness is a little
    below the lower end of its interval; a range is widened by a tenth to each side, and keeps its sign; a set is
    suggested for at most 50 categories, none of which is so rare that more are likely to come.

    >>> from watchkeeper.domain.schema import Column, Schema
    >>> f = Frequencies.of_counts({"f": 600, "m": 400})
    >>> column = Column(name="sex", kind=Kind.CATEGORICAL)
    >>> sex = ColumnProfile(column=column, states={"frequencies": f}, rows=1000)
    >>> for e in suggest_expectations(Profile(schema=Schema(columns=(column,)), columns={"sex": sex}, rows=1000)):
    ...     print(e.sentence)
    sex is never missing
    sex is one of f, m
    """
    out: list[Expectation] = []
    for name, column in baseline.columns.items():
        if column.rows < FEW_ROWS or column.column.role in (Role.IGNORED, Role.OUTCOME):
            continue
        if not column.missing:
            out.append(Expectation.not_null(name))
        elif (there := wilson(column.rows - column.missing, column.rows).low) > 0.01:
            out.append(Expectation.complete(name, floor(100 * there) / 100))
        m = column.moments
        if column.column.kind in (Kind.NUMERIC, Kind.INTEGER) and m is not None and m.n and m.min < m.max:
            out.append(Expectation.between(name, *_widened(m.min, m.max)))
        f = column.frequencies
        if (
            column.column.kind.is_discrete
            and f is not None
            and f.counts
            and not f.other
            and len(f.counts) <= MOST_VALUES
            and not any(count <= 2 for count in f.counts.values())
        ):
            out.append(Expectation.one_of(name, sorted(f.counts)))
        if column.column.role is Role.ID and column.distinct == column.rows:
            out.append(Expectation.unique(name))
    return out


def _widened(low: float, high: float) -> tuple[float, float]:
    """A tenth of the range more to each side, on numbers that a person would write; 0 is not crossed."""
    room = (high - low) / 10
    step = 10.0 ** floor(log10(room))
    down, up = floor((low - room) / step) * step, ceil((high + room) / step) * step
    if low >= 0:
        down = max(down, 0.0)
    if high <= 0:
        up = min(up, 0.0)
    digits = max(0, -floor(log10(step)))
    return round(down, digits) + 0.0, round(up, digits) + 0.0


# -- how many rows break each rule: a count with its bound, or why it cannot be known --------------------------

Broken = Bounded | str


def _null(
    column: ColumnProfile, expected: Expectation, found: Duplicates | None, details: dict[str, Any]
) -> Broken:
    return Bounded(column.missing, 0.0)


def _outside(
    column: ColumnProfile, expected: Expectation, found: Duplicates | None, details: dict[str, Any]
) -> Broken:
    h, m = column.histogram, column.moments
    if h is None:
        return f"A {column.column.kind} column has no range."
    hits, bound = 0.0, 0.0
    if m is not None and m.n:
        details |= {"min": m.min, "max": m.max}
    for end, count, infinite in (
        (expected.low, count_below, h.neg_inf),
        (expected.high, count_above, h.pos_inf),
    ):
        if end is None:
            continue
        hits += infinite
        beyond = m is None or not m.n or (m.min < end if count is count_below else m.max > end)
        if h.n and beyond:
            n, off = count(h, float(end))
            if m is not None and m.n:  # the extreme itself is known to lie beyond
                n = max(n, 1.0)
                details["surely"] = details.get("surely", 0) + 1
            hits, bound = hits + n, bound + off
    return Bounded(hits, bound)


def _not_in_set(
    column: ColumnProfile, expected: Expectation, found: Duplicates | None, details: dict[str, Any]
) -> Broken:
    allowed = set(expected.values)
    if column.frequencies is not None:
        return _by_name(column.frequencies, lambda name: name in allowed, details)
    if column.histogram is not None:
        return _not_among_atoms(column.histogram, allowed)
    return "Its values are not counted by name."


def _no_match(
    column: ColumnProfile, expected: Expectation, found: Duplicates | None, details: dict[str, Any]
) -> Broken:
    if column.frequencies is None:
        return "Its values are not counted by name."
    pattern = re.compile(expected.pattern)
    return _by_name(column.frequencies, lambda name: pattern.fullmatch(name) is not None, details)


def _copied(
    column: ColumnProfile, expected: Expectation, found: Duplicates | None, details: dict[str, Any]
) -> Broken:
    if found is not None:
        return Bounded(found.copies, 3 * found.standard_error)
    values, distinct = column.rows - column.missing, column.distinct
    if distinct is None:
        return "Distinct values of this column are not counted."
    state = column.states.get("distinct")
    counted = column.frequencies is not None and not column.frequencies.error
    off = (
        0.0 if counted or state is None or state.accuracy.exact else (state.accuracy.bound or 0.0) * distinct
    )
    return Bounded(max(values - distinct, 0.0), off)


_BROKEN: Mapping[Rule, Callable[..., Broken]] = {
    Rule.NOT_NULL: _null,
    Rule.COMPLETE: _null,
    Rule.BETWEEN: _outside,
    Rule.ONE_OF: _not_in_set,
    Rule.MATCHES: _no_match,
    Rule.UNIQUE: _copied,
}


def _by_name(f: Frequencies, allowed: Callable[[str], bool], details: dict[str, Any]) -> Bounded:
    bad = {name: count for name, count in f.counts.items() if not allowed(name)}
    if bad:
        details["examples"] = sorted(bad, key=lambda name: (-bad[name], name))[:5]
    return Bounded(sum(bad.values()), f.other)


def _not_among_atoms(h: Histogram, allowed: set[str]) -> Broken:
    """A set of numbers: each must have a bin of its own, or else the bin's rows are not known."""
    good = unsure = 0.0
    atoms = h.edges.atoms
    for name in allowed:
        try:
            number = float(name)
        except ValueError:
            continue
        at = int(np.searchsorted(h.edges.cuts, number, side="right"))
        count = float(h.counts[at])
        tail = h.low if at == 0 else h.high if at == h.counts.size - 1 else None
        if (atoms[at] and h.edges.cuts[at - 1] == number) or (
            tail is not None and tail.count and tail.min == tail.max == number
        ):
            good += count
        elif not atoms[at]:
            unsure += count
    return Bounded(max(float(h.n) - good, 0.0) + h.infinite, min(unsure, float(h.n)))
