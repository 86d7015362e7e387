"""One test in two sizes: small with fixed seeds in every run, in full in ``make test-long`` and before a release."""

from __future__ import annotations

from typing import Any

import pytest
from scipy import stats


def sizes(name: str, *, small: Any, full: Any) -> pytest.MarkDecorator:
    """Run a test twice: with *small* as its argument *name*, and, marked ``long``, with *full*."""
    both = [pytest.param(small, id="small"), pytest.param(full, id="full", marks=pytest.mark.long)]
    return pytest.mark.parametrize(name, both)


def fewest(draws: int, *, share: float = 0.93, chance: float = 0.005) -> int:
    """Return the hits among *draws* that a true *share* falls short of with at most this *chance*."""
    return int(stats.binom.ppf(chance, draws, share))
