"""Rows for `Distinct`: hashes, some of them equal, past the number that is kept."""

import numpy as np
from hypothesis import strategies as st

from watchkeeper.stats.states.distinct import Distinct

ROW = st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 10))


def build(rows):
    return Distinct.of(np.array(rows, dtype=np.uint64), k=16)


def incompatible():
    return Distinct.empty(k=16), Distinct.empty(k=32)
