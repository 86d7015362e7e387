"""The lake as Delta tables, in a folder or in an object store.

For each model: ``predictions`` and ``outcomes`` (partitioned by the day of the prediction, so that an outcome
lies beside what it belongs to), ``profiles`` (one row for each window and part), ``profile_rollups`` (the same merged
by day and month), and ``places`` (hash of id to hour, only for ids that do not hold their own time).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from watchkeeper.adapters.lakes import quarantine
from watchkeeper.adapters.lakes.files import DeltaFiles
from watchkeeper.adapters.lakes.fitting import RESCUED, fit
from watchkeeper.adapters.lakes.profiles import DeltaProfiles
from watchkeeper.adapters.lakes.reading import days_of, duckdb_cursor, no_hooks, quoted, text_of, told
from watchkeeper.adapters.lakes.tables import (
    BUCKETS,
    HASH,
    INSTANT,
    TABLES,
    UNPLACED,
    fields_of,
)
from watchkeeper.domain.window import Window
from watchkeeper.errors import BadInput, MissingExtra
from watchkeeper.ports.lake import Origin, Position
from watchkeeper.ports.quarantine import DeadLetter

if TYPE_CHECKING:
    from deltalake import CommitProperties, DeltaTable


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
    """See `watchkeeper.ports.lake.Lake`."""

    def __init__(self, path: str | Path, *, options: dict[str, str]) -> None:
        self.files = DeltaFiles(path, options=options)
        self._profiles: dict[str, DeltaProfiles] = {}

    # ---- writing -------------------------------------------------------------------------------------

    def append(self, model: str, table: str, rows: pa.Table, *, origin: Origin) -> int:
        """See `watchkeeper.ports.lake.EventLog`."""
        with self.files.lock:
            fitted, _ = fit(_hashed(rows), self.columns(model, table) or dict(fields_of(TABLES[table])))
            return self.files.append(model, table, fitted, origin)

    def drained(self, model: str, table: str, source: str) -> Position:
        """See `watchkeeper.ports.lake.EventLog`."""
        return self.files.drained(model, table, source)

    # ---- reading -------------------------------------------------------------------------------------

    def columns(self, model: str, table: str) -> dict[str, pa.DataType]:
        """See `watchkeeper.ports.lake.Rows`."""
        with self.files.lock, told(f"the {table} of {model}"):
            handle = self.files.handle(model, table)
            return {} if handle is None else self.files.columns(handle)

    def joined(
        self, model: str, window: Window, *, version: str | None = None, columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """See `watchkeeper.ports.lake.Rows`. Memory is bounded: batches stream, and the join spills to disk."""
        with told(f"the predictions of {model}"):
            predictions = self.files.scan(model, "predictions", days_of(window))
            if predictions is None:
                return
            outcomes = self.files.scan(model, "outcomes", days_of(window))
            names = [n for n in predictions.names if n not in ("wk_day", HASH)]
            if columns is not None:
                missing = [c for c in columns if c not in (*names, HASH, "wk_actual", "wk_outcome_at")]
                if missing:
                    raise BadInput(f"The predictions of {model} have no column {missing[0]!r}.")
                names = [n for n in (*names, HASH) if n in columns]
            with duckdb_cursor() as connection:
                predictions.register(connection, "predictions")
                where = ["p.wk_at >= $start", "p.wk_at < $end"]
                parameters: dict[str, Any] = {"start": window.start, "end": window.end}
                if version is not None:
                    where.append("p.wk_version = $version")
                    parameters["version"] = version
                hashed = predictions.is_hashed(connection, "predictions")
                read = names if hashed else list(dict.fromkeys("wk_id" if n == HASH else n for n in names))
                listed = ", ".join(f"p.{quoted(n)}" for n in read)
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
        """See `watchkeeper.ports.lake.Placement`."""
        placed = self.place(model, ids)
        hours = pc.floor_temporal(pc.drop_null(placed), unit="hour")
        return [(v["values"].as_py(), v["counts"].as_py()) for v in pc.value_counts(hours)]

    def place(self, model: str, ids: pa.Array) -> pa.Array:
        """See `watchkeeper.ports.lake.Placement`: from the ids themselves, or from the index."""
        import numpy as np

        from watchkeeper.stats.hashing import hash_texts

        own = _time_in(ids)
        index = self.files.scan(model, "places", None)
        if index is None or not len(ids):
            return own
        hashes = np.asarray(hash_texts(ids.to_pylist())).view(np.int64)
        wanted = pa.table({"wk_hash": pa.array(hashes), "n": pa.array(range(len(ids)))})
        with duckdb_cursor() as connection:
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

    def note_places(self, model: str, ids: pa.Array, at: pa.Array, *, origin: Origin) -> int:
        """See `watchkeeper.ports.lake.Placement`. Ids whose own time lies in another hour are remembered too."""
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
        return self.files.append(model, "places", rows, origin)

    def known_ids(self, model: str, table: str, ids: pa.Array, days: Sequence[str]) -> set[str]:
        """See `watchkeeper.ports.lake.EventLog`."""
        if not len(ids):
            return set()
        # Time-ordered ids lie between few bounds, so all but the newest files are passed over unread.
        bounds = pc.min_max(ids)
        between = f"wk_id >= {text_of(bounds['min'].as_py())} AND wk_id <= {text_of(bounds['max'].as_py())}"
        scan = self.files.scan(model, table, list(days), also=between)
        if scan is None:
            return set()
        with duckdb_cursor() as connection:
            scan.register(connection, "rows")
            connection.register("wanted", pa.table({"wk_id": ids}))
            found = connection.execute("SELECT DISTINCT wk_id FROM rows SEMI JOIN wanted USING (wk_id)")
            return {row[0] for row in found.fetchall()}

    def days(self, model: str, table: str = "predictions") -> list[str]:
        """See `watchkeeper.ports.lake.Rows`."""
        with self.files.lock, told(f"the {table} of {model}"):
            handle = self.files.handle(model, table)
            if handle is None:
                return []
            return sorted({str(p["wk_day"]) for p in handle.partitions()} - {UNPLACED})

    def take_unplaced(self, model: str) -> pa.Table | None:
        """See `watchkeeper.ports.lake.Placement`."""
        scan = self.files.scan(model, "outcomes", [UNPLACED])
        if scan is None:
            return None
        with duckdb_cursor() as connection:
            scan.register(connection, "rows")
            rows = connection.sql("SELECT * FROM rows").to_arrow_table()
        return rows if rows.num_rows else None

    def drop_unplaced(self, model: str, ids: Sequence[str], *, token: int) -> None:
        """See `watchkeeper.ports.lake.Placement`."""
        among = f"wk_day = '{UNPLACED}' AND wk_id"
        for chunk in _chunks([text_of(id) for id in ids], 1000):
            self._delete(model, "outcomes", f"{among} IN ({', '.join(chunk)})", token)

    def waiting_outcomes(self, model: str) -> int:
        """See `watchkeeper.ports.lake.Placement`."""
        scan = self.files.scan(model, "outcomes", [UNPLACED])
        if scan is None:
            return 0
        with duckdb_cursor() as connection:
            scan.register(connection, "rows")
            return int(connection.sql("SELECT count(DISTINCT wk_id) FROM rows").fetchall()[0][0])

    def some_ids(self, model: str, count: int) -> list[str]:
        """See `watchkeeper.ports.lake.EventLog`."""
        days = self.days(model)
        scan = self.files.scan(model, "predictions", days[-1:]) if days else None
        if scan is None:
            return []
        with duckdb_cursor() as connection:
            scan.register(connection, "rows")
            return [row[0] for row in connection.sql(f"SELECT wk_id FROM rows LIMIT {int(count)}").fetchall()]  # noqa: S608

    def counters(self, model: str, start: datetime, end: datetime) -> dict[str, int]:
        """See `watchkeeper.ports.lake.EventLog`."""
        days = None if end - start > timedelta(days=800) else days_of(Window(start, end))
        scan = self.files.scan(model, "counters", days)
        if scan is None:
            return {}
        names = [n for n in scan.names if n not in ("wk_at", "wk_day", RESCUED)]
        sums = ", ".join(f"coalesce(sum({quoted(n)}), 0)::BIGINT" for n in names)
        with duckdb_cursor() as connection:
            scan.register(connection, "counters")
            row = connection.execute(
                f"SELECT {sums} FROM counters WHERE wk_at >= $start AND wk_at < $end",  # noqa: S608 - names are quoted
                {"start": start, "end": end},
            ).fetchall()[0]
        return dict(zip(names, row))

    # ---- the quarantine ------------------------------------------------------------------------------

    def set_aside(self, model: str, letters: Sequence[DeadLetter], *, origin: Origin) -> int:
        """See `watchkeeper.ports.quarantine.Quarantine`."""
        return quarantine.set_aside(self.files, model, letters, origin)

    def dead_letters(self, model: str) -> list[DeadLetter]:
        """See `watchkeeper.ports.quarantine.Quarantine`."""
        return quarantine.dead_letters(self.files, model)

    def drop_letters(self, model: str, keys: Iterable[tuple[str, int, int]], *, token: int) -> None:
        """See `watchkeeper.ports.quarantine.Quarantine`."""
        with self.files.lock, told(f"the dead letters of {model}"):
            quarantine.drop_letters(self.files, model, keys, token)

    def refusal(self, model: str, table: str, rows: pa.Table) -> str | None:
        """See `watchkeeper.ports.quarantine.Quarantine`."""
        with self.files.lock, told(f"the {table} of {model}"):
            handle = self.files.handle(model, table)
            schema = TABLES[table] if handle is None else pa.schema(handle.schema().to_arrow())
        return quarantine.refusal(schema, table, _hashed(rows))

    # ---- profiles ------------------------------------------------------------------------------------

    def profiles(self, model: str) -> DeltaProfiles:
        """See `watchkeeper.ports.lake.Lake`."""
        with self.files.lock:
            if model not in self._profiles:
                self._profiles[model] = DeltaProfiles(self.files, model)
            return self._profiles[model]

    # ---- upkeep --------------------------------------------------------------------------------------

    def maintain(
        self, model: str, now: datetime, *, token: int, keep: timedelta | None = None
    ) -> Mapping[str, Any]:
        """See `watchkeeper.ports.lake.Rows`."""
        done: dict[str, Any] = {}
        for table in TABLES:
            with self.files.lock, told(f"the {table} of {model}"):
                handle = self.files.handle(model, table)
                if handle is None:
                    continue
                if keep is not None and table in ("predictions", "outcomes"):
                    last = (now - keep).astimezone(UTC).strftime("%Y-%m-%d")
                    expired = [d for d in self.days(model, table) if d < last]
                    if expired:
                        self._delete(model, table, f"wk_day < '{last}' AND wk_day <> '{UNPLACED}'", token)
                        done[f"{table}.expired_days"] = len(expired)
                crowded = self.files.crowded(model, table)
                for cut in crowded:
                    self.files.compact(model, table, cut, token)
                if crowded or f"{table}.expired_days" in done:
                    done[f"{table}.compacted"] = len(crowded)
                    self.files.clean(handle, token)
        return done

    def forget(self, model: str, ids: Sequence[str], *, token: int) -> Mapping[str, Any]:
        """See `watchkeeper.ports.lake.Rows`."""
        import numpy as np

        from watchkeeper.stats.hashing import hash_texts

        with self.files.lock, told(f"the tables of {model}"):
            ids = list(dict.fromkeys(ids))
            hours = sorted(self._hours_of(model, ids))
            counts: dict[str, int] = {}
            for table in ("outcomes", "predictions"):  # a condition finds its rows by the predictions
                handle = self.files.handle(model, table)
                if handle is None:
                    continue
                # A writer that read the journals before they forgot, and slept since, must not write any more.
                self.files.raise_fence(model, table, token)
                counts[table] = 0
                for chunk in _chunks([text_of(id) for id in ids], 1000):
                    counts[table] += self._delete(model, table, f"wk_id IN ({', '.join(chunk)})", token)
                self.files.clean(handle, token)
            # The index of places goes last: it says which windows ids belong to, should this be done again. It
            # holds hashes of ids only, but also a hash says that somebody was there.
            places = self.files.handle(model, "places")
            if places is not None and ids:
                hashes = np.asarray(hash_texts(ids)).view(np.int64).tolist()
                for chunk in _chunks([str(h) for h in hashes], 1000):
                    self._delete(model, "places", f"{HASH} IN ({', '.join(chunk)})", token)
                self.files.clean(places, token)
            return {"hours": hours, **counts}

    def _delete(self, model: str, table: str, where: str, token: int) -> int:
        """Delete rows in one fenced commit; how many there were."""
        deleted = 0

        def write(handle: DeltaTable, properties: CommitProperties) -> None:
            nonlocal deleted
            done = handle.delete(where, commit_properties=properties, post_commithook_properties=no_hooks())
            deleted = int(done.get("num_deleted_rows") or 0)

        self.files.commit(model, table, token, write)
        return deleted

    def matching(self, model: str, *, ids: Sequence[str] = (), where: str | None = None) -> list[str]:
        """See `watchkeeper.ports.lake.Rows`."""
        found = self._ids_where(model, where) if where else []
        if ids:
            listed = ", ".join(map(text_of, ids))
            found += self._ids_where(model, f"wk_id IN ({listed})")
        return list(dict.fromkeys(found))

    def _ids_where(self, model: str, where: str) -> list[str]:
        import duckdb

        scan = self.files.scan(model, "predictions", None)
        if scan is None:
            return []
        with duckdb_cursor() as connection:
            scan.register(connection, "predictions")
            try:
                rows = connection.execute(f"SELECT wk_id FROM predictions WHERE ({where})").fetchall()  # noqa: S608
            except duckdb.Error as cause:
                raise BadInput(f"The condition cannot be used: {str(cause).splitlines()[0]}.") from cause
        return [r[0] for r in rows]

    def _hours_of(self, model: str, ids: Sequence[str]) -> set[datetime]:
        scan = self.files.scan(model, "predictions", None)
        if scan is None or not ids:
            return set()
        with duckdb_cursor() as connection:
            scan.register(connection, "predictions")
            connection.register("wanted", pa.table({"wk_id": pa.array(ids, pa.string())}))
            rows = connection.sql(
                "SELECT DISTINCT date_trunc('hour', wk_at) AS hour FROM predictions SEMI JOIN wanted USING (wk_id)"
            ).to_arrow_table()
        return {at.astimezone(UTC) for at in rows["hour"].to_pylist()}


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


def _chunks(items: list[str], size: int) -> Iterator[list[str]]:
    for at in range(0, len(items), size):
        yield items[at : at + size]
