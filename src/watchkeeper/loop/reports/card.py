"""The model card of a watched model, from what the ledger knows."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from watchkeeper.documents.model_card import CardFacts, model_card
from watchkeeper.domain.measurement import Interval, Measurement
from watchkeeper.domain.window import Window
from watchkeeper.errors import BadInput, NotFound
from watchkeeper.measures.catalogue import described_measures
from watchkeeper.measures.performance.evaluation import measure_performance

if TYPE_CHECKING:
    from watchkeeper.loop.watch.watch import Watch


def write_card(watch: Watch, name: str, path: str | Path) -> Path:
    """Write the card of *name* to *path*.

    Raises
    ------
    NotFound
        there is no such model, or it has no baseline yet.
    BadInput
        the file cannot be written.
    """
    model, made = watch.model(name), watch.baseline(name)
    if made is None:
        raise NotFound(f"{name!r} has no baseline yet.", "Take one:  watchkeeper baseline DATA --output FILE")
    measures = described_measures()
    mature = [
        s
        for s in watch.ledger.windows.windows(name, limit=100_000)
        if s.mature and s.outcomes and not s.key.version
    ]
    longest = max((s.key.window.length for s in mature), default=None)
    window = max((s.key.window for s in mature if s.key.window.length == longest), default=None)
    latest, segments = _latest(watch, name, window)
    alarms = [
        f"{f.at:%Y-%m-%d}: {f.body.get('text') or f.subject}"
        for f in watch.ledger.facts.facts(kinds=["alert.fired"], model=name, newest_first=True, limit=50)
    ]
    versions = sorted(
        {v for v in watch.measurements(name, measures=["row_count"])["version"].to_pylist() if v}
    )
    facts = CardFacts(
        model=model,
        schema=made.schema,
        baseline_name=made.name,
        baseline_rows=made.profile.rows,
        baseline=measure_performance(made.profile.performance, **made.scoring_of(model.scoring).options),
        window=window,
        latest=latest,
        segments=segments,
        measures=measures,
        versions=versions,
        alarms=alarms,
        made_at=watch.clock(),
        watchkeeper=_version(),
    )
    target = Path(path)
    try:
        target.write_text(model_card(facts), encoding="utf-8")
    except OSError as cause:
        raise BadInput(f"The card cannot be written to {target}: {cause.strerror or cause}.") from cause
    return target


def _latest(watch: Watch, name: str, window: Window | None) -> tuple[list[Measurement], list[Measurement]]:
    """Performance in one window: of all rows, and of segments."""
    if window is None:
        return [], []
    from watchkeeper.domain.measurement import Family

    measures = described_measures()
    whole: list[Measurement] = []
    parts: list[Measurement] = []
    for row in watch.measurements(name, start=window.start, end=window.end).to_pylist():
        measure = measures.get(row["measure"])
        if row["start"] != window.start or row["end"] != window.end or row["version"] or row["value"] is None:
            continue
        if measure is None or measure.family is not Family.PERFORMANCE or row["subject"]:
            continue
        m = Measurement(
            measure=row["measure"],
            value=row["value"],
            rows=row["rows"],
            segment=row["segment"],
            interval=None if row["low"] is None or row["high"] is None else Interval(row["low"], row["high"]),
        )
        (parts if row["segment"] else whole).append(m)
    return whole, [m for m in parts if m.measure in ("brier", "accuracy", "rmse", "roc_auc")]


def _version() -> str:
    try:
        return version("watchkeeper")
    except PackageNotFoundError:
        return ""
