"""One test in two sizes: small with fixed seeds in every run, in full in ``make test-long`` and before a release."""

from __future__ import annotations

from typing import Any

import pytest
from scipy import stats


def sizes(name: str, *, small: Any, full: Any) -> pytest.MarkDecorator:
    """Run a test twice: with *small* as its argument *name*, and, marked ``long``, with *full*.

    Several arguments, ``"columns, windows"``, take a tuple for each size.
    """

    def case(values: Any, **rest: Any) -> Any:
        return pytest.param(*(values if "," in name else [values]), **rest)

    return pytest.mark.parametrize(
        name, [case(small, id="small"), case(full, id="full", marks=pytest.mark.long)]
    )


def fewest(draws: int, *, share: float = 0.93, chance: float = 0.005) -> int:
    """Return the hits among *draws* that a true *share* falls short of with at most this *chance*."""
    return int(stats.binom.ppf(chance, draws, share))
