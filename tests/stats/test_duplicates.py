"""Copies counted exactly while they fit, spilled, or estimated: and the result says which."""

import numpy as np
import pytest

from watchkeeper.stats.duplicates import DuplicateCounter
from watchkeeper.stats.hashing import hash_ints


def batches(rows=50_000, distinct=40_000, seed=0, size=3_000):
    ids = np.random.default_rng(seed).integers(0, distinct, rows)
    hashes = hash_ints(ids)
    return [hashes[i : i + size] for i in range(0, rows, size)], rows - np.unique(ids).size


def count(counter, parts):
    for part in parts:
        counter.add(part)
    return counter.result()


def test_it_is_exact_while_all_fit():
    parts, copies = batches()
    found = count(DuplicateCounter(), parts)
    assert (found.copies, found.how, found.exact) == (copies, "exact", True)


def test_it_is_exact_when_spilled_to_files(tmp_path):
    written = []

    def spill(run):
        path = tmp_path / f"{len(written)}.npy"
        np.save(path, run)
        written.append(path)
        return np.load(path, mmap_mode="r")

    parts, copies = batches()
    found = count(DuplicateCounter(limit=8_000, spill=spill), parts)
    assert (found.copies, found.how, found.exact) == (copies, "spilled", True)
    assert len(written) > 4


def test_past_the_limit_it_is_an_estimate_that_says_so():
    parts, copies = batches()
    found = count(DuplicateCounter(limit=8_000), parts)
    assert (found.how, found.exact, found.rows) == ("sampled", False, 50_000)
    assert found.copies == pytest.approx(copies, abs=4 * found.standard_error)
    assert 0 < found.standard_error < 0.1 * copies


def test_the_estimate_errs_as_much_as_it_says():
    errors = []
    for seed in range(200):
        parts, copies = batches(rows=6_000, distinct=5_000, seed=seed * 7919, size=500)
        # New ids each time, so that other rows are kept.
        shifted = [hash_ints(part.view(np.int64) + seed) for part in parts]
        found = count(DuplicateCounter(limit=1_000), shifted)
        errors.append((found.copies - copies) / found.standard_error)
    assert abs(np.mean(errors)) < 0.3
    assert 0.75 < np.std(errors) < 1.3


def test_memory_stays_bounded():
    counter = DuplicateCounter(limit=5_000)
    for i in range(100):
        counter.add(hash_ints(np.arange(i * 2_000, (i + 1) * 2_000)))
        assert counter._held <= 5_000 + 2_000
    assert counter.result().copies == 0


def test_one_row_copied_without_end_does_not_hang():
    counter = DuplicateCounter(limit=1_000)
    for _ in range(10):
        counter.add(np.full(500, 5, np.uint64))
    assert counter.result().copies >= 1_000


def test_nothing_has_no_copies():
    assert DuplicateCounter().result().share == 0.0
