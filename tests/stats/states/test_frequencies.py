"""Counting categories: against `collections.Counter`, and within the declared error past the cap."""

from collections import Counter
from functools import reduce

import numpy as np
import pytest

from watchkeeper.domain.schema import Kind
from watchkeeper.domain.values import Values
from watchkeeper.errors import BadInput
from watchkeeper.stats.states.codec import decode, encode
from watchkeeper.stats.states.frequencies import Frequencies

RNG = np.random.default_rng(4)


def column(codes, words, valid=None):
    return Values(
        kind=Kind.CATEGORICAL,
        rows=len(codes),
        data=np.asarray(codes, np.int32),
        valid=None if valid is None else np.asarray(valid),
        dictionary=np.array(words, dtype=object),
    )


def test_codes_are_counted_by_their_words():
    valid = RNG.random(5_000) < 0.9
    codes = RNG.integers(0, 7, 5_000)
    words = ["a", "b", "", "Zürich", "a", "<b>", "unused?"]  # "a" stands there twice
    f = Frequencies.of(column(np.where(valid, codes, 99), [*words, "never"], valid))
    assert f.counts == Counter(words[c] for c in codes[valid])
    assert f.nulls == 5_000 - valid.sum()
    assert f.total == 5_000
    assert "never" not in f.counts
    assert f.accuracy.exact


def test_booleans_and_numbers_have_names():
    flags = Values(kind=Kind.BOOLEAN, rows=3, data=np.array([True, False, True]))
    assert Frequencies.of(flags).counts == {"false": 1, "true": 2}
    ints = Values(kind=Kind.INTEGER, rows=3, data=np.array([2**62, 0, 0]))
    assert Frequencies.of(ints).counts == {"0": 2, str(2**62): 1}
    floats = Values(kind=Kind.NUMERIC, rows=4, data=np.array([1.0, 0.5, np.nan, np.inf]))
    assert Frequencies.of(floats).counts == {"1": 1, "0.5": 1, "nan": 1, "inf": 1}


def test_a_vector_has_none():
    with pytest.raises(BadInput, match="no frequencies"):
        Frequencies.of(Values(kind=Kind.VECTOR, rows=1, data=np.zeros((1, 2))))


@pytest.mark.parametrize("batches", [1, 2, 15])
@pytest.mark.parametrize("skew", [1.05, 1.5])
def test_past_the_cap_every_count_is_within_the_declared_error(batches, skew):
    codes = (RNG.zipf(skew, 60_000) - 1) % 20_000
    words = [f"w{i:05d}" for i in range(20_000)]
    cap = 200
    parts = [Frequencies.of(column(c, words), cap=cap) for c in np.array_split(codes, batches)]
    f = reduce(lambda a, b: a.merge(b), parts)
    true = Counter(words[c] for c in codes)
    assert len(f.counts) <= cap
    assert f.total == 60_000 == sum(f.counts.values()) + f.other
    assert 0 < f.error <= 2 * 60_000 / cap
    assert all(true[name] - f.error <= count <= true[name] for name, count in f.counts.items())
    assert all(name in f.counts for name, count in true.items() if count > f.error)
    assert not f.accuracy.exact
    assert f.accuracy.bound == f.error / 60_000
    assert decode(encode(f)) == f


def test_a_dropped_category_that_keeps_coming_back_is_not_lost():
    """Dropping the smallest without taking anything off the others would never name it."""
    full = Frequencies.of_counts({f"w{i}": 10 for i in range(4)}, cap=4)
    for _ in range(40):
        full = full.merge(Frequencies.of_counts({"new": 9}, cap=4))
    assert full.top(1)[0][0] == "new"
    assert full.counts["new"] >= 9 * 40 - full.error


def test_equal_counts_are_cut_in_the_order_of_their_names():
    f = Frequencies.of(column([3, 2, 1, 0], ["d", "c", "b", "a"]), cap=2)
    assert f.counts == {"a": 1, "b": 1}
    assert (f.other, f.error) == (2, 1)
    assert Frequencies.of_counts({"d": 1, "c": 1, "b": 1, "a": 1}, cap=2).counts == f.counts


def test_nothing_at_all():
    f = Frequencies.of(column([], []))
    assert (f.n, f.total, f.share("a"), f.top(3)) == (0, 0, 0.0, [])
    nulls = Frequencies.of(column([0, 0], [], [False, False]))
    assert (nulls.n, nulls.nulls) == (0, 2)
