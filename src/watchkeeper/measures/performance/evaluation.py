"""All measures of performance that a profile's states allow, in one call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from watchkeeper.domain.measurement import Measurement
from watchkeeper.domain.schema import Task
from watchkeeper.errors import BadInput, NotFound, nearest
from watchkeeper.measures.entry import Entry
from watchkeeper.measures.performance.catalogue import CATALOGUE


def measure_performance(
    states: Mapping[str, Any],
    *,
    task: Task | None,
    positive: str | None = None,
    threshold: float = 0.5,
    names: Iterable[str] | None = None,
    level: float = 0.95,
) -> list[Measurement]:
    """Measure what *states* allow.

    Parameters
    ----------
    states : a profile's ``performance``: ``"score_table"``, ``"score_table:<class>"``, ``"confusion"``,
        ``"residuals"``.
    task : which measures make sense; None takes all that the states allow.
    positive : the positive class of a binary task.
    threshold : where a score becomes a decision; used when the model's own decisions (the confusion) are not
        known.
    names : measures by name; None takes the default ones.

    Raises
    ------
    NotFound
        a name is not a measure of this room.

    >>> from watchkeeper.stats.states.residuals import Residuals
    >>> errors = {"residuals": Residuals.of([1.0, 2.0, 4.0], [1.0, 2.0, 3.0])}
    >>> [m.measure for m in measure_performance(errors, task=Task.REGRESSION, names=["mae", "bias"])]
    ['mae', 'bias']
    """
    out: list[Measurement] = []
    confusion = states.get("confusion")
    unmatched = None if confusion is None else confusion.unmatched(two=task is Task.BINARY)
    for entry in _wanted(names):
        taken = _state_for(entry, states, task)
        if taken is None:
            continue
        options: dict[str, Any] = {"level": level}
        if entry.reads == "decisions":
            options |= {"threshold": threshold, "positive": positive}
        if confusion is not None and taken is confusion and unmatched is not None:
            out.append(Measurement.missing(entry.name, unmatched, rows=taken.n))
            continue
        try:
            found = entry.function(taken, **options)
        except BadInput as problem:
            found = Measurement.missing(entry.name, problem.what)
        out += found if isinstance(found, list) else [found]
    return out


def _wanted(names: Iterable[str] | None) -> list[Entry]:
    if names is None:
        return [entry for entry in CATALOGUE if entry.default]
    known = {entry.name: entry for entry in CATALOGUE}
    out = []
    for name in names:
        if name not in known:
            raise NotFound(f"There is no performance measure {name!r}.{nearest(name, known)}")
        out.append(known[name])
    return out


def _state_for(entry: Entry, states: Mapping[str, Any], task: Task | None) -> Any:
    """The state that *entry* reads, or None when it does not apply."""
    confusion, table = states.get("confusion"), states.get("score_table")
    several = task is Task.MULTICLASS or (
        task is None and confusion is not None and len(confusion.labels) > 2
    )
    if entry.reads == "decisions":
        if several and entry.name != "accuracy":
            return None
        # What the model really decided comes before what a threshold would have decided.
        return confusion if confusion is not None else (None if several else table)
    if entry.reads == "confusion":
        return confusion if several else None
    if entry.reads == "score_tables":
        prefix = "score_table:"
        tables = {name.removeprefix(prefix): s for name, s in states.items() if name.startswith(prefix)}
        return tables or None
    if entry.reads == "score_table":
        return None if several else table
    return states.get(entry.reads)
