"""All drift measures that two profiles allow, in one call."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from watchkeeper.domain.measurement import Measurement
from watchkeeper.domain.schema import Role
from watchkeeper.errors import NotFound, WatchkeeperError, nearest
from watchkeeper.measures.drift.catalogue import CATALOGUE
from watchkeeper.measures.entry import Entry
from watchkeeper.stats.states.profile import ColumnProfile, Profile

_OF_ONE_COLUMN = ("distribution", "histogram", "state", "vector")


def drift_entries(names: Iterable[str] | None = None) -> tuple[Entry, ...]:
    """Measures of two states of one column, by name; None takes the default ones.

    Raises
    ------
    NotFound
        a name is not a drift measure.
    """
    lines = {entry.name: entry for entry in CATALOGUE if entry.reads in _OF_ONE_COLUMN}
    if names is None:
        return tuple(entry for entry in lines.values() if entry.default)
    out = []
    for name in names:
        if name not in lines:
            raise NotFound(f"There is no drift measure {name!r}.{nearest(name, lines)}")
        out.append(lines[name])
    return tuple(out)


def measure_drift(
    baseline: Profile,
    window: Profile,
    *,
    names: Iterable[str] | None = None,
    rows: tuple[float, float] | None = None,
) -> list[Measurement]:
    """Measure every column that both profiles hold; one column's failure is its own measurement's reason.

    *rows* are the rows behind each side, where counts were scaled up from sampled capture.
    """
    entries = drift_entries(names)
    return [
        m
        for name in baseline.columns
        if name in window.columns
        for m in measure_column_drift(baseline.columns[name], window.columns[name], entries, rows=rows)
    ]


def measure_column_drift(
    baseline: ColumnProfile,
    window: ColumnProfile,
    entries: Iterable[Entry],
    *,
    rows: tuple[float, float] | None = None,
) -> list[Measurement]:
    """The measures of *entries* that make sense for this column's kind and states.

    Of an outcome only the rows that have one are compared: a row whose outcome is still to come has not changed.
    """
    kind = baseline.column.kind
    out = []
    if baseline.column.role is Role.OUTCOME:
        baseline, window = baseline.without_missing(), window.without_missing()
        entries = [entry for entry in entries if entry.name != "missing_drift"]
    for entry in entries:
        if entry.kinds and kind not in entry.kinds:
            continue
        left, right = _state(entry, baseline), _state(entry, window)
        if left is None or right is None:
            continue
        try:
            found = entry.function(left, right) if rows is None else entry.function(left, right, rows=rows)
        except Exception as failure:
            said = (
                failure.what
                if isinstance(failure, WatchkeeperError)
                else f"A fault of the program's own ({type(failure).__name__}: {failure})"
            )
            found = Measurement.missing(
                entry.name,
                said.rstrip("."),
                rows=window.rows,
                baseline_rows=baseline.rows,
                details={"failed": True},
            )
        out.append(replace(found, subject=baseline.name))
    return out


def _state(entry: Entry, profile: ColumnProfile) -> object | None:
    if entry.reads == "histogram":
        return profile.histogram
    if entry.reads == "distribution":
        return profile.distribution
    if entry.reads == "vector":
        return profile.states.get("vector")
    return profile.distribution or profile.states.get("text") or profile.states.get("vector")
