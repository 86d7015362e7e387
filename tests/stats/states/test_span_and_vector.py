"""Datetime spans and vectors, against numpy on all rows."""

import numpy as np
import pytest

from watchkeeper.domain.schema import Kind
from watchkeeper.domain.values import Values
from watchkeeper.errors import Incompatible
from watchkeeper.stats.states.span import DatetimeSpan
from watchkeeper.stats.states.vector import VectorState


def test_a_span_leaves_nulls_out_of_its_ends():
    values = Values(
        kind=Kind.DATETIME, rows=4, data=np.array([5, -9, 7, 3]), valid=np.array([True, False, True, True])
    )
    assert DatetimeSpan.of(values) == DatetimeSpan(min_us=3, max_us=7, n=3, nulls=1)


def test_no_moment_has_no_span():
    assert DatetimeSpan.empty().length_s is None


def test_vectors_far_from_zero_keep_their_variance():
    data = np.random.default_rng(0).normal(1e8, 1.0, (1_000, 4))
    parts = [VectorState.of_vectors(data[i::7]) for i in range(7)]
    whole = parts[0]
    for part in parts[1:]:
        whole = whole.merge(part)
    np.testing.assert_allclose(whole.mean, data.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(whole.variance(ddof=1), data.var(axis=0, ddof=1), rtol=1e-6)
    assert whole.norms.mean == pytest.approx(np.linalg.norm(data, axis=1).mean())


def test_vectors_that_are_null_odd_or_not_finite_are_counted_by_name():
    values = Values(
        kind=Kind.VECTOR,
        rows=5,
        data=np.array([[1.0, 2.0], [0, 0], [0, 0], [np.inf, 1.0], [3.0, 4.0]]),
        valid=np.array([True, False, False, True, True]),
        misfits=1,
    )
    found = VectorState.of(values)
    assert (found.n, found.nulls, found.misfits, found.nonfinite, found.total) == (2, 1, 1, 1, 5)
    assert found.mean.tolist() == [2.0, 3.0]


def test_another_dimension_says_what_may_have_happened():
    with pytest.raises(Incompatible, match="new baseline"):
        VectorState.of_vectors(np.ones((1, 3))).merge(VectorState.of_vectors(np.ones((1, 2))))
