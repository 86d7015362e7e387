"""Rows for `ScoreTable`: a score (also NaN, null, no probability) and an outcome, which may be unknown."""

import numpy as np
from hypothesis import strategies as st

from watchkeeper.stats.states.score_table import ScoreTable

SCORE = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.3, 1.0, 1e-7, 1.5, -2.0, float("nan"), None]))
ROW = st.tuples(SCORE, st.sampled_from([True, False, None]))


def build(rows):
    scores = np.array([0.0 if s is None else s for s, _ in rows], dtype=float)
    return ScoreTable.of(
        scores,
        np.array([bool(y) for _, y in rows], dtype=bool),
        labelled=np.array([y is not None for _, y in rows], dtype=bool),
        valid=np.array([s is not None for s, _ in rows], dtype=bool),
    )
