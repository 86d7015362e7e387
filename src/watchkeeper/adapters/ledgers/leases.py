"""Leases with fencing tokens: who may do what only one may do."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from watchkeeper.adapters.ledgers.stored import moment, us_of
from watchkeeper.domain.fact import Lease

if TYPE_CHECKING:
    from watchkeeper.adapters.ledgers.connections import Connections


class SqlLeases:
    """Who may do what only one may do."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def acquire(self, name: str, holder: str, ttl: timedelta, now: datetime) -> Lease | None:
        """See `watchkeeper.ports.ledger.LeaseStore`."""
        from sqlalchemy import case, or_

        from watchkeeper.adapters.ledgers.tables import leases

        expires = now + ttl
        insert = self._connections.insert(leases).values(
            name=name, holder=holder, token=1, expires_us=us_of(expires)
        )
        # Renewing keeps the token; taking it over from somebody whose time is up makes a new one.
        statement = insert.on_conflict_do_update(
            index_elements=["name"],
            set_={
                "holder": holder,
                "token": case((leases.c.holder == holder, leases.c.token), else_=leases.c.token + 1),
                "expires_us": us_of(expires),
            },
            where=or_(leases.c.holder == holder, leases.c.expires_us <= us_of(now)),
        ).returning(leases.c.token)
        with self._connections.writing() as connection:
            token = connection.execute(statement).scalar()
        return None if token is None else Lease(name=name, holder=holder, token=token, expires_at=expires)

    def holder(self, name: str) -> Lease | None:
        """See `watchkeeper.ports.ledger.LeaseStore`."""
        from sqlalchemy import select

        from watchkeeper.adapters.ledgers.tables import leases

        with self._connections.reading() as connection:
            row = connection.execute(select(leases).where(leases.c.name == name)).first()
        if row is None or not row.holder:
            return None
        return Lease(name=name, holder=row.holder, token=row.token, expires_at=moment(row.expires_us))

    def release(self, lease: Lease, *, above: int = 0) -> None:
        """See `watchkeeper.ports.ledger.LeaseStore`."""
        from sqlalchemy import update

        from watchkeeper.adapters.ledgers.tables import leases

        with self._connections.writing() as connection:
            # The row stays, so that the next holder's token is larger.
            connection.execute(
                update(leases)
                .where(leases.c.name == lease.name, leases.c.token == lease.token)
                .values(holder="", expires_us=0, token=max(lease.token, above))
            )
