"""From journals to the lake: every acknowledged event exactly once, whatever crashes and whoever slept.

The order of steps is what makes it safe. (1) Rows are appended under the journal's name and sequences, which the
lake refuses the second time, and under the lease's token, which it refuses once another holder has written. (2) The
windows that they belong to are marked. (3) The journal forgets the flushes, which are on the disk in the lake now.
A crash between any two steps repeats the earlier ones, and the repeat changes nothing.

Duplicates, that is ids which a client sent again, are dropped here: a prediction keeps its first row; an outcome
that differs in time is kept as a revision, and the latest counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from watchkeeper.capture.journal import Flush, delete_through, journal_identity, journals, read_flushes
from watchkeeper.domain.series import WindowKey
from watchkeeper.domain.watched import WatchedModel
from watchkeeper.domain.window import Window, floor_to
from watchkeeper.errors import Conflict, LeaseLost, WatchkeeperError
from watchkeeper.loop.records.records import Kind, Records, write
from watchkeeper.loop.watch.event_tables import Harvest, harvest
from watchkeeper.ports.lake import Origin

if TYPE_CHECKING:
    from watchkeeper.domain.fact import Lease
    from watchkeeper.ports.lake import Lake
    from watchkeeper.ports.ledger import Ledger


BATCH_ROWS = 200_000
UNPLACED = "unplaced"
HOUR = timedelta(hours=1)
TRIES = 3
"""How often a batch is begun again when another writer came between; the next tick tries again after that."""


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
    lease: Lease,
    renew: Callable[[Lease], Lease] | None = None,
) -> Drained:
    """Move everything that is committed in the journals of *model* under *data* into the lake.

    One broken journal does not hold up the others: it is reported in ``problems`` and left as it is. *renew* is
    called before each batch, so that a drain may take longer than its lease.

    Raises
    ------
    LeaseLost
        another process holds the lease now; it goes on where this one stopped.
    """
    moving = _Moving(model, lake, ledger, lease, renew or (lambda held: held))
    for path in journals(data, model.name):
        try:
            moving.journal(path)
        except LeaseLost:
            raise
        except WatchkeeperError as problem:
            moving.done.problems.append(f"{path.name}: {problem.what}")
    if moving.done.predictions:
        moving.unplaced()
    if moving.done.predictions or moving.done.outcomes:
        moving.note_the_unplaced()
    return moving.done


class _Moving:
    """One drain of one model."""

    def __init__(
        self,
        model: WatchedModel,
        lake: Lake,
        ledger: Ledger,
        lease: Lease,
        renew: Callable[[Lease], Lease],
    ) -> None:
        self.model, self.lake, self.ledger, self.lease, self._renew = model, lake, ledger, lease, renew
        self.name, self.done = model.name, Drained()

    def journal(self, path: Path) -> None:
        source = journal_identity(path)
        batch: list[Flush] = []
        rows = 0
        for flush in read_flushes(path):
            batch.append(flush)
            rows += flush.rows
            if rows >= BATCH_ROWS:
                self._move(source, path, batch)
                batch, rows = [], 0
        if batch:
            self._move(source, path, batch)

    def _move(self, source: str, path: Path, batch: Sequence[Flush]) -> None:
        # What a crash left behind is marked again, so its flushes are read again even if both tables have them.
        found = harvest((f.at_us, f.version, f.events) for f in batch)
        self.done.problems += found.unreadable
        marks: set[datetime] = set()
        if found.predictions is not None:
            marks |= _hours(found.predictions["wk_at"])
            self._append("predictions", source, batch, found, self._predictions)
        if found.outcomes is not None:
            marks |= _hours(self.lake.place(self.name, found.outcomes["wk_id"].combine_chunks()))
            self._append("outcomes", source, batch, found, self._outcomes)
        if found.counters:
            self._append("counters", source, batch, found, self._counters)
        self._mark(marks)
        delete_through(path, batch[-1].sequence)

    def _append(
        self,
        table: str,
        source: str,
        batch: Sequence[Flush],
        found: Harvest,
        add: Callable[[Harvest, Origin], None],
    ) -> None:
        """Let *add* append what *table* does not have of *batch*; again, if another writer came between."""
        last = batch[-1].sequence
        for attempts_left in reversed(range(TRIES)):
            self.lease = self._renew(self.lease)
            there = self.lake.drained(self.name, table, source)
            if there.sequence >= last:
                return
            fresh = found if there.sequence < batch[0].sequence else _after(batch, there.sequence)
            origin = Origin(
                source=source,
                first=there.sequence + 1,
                last=last,
                token=self.lease.token,
                seen=there.version,
            )
            try:
                return add(fresh, origin)
            except LeaseLost:
                raise
            except Conflict:
                if not attempts_left:
                    raise

    def _predictions(self, found: Harvest, origin: Origin) -> None:
        if found.predictions is None:
            return
        rows, dropped = _first_of_each(found.predictions)
        days = pc.strftime(rows["wk_at"], format="%Y-%m-%d")
        rows = rows.append_column("wk_day", days)
        ids = rows["wk_id"].combine_chunks()
        known = self.lake.known_ids(self.name, "predictions", ids, _and_eves(pc.unique(days)))
        if known:
            before = rows.num_rows
            rows = rows.filter(pc.invert(pc.is_in(rows["wk_id"], pa.array(sorted(known), pa.string()))))
            dropped += before - rows.num_rows
        # The places come first: an outcome may be looked up the moment the prediction is there.
        noted = self.lake.drained(self.name, "places", origin.source).sequence
        self.lake.note_places(
            self.name,
            rows["wk_id"].combine_chunks(),
            rows["wk_at"].combine_chunks(),
            origin=replace(origin, first=noted + 1, seen=None),
        )
        self.done.predictions += self.lake.append(self.name, "predictions", rows, origin=origin)
        self.done.duplicates += dropped

    def _outcomes(self, found: Harvest, origin: Origin) -> None:
        if found.outcomes is None:
            return
        rows = _last_of_each(found.outcomes)
        placed = self.lake.place(self.name, rows["wk_id"].combine_chunks())
        days = pc.fill_null(pc.strftime(placed, format="%Y-%m-%d"), UNPLACED)
        rows, revised = self._with_revisions(rows, days)
        self.done.outcomes += self.lake.append(self.name, "outcomes", rows, origin=origin)
        self.done.unplaced += pc.sum(pc.equal(days, UNPLACED)).as_py() or 0
        self.done.revisions += revised

    def _counters(self, found: Harvest, origin: Origin) -> None:
        if found.counters:
            self.lake.append(self.name, "counters", _counter_rows(found), origin=replace(origin, seen=None))

    def _with_revisions(self, rows: pa.Table, days: pa.Array) -> tuple[pa.Table, int]:
        ids = rows["wk_id"].combine_chunks()
        known = self.lake.known_ids(self.name, "outcomes", ids, pc.unique(days).to_pylist())
        revised = pc.is_in(ids, pa.array(sorted(known), pa.string()))
        rows = rows.append_column("wk_day", days).append_column("wk_revision", revised)
        return rows, pc.sum(revised).as_py() or 0

    def unplaced(self) -> None:
        """Outcomes that came before their prediction was known, and whose prediction is there now."""
        there = self.lake.drained(self.name, "outcomes", UNPLACED)
        waiting = self.lake.take_unplaced(self.name)
        if waiting is None:
            return
        at = self.lake.place(self.name, waiting["wk_id"].combine_chunks())
        found = pc.is_valid(at)
        if not pc.any(found).as_py():
            return
        rows = _last_of_each(waiting.filter(found).drop_columns(["wk_day", "wk_revision"]))
        at = self.lake.place(self.name, rows["wk_id"].combine_chunks())
        rows, revised = self._with_revisions(rows, pc.strftime(at, format="%Y-%m-%d"))
        self.done.revisions += revised
        self.lease = self._renew(self.lease)
        next_one = there.sequence + 1
        origin = Origin(
            source=UNPLACED, first=next_one, last=next_one, token=self.lease.token, seen=there.version
        )
        self.lake.append(self.name, "outcomes", rows, origin=origin)
        self._mark(_hours(at))
        self.lake.drop_unplaced(self.name, rows["wk_id"].to_pylist(), token=self.lease.token)

    def note_the_unplaced(self) -> None:
        """Keep how many outcomes meet no prediction, for `status`."""
        waiting = self.lake.waiting_outcomes(self.name)
        kept = Records(self.ledger.facts, WAITING).get(self.name) or WAITING.new(Waiting(self.name))
        if waiting != kept.value.outcomes:
            write(self.ledger.facts, [], [kept.to(Waiting(self.name, waiting))], lease=self.lease)

    def _mark(self, hours: Iterable[datetime]) -> None:
        """Mark the stored windows that these hours lie in (or, with windows shorter than an hour, that lie in them)."""
        windows: set[Window] = set()
        for hour in hours:
            start = floor_to(hour, self.model.cadence)
            while start < hour + HOUR:
                windows.add(Window(start, start + self.model.cadence))
                start += self.model.cadence
        keys = [WindowKey(model=self.name, window=w) for w in sorted(windows)]
        self.done.windows += self.ledger.windows.mark_dirty(keys, reason="rows came", lease=self.lease)


def _after(batch: Sequence[Flush], sequence: int) -> Harvest:
    return harvest((f.at_us, f.version, f.events) for f in batch if f.sequence > sequence)


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
