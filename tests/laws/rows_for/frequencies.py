"""Rows for `Frequencies`: a few names and nulls, well under the cap, where all counts are exact.

Past the cap the laws hold within the declared error: see tests/stats/states/test_frequencies.py.
"""

from collections import Counter

from hypothesis import strategies as st

from watchkeeper.stats.states.frequencies import Frequencies

ROW = st.one_of(st.none(), st.sampled_from(["a", "b", "Zürich", "", "null"]), st.text(max_size=2))


def build(rows):
    return Frequencies.of_counts(Counter(r for r in rows if r is not None), nulls=rows.count(None))


def same(left, right):
    assert left == right
