"""Rows for `ByRate`: a number and the rate at which it was captured."""

from functools import reduce

import pytest
from hypothesis import strategies as st

from watchkeeper.stats.states.by_rate import ByRate
from watchkeeper.stats.states.frequencies import Frequencies

ROW = st.tuples(st.sampled_from([1.0, 0.5, 0.1]), st.sampled_from("abc"))


def build(rows):
    parts = [ByRate.of(Frequencies.of_counts({name: 1}), rate=rate) for rate, name in rows]
    return reduce(lambda a, b: a.merge(b), parts, ByRate.empty())


def same(left, right):
    assert left == right
    assert left.n_effective == pytest.approx(right.n_effective)
    if left.states:
        one, other = left.estimate().counts, right.estimate().counts
        assert one == pytest.approx(other)
