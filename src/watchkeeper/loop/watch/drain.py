"""From journals to the lake: every acknowledged event exactly once, whatever crashes.

The order of steps is what makes it safe. (1) Rows are appended under the journal's name and sequence, which the
lake refuses the second time. (2) The windows that they belong to are marked. (3) The journal forgets the flushes.
A crash between any two steps repeats the earlier ones, and the repeat changes nothing.

Duplicates, that is ids which a client sent again, are dropped here: a prediction keeps its first row; an outcome
that differs in time is kept as a revision, and the latest counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from watchkeeper.capture.journal import Flush, delete_through, journal_identity, journals, read_flushes
from watchkeeper.domain.series import WindowKey
from watchkeeper.domain.watched import WatchedModel
from watchkeeper.domain.window import Window, floor_to
from watchkeeper.errors import WatchkeeperError
from watchkeeper.loop.records.records import Kind, Records, write
from watchkeeper.loop.watch.event_tables import Harvest, harvest

if TYPE_CHECKING:
    from watchkeeper.domain.fact import Lease
    from watchkeeper.ports.lake import Lake
    from watchkeeper.ports.ledger import Ledger


BATCH_ROWS = 200_000
UNPLACED = "unplaced"
HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many outcomes of a model meet no prediction."""

    model: str
    outcomes: int = 0


WAITING = Kind("waiting_outcomes", Waiting, key="model", model="model")


@dataclass(slots=True)
class Drained:
    """What one drain moved, and what it met."""

    predictions: int = 0
    outcomes: int = 0
    duplicates: int = 0
    revisions: int = 0
    unplaced: int = 0
    windows: int = 0
    problems: list[str] = field(default_factory=list)

    def add(self, other: Drained) -> None:
        """Count what another drain of the same model did."""
        for name in ("predictions", "outcomes", "duplicates", "revisions", "unplaced", "windows"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.problems += other.problems


def drain(
    model: WatchedModel,
    *,
    data: Path,
    lake: Lake,
    ledger: Ledger,
    lease: Lease | None = None,
    progress: Callable[[int], None] | None = None,
) -> Drained:
    """Move everything that is committed in the journals of *model* under *data* into the lake.

    One broken journal does not hold up the others: it is told in ``problems`` and left as it is.
    """
    done = Drained()
    for path in journals(data, model.name):
        try:
            _drain_journal(path, model, lake, ledger, lease, done, progress)
        except WatchkeeperError as problem:
            done.problems.append(f"{path.name}: {problem.what}")
    if done.predictions:
        _place_the_unplaced(model, lake, ledger, lease, done)
    if done.predictions or done.outcomes:
        _note_the_unplaced(model.name, lake, ledger, lease)
    return done


def _drain_journal(
    path: Path,
    model: WatchedModel,
    lake: Any,
    ledger: Ledger,
    lease: Lease | None,
    done: Drained,
    progress: Callable[[int], None] | None,
) -> None:
    source = journal_identity(path)
    batch: list[Flush] = []
    rows = 0
    for flush in read_flushes(path):
        batch.append(flush)
        rows += flush.rows
        if rows >= BATCH_ROWS:
            _move(source, path, batch, model, lake, ledger, lease, done)
            if progress:
                progress(rows)
            batch, rows = [], 0
    if batch:
        _move(source, path, batch, model, lake, ledger, lease, done)
        if progress:
            progress(rows)


def _move(
    source: str,
    path: Path,
    batch: Sequence[Flush],
    model: WatchedModel,
    lake: Any,
    ledger: Ledger,
    lease: Lease | None,
    done: Drained,
) -> None:
    last = batch[-1].sequence
    seen = {
        table: lake.drained(model.name, table, source) for table in ("predictions", "outcomes", "counters")
    }
    # What a crash left behind is marked again, so its flushes are read again even if both tables have them.
    found = harvest((f.at_us, f.version, f.events) for f in batch)
    done.problems += found.unreadable
    marks: set[datetime] = set()
    if found.predictions is not None:
        marks |= _hours(found.predictions["wk_at"])
        fresh = batch if seen["predictions"] < batch[0].sequence else None
        table = found.predictions if fresh else _after(batch, seen["predictions"]).predictions
        if table is not None:
            done.predictions += _add_predictions(model.name, lake, table, source, last, done)
    if found.outcomes is not None:
        fresh = batch if seen["outcomes"] < batch[0].sequence else None
        table = found.outcomes if fresh else _after(batch, seen["outcomes"]).outcomes
        marks |= _hours(lake.place(model.name, found.outcomes["wk_id"].combine_chunks()))
        if table is not None:
            done.outcomes += _add_outcomes(model.name, lake, table, source, last, done)
    if found.counters and seen["counters"] < last:
        lake.append(model.name, "counters", _counter_rows(found), source=source, sequence=last)
    done.windows += _mark(model, ledger, marks, lease)
    delete_through(path, last)


def _after(batch: Sequence[Flush], sequence: int) -> Harvest:
    return harvest((f.at_us, f.version, f.events) for f in batch if f.sequence > sequence)


def _add_predictions(model: str, lake: Any, rows: pa.Table, source: str, sequence: int, done: Drained) -> int:
    rows, dropped = _first_of_each(rows)
    days = pc.strftime(rows["wk_at"], format="%Y-%m-%d")
    rows = rows.append_column("wk_day", days)
    known = lake.known_ids(model, "predictions", rows["wk_id"].combine_chunks(), _and_eves(pc.unique(days)))
    if known:
        before = rows.num_rows
        rows = rows.filter(pc.invert(pc.is_in(rows["wk_id"], pa.array(sorted(known), pa.string()))))
        dropped += before - rows.num_rows
    done.duplicates += dropped
    # The places come first: an outcome may be looked up the moment the prediction is there.
    lake.note_places(
        model,
        rows["wk_id"].combine_chunks(),
        rows["wk_at"].combine_chunks(),
        source=source,
        sequence=sequence,
    )
    return int(lake.append(model, "predictions", rows, source=source, sequence=sequence))


def _add_outcomes(model: str, lake: Any, rows: pa.Table, source: str, sequence: int, done: Drained) -> int:
    rows = _last_of_each(rows)
    placed = lake.place(model, rows["wk_id"].combine_chunks())
    days = pc.fill_null(pc.strftime(placed, format="%Y-%m-%d"), UNPLACED)
    done.unplaced += pc.sum(pc.equal(days, UNPLACED)).as_py() or 0
    rows = _with_revisions(model, lake, rows, days, done)
    return int(lake.append(model, "outcomes", rows, source=source, sequence=sequence))


def _with_revisions(model: str, lake: Any, rows: pa.Table, days: pa.Array, done: Drained) -> pa.Table:
    ids = rows["wk_id"].combine_chunks()
    known = lake.known_ids(model, "outcomes", ids, pc.unique(days).to_pylist())
    revised = pc.is_in(ids, pa.array(sorted(known), pa.string()))
    done.revisions += pc.sum(revised).as_py() or 0
    return rows.append_column("wk_day", days).append_column("wk_revision", revised)


def _place_the_unplaced(
    model: WatchedModel, lake: Any, ledger: Ledger, lease: Lease | None, done: Drained
) -> None:
    """Outcomes that came before their prediction was known, and whose prediction is there now."""
    waiting = lake.take_unplaced(model.name)
    if waiting is None:
        return
    at = lake.place(model.name, waiting["wk_id"].combine_chunks())
    found = pc.is_valid(at)
    if not pc.any(found).as_py():
        return
    rows = _last_of_each(waiting.filter(found).drop_columns(["wk_day", "wk_revision"]))
    at = lake.place(model.name, rows["wk_id"].combine_chunks())
    rows = _with_revisions(model.name, lake, rows, pc.strftime(at, format="%Y-%m-%d"), done)
    sequence = lake.drained(model.name, "outcomes", UNPLACED) + 1
    lake.append(model.name, "outcomes", rows, source=UNPLACED, sequence=sequence)
    _mark(model, ledger, _hours(at), lease)
    lake.drop_unplaced(model.name, rows["wk_id"].to_pylist())


def _note_the_unplaced(model: str, lake: Any, ledger: Ledger, lease: Lease | None) -> None:
    """Keep how many outcomes meet no prediction, for `status`."""
    waiting = lake.waiting_outcomes(model)
    kept = Records(ledger.facts, WAITING).get(model) or WAITING.new(Waiting(model))
    if waiting != kept.value.outcomes:
        write(ledger.facts, [], [kept.to(Waiting(model, waiting))], lease=lease)


def _and_eves(days: pa.Array) -> list[str]:
    """These days and the one before each: a row without a time that is sent again after midnight is a repeat."""
    named = [date.fromisoformat(day) for day in days.to_pylist()]
    return sorted({d.isoformat() for day in named for d in (day, day - timedelta(days=1))})


def _first_of_each(rows: pa.Table) -> tuple[pa.Table, int]:
    if pc.count_distinct(rows["wk_id"]).as_py() == rows.num_rows:
        return rows, 0
    seen: set[str] = set()
    keep = [not (i in seen or seen.add(i)) for i in rows["wk_id"].to_pylist()]  # type: ignore[func-returns-value]
    return rows.filter(pa.array(keep)), rows.num_rows - sum(keep)


def _last_of_each(rows: pa.Table) -> pa.Table:
    if pc.count_distinct(rows["wk_id"]).as_py() == rows.num_rows:
        return rows
    last = {id: i for i, id in enumerate(rows.sort_by("wk_order")["wk_id"].to_pylist())}
    return rows.sort_by("wk_order").take(pa.array(sorted(last.values())))


def _counter_rows(found: Harvest) -> pa.Table:
    hours = sorted(found.counters)
    names = sorted({n for sums in found.counters.values() for n in sums})
    at = pa.array(hours, pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    columns = {n: pa.array([found.counters[h].get(n, 0) for h in hours], pa.int64()) for n in names}
    return pa.table({"wk_at": at, **columns, "wk_day": pc.strftime(at, format="%Y-%m-%d")})


def _hours(at: Any) -> set[datetime]:
    return set(pc.unique(pc.floor_temporal(pc.drop_null(at), unit="hour")).to_pylist())


def _mark(model: WatchedModel, ledger: Ledger, hours: Iterable[datetime], lease: Lease | None) -> int:
    """Mark the stored windows that these hours lie in (or, with windows shorter than an hour, that lie in them)."""
    windows: set[Window] = set()
    for hour in hours:
        start = floor_to(hour, model.cadence)
        while start < hour + HOUR:
            windows.add(Window(start, start + model.cadence))
            start += model.cadence
    keys = [WindowKey(model=model.name, window=w) for w in sorted(windows)]
    return ledger.windows.mark_dirty(keys, reason="rows came", lease=lease)
