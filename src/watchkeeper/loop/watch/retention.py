"""What is kept how long: rows by days, old profiles coarser and merged, measurements by age; and the lake's upkeep.

It rides in the tick and is done at most every few minutes, since compaction reads and writes whole files. Nothing
here is needed for a number to be right: a crash half-way is made good the next time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from watchkeeper.domain.fact import Document, Lease
from watchkeeper.domain.series import WindowKey
from watchkeeper.domain.watched import WatchedModel
from watchkeeper.errors import LeaseLost, WatchkeeperError
from watchkeeper.loop.records.records import Kind, Records
from watchkeeper.loop.watch.profile_rollups import MOST_PARTS, roll_up
from watchkeeper.profiles.stored_window import OLD_BINS, known_edges, parts_of, profiles_of

if TYPE_CHECKING:
    from watchkeeper.loop.watch.project import Project


EVERY = timedelta(minutes=10)
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upkeep:
    """When a model's data was put in order last, and how far."""

    model: str
    at: datetime | None = None
    coarse_until: str | None = None
    """The day up to which profiles are coarse."""
    left: int = 0
    """Days and months of profiles that wait to be merged."""
    done: Mapping[str, Any] = field(default_factory=dict)


def _of_upkeep(document: Document) -> Mapping[str, Any]:
    """Version 0.1.0 stored what was done beside the rest."""
    if "at" in document.body:
        return document.body
    body = dict(document.body)
    left, until = body.pop("profiles.to_merge", 0), body.pop("coarse_until", None)
    return {"at": document.updated_at, "coarse_until": until, "left": left, "done": body}


UPKEEP = Kind("upkeep", Upkeep, key="model", model="model", upgrade=_of_upkeep)


@dataclass(slots=True)
class Kept:
    """What one upkeep did."""

    done: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    parts: int = 0
    """Stored parts of profiles that were merged."""


def maintain(
    project: Project,
    model: WatchedModel,
    lease: Lease,
    *,
    now_please: bool = False,
    most_parts: int = MOST_PARTS,
) -> Kept:
    """Compact, coarsen, merge and drop what is due, at most every ten minutes unless *now_please*.

    Of profiles about *most_parts* parts are merged; where that is not all, the next call goes on at once.
    """
    now, kept = project.clock(), Kept()
    upkeeps = Records(project.ledger.facts, UPKEEP)
    stored = upkeeps.get(model.name)
    known = Upkeep(model=model.name) if stored is None else stored.value
    if not now_please and known.at is not None and now - known.at < EVERY:
        if known.left and most_parts > 0:
            _go_on_merging(project, model, known, kept, lease, most_parts)
        return kept
    retention = model.retention
    until = known.coarse_until
    left = 0
    try:
        kept.done |= project.lake.maintain(model.name, now, token=lease.token, keep=retention.rows)
        if retention.full_profiles is not None:
            before = (now - retention.full_profiles).astimezone(UTC).date().isoformat()
            days = [d for d in project.lake.days(model.name, "profiles") if (until or "") <= d < before]
            for day in days:
                lease = project.renewed(lease)
                coarsen_day(project, model.name, day, lease)
            if days:
                kept.done["profiles.coarsened_days"] = len(days)
            until = before
        if retention.measurements is not None:
            gone = project.ledger.measurements.delete(model.name, before=now - retention.measurements)
            if gone:
                kept.done["measurements.dropped"] = gone
        left = _merge(project, model, kept, lease, most_parts)
    except LeaseLost:
        raise
    except WatchkeeperError as problem:
        kept.problems.append(problem.what)
    done = Upkeep(model=model.name, at=now, coarse_until=until, left=left, done=_plain(kept.done))
    upkeeps.put(done, now=now, lease=lease)
    return kept


def _merge(project: Project, model: WatchedModel, kept: Kept, lease: Lease, most_parts: int) -> int:
    """Merge profiles by day and month; how many days and months were left for the next time."""
    if most_parts <= 0:
        return 1  # at least it has to be looked
    rolled = roll_up(project, model, lease, most=most_parts)
    kept.parts = rolled.parts
    if rolled.merged:
        kept.done["profiles.merged"] = rolled.merged
    return rolled.left


def _go_on_merging(
    project: Project,
    model: WatchedModel,
    known: Upkeep,
    kept: Kept,
    lease: Lease,
    most_parts: int,
) -> None:
    """Merge some more; when the upkeep was done stays as it is."""
    try:
        left = _merge(project, model, kept, lease, most_parts)
    except LeaseLost:
        raise
    except WatchkeeperError as problem:
        kept.problems.append(problem.what)
        left = 0  # the next upkeep tries again
    Records(project.ledger.facts, UPKEEP).put(replace(known, left=left), now=project.clock(), lease=lease)


def coarsen_day(project: Project, name: str, day: str, lease: Lease, *, bins: int | None = OLD_BINS) -> int:
    """Rewrite one day of profiles with fewer bins (None: as they are) and without older generations.

    Returns the number of rows (parts of windows) that are left.
    """
    import pyarrow as pa

    baseline = project.baseline(name)
    edges = known_edges(baseline)
    start = datetime.fromisoformat(day).replace(tzinfo=UTC)
    profiles = project.lake.profiles(name)
    table = profiles.get(start, start + DAY + timedelta(days=366), segment=None, days=[day])
    generations: dict[WindowKey, int] = {}
    for row in table.select(["start", "end", "version", "segment", "generation"]).to_pylist():
        key = _key(row)
        generations[key] = max(row["generation"], generations.get(key, 0))
    if bins is None:
        rows = table.to_pylist()
    else:
        rows = []
        for key, stored in profiles_of(table, edges).items():
            coarse = replace(stored.coarsen(bins), key=key)
            rows += parts_of(coarse, generations[key], edges)
    schema = pa.schema([*(table.schema.field(n) for n in table.column_names)])
    kept = pa.Table.from_pylist(rows, schema=schema)
    days = pa.array([day] * kept.num_rows, pa.string())
    profiles.replace_day(day, kept.append_column("wk_day", days), token=lease.token)
    return kept.num_rows


def _key(row: Mapping[str, Any]) -> WindowKey:
    from watchkeeper.domain.window import Window

    return WindowKey(
        model="", window=Window(row["start"], row["end"]), version=row["version"], segment=row["segment"]
    )


def _plain(done: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in done.items() if isinstance(value, (int, float, str, bool))}
