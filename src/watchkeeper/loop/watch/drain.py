"""From journals to the lake: every acknowledged event exactly once, whatever crashes and whoever slept.

The order of steps is what makes it safe. (1) Rows are appended under the journal's name and sequences, which the
lake refuses the second time, and under the lease's token, which it refuses once another holder has written. (2) The
windows that they belong to are marked. (3) The journal forgets the flushes, which are on the disk in the lake now.
A crash between any two steps repeats the earlier ones, and the repeat changes nothing.

Duplicates, that is ids which a client sent again, are dropped here: a prediction keeps its first row; an outcome
that differs in time is kept as a revision, and the latest counts.

What cannot be stored is set aside whole in the quarantine (`watchkeeper.ports.quarantine`), event by event, before
anything else of its batch is stored, and the rest goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from watchkeeper.capture.batch_rows import table_in, with_ids
from watchkeeper.capture.events import Batch, Event, Outcome, Prediction, Unreadable
from watchkeeper.capture.journal import (
    CorruptJournal,
    Flush,
    delete_through,
    journal_identity,
    journals,
    read_flushes,
)
from watchkeeper.capture.slots import set_aside_if_free
from watchkeeper.domain.series import WindowKey
from watchkeeper.domain.watched import WatchedModel
from watchkeeper.domain.window import Window, floor_to
from watchkeeper.errors import Conflict, LeaseLost, StoreUnavailable, WatchkeeperError
from watchkeeper.loop.records.records import Kind, Records, write
from watchkeeper.loop.watch.event_tables import Harvest, cells_of, harvest
from watchkeeper.loop.watch.quarantine import note_quarantine
from watchkeeper.ports.lake import Origin
from watchkeeper.ports.quarantine import DeadLetter

if TYPE_CHECKING:
    from watchkeeper.domain.fact import Lease
    from watchkeeper.ports.lake import Lake
    from watchkeeper.ports.ledger import Ledger


_log = logging.getLogger("watchkeeper.drain")

BATCH_ROWS = 200_000
CELLS_A_ROW = 50
"""A batch of wider rows than this has fewer of them."""
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
    quarantined: int = 0
    """Rows that were set aside."""
    problems: list[str] = field(default_factory=list)

    def add(self, other: Drained) -> None:
        """Count what another drain of the same model did."""
        for name in (
            "predictions",
            "outcomes",
            "duplicates",
            "revisions",
            "unplaced",
            "windows",
            "quarantined",
        ):
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
        except Exception as bug:  # one journal's trouble must not hold up the others, also when it is ours
            _log.exception("draining %s failed", path)
            moving.done.problems.append(f"{path.name}: {type(bug).__name__}: {bug}")
    if moving.done.predictions:
        moving.unplaced()
    if moving.done.predictions or moving.done.outcomes:
        moving.note_the_unplaced()
    if moving.done.quarantined:
        note_quarantine(ledger.facts, lake, model.name, lease=moving.lease)
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
        self._late: list[DeadLetter] = []
        """What tables refused of the batch that is moved now; the counters of its hours come last."""

    def journal(self, path: Path) -> None:
        """Move what can be read of one journal; a damaged one is set aside then, if nobody writes to it."""
        trouble: WatchkeeperError | None = None
        batch: list[Flush] = []
        size = 0
        try:
            source = journal_identity(path)
            for flush in read_flushes(path):
                batch.append(flush)
                size += max(flush.rows, cells_of(flush) // CELLS_A_ROW)
                if size >= BATCH_ROWS:
                    self._move(source, path, batch)
                    batch, size = [], 0
        except CorruptJournal as damaged:
            trouble = damaged
        if batch:
            self._move(source, path, batch)
        if trouble is not None:
            aside = set_aside_if_free(path)
            said = "" if aside is None else f" It was set aside as {aside.name}."
            raise StoreUnavailable(trouble.what + said) from trouble

    def _move(self, source: str, path: Path, batch: Sequence[Flush]) -> None:
        # What a crash left behind is marked again, so its flushes are read again even if both tables have them.
        found = harvest(batch)
        letters = [_letter(source, r.flush, r.place, r.event, r.reason) for r in found.refused]
        self._set_aside(source, batch, letters)
        marks: set[datetime] = set()
        if found.predictions is not None:
            marks |= _hours(found.predictions["wk_at"])
            self._append("predictions", source, batch, found, self._predictions)
        if found.outcomes is not None:
            marks |= _hours(self.lake.place(self.name, found.outcomes["wk_id"].combine_chunks()))
            self._append("outcomes", source, batch, found, self._outcomes)
        for letter in self._late:
            hour = int(letter.at.timestamp()) // 3600 * 3_600_000_000
            sums = found.counters.setdefault(hour, {})
            sums["quarantined"] = sums.get("quarantined", 0) + letter.rows
        self._late = []
        if found.counters:
            self._append("counters", source, batch, found, self._counters)
        self._mark(marks)
        try:
            delete_through(path, batch[-1].sequence)
        except CorruptJournal:
            return  # it is in the lake; the journal is set aside

    def _set_aside(self, source: str, batch: Sequence[Flush], letters: Sequence[DeadLetter]) -> None:
        if not letters:
            return
        there = self.lake.drained(self.name, "dead_letters", source).sequence
        new = [x for x in letters if x.sequence > there]
        if not new:
            return
        origin = Origin(source=source, first=there + 1, last=batch[-1].sequence, token=self.lease.token)
        if self.lake.set_aside(self.name, new, origin=origin):
            rows = sum(x.rows for x in new)
            self.done.quarantined += rows
            self.done.problems.append(
                f"{rows:,} rows cannot be stored and are in quarantine: {new[0].reason}"
            )

    def _without_refused(
        self, table: str, source: str, batch: Sequence[Flush], rows: pa.Table, fault: BaseException
    ) -> pa.Table:
        """*rows* without those that *table* can never hold, which are set aside; raises *fault* if there are none."""
        refused: dict[str, str] = {}
        for part, why in self._refused(table, rows):
            refused |= dict.fromkeys(part["wk_id"].to_pylist(), why)
        if not refused:
            raise fault
        letters = []
        for flush in batch:
            for place, event in enumerate(flush.events):
                if (held := _refused_of(event, table, frozenset(refused))) is not None:
                    why = refused[next(iter(_ids_of(held) & refused.keys()))]
                    letters.append(_letter(f"{source}/{table}", flush, place, held, why))
        self._set_aside(f"{source}/{table}", batch, letters)
        self._late += letters
        return rows.filter(pc.invert(pc.is_in(rows["wk_id"], pa.array(sorted(refused), pa.string()))))

    def _refused(self, table: str, rows: pa.Table) -> Iterator[tuple[pa.Table, str]]:
        why = self.lake.refusal(self.name, table, rows)
        if why is None:
            return
        if rows.num_rows == 1:
            yield rows, why
            return
        half = rows.num_rows // 2
        yield from self._refused(table, rows.slice(0, half))
        yield from self._refused(table, rows.slice(half))

    def _store(self, table: str, batch: Sequence[Flush], rows: pa.Table, origin: Origin) -> int:
        """Append *rows*; where the table can never hold some of them, the others."""
        try:
            return self.lake.append(self.name, table, rows, origin=origin)
        except Conflict:
            raise
        except Exception as fault:
            kept = self._without_refused(table, origin.source, batch, rows, fault)
        return self.lake.append(self.name, table, kept, origin=origin)

    def _append(
        self,
        table: str,
        source: str,
        batch: Sequence[Flush],
        found: Harvest,
        add: Callable[[Harvest, Sequence[Flush], Origin], None],
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
                return add(fresh, batch, origin)
            except LeaseLost:
                raise
            except Conflict:
                if not attempts_left:
                    raise

    def _predictions(self, found: Harvest, batch: Sequence[Flush], origin: Origin) -> None:
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
        self.done.predictions += self._store("predictions", batch, rows, origin)
        self.done.duplicates += dropped

    def _outcomes(self, found: Harvest, batch: Sequence[Flush], origin: Origin) -> None:
        if found.outcomes is None:
            return
        rows = _last_of_each(found.outcomes)
        placed = self.lake.place(self.name, rows["wk_id"].combine_chunks())
        days = pc.fill_null(pc.strftime(placed, format="%Y-%m-%d"), UNPLACED)
        rows, revised = self._with_revisions(rows, days)
        self.done.outcomes += self._store("outcomes", batch, rows, origin)
        self.done.unplaced += pc.sum(pc.equal(days, UNPLACED)).as_py() or 0
        self.done.revisions += revised

    def _counters(self, found: Harvest, batch: Sequence[Flush], origin: Origin) -> None:
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
    return harvest(f for f in batch if f.sequence > sequence)


def _letter(source: str, flush: Flush, place: int, event: Event, reason: str) -> DeadLetter:
    return DeadLetter(
        source=source,
        sequence=flush.sequence,
        place=place,
        at=datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=max(0, flush.at_us)),
        version=flush.version,
        rows=event.rows if isinstance(event, Batch) else 1,
        reason=reason[:1000],
        event=event.raw if isinstance(event, Unreadable) else msgspec.msgpack.encode(event),
    )


def _refused_of(event: Event, table: str, ids: frozenset[str]) -> Event | None:
    """What of *event* belongs to these ids of *table*."""
    if isinstance(event, Batch):
        return with_ids(event, ids) if event.what == table else None
    kind = {"predictions": Prediction, "outcomes": Outcome}[table]
    return event if isinstance(event, kind) and event.id in ids else None


def _ids_of(event: Event) -> set[str]:
    if isinstance(event, Batch):
        return {str(id) for id in table_in(event).column(event.roles["id"]).to_pylist()}
    return {event.id} if isinstance(event, (Prediction, Outcome)) else set()


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
