"""The ledger on SQLAlchemy Core: SQLite (WAL, every commit synced) or PostgreSQL, by URL.

One transaction holds facts and the documents folded from them. Every write may carry a lease: when the ledger
has seen a newer holder, the write is refused, so that a process that slept through its lease does no harm.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from watchkeeper.domain.fact import Document, Fact, Lease
from watchkeeper.domain.series import PlacedMeasurement, WindowKey, WindowState
from watchkeeper.domain.window import Window
from watchkeeper.errors import BadInput, Conflict, LeaseLost, MissingExtra, StoreUnavailable

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy import Connection, Engine

__all__ = ["SqlLedger", "open_ledger"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
DAY_US = 86_400_000_000
CHUNK = 400
"""Names in one IN list: below every database's limit of parameters."""


def open_ledger(url: str | Path) -> SqlLedger:
    """Open the ledger at *url*, making or migrating its tables.

    *url* is a path (SQLite), ``sqlite:///path`` or ``postgresql://user:password@host/database``.

    Raises
    ------
    MissingExtra
        SQLAlchemy, or the PostgreSQL driver, is not installed.
    StoreUnavailable
        the database cannot be reached or written.
    """
    try:
        import sqlalchemy
    except ImportError as cause:
        raise MissingExtra(adapter="ledger", library="sqlalchemy", extra="server") from cause
    text = str(url)
    if "://" not in text:
        path = Path(text).absolute()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as cause:
            raise StoreUnavailable(
                f"The folder of the ledger, {path.parent}, cannot be made: {cause.strerror}."
            ) from cause
        text = f"sqlite:///{path}"
    if text.startswith(("postgres://", "postgresql://")):
        text = "postgresql+psycopg://" + text.partition("://")[2]
    try:
        address = sqlalchemy.make_url(text)
    except sqlalchemy.exc.ArgumentError as cause:
        raise BadInput(
            "The ledger's URL cannot be read.", "Write a path, or postgresql://user@host/name"
        ) from cause
    if address.get_backend_name() not in ("sqlite", "postgresql"):
        raise BadInput(
            f"The ledger cannot live in {address.get_backend_name()!r}.", "Use SQLite or PostgreSQL."
        )
    try:
        engine = _engine(address)
    except ModuleNotFoundError as cause:
        raise MissingExtra(
            adapter="PostgreSQL ledger",
            library="psycopg",
            extra="postgres",
            instead="Or leave [ledger] url empty: SQLite",
        ) from cause
    ledger = SqlLedger(engine)
    with ledger._told():
        _migrate(engine)
    return ledger


def _engine(address: Any) -> Engine:
    import sqlalchemy

    if address.get_backend_name() == "sqlite":
        engine = sqlalchemy.create_engine(address, connect_args={"timeout": 30, "check_same_thread": False})

        @sqlalchemy.event.listens_for(engine, "connect")
        def _prepare(connection: Any, _record: Any) -> None:
            connection.isolation_level = None  # we say BEGIN ourselves, below
            for pragma in (
                "journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000", "cache_size=-32000",
                "secure_delete=ON",
            ):  # fmt: skip
                connection.execute(f"PRAGMA {pragma}")

        @sqlalchemy.event.listens_for(engine, "begin")
        def _begin(connection: Any) -> None:
            # A writer that first reads must hold the lock from the start: upgrading one later can fail.
            reading = connection.get_execution_options().get("reading")
            connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

        return engine
    return sqlalchemy.create_engine(address, pool_pre_ping=True, pool_size=5, max_overflow=10)


def _migrate(engine: Engine) -> None:
    from alembic import command
    from alembic.config import Config

    settings = Config()
    settings.set_main_option(
        "script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%")
    )
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            # Two servers that start together must not both make the tables.
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(820471)")
        settings.attributes["connection"] = connection
        command.upgrade(settings, "head")


class SqlLedger:
    """All narrow stores over one database; each is an attribute: facts, measurements, windows, leases."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.facts = SqlFacts(self)
        self.measurements = SqlMeasurements(self)
        self.windows = SqlWindows(self)
        self.leases = SqlLeases(self)

    @property
    def is_sqlite(self) -> bool:
        """Whether it lives in a file."""
        return self.engine.dialect.name == "sqlite"

    def close(self) -> None:
        """Give back connections."""
        self.engine.dispose()

    def scrub(self) -> None:
        """See `watchkeeper.ports.Ledger`."""
        with self._told():
            if self.is_sqlite:
                # Pages are wiped when they become free (secure_delete); the log still has them as they were.
                with closing(self.engine.raw_connection()) as raw:
                    raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
                return
            engine = self.engine.execution_options(isolation_level="AUTOCOMMIT")
            with engine.connect() as connection:
                connection.exec_driver_sql("VACUUM measurements, latest, rollups, series, documents")

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that only reads."""
        with self._told(), self.engine.connect().execution_options(reading=True) as connection:
            yield connection

    @contextmanager
    def writing(self, lease: Lease | None = None) -> Iterator[Connection]:
        """One transaction; refused when *lease* has been lost."""
        with self._told(), self.engine.begin() as connection:
            if lease is not None:
                self._check(connection, lease)
            yield connection

    def insert(self, table: Any) -> Any:
        """An INSERT that knows ON CONFLICT in this database."""
        from sqlalchemy.dialects import postgresql, sqlite

        return (sqlite if self.is_sqlite else postgresql).insert(table)

    def _check(self, connection: Connection, lease: Lease) -> None:
        from sqlalchemy import select

        from watchkeeper.adapters.ledgers.tables import leases

        query = select(leases.c.token).where(leases.c.name == lease.name)
        if not self.is_sqlite:
            query = query.with_for_update(read=True)
        token = connection.execute(query).scalar()
        if token != lease.token:
            raise LeaseLost(
                f"The lease {lease.name!r} of {lease.holder} has gone to somebody else, so this write was refused.",
                "Nothing is lost: the present holder does the same work.",
            )

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say what a user can do about a database that does not answer; never show its password."""
        from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

        try:
            yield
        except (OperationalError, InterfaceError) as cause:
            place = self.engine.url.render_as_string(hide_password=True)
            raise StoreUnavailable(
                f"The ledger {place} cannot be used just now: {str(cause.orig).strip().splitlines()[0]}.",
                "Nothing acknowledged is lost; the same step can be run again when it is back.",
            ) from cause
        except DBAPIError as cause:
            if cause.connection_invalidated:
                raise StoreUnavailable(
                    "The connection to the ledger broke.", "The same step can be run again."
                ) from cause
            raise


class SqlFacts:
    """Facts and documents."""

    def __init__(self, ledger: SqlLedger) -> None:
        self._ledger = ledger

    def append(
        self, facts: Sequence[Fact], documents: Sequence[Document] = (), *, lease: Lease | None = None
    ) -> list[int]:
        """See `watchkeeper.ports.FactStore`."""
        now = max((f.at for f in facts), default=None)
        sequences: list[int] = []
        with self._ledger.writing(lease) as connection:
            for fact in facts:
                row = {
                    "kind": fact.kind,
                    "at_us": _us(fact.at),
                    "actor": fact.actor,
                    "model": fact.model,
                    "subject": fact.subject,
                    "body": _json(fact.body),
                    "key": fact.key,
                }
                sequences.append(connection.execute(self._new_fact, row).scalar() or 0)
            for document in documents:
                self._put(connection, document, now)
        return sequences

    # Statements are made once: to make one takes longer than to run it, and a storm runs thousands.

    @cached_property
    def _new_fact(self) -> Any:
        from watchkeeper.adapters.ledgers.tables import facts

        insert = self._ledger.insert(facts).on_conflict_do_nothing(index_elements=["key"])
        return insert.returning(facts.c.sequence)

    @cached_property
    def _new_document(self) -> Any:
        from watchkeeper.adapters.ledgers.tables import documents

        return self._ledger.insert(documents).on_conflict_do_nothing()

    @cached_property
    def _changed_document(self) -> Any:
        from sqlalchemy import bindparam, update

        from watchkeeper.adapters.ledgers.tables import documents

        values = ("body", "state", "model", "rank", "due_us", "updated_us", "revision")
        return (
            update(documents)
            .where(
                documents.c.kind == bindparam("its_kind"),
                documents.c.key == bindparam("its_key"),
                documents.c.revision == bindparam("its_revision"),
            )
            .values({name: bindparam(f"new_{name}") for name in values})
        )

    def _put(self, connection: Connection, document: Document, now: datetime | None) -> None:
        at = document.updated_at or now or datetime.now(UTC)
        row = {
            "body": _json(document.body),
            "state": document.state,
            "model": document.model,
            "rank": document.rank,
            "due_us": None if document.due is None else _us(document.due),
            "updated_us": _us(at),
            "revision": document.revision + 1,
        }
        if document.revision == 0:
            new = {"kind": document.kind, "key": document.key, **row}
            written = connection.execute(self._new_document, new).rowcount
        else:
            changed = {f"new_{name}": value for name, value in row.items()}
            changed |= {
                "its_kind": document.kind,
                "its_key": document.key,
                "its_revision": document.revision,
            }
            written = connection.execute(self._changed_document, changed).rowcount
        if not written:
            raise Conflict(
                f"The {document.kind} {document.key!r} was changed by somebody else in the meantime.",
                "Look at it again, then repeat the change.",
            )

    def facts(
        self,
        *,
        after: int = 0,
        kinds: Sequence[str] = (),
        model: str | None = None,
        subject: str | None = None,
        newest_first: bool = False,
        limit: int = 1000,
    ) -> list[Fact]:
        """See `watchkeeper.ports.FactStore`."""
        from sqlalchemy import or_, select

        from watchkeeper.adapters.ledgers.tables import facts

        query = select(facts).where(facts.c.sequence > after).limit(limit)
        if kinds:
            exact = [k for k in kinds if not k.endswith(".*")]
            starts = [facts.c.kind.startswith(k[:-1], autoescape=True) for k in kinds if k.endswith(".*")]
            query = query.where(or_(facts.c.kind.in_(exact), *starts))
        if model is not None:
            query = query.where(facts.c.model == model)
        if subject is not None:
            query = query.where(facts.c.subject == subject)
        query = query.order_by(facts.c.sequence.desc() if newest_first else facts.c.sequence)
        with self._ledger.reading() as connection:
            return [
                Fact(
                    kind=r.kind,
                    at=_time(r.at_us),
                    actor=r.actor,
                    model=r.model,
                    subject=r.subject,
                    body=json.loads(r.body),
                    key=r.key,
                    sequence=r.sequence,
                )
                for r in connection.execute(query)
            ]

    def document(self, kind: str, key: str) -> Document | None:
        """See `watchkeeper.ports.FactStore`."""
        from sqlalchemy import select

        from watchkeeper.adapters.ledgers.tables import documents

        query = select(documents).where(documents.c.kind == kind, documents.c.key == key)
        with self._ledger.reading() as connection:
            row = connection.execute(query).first()
        return None if row is None else _document(row)

    def documents(
        self,
        kind: str,
        *,
        states: Sequence[str] = (),
        model: str | None = None,
        due_before: datetime | None = None,
        limit: int = 1000,
        offset: int = 0,
        order: str = "-updated_at",
    ) -> list[Document]:
        """See `watchkeeper.ports.FactStore`."""
        from watchkeeper.adapters.ledgers.tables import documents

        columns = {
            "updated_at": documents.c.updated_us,
            "rank": documents.c.rank,
            "due": documents.c.due_us,
            "key": documents.c.key,
        }
        name = order.lstrip("-")
        if name not in columns:
            raise BadInput(f"Documents are not ordered by {order!r}.", f"Known: {', '.join(columns)}.")
        query = self._where(kind, states, model, due_before)
        by = columns[name].desc() if order.startswith("-") else columns[name]
        query = query.order_by(by, documents.c.key).limit(limit).offset(offset)
        with self._ledger.reading() as connection:
            return [_document(row) for row in connection.execute(query)]

    def count(self, kind: str, *, states: Sequence[str] = (), model: str | None = None) -> int:
        """See `watchkeeper.ports.FactStore`."""
        from sqlalchemy import func, select

        inner = self._where(kind, states, model, None).subquery()
        with self._ledger.reading() as connection:
            return int(connection.execute(select(func.count()).select_from(inner)).scalar_one())

    def forget(self, keys: Iterable[tuple[str, str]], *, lease: Lease | None = None) -> int:
        """See `watchkeeper.ports.FactStore`."""
        from sqlalchemy import delete

        from watchkeeper.adapters.ledgers.tables import documents

        gone = 0
        with self._ledger.writing(lease) as connection:
            for kind, key in keys:
                gone += connection.execute(
                    delete(documents).where(documents.c.kind == kind, documents.c.key == key)
                ).rowcount
        return gone

    @staticmethod
    def _where(kind: str, states: Sequence[str], model: str | None, due_before: datetime | None) -> Any:
        from sqlalchemy import select

        from watchkeeper.adapters.ledgers.tables import documents

        query = select(documents).where(documents.c.kind == kind)
        if states:
            query = query.where(documents.c.state.in_(list(states)))
        if model is not None:
            query = query.where(documents.c.model == model)
        if due_before is not None:
            query = query.where(documents.c.due_us <= _us(due_before))
        return query


class SqlMeasurements:
    """Series, latest values and daily roll-ups."""

    def __init__(self, ledger: SqlLedger) -> None:
        self._ledger = ledger
        self._ids: dict[tuple[Any, ...], int] = {}
        self._token: int | None = None

    def write(self, rows: Sequence[PlacedMeasurement], *, at: datetime, lease: Lease | None = None) -> int:
        """See `watchkeeper.ports.MeasurementStore`."""
        if not rows:
            return 0
        if lease is not None and lease.token != self._token:
            if self._token is None or lease.token != self._token + 1:
                # Another holder came between; it may have removed series (see `drop_stale`).
                self._ids.clear()
            self._token = lease.token
        try:
            return self._write(rows, _us(at), lease)
        except BaseException:
            # Series that this transaction made are gone with it, and their numbers may go to others.
            self._ids.clear()
            raise

    def _write(self, rows: Sequence[PlacedMeasurement], written_us: int, lease: Lease | None) -> int:
        from watchkeeper.adapters.ledgers import tables

        with self._ledger.writing(lease) as connection:
            ids = self._series_ids(connection, [_series_name(r) for r in rows])
            # The same place twice in one batch: the later one stands (one INSERT may not touch a row twice).
            records: dict[tuple[int, int], dict[str, Any]] = {}
            for row, series_id in zip(rows, ids):
                m, start = row.measurement, _us(row.key.window.start)
                records[series_id, start] = {
                    "series_id": series_id,
                    "start_us": start,
                    "value": m.value,
                    "low": m.interval.low if m.interval else None,
                    "high": m.interval.high if m.interval else None,
                    "margin": m.margin,
                    "p_value": m.p_value,
                    "rows": float(m.rows),
                    "reason": m.reason,
                    "details": _json(m.details) if m.details else None,
                    "written_us": written_us,
                }
            self._upsert(connection, tables.measurements, ["series_id", "start_us"], list(records.values()))
            newest: dict[int, dict[str, Any]] = {}
            for (series_id, start), record in records.items():
                if series_id not in newest or newest[series_id]["start_us"] < start:
                    newest[series_id] = record
            self._upsert(connection, tables.latest, ["series_id"], list(newest.values()), only_newer=True)
            self._roll_up(connection, records)
        return len(records)

    def _series_ids(self, connection: Connection, names: list[tuple[Any, ...]]) -> list[int]:
        from sqlalchemy import and_, or_, select

        from watchkeeper.adapters.ledgers.tables import series

        fields = ("model", "measure", "subject", "segment", "version", "length_us")
        missing = [n for n in dict.fromkeys(names) if n not in self._ids]
        if len(self._ids) > 500_000:
            self._ids.clear()
            missing = list(dict.fromkeys(names))
        for chunk in _chunks(missing, 100):
            insert = self._ledger.insert(series).on_conflict_do_nothing()
            connection.execute(insert, [dict(zip(fields, n)) for n in chunk])
            same = or_(*(and_(*(series.c[f] == v for f, v in zip(fields, n))) for n in chunk))
            found = {
                tuple(r[1:]): r[0]
                for r in connection.execute(select(series.c.id, *(series.c[f] for f in fields)).where(same))
            }
            self._ids.update(found)
        return [self._ids[n] for n in names]

    def _upsert(
        self,
        connection: Connection,
        table: Any,
        keys: list[str],
        records: list[dict[str, Any]],
        *,
        only_newer: bool = False,
    ) -> None:
        insert = self._ledger.insert(table)
        changed = {c.name: insert.excluded[c.name] for c in table.columns if c.name not in keys}
        where = insert.excluded["start_us"] >= table.c.start_us if only_newer else None
        statement = insert.on_conflict_do_update(index_elements=keys, set_=changed, where=where)
        for chunk in _chunks(records, 5_000):
            connection.execute(statement, chunk)

    def _roll_up(self, connection: Connection, records: Iterable[tuple[int, int]]) -> None:
        from sqlalchemy import func, literal, select

        from watchkeeper.adapters.ledgers.tables import measurements, rollups

        by_day: dict[int, set[int]] = {}
        for series_id, start in records:
            by_day.setdefault(start // DAY_US * DAY_US, set()).add(series_id)
        for day, ids in by_day.items():
            for chunk in _chunks(sorted(ids), CHUNK):
                sums = (
                    select(
                        measurements.c.series_id,
                        literal(day),
                        func.count(),
                        func.avg(measurements.c.value),
                        func.min(measurements.c.value),
                        func.max(measurements.c.value),
                        func.sum(measurements.c.rows),
                    )
                    .where(
                        measurements.c.series_id.in_(chunk),
                        measurements.c.start_us >= day,
                        measurements.c.start_us < day + DAY_US,
                    )
                    .group_by(measurements.c.series_id)
                )
                names = ["series_id", "day_us", "windows", "mean", "low", "high", "rows"]
                insert = self._ledger.insert(rollups).from_select(names, sums)
                connection.execute(
                    insert.on_conflict_do_update(
                        index_elements=["series_id", "day_us"],
                        set_={n: insert.excluded[n] for n in names[2:]},
                    )
                )

    def series(
        self,
        model: str,
        measure: str,
        *,
        subject: str = "",
        segment: str = "",
        version: str = "",
        start: datetime | None = None,
        end: datetime | None = None,
        length: timedelta | None = None,
        buckets: int | None = None,
    ) -> pa.Table:
        """See `watchkeeper.ports.MeasurementStore`."""
        from sqlalchemy import func, select

        from watchkeeper.adapters.ledgers.tables import measurements as m
        from watchkeeper.adapters.ledgers.tables import series as s

        found = select(s.c.id, s.c.length_us).where(
            s.c.model == model,
            s.c.measure == measure,
            s.c.subject == subject,
            s.c.segment == segment,
            s.c.version == version,
        )
        if length is not None:
            found = found.where(s.c.length_us == length // MICROSECOND)
        with self._ledger.reading() as connection:
            row = connection.execute(found.order_by(s.c.length_us.desc()).limit(1)).first()
            if row is None:
                return _series_table([], buckets is not None, 0)
            series_id, length_us = row
            where = [m.c.series_id == series_id]
            if start is not None:
                where.append(m.c.start_us >= _us(start))
            if end is not None:
                where.append(m.c.start_us < _us(end))
            plain = select(
                m.c.start_us, m.c.value, m.c.low, m.c.high, m.c.margin, m.c.rows, m.c.reason
            ).where(*where)
            if buckets is None:
                return _series_table(connection.execute(plain.order_by(m.c.start_us)).all(), False, length_us)
            # Each of these ends early by the key; together in one SELECT they would read the whole series.
            some = select(m.c.start_us).where(*where).limit(buckets + 1).subquery()
            first, last, count = connection.execute(
                select(
                    select(func.min(m.c.start_us)).where(*where).scalar_subquery(),
                    select(func.max(m.c.start_us)).where(*where).scalar_subquery(),
                    select(func.count()).select_from(some).scalar_subquery(),
                )
            ).one()
            if not count:
                return _series_table([], True, length_us)
            if count <= buckets:
                rows = connection.execute(plain.order_by(m.c.start_us)).all()
                single = [
                    (r[0], r[0] + length_us, r[1], r[1], r[1], r[2], r[3], r[4], r[5], r[6]) for r in rows
                ]
                return _series_table(single, True, length_us)
            width = -(-(last - first + length_us) // max(1, buckets))
            bucket = ((m.c.start_us - first) // width).label("bucket")
            query = (
                select(
                    func.min(m.c.start_us),
                    func.max(m.c.start_us) + length_us,
                    func.avg(m.c.value),
                    func.min(m.c.value),
                    func.max(m.c.value),
                    func.min(m.c.low),
                    func.max(m.c.high),
                    func.avg(m.c.margin),
                    func.sum(m.c.rows),
                    func.max(m.c.reason),
                )
                .where(*where)
                .group_by(bucket)
                .order_by(bucket)
            )
            return _series_table(connection.execute(query).all(), True, length_us)

    def latest(
        self, *, model: str | None = None, measures: Sequence[str] = (), segment: str | None = None
    ) -> pa.Table:
        """See `watchkeeper.ports.MeasurementStore`."""
        from watchkeeper.adapters.ledgers.tables import latest, series

        where = []
        if model is not None:
            where.append(series.c.model == model)
        if measures:
            where.append(series.c.measure.in_(list(measures)))
        if segment is not None:
            where.append(series.c.segment == segment)
        return self._long_table(latest, where)

    def table(
        self,
        model: str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        measures: Sequence[str] = (),
        subjects: Sequence[str] = (),
        segments: Sequence[str] = (),
        versions: Sequence[str] = (),
    ) -> pa.Table:
        """See `watchkeeper.ports.MeasurementStore`."""
        from watchkeeper.adapters.ledgers.tables import measurements, series

        where = [series.c.model == model]
        for column, wanted in (
            ("measure", measures),
            ("subject", subjects),
            ("segment", segments),
            ("version", versions),
        ):
            if wanted:
                where.append(series.c[column].in_(list(wanted)))
        if start is not None:
            where.append(measurements.c.start_us >= _us(start))
        if end is not None:
            where.append(measurements.c.start_us < _us(end))
        return self._long_table(measurements, where)

    def _long_table(self, source: Any, where: list[Any]) -> pa.Table:
        import pyarrow as pa
        from sqlalchemy import select

        from watchkeeper.adapters.ledgers.tables import series

        names = ("model", "version", "segment", "measure", "subject")
        numbers = ("value", "low", "high", "margin", "p_value", "rows", "reason", "details")
        query = (
            select(
                *(series.c[n] for n in names),
                source.c.start_us,
                (source.c.start_us + series.c.length_us).label("end_us"),
                *(source.c[n] for n in numbers),
            )
            .join(series, series.c.id == source.c.series_id)
            .where(*where)
            .order_by(*(series.c[n] for n in names), source.c.start_us)
        )
        with self._ledger.reading() as connection:
            columns = list(zip(*connection.execute(query).all())) or [()] * 15
        text, time, number = pa.string(), pa.timestamp("us", tz="UTC"), pa.float64()
        fields = [
            *((n, text) for n in names),
            ("start", time),
            ("end", time),
            *((n, number) for n in numbers[:6]),
            ("reason", text),
            ("details", text),
        ]
        return pa.table(
            [pa.array(c, type=t) for c, (_, t) in zip(columns, fields)], names=[n for n, _ in fields]
        )

    def delete(self, model: str, *, before: datetime) -> int:
        """See `watchkeeper.ports.MeasurementStore`."""
        from sqlalchemy import delete, select

        from watchkeeper.adapters.ledgers.tables import measurements, series

        ids = select(series.c.id).where(series.c.model == model)
        with self._ledger.writing() as connection:
            return connection.execute(
                delete(measurements).where(
                    measurements.c.series_id.in_(ids), measurements.c.start_us < _us(before)
                )
            ).rowcount

    def drop_stale(self, model: str, windows: Sequence[Window], *, before: datetime) -> int:
        """See `watchkeeper.ports.MeasurementStore`."""
        from sqlalchemy import delete, exists, select

        from watchkeeper.adapters.ledgers.tables import latest, measurements, rollups, series

        self._ids.clear()
        dropped, touched = 0, set()
        with self._ledger.writing() as connection:
            for window in windows:
                start, length = _us(window.start), window.length // MICROSECOND
                ids = select(series.c.id).where(series.c.model == model, series.c.length_us == length)
                for table in (measurements, latest):
                    gone = connection.execute(
                        delete(table)
                        .where(
                            table.c.series_id.in_(ids),
                            table.c.start_us == start,
                            table.c.written_us < _us(before),
                        )
                        .returning(table.c.series_id)
                    ).scalars()
                    found = [(series_id, start) for series_id in gone]
                    dropped += len(found) if table is measurements else 0
                    touched.update(found)
            days = {(series_id, start // DAY_US * DAY_US) for series_id, start in touched}
            for series_id, day in days:
                connection.execute(
                    delete(rollups).where(rollups.c.series_id == series_id, rollups.c.day_us == day)
                )
            self._roll_up(connection, touched)
            self._newest_again(connection, {series_id for series_id, _ in touched})
            for chunk in _chunks(sorted({series_id for series_id, _ in touched}), CHUNK):
                left = [
                    ~exists().where(t.c.series_id == series.c.id) for t in (measurements, latest, rollups)
                ]
                connection.execute(delete(series).where(series.c.id.in_(chunk), *left))
        return dropped

    def _newest_again(self, connection: Connection, ids: set[int]) -> None:
        """Series whose latest value was dropped show the one before it."""
        from sqlalchemy import func, select

        from watchkeeper.adapters.ledgers.tables import latest, measurements

        names = [c.name for c in measurements.columns]
        for chunk in _chunks(sorted(ids), CHUNK):
            last = (
                select(measurements.c.series_id, func.max(measurements.c.start_us).label("start_us"))
                .where(measurements.c.series_id.in_(chunk))
                .group_by(measurements.c.series_id)
                .subquery()
            )
            rows = select(*(measurements.c[n] for n in names)).join(
                last,
                (measurements.c.series_id == last.c.series_id) & (measurements.c.start_us == last.c.start_us),
            )
            insert = self._ledger.insert(latest).from_select(names, rows)
            connection.execute(
                insert.on_conflict_do_update(
                    index_elements=["series_id"],
                    set_={n: insert.excluded[n] for n in names if n != "series_id"},
                )
            )


class SqlWindows:
    """Which windows must be measured."""

    def __init__(self, ledger: SqlLedger) -> None:
        self._ledger = ledger

    def mark_dirty(self, keys: Iterable[WindowKey], *, reason: str, lease: Lease | None = None) -> int:
        """See `watchkeeper.ports.WindowStore`."""
        from watchkeeper.adapters.ledgers.tables import windows

        records = [
            {
                **_window_name(key),
                "marks": 1,
                "cleared": 0,
                "rows": 0,
                "outcomes": 0,
                "mature": 0,
                "generation": 0,
                "rebuildable": 1,
                "reason": reason,
            }
            for key in dict.fromkeys(keys)
        ]
        if not records:
            return 0
        insert = self._ledger.insert(windows)
        statement = insert.on_conflict_do_update(
            index_elements=list(_KEY), set_={"marks": windows.c.marks + 1, "reason": insert.excluded.reason}
        )
        with self._ledger.writing(lease) as connection:
            for chunk in _chunks(records, 5_000):
                connection.execute(statement, chunk)
        return len(records)

    def dirty(
        self, *, model: str | None = None, before: datetime | None = None, limit: int = 1000
    ) -> list[WindowState]:
        """See `watchkeeper.ports.WindowStore`."""
        from sqlalchemy import select

        from watchkeeper.adapters.ledgers.tables import windows

        query = select(windows).where(windows.c.marks > windows.c.cleared)
        if model is not None:
            query = query.where(windows.c.model == model)
        if before is not None:
            query = query.where(windows.c.end_us <= _us(before))
        query = query.order_by(windows.c.end_us, windows.c.model, windows.c.version, windows.c.segment).limit(
            limit
        )
        with self._ledger.reading() as connection:
            return [_window_state(row) for row in connection.execute(query)]

    def done(self, states: Sequence[WindowState], *, lease: Lease | None = None) -> None:
        """See `watchkeeper.ports.WindowStore`."""
        from watchkeeper.adapters.ledgers.tables import windows

        records = [
            {
                **_window_name(state.key),
                "marks": state.marks,
                "cleared": state.marks,
                "rows": state.rows,
                "outcomes": state.outcomes,
                "mature": int(state.mature),
                "generation": state.generation,
                "measured_us": None if state.measured_at is None else _us(state.measured_at),
                "rebuildable": int(state.rebuildable),
                "reason": state.reason,
            }
            for state in states
        ]
        if not records:
            return
        insert = self._ledger.insert(windows)
        kept = {c.name: insert.excluded[c.name] for c in windows.columns if c.name not in (*_KEY, "marks")}
        statement = insert.on_conflict_do_update(index_elements=list(_KEY), set_=kept)
        with self._ledger.writing(lease) as connection:
            connection.execute(statement, records)

    def windows(
        self,
        model: str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        immature_at: datetime | None = None,
        limit: int = 10_000,
    ) -> list[WindowState]:
        """See `watchkeeper.ports.WindowStore`."""
        from sqlalchemy import select

        from watchkeeper.adapters.ledgers.tables import windows

        query = select(windows).where(windows.c.model == model)
        if start is not None:
            query = query.where(windows.c.end_us > _us(start))
        if end is not None:
            query = query.where(windows.c.start_us < _us(end))
        if immature_at is not None:
            query = query.where(
                windows.c.mature == 0, windows.c.generation > 0, windows.c.end_us <= _us(immature_at)
            )
        query = query.order_by(windows.c.start_us, windows.c.version, windows.c.segment).limit(limit)
        with self._ledger.reading() as connection:
            return [_window_state(row) for row in connection.execute(query)]


class SqlLeases:
    """Who may do what only one may do."""

    def __init__(self, ledger: SqlLedger) -> None:
        self._ledger = ledger

    def acquire(self, name: str, holder: str, ttl: timedelta, now: datetime) -> Lease | None:
        """See `watchkeeper.ports.LeaseStore`."""
        from sqlalchemy import case, or_

        from watchkeeper.adapters.ledgers.tables import leases

        expires = now + ttl
        insert = self._ledger.insert(leases).values(
            name=name, holder=holder, token=1, expires_us=_us(expires)
        )
        # Renewing keeps the token; taking it over from somebody whose time is up makes a new one.
        statement = insert.on_conflict_do_update(
            index_elements=["name"],
            set_={
                "holder": holder,
                "token": case((leases.c.holder == holder, leases.c.token), else_=leases.c.token + 1),
                "expires_us": _us(expires),
            },
            where=or_(leases.c.holder == holder, leases.c.expires_us <= _us(now)),
        ).returning(leases.c.token)
        with self._ledger.writing() as connection:
            token = connection.execute(statement).scalar()
        return None if token is None else Lease(name=name, holder=holder, token=token, expires_at=expires)

    def holder(self, name: str) -> Lease | None:
        """See `watchkeeper.ports.LeaseStore`."""
        from sqlalchemy import select

        from watchkeeper.adapters.ledgers.tables import leases

        with self._ledger.reading() as connection:
            row = connection.execute(select(leases).where(leases.c.name == name)).first()
        if row is None or not row.holder:
            return None
        return Lease(name=name, holder=row.holder, token=row.token, expires_at=_time(row.expires_us))

    def release(self, lease: Lease) -> None:
        """See `watchkeeper.ports.LeaseStore`."""
        from sqlalchemy import update

        from watchkeeper.adapters.ledgers.tables import leases

        with self._ledger.writing() as connection:
            # The row stays, so that the next holder's token is larger.
            connection.execute(
                update(leases)
                .where(leases.c.name == lease.name, leases.c.token == lease.token)
                .values(holder="", expires_us=0)
            )


_KEY = ("model", "start_us", "end_us", "version", "segment")


def _us(at: datetime) -> int:
    return (at.astimezone(UTC) - EPOCH) // MICROSECOND


def _time(us: int) -> datetime:
    return EPOCH + timedelta(microseconds=us)


def _json(body: Mapping[str, Any]) -> str:
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False, default=str)


def _document(row: Any) -> Document:
    return Document(
        kind=row.kind,
        key=row.key,
        body=json.loads(row.body),
        state=row.state,
        model=row.model,
        rank=row.rank,
        due=None if row.due_us is None else _time(row.due_us),
        updated_at=_time(row.updated_us),
        revision=row.revision,
    )


def _series_name(row: PlacedMeasurement) -> tuple[Any, ...]:
    m, key = row.measurement, row.key
    return (key.model, m.measure, m.subject, key.segment, key.version, key.window.length // MICROSECOND)


def _window_name(key: WindowKey) -> dict[str, Any]:
    return {
        "model": key.model,
        "start_us": _us(key.window.start),
        "end_us": _us(key.window.end),
        "version": key.version,
        "segment": key.segment,
    }


def _window_state(row: Any) -> WindowState:
    return WindowState(
        key=WindowKey(
            model=row.model,
            window=Window(_time(row.start_us), _time(row.end_us)),
            version=row.version,
            segment=row.segment,
        ),
        dirty=row.marks > row.cleared,
        rows=row.rows,
        outcomes=row.outcomes,
        mature=bool(row.mature),
        generation=row.generation,
        measured_at=None if row.measured_us is None else _time(row.measured_us),
        rebuildable=bool(row.rebuildable),
        reason=row.reason,
        marks=row.marks,
    )


def _series_table(rows: Sequence[Any], bucketed: bool, length_us: int) -> pa.Table:
    import pyarrow as pa

    time, number = pa.timestamp("us", tz="UTC"), pa.float64()
    if bucketed:
        fields = [
            ("start", time),
            ("end", time),
            ("value", number),
            ("value_min", number),
            ("value_max", number),
        ]
    else:
        fields = [("start", time), ("end", time), ("value", number)]
        rows = [(r[0], r[0] + length_us, *r[1:]) for r in rows]
    fields += [
        ("low", number),
        ("high", number),
        ("margin", number),
        ("rows", number),
        ("reason", pa.string()),
    ]
    columns = list(zip(*rows)) or [()] * len(fields)
    return pa.table([pa.array(c, type=t) for c, (_, t) in zip(columns, fields)], names=[n for n, _ in fields])


def _chunks(items: list[Any], size: int) -> Iterator[list[Any]]:
    for at in range(0, len(items), size):
        yield items[at : at + size]
