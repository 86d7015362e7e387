"""Every Arrow type has a reading for every kind; what does not fit is counted and shown, never guessed."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchkeeper.domain.schema import Column, Kind
from watchkeeper.rows.values import as_text, values_of

NUMBER_TYPES = [
    pa.int8(),
    pa.int16(),
    pa.int32(),
    pa.int64(),
    pa.uint8(),
    pa.uint16(),
    pa.uint32(),
    pa.uint64(),
    pa.float16(),
    pa.float32(),
    pa.float64(),
    pa.decimal32(6, 2),
    pa.decimal64(12, 2),
    pa.decimal128(30, 2),
    pa.decimal256(60, 2),
]
TIME_TYPES = [
    *(pa.timestamp(unit, zone) for unit in ("s", "ms", "us", "ns") for zone in (None, "UTC", "Europe/Oslo")),
    pa.date32(),
    pa.date64(),
]
ODD_ARRAYS = [
    pa.array([True, None, False]),
    pa.array(["a", None, "b"]),
    pa.array(["a", None, "b"], pa.large_string()),
    pa.array(["a", None, "b"], pa.string_view()),
    pa.array([b"a", None, b"\xff"]),
    pa.array([b"a", None, b"\xff"], pa.large_binary()),
    pa.array([b"a", None, b"\xff"], pa.binary_view()),
    pa.array([b"ab", None, b"\xffa"], pa.binary(2)),
    pa.array(["a", None, "b"]).dictionary_encode(),
    pa.array([1.5, None, 2.0]).dictionary_encode(),
    pa.array([[1.0], None, [2.0]], pa.list_(pa.float64())),
    pa.array([[1.0], None, [2.0]], pa.large_list(pa.float64())),
    pa.array([[1.0], None, [2.0]], pa.list_(pa.float64(), 1)),
    pa.array([[1.0], None, [2.0]], pa.list_view(pa.float64())),
    pa.array([[1.0], None, [2.0]], pa.large_list_view(pa.float64())),
    pa.array([["a"], None, ["b"]]),
    pa.nulls(3),
    pa.array([{"a": 1}, None, {"a": 2}]),
    pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.int64())),
    pa.UnionArray.from_dense(
        pa.array([0, 1, 0], pa.int8()), pa.array([0, 0, 1], pa.int32()), [pa.array([1, 2]), pa.array(["a"])]
    ),
    pa.array([b"0" * 16, None, b"1" * 16], pa.uuid()),
    pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, None, 0], pa.int8())),
    pa.array([(1, 2, 3), None, (1, 1, 1)], pa.month_day_nano_interval()),
    pa.array([1, None, 3], pa.time32("s")),
    pa.array([1, None, 3], pa.time64("ns")),
    pa.array([1, None, 3], pa.duration("ms")),
    pc.run_end_encode(pa.array([1, None, 3])),
]
ALL_ARRAYS = [*(pa.array([1, None, 3], kind) for kind in (*NUMBER_TYPES, *TIME_TYPES)), *ODD_ARRAYS]


def read(array, kind: Kind, dtype: str = ""):
    return values_of(array, Column(name="x", kind=kind, dtype=dtype))


def listed(values) -> list:
    """The values as Python objects, None where they are null."""
    valid = np.ones(values.rows, bool) if values.valid is None else values.valid
    if values.dictionary is None:
        return [x if ok else None for x, ok in zip(values.data.tolist(), valid)]
    return [values.dictionary[code] if ok else None for code, ok in zip(values.data, valid)]


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("array", ALL_ARRAYS, ids=lambda a: str(a.type))
def test_every_type_can_be_read_as_every_kind(array, kind):
    """The result has the column's kind, one row a value, and each value is a value, a null or a misfit."""
    union = pa.types.is_union(array.type)
    pieces = [array, array[1:], array[:0], pa.chunked_array([array, array]), pa.chunked_array([], array.type)]
    for piece in pieces:
        values = read(piece, kind)
        assert values.kind is kind
        assert values.rows == len(piece)
        if kind is Kind.UNKNOWN:
            assert values.data is None
            continue
        assert len(values.data) == len(piece)
        assert (
            values.data.dtype
            == {
                Kind.NUMERIC: np.float64,
                Kind.INTEGER: np.uint64 if pa.types.is_uint64(array.type) else np.int64,
                Kind.BOOLEAN: np.bool_,
                Kind.DATETIME: np.int64,
                Kind.CATEGORICAL: np.int32,
                Kind.TEXT: np.int32,
                Kind.VECTOR: np.float64,
            }[kind]
        )
        missing = 0 if values.valid is None else int((~values.valid).sum())
        if not union:
            assert missing == sum(x is None for x in (str(v) if v.is_valid else None for v in piece)) + (
                values.misfits
            )
        assert (values.misfit_example is None) == (values.misfits == 0)
        if values.dictionary is not None and values.valid is None and values.rows:
            assert values.data.max() < len(values.dictionary)


@pytest.mark.parametrize("kind", NUMBER_TYPES, ids=str)
def test_numbers_are_float64_whatever_they_were(kind):
    assert listed(read(pa.array([0, None, 7], kind), Kind.NUMERIC)) == [0.0, None, 7.0]


@pytest.mark.parametrize("kind", NUMBER_TYPES, ids=str)
def test_whole_numbers_of_any_type_are_integers(kind):
    values = read(pa.array([0, None, 7], kind), Kind.INTEGER)
    assert listed(values) == [0, None, 7]
    assert values.misfits == 0


@pytest.mark.parametrize("kind", [pa.int64(), pa.float64()], ids=str)
def test_plain_numbers_are_not_copied(kind):
    array = pa.array([1, 2, None], kind)[1:]
    data = read(array, Kind.INTEGER if kind == pa.int64() else Kind.NUMERIC).data
    address = array.buffers()[1].address
    assert address <= data.__array_interface__["data"][0] < address + array.buffers()[1].size


class TestIntegers:
    def test_large_ones_keep_every_digit(self):
        big = 2**53 + 1
        assert listed(read(pa.array([big, -big, None]), Kind.INTEGER)) == [big, -big, None]

    def test_unsigned_ones_above_int64_are_kept_where_the_column_is_unsigned(self):
        top = 2**64 - 1
        array = pa.array([top, 1], pa.uint64())
        assert listed(read(array, Kind.INTEGER, "uint64")) == [top, 1]
        signed = read(array, Kind.INTEGER, "int64")
        assert listed(signed) == [None, 1]
        assert (signed.misfits, signed.misfit_example) == (1, str(top))

    def test_a_negative_number_does_not_wrap_round_in_an_unsigned_column(self):
        values = read(pa.array([-1, 2]), Kind.INTEGER, "uint64")
        assert values.data.dtype == np.uint64
        assert (listed(values), values.misfits) == ([None, 2], 1)

    def test_floats_are_integers_where_they_are_whole_and_nan_is_missing(self):
        values = read(pa.array([1.0, float("nan"), 2.5, float("inf"), 2.0**63, None]), Kind.INTEGER)
        assert listed(values) == [1, None, None, None, None, None]
        assert (values.misfits, values.misfit_example) == (3, "2.5")

    def test_decimals_with_a_fraction_do_not_fit(self):
        values = read(pa.array([Decimal("1.00"), Decimal("1.25")]), Kind.INTEGER)
        assert (listed(values), values.misfits) == ([1, None], 1)

    def test_text_is_read_as_far_as_it_is_whole(self):
        values = read(pa.array(["3", " 4 ", "5.0", "5.5", "1_000", "NA", "", "x"]), Kind.INTEGER)
        assert listed(values) == [3, 4, 5, None, None, None, None, None]
        assert (values.misfits, values.misfit_example) == (3, "5.5")


class TestNumbers:
    def test_nan_and_infinities_are_values(self):
        values = read(pa.array([float("nan"), float("inf"), -float("inf"), None]), Kind.NUMERIC)
        assert values.valid.tolist() == [True, True, True, False]
        assert np.isnan(values.data[0])
        assert values.data[1] == np.inf

    def test_text_with_a_few_words_in_it(self):
        array = pa.array(["1", "2.5e3", " 7", "n/a", "", None, "many", "many"])
        values = read(array, Kind.NUMERIC)
        assert listed(values) == [1.0, 2500.0, 7.0, None, None, None, None, None]
        assert (values.misfits, values.misfit_example) == (2, "many")

    def test_dictionaries_of_text_are_read_once_a_word(self):
        values = read(pa.array(["1", "x", None, "x", "2"]).dictionary_encode(), Kind.NUMERIC)
        assert (listed(values), values.misfits) == ([1.0, None, None, None, 2.0], 2)

    def test_durations_and_times_are_seconds(self):
        assert listed(read(pa.array([1500], pa.duration("ms")), Kind.NUMERIC)) == [1.5]
        assert listed(read(pa.array([dt.time(1, 0, 1)]), Kind.NUMERIC)) == [3601.0]

    def test_a_date_is_no_number(self):
        values = read(pa.array([dt.date(2013, 1, 1), None]), Kind.NUMERIC)
        assert (values.misfits, values.misfit_example) == (1, "2013-01-01")

    def test_wide_decimals_are_the_nearest_float(self):
        exact = Decimal("12345678901234567890.123456789")
        assert listed(read(pa.array([exact]), Kind.NUMERIC)) == [float(exact)]


class TestTimes:
    @pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
    def test_units_become_microseconds(self, unit):
        array = pa.array([dt.datetime(2013, 1, 1, 12)], pa.timestamp(unit))
        assert listed(read(array, Kind.DATETIME)) == [1357041600000000]

    def test_without_a_zone_it_is_utc_and_with_one_it_is_the_same_instant(self):
        noon = dt.datetime(2013, 7, 1, 12)
        naive = pa.array([noon], pa.timestamp("us"))
        oslo = pa.array(
            [noon.replace(tzinfo=dt.timezone(dt.timedelta(hours=2)))], pa.timestamp("us", "Europe/Oslo")
        )
        assert (
            listed(read(naive, Kind.DATETIME))[0] - listed(read(oslo, Kind.DATETIME))[0] == 2 * 3600 * 10**6
        )

    def test_before_1970_rounds_down(self):
        assert listed(read(pa.array([-1], pa.timestamp("ns")), Kind.DATETIME)) == [-1]

    def test_what_no_calendar_holds_is_a_misfit(self):
        values = read(pa.array([2**62, 0], pa.timestamp("s")), Kind.DATETIME)
        assert (listed(values), values.misfits) == ([None, 0], 1)
        assert str(2**62) in values.misfit_example

    def test_iso_text_with_and_without_zones(self):
        array = pa.array(["2013-01-01", "2013-01-01T01:00:00+01:00", "2013-01-01 00:00:00Z", "soon", None])
        values = read(array, Kind.DATETIME)
        start = 1356998400000000
        assert listed(values) == [start, start, start, None, None]
        assert (values.misfits, values.misfit_example) == (1, "soon")

    @pytest.mark.parametrize("as_type", [pa.int64(), pa.float64(), pa.string()], ids=str)
    def test_bare_numbers_count_seconds_up_to_nanoseconds_by_their_size(self, as_type):
        seconds = 1_357_041_600
        array = pa.array([seconds, seconds * 1_000, seconds * 10**6, seconds * 10**9]).cast(
            as_type, safe=False
        )
        assert listed(read(array, Kind.DATETIME)) == [seconds * 10**6] * 4


class TestBooleans:
    def test_ones_and_zeros_and_words(self):
        assert listed(read(pa.array([1, 0, None]), Kind.BOOLEAN)) == [True, False, None]
        assert listed(read(pa.array([1.0, float("nan")]), Kind.BOOLEAN)) == [True, None]
        assert listed(read(pa.array(["Yes", "f", "TRUE", "0", ""]), Kind.BOOLEAN)) == [
            True,
            False,
            True,
            False,
            None,
        ]

    def test_anything_else_does_not_fit(self):
        assert read(pa.array([0, 1, 2, 2]), Kind.BOOLEAN).misfits == 2
        assert read(pa.array(["true", "perhaps"]), Kind.BOOLEAN).misfit_example == "perhaps"


class TestCategories:
    def test_one_number_has_one_spelling(self):
        arrays = [pa.array([1, 2]), pa.array([1.0, 2.0]), pa.array([Decimal("1.00"), Decimal("2.00")])]
        arrays += [pa.array(["1", "2"]), pa.array([1, 2], pa.uint8()), pa.array([1, 2]).dictionary_encode()]
        for array in arrays:
            assert listed(read(array, Kind.CATEGORICAL)) == ["1", "2"]

    def test_nan_is_missing(self):
        values = read(pa.array([1.5, float("nan"), None]), Kind.CATEGORICAL)
        assert (listed(values), values.misfits) == (["1.5", None, None], 0)

    def test_booleans_are_lower_case_words(self):
        assert listed(read(pa.array([True, False]), Kind.CATEGORICAL)) == ["true", "false"]

    def test_a_dictionary_names_each_used_word_once(self):
        """Whatever stood in the dictionary: unused words, the same word twice, null."""
        array = pa.DictionaryArray.from_arrays(
            pa.array([4, 1, 2, None, 3]), pa.array(["unused", "b", "a", None, "b"])
        )
        values = read(array, Kind.CATEGORICAL)
        assert listed(values) == ["b", "b", "a", None, None]
        assert sorted(values.dictionary) == ["a", "b"]

    def test_frames_agree_whatever_the_order_of_their_categories(self):
        words = ["x", "y", None, "x"]
        frames = [
            pa.array(pd.Categorical(words, categories=["y", "x", "z"])),
            pl.Series(words, dtype=pl.Categorical).to_arrow(),
            pl.Series(words, dtype=pl.Enum(["z", "y", "x"])).to_arrow(),
            pa.array(words),
        ]
        for array in frames:
            values = read(array, Kind.CATEGORICAL)
            assert listed(values) == words
            assert sorted(values.dictionary) == ["x", "y"]

    def test_many_distinct_words_are_only_as_many(self):
        words = [f"user-{i}" for i in range(100_000)]
        values = read(pa.array(words), Kind.TEXT)
        assert len(values.dictionary) == 100_000
        assert values.dictionary[values.data[99_999]] == "user-99999"

    def test_bytes_that_are_not_utf8_are_spelled_in_hex(self):
        assert listed(read(pa.array([b"ok", b"\xff\x00"]), Kind.CATEGORICAL)) == ["ok", "ff00"]

    def test_text_that_is_not_utf8_does_not_stop_anything(self):
        """Arrow does not check text that a file calls UTF-8."""
        array = pa.Array.from_buffers(pa.string(), 2, pa.array([b"ok", b"\xff7"]).buffers())
        assert listed(read(array, Kind.CATEGORICAL)) == ["ok", "\\xff7"]
        assert listed(read(array.dictionary_encode(), Kind.TEXT)) == ["ok", "\\xff7"]
        for kind in (Kind.NUMERIC, Kind.INTEGER, Kind.BOOLEAN, Kind.DATETIME):
            assert read(array, kind).misfits == 2

    def test_lists_and_structs_are_no_categories(self):
        assert read(pa.array([[1], None]), Kind.CATEGORICAL).misfits == 1
        values = read(pa.array([{"a": 1}]), Kind.TEXT)
        assert (values.misfits, values.misfit_example) == (1, "struct<a: int64>")


class TestVectors:
    @pytest.mark.parametrize(
        "kind",
        [
            pa.list_(pa.float32()),
            pa.large_list(pa.int16()),
            pa.list_view(pa.float64()),
            pa.list_(pa.uint8(), 2),
            pa.list_(pa.decimal128(5, 1)),
        ],
        ids=str,
    )
    def test_lists_of_numbers_are_rows_of_a_matrix(self, kind):
        values = read(pa.array([[1, 2], [3, 4]], kind)[1:], Kind.VECTOR)
        assert values.data.tolist() == [[3.0, 4.0]]
        assert values.valid is None

    def test_another_length_a_null_inside_and_null_are_told_apart(self):
        array = pa.array([[1, 2], [3], None, [4, None], [5, 6], []])
        values = read(array, Kind.VECTOR)
        assert values.valid.tolist() == [True, False, False, False, True, False]
        assert values.data[[0, 4]].tolist() == [[1, 2], [5, 6]]
        assert (values.misfits, values.misfit_example) == (3, "[3]")

    def test_the_column_decides_the_length_where_it_fixes_one(self):
        values = read(pa.array([[1, 2], [3, 4], [5]]), Kind.VECTOR, "fixed_size_list<item: double>[1]")
        assert values.valid.tolist() == [False, False, True]

    def test_nan_inside_is_a_value(self):
        assert read(pa.array([[1.0, float("nan")]]), Kind.VECTOR).valid is None

    def test_a_null_fixed_size_row_does_not_shift_the_others(self):
        array = pa.array([[1, 2], None, [5, 6]], pa.list_(pa.int64(), 2))
        assert read(array, Kind.VECTOR).data[[0, 2]].tolist() == [[1, 2], [5, 6]]


def test_an_all_null_column_fits_any_kind():
    for kind in Kind:
        values = read(pa.nulls(4), kind)
        assert values.valid.tolist() == [False] * 4
        assert values.misfits == 0


def test_text_of_any_type_is_spelled():
    assert as_text(pa.array([True, None])).to_pylist() == ["true", None]
    assert as_text(pa.array([{"a": 1}])).to_pylist() == ["{'a': 1}"]
    assert as_text(pa.nulls(2)).to_pylist() == [None, None]


@st.composite
def _arrays(draw):
    """An array of a random simple type, with nulls, as a slice, a dictionary or run-end encoded."""
    kind, values = draw(
        st.sampled_from(
            [
                (pa.int16(), st.integers(-(2**15), 2**15 - 1)),
                (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
                (pa.uint64(), st.integers(0, 2**64 - 1)),
                (pa.float32(), st.floats(width=32)),
                (pa.float64(), st.floats()),
                (pa.bool_(), st.booleans()),
                (pa.string(), st.text(max_size=8)),
                (pa.large_string(), st.sampled_from(["1", "2.5", "x", "", "true", "2013-01-01"])),
                (pa.binary(), st.binary(max_size=5)),
                (pa.timestamp("us"), st.datetimes()),
                (pa.date32(), st.dates()),
                (pa.decimal128(12, 3), st.decimals(-(10**8), 10**8, places=3)),
            ]
        )
    )
    items = draw(st.lists(st.none() | values, max_size=30))
    array = pa.array(items, kind)
    shape = draw(st.sampled_from(["plain", "slice", "chunks", "dictionary", "runs"]))
    if shape == "slice":
        array = array[draw(st.integers(0, len(items))) :]
    elif shape == "chunks":
        array = pa.chunked_array([array, array[: len(items) // 2]], kind)
    elif shape == "dictionary":
        array = array.dictionary_encode()
    elif shape == "runs":
        array = pc.run_end_encode(array)
    return array


@settings(max_examples=300, deadline=None)
@given(
    array=_arrays(), kind=st.sampled_from([k for k in Kind if k is not Kind.UNKNOWN]), cut=st.integers(0, 30)
)
def test_reading_in_pieces_gives_what_reading_at_once_gives(array, kind, cut):
    column = Column(name="x", kind=kind, dtype="int64")
    cut = min(cut, len(array))
    whole = values_of(array, column)
    parts = [values_of(array[:cut], column), values_of(array[cut:], column)]
    if kind is not Kind.VECTOR:
        both = [repr(x) for part in parts for x in listed(part)]
        assert both == [repr(x) for x in listed(whole)]
    assert sum(part.misfits for part in parts) == whole.misfits


@settings(max_examples=200, deadline=None)
@given(items=st.lists(st.none() | st.floats()), kind=st.sampled_from([pa.float64(), pa.float32()]))
def test_floats_come_out_as_numpy_has_them(items, kind):
    values = read(pa.array(items, kind), Kind.NUMERIC)
    with np.errstate(over="ignore"):
        expected = np.array([0.0 if x is None else x for x in items], kind.to_pandas_dtype()).astype(float)
    known = np.array([x is not None for x in items], bool)
    assert np.array_equal(values.data[known], expected[known], equal_nan=True)
    assert known.all() if values.valid is None else np.array_equal(values.valid, known)


@settings(max_examples=200, deadline=None)
@given(items=st.lists(st.none() | st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9998, 1, 1))))
def test_times_written_as_iso_text_are_the_same_times(items):
    times = read(pa.array(items, pa.timestamp("us")), Kind.DATETIME)
    texts = read(pa.array([None if x is None else x.isoformat() for x in items], pa.string()), Kind.DATETIME)
    assert listed(times) == listed(texts)
    assert texts.misfits == 0
