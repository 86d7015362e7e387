"""The journal: a SQLite file to which one process appends, and from which the drain takes.

The one place that knows its layout::

    meta(key TEXT PRIMARY KEY, value TEXT)       format, model, identity (of this file, for the drain)
    flushes(sequence INTEGER PRIMARY KEY AUTOINCREMENT,
            at_us    INTEGER,     microseconds since 1970 UTC of the flush
            version  TEXT,        the model version that all its events belong to
            rows     INTEGER,     predictions and outcomes in it (rows of a batch count one by one)
            codec    INTEGER,     0: as it is; 1: zlib
            events   BLOB)        one msgpack array of events, see `watchkeeper.capture.events`

``sequence`` only grows within a file, also when rows were deleted and after the file was adopted by another
process, so ``(journal, sequence)`` names a flush for ever. WAL with ``synchronous=FULL``: what `Journal.append`
returned from is on the disk. A row holds at most about 4 MiB of events, so a reader's memory is bounded.

A journal is a local file: SQLite's write-ahead log does not work on network file systems.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

import msgspec

from watchkeeper.capture.events import (
    Batch,
    Event,
    Outcome,
    Prediction,
    Unreadable,
    decode_events,
    join_events,
)
from watchkeeper.errors import Incompatible, StoreUnavailable

FORMAT = 1
_ROW_BYTES = 4 << 20
_ROW_EVENTS = 20_000
_OTHER_DATABASE = "it is some other database"
_WORTH_PACKING = 2_048
_LARGE = 64 << 10
"""An event of this size (an Arrow batch, compressed in itself) gets a row of its own, as it is."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS flushes (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    at_us INTEGER NOT NULL, version TEXT NOT NULL, rows INTEGER NOT NULL,
    codec INTEGER NOT NULL, events BLOB NOT NULL
);
"""


class CorruptJournal(StoreUnavailable):
    """The file is no journal, or not whole any more."""


class Flush(NamedTuple):
    """One row of a journal, decoded."""

    sequence: int
    at_us: int
    version: str
    rows: int
    events: list[Event]


class Journal:
    """The writing end. One process, one journal (see `slots`); its methods may be called from any one thread.

    >>> from tempfile import mkdtemp
    >>> from watchkeeper.capture.events import Encoder
    >>> path = Path(mkdtemp()) / "journal-000.db"
    >>> with Journal(path, model="churn") as journal:
    ...     journal.append([Encoder().encode(("p", "id-1", 5, {"age": 41}, 1))], version="3", at_us=5, rows=1)
    1
    >>> [(sequence, events[0].features) for sequence, events in read_after(path, 0)]
    [(1, {'age': 41})]
    """

    def __init__(self, path: Path, *, model: str, busy_timeout_s: float = 2.0) -> None:
        """Open or create the file at *path*.

        Raises
        ------
        sqlite3.Error
            the file cannot be opened or written, or another connection keeps it locked.
        Incompatible
            a later version of this program wrote it.
        """
        self.path = path
        self._connection = sqlite3.connect(
            path, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False
        )
        try:
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute("PRAGMA secure_delete = ON")
            if not self._connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'flushes'").fetchone():
                self._in_transaction(self._create, model)
            _refuse_later_format(self._connection, path)
        except BaseException:
            self._connection.close()
            raise

    def _create(self, model: str) -> None:
        for statement in _SCHEMA.split(";"):
            self._connection.execute(statement)
        self._connection.executemany(
            "INSERT OR IGNORE INTO meta VALUES (?, ?)",
            [("format", str(FORMAT)), ("model", model), ("identity", token_hex(8))],
        )

    def _in_transaction(self, work: Callable[..., int | None], *given: object) -> int | None:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            result = work(*given)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        return result

    def append(
        self, events: Sequence[bytes], *, version: str, at_us: int, rows: int, pack: bool = True
    ) -> int:
        """Commit encoded *events* in one transaction; return the last sequence. On the disk when this returns.

        *rows* is how many predictions and outcomes they hold (a batch holds many, counters none).
        """
        parts = [(len(chunk), _packed(chunk, pack)) for chunk in _chunks(events)]
        extra = rows - len(events)

        def insert() -> int:
            sequence = 0
            for position, (count, (codec, blob)) in enumerate(parts):
                here = count + extra if position == 0 else count
                cursor = self._connection.execute(
                    "INSERT INTO flushes (at_us, version, rows, codec, events) VALUES (?, ?, ?, ?, ?)",
                    (at_us, version, here, codec, blob),
                )
                sequence = cursor.lastrowid or 0
            return sequence

        return self._in_transaction(insert) or 0

    def last_sequence(self) -> int:
        """Return the largest sequence ever given in this file, 0 before the first."""
        row = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'flushes'").fetchone()
        return int(row[0]) if row else 0

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _chunks(events: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Cut *events* so that each row stays small enough to be read back with little memory."""
    start = size = 0
    for position, event in enumerate(events):
        length = len(event)
        full = size + length > _ROW_BYTES or position - start >= _ROW_EVENTS
        if position > start and (full or length >= _LARGE or len(events[start]) >= _LARGE):
            yield events[start:position]
            start, size = position, 0
        size += length
    if start < len(events):
        yield events[start:] if start else events


def _packed(events: Sequence[bytes], pack: bool) -> tuple[int, bytes]:
    joined = join_events(events)
    if not pack or len(joined) < _WORTH_PACKING or len(events[0]) >= _LARGE:
        return 0, joined
    # Level 1, and zlib rather than something faster, because it releases the GIL and is always there:
    # the same names in every event make it a fifth of its size, so the disk has a fifth of the work.
    packed = zlib.compress(joined, 1)
    return (1, packed) if len(packed) < len(joined) else (0, joined)


def is_corrupt(trouble: BaseException) -> bool:
    """Whether SQLite found the file damaged, rather than locked, full or unreadable just now."""
    damaged = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    return isinstance(trouble, sqlite3.DatabaseError) and (
        getattr(trouble, "sqlite_errorcode", 0) & 0xFF in damaged or str(trouble) == _OTHER_DATABASE
    )


def set_aside(path: Path) -> Path:
    """Rename a damaged journal, with its log, so that a new one can be begun; return its new path."""
    number = 1
    while (aside := path.with_name(f"{path.name}.corrupt-{number}")).exists():
        number += 1
    for suffix in ("-wal", "-shm", ""):
        if (part := path.with_name(path.name + suffix)).exists():
            part.rename(aside.with_name(aside.name + suffix))
    return aside


def journals_set_aside(path: str | Path, model: str) -> list[Path]:
    """The damaged journals of *model* that were set aside."""
    found = journal_folder(path, model).glob("journal-*.db.corrupt-*")
    return sorted(p for p in found if not p.name.endswith(("-wal", "-shm")))


def journal_folder(path: str | Path, model: str) -> Path:
    """Where the journals of *model* lie under the data folder or project at *path*.

    >>> journal_folder("data", "risk/eu").as_posix()
    'data/journals/risk%2Feu'
    """
    name = quote(model, safe=" ")
    return Path(path) / "journals" / (name if name.strip(".") else name.replace(".", "%2E"))


def journals(path: str | Path, model: str | None = None) -> list[Path]:
    """Every journal under the data folder at *path* (of one model), whether its process lives or not."""
    root = Path(path) / "journals"
    if model is not None:
        return sorted(journal_folder(path, model).glob("journal-*.db"))
    return sorted(root.glob("*/journal-*.db"))


def model_of(path: Path) -> str:
    """The model whose predictions the journal at *path* holds."""
    with _opened(path) as connection:
        if _is_blank(connection):
            return unquote(path.parent.name)
        row = connection.execute("SELECT value FROM meta WHERE key = 'model'").fetchone()
    return str(row[0]) if row else unquote(path.parent.name)


def journal_identity(path: Path) -> str:
    """The name under which the lake remembers how far this very file was drained.

    A file that was deleted and begun anew counts from 1 again, so its name alone would not do.
    """
    with _opened(path) as connection:
        row = connection.execute("SELECT value FROM meta WHERE key = 'identity'").fetchone()
    return f"{path.stem}:{row[0] if row else 'first'}"


def read_flushes(path: Path, sequence: int = 0, limit: int | None = None) -> Iterator[Flush]:
    """Yield the flushes after *sequence* in order, at most *limit*, one in memory at a time.

    Its process may go on writing meanwhile; what it commits during the reading is not seen.

    Raises
    ------
    StoreUnavailable
        the file cannot be read just now.
    Incompatible
        a later version of this program wrote it.
    """
    with _opened(path) as connection:
        if _is_blank(connection):
            return
        rows = connection.execute(
            "SELECT sequence, at_us, version, rows, codec, events FROM flushes"
            " WHERE sequence > ? ORDER BY sequence LIMIT ?",
            (sequence, -1 if limit is None else limit),
        )
        for row in rows:
            yield _flush(*row)


def _flush(number: int, at_us: Any, version: Any, count: Any, codec: Any, blob: Any) -> Flush:
    """One row; a block that cannot be read is one unreadable event, and those behind it come all the same."""
    try:
        events = decode_events(_unpacked(codec, blob))
    except Exception as trouble:
        raw = blob if isinstance(blob, bytes) else str(blob).encode("utf-8", "backslashreplace")
        events = [Unreadable(raw, f"a block that cannot be read: {type(trouble).__name__}: {trouble}")]
    numbers = [n if isinstance(n, int) else 0 for n in (at_us, count)]
    return Flush(number, numbers[0], str(version), numbers[1], events)


def read_after(path: Path, sequence: int = 0, limit: int | None = None) -> Iterator[tuple[int, list[Event]]]:
    """Yield ``(sequence, events)`` of the flushes after *sequence*; `read_flushes` also tells the version."""
    for flush in read_flushes(path, sequence, limit):
        yield flush.sequence, flush.events


def delete_through(path: Path, sequence: int) -> int:
    """Delete the flushes up to and including *sequence*; return how many there were.

    Their space in the file is used again. Call it when they are safely elsewhere, never before.
    """
    with _opened(path) as connection:
        if _is_blank(connection):
            return 0
        return connection.execute("DELETE FROM flushes WHERE sequence <= ?", (sequence,)).rowcount


def forget(path: Path, ids: Collection[str]) -> int:
    """Remove every prediction and outcome with one of *ids* from the journal, also from the file's free space.

    Returns the number of events removed. Rows inside an Arrow batch are removed too.
    """
    wanted, removed = frozenset(ids), 0
    with _opened(path) as connection:
        if _is_blank(connection):
            return 0
        for sequence, codec, blob in connection.execute(
            "SELECT sequence, codec, events FROM flushes ORDER BY sequence"
        ).fetchall():
            events = decode_events(_unpacked(codec, blob))
            kept = [event for event in (_without(e, wanted) for e in events) if event is not None]
            gone = _row_count(events) - _row_count(kept)
            if gone:
                removed += gone
                codec, blob = _packed([msgspec.msgpack.encode(event) for event in kept], pack=True)
                connection.execute(
                    "UPDATE flushes SET codec = ?, events = ?, rows = rows - ? WHERE sequence = ?",
                    (codec, blob, gone, sequence),
                )
        connection.commit()
        if connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            raise StoreUnavailable(
                f"What was forgotten is still in the log of {path}, which another program reads.",
                "Forget again when it is free.",
            )
    return removed


def _row_count(events: Sequence[Event]) -> int:
    return sum(event.rows if isinstance(event, Batch) else 1 for event in events)


def _without(event: Event, ids: frozenset[str]) -> Event | None:
    if isinstance(event, (Prediction, Outcome)):
        return None if event.id in ids else event
    if isinstance(event, Batch):
        from watchkeeper.capture.batch_rows import without_ids

        return without_ids(event, ids)
    return event


def _unpacked(codec: int, blob: bytes) -> bytes:
    return zlib.decompress(blob) if codec == 1 else blob


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection of the reading end, committed at the end; its troubles are told in our words."""
    if not path.exists():
        raise StoreUnavailable(f"There is no journal at {path}.")
    try:
        with closing(sqlite3.connect(path, timeout=30.0)) as connection:
            connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
            connection.execute("PRAGMA secure_delete = ON")  # what was drained must not stay in free pages
            if not _is_blank(connection):
                _refuse_later_format(connection, path)
            yield connection
            connection.commit()
    except sqlite3.Error as trouble:
        if is_corrupt(trouble):
            raise CorruptJournal(
                f"The journal {path} is damaged: {trouble}.", "What can be read of it is kept."
            ) from trouble
        raise StoreUnavailable(
            f"The journal {path} cannot be used just now: {trouble}.", "Try again when it is free."
        ) from trouble


def _is_blank(connection: sqlite3.Connection) -> bool:
    """Whether its process died (or is) between making the file and its first commit: nothing is lost."""
    return not connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()


def _refuse_later_format(connection: sqlite3.Connection, path: Path) -> None:
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
        raise sqlite3.DatabaseError(_OTHER_DATABASE)
    row = connection.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
    if row is None or int(row[0]) > FORMAT:
        raise Incompatible(
            f"The journal {path} has format {row[0] if row else 'unknown'}; this program reads up to {FORMAT}.",
            "Upgrade watchkeeper where this runs, or give the recorder another path.",
        )
