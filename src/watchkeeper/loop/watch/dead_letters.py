"""Dead letters in the hands of somebody: tried again after a repair, dropped, or forgotten with the other rows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.msgpack import encode

from watchkeeper.capture.batch_rows import without_ids
from watchkeeper.capture.events import (
    Batch,
    Event,
    Outcome,
    Prediction,
    Unreadable,
    decode_events,
    join_events,
)
from watchkeeper.capture.journal import Journal, journal_folder
from watchkeeper.capture.slots import Slot
from watchkeeper.errors import Conflict
from watchkeeper.loop.watch.lease import LEASE, LEASE_FOR
from watchkeeper.loop.watch.quarantine import note_quarantine
from watchkeeper.ports.origin import Origin

if TYPE_CHECKING:
    from watchkeeper.domain.fact import Lease
    from watchkeeper.loop.watch.project import Project
    from watchkeeper.ports.quarantine import DeadLetter

FORGOTTEN = "forget"
"""The source of what is left of a batch of which rows were forgotten."""


def replay(project: Project, name: str, *, drop: bool = False) -> int:
    """Put the dead letters of a model into a journal again, so that the next tick tries them; how many rows.

    Those that are no events stay. *drop* removes all instead, and nothing is tried.

    Raises
    ------
    Conflict
        another process ticks just now.
    """
    project.model(name)
    lease = project.lease(LEASE, LEASE_FOR)
    if lease is None:
        raise Conflict("Another process ticks just now, and both would write.", "Try again in a minute.")
    try:
        letters = project.lake.dead_letters(name)
        again = letters if drop else [x for x in letters if _is_event(x)]
        if not drop:
            _journal(project.data, name, again)
        project.lake.drop_letters(name, [x.key for x in again], token=lease.token)
        note_quarantine(project.ledger.facts, project.lake, name, lease=lease)
    finally:
        project.ledger.leases.release(lease)
    return sum(x.rows for x in again)


def forget_letters(project: Project, name: str, ids: Collection[str], lease: Lease) -> tuple[int, list[str]]:
    """Remove the rows of *ids* from the dead letters; how many, and which letters could not be searched."""
    wanted, removed, problems = frozenset(ids), 0, list[str]()
    gone: list[DeadLetter] = []
    kept: list[DeadLetter] = []
    for letter in project.lake.dead_letters(name):
        event = _event(letter)
        if isinstance(event, (Prediction, Outcome)) and event.id in wanted:
            gone.append(letter)
            removed += 1
        elif isinstance(event, Batch):
            try:
                left = without_ids(event, wanted)
            except (ValueError, KeyError):
                problems.append(f"A batch in quarantine cannot be searched: {letter.reason}")
                continue
            if left is event:
                continue
            gone.append(letter)
            removed += event.rows - (0 if left is None else left.rows)
            if left is not None:
                kept.append(replace(letter, source=FORGOTTEN, event=encode(left), rows=left.rows))
    if kept:
        there = project.lake.drained(name, "dead_letters", FORGOTTEN).sequence
        kept = [replace(x, sequence=there + n) for n, x in enumerate(kept, 1)]
        origin = Origin(source=FORGOTTEN, first=there + 1, last=there + len(kept), token=lease.token)
        project.lake.set_aside(name, kept, origin=origin)
    project.lake.drop_letters(name, [x.key for x in gone], token=lease.token)
    if gone:
        note_quarantine(project.ledger.facts, project.lake, name, lease=lease)
    return removed, problems


def _event(letter: DeadLetter) -> Event:
    events = decode_events(join_events([letter.event]))
    return events[0] if len(events) == 1 else Unreadable(letter.event, "it is no event")


def _is_event(letter: DeadLetter) -> bool:
    return not isinstance(_event(letter), Unreadable)


def _journal(data: Path, name: str, letters: Sequence[DeadLetter]) -> None:
    if not letters:
        return
    slot = Slot.lease(journal_folder(data, name))
    try:
        with Journal(slot.journal, model=name) as journal:
            for letter in letters:
                at_us = int(letter.at.timestamp() * 1e6)
                journal.append([letter.event], version=letter.version, at_us=at_us, rows=letter.rows)
    finally:
        slot.release()
