"""Rows for `Confusion`: an actual and a predicted class, either of which may be missing."""

from hypothesis import strategies as st

from watchkeeper.stats.states.confusion import Confusion

CLASS = st.sampled_from(["a", "b", "", "(rest)", "1", None])
ROW = st.tuples(CLASS, CLASS)


def build(rows):
    return Confusion.of_labels([a for a, _ in rows], [p for _, p in rows])


def incompatible():
    return Confusion.empty(cap=10), Confusion.empty(cap=20)
