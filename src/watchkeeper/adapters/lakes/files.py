"""The files of a lake's tables: one handle a table, what is appended exactly once, and which files hold what.

Exactly once: each append carries (source, sequence) as a Delta application transaction, and the same handle
that reads the last sequence does the write, since Delta accepts the same transaction twice from a fresh one.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import pyarrow as pa

from watchkeeper.adapters.lakes.reading import Scan, no_hooks, text_of, told
from watchkeeper.adapters.lakes.tables import (
    CHECKPOINT_EVERY,
    OURS,
    SETTINGS,
    TABLES,
    fields_of,
    partitions_of,
)

if TYPE_CHECKING:
    from deltalake import DeltaTable


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
            self._handles[key] = handle
        else:
            handle.update_incremental()
        return handle

    @staticmethod
    def columns(handle: DeltaTable) -> dict[str, pa.DataType]:
        """The table's columns and their types; one without a name, which earlier versions took in, is passed over."""
        return {n: kind for n, kind in fields_of(pa.schema(handle.schema().to_arrow())) if n}

    def write(self, model: str, table: str, rows: pa.Table, *, source: str, sequence: int) -> int:
        """Append rows that fit the table as they are, exactly once for (*source*, *sequence*)."""
        from deltalake import CommitProperties, Transaction, write_deltalake

        with self.lock, told(f"the {table} of {model}"):
            handle = self.handle(model, table, create=True)
            assert handle is not None
            known = handle.transaction_version(source)
            if known is not None and known >= sequence:
                return 0
            write_deltalake(
                handle,
                rows,
                mode="append",
                schema_mode="merge",
                commit_properties=CommitProperties(app_transactions=[Transaction(source, sequence)]),
                post_commithook_properties=no_hooks(),
            )
            if (handle.version() or 0) % CHECKPOINT_EVERY == 0:
                handle.create_checkpoint()
            return rows.num_rows

    def drained(self, model: str, table: str, source: str) -> int:
        """The last sequence of *source* that is in the table; 0 before the first."""
        with self.lock, told(f"the {table} of {model}"):
            handle = self.handle(model, table)
            return 0 if handle is None else handle.transaction_version(source) or 0

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

    @staticmethod
    def clean(handle: DeltaTable) -> None:
        """Leave no older version behind: neither files nor log entries (whose statistics hold values)."""
        handle.vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
        handle.create_checkpoint()
        handle.cleanup_metadata()
