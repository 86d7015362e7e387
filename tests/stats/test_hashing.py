"""The hash is ours for ever: checked against a second, slow implementation in plain integers, and pinned."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchkeeper.domain.schema import Kind
from watchkeeper.domain.values import Values
from watchkeeper.stats.hashing import (
    NULL,
    combine,
    hash_codes,
    hash_floats,
    hash_ints,
    hash_strings,
    hash_texts,
    hash_values,
    mix,
)

WORD = 2**64


def slow_mix(x):
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % WORD
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % WORD
    return x ^ (x >> 31)


def slow_number(x):
    if x == x and abs(x) != float("inf") and x == int(x) and -(2**63) <= x < 2**64:
        salt = 0x9E3779B97F4A7C15 if x < 2**63 else 0xD1B54A32D192ED03
        return slow_mix((int(x) + salt) % WORD)
    x = float("nan") if x != x else x
    return slow_mix((struct.unpack("<Q", struct.pack("<d", x))[0] + 0x8CB92BA72F3D8DD7) % WORD)


def slow_bytes(b, seed=0xABC98388FB8FAC03):
    if len(b) > 1024:
        pieces = b"".join(struct.pack("<Q", slow_bytes(b[i : i + 1024])) for i in range(0, len(b), 1024))
        start = (0xABC98388FB8FAC03 + len(b)) % WORD
        if len(pieces) > 1024:
            return slow_mix(slow_bytes(pieces) ^ start)
        return slow_bytes(pieces, start)
    h = seed
    for i in range(0, len(b), 8):
        h = slow_mix(h ^ int.from_bytes(b[i : i + 8], "little"))
    return slow_mix((h + len(b)) % WORD)


@settings(deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_integers_agree_with_the_definition(xs):
    assert hash_ints(np.array(xs, np.int64)).tolist() == [slow_number(x) for x in xs]


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), min_size=1))
def test_unsigned_integers_agree_with_the_definition(xs):
    assert hash_ints(np.array(xs, np.uint64)).tolist() == [slow_number(x) for x in xs]


@settings(deadline=None)
@given(st.lists(st.floats(), min_size=1))
def test_floats_agree_with_the_definition(xs):
    xs += [
        0.0,
        -0.0,
        2.0**63,
        -(2.0**63),
        2.0**64,
        9.3e18,
        -9.3e18,
        float("inf"),
        float("-inf"),
        float("nan"),
    ]
    assert hash_floats(np.array(xs)).tolist() == [slow_number(x) for x in xs]


@settings(deadline=None)
@given(st.lists(st.binary(max_size=40), min_size=1))
def test_byte_strings_agree_with_the_definition(parts):
    offsets = np.cumsum([0, *map(len, parts)])
    assert hash_strings(offsets, b"".join(parts)).tolist() == [slow_bytes(p) for p in parts]


@pytest.mark.parametrize("length", [1023, 1024, 1025, 5000, 1024 * 128, 1024 * 128 + 1, 1024 * 128 * 3])
def test_long_strings_agree_with_the_definition(length):
    text = bytes(np.random.default_rng(length).integers(0, 256, length, dtype=np.uint8))
    assert hash_texts([b"short", text, text[:-1], b""]).tolist() == [
        slow_bytes(b) for b in (b"short", text, text[:-1], b"")
    ]


@pytest.mark.parametrize("odd", ["plain", None, b"bytes", "lone \ud800", ""])
def test_long_dictionaries_hash_as_short_ones(odd):
    texts = [f"value {i}" for i in range(12_000)] + [odd]
    assert hash_texts(texts)[[0, 7, -1]].tolist() == hash_texts([texts[0], texts[7], odd]).tolist()


def test_golden_vectors():
    """Written down once; no later version may change them."""
    numbers = {0: GOLDEN[0], 1: GOLDEN[1], -1: GOLDEN[2], 0.5: GOLDEN[3]}
    for x, h in numbers.items():
        assert int(hash_floats(np.array([x]))[0]) == h
    assert hash_texts(["", "a", "watchkeeper", "Zürich", "x" * 2000]).tolist() == GOLDEN[4:9]
    assert combine(hash_texts(["a"]), hash_texts(["b"])).tolist() == GOLDEN[9:]
    assert int(NULL) == 0x6E756C6C00000001


GOLDEN = [
    0xE220A8397B1DCDAF,
    0x910A2DEC89025CC1,
    0xE4D971771B652C20,
    0x40B6A44EFD232AD7,
    0xBA142B02C2B44EF9,
    0x38B6FB26E3590ACD,
    0x1F3D825AA1E25EE9,
    0x42ACD19B9243F8F4,
    0xFF994D1F0AD36D26,
    0x096C83B350A87414,
]


def test_the_same_number_hashes_alike_whatever_its_type():
    ones = {
        int(h[0])
        for h in (
            hash_ints(np.array([1], np.uint8)),
            hash_ints(np.array([1], np.int64)),
            hash_ints(np.array([1], np.uint64)),
            hash_ints(np.array([True])),
            hash_floats(np.array([1.0], np.float32)),
            hash_floats(np.array([1.0])),
        )
    }
    assert len(ones) == 1
    assert ones.isdisjoint(hash_texts(["1"]).tolist())
    assert hash_ints(np.array([-1]))[0] != hash_ints(np.array([2**64 - 1], np.uint64))[0]


def test_null_nan_and_the_empty_string_differ():
    values = Values(
        kind=Kind.NUMERIC, rows=3, data=np.array([np.nan, 0.0, -np.nan]), valid=np.array([True, False, True])
    )
    nan, null, other_nan = hash_values(values)
    assert null == NULL
    assert nan == other_nan != null
    assert hash_texts(["", None]).tolist() == [slow_bytes(b""), int(NULL)]


def test_codes_hash_as_the_words_they_stand_for():
    words = np.array(["x", "y"], dtype=object)
    valid = np.array([True, True, False, True])
    values = Values(
        kind=Kind.CATEGORICAL, rows=4, data=np.array([1, 0, 9, 1], np.int32), valid=valid, dictionary=words
    )
    assert hash_values(values).tolist() == hash_texts(["y", "x", None, "y"]).tolist()
    assert hash_codes(np.zeros(2, np.int32), hash_texts([])).tolist() == [int(NULL)] * 2


def test_vectors_hash_by_their_numbers_in_order():
    data = np.array([[1.0, 2.0], [2.0, 1.0], [1.0, 2.0]])
    a, b, c = hash_values(Values(kind=Kind.VECTOR, rows=3, data=data))
    assert a == c != b


@pytest.mark.parametrize("make", [np.arange, lambda n: np.arange(n) << 40, lambda n: np.arange(n) * 0.1])
def test_neighbours_spread_evenly(make):
    """Sequential ids must give a fair sample: every bit is set half the time, and no bucket is crowded."""
    hashes = hash_floats(np.asarray(make(100_000), dtype=float))
    assert len(np.unique(hashes)) == 100_000
    bits = np.unpackbits(hashes.view(np.uint8)).reshape(-1, 64).mean(axis=0)
    assert np.abs(bits - 0.5).max() < 5 * 0.5 / np.sqrt(100_000)
    buckets = np.bincount((hashes >> np.uint64(54)).astype(int), minlength=1024)
    chi2 = ((buckets - 100_000 / 1024) ** 2 / (100_000 / 1024)).sum()
    assert abs(chi2 - 1023) < 5 * np.sqrt(2 * 1023)


def test_one_changed_input_bit_changes_half_of_the_output_bits():
    x = np.random.default_rng(1).integers(0, 2**63, 2_000).astype(np.uint64)
    for bit in range(0, 64, 7):
        flipped = mix(x) ^ mix(x ^ np.uint64(1 << bit))
        share = np.unpackbits(flipped.view(np.uint8)).mean()
        assert abs(share - 0.5) < 0.01
