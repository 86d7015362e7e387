"""Rows for `VectorState`: vectors of three dimensions, some not finite, some null."""

import numpy as np
from hypothesis import strategies as st

from watchkeeper.domain.schema import Kind
from watchkeeper.domain.values import Values
from watchkeeper.stats.states.vector import VectorState

NUMBER = st.one_of(st.integers(-100, 100).map(float), st.floats(-100, 100).map(lambda x: round(x, 3)))
ROW = st.one_of(st.tuples(NUMBER, NUMBER, NUMBER), st.just((float("nan"), 0.0, 1.0)), st.none())


def build(rows):
    data = np.array([r or (0.0, 0.0, 0.0) for r in rows], dtype=float).reshape(-1, 3)
    valid = np.array([r is not None for r in rows], dtype=bool)
    return VectorState.of(Values(kind=Kind.VECTOR, rows=len(rows), data=data, valid=valid))


def same(left, right):
    assert (left.n, left.nulls, left.misfits, left.nonfinite) == (
        right.n, right.nulls, right.misfits, right.nonfinite,
    )  # fmt: skip
    np.testing.assert_allclose(left.mean, right.mean, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(left.m2, right.m2, rtol=1e-9, atol=1e-7)
    assert left.norms.n == right.norms.n
    np.testing.assert_allclose(left.norms.mean, right.norms.mean, rtol=1e-9, atol=1e-9)


def incompatible():
    return VectorState.of_vectors(np.ones((2, 3))), VectorState.of_vectors(np.ones((2, 4)))
