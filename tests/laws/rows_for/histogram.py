"""Rows for `Histogram`: numbers inside and outside of the edges, heavy ones, none, NaN and infinities."""

import numpy as np
from hypothesis import strategies as st

from watchkeeper.stats.states.edges import Edges
from watchkeeper.stats.states.histogram import Histogram

_MADE_FROM = np.concatenate([np.linspace(-4, 4, 5_000), np.zeros(500)])
EDGES = Edges.of_values(_MADE_FROM)

ROW = st.one_of(st.none(), st.floats(-9, 9), st.sampled_from([0.0, np.nan, np.inf, -np.inf]))


def build(rows):
    data = np.array([x for x in rows if x is not None], dtype=float)
    return Histogram.of(data, EDGES, nulls=rows.count(None))


def incompatible():
    return Histogram.empty(EDGES), Histogram.empty(Edges.of_values([1.0, 2.0]))
