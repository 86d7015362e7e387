"""Rows for `TextLengths`: short and long texts of many scripts, and nulls."""

import numpy as np
import pytest
from hypothesis import strategies as st

from watchkeeper.domain.schema import Kind
from watchkeeper.domain.values import Values
from watchkeeper.stats.states.text import TextLengths

ROW = st.one_of(
    st.none(), st.text(max_size=12), st.sampled_from(["", " ", "a" * 500, "7", "Straße", "x@y.de"])
)


def build(rows):
    words = sorted({r for r in rows if r is not None})
    codes = np.array([words.index(r) if r is not None else 0 for r in rows], dtype=np.int32)
    valid = np.array([r is not None for r in rows], dtype=bool)
    dictionary = np.array(words, dtype=object)
    return TextLengths.of(
        Values(kind=Kind.TEXT, rows=len(rows), data=codes, valid=valid, dictionary=dictionary)
    )


def same(left, right):
    assert left.patterns == pytest.approx(right.patterns)
    assert left.nulls == right.nulls
    np.testing.assert_allclose(left.lengths.counts, right.lengths.counts)
    assert left.length.n == right.length.n
    if left.n:
        assert left.length.mean == pytest.approx(right.length.mean)
