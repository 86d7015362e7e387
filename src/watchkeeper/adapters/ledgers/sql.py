"""The ledger on SQLAlchemy Core: SQLite (WAL, every commit synced) or PostgreSQL, by URL.

One transaction holds facts and the documents folded from them. Every write may carry a lease: when the ledger
has seen a newer holder, the write is refused, so that a process that slept through its lease does no harm.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from watchkeeper.adapters.ledgers.connections import Connections
from watchkeeper.adapters.ledgers.facts import SqlFacts
from watchkeeper.adapters.ledgers.leases import SqlLeases
from watchkeeper.adapters.ledgers.measurements import SqlMeasurements
from watchkeeper.adapters.ledgers.windows import SqlWindows
from watchkeeper.errors import BadInput, MissingExtra, StoreUnavailable

if TYPE_CHECKING:
    from sqlalchemy import Engine


class SqlLedger(Connections):
    """All narrow stores over one database; each is an attribute: facts, measurements, windows, leases."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.facts = SqlFacts(self)
        self.measurements = SqlMeasurements(self)
        self.windows = SqlWindows(self)
        self.leases = SqlLeases(self)

    def scrub(self) -> None:
        """See `watchkeeper.ports.ledger.Ledger`."""
        with self.told():
            if self.is_sqlite:
                # Pages are wiped when they become free (secure_delete); the log still has them as they were.
                with closing(self.engine.raw_connection()) as raw:
                    raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
                return
            engine = self.engine.execution_options(isolation_level="AUTOCOMMIT")
            with engine.connect() as connection:
                connection.exec_driver_sql("VACUUM measurements, latest, rollups, series, documents")


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
    with ledger.told():
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
