"""A user's own table, watched in place: files, a Delta table, or a table or query in PostgreSQL or DuckDB.

Only what a window needs is read, by its time; nothing is copied but profiles. Which windows have changed is told
from counts of rows and outcomes by window: cheap for a database or a columnar file, since one column of times and
one of outcomes are read. Late rows, late outcomes and deleted rows all change a count. (A value that is overwritten
in place does not: `backfill` measures such a stretch again.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from watchkeeper.domain.fact import Document, Lease
from watchkeeper.domain.instant import LEAST_NUMBER, ticks_a_second
from watchkeeper.domain.schema import Column, Kind
from watchkeeper.domain.series import WindowKey
from watchkeeper.domain.watched import TableSource, WatchedModel
from watchkeeper.domain.window import Window
from watchkeeper.errors import BadConfig, BadInput, MissingExtra, StoreUnavailable, nearest
from watchkeeper.rows.interrupts import interruptible
from watchkeeper.rows.row_keys import ids_of
from watchkeeper.rows.values import is_number_like, values_of

if TYPE_CHECKING:
    from watchkeeper.ports.ledger import Ledger


BATCH = 262_144
LOOK_BACK = timedelta(days=3)
"""Beyond the time in which outcomes are waited for, this much more is looked at every time."""
FULL_LOOK_EVERY = timedelta(days=1)
AHEAD = timedelta(hours=1)
"""Clocks differ by less."""
INSTANT = pa.timestamp("us", tz="UTC")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def open_table(model: WatchedModel, folder: Path, *, location: str | None = None) -> TableReader:
    """The reader of a model's own table; paths are relative to *folder*.

    *location* is the model's, with its secrets resolved.

    Raises
    ------
    BadConfig
        the location cannot be understood.
    """
    source = model.table
    if source is None:
        raise BadConfig(f"The model {model.name!r} has no table of its own.", "Add [models.*.table].")
    where = location or source.location
    engine: _Engine
    if where.startswith(("postgresql://", "postgres://", "postgresql+psycopg://")):
        engine = _Postgres(where, source.query, model.name)
    else:
        engine = _Duck(where, source.query, folder, model.name)
    return TableReader(model, source, engine)


class _Engine(Protocol):
    """What reads: SQL over one relation, called ``t`` in the queries."""

    relation: str
    mark: str
    """How a parameter is written."""

    def columns(self) -> dict[str, pa.DataType]:
        """Columns and their types."""
        ...

    def batches(self, sql: str, parameters: Sequence[Any]) -> Iterator[pa.RecordBatch]:
        """Rows of a query."""
        ...

    def floor_us(self, column: str, width_us: int) -> str:
        """Start of the window, in microseconds since 1970, that an instant lies in."""
        ...


class TableReader:
    """Windows of a user's own table, under the names of the lake."""

    def __init__(self, model: WatchedModel, source: TableSource, engine: _Engine) -> None:
        self._model, self._source, self._engine = model, source, engine
        self._types: dict[str, pa.DataType] | None = None
        self._ticks: int | None = None

    @property
    def _named(self) -> dict[str, str]:
        """The table's own column by the lake's name."""
        c = self._source.columns
        pairs = {
            "wk_at": c.time,
            "wk_id": c.id,
            "wk_version": c.version,
            "wk_prediction": c.prediction,
            "wk_score": c.score,
            "wk_actual": c.outcome,
        }
        return {lake: own for lake, own in pairs.items() if own}

    def _own(self) -> dict[str, pa.DataType]:
        if self._types is None:
            self._types = self._engine.columns()
            for lake, own in self._named.items():
                if own not in self._types:
                    raise BadConfig(
                        f"The table of {self._model.name!r} has no column {own!r} (for {lake.removeprefix('wk_')})."
                        f"{nearest(own, self._types)}",
                        f"It has: {', '.join(self._types)}.",
                    )
        return self._types

    def columns(self) -> dict[str, pa.DataType]:
        """Columns as the lake would name them, with their types."""
        types, by_own = self._own(), {own: lake for lake, own in self._named.items()}
        return {by_own.get(name, name): kind for name, kind in types.items()}

    def rows(self, window: Window, *, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Rows of a window, by their time. Of *columns* those are given that there are."""
        there = self.columns()
        named = self._named
        chosen = [n for n in there if columns is None or n in columns or n == "wk_at"]
        listed = ", ".join(f"{_quoted(named.get(n, n))} AS {_quoted(n)}" for n in chosen)
        where, parameters = self._between(window)
        sql = f"SELECT {listed} FROM {self._engine.relation} WHERE {where}"  # noqa: S608 - names are quoted
        for batch in self._engine.batches(sql, parameters):
            yield _as_lake(pa.Table.from_batches([batch]))

    def _between(self, window: Window) -> tuple[str, list[Any]]:
        """A condition on the raw column, so that files and indexes are pruned by it."""
        column, mark = self._comparable(), self._engine.mark
        return f"{column} >= {mark} AND {column} < {mark}", [self._raw(window.start), self._raw(window.end)]

    def _comparable(self) -> str:
        kind, column = self._time_type(), _quoted(self._source.columns.time)
        plain = pa.types.is_timestamp(kind) or pa.types.is_date(kind) or is_number_like(kind)
        return column if plain else f"CAST({column} AS TIMESTAMPTZ)"

    def _raw(self, at: datetime) -> Any:
        """An instant as the column of times has it."""
        kind = self._time_type()
        if pa.types.is_timestamp(kind) and kind.tz is None:
            return at.replace(tzinfo=None)
        if pa.types.is_date(kind):
            return _ceil_date(at)
        if is_number_like(kind):
            return int(at.timestamp() * 1_000_000) * self._a_second() // 1_000_000
        return at

    def _time_type(self) -> pa.DataType:
        return self._own()[self._source.columns.time]

    def _a_second(self) -> int:
        """How much a second counts in a column of numbers: 1, or 1000 where they are milliseconds, and so on.

        Raises
        ------
        BadInput
            they are in several units.
        """
        if self._ticks is None:
            column = _quoted(self._source.columns.time)
            sql = (
                f"SELECT min({column}) AS low, max({column}) AS high FROM {self._engine.relation} "  # noqa: S608
                f"WHERE {column} >= {LEAST_NUMBER:.0f} AND {column} < {2**63}"
            )
            found = next(iter(self._engine.batches(sql, []))).to_pylist()[0]
            if found["low"] is None:
                return 1
            low, high = (ticks_a_second(float(found[end])) for end in ("low", "high"))
            if low != high:
                raise BadInput(
                    f"The times of {self._model.name!r} in {self._source.columns.time!r} count in several units, from "
                    f"{found['low']} to {found['high']}.",
                    "Give a query that brings them to one.",
                )
            self._ticks = low
        return self._ticks

    def counts(self, window: Window) -> dict[Window, tuple[int, int]]:
        """Rows and outcomes of every stored window that has any within *window*."""
        kind, outcome = self._time_type(), self._source.columns.outcome
        column = _quoted(self._source.columns.time)
        width = self._model.cadence // timedelta(microseconds=1)
        a_second = 1_000_000
        if is_number_like(kind):
            a_second = self._a_second()
            ticks = width * a_second // 1_000_000
            whole = pa.types.is_integer(kind)
            start = f"{column} - mod({column}, {ticks})" if whole else f"floor({column} / {ticks}) * {ticks}"
        else:
            if not (pa.types.is_timestamp(kind) and kind.tz is not None):
                column = f"CAST({column} AS TIMESTAMPTZ)"
            start = self._engine.floor_us(column, width)
        counted = f"count({_quoted(outcome)})" if outcome else "0"
        where, parameters = self._between(window)
        sql = (
            f"SELECT {start} AS start, count(*) AS n, {counted} AS outcomes "  # noqa: S608
            f"FROM {self._engine.relation} WHERE {where} GROUP BY 1"
        )
        out = {}
        for batch in self._engine.batches(sql, parameters):
            for row in batch.to_pylist():
                start_at = EPOCH + timedelta(microseconds=int(row["start"]) * 1_000_000 // a_second)
                out[Window(start_at, start_at + self._model.cadence)] = (
                    int(row["n"]),
                    int(row["outcomes"] or 0),
                )
        return out

    def _in_no_window(self, now: datetime) -> dict[str, int]:
        """Rows that no window sees: without a time, ahead of the clock, or before 2 January 1970."""
        column, mark = self._comparable(), self._engine.mark
        sql = (
            f"SELECT count(*) - count({column}) AS missing, "  # noqa: S608
            f"sum(CASE WHEN {column} > {mark} THEN 1 ELSE 0 END) AS ahead, "
            f"sum(CASE WHEN {column} < {mark} THEN 1 ELSE 0 END) AS early FROM {self._engine.relation}"
        )
        bounds = [self._raw(now + AHEAD), self._raw(EPOCH + timedelta(days=1))]
        found = next(iter(self._engine.batches(sql, bounds))).to_pylist()[0]
        return {name: int(found[name] or 0) for name in ("missing", "ahead", "early")}

    def mark_changes(self, ledger: Ledger, now: datetime, lease: Lease | None = None) -> int:
        """Mark every window whose rows or outcomes are not those that were measured; return how many.

        Every time the stretch is looked at in which outcomes are still waited for; once a day, all of it.
        """
        name = self._model.name
        known = ledger.facts.document("table_look", name)
        last = datetime.fromisoformat(known.body["full_at"]) if known is not None else None
        full = last is None or now - last >= FULL_LOOK_EVERY
        start = EPOCH if full else now - self._model.maturity.after - LOOK_BACK
        counts = self.counts(Window(start, max(now, start + timedelta(days=1)) + self._model.cadence))
        measured = {
            s.key.window: s
            for s in ledger.windows.windows(name, start=start, limit=1_000_000)
            if s.key.window.length == self._model.cadence and not s.key.version
        }
        changed = []
        for window in sorted({*counts, *(w for w, s in measured.items() if s.rows and w.start >= start)}):
            state = measured.get(window)
            seen = (state.rows, state.outcomes) if state is not None and state.generation else None
            if seen != counts.get(window, (0, 0)) and not (state is not None and state.dirty):
                changed.append(WindowKey(model=name, window=window))
        if changed:
            ledger.windows.mark_dirty(changed, reason="the table has changed", lease=lease)
        if full or changed:
            lost = self._in_no_window(now) if full or known is None else known.body.get("in_no_window", {})
            body = {
                "in_no_window": lost,
                "full_at": (now if full else last or now).isoformat(),
                "windows": len(counts),
                "changed": len(changed),
            }
            document = Document(
                kind="table_look",
                key=name,
                model=name,
                body=body,
                updated_at=now,
                revision=0 if known is None else known.revision,
            )
            ledger.facts.append([], [document], lease=lease)
        return len(changed)


class _Duck:
    """Files, Delta tables and DuckDB databases, through DuckDB."""

    mark = "?"

    def __init__(self, location: str, query: str | None, folder: Path, model: str) -> None:
        self._model = model
        self._database: Path | None = None
        self._delta: Path | None = None
        if location.startswith("duckdb://"):
            # As in other URLs: three slashes for a path from here, four for one from the root.
            self._database = folder / location.removeprefix("duckdb://").removeprefix("/")
            if not query:
                raise BadConfig(f"Which table of {location}?", 'Add  query = "TABLE"  or a SELECT.')
            self.relation = _relation(query)
            return
        if "://" in location:
            raise BadConfig(
                f"A table at {location.partition('://')[0]}:// cannot be watched in place.",
                "Known: a path or glob of Parquet or CSV, a Delta folder, postgresql://, duckdb:///FILE.",
            )
        path = folder / location
        if (path / "_delta_log").is_dir():
            self._delta = path
            self.relation = "t"
            return
        text = str(path)
        if path.is_dir():
            kinds = sorted({p.suffix for p in path.rglob("*") if p.suffix in (".parquet", ".csv", ".gz")})
            text = str(path / "**" / f"*{kinds[0] if kinds else '.parquet'}")
        reader = "read_csv" if ".csv" in text or text.endswith(".tsv") else "read_parquet"
        self.relation = f"{reader}('{text.replace(chr(39), chr(39) * 2)}', union_by_name = true)"

    def columns(self) -> dict[str, pa.DataType]:
        """See `_Engine`."""
        with interruptible(), closing(self._connect()) as connection:
            schema = self._run(connection, f"SELECT * FROM {self.relation} LIMIT 0", []).schema  # noqa: S608
        return {f.name: f.type for f in schema}

    def batches(self, sql: str, parameters: Sequence[Any]) -> Iterator[pa.RecordBatch]:
        """See `_Engine`."""
        with interruptible(), closing(self._connect()) as connection:
            yield from self._run(connection, sql, parameters)

    def floor_us(self, column: str, width_us: int) -> str:
        """See `_Engine`."""
        return f"epoch_us({column}) // {width_us} * {width_us}"

    def _run(self, connection: Any, sql: str, parameters: Sequence[Any]) -> Any:
        import duckdb

        try:
            return connection.execute(sql, list(parameters)).to_arrow_reader(BATCH)
        except duckdb.IOException as cause:
            raise StoreUnavailable(
                f"The table of {self._model!r} cannot be read just now: {str(cause).splitlines()[0]}"
            ) from cause
        except duckdb.Error as cause:
            raise BadInput(
                f"The table of {self._model!r} cannot be read: {str(cause).splitlines()[0]}",
                "See [models.*.table] in watchkeeper.toml.",
            ) from cause

    def _connect(self) -> Any:
        import duckdb

        try:
            if self._database is not None:
                if not self._database.exists():
                    raise StoreUnavailable(f"There is no database {self._database}.")
                connection = duckdb.connect(str(self._database), read_only=True)
            else:
                connection = duckdb.connect(":memory:")
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("SET memory_limit = '1200MB'")
            if self._delta is not None:
                connection.register("t", self._dataset())
            return connection
        except duckdb.Error as cause:
            raise StoreUnavailable(
                f"The database {self._database} cannot be opened just now: {str(cause).splitlines()[0]}"
            ) from cause

    def _dataset(self) -> Any:
        try:
            from deltalake import DeltaTable
            from deltalake.exceptions import DeltaError
        except ImportError as cause:
            raise MissingExtra(adapter="Delta table", library="deltalake", extra="server") from cause
        try:
            return DeltaTable(str(self._delta)).to_pyarrow_dataset()
        except (DeltaError, OSError) as cause:
            raise StoreUnavailable(
                f"The Delta table of {self._model!r} cannot be read just now: {str(cause).splitlines()[0]}"
            ) from cause


class _Postgres:
    """PostgreSQL, through a cursor that stays on the server."""

    mark = "%s"

    def __init__(self, url: str, query: str | None, model: str) -> None:
        self._url = "postgresql://" + url.partition("://")[2]
        self._model = model
        if not query:
            raise BadConfig(
                f"Which table of the database does {model!r} watch?", 'Add  query = "TABLE"  or a SELECT.'
            )
        self.relation = _relation(query)

    def columns(self) -> dict[str, pa.DataType]:
        """See `_Engine`."""
        with closing(self._connect()) as connection, connection.cursor() as cursor:
            self._run(cursor, f"SELECT * FROM {self.relation} LIMIT 0", [])  # noqa: S608
            return {c.name: _POSTGRES_TYPES.get(c.type_code, pa.string()) for c in cursor.description or ()}

    def batches(self, sql: str, parameters: Sequence[Any]) -> Iterator[pa.RecordBatch]:
        """See `_Engine`."""
        with closing(self._connect()) as connection, connection.cursor(name="watchkeeper") as cursor:
            cursor.itersize = 50_000
            self._run(cursor, sql, parameters)
            while rows := self._fetch(cursor):
                fields = [(c.name, _POSTGRES_TYPES.get(c.type_code, pa.string())) for c in cursor.description]
                columns = [_values(column, kind) for column, (_, kind) in zip(zip(*rows), fields)]
                yield pa.RecordBatch.from_arrays(columns, names=[n for n, _ in fields])

    def floor_us(self, column: str, width_us: int) -> str:
        """See `_Engine`."""
        return f"floor(extract(epoch from {column}) * 1000000 / {width_us})::bigint * {width_us}"

    def _fetch(self, cursor: Any) -> list[Any]:
        import psycopg

        try:
            return list(cursor.fetchmany(50_000))
        except psycopg.Error as cause:
            raise self._told(cause) from cause

    def _run(self, cursor: Any, sql: str, parameters: Sequence[Any]) -> None:
        import psycopg

        try:
            cursor.execute(
                sql.replace("%", "%%").replace("%%s", "%s") if parameters else sql, list(parameters) or None
            )
        except psycopg.OperationalError as cause:
            raise self._told(cause) from cause
        except psycopg.Error as cause:
            raise BadInput(
                f"The table of {self._model!r} cannot be read: {str(cause).splitlines()[0]}",
                "See [models.*.table] in watchkeeper.toml.",
            ) from cause

    def _connect(self) -> Any:
        try:
            import psycopg
        except ImportError as cause:
            raise MissingExtra(adapter="PostgreSQL table", library="psycopg", extra="postgres") from cause
        try:
            connection = psycopg.connect(self._url, connect_timeout=10)
            connection.read_only = True
            connection.execute("SET TIME ZONE 'UTC'")
            return connection
        except psycopg.Error as cause:
            raise self._told(cause) from cause

    def _told(self, cause: Exception) -> StoreUnavailable:
        first = (str(cause).strip().splitlines() or ["no answer"])[0]
        return StoreUnavailable(f"The database of {self._model!r} does not answer: {first}")


_POSTGRES_TYPES: dict[int, pa.DataType] = {
    16: pa.bool_(),
    20: pa.int64(),
    21: pa.int64(),
    23: pa.int64(),
    700: pa.float64(),
    701: pa.float64(),
    1700: pa.float64(),
    1082: pa.date32(),
    1114: pa.timestamp("us"),
    1184: INSTANT,
}
"""Type numbers of PostgreSQL's catalogue (pg_type); what is not here is read as text."""


def _values(column: tuple[Any, ...], kind: pa.DataType) -> pa.Array:
    if pa.types.is_floating(kind):
        return pa.array([None if v is None else float(v) for v in column], kind)
    if pa.types.is_string(kind):
        return pa.array([None if v is None else str(v) for v in column], kind)
    return pa.array(column, kind)


def _as_lake(table: pa.Table) -> pa.Table:
    """Times as instants, ids and versions as text, numbers as numbers: as recorded rows are."""
    for place, name in enumerate(table.column_names):
        column = table[name]
        kind = column.type
        if name == "wk_at":
            if is_number_like(kind):
                us = values_of(column, Column(name=name, kind=Kind.DATETIME)).data
                column = pa.Array.from_buffers(pa.int64(), len(us), [None, pa.py_buffer(us)])
            elif pa.types.is_timestamp(kind):
                column = column.cast(pa.timestamp("us", kind.tz), safe=False)
            elif pa.types.is_date(kind):
                column = column.cast(pa.timestamp("us"))
            table = table.set_column(place, name, column.cast(INSTANT))
        elif name == "wk_id":
            table = table.set_column(place, name, ids_of(column).texts)
        elif name == "wk_version" and not pa.types.is_string(kind):
            table = table.set_column(place, name, column.cast(pa.string()))
        elif pa.types.is_decimal(kind):
            table = table.set_column(place, name, column.cast(pa.float64()))
    return table


def _relation(query: str) -> str:
    text = query.strip().rstrip(";")
    if text.lower().startswith(("select", "with", "from")):
        return f"({text}) AS t"
    return ".".join(_quoted(part) for part in text.split("."))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _ceil_date(at: datetime) -> Any:
    """The first date whose midnight is not before *at*."""
    midnight = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return (midnight if midnight == at else midnight + timedelta(days=1)).date()
