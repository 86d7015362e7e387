"""Typed records: frozen dataclasses in the ledger, changed by compare-and-swap in one transaction with their facts.

>>> from dataclasses import replace
>>> @dataclass(frozen=True)
... class Boat:
...     name: str
...     crew: int = 0
>>> BOAT = Kind("boat", Boat, key="name")
>>> BOAT.read(BOAT.new(Boat("Ada", 3)).document(now=datetime(2026, 1, 1, tzinfo=UTC))).value
Boat(name='Ada', crew=3)

`Records` reads and changes the records of one kind. What changes several together reads them (`Records.get`), and
writes them with `write`; inside `retried` it is done again when somebody else changed one of them meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, Generic, ParamSpec, TypeVar

import msgspec

from watchkeeper.domain.fact import Document, Fact, Lease
from watchkeeper.errors import Conflict, Incompatible, NotFound
from watchkeeper.loop.records.facts import declared
from watchkeeper.ports.ledger import FactStore

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")
PAGE = 1000
ATTEMPTS = 8


class Kind(Generic[T]):
    """A declared kind of records: the dataclass of its values, and how they are found in the ledger.

    Parameters
    ----------
    key, state, model : the name of a field, or what makes the text from a value; fields that are named here may be
        missing in a stored body and are then read from the ledger's own columns.
    rank, due : what makes the number to sort by, and the time at which somebody has to look at it again.
    upgrade : makes a body of this version from a stored document; for bodies of earlier versions.
    find_them : a command that lists them, for the error when one is not there.

    What is empty by default and is empty is not stored; what is stored and not known (a later version's) is passed over.
    """

    def __init__(
        self,
        name: str,
        type: type[T],
        *,
        key: str | Callable[[T], str],
        state: str | Callable[[T], str] = "",
        model: str | Callable[[T], str] = "",
        rank: Callable[[T], float] = lambda _: 0.0,
        due: Callable[[T], datetime | None] = lambda _: None,
        upgrade: Callable[[Document], Mapping[str, Any]] = lambda document: document.body,
        find_them: str = "",
    ) -> None:
        self.name, self.type = name, type
        self.key, self._state, self._model = _text(key), _text(state), _text(model)
        self.rank, self._due, self._upgrade, self._find_them = rank, due, upgrade, find_them
        known = fields(type)  # type: ignore[arg-type]
        named = {"key": key, "state": state, "model": model}
        self._in_columns = {
            f.name: column for column, field in named.items() for f in known if f.name == field
        }
        self._may_be_empty = {
            f.name
            for f in known
            if (f.default is not MISSING and not f.default)
            or (f.default_factory is not MISSING and not f.default_factory())
        }

    def new(self, value: T) -> Kept[T]:
        """A record that is not in the ledger yet."""
        return Kept(self, value)

    def read(self, document: Document) -> Kept[T]:
        """The record that is stored as *document*.

        Raises
        ------
        Incompatible
            its body is none of this kind.
        """
        body = dict(self._upgrade(document))
        for field, column in self._in_columns.items():
            body.setdefault(field, getattr(document, column))
        try:
            value = msgspec.convert(body, self.type)
        except msgspec.ValidationError as fault:
            raise Incompatible(
                f"The {self.name} {document.key!r} in the ledger cannot be read: {fault}.",
                "It was written by another version of Watchkeeper, or by hand.",
            ) from None
        return Kept(self, value, document.revision, document.updated_at)

    def body(self, value: T) -> dict[str, Any]:
        """Plain JSON values, without what is empty by default and is empty."""
        return {k: v for k, v in plain(value).items() if v or k not in self._may_be_empty}

    def missing(self, key: str) -> NotFound:
        """The error that there is no such record."""
        return NotFound(
            f"There is no {self.name.replace('_', ' ')} {key if key.isdigit() else repr(key)}.",
            *([f"List them:  {self._find_them}"] if self._find_them else []),
        )

    def _document(self, kept: Kept[T], now: datetime) -> Document:
        value = kept.value
        return Document(
            kind=self.name,
            key=self.key(value),
            body=self.body(value),
            state=self._state(value),
            model=self._model(value),
            rank=self.rank(value),
            due=self._due(value),
            updated_at=now,
            revision=kept.revision,
        )


@dataclass(frozen=True, slots=True)
class Kept(Generic[T]):
    """One record: its value, and the revision that a change of it must still find. 0: not in the ledger yet."""

    kind: Kind[T]
    value: T
    revision: int = 0
    updated_at: datetime | None = None

    @property
    def key(self) -> str:
        """Its name in the ledger."""
        return self.kind.key(self.value)

    def to(self, value: T) -> Kept[T]:
        """The same record with another value, to be written over this revision."""
        return replace(self, value=value)

    def written(self) -> Kept[T]:
        """The record as it is after it was written."""
        return replace(self, revision=self.revision + 1)

    def document(self, *, now: datetime) -> Document:
        """As the ledger takes it."""
        return self.kind._document(self, now)


class Records(Generic[T]):
    """The records of one kind in one ledger."""

    def __init__(self, facts: FactStore, kind: Kind[T]) -> None:
        self._facts, self.kind = facts, kind

    def get(self, key: str) -> Kept[T] | None:
        """One record, or None."""
        document = self._facts.document(self.kind.name, key)
        return None if document is None else self.kind.read(document)

    def of(self, key: str) -> Kept[T]:
        """One record.

        Raises
        ------
        NotFound
        """
        if (kept := self.get(key)) is None:
            raise self.kind.missing(key)
        return kept

    def all(
        self, *, states: Sequence[str] = (), model: str | None = None, due_before: datetime | None = None
    ) -> Iterator[Kept[T]]:
        """All of them in order of their keys, read page by page; what changes meanwhile is met at most once."""
        after = ""
        while True:
            page = self._facts.documents(
                self.kind.name,
                states=states,
                model=model,
                due_before=due_before,
                order="key",
                after=after,
                limit=PAGE,
            )
            yield from map(self.kind.read, page)
            if len(page) < PAGE:
                return
            after = page[-1].key

    def some(
        self,
        *,
        states: Sequence[str] = (),
        model: str | None = None,
        order: str = "-updated_at",
        limit: int = 100,
        offset: int = 0,
    ) -> list[Kept[T]]:
        """One page of them, in the *order* of `FactStore.documents`."""
        found = self._facts.documents(
            self.kind.name, states=states, model=model, order=order, limit=limit, offset=offset
        )
        return [self.kind.read(d) for d in found]

    def named(self, keys: Iterable[str]) -> dict[str, Kept[T]]:
        """Those of *keys* that exist: one by one where they are few, all at once where they are many."""
        wanted = set(keys)
        if len(wanted) <= 300:
            return {k: kept for k in sorted(wanted) if (kept := self.get(k)) is not None}
        return {kept.key: kept for kept in self.all() if kept.key in wanted}

    def count(self, *, states: Sequence[str] = (), model: str | None = None) -> int:
        """How many there are."""
        return self._facts.count(self.kind.name, states=states, model=model)

    def put_new(
        self,
        value: T,
        *facts: Fact,
        now: datetime,
        lease: Lease | None = None,
        also: Iterable[Kept[Any]] = (),
    ) -> bool:
        """Write a new record with its *facts*, and changes of others (*also*); False where it exists already."""
        try:
            write(self._facts, facts, [self.kind.new(value), *also], now=now, lease=lease)
        except Conflict as conflict:
            if type(conflict) is not Conflict:
                raise
            return False
        return True

    def put(self, value: T, *facts: Fact, now: datetime, lease: Lease | None = None) -> None:
        """Write a record, whatever stood there before."""

        def once() -> None:
            kept = self.get(self.kind.key(value)) or self.kind.new(value)
            write(self._facts, facts, [kept.to(value)], now=now, lease=lease)

        retried(once)

    def change(
        self,
        key: str,
        step: Callable[[T], T],
        fact: Callable[[T, T], Fact | None] = lambda before, after: None,
        *,
        now: datetime,
        lease: Lease | None = None,
    ) -> T:
        """Take one *step*, written in one transaction with the *fact* of it (made from the values before and after).

        Where somebody else changes it at the same time, the step is taken again on what they left. A step that
        changes nothing writes nothing.

        Raises
        ------
        NotFound
            there is no such record.
        Conflict
            many change it at once.
        """

        def once() -> T:
            kept = self.of(key)
            after = step(kept.value)
            if after != kept.value:
                what = fact(kept.value, after)
                write(self._facts, [] if what is None else [what], [kept.to(after)], now=now, lease=lease)
            return after

        return retried(once)

    def forget(self, keys: Iterable[str], *, lease: Lease | None = None) -> int:
        """Delete them; facts of them stay."""
        return self._facts.forget([(self.kind.name, key) for key in keys], lease=lease)


def write(
    store: FactStore,
    facts: Iterable[Fact],
    records: Iterable[Kept[Any]] = (),
    *,
    now: datetime | None = None,
    lease: Lease | None = None,
) -> list[int]:
    """Write *facts* and *records* in one transaction; return the sequences of the facts (0: known by its key).

    Raises
    ------
    BadInput
        a kind of fact was not declared.
    Conflict
        one of the records was changed meanwhile; nothing was written.
    LeaseLost
        the *lease* has another holder; nothing was written.
    """
    facts = list(facts)
    for fact in facts:
        declared(fact.kind)
    at = now or max((f.at for f in facts), default=None) or datetime.now(UTC)
    documents = [kept.document(now=at) for kept in records]
    return store.append(facts, documents, lease=lease) if facts or documents else []


def retried(work: Callable[P, R], *args: P.args, **named: P.kwargs) -> R:
    """Do *work*, which reads and writes; again where somebody else changed what it read meanwhile.

    Raises
    ------
    Conflict
        it was changed each time.
    """
    for left in reversed(range(ATTEMPTS)):
        try:
            return work(*args, **named)
        except Conflict as conflict:
            if not left or type(conflict) is not Conflict:
                raise
    raise AssertionError("unreachable")


def plain(value: Any) -> Any:
    """A value as plain JSON values, with all of its fields."""
    return msgspec.to_builtins(value, str_keys=True)


def _text(of: str | Callable[[T], str]) -> Callable[[T], str]:
    if callable(of):
        return of
    if not of:
        return lambda _: ""
    get = attrgetter(of)
    return lambda value: str(get(value))
