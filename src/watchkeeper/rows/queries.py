"""Rows from DuckDB: a relation, ``sql:SELECT ...``, or ``duckdb:FILE::SELECT ...``.

One connection holds one open result, so every reading takes a cursor of its own where there is a query text,
and closes its result as soon as the caller stops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from watchkeeper.errors import BadInput, UnreadableSource, nearest
from watchkeeper.rows.interrupts import interruptible
from watchkeeper.rows.parts import Notes, StreamPart, unique_names

if TYPE_CHECKING:
    import duckdb


def is_relation(source: Any) -> bool:
    """Whether *source* is a DuckDB relation; does not import DuckDB."""
    return type(source).__name__ == "DuckDBPyRelation"


def open_relation(relation: duckdb.DuckDBPyRelation, label: str, notes: Notes) -> StreamPart:
    """A DuckDB relation; it is run again at every reading, on its own connection."""
    return _part(lambda: relation, label, notes)


def open_query(text: str, label: str, notes: Notes) -> StreamPart:
    """``sql:QUERY`` in a fresh database in memory, or ``duckdb:FILE::QUERY`` in a database file.

    Files can be named in the query (``FROM 'flights/*.parquet'``). ``duckdb:FILE::TABLE`` and, if the database
    holds a single table, ``duckdb:FILE`` will do too.

    Raises
    ------
    UnreadableSource
        the query fails, or there is no such database.
    """
    import duckdb

    scheme, _, rest = text.partition(":")
    if scheme == "sql":
        connection, query = duckdb.connect(), rest.strip()
    else:
        file, _, query = rest.partition("::")
        path, query = Path(file).expanduser(), query.strip()
        if not path.exists():
            near = nearest(path.name, [p.name for p in path.parent.iterdir()]) if path.parent.is_dir() else ""
            raise UnreadableSource(
                f"There is no database {file!r}.{near}", "Write duckdb:FILE::QUERY, with two colons."
            )
        try:
            connection = duckdb.connect(str(path), read_only=True)
        except duckdb.Error as cause:
            raise UnreadableSource(f"{file} cannot be opened by DuckDB: {cause}") from cause
    query = query.rstrip(";").strip() or _only_table(connection, label)
    if " " not in query and "\n" not in query and not query.startswith("("):
        query = f"SELECT * FROM {query}"  # noqa: S608 - the user's own query, on the user's own data
    return _part(lambda: connection.cursor().sql(query), label, notes)


def _only_table(connection: duckdb.DuckDBPyConnection, label: str) -> str:
    tables = [row[0] for row in connection.execute("SHOW TABLES").fetchall()]
    if len(tables) != 1:
        shown = ", ".join(tables[:8]) or "none"
        raise BadInput(f"{label} does not say what to read.", f"Add ::QUERY or ::TABLE. Tables: {shown}.")
    return '"' + tables[0].replace('"', '""') + '"'


def _part(start: Callable[[], Any], label: str, notes: Notes) -> StreamPart:
    import duckdb

    def refused(cause: Exception) -> UnreadableSource | None:
        if not isinstance(cause, duckdb.Error):
            return None
        if "open result" in str(cause):
            return UnreadableSource(
                f"{label}: its DuckDB connection is busy with another result.",
                "Fetch or close that result first, or build this relation on connection.cursor().",
            )
        return UnreadableSource(
            f"{label} failed in DuckDB: {str(cause).strip()}", "Try the query in DuckDB itself."
        )

    try:
        with interruptible():
            relation = start()
        if relation is None:
            raise BadInput(f"{label} returns no rows.", "Give a query that selects something.")
        with interruptible(), closing(relation.limit(0).to_arrow_reader(1)) as reader:
            schema = reader.schema
    except duckdb.Error as cause:
        raise refused(cause) or cause from cause
    names, lines = unique_names(schema.names)
    for line in lines:
        notes.add(line, line)
    distinct = len(set(schema.names)) == len(schema)

    def batches(positions: list[int], batch_rows: int) -> Iterator[pa.RecordBatch]:
        with interruptible():
            wanted = start()
        if distinct and len(positions) < len(schema):
            quoted = ('"' + schema.names[p].replace('"', '""') + '"' for p in positions)
            wanted, positions = wanted.project(", ".join(quoted)), list(range(len(positions)))
        with interruptible(), closing(wanted.to_arrow_reader(batch_rows)) as reader:
            for batch in reader:
                yield batch.select(positions)

    return StreamPart(
        label=label,
        schema=pa.schema([f.with_name(n).remove_metadata() for f, n in zip(schema, names, strict=True)]),
        rows=None,
        open=batches,
        guard=refused,
    )
