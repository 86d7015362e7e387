"""Rows for `Moments`: finite numbers, some far from zero."""

import numpy as np
import pytest
from hypothesis import strategies as st

from watchkeeper.stats.states.moments import Moments

ROW = st.one_of(st.floats(-1e3, 1e3), st.sampled_from([0.0, 1e3, 5.0]))


def build(rows):
    return Moments.of(np.array(rows, dtype=float))


def same(left, right):
    assert left.n == right.n
    assert (left.min, left.max) == (right.min, right.max)
    if left.n:
        reach = max(abs(left.min), abs(left.max), 1e-300)
        assert left.mean == pytest.approx(right.mean, rel=1e-12, abs=1e-12 * reach)
        for power, name in ((2, "m2"), (3, "m3"), (4, "m4")):
            size = left.n * reach**power
            assert getattr(left, name) == pytest.approx(getattr(right, name), rel=1e-9, abs=1e-12 * size)
