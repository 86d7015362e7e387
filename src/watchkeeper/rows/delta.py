"""Delta Lake tables: a folder with a ``_delta_log``, read by its own list of files.

The log says which Parquet files are the table now and which partition each is; the files are then read like any
others, in bounded memory. A table that needs more than that to be read rightly (deletion vectors, column mapping)
is refused, never read wrongly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

from watchkeeper.errors import MissingExtra, UnreadableSource
from watchkeeper.rows.parquet import open_parquet
from watchkeeper.rows.parts import Notes, Part

_HARMLESS_FEATURES = frozenset(("timestampNtz", "v2Checkpoint", "vacuumProtocolCheck", "typeWidening"))


@dataclass(frozen=True, slots=True)
class DeltaFiles:
    """The files of a table's current version, their partition values, and the table's own schema."""

    parts: tuple[Part, ...]
    partitions: tuple[Mapping[str, pa.Scalar], ...]
    files: tuple[Path, ...]
    schema: pa.Schema
    version: int


def is_delta(path: Path) -> bool:
    """Whether the folder at *path* is a Delta table."""
    return (path / "_delta_log").is_dir()


def open_delta(path: Path, label: str, notes: Notes) -> DeltaFiles:
    """Read the log of the table at *path*, and the footers of its files.

    Raises
    ------
    MissingExtra
        ``deltalake`` is not installed.
    UnreadableSource
        the log or a file is broken, or the table needs a feature that has no reader here. A file that is missing
        is not passed over: the log says that it belongs to the table.
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
    try:
        table = DeltaTable(str(path))
        _refuse_unreadable_features(table, label)
        schema = pa.schema(table.schema())
        actions = pa.table(table.get_add_actions(flatten=True))
    except (DeltaError, pa.ArrowException, OSError) as cause:
        raise UnreadableSource(
            f"{label} cannot be read as a Delta table: {str(cause).strip()}",
            "Check the table with the engine that wrote it.",
        ) from cause
    files = tuple(_local(path, stored, label) for stored in actions.column("path").to_pylist())
    keys = [name for name in table.metadata().partition_columns if name in schema.names]
    values = [
        {
            key: pa.scalar(actions.column(f"partition.{key}")[at].as_py(), schema.field(key).type)
            for key in keys
        }
        for at in range(len(files))
    ]
    parts = tuple(open_parquet(file, str(file.relative_to(path)), notes) for file in files)
    plain = pa.schema([field.remove_metadata() for field in schema])
    return DeltaFiles(parts, tuple(values), files, plain, table.version())


def _refuse_unreadable_features(table: Any, label: str) -> None:
    protocol = table.protocol()
    features = set(protocol.reader_features or ()) - _HARMLESS_FEATURES
    mapping = (table.metadata().configuration or {}).get("delta.columnMapping.mode", "none")
    if mapping != "none":
        features.add("columnMapping")
    else:
        features.discard("columnMapping")
    if not features:
        return
    step = "Read it with DuckDB or Spark, and hand over what they return."
    if "deletionVectors" in features:
        step = (
            "Purge its deletion vectors and drop the feature, or read it with Spark and hand over the frame."
        )
    raise UnreadableSource(
        f"{label} uses Delta features that are not read here: {', '.join(sorted(features))}.", step
    )


def _local(table: Path, stored: str, label: str) -> Path:
    """The place of a data file; the log writes it relative to the table, percent-encoded."""
    if stored.startswith("file://"):
        return Path(unquote(stored.removeprefix("file://")))
    if "://" in stored:
        raise UnreadableSource(f"{label} keeps a file elsewhere: {stored!r}.", "Only local files are read.")
    return table / unquote(stored)
