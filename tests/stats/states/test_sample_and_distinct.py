"""Bottom-k: a fair sample, a good count, and the same whatever the cut."""

import numpy as np
import pytest
from scipy import stats

from watchkeeper.stats.hashing import hash_ints
from watchkeeper.stats.states.distinct import Distinct
from watchkeeper.stats.states.sample import Sample, smallest


def test_smallest_agrees_with_a_full_sort_also_among_many_repeats():
    rng = np.random.default_rng(0)
    for high in (50, 5_000, 2**60):
        hashes = rng.integers(0, high, 20_000).astype(np.uint64)
        values, first = np.unique(hashes, return_index=True)
        np.testing.assert_array_equal(smallest(hashes, 300), first[:300])
        assert (hashes[smallest(hashes, 300)] == values[:300]).all()


def test_a_sample_of_ids_is_a_fair_sample_of_values():
    ids = np.arange(200_000)
    values = np.random.default_rng(1).normal(size=ids.size)
    sample = Sample.of(hash_ints(ids), {"x": values}, 2_000)
    assert sample.size == 2_000
    assert sample.rows == 200_000
    assert stats.kstest(sample.columns["x"], "norm").pvalue > 0.001


def test_rows_keep_together():
    ids = np.arange(5_000)
    sample = Sample.of(hash_ints(ids), {"id": ids, "twice": ids * 2}, 100)
    np.testing.assert_array_equal(sample.columns["twice"], 2 * sample.columns["id"])
    np.testing.assert_array_equal(hash_ints(sample.columns["id"]), sample.hashes)


def test_rows_above_the_limit_need_not_be_offered():
    hashes = hash_ints(np.arange(10_000))
    first = Sample.of(hashes[:5_000], {"at": np.arange(5_000)}, 50)
    rest = np.arange(5_000, 10_000)[hashes[5_000:] <= np.uint64(first.limit)]
    short = first.merge(Sample.of(hashes[rest], {"at": rest}, 50))
    whole = Sample.of(hashes, {"at": np.arange(10_000)}, 50)
    np.testing.assert_array_equal(short.columns["at"], whole.columns["at"])


def test_the_smaller_of_two_sizes_holds():
    hashes = hash_ints(np.arange(100))
    merged = Sample.of(hashes[:50], {}, 20).merge(Sample.of(hashes[50:], {}, 10))
    np.testing.assert_array_equal(merged.hashes, np.sort(hashes)[:10])


def test_distinct_is_exact_while_few_and_close_when_many():
    few = Distinct.of(hash_ints(np.arange(4_000) % 1_234))
    assert few.estimate == 1_234
    assert few.accuracy.exact
    for many in (10_000, 300_000):
        found = Distinct.of(hash_ints(np.arange(2 * many) % many))
        assert found.estimate == pytest.approx(many, rel=found.accuracy.bound)
        assert not found.accuracy.exact


def test_the_distinct_estimate_is_unbiased_with_the_error_it_declares():
    rng = np.random.default_rng(2)
    k, many = 64, 2_000
    estimates = [
        Distinct.of(rng.integers(0, 2**64, many, dtype=np.uint64, endpoint=False), k=k).estimate
        for _ in range(2_000)
    ]
    relative = np.array(estimates) / many
    assert relative.mean() == pytest.approx(1.0, abs=0.01)
    assert relative.std() == pytest.approx(1 / np.sqrt(k - 2), rel=0.1)
