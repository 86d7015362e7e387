"""Delta Lake tables: a folder with a ``_delta_log``, read by its own list of files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from watchkeeper.errors import MissingExtra, UnreadableSource
from watchkeeper.rows.parts import Notes, StreamPart

__all__ = ["is_delta", "open_delta"]


def is_delta(path: Path) -> bool:
    """Whether the folder at *path* is a Delta table."""
    return (path / "_delta_log").is_dir()


def open_delta(path: Path, label: str, notes: Notes) -> StreamPart:
    """Open the current version of a table; partition columns are among its columns.

    Raises
    ------
    MissingExtra
        ``deltalake`` is not installed.
    UnreadableSource
        the log is broken, or the table uses a feature that has no reader here (deletion vectors).
    """
    try:
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError
    except ImportError as cause:
        raise MissingExtra(
            adapter="Delta table reader",
            library="deltalake",
            extra="server",
            instead="Or point at its Parquet files, if nothing was ever deleted or rewritten: FOLDER/*.parquet",
        ) from cause

    def refused(cause: Exception) -> UnreadableSource | None:
        if not isinstance(cause, DeltaError | pa.ArrowException | OSError):
            return None
        step = "Check the table with the engine that wrote it."
        if "vector" in str(cause).lower() or "feature" in str(cause).lower():
            step = "Purge deletion vectors first (REORG TABLE ... APPLY (PURGE)), or read it through DuckDB or Spark."
        return UnreadableSource(f"{label} cannot be read as a Delta table: {str(cause).strip()}", step)

    try:
        table = DeltaTable(str(path))
        dataset: Any = table.to_pyarrow_dataset()
        rows = _rows(table)
    except Exception as cause:
        raise refused(cause) or cause from cause
    names: list[str] = dataset.schema.names

    def batches(positions: list[int], batch_rows: int) -> Iterator[pa.RecordBatch]:
        # the scanner fetches ahead by row groups: one batch and one file at a time keeps that bounded
        scanner = dataset.scanner(
            columns=[names[p] for p in positions],
            batch_size=batch_rows,
            batch_readahead=1,
            fragment_readahead=1,
            cache_metadata=False,
        )
        yield from scanner.to_batches()

    notes_of_version = f"Delta version {table.version()}"
    return StreamPart(
        label=f"{label} ({notes_of_version})",
        schema=pa.schema([f.remove_metadata() for f in dataset.schema]),
        rows=rows,
        open=batches,
        guard=refused,
    )


def _rows(table: Any) -> int | None:
    """Rows by the statistics in the log; None where a file has none."""
    counts = pa.table(table.get_add_actions(flatten=True))
    if "num_records" not in counts.column_names:
        return None
    column = counts.column("num_records")
    return None if column.null_count else sum(column.to_pylist())
