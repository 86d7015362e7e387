"""What moved, and what it cost: a window's change of performance, split into inputs and conditional change."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from watchkeeper.domain.measurement import Measurement
from watchkeeper.domain.window import Window
from watchkeeper.errors import NotFound
from watchkeeper.loop.batch.profiling import profile
from watchkeeper.loop.watch.project import renamed_rows
from watchkeeper.measures.estimate.evaluation import measure_change

if TYPE_CHECKING:
    from watchkeeper.loop.watch.watch import Watch


def explain_change(watch: Watch, name: str, window: Window) -> list[Measurement]:
    """Split the change of the mean loss between the baseline and *window* (see `measures.estimate.change`).

    Raises
    ------
    NotFound
        the model has no baseline yet.
    """
    model, made = watch.model(name), watch.baseline(name)
    if made is None:
        raise NotFound(f"{name!r} has no baseline yet.", "Take one:  watchkeeper baseline DATA --output FILE")
    rows = renamed_rows(watch, name, window.start, window.end)
    plan = replace(made.plan, segments=())
    found = profile(rows, schema=made.schema, plan=plan)
    return measure_change(
        made.profile,
        found,
        **made.scoring_of(model.scoring).options,
    )
