"""What every state can do, and how it says how exact it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self, runtime_checkable


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How far what a state says may be from what the rows say.

    ``exact`` is True when nothing was lost. Otherwise ``bound`` is the largest possible error of the quantity
    named by ``of`` (``"share"``, ``"count"``, ``"auc"``, ...), or None where no bound can be given.

    >>> Accuracy.exactly().exact
    True
    >>> Accuracy.within(0.001, of="share")
    Accuracy(exact=False, bound=0.001, of='share')
    """

    exact: bool
    bound: float | None = None
    of: str = ""

    @classmethod
    def exactly(cls, of: str = "") -> Accuracy:
        """Nothing was lost."""
        return cls(exact=True, bound=0.0, of=of)

    @classmethod
    def within(cls, bound: float | None, *, of: str) -> Accuracy:
        """The quantity *of* is off by at most *bound* (None: not known); a bound of 0 is exact."""
        return cls(exact=bound == 0, bound=bound, of=of)


@runtime_checkable
class Stored(Protocol):
    """Anything that `codec` saves: a registered name, and plain values there and back.

    ``to_payload`` returns a dict of str to None, bool, int (64 bits), float, str, bytes, list, dict, numpy
    array (bool, integers, floats, or objects that are plain values), or another `Stored`. ``of_payload`` must
    read what any earlier version wrote: a new key is read with ``.get``, and a key never changes its meaning.
    """

    kind: ClassVar[str]

    def to_payload(self) -> dict[str, Any]:
        """Return all that is needed to build this object again."""
        ...

    @classmethod
    def of_payload(cls, payload: Mapping[str, Any]) -> Self:
        """Build the object that `to_payload` described."""
        ...


@runtime_checkable
class State(Stored, Protocol):
    """A sufficient statistic of some rows: ``of(a + b) == of(a).merge(of(b))``, within its `accuracy`.

    States never change: every method returns a new one. Which is what lets a window be merged from its hours
    in any order, by any process.
    """

    def merge(self, other: Self) -> Self:
        """Return the state of both sets of rows.

        Raises
        ------
        Incompatible
            the two were made with different edges or parameters.
        """
        ...

    def scaled(self, factor: float) -> Self:
        """Return the state with each row weighing *factor* (rows captured at a rate r weigh 1/r).

        ``state.scaled(2)`` says the same as ``state.merge(state)``.
        """
        ...

    @property
    def accuracy(self) -> Accuracy:
        """How far what this state says may be from what the rows say."""
        ...
