"""The bounded buffer between the caller and the journal, and the thread that empties it.

The caller only ever appends bytes to a list. Everything that can be slow or can fail happens in the flusher's
thread: leasing a slot, opening the journal, compressing, committing. What could not be committed is kept and
tried again with a growing pause; when the buffer is full, new events are dropped and counted.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from watchkeeper.capture.journal import Journal, is_corrupt, journal_folder, set_aside
from watchkeeper.capture.slots import Slot

_log = logging.getLogger("watchkeeper.capture")
_encode = msgspec.msgpack.encode

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 15.0
_FORK_PATIENCE_S = 0.25
_EXIT_PATIENCE_S = 5.0

_COUNTED = ("recorded", "dropped", "sampled_out", "unencodable", "oversized", "errors", "failed_flushes")
"""The fields of `Counters`, after its times and in its order."""

_open_boxes: weakref.WeakSet[Outbox] = weakref.WeakSet()


class _Parcel:
    """Events that are committed together, the counts that belong to them, and a place to wait for it.

    It knows how much more it may take, so that the caller's path has two comparisons and no sums.
    """

    __slots__ = (
        "_done", "_lock", "committed", "counts", "events", "extra_rows", "room_bytes", "room_events",
        "since_us", "size_bytes",
    )  # fmt: skip

    def __init__(self, since_us: int) -> None:
        self.events: list[bytes] = []
        self.size_bytes = 0
        self.extra_rows = 0
        """Rows beyond one an event: a batch of 1,000 rows is one event and 999 extra rows."""
        self.room_events = self.room_bytes = 0
        self.counts = dict.fromkeys(_COUNTED, 0)
        self.since_us = since_us
        self.committed = False
        self._done: threading.Event | None = None
        self._lock = threading.Lock()

    @property
    def rows(self) -> int:
        return len(self.events) + self.extra_rows

    def wait(self, timeout_s: float) -> bool:
        with self._lock:
            if self.committed:
                return True
            if self._done is None:
                self._done = threading.Event()
            done = self._done
        return done.wait(timeout_s)

    def mark_committed(self) -> None:
        with self._lock:
            self.committed = True
            if self._done is not None:
                self._done.set()

    @property
    def is_empty(self) -> bool:
        return not self.events and not any(self.counts.values())


class Outbox:
    """Takes encoded events from any thread and brings them into this process's journal.

    `totals` counts rows: a batch of 1,000 rows counts 1,000. The bounds count entries and bytes.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        model: str,
        version: str,
        flush_interval_s: float,
        most_events: int,
        most_bytes: int,
        clock: Callable[[], float] = time.time,
        pack: bool = True,
    ) -> None:
        self._folder = journal_folder(Path(path), model)
        self._model, self._version, self._pack = model, version, pack
        self._interval_s, self._clock = flush_interval_s, clock
        self._most_events, self._most_bytes = most_events, most_bytes
        self._many = max(1, most_events // 2)
        self._closed = False
        self._born_anew()
        _open_boxes.add(self)

    def _born_anew(self) -> None:
        """The state of a process that has written nothing yet: at the start, and in a forked child."""
        # Reentrant, because a signal handler or a __del__ may record while its own thread is in here.
        self._lock = threading.RLock()
        self._writing = threading.RLock()
        self._rouse, self._hurry = threading.Event(), threading.Event()
        self._asleep = True
        self._thread: threading.Thread | None = None
        self._slot: Slot | None = None
        self._journal: Journal | None = None
        self._sequence = 0
        self._doubtful: tuple[_Parcel, ...] = ()
        self._unwritten: list[_Parcel] = []
        self._current = self._new_parcel()
        self._totals = dict.fromkeys((*_COUNTED, "flushed", "bytes"), 0)
        self._last_error: str | None = None
        self._failures = 0

    def _new_parcel(self) -> _Parcel:
        parcel = _Parcel(_micros(self._clock))
        self._make_room(parcel)
        return parcel

    def _make_room(self, parcel: _Parcel) -> None:
        """Set what *parcel* may take, given what waits before it."""
        if self._closed:
            parcel.room_events = parcel.room_bytes = 0
        else:
            parcel.room_events = self._most_events - sum(len(p.events) for p in self._unwritten)
            parcel.room_bytes = self._most_bytes - sum(p.size_bytes for p in self._unwritten)

    # The caller's side.

    def put(self, event: bytes) -> _Parcel | None:
        """Take one encoded event; return what it will be committed with, or None when it had to be dropped."""
        with self._lock:
            parcel = self._current
            events = parcel.events
            size = parcel.size_bytes + len(event)
            if len(events) < parcel.room_events and size <= parcel.room_bytes:
                events.append(event)
                parcel.size_bytes = size
                taken: _Parcel | None = parcel
                if len(events) == self._many:
                    self._hurry.set()
            else:
                parcel.counts["dropped"] += 1
                taken = None
        if self._asleep:
            self._wake()
        return taken

    def put_batch(self, event: bytes, rows: int) -> _Parcel | None:
        """As `put`, for an event that holds *rows* rows."""
        with self._lock:
            parcel = self.put(event)
            if parcel is not None:
                parcel.extra_rows += rows - 1
            else:
                self._current.counts["dropped"] += rows - 1
        return parcel

    def count(self, name: str, rows: int = 1) -> None:
        """Count something that happened to *rows* which will not be in the journal themselves."""
        with self._lock:
            self._current.counts[name] += rows
        if self._asleep:
            self._wake()

    def wait(self, parcel: _Parcel, timeout_s: float) -> bool:
        """Wait until *parcel* is on the disk; False when that took too long."""
        self._hurry.set()
        return parcel.wait(timeout_s)

    def note(self, trouble: BaseException) -> None:
        """Keep *trouble* to be told by `totals`; the first of a kind is also logged."""
        text = f"{type(trouble).__name__}: {trouble}"
        if self._last_error is None:
            _log.warning("%s: an event could not be recorded: %s", self._model, text)
        self._last_error = text

    def totals(self) -> dict[str, Any]:
        """Everything counted in this process so far."""
        with self._lock:
            totals: dict[str, Any] = dict(self._totals)
            for parcel in (*self._unwritten, self._current):
                for name, number in parcel.counts.items():
                    totals[name] += number
                totals["recorded"] += parcel.rows
            totals["buffered"] = self._held
            totals["last_error"] = self._last_error
        return totals

    @property
    def _held(self) -> int:
        return sum(len(parcel.events) for parcel in (*self._unwritten, self._current))

    # The flusher's side.

    def flush(self, timeout_s: float | None = None) -> bool:
        """Commit what is held now, in the calling thread; True when nothing is left unwritten."""
        if not self._writing.acquire(timeout=-1 if timeout_s is None else timeout_s):
            return False
        try:
            return self._write()
        finally:
            self._writing.release()

    def close(self, timeout_s: float = _EXIT_PATIENCE_S) -> bool:
        """Refuse further events, commit the rest and give the slot back; False when something was lost."""
        with self._lock:
            first, self._closed = not self._closed, True
            self._make_room(self._current)
        self._rouse.set()
        self._hurry.set()
        thread = self._thread
        complete = self.flush(timeout_s)
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_s)
        if first and not complete:
            _log.error(
                "%s: %d recorded events were lost at the end of process %d: %s",
                self._model, self._held, os.getpid(), self._last_error,
            )  # fmt: skip
        if self._writing.acquire(timeout=timeout_s):
            try:
                self._leave_journal()
                if self._slot is not None:
                    self._slot.release()
                    self._slot = None
            finally:
                self._writing.release()
        _open_boxes.discard(self)
        return complete

    def retire(self) -> None:
        """As `close`, but in the flusher's thread: the recorder was garbage-collected."""
        self._closed = True
        self._asleep = False
        self._rouse.set()
        self._hurry.set()

    def _wake(self) -> None:
        with self._lock:
            if not self._asleep:
                return
            self._asleep = False
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="watchkeeper-flush", daemon=True)
                try:
                    self._thread.start()
                except RuntimeError:  # the interpreter is ending; what is held is flushed by atexit
                    self._thread = None
                    self._asleep = True
                    return
                _flush_at_end_of_child(self)
            self._rouse.set()

    def _run(self) -> None:
        me = threading.current_thread()
        pause_s = 0.0
        try:
            while self._thread is me:
                self._rouse.wait()
                if not self._closed:
                    self._hurry.wait(self._interval_s)
                self._hurry.clear()
                complete = self.flush()
                if self._closed:
                    self.close()
                    return
                if complete:
                    pause_s = 0.0
                else:
                    pause_s = min(_LONGEST_PAUSE_S, max(_FIRST_PAUSE_S, pause_s * 2))
                    self._pause(pause_s)
        finally:
            if self._thread is me:  # whatever ended it, the next event starts another
                self._thread, self._asleep = None, True

    def _pause(self, pause_s: float) -> None:
        end = time.monotonic() + pause_s
        while not self._closed and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 0.2))

    def _write(self) -> bool:
        with self._lock:
            if self._current.is_empty:
                if not self._unwritten:
                    self._rouse.clear()
                    self._asleep = True
                    return True
            else:
                self._unwritten.append(self._current)
                self._current = self._new_parcel()
        try:
            if self._doubtful:
                self._settle_doubt()
            parcels = tuple(self._unwritten)
            if parcels:
                self._commit(parcels)
                self._committed(parcels)
        except Exception as trouble:
            self._failed(trouble)
            return False
        return True

    def _settle_doubt(self) -> None:
        """An error during a commit does not tell whether it happened; nobody else writes here, so look."""
        journal = self._journal or self._open_journal()
        found = journal.last_sequence()
        doubtful, self._doubtful = self._doubtful, ()
        if found > self._sequence:
            self._sequence = found
            self._committed(doubtful)

    def _commit(self, parcels: tuple[_Parcel, ...]) -> None:
        counts = dict.fromkeys(_COUNTED, 0)
        for parcel in parcels:
            for name, number in parcel.counts.items():
                counts[name] += number
        rows = counts["recorded"] = sum(parcel.rows for parcel in parcels)
        now = _micros(self._clock)
        events = [_encode(("c", now, parcels[0].since_us, *(counts[name] for name in _COUNTED)))]
        for parcel in parcels:
            events += parcel.events
        journal = self._journal or self._open_journal()
        self._doubtful = parcels
        self._sequence = journal.append(events, version=self._version, at_us=now, rows=rows, pack=self._pack)
        self._doubtful = ()

    def _open_journal(self) -> Journal:
        if self._slot is None:
            self._slot = Slot.lease(self._folder)
            self._journal = Journal(self._slot.journal, model=self._model)
            self._sequence = self._journal.last_sequence()
        else:
            self._journal = Journal(self._slot.journal, model=self._model)
        return self._journal

    def _leave_journal(self) -> None:
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def _committed(self, parcels: tuple[_Parcel, ...]) -> None:
        with self._lock:
            for parcel in parcels:
                self._totals["recorded"] += parcel.rows
                self._totals["flushed"] += parcel.rows
                self._totals["bytes"] += parcel.size_bytes
                for name, number in parcel.counts.items():
                    self._totals[name] += number
            del self._unwritten[: len(parcels)]
            self._make_room(self._current)
        for parcel in parcels:
            parcel.mark_committed()
        if self._failures:
            _log.warning("%s: the journal in %s can be written again", self._model, self._folder)
            self._failures = 0

    def _failed(self, trouble: Exception) -> None:
        text = f"{type(trouble).__name__}: {trouble}"
        with self._lock:
            self._last_error = text
            self._current.counts["failed_flushes"] += 1
        self._failures += 1
        if self._failures == 1:
            _log.warning(
                "%s: the journal in %s cannot be written (%s). Up to %d events are kept in memory, and it is"
                " tried again; the predictions themselves are not affected.",
                self._model, self._folder, text, self._most_events,
            )  # fmt: skip
        try:
            self._leave_journal()
        except Exception:
            self._journal = None
        if is_corrupt(trouble) and self._slot is not None:
            self._begin_anew(self._slot)

    def _begin_anew(self, slot: Slot) -> None:
        """Put a damaged journal out of the way: what is recorded from now on must not be lost with it."""
        try:
            aside = set_aside(slot.journal)
        except OSError as trouble:
            self._last_error = f"{self._last_error}; it cannot be set aside: {trouble}"
            return
        self._sequence, self._doubtful = 0, ()
        _log.error(
            "%s: the journal %s is damaged; it was set aside as %s, and a new one is begun",
            self._model, slot.journal, aside.name,
        )  # fmt: skip


def _micros(clock: Callable[[], float]) -> int:
    return int(clock() * 1e6)


# A forked child must not write what its parent holds, nor touch its parent's database.

_abandoned: list[Any] = []
"""Connections that a child inherited. Never closed there: SQLite forbids using one across a fork."""


def _before_fork() -> None:
    for box in list(_open_boxes):
        held = box._writing.acquire(timeout=_FORK_PATIENCE_S)
        box._lock.acquire()
        _held_for_fork.append((box, held))


def _after_fork_in_parent() -> None:
    while _held_for_fork:
        box, held = _held_for_fork.pop()
        box._lock.release()
        if held:
            box._writing.release()


def _after_fork_in_child() -> None:
    while _held_for_fork:
        box, held = _held_for_fork.pop()
        if box._journal is not None:
            _abandoned.append(box._journal)
            if not held:
                _never_finalize(box._journal)
        if box._slot is not None:
            box._slot.release()
        box._born_anew()


def _never_finalize(thing: Any) -> None:
    """The fork caught a transaction half-way: even the end of the child must not roll it back."""
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


_held_for_fork: list[tuple[Outbox, bool]] = []

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )


def _flush_at_end_of_child(box: Outbox) -> None:
    """Children of multiprocessing end without running atexit; they have a list of their own."""
    if (util := sys.modules.get("multiprocessing.util")) is not None:
        util.Finalize(box, box.close, exitpriority=1)


@atexit.register
def _close_all() -> None:
    for box in list(_open_boxes):
        try:
            box.close()
        except Exception as trouble:
            _log.error("%s: the journal could not be closed: %s", box._model, trouble)
