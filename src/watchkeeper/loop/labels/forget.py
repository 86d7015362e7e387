"""Forgetting rows for good: journals, tables, old file versions, the baseline's sample, and profiles made of them.

The order makes a crash harmless: windows are marked first, outcomes go before the predictions by which a condition
finds them, and the index of ids goes last, so forgetting again finishes what was begun.

Aggregates that a row once went into are made anew from the rows that stay. Where those have expired that cannot be
done, and it is said, window by window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from watchkeeper.capture.journal import forget as forget_in_journal
from watchkeeper.capture.journal import journals
from watchkeeper.domain.series import WindowKey
from watchkeeper.domain.watched import WatchedModel
from watchkeeper.domain.window import Window, floor_to
from watchkeeper.errors import BadInput, Conflict
from watchkeeper.loop.batch.profiling import save_baseline
from watchkeeper.loop.labels.labelling import forget_in_requests
from watchkeeper.loop.records.facts import FactKind
from watchkeeper.loop.records.records import write
from watchkeeper.loop.watch.dead_letters import forget_letters
from watchkeeper.loop.watch.lease import LEASE, LEASE_FOR
from watchkeeper.loop.watch.retention import coarsen_day
from watchkeeper.loop.watch.tick import tick
from watchkeeper.profiles.segment_names import SegmentNames

if TYPE_CHECKING:
    from watchkeeper.loop.watch.watch import Watch


_SHOWN = 1000


class RowsForgotten(TypedDict):
    """How much was forgotten, and how it was chosen: by id or by condition."""

    ids: int
    predictions: int
    outcomes: int
    windows: int
    by: str


ROWS_FORGOTTEN = FactKind("rows.forgotten", RowsForgotten)


@dataclass(slots=True)
class Forgotten:
    """What was removed, and what could not be made anew."""

    ids: int = 0
    predictions: int = 0
    outcomes: int = 0
    journal_rows: int = 0
    baseline_rows: int = 0
    label_rows: int = 0
    rebuilt_windows: list[str] = field(default_factory=list)
    not_rebuildable: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {name: getattr(self, name) for name in self.__slots__}


def rows_to_forget(watch: Watch, name: str, *, ids: Sequence[str] = (), where: str | None = None) -> int:
    """How many predictions in the lake `forget` would remove; for the question before it."""
    watch.model(name)
    return len(watch.lake.matching(name, ids=ids, where=where))


def forget(
    watch: Watch, name: str, *, ids: Sequence[str] = (), where: str | None = None, actor: str = "user"
) -> Forgotten:
    """Remove the predictions with these *ids*, and those of which *where* (SQL on the predictions) is true.

    Raises
    ------
    BadInput
        nothing was named, or the model's rows are in a table of the user's own.
    Conflict
        another process ticks just now.
    """
    model = watch.model(name)
    if model.table is not None:
        raise BadInput(
            f"The rows of {name!r} are in your own table, {model.table.location}.",
            "Delete them there, then:  watchkeeper backfill",
        )
    if not ids and not where:
        raise BadInput("Nothing was named that should be forgotten.", "Give --id or --where.")
    import pyarrow as pa

    lease = watch.lease(LEASE, LEASE_FOR)
    if lease is None:
        raise Conflict("Another process ticks just now, and both would write.", "Try again in a minute.")
    done = Forgotten()
    try:
        done.problems += watch.drain(model, lease).problems
        wanted = list(dict.fromkeys([*ids, *watch.lake.matching(name, where=where)]))
        done.ids = len(wanted)
        for root in {watch.data, watch.path}:
            for path in journals(root, name):
                done.journal_rows += forget_in_journal(path, wanted)
        in_quarantine, unsearched = forget_letters(watch, name, wanted, lease)
        done.journal_rows += in_quarantine
        done.problems += unsearched
        done.baseline_rows = _forget_in_baseline(watch, name, wanted)
        done.label_rows = forget_in_requests(watch, name, wanted, lease=lease)
        hours = [hour for hour, _ in watch.lake.windows_of(name, pa.array(wanted, pa.string()))]
        known = {s.key for s in watch.ledger.windows.windows(name, limit=1_000_000)}
        keys = [key for key in _windows_of(model, hours) if key in known]
        watch.ledger.windows.mark_dirty(keys, reason="rows were forgotten", lease=lease)
        # What was merged of these days holds the rows too; the upkeep merges them anew, once they are measured.
        merged = {span for day in _days_of(keys) for span in (day, day[:7])}
        watch.lake.profiles(name).rollups.drop(merged, token=lease.token)
        removed = watch.lake.forget(name, wanted, token=lease.token) if wanted else {}
        done.predictions, done.outcomes = removed.get("predictions", 0), removed.get("outcomes", 0)
        said: RowsForgotten = {
            "ids": done.ids,
            "predictions": done.predictions,
            "outcomes": done.outcomes,
            "windows": len(keys),
            "by": "condition" if where else "id",
        }
        fact = ROWS_FORGOTTEN(said, at=watch.clock(), actor=actor, model=name)
        write(watch.ledger.facts, [fact], lease=lease)
    finally:
        watch.ledger.leases.release(lease)
    began = watch.clock()
    done.problems += tick(watch, models=[name], judges=watch.judges).problems
    if keys:
        _rebuilt(watch, model, keys, done)
        states = watch.ledger.windows.windows(
            name, start=keys[0].window.start, end=keys[-1].window.end, limit=1_000_000
        )
        anew = {s.key.window for s in states if s.measured_at is not None and s.measured_at >= began}
        watch.ledger.measurements.drop_stale(name, sorted(anew), before=began)
        left = set(watch.ledger.measurements.latest(model=name)["segment"].to_pylist())
        SegmentNames.keep(watch.ledger.facts, name, left)
    watch.ledger.scrub()
    return done


def _windows_of(model: WatchedModel, hours: Sequence[Any]) -> list[WindowKey]:
    windows: set[Window] = set()
    for hour in hours:
        start = floor_to(hour, model.cadence)
        while start < hour + timedelta(hours=1):
            windows.add(Window(start, start + model.cadence))
            start += model.cadence
    return [WindowKey(model=model.name, window=w) for w in sorted(windows)]


def _days_of(keys: Sequence[WindowKey]) -> list[str]:
    return sorted({k.window.start.astimezone(UTC).date().isoformat() for k in keys})


def _rebuilt(watch: Watch, model: WatchedModel, keys: Sequence[WindowKey], done: Forgotten) -> None:
    """Say what became of each window, and leave no older generation of its profiles in any file."""
    states = {
        s.key.window: s
        for s in watch.ledger.windows.windows(
            model.name, start=keys[0].window.start, end=keys[-1].window.end, limit=1_000_000
        )
    }
    for key in keys:
        state = states.get(key.window)
        if state is not None and state.rebuildable and not state.dirty:
            done.rebuilt_windows.append(key.window.label)
        elif state is not None and not state.rebuildable:
            done.not_rebuildable.append(key.window.label)
    lease = watch.lease(LEASE, LEASE_FOR)
    if lease is None:
        done.problems.append(
            "Another process ticks just now, so older profiles of these days are still in files. Forget the same "
            "rows again to remove them."
        )
        return
    try:
        for day in _days_of(keys):
            if day in watch.lake.days(model.name, "profiles"):
                lease = watch.renewed(lease)
                coarsen_day(watch, model.name, day, lease, bins=None)
    finally:
        watch.ledger.leases.release(lease)


def _forget_in_baseline(watch: Watch, name: str, ids: Sequence[str]) -> int:
    """Take the rows out of the baseline's sample; its counts are of all rows and name nobody."""
    from watchkeeper.stats.hashing import hash_ints, hash_texts

    made = watch.baseline(name)
    if made is None or made.sample is None or not ids:
        return 0
    sample = made.sample
    hashes = [np.asarray(hash_texts(list(ids)), dtype=np.uint64)]
    numbers = [int(i) for i in ids if i.lstrip("-").isdigit() and len(i) < 19]
    if numbers:  # a baseline's table may keep as a number what a recorder was given as text
        hashes.append(hash_ints(np.array(numbers, np.int64)))
    keep = ~np.isin(sample.hashes, np.concatenate(hashes))
    gone = int((~keep).sum())
    if gone:
        kept = replace(
            sample, hashes=sample.hashes[keep], columns={n: c[keep] for n, c in sample.columns.items()}
        )
        save_baseline(replace(made, profile=replace(made.profile, sample=kept)), watch.baseline_path(name))
    return gone
