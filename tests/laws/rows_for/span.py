"""Rows for `DatetimeSpan`: whole microseconds, or null."""

import numpy as np
from hypothesis import strategies as st

from watchkeeper.stats.states.span import DatetimeSpan

ROW = st.one_of(st.integers(-(2**62), 2**62), st.none())


def build(rows):
    return DatetimeSpan.of_moments(
        np.array([r for r in rows if r is not None], dtype=np.int64), nulls=sum(r is None for r in rows)
    )
