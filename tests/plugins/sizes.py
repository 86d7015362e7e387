"""One test in two sizes: small with fixed seeds in every run, in full in ``make test-long`` and before a release."""

from __future__ import annotations

from typing import Any

import pytest
from scipy import stats


def sizes(name: str, *, small: Any, full: Any) -> pytest.MarkDecorator:
    """Run a test twice: with *small* as its argument *name*, and, marked ``long``, with *full*.

    Several arguments, ``"columns, windows"``, take a tuple for each size.
    """
    return pytest.mark.parametrize(name, both(small=small, full=full))


def both(*, small: Any, full: Any) -> list[Any]:
    """Return the two sizes as the parameters of a fixture; what is a tuple gives several arguments."""
    several = [value if isinstance(value, tuple) else (value,) for value in (small, full)]
    return [
        pytest.param(*several[0], id="small"),
        pytest.param(*several[1], id="full", marks=pytest.mark.long),
    ]


def fewest(draws: int, *, share: float = 0.93, chance: float = 0.005) -> int:
    """Return the hits among *draws* that a true *share* falls short of with at most this *chance*."""
    return int(stats.binom.ppf(chance, draws, share))
