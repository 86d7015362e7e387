r"""A state for each sampling rate: counts stay whole numbers, and are scaled only when they are read.

A recorder that keeps one row in ten now, and every row an hour later, gives two whole-numbered states. Each row of
rate :math:`r` stands for :math:`1/r` rows.

Formula
-------
With :math:`n_r` rows of rate r, the effective sample size is Kish's
:math:`(\sum_r n_r / r)^2 / \sum_r n_r / r^2`: what intervals and margins must use, never the scaled count.

References
----------
L. Kish, *Survey Sampling*, 1965, section 11.7.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from math import nan
from typing import Any, ClassVar, Generic, Self, TypeVar

from watchkeeper.errors import BadInput
from watchkeeper.stats.states.state import Accuracy, State

S = TypeVar("S", bound=State)


@dataclass(frozen=True, kw_only=True)
class ByRate(Generic[S]):
    """States by sampling rate, in (0, 1].

    >>> from watchkeeper.stats.states.frequencies import Frequencies
    >>> tenth = ByRate.of(Frequencies.of_counts({"a": 3, "b": 1}), rate=0.1)
    >>> both = tenth.merge(ByRate.of(Frequencies.of_counts({"a": 10}), rate=1.0))
    >>> both.estimate().counts, both.rows
    ({'a': 40.0, 'b': 10.0}, 14)
    >>> round(both.n_effective, 2)
    6.1
    """

    kind: ClassVar[str] = "by_rate"

    states: dict[float, S] = field(default_factory=dict)

    @classmethod
    def empty(cls) -> Self:
        """Nothing captured yet."""
        return cls()

    @classmethod
    def of(cls, state: S, *, rate: float = 1.0) -> Self:
        """The state of rows that were captured at *rate*.

        Raises
        ------
        BadInput
            the rate is not in (0, 1].
        """
        if not 0 < rate <= 1:
            raise BadInput(f"A sampling rate lies above 0 and is at most 1; got {rate}.")
        return cls(states={float(rate): state})

    def merge(self, other: Self) -> Self:
        """Merge rate by rate."""
        states = dict(self.states)
        for rate, state in other.states.items():
            states[rate] = states[rate].merge(state) if rate in states else state
        return replace(self, states=states)

    def scaled(self, factor: float) -> Self:
        """Scale each state."""
        return replace(self, states={rate: state.scaled(factor) for rate, state in self.states.items()})

    @property
    def accuracy(self) -> Accuracy:
        """Exact when everything was captured; a sample has no bound that always holds."""
        if all(rate == 1 for rate in self.states):
            return reduce(_worse, (state.accuracy for state in self.states.values()), Accuracy.exactly())
        return Accuracy.within(None, of="estimate from sampled rows")

    def estimate(self) -> S:
        """The state of all rows, each captured row standing for 1/rate.

        Raises
        ------
        BadInput
            nothing was captured.
        """
        if not self.states:
            raise BadInput("Nothing was captured, so there is no state to estimate.")
        parts = [
            state if rate == 1 else state.scaled(1 / rate) for rate, state in sorted(self.states.items())
        ]
        return reduce(lambda a, b: a.merge(b), parts)

    def effective(self) -> S:
        """The same shares as `estimate`, with `n_effective` rows in all: what intervals and tests must be made of.

        >>> from watchkeeper.stats.states.frequencies import Frequencies
        >>> quarter = ByRate.of(Frequencies.of_counts({"a": 30, "b": 10}), rate=0.25)
        >>> quarter.estimate().counts, quarter.effective().counts
        ({'a': 120.0, 'b': 40.0}, {'a': 30.0, 'b': 10.0})
        """
        whole = self.estimate()
        factor = 1.0 if set(self.states) == {1.0} else self.n_effective / max(_rows(whole), 1e-300)
        return whole if factor == 1.0 else whole.scaled(factor)

    @property
    def rows(self) -> float:
        """Rows that were captured; NaN for states that do not count rows."""
        return sum(_rows(state) for state in self.states.values())

    @property
    def n_effective(self) -> float:
        """Kish's effective sample size; 0 with nothing captured, NaN for states that do not count rows."""
        weight = sum(_rows(state) / rate for rate, state in self.states.items())
        square = sum(_rows(state) / rate**2 for rate, state in self.states.items())
        return weight**2 / square if square else 0.0

    def to_payload(self) -> dict[str, Any]:
        """Rates in order, and their states."""
        rates = sorted(self.states)
        return {"rates": rates, "states": [self.states[rate] for rate in rates]}

    @classmethod
    def of_payload(cls, payload: Mapping[str, Any]) -> Self:
        """Read `to_payload`."""
        return cls(states=dict(zip(payload["rates"], payload["states"], strict=True)))


def _rows(state: Any) -> float:
    for name in ("n", "total", "rows"):
        if hasattr(state, name):
            return getattr(state, name)
    return nan


def _worse(a: Accuracy, b: Accuracy) -> Accuracy:
    if a.exact or b.exact:
        return b if a.exact else a
    return a if a.bound is None or (b.bound is not None and a.bound >= b.bound) else b
