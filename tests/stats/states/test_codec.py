"""Bytes: small, checked, and readable for ever."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from watchkeeper.errors import BadInput, Incompatible
from watchkeeper.stats.states.codec import (
    FORMAT_VERSION,
    _narrowest,
    _pack_array,
    _unpack_array,
    decode,
    encode,
)
from watchkeeper.stats.states.moments import Moments

STORED = encode(Moments.of([1.0, 2.5, 4.0]))


@given(
    hnp.arrays(
        st.sampled_from([np.bool_, np.int64, np.uint64, np.float64, np.int32, np.uint8, np.float32]),
        hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=6),
    )
)
def test_every_array_comes_back_bit_for_bit(array):
    again = _unpack_array(memoryview(_pack_array(array)))
    assert (again.dtype, again.shape) == (array.dtype, array.shape)
    assert again.tobytes() == array.tobytes()


@pytest.mark.parametrize(
    ("numbers", "stored"),
    [
        ([0, 255], "uint8"),
        ([-1, 127], "int8"),
        ([0, 65_536], "uint32"),
        ([2.0**40], "float32"),
        ([3.0, 0.0], "uint8"),
        ([0.1], "float64"),
        ([-0.0], "float32"),
        ([np.nan], "float32"),
    ],
)
def test_numbers_are_stored_narrowly(numbers, stored):
    assert _narrowest(np.array(numbers)).dtype == stored


def test_golden_bytes_are_still_read():
    """Written by format 1, uncompressed; every later version must read them."""
    golden = bytes.fromhex(GOLDEN)
    assert decode(golden) == Moments.of([1.0, 2.5, 4.0])


GOLDEN = (
    "574b535401002aaf98aa590000000000000092a76d6f6d656e747387a16e03a46d65616ecb4004000000000000a26d32"
    "cb4012000000000000a26d33cb0000000000000000a26d34cb4024400000000000a36d696ecb3ff0000000000000a36d"
    "6178cb4010000000000000"
)


@pytest.mark.parametrize("cut", [0, 3, 10, 18, len(STORED) - 1])
def test_a_file_cut_short_is_refused(cut):
    with pytest.raises(BadInput):
        decode(STORED[:cut])


def test_one_flipped_bit_is_noticed():
    for at in range(6, len(STORED), 5):
        damaged = bytearray(STORED)
        damaged[at] ^= 0x10
        with pytest.raises(BadInput, match="damaged"):
            decode(bytes(damaged))


def test_a_header_that_claims_too_much_is_refused_without_asking_for_the_memory():
    head = struct.pack("<4sBBIQ", b"WKST", FORMAT_VERSION, 1, 0, 2**62)
    with pytest.raises(BadInput, match="damaged"):
        decode(head + b"x" * 40)


def test_a_later_version_is_named():
    later = bytearray(STORED)
    later[4] = FORMAT_VERSION + 1
    with pytest.raises(Incompatible, match=r"format 2.*reads up to 1"):
        decode(bytes(later))


def test_something_else_is_refused():
    with pytest.raises(BadInput, match="not a stored"):
        decode(b"PAR1" + b"\0" * 100)


def test_an_object_that_is_not_plain_is_refused():
    class Odd(Moments):
        def to_payload(self):
            return {"odd": object()}

    with pytest.raises(TypeError, match="may not hold a object"):
        encode(Odd())
