"""What goes into a journal comes out with its meaning; what cannot go in is counted, and never raises."""

import collections
import dataclasses
import datetime as dt
import enum
import fractions
import math
import uuid
from decimal import Decimal

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.capture.events import (
    Counters,
    Encoder,
    Outcome,
    Prediction,
    Unreadable,
    decode_events,
    join_events,
    micros,
    plain_features,
)


def through(value):
    """Return *value* as it comes back, and how many values were replaced by their repr."""
    encoder = Encoder()
    event = encoder.encode(("p", "id", 5, {"x": value}))
    (back,) = decode_events(join_events([event]))
    assert isinstance(back, Prediction)
    return back.features["x"], encoder.take_unencodable()


def same(a, b):
    if isinstance(a, float) and isinstance(b, float):
        return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    if isinstance(a, (list, tuple)) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return type(a) is type(b) and a == b


class Plan(enum.Enum):
    BASIC = "basic"


@dataclasses.dataclass
class Row:
    age: int


Pair = collections.namedtuple("Pair", "a b")

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(st.characters(exclude_categories=("Cs",)))
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=("Cs",))), inner, max_size=4)
    ),
    max_leaves=12,
)


class TestMeaning:
    @given(PLAIN)
    def test_plain_values_come_back_exactly(self, value):
        back, replaced = through(value)
        assert same(value, back)
        assert replaced == 0

    @given(st.floats(), st.sampled_from([np.float64, np.float32, np.float16, np.longdouble]))
    def test_numpy_floats_keep_nan_and_infinity(self, value, kind):
        with np.errstate(over="ignore"):
            scalar = kind(value)
        assert same(through(scalar)[0], float(scalar))

    @given(st.data())
    def test_numpy_integers(self, data):
        kind = data.draw(
            st.sampled_from([np.int8, np.uint8, np.int16, np.int32, np.uint32, np.int64, np.uint64])
        )
        value = data.draw(st.integers(np.iinfo(kind).min, np.iinfo(kind).max))
        assert same(through(kind(value))[0], value)

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (np.bool_(True), True),
            (np.str_("x"), "x"),
            (np.array([1.5, np.nan]), [1.5, math.nan]),
            (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
            (np.array(7), 7),
            (np.datetime64("2024-03-01T12:00:00"), "2024-03-01T12:00:00"),
            (np.datetime64("2024-03-01T12:00:00.000000001"), "2024-03-01T12:00:00"),
            (np.datetime64("NaT"), None),
            (np.timedelta64(90, "s"), "PT90S"),
            (pd.Timestamp("2024-03-01", tz="UTC"), dt.datetime(2024, 3, 1, tzinfo=dt.UTC)),
            (pd.Timestamp("2024-03-01"), "2024-03-01T00:00:00"),
            (pd.NaT, None),
            (pd.NA, None),
            (pd.Series([1, 2]), [1, 2]),
            (pa.scalar(5), 5),
            (Decimal("1.5"), 1.5),
            (Decimal("NaN"), math.nan),
            (fractions.Fraction(1, 4), 0.25),
            (dt.datetime(2024, 3, 1, 12, tzinfo=dt.timezone(dt.timedelta(hours=2))), dt.datetime(2024, 3, 1, 10, tzinfo=dt.UTC)),
            (dt.datetime(2024, 3, 1, 12), "2024-03-01T12:00:00"),
            (dt.date(2024, 3, 1), "2024-03-01"),
            (uuid.UUID(int=5), str(uuid.UUID(int=5))),
            (Plan.BASIC, "basic"),
            ({1}, [1]),
            (range(3), [0, 1, 2]),
            (collections.deque([1, 2]), [1, 2]),
            (Row(3), {"age": 3}),
            (2**70, float(2**70)),
            (-(2**70), -float(2**70)),
            ({1: "a"}, {1: "a"}),
            (bytearray(b"x"), b"x"),
        ],
        ids=repr,
    )  # fmt: skip
    def test_other_types_become_what_they_mean(self, value, expected):
        back, replaced = through(value)
        assert same(expected, back), (expected, back)
        assert replaced == 0


class Hostile:
    def __repr__(self):
        raise RuntimeError("no")

    @property
    def tolist(self):
        raise RuntimeError("no")


class TestWhatCannotBeEncoded:
    @pytest.mark.parametrize(
        "value", [1j, object(), "\ud800", lambda: 0, Hostile(), 10**400, [1, "\udcff"]], ids=type
    )
    def test_it_becomes_text_and_is_counted(self, value):
        back, replaced = through(value)
        text = back[1] if isinstance(back, list) else back
        assert isinstance(text, str)
        assert len(text) <= 2_000
        assert replaced == 1

    def test_the_values_beside_it_are_unharmed(self):
        encoder = Encoder()
        features = {"a": 1, "bad": object(), "c": "\ud800", "d": [2.5], 3: "three"}
        (event,) = decode_events(join_events([encoder.encode(("p", "id", 5, features, 1, 0.5))]))
        assert (event.features["a"], event.features["d"], event.prediction, event.score) == (1, [2.5], 1, 0.5)
        assert event.features["3"] == "three"
        assert encoder.take_unencodable() == 2

    def test_a_dict_that_holds_itself(self):
        loop = {"a": 1}
        loop["self"] = loop
        (event,) = decode_events(join_events([Encoder().encode(("p", "id", 5, loop))]))
        assert event.features["a"] == 1

    @given(
        st.recursive(
            st.builds(object) | st.complex_numbers() | st.text() | st.integers() | st.floats(),
            lambda s: (
                st.lists(s)
                | st.dictionaries(st.text() | st.integers() | st.none() | st.tuples(st.integers()), s)
            ),
            max_leaves=8,
        )
    )
    def test_nothing_raises_and_the_event_can_be_read(self, value):
        (event,) = decode_events(join_events([Encoder().encode(("p", "id", 5, {"x": value}, value, value))]))
        assert isinstance(event, Prediction)


class TestReading:
    def test_every_kind_comes_back(self):
        encode = Encoder().encode
        events = [("p", "a", 1, {}), ("o", "a", 2, True), ("c", 3, 1, 7, 2)]
        assert decode_events(join_events([encode(e) for e in events])) == [
            Prediction("a", 1, {}), Outcome("a", 2, True), Counters(3, 1, recorded=7, dropped=2),
        ]  # fmt: skip

    def test_one_bad_event_does_not_hide_the_others(self):
        encode = msgspec.msgpack.encode
        events = [("p", "a", 1, {}), ("q", 1), ("p", "b", 1, {1: 2}), ("p", 5, "x", [])]
        read = decode_events(join_events([encode(e) for e in events]))
        assert read[0] == Prediction("a", 1, {})
        assert isinstance(read[1], Unreadable)
        assert read[2] == Prediction("b", 1, {"1": 2})
        assert isinstance(read[3], Unreadable)

    def test_an_event_of_a_later_version_with_more_fields_is_read(self):
        event = ("p", "a", 1, {}, 1, None, None, None, None, 1.0, False, "something new")
        assert decode_events(join_events([msgspec.msgpack.encode(event)])) == [Prediction("a", 1, {}, 1)]

    def test_garbage_is_unreadable_not_an_error(self):
        (event,) = decode_events(b"\xc1garbage")
        assert isinstance(event, Unreadable)


class TestRows:
    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ({"a": 1}, {"a": 1}),
            ([1, 2], {"x0": 1, "x1": 2}),
            (np.array([1.0, 2.0]), {"x0": 1.0, "x1": 2.0}),
            (np.array([[1.0, 2.0]]), {"x0": 1.0, "x1": 2.0}),
            (pd.Series({"a": 1, "b": 2}), {"a": 1, "b": 2}),
            (Row(3), {"age": 3}),
            (Pair(1, 2), {"a": 1, "b": 2}),
            ("text", {"input": "text"}),
            (None, {}),
            (5.5, {"input": 5.5}),
        ],
    )
    def test_one_row_in_any_form(self, given, expected):
        assert plain_features(given) == expected

    @given(st.datetimes(timezones=st.just(dt.UTC)))
    def test_times_are_exact_to_the_microsecond(self, at):
        assert dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=micros(at)) == at
        assert micros(at.isoformat()) == micros(at) == micros(at.replace(tzinfo=None))
