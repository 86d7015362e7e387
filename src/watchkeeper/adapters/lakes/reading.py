"""How Delta tables are read and written here: DuckDB over their files, and what is said when that fails."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import Any

import pyarrow as pa

from watchkeeper.adapters.lakes.tables import HASH, PARTITIONS
from watchkeeper.domain.window import Window
from watchkeeper.errors import StoreUnavailable
from watchkeeper.rows.interrupts import interruptible

_CUTS = {"wk_day", *(name for names in PARTITIONS.values() for name in names)}
"""Columns whose values stand in the files' names."""


class Scan:
    """Rows that DuckDB can read: a list of Parquet files, or an Arrow dataset where DuckDB has no driver.

    *alike* says that all files have the same columns, as tables have that hold nothing of a user's own.
    """

    def __init__(
        self,
        names: list[str],
        *,
        files: list[str] | None = None,
        types: Mapping[str, pa.DataType] | None = None,
        dataset: Any = None,
        alike: bool = False,
    ) -> None:
        self.names, self._files, self._types, self._dataset = names, files, types or {}, dataset
        self._alike = alike

    def register(self, connection: Any, name: str) -> None:
        """Make the rows known to *connection* under *name*."""
        if self._dataset is not None:
            connection.register(name, self._dataset)
            return
        listed = ", ".join(text_of(f) for f in self._files or ())
        hive = ", ".join(f"'{k}': VARCHAR" for k in sorted(_CUTS.intersection(self.names)))
        if self._alike:  # only the first file is looked at to know the columns
            connection.execute(
                f"CREATE TEMP VIEW {name} AS SELECT * FROM read_parquet([{listed}], hive_partitioning = true, "  # noqa: S608
                f"hive_types = {{{hive}}})"
            )
            return
        # A column that came later is missing in older files: union_by_name reads it as null there. One that none
        # of these files has (they are all older) is added as null.
        connection.execute(
            f"CREATE TEMP VIEW {name}_files AS SELECT * FROM read_parquet([{listed}], union_by_name = true, "  # noqa: S608
            f"hive_partitioning = true, hive_types = {{{hive}}})"
        )
        present = {r[0] for r in connection.execute(f"DESCRIBE {name}_files").fetchall()}
        nulls = [f"NULL::{_sql_type(self._types[n])} AS {quoted(n)}" for n in self.names if n not in present]
        connection.execute(f"CREATE TEMP VIEW {name} AS SELECT {', '.join(['*', *nulls])} FROM {name}_files")  # noqa: S608

    def is_hashed(self, connection: Any, name: str) -> bool:
        """Whether each of these rows, registered under *name*, has its hash: what earlier versions wrote has none."""
        query = f"SELECT 1 FROM {name} WHERE {HASH} IS NULL LIMIT 1"  # noqa: S608
        return HASH in self.names and not connection.execute(query).fetchall()


def _sql_type(kind: pa.DataType) -> str:
    if pa.types.is_floating(kind):
        return "DOUBLE"
    if pa.types.is_integer(kind):
        return "BIGINT"
    if pa.types.is_boolean(kind):
        return "BOOLEAN"
    if pa.types.is_timestamp(kind):
        return "TIMESTAMPTZ"
    if pa.types.is_list(kind):
        return "DOUBLE[]"
    return "VARCHAR"


def fetched(
    scan: Callable[[], Scan | None], name: str, query: str, parameters: Mapping[str, Any]
) -> pa.Table | None:
    """What *query* finds in the files of *scan*, which it calls *name*; None where there are no files.

    An upkeep may replace files between the look at the log and the reading: then the log is looked at again.

    Raises
    ------
    StoreUnavailable
        the files cannot be read.
    """
    import duckdb

    for attempts_left in (2, 1, 0):
        files = scan()
        if files is None:
            return None
        try:
            with duckdb_cursor() as connection:
                files.register(connection, name)
                return connection.sql(query, params=dict(parameters)).to_arrow_table()
        except duckdb.Error as failure:
            # Arrow's streams from an object store fail within DuckDB, as bad input.
            is_reading = isinstance(failure, duckdb.IOException) or "reading the stream" in str(failure)
            if not is_reading:
                raise
            if not attempts_left:
                raise StoreUnavailable(
                    f"The lake's {name} cannot be read just now: {str(failure).strip().splitlines()[0]}"
                ) from failure
    return None


_engines: dict[int, Any] = {}
"""One DuckDB for each process (a forked child must not use its parent's); every reading has a cursor of its own."""
_engine_lock = threading.Lock()


@contextmanager
def duckdb_cursor() -> Iterator[Any]:
    """A cursor of this process's engine: making an engine takes as long as reading a small window."""
    import tempfile

    import duckdb

    with _engine_lock:
        engine = _engines.get(os.getpid())
        if engine is None:
            engine = duckdb.connect(":memory:")
            for setting in (
                "SET memory_limit = '500MB'",
                f"SET temp_directory = {text_of(tempfile.gettempdir())}",
                "SET preserve_insertion_order = false",
                "SET autoinstall_known_extensions = false",
                "SET autoload_known_extensions = false",
            ):
                engine.execute(setting)
            _engines[os.getpid()] = engine
        cursor = engine.cursor()
    with interruptible(), closing(cursor):
        cursor.execute("SET TimeZone = 'UTC'")
        yield cursor


def days_of(window: Window) -> list[str]:
    """The days of UTC that a window touches, as the lake names them."""
    day, days = window.start.date(), []
    last = (window.end - timedelta(microseconds=1)).date()
    while day <= last:
        days.append(day.isoformat())
        day += timedelta(days=1)
    return days


def quoted(name: str) -> str:
    """A column's name within SQL."""
    return '"' + name.replace('"', '""') + '"'


def text_of(value: str) -> str:
    """A text within SQL."""
    return "'" + value.replace("'", "''") + "'"


def no_hooks() -> Any:
    """For writes that leave checkpoints and old log entries to the upkeep."""
    from deltalake import PostCommitHookProperties

    return PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)


class told:  # noqa: N801 - reads as a word where it stands
    """Say what failed in the user's words; what is ours already passes through."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, failure: BaseException | None, _trace: Any) -> None:
        from deltalake.exceptions import DeltaError

        if isinstance(failure, (DeltaError, OSError, pa.ArrowException)) or is_panic(failure):
            raise StoreUnavailable(
                f"The lake cannot read or write {self.what} just now: {str(failure).strip().splitlines()[0]}",
                "Nothing acknowledged is lost: it stays in the journal until the lake is back.",
            ) from failure


def is_panic(failure: BaseException | None) -> bool:
    """Whether Rust gave up: no `Exception`, and still nothing that should end a process of ours."""
    return type(failure).__name__ == "PanicException"
