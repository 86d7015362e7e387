"""Right and wrong decisions of a binary model, from whichever state knows them.

A `Confusion` knows the decisions that the model really took; a `ScoreTable` knows what any threshold would
have decided. The measures of this room that need the four counts read either, through `decided`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite, nan
from typing import Any

import numpy as np

from watchkeeper.domain.classes import spelled_as
from watchkeeper.domain.measurement import Interval, Measurement
from watchkeeper.errors import BadInput
from watchkeeper.stats.classes import positive_class
from watchkeeper.stats.states.confusion import Confusion
from watchkeeper.stats.states.moments import Moments
from watchkeeper.stats.states.score_table import NEGATIVE, POSITIVE, ConfusionCounts, ScoreTable, lattice

Decisions = ScoreTable | Confusion | ConfusionCounts
"""What the binary decision measures read."""

UNLABELLED = "No row has an outcome yet."


@dataclass(frozen=True, slots=True)
class Decided:
    """The four counts; ``corners`` are the counts that the one cell split by the threshold might hide."""

    counts: ConfusionCounts
    corners: tuple[ConfusionCounts, ...] = ()
    known: bool = True
    """Whether every row is on its side (a class past the cap cannot be told from others)."""

    @property
    def rows(self) -> float:
        """Rows with an outcome."""
        return sum(self.counts)


def decided(state: Decisions, *, threshold: float = 0.5, positive: str | None = None) -> Decided:
    """The counts at *threshold* (score table) or for the *positive* class (confusion).

    *positive* in another spelling (``1`` for ``true``) is the same class. None takes the usual one: ``1`` of 0/1,
    ``true`` of false/true, else the last label in order.

    Raises
    ------
    BadInput
        a confusion of more than two classes, and no positive class is named; or the name is not known.

    >>> decided(Confusion.of_labels(["no", "yes", "yes"], ["no", "no", "yes"])).counts
    ConfusionCounts(tp=1, fp=0, fn=1, tn=1)
    """
    if isinstance(state, ConfusionCounts):
        return Decided(state)
    if isinstance(state, ScoreTable):
        if (reason := state.no_probabilities) is not None:
            raise BadInput(
                f"{reason}, and no threshold of them is known; record the model's predictions to measure its decisions"
            )
        return Decided(state.confusion_at(threshold), _corners(state, threshold))
    if positive is None:
        if len(state.labels) > 2:
            raise BadInput(
                f"There are {len(state.labels)} classes; a binary measure needs to know which one is positive.",
                'Name it: positive = "..." in the schema, or take the measures of multiclass models.',
            )
        positive = positive_class(dict.fromkeys(state.labels, Moments.empty()), {}).name or ""
    (positive,) = spelled_as([positive], state.labels)
    if not state.labels or (positive not in state.labels and state.n):
        # The class did not occur: then every row is negative on both sides.
        return Decided(ConfusionCounts(0, 0, 0, state.n), known=not state.rest)
    at = state.labels.index(positive)
    tp = state.counts[at, at].item()
    fp, fn = state.predicted[at].item() - tp, state.actual[at].item() - tp
    return Decided(ConfusionCounts(tp, fp, fn, state.n - tp - fp - fn))


def measured(
    name: str,
    state: Decisions,
    value: Callable[[ConfusionCounts], float],
    interval: Callable[[ConfusionCounts], Interval],
    *,
    undefined: str,
    threshold: float,
    positive: str | None,
) -> Measurement:
    """The measurement *name*: *value* of the counts, its interval, and what the lattice may hide."""
    found = decided(state, threshold=threshold, positive=positive)
    details: dict[str, Any] = dict(zip(("tp", "fp", "fn", "tn"), found.counts, strict=True))
    if isinstance(state, ScoreTable):
        details["threshold"] = threshold
    if found.rows <= 0:
        return Measurement.missing(name, UNLABELLED, details=details)
    result = value(found.counts)
    if not isfinite(result):
        return Measurement.missing(name, undefined, rows=found.rows, details=details)
    others = [abs(value(corner) - result) for corner in found.corners]
    bound = max((x for x in others if isfinite(x)), default=0.0) if found.known else None
    return Measurement(
        measure=name,
        value=float(result),
        rows=found.rows,
        interval=interval(found.counts),
        bound=bound,
        details=details,
    )


def ratio(part: float, whole: float) -> float:
    """*part* / *whole*, NaN when there is no whole."""
    return part / whole if whole > 0 else nan


def _corners(table: ScoreTable, threshold: float) -> tuple[ConfusionCounts, ...]:
    if not table.unsure_at(threshold):
        return ()
    cell = int(np.searchsorted(lattice(), threshold, side="right"))
    neg, pos = table.counts[NEGATIVE], table.counts[POSITIVE]
    out = []
    for p in (cell, cell + 1):
        for n in (cell, cell + 1):
            counts = (pos[p:].sum(), neg[n:].sum(), pos[:p].sum(), neg[:n].sum())
            out.append(ConfusionCounts(*(float(x) for x in counts)))
    return tuple(out)
