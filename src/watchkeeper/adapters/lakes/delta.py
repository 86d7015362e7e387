"""The lake as Delta tables, in a folder or in an object store.

For each model: ``predictions`` and ``outcomes`` (partitioned by the day of the prediction, so that an outcome
lies beside what it belongs to), ``profiles`` (one row for each window and part), and ``places`` (hash of id to
hour, only for ids that do not hold their own time).

Exactly once: each append carries (source, sequence) as a Delta application transaction, and the same handle
that reads the last sequence does the write, since Delta accepts the same transaction twice from a fresh one.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import pyarrow as pa
import pyarrow.compute as pc

from watchkeeper.adapters.lakes.fitting import RESCUED, fit
from watchkeeper.domain.window import Window
from watchkeeper.errors import BadInput, MissingExtra, StoreUnavailable
from watchkeeper.rows.interrupts import interruptible

if TYPE_CHECKING:
    from deltalake import DeltaTable

__all__ = ["DeltaLake", "DeltaProfiles", "open_lake"]

INSTANT = pa.timestamp("us", tz="UTC")
HASH = "wk_hash"
"""The id's 64-bit hash, written beside it. Rows are joined by it, which takes half the time that texts take; that
two of n ids share one has a chance under n**2 / 2**65: 3 in a million for ten million rows."""
TABLES: dict[str, pa.Schema] = {
    "predictions": pa.schema(
        [
            ("wk_id", pa.string()),
            (HASH, pa.int64()),
            ("wk_at", INSTANT),
            ("wk_version", pa.string()),
            ("wk_latency_s", pa.float64()),
            ("wk_error", pa.string()),
            ("wk_tags", pa.string()),
            ("wk_rate", pa.float64()),
            ("wk_to_label", pa.bool_()),
            (RESCUED, pa.string()),
            ("wk_day", pa.string()),
        ]
    ),
    "outcomes": pa.schema(
        [
            ("wk_id", pa.string()),
            (HASH, pa.int64()),
            ("wk_at", INSTANT),
            ("wk_received", INSTANT),
            ("wk_order", pa.int64()),
            ("wk_revision", pa.bool_()),
            (RESCUED, pa.string()),
            ("wk_day", pa.string()),
        ]
    ),
    "counters": pa.schema([("wk_at", INSTANT), ("wk_day", pa.string())]),
    "places": pa.schema(
        [(HASH, pa.int64()), ("wk_at", INSTANT), ("wk_bucket", pa.string())],
    ),
    "profiles": pa.schema(
        [
            ("start", INSTANT),
            ("end", INSTANT),
            ("version", pa.string()),
            ("segment", pa.string()),
            ("part", pa.string()),
            ("generation", pa.int64()),
            ("payload", pa.binary()),
            ("wk_day", pa.string()),
        ]
    ),
}
PARTITIONS = {"places": "wk_bucket"}
UNPLACED = "unplaced"
"""The partition of outcomes whose prediction has not been seen yet."""
BUCKETS = 32
SETTINGS = {
    # What forget() removes must also leave old versions of files and of the log.
    "delta.logRetentionDuration": "interval 0 days",
    "delta.deletedFileRetentionDuration": "interval 0 days",
    "delta.enableExpiredLogCleanup": "true",
}
CHECKPOINT_EVERY = 20
COMPACT_AT = 16
"""Files in one partition that make compaction worth its while."""


def open_lake(path: str | Path, *, options: Mapping[str, str] | None = None) -> DeltaLake:
    """Open the lake under *path*: a folder, or ``s3://bucket/prefix`` with *options* for the object store.

    Raises
    ------
    MissingExtra
        deltalake is not installed.
    """
    try:
        import deltalake  # noqa: F401
    except ImportError as cause:
        raise MissingExtra(adapter="Delta lake", library="deltalake", extra="server") from cause
    return DeltaLake(path, options=dict(options or {}))


class DeltaLake:
    """See `watchkeeper.ports.Lake`. One handle a table is kept open; a lock serialises writes of this process."""

    def __init__(self, path: str | Path, *, options: dict[str, str]) -> None:
        self.root = str(path).rstrip("/") if "://" in str(path) else str(Path(path).absolute())
        self.options = options
        self._handles: dict[tuple[str, str], DeltaTable] = {}
        self._lock = threading.RLock()
        self._profiles: dict[str, DeltaProfiles] = {}

    # ---- writing -------------------------------------------------------------------------------------

    def append(self, model: str, table: str, rows: pa.Table, *, source: str, sequence: int) -> int:
        """See `watchkeeper.ports.Lake`. Returns 0 when (*source*, *sequence*) is there already.

        Raises
        ------
        StoreUnavailable
            the table cannot be written just now; nothing of *rows* was.
        """
        with self._lock:
            fitted, _ = fit(_hashed(rows), self.columns(model, table) or dict(_fields(TABLES[table])))
            return self._append(model, table, fitted, source=source, sequence=sequence)

    def drained(self, model: str, table: str, source: str) -> int:
        """The last sequence of *source* that is in the table; 0 before the first."""
        with self._lock, _told(f"the {table} of {model}"):
            handle = self._handle(model, table)
            return 0 if handle is None else handle.transaction_version(source) or 0

    # ---- reading -------------------------------------------------------------------------------------

    def columns(self, model: str, table: str) -> dict[str, pa.DataType]:
        """The columns of a table; empty before its first row."""
        with self._lock, _told(f"the {table} of {model}"):
            handle = self._handle(model, table)
            return {} if handle is None else self._columns(handle)

    def joined(
        self, model: str, window: Window, *, version: str | None = None, columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """See `watchkeeper.ports.Lake`. Memory is bounded: batches stream, and the join spills to disk."""
        with _told(f"the predictions of {model}"):
            predictions = self._scan(model, "predictions", _days(window))
            if predictions is None:
                return
            outcomes = self._scan(model, "outcomes", _days(window))
            names = [n for n in predictions.names if n not in ("wk_day", HASH)]
            if columns is not None:
                missing = [c for c in columns if c not in (*names, HASH, "wk_actual", "wk_outcome_at")]
                if missing:
                    raise BadInput(f"The predictions of {model} have no column {missing[0]!r}.")
                names = [n for n in (*names, HASH) if n in columns]
            with _duckdb() as connection:
                predictions.register(connection, "predictions")
                where = ["p.wk_at >= $start", "p.wk_at < $end"]
                parameters: dict[str, Any] = {"start": window.start, "end": window.end}
                if version is not None:
                    where.append("p.wk_version = $version")
                    parameters["version"] = version
                hashed = predictions.is_hashed(connection, "predictions")
                read = names if hashed else list(dict.fromkeys("wk_id" if n == HASH else n for n in names))
                listed = ", ".join(f"p.{_quoted(n)}" for n in read)
                filters = " AND ".join(where)
                if outcomes is None or (columns is not None and "wk_actual" not in columns):
                    query = f"SELECT {listed} FROM predictions p WHERE {filters}"  # noqa: S608 - names are quoted
                else:
                    outcomes.register(connection, "outcomes")
                    by = HASH if hashed and outcomes.is_hashed(connection, "outcomes") else "wk_id"
                    actual = "wk_actual" if "wk_actual" in outcomes.names else "NULL::VARCHAR AS wk_actual"
                    query = (
                        f"SELECT {listed}, o.wk_actual, o.wk_at AS wk_outcome_at FROM predictions p "  # noqa: S608
                        f"LEFT JOIN (SELECT {by}, {actual}, wk_at FROM {_latest(connection)}) o ON o.{by} = p.{by} "
                        f"WHERE {filters}"
                    )
                batches = _ahead(connection.sql(query, params=parameters).to_arrow_reader(131_072))
                yield from (
                    batches if hashed or HASH not in names else (_with_hashes(b, names) for b in batches)
                )

    def windows_of(self, model: str, ids: pa.Array) -> list[tuple[datetime, int]]:
        """See `watchkeeper.ports.Lake`."""
        placed = self.place(model, ids)
        hours = pc.floor_temporal(pc.drop_null(placed), unit="hour")
        return [(v["values"].as_py(), v["counts"].as_py()) for v in pc.value_counts(hours)]

    def place(self, model: str, ids: pa.Array) -> pa.Array:
        """When the predictions with these *ids* were made (null: not known yet), from the ids or from the index."""
        import numpy as np

        from watchkeeper.stats.hashing import hash_texts

        own = _time_in(ids)
        index = self._scan(model, "places", None)
        if index is None or not len(ids):
            return own
        hashes = np.asarray(hash_texts(ids.to_pylist())).view(np.int64)
        wanted = pa.table({"wk_hash": pa.array(hashes), "n": pa.array(range(len(ids)))})
        with _duckdb() as connection:
            index.register(connection, "places")
            connection.register("wanted", wanted)
            found = connection.sql(
                "SELECT w.n, max(p.wk_at) AS at FROM wanted w JOIN places p ON p.wk_hash = w.wk_hash "
                "AND p.wk_bucket = (w.wk_hash & 31)::VARCHAR GROUP BY w.n"
            ).to_arrow_table()
        times = own.to_pylist()
        for n, at in zip(found["n"].to_pylist(), found["at"].to_pylist()):
            times[n] = at
        return pa.array(times, INSTANT)

    def note_places(self, model: str, ids: pa.Array, at: pa.Array, *, source: str, sequence: int) -> int:
        """Remember when predictions were made whose ids do not say it (or say another hour)."""
        import numpy as np

        from watchkeeper.stats.hashing import hash_texts

        own = _time_in(ids)
        hour = pc.floor_temporal(at, unit="hour")
        silent = pc.fill_null(pc.not_equal(pc.floor_temporal(own, unit="hour"), hour), True)
        ids, at = ids.filter(silent), at.filter(silent)
        if not len(ids):
            return 0
        hashes = np.asarray(hash_texts(ids.to_pylist())).view(np.int64)
        order = np.argsort(hashes)
        rows = pa.table(
            {
                "wk_hash": pa.array(hashes[order]),
                "wk_at": at.take(pa.array(order)),
                "wk_bucket": pa.array([str(int(h) & (BUCKETS - 1)) for h in hashes[order]]),
            }
        )
        return self._append(model, "places", rows, source=source, sequence=sequence)

    def known_ids(self, model: str, table: str, ids: pa.Array, days: Sequence[str]) -> set[str]:
        """Which of *ids* are in the table on these *days* already."""
        if not len(ids):
            return set()
        # Time-ordered ids lie between few bounds, so all but the newest files are passed over unread.
        bounds = pc.min_max(ids)
        between = f"wk_id >= {_text(bounds['min'].as_py())} AND wk_id <= {_text(bounds['max'].as_py())}"
        scan = self._scan(model, table, list(days), also=between)
        if scan is None:
            return set()
        with _duckdb() as connection:
            scan.register(connection, "rows")
            connection.register("wanted", pa.table({"wk_id": ids}))
            found = connection.execute("SELECT DISTINCT wk_id FROM rows SEMI JOIN wanted USING (wk_id)")
            return {row[0] for row in found.fetchall()}

    def days(self, model: str, table: str = "predictions") -> list[str]:
        """The days that have rows, in order."""
        with self._lock, _told(f"the {table} of {model}"):
            handle = self._handle(model, table)
            if handle is None:
                return []
            return sorted({str(p["wk_day"]) for p in handle.partitions()} - {UNPLACED})

    def take_unplaced(self, model: str) -> pa.Table | None:
        """Outcomes whose prediction had not been seen when they came."""
        scan = self._scan(model, "outcomes", [UNPLACED])
        if scan is None:
            return None
        with _duckdb() as connection:
            scan.register(connection, "rows")
            rows = connection.sql("SELECT * FROM rows").to_arrow_table()
        return rows if rows.num_rows else None

    def drop_unplaced(self, model: str, ids: Sequence[str]) -> None:
        """Remove outcomes from the unplaced ones; they have been written to their own day."""
        with self._lock, _told(f"the outcomes of {model}"):
            handle = self._handle(model, "outcomes")
            if handle is not None:
                for chunk in _chunks(list(ids), 1000):
                    handle.delete(f"wk_day = '{UNPLACED}' AND wk_id IN ({', '.join(map(_text, chunk))})")

    def counters(self, model: str, start: datetime, end: datetime) -> dict[str, int]:
        """What the recorders counted in [start, end), hour by hour: recorded, dropped, sampled_out, ..."""
        days = None if end - start > timedelta(days=800) else _days(Window(start, end))
        scan = self._scan(model, "counters", days)
        if scan is None:
            return {}
        names = [n for n in scan.names if n not in ("wk_at", "wk_day", RESCUED)]
        sums = ", ".join(f"coalesce(sum({_quoted(n)}), 0)::BIGINT" for n in names)
        with _duckdb() as connection:
            scan.register(connection, "counters")
            row = connection.execute(
                f"SELECT {sums} FROM counters WHERE wk_at >= $start AND wk_at < $end",  # noqa: S608 - names are quoted
                {"start": start, "end": end},
            ).fetchall()[0]
        return dict(zip(names, row))

    # ---- profiles ------------------------------------------------------------------------------------

    def profiles(self, model: str) -> DeltaProfiles:
        """See `watchkeeper.ports.Lake`."""
        with self._lock:
            if model not in self._profiles:
                self._profiles[model] = DeltaProfiles(self, model)
            return self._profiles[model]

    # ---- upkeep --------------------------------------------------------------------------------------

    def maintain(self, model: str, now: datetime, *, keep: timedelta | None = None) -> Mapping[str, Any]:
        """See `watchkeeper.ports.Lake`. Rows older than *keep* are removed by whole days."""
        done: dict[str, Any] = {}
        for table in TABLES:
            with self._lock, _told(f"the {table} of {model}"):
                handle = self._handle(model, table)
                if handle is None:
                    continue
                if keep is not None and table in ("predictions", "outcomes"):
                    last = (now - keep).astimezone(UTC).strftime("%Y-%m-%d")
                    expired = [d for d in self.days(model, table) if d < last]
                    if expired:
                        handle.delete(f"wk_day < '{last}' AND wk_day <> '{UNPLACED}'")
                        done[f"{table}.expired_days"] = len(expired)
                partition = PARTITIONS.get(table, "wk_day")
                files: dict[str, int] = {}
                for uri in handle.file_uris():
                    day = uri.rpartition(f"{partition}=")[2].partition("/")[0]
                    files[day] = files.get(day, 0) + 1
                crowded = [day for day, count in files.items() if count >= COMPACT_AT]
                for day in crowded:
                    handle.optimize.compact(partition_filters=[(partition, "=", day)])
                if crowded or f"{table}.expired_days" in done:
                    done[f"{table}.compacted"] = len(crowded)
                    self._clean(handle)
        return done

    def forget(self, model: str, *, ids: Sequence[str] = (), where: str | None = None) -> Mapping[str, Any]:
        """See `watchkeeper.ports.Lake`. *where* is a SQL condition on the columns of the predictions table.

        Raises
        ------
        BadInput
            neither ids nor a condition is given, or the condition cannot be read.
        """
        if not ids and not where:
            raise BadInput("Nothing was named that should be forgotten.", "Give --id or --where.")
        with self._lock, _told(f"the tables of {model}"):
            ids = list(dict.fromkeys([*ids, *(self._ids_where(model, where) if where else ())]))
            hours = sorted(self._hours_of(model, ids))
            counts: dict[str, int] = {}
            for table in ("outcomes", "predictions"):  # a condition finds its rows by the predictions
                handle = self._handle(model, table)
                if handle is None:
                    continue
                counts[table] = 0
                for chunk in _chunks(ids, 1000):
                    result = handle.delete(f"wk_id IN ({', '.join(map(_text, chunk))})")
                    counts[table] += int(result.get("num_deleted_rows") or 0)
                self._clean(handle)
            self._forget_places(
                model, ids
            )  # last: it tells which windows ids belong to, should this be done again
            return {"ids": ids, "hours": hours, **counts}

    def matching(self, model: str, *, ids: Sequence[str] = (), where: str | None = None) -> list[str]:
        """The ids of predictions that are among *ids*, or of which *where* is true.

        Raises
        ------
        BadInput
            the condition cannot be read.
        """
        found = self._ids_where(model, where) if where else []
        if ids:
            listed = ", ".join(map(_text, ids))
            found += self._ids_where(model, f"wk_id IN ({listed})")
        return list(dict.fromkeys(found))

    def _forget_places(self, model: str, ids: Sequence[str]) -> None:
        """The index holds hashes of ids only, but also a hash says that somebody was there."""
        import numpy as np

        from watchkeeper.stats.hashing import hash_texts

        handle = self._handle(model, "places")
        if handle is None or not ids:
            return
        hashes = np.asarray(hash_texts(list(ids))).view(np.int64).tolist()
        for chunk in _chunks([str(h) for h in hashes], 1000):
            handle.delete(f"wk_hash IN ({', '.join(chunk)})")
        self._clean(handle)

    def _ids_where(self, model: str, where: str) -> list[str]:
        import duckdb

        scan = self._scan(model, "predictions", None)
        if scan is None:
            return []
        with _duckdb() as connection:
            scan.register(connection, "predictions")
            try:
                rows = connection.execute(f"SELECT wk_id FROM predictions WHERE ({where})").fetchall()  # noqa: S608
            except duckdb.Error as cause:
                raise BadInput(f"The condition cannot be used: {str(cause).splitlines()[0]}.") from cause
        return [r[0] for r in rows]

    def _hours_of(self, model: str, ids: Sequence[str]) -> set[datetime]:
        scan = self._scan(model, "predictions", None)
        if scan is None or not ids:
            return set()
        with _duckdb() as connection:
            scan.register(connection, "predictions")
            connection.register("wanted", pa.table({"wk_id": pa.array(ids, pa.string())}))
            rows = connection.sql(
                "SELECT DISTINCT date_trunc('hour', wk_at) AS hour FROM predictions SEMI JOIN wanted USING (wk_id)"
            ).to_arrow_table()
        return {at.astimezone(UTC) for at in rows["hour"].to_pylist()}

    # ---- inside --------------------------------------------------------------------------------------

    def _uri(self, model: str, table: str) -> str:
        return f"{self.root}/{quote(model, safe='')}/{table}"

    def _handle(self, model: str, table: str, *, create: bool = False) -> DeltaTable | None:
        """The one handle of a table, brought up to date; None when there is no such table yet."""
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
                    partition_by=[PARTITIONS.get(table, "wk_day")],
                    configuration=SETTINGS,
                    storage_options=self.options or None,
                    mode="ignore",
                )
            self._handles[key] = handle
        else:
            handle.update_incremental()
        return handle

    @staticmethod
    def _columns(handle: DeltaTable) -> dict[str, pa.DataType]:
        return dict(_fields(pa.schema(handle.schema().to_arrow())))

    def _append(self, model: str, table: str, rows: pa.Table, *, source: str, sequence: int) -> int:
        from deltalake import CommitProperties, Transaction, write_deltalake

        with self._lock, _told(f"the {table} of {model}"):
            handle = self._handle(model, table, create=True)
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
                post_commithook_properties=_NO_HOOKS(),
            )
            if (handle.version() or 0) % CHECKPOINT_EVERY == 0:
                handle.create_checkpoint()
            return rows.num_rows

    def _scan(self, model: str, table: str, days: list[str] | None, *, also: str = "") -> _Scan | None:
        """The files of a table (of some days) as something that DuckDB reads; None when there are none."""
        with self._lock, _told(f"the {table} of {model}"):
            handle = self._handle(model, table)
            if handle is None:
                return None
            filters: Any = None
            if days is not None:
                filters = f"wk_day IN ({', '.join(map(_text, days))})" + (f" AND {also}" if also else "")
            uris = handle.file_uris(file_pruning_predicate=filters)
            if not uris:
                return None
            columns = self._columns(handle)
            if "://" in self.root:
                return _Scan(list(columns), dataset=handle.to_pyarrow_dataset(file_pruning_predicate=filters))  # type: ignore[arg-type]
            return _Scan(
                list(columns), files=[unquote(u.removeprefix("file://")) for u in uris], types=columns
            )

    @staticmethod
    def _clean(handle: DeltaTable) -> None:
        """Leave no older version behind: neither files nor log entries (whose statistics hold values)."""
        handle.vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
        handle.create_checkpoint()
        handle.cleanup_metadata()


class DeltaProfiles:
    """Profiles of one model: one row for each window and part, the newest generation counts."""

    def __init__(self, lake: DeltaLake, model: str) -> None:
        self._lake, self._model = lake, model

    def put(self, rows: Sequence[Mapping[str, Any]], *, source: str, sequence: int) -> int:
        """Write parts: dicts of start, end, version, segment, part, generation, payload. Exactly once, as `append`."""
        schema = TABLES["profiles"]
        table = pa.Table.from_pylist(
            [{**r, "wk_day": r["start"].astimezone(UTC).strftime("%Y-%m-%d")} for r in rows], schema=schema
        )
        return self._lake._append(self._model, "profiles", table, source=source, sequence=sequence)

    def get(
        self,
        start: datetime,
        end: datetime,
        *,
        version: str | None = None,
        segment: str | None = "",
        parts: Sequence[str] | None = None,
        days: list[str] | None = None,
    ) -> pa.Table:
        """Parts of all windows within [start, end): start, end, version, segment, part, payload, by time.

        *days* reads only windows that start on these days.
        """
        if days is None and end - start <= timedelta(days=800):
            days = _days(Window(start, end))
        scan = self._lake._scan(self._model, "profiles", days)
        names = ["start", "end", "version", "segment", "part", "generation", "payload"]
        if scan is None:
            return pa.table({n: pa.array([], TABLES["profiles"].field(n).type) for n in names})
        where, parameters = ['"start" >= $start', '"end" <= $end'], {"start": start, "end": end}
        for name, value in (("version", version), ("segment", segment)):
            if value is not None:
                where.append(f"{name} = ${name}")
                parameters[name] = value  # type: ignore[assignment]
        if parts is not None:
            where.append("part IN (SELECT unnest($parts))")
            parameters["parts"] = list(parts)  # type: ignore[assignment]
        with _duckdb() as connection:
            scan.register(connection, "profiles")
            return connection.sql(
                # A generation is a whole window: a segment that a later one does not have is gone.
                f"""SELECT {", ".join(_quoted(n) for n in names)} FROM profiles
                JOIN (SELECT "start", "end", max(generation) AS generation FROM profiles
                      WHERE "start" >= $start AND "end" <= $end GROUP BY ALL) USING ("start", "end", generation)
                WHERE {" AND ".join(where)}
                QUALIFY row_number() OVER (PARTITION BY "start", "end", version, segment, part) = 1
                ORDER BY "start", version, segment, part""",  # noqa: S608 - names are ours, values are parameters
                params=parameters,
            ).to_arrow_table()

    def sequence(self, source: str) -> int:
        """The last sequence of *source*; 0 before the first."""
        return self._lake.drained(self._model, "profiles", source)

    def replace_day(self, day: str, rows: pa.Table) -> None:
        """Rewrite one day of profiles: how old days are kept coarser, and older generations go."""
        from deltalake import write_deltalake

        with self._lake._lock, _told(f"the profiles of {self._model}"):
            handle = self._lake._handle(self._model, "profiles", create=True)
            assert handle is not None
            write_deltalake(
                handle,
                rows,
                mode="overwrite",
                predicate=f"wk_day = '{day}'",
                post_commithook_properties=_NO_HOOKS(),
            )
            self._lake._clean(handle)


class _Scan:
    """Rows that DuckDB can read: a list of Parquet files, or an Arrow dataset where DuckDB has no driver."""

    def __init__(
        self,
        names: list[str],
        *,
        files: list[str] | None = None,
        types: Mapping[str, pa.DataType] | None = None,
        dataset: Any = None,
    ) -> None:
        self.names, self._files, self._types, self._dataset = names, files, types or {}, dataset

    def register(self, connection: Any, name: str) -> None:
        """Make the rows known to *connection* under *name*."""
        if self._dataset is not None:
            connection.register(name, self._dataset)
            return
        listed = ", ".join(_text(f) for f in self._files or ())
        keys = {n for n in ("wk_day", "wk_bucket") if n in self.names}
        hive = ", ".join(f"'{k}': VARCHAR" for k in sorted(keys))
        # A column that came later is missing in older files: union_by_name reads it as null there. One that none
        # of these files has (they are all older) is added as null.
        connection.execute(
            f"CREATE TEMP VIEW {name}_files AS SELECT * FROM read_parquet([{listed}], union_by_name = true, "  # noqa: S608
            f"hive_partitioning = true, hive_types = {{{hive}}})"
        )
        present = {r[0] for r in connection.execute(f"DESCRIBE {name}_files").fetchall()}
        nulls = [f"NULL::{_sql_type(self._types[n])} AS {_quoted(n)}" for n in self.names if n not in present]
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


def _ahead(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same batches; the next one is made while one is used."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        coming = thread.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = thread.submit(next, batches, None)
            yield batch


def _hashed(rows: pa.Table) -> pa.Table:
    """*rows* with the hash of each id beside it; null beside an id that is null, which is equal to no other."""
    if "wk_id" not in rows.column_names:
        return rows
    from watchkeeper.stats.hashing import hash_text_array

    ids = rows["wk_id"].combine_chunks().cast(pa.string())
    hashes = pa.array(hash_text_array(ids).view("int64"), mask=ids.is_null().to_numpy(zero_copy_only=False))
    known = [n for n in rows.column_names if n != HASH]
    return rows.select(known).append_column(HASH, hashes)


def _with_hashes(batch: pa.RecordBatch, names: Sequence[str]) -> pa.RecordBatch:
    """A batch of rows that were written without hashes, with the columns *names* and the outcomes."""
    table = _hashed(pa.Table.from_batches([batch]))
    late = [n for n in ("wk_actual", "wk_outcome_at") if n in table.column_names]
    return table.select([*names, *late]).combine_chunks().to_batches()[0]


def _latest(connection: Any) -> str:
    """The outcomes, each id once. Only where one was revised is there anything to sort out."""
    revised = connection.execute("SELECT 1 FROM outcomes WHERE wk_revision LIMIT 1").fetchall()
    if not revised:
        return "outcomes"
    return (
        "(SELECT * FROM outcomes QUALIFY row_number() OVER (PARTITION BY wk_id ORDER BY wk_order DESC) = 1)"
    )


_engines: dict[int, Any] = {}
"""One DuckDB for each process (a forked child must not use its parent's); every reading has a cursor of its own."""
_engine_lock = threading.Lock()


@contextmanager
def _duckdb() -> Iterator[Any]:
    """A cursor of this process's engine: making an engine takes as long as reading a small window."""
    import tempfile

    import duckdb

    with _engine_lock:
        engine = _engines.get(os.getpid())
        if engine is None:
            engine = duckdb.connect(":memory:")
            for setting in (
                "SET memory_limit = '500MB'",
                f"SET temp_directory = {_text(tempfile.gettempdir())}",
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


def _time_in(ids: pa.Array) -> pa.Array:
    """The time that is inside version 7 UUIDs, to the millisecond; null for other ids."""
    text = ids.cast(pa.string())
    is_v7 = pc.fill_null(
        pc.match_substring_regex(
            text, r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$", ignore_case=True
        ),
        False,
    )
    if not pc.any(is_v7).as_py():
        return pa.nulls(len(ids), INSTANT)
    times = [
        int(t[0:8] + t[9:13], 16) * 1000 if ok else None for t, ok in zip(text.to_pylist(), is_v7.to_pylist())
    ]
    return pa.array(times, pa.int64()).cast(INSTANT)


def _days(window: Window) -> list[str]:
    day, days = window.start.date(), []
    last = (window.end - timedelta(microseconds=1)).date()
    while day <= last:
        days.append(day.isoformat())
        day += timedelta(days=1)
    return days


def _fields(schema: pa.Schema) -> list[tuple[str, pa.DataType]]:
    plain = {pa.string_view(): pa.string(), pa.large_string(): pa.string(), pa.binary_view(): pa.binary()}
    return [(f.name, plain.get(f.type, f.type)) for f in schema]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _chunks(items: list[str], size: int) -> Iterator[list[str]]:
    for at in range(0, len(items), size):
        yield items[at : at + size]


def _NO_HOOKS() -> Any:  # noqa: N802 - a constant that cannot be made before the library is imported
    from deltalake import PostCommitHookProperties

    return PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)


class _told:  # noqa: N801 - reads as a word where it stands
    """Say what failed in the user's words; what is ours already passes through."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, failure: BaseException | None, _trace: Any) -> None:
        from deltalake.exceptions import DeltaError

        if isinstance(failure, (DeltaError, OSError, pa.ArrowException)):
            raise StoreUnavailable(
                f"The lake cannot read or write {self.what} just now: {str(failure).strip().splitlines()[0]}",
                "Nothing acknowledged is lost: it stays in the journal until the lake is back.",
            ) from failure
