"""Profiles merged by day and by month: a picture of a year of hours reads some dozens of them, not thousands.

A roll-up says what it was made of: its stamp holds that of its windows (`DayOfWindows.stamp`). Once one of them is
measured again the two differ, and the windows themselves are read until the upkeep has merged them anew. So a roll-up
may be late, and is never wrong. Only columns are rolled up, of all versions together and of each segment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from watchkeeper.domain.fact import Lease
from watchkeeper.domain.series import DayOfWindows
from watchkeeper.domain.watched import WatchedModel
from watchkeeper.domain.window import Window
from watchkeeper.errors import BadInput, WatchkeeperError
from watchkeeper.profiles.stored_window import (
    COLUMN,
    OLD_BINS,
    SERVICE,
    column_and_rate,
    known_edges,
    merged_column,
)
from watchkeeper.stats.states.codec import decode, encode
from watchkeeper.stats.states.edges import Edges
from watchkeeper.stats.states.profile import ColumnProfile

if TYPE_CHECKING:
    from watchkeeper.loop.watch.project import Project


DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
SETTLED = timedelta(hours=1)
"""A day that was measured more lately than this is likely to be measured again soon: late outcomes come in runs."""
MOST_PARTS = 50_000
"""Stored parts that one tick merges, of all models together: some seconds' work. The next tick goes on."""
MOST_WINDOWS = 9_000
"""Stored windows that one answer merges beside roll-ups: a year of hours."""
FULL = "all"

_Piece = tuple[datetime, str, bytes, int]
"""When a stored window or a roll-up starts, the part's name, its bytes, and how many stored windows it is of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnBetween:
    """One column over a span of time: the merge of its stored windows."""

    profile: ColumnProfile | None
    """None where nothing is stored."""
    unreadable: int = 0
    """Stored windows that could not be read or merged, such as those with the bins of an earlier baseline."""


@dataclass(frozen=True, slots=True)
class _Span:
    """One day or one month, and the days of it that have windows."""

    name: str
    days: tuple[DayOfWindows, ...]

    @property
    def made_of(self) -> str:
        """The windows as they are now: their length, and the sum of the marks that were cleared."""
        return f"{self.days[0].length / SECOND:g}s{sum(d.stamp for d in self.days)}"

    @property
    def windows(self) -> int:
        return sum(d.windows for d in self.days)

    @property
    def day_names(self) -> list[str]:
        return [d.start.date().isoformat() for d in self.days]

    def is_in(self, window: Window) -> bool:
        start = _start_of(self.name)
        end = start + DAY if _is_day(self.name) else (start + 31 * DAY).replace(day=1)
        return window.start <= start and end <= window.end

    def is_held(self, held: Mapping[str, str]) -> bool:
        """Whether its roll-up is made of the windows as they are now."""
        return held.get(self.name, "").partition("-")[0] == self.made_of


def _start_of(span: str) -> datetime:
    return datetime.fromisoformat(span if _is_day(span) else f"{span}-01").replace(tzinfo=UTC)


def _is_day(span: str) -> bool:
    return len(span) == len("2026-03-04")


def _days(states: Iterable[DayOfWindows]) -> list[_Span]:
    return [_Span(s.start.date().isoformat(), (s,)) for s in states]


def _months(states: Iterable[DayOfWindows]) -> list[_Span]:
    by_month: dict[str, list[DayOfWindows]] = {}
    for state in states:
        by_month.setdefault(state.start.date().isoformat()[:7], []).append(state)
    return [_Span(name, tuple(of)) for name, of in by_month.items()]


def _months_and_days(states: Sequence[DayOfWindows]) -> list[_Span]:
    return [*_months(states), *_days(states)]


def _none(_: Sequence[DayOfWindows]) -> list[_Span]:
    return []


# ---- reading ----------------------------------------------------------------------------------------


def column_between(
    project: Project, name: str, column: str, window: Window, *, segment: str = ""
) -> ColumnBetween:
    """One column of all stored windows within *window*, in which each captured row stands for 1/rate.

    Windows that were made coarse because of their age make all coarse.

    Raises
    ------
    BadInput
        more windows than `MOST_WINDOWS` would have to be merged one by one.
    """
    pieces = _pieces(project, name, column, window, segment=segment, most=MOST_WINDOWS)
    return _assembled(column, pieces, known_edges(project.baseline(name)))


def columns_by_time(
    project: Project, name: str, column: str, window: Window, length: timedelta, *, segment: str = ""
) -> list[tuple[datetime, ColumnProfile | None]]:
    """One column of the stored windows within *window*, merged in spans of *length*; each with its first start.

    Where *length* is at least a day, days that are merged already are taken whole.
    """
    pieces = _pieces(project, name, column, window, segment=segment, spans=_days if length >= DAY else _none)
    groups: dict[int, list[_Piece]] = {}
    for piece in pieces:
        groups.setdefault((piece[0] - window.start) // length, []).append(piece)
    known = known_edges(project.baseline(name))
    return [(group[0][0], _assembled(column, group, known).profile) for _, group in sorted(groups.items())]


def _pieces(
    project: Project,
    name: str,
    column: str,
    window: Window,
    *,
    segment: str,
    spans: Callable[[Sequence[DayOfWindows]], list[_Span]] = _months_and_days,
    most: int | None = None,
) -> list[_Piece]:
    """What is stored of a column within *window*, by time: roll-ups of *spans*, and the windows that no roll-up covers.

    Raises
    ------
    BadInput
        these windows are more than *most*.
    """
    model = project.model(name)
    store = project.lake.profiles(name)
    states = project.ledger.windows.by_day(name, length=model.cadence, start=window.start, end=window.end)
    held = store.rollups.spans()
    chosen = _chosen(spans(states), window, held)
    rolled = store.rollups.get(chosen, segment=segment, column=column)
    if chosen:
        now_held = store.rollups.spans()
        if any(now_held.get(s) != held[s] for s in chosen):  # an upkeep replaced some while they were read
            chosen, rolled = {}, rolled.slice(0, 0)
    broken = set(rolled.filter(pc.is_null(rolled["payload"]))["span"].to_pylist())
    covered = {day for name, span in chosen.items() if name not in broken for day in span.day_names}
    loose = [d for d in _stored_days(project, name, window) if d not in covered]
    count = sum(s.windows for s in states if s.start.date().isoformat() in loose)
    if most is not None and count > most:
        raise BadInput(
            f"{count:,} stored windows would have to be merged for this, one by one; at most {most:,} are.",
            "Choose a shorter window. Days and months that are over are merged in time, and count no more.",
        )
    pieces: list[_Piece] = [
        (_start_of(row["span"]), row["part"], row["payload"], chosen[row["span"]].windows)
        for row in rolled.to_pylist()
        if row["span"] not in broken
    ]
    if loose:
        stored = store.get(window.start, window.end, version="", segment=segment, column=column, days=loose)
        columns = (stored[n].to_pylist() for n in ("start", "part", "payload"))
        pieces += [(*piece, 1) for piece in zip(*columns)]
    return sorted(pieces, key=lambda p: p[0])


def _chosen(spans: Iterable[_Span], window: Window, held: Mapping[str, str]) -> dict[str, _Span]:
    """The roll-ups to read: of those that overlap the first."""
    chosen: dict[str, _Span] = {}
    covered: set[str] = set()
    for span in spans:
        if covered.isdisjoint(span.day_names) and span.is_held(held) and span.is_in(window):
            chosen[span.name] = span
            covered.update(span.day_names)
    return chosen


def _stored_days(project: Project, name: str, window: Window) -> list[str]:
    """The days within *window* of which anything is stored: nobody's window is so long that they would be many."""
    first, last = window.start.date(), (window.end - timedelta(microseconds=1)).date()
    return [d for d in project.lake.days(name, "profiles") if first.isoformat() <= d <= last.isoformat()]


def _assembled(column: str, pieces: Sequence[_Piece], known: Mapping[str, Edges]) -> ColumnBetween:
    by_rate: dict[float, ColumnProfile] = {}
    unreadable = 0
    for _, part, payload, windows in pieces:
        name, rate = column_and_rate(part)
        if name != column:
            continue  # a column whose name goes on where this one's ends
        try:
            found = decode(payload, known=known)
            by_rate[rate] = merged_column(by_rate[rate], found) if rate in by_rate else found
        except WatchkeeperError:
            unreadable += windows
    parts = [state if rate == 1 else state.scaled(1 / rate) for rate, state in sorted(by_rate.items())]
    return ColumnBetween(profile=reduce(merged_column, parts) if parts else None, unreadable=unreadable)


# ---- the upkeep -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RolledUp:
    """How many days and months were merged and how many were left for the next time; the parts that were read."""

    merged: int
    left: int
    parts: int


def roll_up(
    project: Project, model: WatchedModel, lease: Lease, *, most: int | None = MOST_PARTS
) -> RolledUp:
    """Merge the days and months that are over, settled, and not merged yet, the newest first.

    Once *most* stored parts have been read (None: no matter how many) what is left is left.
    """
    now = project.clock()
    states = project.ledger.windows.by_day(model.name, length=model.cadence)
    settled = [s for s in states if _is_settled(s, now)]
    rollups = project.lake.profiles(model.name).rollups
    held, work = rollups.spans(), _Work(project, model, lease, most)
    if model.cadence < DAY:
        for span in reversed(_days(settled)):
            work.do(span, held)
    settled_days = {s.start for s in settled}
    for span in reversed(_months(states)):
        if span.name >= now.astimezone(UTC).date().isoformat()[:7]:
            continue
        if all(d.start in settled_days for d in span.days) and (
            model.cadence == DAY or all(day.is_held(held) for day in _days(span.days))
        ):
            work.do(span, held)
    work.write()
    return RolledUp(merged=work.done, left=work.left, parts=work.read)


def _is_settled(state: DayOfWindows, now: datetime) -> bool:
    at = state.measured_at
    return state.start <= now - DAY and not state.dirty and at is not None and at <= now - SETTLED


class _Work:
    """Merges spans until enough parts have been read; writes them some at a time."""

    def __init__(self, project: Project, model: WatchedModel, lease: Lease, most: int | None) -> None:
        self.done = self.left = self.read = 0
        self._project, self._lease = project, lease
        self._store = project.lake.profiles(model.name)
        self._known = known_edges(project.baseline(model.name))
        self._cadence, self._most = model.cadence, most
        keep = model.retention.full_profiles
        old = None if keep is None else (project.clock() - keep).astimezone(UTC).date().isoformat()
        self._old_before = old or ""
        self._waiting: list[pa.Table] = []

    def do(self, span: _Span, held: dict[str, str]) -> None:
        """Merge *span*, unless that was done with the windows as they are and as coarse as it must be."""
        bins = OLD_BINS if span.day_names[0] < self._old_before else None
        stamp = f"{span.made_of}-{bins or FULL}"
        if held.get(span.name) == stamp:
            return
        if self._most is not None and self.read >= self._most:
            self.left += 1
            return
        if not _is_day(span.name) and self._cadence < DAY:
            self.write()  # a month is merged from its days
        self._waiting.append(self._merged(span, bins, stamp))
        held[span.name] = stamp
        self.done += 1
        if sum(t.nbytes for t in self._waiting) > 64 << 20 or len(self._waiting) >= 32:
            self.write()

    def write(self) -> None:
        """Write what was merged."""
        if self._waiting:
            self._lease = self._project.renewed(self._lease)
            self._store.rollups.replace(pa.concat_tables(self._waiting), token=self._lease.token)
            self._waiting = []

    def _merged(self, span: _Span, bins: int | None, stamp: str) -> pa.Table:
        """The rows of a roll-up, one segment after the other, so that few states are held at a time."""
        rows: list[dict[str, str | bytes | None]] = []
        for segment in self._segments(span):
            place = {"segment": segment, "span": span.name, "stamp": stamp}
            rows.append({**place, "part": COLUMN, "payload": None})  # says that the segment is there
            for part, state in self._states(span, segment).items():
                kept = state if state is None or bins is None else state.coarsen(bins)
                payload = None if kept is None else encode(kept, known=self._known)
                rows.append({**place, "part": part, "payload": payload})
        rows = rows or [{"segment": "", "part": COLUMN, "payload": None, "span": span.name, "stamp": stamp}]
        return pa.Table.from_pylist(rows, schema=_SCHEMA)

    def _states(self, span: _Span, segment: str) -> dict[str, ColumnProfile | None]:
        """Part -> the merge of it. None where that cannot be: then the windows have to be read."""
        states: dict[str, ColumnProfile | None] = {}
        for part, payload in self._parts(span, segment):
            self.read += 1
            try:
                found = None if payload is None else decode(payload, known=self._known)
                if part in states and found is not None:
                    before = states[part]
                    found = None if before is None else merged_column(before, found)
            except WatchkeeperError:
                found = None
            states[part] = found
        return states

    def _is_of_windows(self, span: _Span) -> bool:
        return _is_day(span.name) or self._cadence == DAY

    def _segments(self, span: _Span) -> list[str]:
        if self._is_of_windows(span):
            stored = self._store.get(
                *self._from_to(span), version="", segment=None, parts=[SERVICE], days=span.day_names
            )
        else:
            stored = self._store.rollups.get(span.day_names, column="")
        return sorted(set(stored["segment"].to_pylist()))

    def _parts(self, span: _Span, segment: str) -> Iterable[tuple[str, bytes | None]]:
        if self._is_of_windows(span):
            stored = self._store.get(*self._from_to(span), version="", segment=segment, days=span.day_names)
            length = pc.subtract(stored["end"], stored["start"])
            stored = stored.filter(pc.equal(length, pa.scalar(self._cadence, pa.duration("us"))))
        else:
            stored = self._store.rollups.get(span.day_names, segment=segment)
        stored = stored.filter(pc.starts_with(stored["part"], COLUMN))
        stored = stored.filter(pc.not_equal(stored["part"], COLUMN))
        yield from zip(stored["part"].to_pylist(), stored["payload"].to_pylist())

    @staticmethod
    def _from_to(span: _Span) -> tuple[datetime, datetime]:
        return span.days[0].start, span.days[-1].start + DAY


_SCHEMA = pa.schema(
    [(n, pa.string()) for n in ("segment", "part")]
    + [("payload", pa.binary())]
    + [(n, pa.string()) for n in ("span", "stamp")]
)
