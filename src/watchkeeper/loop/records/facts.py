"""Kinds of facts are declared: the same act has the same name through every door, and a body with these keys.

A kind is declared once, where its act belongs, and called to make a fact:

>>> from datetime import UTC, datetime
>>> from typing import TypedDict
>>> class Named(TypedDict):
...     name: str
>>> BOAT_NAMED = FactKind("boat.named", Named)
>>> BOAT_NAMED({"name": "Ada"}, at=datetime(2026, 1, 1, tzinfo=UTC), actor="ann").kind
'boat.named'

Facts are kept for good, so readers meet bodies of earlier versions: what was added later is `NotRequired`, and a kind
that was renamed lists its earlier names (``formerly``).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Generic, TypeVar, cast

import msgspec

from watchkeeper.domain.fact import Fact
from watchkeeper.errors import BadInput, nearest

B = TypeVar("B")
_DECLARED: dict[str, FactKind[Any]] = {}


class FactKind(Generic[B]):
    """A declared kind of fact, ``thing.verb`` in the past tense, with the type of its body (a TypedDict; None: no body)."""

    def __init__(self, name: str, body: type[B] | None = None, *, formerly: tuple[str, ...] = ()) -> None:
        if name in _DECLARED:
            raise BadInput(f"The kind of fact {name!r} is declared twice.")
        self.name, self.body, self.names = name, body, (name, *formerly)
        self._keys: frozenset[str] = getattr(body, "__required_keys__", frozenset()) | getattr(
            body, "__optional_keys__", frozenset()
        )
        _DECLARED[name] = self

    def __call__(
        self,
        body: B | None = None,
        *,
        at: datetime,
        actor: str,
        model: str = "",
        subject: str = "",
        key: str | None = None,
    ) -> Fact:
        """A fact of this kind.

        Raises
        ------
        BadInput
            the body has other keys, or other types, than were declared.
        """
        plain = cast("dict[str, Any]", {} if body is None else msgspec.to_builtins(body))
        self._check(plain)
        return Fact(kind=self.name, at=at, actor=actor, model=model, subject=subject, body=plain, key=key)

    def _check(self, body: Mapping[str, Any]) -> None:
        if unknown := body.keys() - self._keys:
            raise BadInput(
                f"A fact {self.name!r} has no {', '.join(map(repr, sorted(unknown)))}.",
                f"Declared: {', '.join(sorted(self._keys)) or 'an empty body'}.",
            )
        if self.body is not None:
            try:
                msgspec.convert(body, self.body)
            except msgspec.ValidationError as fault:
                raise BadInput(f"This is not the body of a fact {self.name!r}: {fault}.") from None


def kinds_of(thing: str, verbs: tuple[str, ...], body: type[B] | None = None) -> dict[str, FactKind[B]]:
    """Declare the kinds ``thing.verb`` of one body, by verb."""
    return {verb: FactKind(f"{thing}.{verb}", body) for verb in verbs}


def declared(name: str) -> FactKind[Any]:
    """The kind of facts of this name.

    Raises
    ------
    BadInput
        no such kind was declared.
    """
    if name not in _DECLARED:
        raise BadInput(
            f"No kind of fact {name!r} was declared.{nearest(name, _DECLARED)}",
            "Declare it once, beside the act that it records:  FactKind(name, type_of_its_body).",
        )
    return _DECLARED[name]
