"""Measurements that come from outside: of machines, of money, of whatever else a model's owner counts.

They stand in series of their own, named ``outside.NAME``, beside those that the watch measures. A rule on one judges
the mean of what came in for the judged window.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from watchkeeper.domain.measurement import Interval, Measurement
from watchkeeper.domain.rule import OUTSIDE
from watchkeeper.domain.series import PlacedMeasurement, WindowKey
from watchkeeper.domain.watched import WatchedModel
from watchkeeper.domain.window import Window
from watchkeeper.errors import BadInput

if TYPE_CHECKING:
    from watchkeeper.loop.watch.project import Project

MOST = 10_000
"""Measurements in one call."""
_NAME = re.compile(re.escape(OUTSIDE) + r"[a-z][a-z0-9_]{0,59}")
_LONGEST = timedelta(days=366)


def outside_measurement(
    model: str,
    name: str,
    start: datetime,
    end: datetime,
    value: float,
    *,
    subject: str = "",
    segment: str = "",
    version: str = "",
    rows: float = 1,
    interval: tuple[float, float] | None = None,
) -> PlacedMeasurement:
    """One number from outside at its place; *start* and *end* are moments with a time zone.

    Raises
    ------
    BadInput
        the name does not begin with ``outside.``, the window is empty, longer than a year or has no time zone, or the
        interval does not hold the value.

    >>> from datetime import UTC
    >>> noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    >>> outside_measurement("m", "outside.gpu_use", noon, noon + timedelta(hours=1), 0.7).measurement.value
    0.7
    """
    if not _NAME.fullmatch(name):
        raise BadInput(
            f"{name!r} is not the name of a measurement from outside.",
            f"Call it {OUTSIDE}NAME, in small letters, digits and '_', such as {OUTSIDE}gpu_use.",
        )
    if start.tzinfo is None or end.tzinfo is None:
        raise BadInput("start and end need a time zone.", 'Write "2026-03-01T12:00:00Z".')
    if not timedelta(0) < end - start <= _LONGEST:
        raise BadInput("The window must end after it starts, and last at most a year.")
    if value != value or value in (float("inf"), float("-inf")):
        raise BadInput(f"The value must be a number, not {value!r}.")
    if interval is not None and not interval[0] <= value <= interval[1]:
        raise BadInput("The value must lie between low and high.")
    return PlacedMeasurement(
        key=WindowKey(model=model, window=Window(start, end), version=version, segment=segment),
        measurement=Measurement(
            measure=name,
            subject=subject,
            value=value,
            rows=rows,
            interval=None if interval is None else Interval(*interval),
        ),
    )


def store_outside(project: Project, model: str, measured: Sequence[PlacedMeasurement]) -> int:
    """Keep measurements from outside; one of the same series and window replaces the earlier. Returns how many.

    Raises
    ------
    NotFound
        there is no such model.
    BadInput
        they are too many for one call.
    """
    project.model(model)
    if len(measured) > MOST:
        raise BadInput(
            f"{len(measured):,} measurements are too many for one call.", f"Send at most {MOST:,}."
        )
    return project.ledger.measurements.write(measured, at=project.clock())


def outside_of(project: Project, model: WatchedModel, window: Window) -> list[PlacedMeasurement]:
    """What came from outside for a judged window, where a rule reads it: the mean over shorter windows within."""
    names = sorted({r.selector.measure for r in model.rules if r.selector.measure.startswith(OUTSIDE)})
    if not names:
        return []
    table = project.ledger.measurements.table(model.name, measures=names, start=window.start, end=window.end)
    series: dict[tuple[str, str, str, str], list[tuple[float, float]]] = {}
    for row in table.to_pylist():
        if row["value"] is not None and row["end"] <= window.end:
            place = (row["measure"], row["subject"], row["segment"], row["version"])
            series.setdefault(place, []).append((row["value"], row["rows"] or 1))
    return [
        PlacedMeasurement(
            key=WindowKey(model=model.name, window=window, version=version, segment=segment),
            measurement=Measurement(
                measure=name,
                subject=subject,
                value=_mean(values),
                rows=sum(rows for _, rows in values),
            ),
        )
        for (name, subject, segment, version), values in sorted(series.items())
    ]


def _mean(values: Iterable[tuple[float, float]]) -> float:
    held = list(values)
    return sum(value for value, _ in held) / len(held)
