"""Rows for `Sample`: a hash, from which the row's values follow (equal hashes are the same row)."""

import numpy as np
from hypothesis import strategies as st

from watchkeeper.stats.states.sample import Sample

ROW = st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 20))


def build(rows):
    hashes = np.array(rows, dtype=np.uint64)
    if not rows:
        return Sample.empty(8)
    names = np.array([None if h % 3 == 0 else f"name {h % 5}" for h in rows], dtype=object)
    vectors = np.stack([hashes % np.uint64(7), hashes % np.uint64(3)], axis=1).astype(float)
    return Sample.of(hashes, {"name": names, "size": hashes % np.uint64(100), "vector": vectors}, 8)


def incompatible():
    hashes = np.array([1, 2], np.uint64)
    return Sample.of(hashes, {"a": np.array([1, 2])}, 8), Sample.of(hashes, {"b": np.array([1, 2])}, 8)
