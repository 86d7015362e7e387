"""Facts, and the documents that are folded from them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from watchkeeper.adapters.ledgers.stored import moment, packed, us_of
from watchkeeper.domain.fact import Document, Fact, Lease
from watchkeeper.errors import BadInput, Conflict

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from watchkeeper.adapters.ledgers.connections import Connections


class SqlFacts:
    """Facts and documents."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def append(
        self, facts: Sequence[Fact], documents: Sequence[Document] = (), *, lease: Lease | None = None
    ) -> list[int]:
        """See `watchkeeper.ports.ledger.FactStore`."""
        now = max((f.at for f in facts), default=None)
        sequences: list[int] = []
        with self._connections.writing(lease) as connection:
            for fact in facts:
                row = {
                    "kind": fact.kind,
                    "at_us": us_of(fact.at),
                    "actor": fact.actor,
                    "model": fact.model,
                    "subject": fact.subject,
                    "body": packed(fact.body),
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

        insert = self._connections.insert(facts).on_conflict_do_nothing(index_elements=["key"])
        return insert.returning(facts.c.sequence)

    @cached_property
    def _new_document(self) -> Any:
        from watchkeeper.adapters.ledgers.tables import documents

        return self._connections.insert(documents).on_conflict_do_nothing()

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
            "body": packed(document.body),
            "state": document.state,
            "model": document.model,
            "rank": document.rank,
            "due_us": None if document.due is None else us_of(document.due),
            "updated_us": us_of(at),
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
        """See `watchkeeper.ports.ledger.FactStore`."""
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
        with self._connections.reading() as connection:
            return [
                Fact(
                    kind=r.kind,
                    at=moment(r.at_us),
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
        """See `watchkeeper.ports.ledger.FactStore`."""
        from sqlalchemy import select

        from watchkeeper.adapters.ledgers.tables import documents

        query = select(documents).where(documents.c.kind == kind, documents.c.key == key)
        with self._connections.reading() as connection:
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
        after: str = "",
    ) -> list[Document]:
        """See `watchkeeper.ports.ledger.FactStore`."""
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
        if after:
            query = query.where(documents.c.key > after)
        by = columns[name].desc() if order.startswith("-") else columns[name]
        query = query.order_by(by, documents.c.key).limit(limit).offset(offset)
        with self._connections.reading() as connection:
            return [_document(row) for row in connection.execute(query)]

    def count(self, kind: str, *, states: Sequence[str] = (), model: str | None = None) -> int:
        """See `watchkeeper.ports.ledger.FactStore`."""
        from sqlalchemy import func, select

        inner = self._where(kind, states, model, None).subquery()
        with self._connections.reading() as connection:
            return int(connection.execute(select(func.count()).select_from(inner)).scalar_one())

    def forget(self, keys: Iterable[tuple[str, str]], *, lease: Lease | None = None) -> int:
        """See `watchkeeper.ports.ledger.FactStore`."""
        from sqlalchemy import delete

        from watchkeeper.adapters.ledgers.tables import documents

        gone = 0
        with self._connections.writing(lease) as connection:
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
            query = query.where(documents.c.due_us <= us_of(due_before))
        return query


def _document(row: Any) -> Document:
    return Document(
        kind=row.kind,
        key=row.key,
        body=json.loads(row.body),
        state=row.state,
        model=row.model,
        rank=row.rank,
        due=None if row.due_us is None else moment(row.due_us),
        updated_at=moment(row.updated_us),
        revision=row.revision,
    )
