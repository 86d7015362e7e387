"""The files of a lake's tables: one handle a table, fenced commits, and which files hold what.

Exactly once: each append carries (source, last sequence) as a Delta application transaction, and the same handle
that reads the last sequence does the write, since Delta accepts the same transaction twice from a fresh one.

Fenced: each commit carries the lease's token and its own number as application transactions too. Delta refuses a
commit when another one with the same application has come since the handle was read, so of two writers who both
believe that they hold the lease one fails, and afterwards the older one finds the larger token and stops. A commit
counts only when its number is found in the table afterwards: one that was frozen while others cleaned up the log is
reported as a success by Delta, and its rows are not there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import pyarrow as pa

from watchkeeper.adapters.lakes.durable import (
    refuse_empty_end,
    sync_checkpoint,
    sync_commits,
    sync_new_table,
)
from watchkeeper.adapters.lakes.reading import Scan, no_hooks, text_of, told
from watchkeeper.adapters.lakes.tables import (
    CHECKPOINT_EVERY,
    COMPACT_AT,
    COMPACT_BYTES,
    OURS,
    SETTINGS,
    TABLES,
    fields_of,
    partitions_of,
)
from watchkeeper.errors import Conflict, LeaseLost, StoreUnavailable
from watchkeeper.ports.lake import Origin, Position

if TYPE_CHECKING:
    from deltalake import CommitProperties, DeltaTable

FENCE = "wk:fence"
"""The application under which a table holds the largest lease token that has written to it."""
NUMBER = "wk:commit"
"""The application under which a table holds the number of our last commit."""


class DeltaFiles:
    """One handle a table is kept open; a lock serialises writes of this process."""

    def __init__(self, path: str | Path, *, options: dict[str, str]) -> None:
        self.root = str(path).rstrip("/") if "://" in str(path) else str(Path(path).absolute())
        self.options = options
        self.lock = threading.RLock()
        self._handles: dict[tuple[str, str], DeltaTable] = {}

    def _uri(self, model: str, table: str) -> str:
        return f"{self.root}/{quote(model, safe='')}/{table}"

    def handle(self, model: str, table: str, *, create: bool = False) -> DeltaTable | None:
        """The one handle of a table, brought up to date; None when there is no such table yet. Hold the lock."""
        from deltalake import DeltaTable
        from deltalake.exceptions import TableNotFoundError

        key = (model, table)
        handle = self._handles.get(key)
        uri = self._uri(model, table)
        if handle is None:
            try:
                handle = DeltaTable(uri, storage_options=self.options or None)
            except TableNotFoundError:
                if not create:
                    return None
                handle = DeltaTable.create(
                    uri,
                    TABLES[table],
                    partition_by=list(partitions_of(table)),
                    configuration=SETTINGS,
                    storage_options=self.options or None,
                    mode="ignore",
                )
                if (folder := self._folder(handle)) is not None:
                    sync_new_table(folder, Path(self.root))
        else:
            handle.update_incremental()
        if (folder := self._folder(handle)) is not None:
            self._handles.pop(key, None)
            refuse_empty_end(folder, handle.version())
        self._handles[key] = handle
        return handle

    @staticmethod
    def columns(handle: DeltaTable) -> dict[str, pa.DataType]:
        """The table's columns and their types; one without a name, which earlier versions took in, is passed over."""
        return {n: kind for n, kind in fields_of(pa.schema(handle.schema().to_arrow())) if n}

    def append(self, model: str, table: str, rows: pa.Table, origin: Origin) -> int:
        """Append rows that fit the table as they are. See `watchkeeper.ports.lake.EventLog.append`."""
        from deltalake import write_deltalake

        with self.lock:
            there = self.drained(model, table, origin.source)
            if there.sequence >= origin.last:
                return 0
            if there.sequence != origin.first - 1:
                raise Conflict(
                    f"The {table} of {model} hold {origin.source} up to {there.sequence}; rows from {origin.first} "
                    f"to {origin.last} do not follow.",
                    "Read again what is drained, and go on from there.",
                )
            if origin.seen is not None and there.version != origin.seen:
                raise Conflict(
                    f"The {table} of {model} were changed by another process meanwhile.", "Try again."
                )

            def write(handle: DeltaTable, properties: CommitProperties) -> None:
                write_deltalake(
                    handle,
                    rows,
                    mode="append",
                    schema_mode="merge",
                    commit_properties=properties,
                    post_commithook_properties=no_hooks(),
                )

            self.commit(model, table, origin.token, write, also={origin.source: origin.last})
            return rows.num_rows

    def commit(
        self,
        model: str,
        table: str,
        token: int,
        write: Callable[[DeltaTable, CommitProperties], None],
        *,
        also: Mapping[str, int] | None = None,
    ) -> bool:
        """Change a table by *write* in one fenced commit; whether there was anything to commit.

        When this returns the commit is on the disk and was found in the table. *also* are application transactions.

        Raises
        ------
        LeaseLost
            somebody has written with a token larger than *token*.
        Conflict
            somebody has written at the same time; nothing was changed.
        StoreUnavailable
            the table cannot be written just now.
        """
        from deltalake import CommitProperties, Transaction
        from deltalake.exceptions import CommitFailedError

        with self.lock, told(f"the {table} of {model}"):
            handle = self.handle(model, table, create=True)
            assert handle is not None
            self.check_fence(handle, token)
            before, number = handle.version(), (handle.transaction_version(NUMBER) or 0) + 1
            transactions = {**(also or {}), FENCE: token, NUMBER: number}
            properties = CommitProperties(
                app_transactions=[Transaction(app, version) for app, version in transactions.items()]
            )
            del self._handles[model, table]  # until the commit was found in the table
            try:
                write(handle, properties)
            except CommitFailedError as failure:
                raise Conflict(
                    f"Another process wrote the {table} of {model} at the same time.", "Try again."
                ) from failure
            if handle.version() == before:
                self._handles[model, table] = handle
                return False
            self._sync(handle, before)
            handle.update_incremental()
            if any(handle.transaction_version(app) != version for app, version in transactions.items()):
                raise StoreUnavailable(
                    f"A commit to the {table} of {model} is not in the table: its log was cleaned up by another "
                    "process meanwhile.",
                    "Nothing acknowledged is lost: it stays in the journal and is moved again.",
                )
            self._handles[model, table] = handle
            if handle.version() % CHECKPOINT_EVERY == 0:
                self._checkpoint(handle)
            return True

    @staticmethod
    def check_fence(handle: DeltaTable, token: int) -> None:
        """Refuse to write with an older token than the table has seen."""
        fence = handle.transaction_version(FENCE) or 0
        if fence > token:
            raise LeaseLost(
                "Another process writes the lake now; it goes on where this one stopped.", fence=fence
            )

    def drained(self, model: str, table: str, source: str) -> Position:
        """See `watchkeeper.ports.lake.EventLog.drained`."""
        with self.lock, told(f"the {table} of {model}"):
            handle = self.handle(model, table)
            if handle is None:
                return Position(0, -1)
            return Position(handle.transaction_version(source) or 0, handle.version())

    def scan(self, model: str, table: str, cuts: Sequence[str] | None, *, also: str = "") -> Scan | None:
        """The files of a table as something that DuckDB reads; None when there are none.

        *cuts* are the days (or whatever the table is cut by first) of which files are wanted; None is all.
        """
        with self.lock, told(f"the {table} of {model}"):
            handle = self.handle(model, table)
            if handle is None:
                return None
            filters: Any = None
            if cuts is not None:
                among = f"{partitions_of(table)[0]} IN ({', '.join(map(text_of, cuts))})"
                filters = f"{among} AND {also}" if also else among
            uris = handle.file_uris(file_pruning_predicate=filters)
            if not uris:
                return None
            columns = self.columns(handle)
            if "://" in self.root:
                return Scan(list(columns), dataset=handle.to_pyarrow_dataset(file_pruning_predicate=filters))  # type: ignore[arg-type]
            return Scan(
                list(columns),
                files=[unquote(u.removeprefix("file://")) for u in uris],
                types=columns,
                alike=table in OURS,
            )

    def raise_fence(self, model: str, table: str, token: int) -> None:
        """Commit *token* and nothing else, so that nobody with an older one writes any more."""
        from deltalake import write_deltalake

        def write(handle: DeltaTable, properties: CommitProperties) -> None:
            nothing = pa.schema(handle.schema().to_arrow()).empty_table()
            write_deltalake(
                handle,
                nothing,
                mode="append",
                commit_properties=properties,
                post_commithook_properties=no_hooks(),
            )

        self.commit(model, table, token, write)

    def crowded(self, model: str, table: str) -> list[str]:
        """The partitions of so many files that rewriting them is worth its while: large ones wait longer."""
        handle = self.handle(model, table)
        if handle is None:
            return []
        partition = partitions_of(table)[0]
        files: dict[str, int] = {}
        sizes: dict[str, int] = {}
        for action in pa.table(handle.get_add_actions(flatten=True)).to_pylist():
            cut = str(action[f"partition.{partition}"])
            files[cut] = files.get(cut, 0) + 1
            sizes[cut] = sizes.get(cut, 0) + action["size_bytes"]
        return [cut for cut, count in files.items() if count >= COMPACT_AT + sizes[cut] // COMPACT_BYTES]

    def compact(self, model: str, table: str, cut: str, token: int) -> None:
        """Write the files of one partition anew as few, in one fenced commit.

        Delta's own ``optimize.compact`` heeds no application transaction: two at once double every row.
        """
        from deltalake import write_deltalake

        where = f"{partitions_of(table)[0]} = {text_of(cut)}"

        def write(handle: DeltaTable, properties: CommitProperties) -> None:
            rows = handle.to_pyarrow_dataset(file_pruning_predicate=where).scanner().to_reader()
            write_deltalake(
                handle,
                rows,
                mode="overwrite",
                predicate=where,
                commit_properties=properties,
                post_commithook_properties=no_hooks(),
            )

        self.commit(model, table, token, write)

    def clean(self, handle: DeltaTable, token: int) -> None:
        """Leave no older version behind: neither files nor log entries (whose statistics hold values)."""
        handle.update_incremental()
        self.check_fence(handle, token)
        before = handle.version()
        handle.vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
        handle.update_incremental()
        self._sync(handle, before)
        self._checkpoint(handle)
        handle.cleanup_metadata()

    def _checkpoint(self, handle: DeltaTable) -> None:
        handle.create_checkpoint()
        if (folder := self._folder(handle)) is not None:
            sync_checkpoint(folder, handle.version())

    def _sync(self, handle: DeltaTable, since: int) -> None:
        """Bring all commits after version *since* to the disk; an object store has answered, so they are there."""
        if (folder := self._folder(handle)) is not None:
            sync_commits(folder, range(since + 1, handle.version() + 1))

    def _folder(self, handle: DeltaTable) -> Path | None:
        """Where the table lies on this machine; None in an object store."""
        if "://" in self.root:
            return None
        return Path(unquote(handle.table_uri.removeprefix("file://")))
