"""Rows for `Residuals`: a prediction and an outcome, either of which may be missing or not finite."""

import numpy as np
import pytest
from hypothesis import strategies as st

from watchkeeper.stats.states.residuals import Residuals

NUMBER = st.one_of(
    st.integers(-50, 50).map(float),
    st.floats(-1e3, 1e3).map(lambda x: round(x, 3)),
    st.sampled_from([float("inf"), float("nan"), None]),
)
ROW = st.tuples(NUMBER, NUMBER)


def build(rows):
    predicted, actual = ([0.0 if r[i] is None else r[i] for r in rows] for i in (0, 1))
    return Residuals.of(
        np.array(predicted, dtype=float),
        np.array(actual, dtype=float),
        labelled=np.array([r[1] is not None for r in rows], dtype=bool),
        valid=np.array([r[0] is not None for r in rows], dtype=bool),
    )


def same(left, right):
    np.testing.assert_allclose(left.cells, right.cells)
    for name in ("n", "unlabelled", "unpredicted", "nonfinite"):
        assert getattr(left, name) == getattr(right, name)
    if left.n:
        for name in ("mse", "mae"):
            assert getattr(left, name) == pytest.approx(getattr(right, name), rel=1e-9, abs=1e-9)
        # Fourth-order sums of numbers up to 1e3 (2e3 for errors): rounding is relative to their size.
        for name, size in (("square_by_outcome", 4e9), ("square_by_spread", 4e12)):
            assert getattr(left, name) == pytest.approx(getattr(right, name), rel=1e-9, abs=1e-10 * size)
    for name in ("error", "outcome", "percentage", "symmetric"):
        a, b = getattr(left, name), getattr(right, name)
        assert (a.n, a.min, a.max) == (b.n, b.min, b.max)
        if a.n:
            assert a.mean == pytest.approx(b.mean, rel=1e-9, abs=1e-9)
