"""Connections to the ledger's database: one transaction a write, refused when its lease has been lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from watchkeeper.domain.fact import Lease
from watchkeeper.errors import LeaseLost, StoreUnavailable

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine


class Connections:
    """Readings and writings over one engine; what cannot be reached is told without its password."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @property
    def is_sqlite(self) -> bool:
        """Whether it lives in a file."""
        return self.engine.dialect.name == "sqlite"

    def close(self) -> None:
        """Give back connections."""
        self.engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that only reads."""
        with self.told(), self.engine.connect().execution_options(reading=True) as connection:
            yield connection

    @contextmanager
    def writing(self, lease: Lease | None = None) -> Iterator[Connection]:
        """One transaction; refused when *lease* has been lost."""
        with self.told(), self.engine.begin() as connection:
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
    def told(self) -> Iterator[None]:
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
