"""Arrow arrays become plain arrays: what a column's kind says its values are, and nothing else.

Whatever type the data came in, `values_of` answers in the shape that `Values` promises for the column's
*kind*, so that statistics meet eight kinds and not forty types. A value that cannot be read as its kind (a word
in a numeric column) is a *misfit*: counted, shown once as an example, and null from then on.

===============================  ==============================================================================
Arrow type                       how it is read
===============================  ==============================================================================
(u)int8 .. 64, float16 .. 64     as they are; 64-bit integers stay integers where the kind is integer
decimal32 .. 256                 float64 (the nearest; exact up to 15 digits)
boolean                          true and false; 1 and 0 where the kind is numeric
time, duration                   seconds (of the day, of length) as float64
timestamp, date                  microseconds since 1970 UTC; *without a zone it is taken as UTC*
string, binary, views            text (times of day as seconds where the kind is numeric); bytes that are not UTF-8, and all of fixed size, as hexadecimal digits
dictionary, run-end encoded      as their values
list, fixed-size list, views     vector, where the items are numbers
extension                        as their storage
null                             all null, whatever the kind
struct, map, union, interval     no kind fits: `Kind.UNKNOWN`, or all misfits where another kind was expected
===============================  ==============================================================================
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from watchkeeper.domain.instant import EPOCH_LIMITS
from watchkeeper.domain.schema import Column, Kind
from watchkeeper.domain.values import Values

NULL_WORDS = frozenset(
    [
        "",
        "#N/A",
        "#N/A N/A",
        "#NA",
        "-1.#IND",
        "-1.#QNAN",
        "-NaN",
        "-nan",
        "1.#IND",
        "1.#QNAN",
        "<NA>",
        "N/A",
        "NA",
        "NULL",
        "NaN",
        "None",
        "n/a",
        "nan",
        "null",
        "NaT",
    ]
)
"""What text files write where there is no value; in a column of numbers, times or booleans it is null."""

TIME_OF_DAY = re.compile(r"([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d(?:\.\d+)?))?")
"""17:30 or 17:30:15.5."""
_TRUE = frozenset(("true", "t", "yes", "y", "on", "1", "1.0"))
_FALSE = frozenset(("false", "f", "no", "n", "off", "0", "0.0"))
_EXAMPLE_LENGTH = 80
_INT64 = np.iinfo(np.int64)
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def values_of(array: pa.Array | pa.ChunkedArray, column: Column) -> Values:
    """Return the values of *array* as `Values` of ``column.kind``, of as many rows.

    Nothing is copied where the memory already has the right shape (int64 and float64 in one chunk). The result
    always has the column's own kind, so states of two batches merge even if the type changed between them;
    what did not fit is in ``misfits``. An integer column is uint64 where its ``dtype`` says so, else int64.

    Raises nothing for any Arrow type.

    >>> from watchkeeper.domain.schema import Column, Kind
    >>> found = values_of(pa.array(["1", "2.5", "many", None]), Column(name="x", kind=Kind.NUMERIC))
    >>> found.data[:2], found.valid, found.misfits, found.misfit_example
    (array([1. , 2.5]), array([ True,  True, False, False]), 1, 'many')
    """
    plain = _plain(array)
    rows = len(plain)
    if column.kind is Kind.UNKNOWN:
        return Values(kind=Kind.UNKNOWN, rows=rows, data=None, valid=_valid(plain))
    if pa.types.is_null(plain.type):
        read = _Read(*_nothing(column, rows))
    else:
        read = _READERS[column.kind](plain, column)
    before = _valid(plain)
    valid = read.valid
    if valid is not None and valid.all():
        valid = None
    misfits, example = 0, None
    if read.misfit is not None and (misfits := int(np.count_nonzero(read.misfit))):
        example = _example(plain, int(np.argmax(read.misfit)))
    assert before is None or valid is not None
    return Values(
        kind=column.kind,
        rows=rows,
        data=read.data,
        valid=valid,
        dictionary=read.dictionary,
        misfits=misfits,
        misfit_example=example,
    )


def classes_of(array: pa.Array | pa.ChunkedArray, column: Column) -> Values:
    """As `values_of`, for a column of classes: where classes are numbers, the usual words for true and false are 1 and 0.

    Only where a batch holds nothing else; other words are misfits, as in any column of numbers.

    >>> from watchkeeper.domain.schema import Column, Kind
    >>> found = classes_of(pa.array(["yes", "no", None]), Column(name="y", kind=Kind.INTEGER))
    >>> found.data[:2].tolist(), found.misfits, found.words
    ([1, 0], 0, ('no', 'yes'))
    """
    read = values_of(array, column)
    if not read.misfits or column.kind not in (Kind.INTEGER, Kind.NUMERIC):
        return read
    truth = values_of(array, replace(column, kind=Kind.BOOLEAN))
    if truth.misfits:
        return read
    found = pc.unique(as_text(array)).to_pylist()
    words = tuple(sorted(word for word in found if word is not None))
    return replace(
        read,
        data=truth.data.astype(read.data.dtype),
        valid=truth.valid,
        misfits=0,
        misfit_example=None,
        words=words,
    )


def plain_type(kind: pa.DataType) -> pa.DataType:
    """Return *kind* without its wrappers: the storage of an extension, the values of a dictionary.

    >>> plain_type(pa.dictionary(pa.int8(), pa.string_view()))
    DataType(large_string)
    """
    while True:
        if isinstance(kind, pa.BaseExtensionType):
            kind = pa.bool_() if kind.extension_name == "arrow.bool8" else kind.storage_type
        elif pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
            kind = kind.value_type
        elif pa.types.is_string_view(kind):
            return pa.large_string()
        elif pa.types.is_binary_view(kind):
            return pa.large_binary()
        else:
            return kind


def is_number_like(kind: pa.DataType) -> bool:
    """Whether a type holds single numbers (booleans are not)."""
    t = pa.types
    return t.is_integer(kind) or t.is_floating(kind) or t.is_decimal(kind)


def as_text(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return the array as strings, one spelling for each value: ``1`` and ``1.0`` are both ``"1"``.

    What has no text of its own (struct, map, union) is spelled as Python would. NaN becomes null.

    >>> as_text(pa.array([1.0, 2.5, None, float("nan")])).to_pylist()
    ['1', '2.5', None, None]
    """
    plain = _plain(array)
    codes, dictionary, valid = _codes(plain)
    if not len(dictionary):
        return pa.nulls(len(plain), pa.string())
    mask = None if valid is None else ~valid
    return pc.take(pa.array(dictionary, pa.string()), pa.array(codes, mask=mask))


# --- one array, no wrappers -------------------------------------------------------------------------------


def _plain(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    """One contiguous array whose type is neither extension, view nor run-end encoded."""
    if isinstance(array, pa.ChunkedArray):
        array = _one_chunk(array)
    while True:
        kind = array.type
        if isinstance(kind, pa.BaseExtensionType):
            truth = kind.extension_name == "arrow.bool8"
            array = array.storage.cast(pa.bool_()) if truth else array.storage
        elif pa.types.is_run_end_encoded(kind):
            array = pc.run_end_decode(array)
        elif pa.types.is_string_view(kind):
            return array.cast(pa.large_string())
        elif pa.types.is_binary_view(kind):
            return array.cast(pa.large_binary())
        else:
            return array


def _one_chunk(array: pa.ChunkedArray) -> pa.Array:
    if array.num_chunks == 1:
        return array.chunk(0)
    if pa.types.is_string(array.type) or pa.types.is_binary(array.type):
        # 32-bit offsets end at 2 GiB
        wide = pa.large_string() if pa.types.is_string(array.type) else pa.large_binary()
        if array.nbytes >= 2**31:
            array = array.cast(wide)
    try:
        return array.combine_chunks()
    except pa.ArrowNotImplementedError:  # unions: no kind fits them, so only their number is kept
        return pa.StructArray.from_arrays([pa.nulls(len(array), pa.bool_())], [str(array.type)])


def _valid(array: pa.Array) -> np.ndarray | None:
    """Which rows hold a value, bool ``(rows,)``; None when all do."""
    if pa.types.is_dictionary(array.type):
        if not array.null_count and not array.dictionary.null_count:
            return None
        valid = _bits(pc.is_valid(array))
        if array.dictionary.null_count and len(array.dictionary):
            inner = _bits(pc.is_valid(array.dictionary))
            valid = valid & inner[np.where(valid, _raw(array.indices), 0)]
    elif pa.types.is_union(array.type) or not array.null_count:
        return None
    else:
        valid = _bits(pc.is_valid(array))
    return None if valid.all() else valid


def _raw(array: pa.Array) -> np.ndarray:
    """The data buffer of a fixed-width array as numpy sees it, nulls and all; no copy."""
    width = array.type.bit_width // 8
    if pa.types.is_floating(array.type):
        dtype = np.dtype(f"f{width}")
    else:
        dtype = np.dtype(f"{'u' if pa.types.is_unsigned_integer(array.type) else 'i'}{width}")
    buffer = array.buffers()[1]
    if buffer is None or not len(array):
        return np.zeros(len(array), dtype)
    return np.frombuffer(buffer, dtype, count=len(array), offset=array.offset * width)


def _bits(array: pa.Array) -> np.ndarray:
    """A boolean array as bool ``(rows,)``, False under nulls."""
    packed = array.buffers()[1]
    if packed is None or not len(array):
        return np.zeros(len(array), bool)
    # by hand, since fill_null() and to_numpy() would import pandas
    last = array.offset + len(array)
    unpacked = np.unpackbits(np.frombuffer(packed, np.uint8), count=last, bitorder="little")
    bits = unpacked[array.offset :].view(bool)
    valid = _valid(array)
    return bits if valid is None else bits & valid


def _example(array: pa.Array, row: int) -> str:
    if not _is_simple(array.type):
        return str(array.type)[:_EXAMPLE_LENGTH]
    try:
        text = str(array[row].as_py())
    except (ValueError, OverflowError, TypeError, ImportError):  # a time that Python's calendar does not hold
        text = array[row : row + 1].to_string(indent=0).strip("[]\n ")
    return text if len(text) <= _EXAMPLE_LENGTH else text[: _EXAMPLE_LENGTH - 1] + "…"


def _is_simple(kind: pa.DataType) -> bool:
    kind = plain_type(kind)
    return not (pa.types.is_struct(kind) or pa.types.is_map(kind) or pa.types.is_union(kind))


def _is_string(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _is_list(kind: pa.DataType) -> bool:
    t = pa.types
    if t.is_map(kind):
        return False
    return any(
        test(kind)
        for test in (t.is_list, t.is_large_list, t.is_fixed_size_list, t.is_list_view, t.is_large_list_view)
    )


# --- reading as a kind ------------------------------------------------------------------------------------


class _Read(NamedTuple):
    """What a reader found: *misfit* marks rows that held a value which did not fit; they are not valid."""

    data: Any
    valid: np.ndarray | None
    misfit: np.ndarray | None = None
    dictionary: np.ndarray | None = None


_Reader = Callable[[pa.Array, Column], _Read]


def _nothing(column: Column, rows: int) -> tuple[Any, np.ndarray, None, np.ndarray | None]:
    """Rows that are all null, in the shape of the column's kind."""
    valid = np.zeros(rows, bool)
    match column.kind:
        case Kind.NUMERIC:
            return np.zeros(rows), valid, None, None
        case Kind.INTEGER:
            return np.zeros(rows, _integer_dtype(column)), valid, None, None
        case Kind.DATETIME:
            return np.zeros(rows, np.int64), valid, None, None
        case Kind.BOOLEAN:
            return np.zeros(rows, bool), valid, None, None
        case Kind.VECTOR:
            return np.zeros((rows, 0)), valid, None, None
        case _:
            return np.zeros(rows, np.int32), valid, None, np.empty(0, object)


def _no_fit(array: pa.Array, column: Column) -> _Read:
    """A type that the kind has no reading for: every value is a misfit."""
    data, valid, _, dictionary = _nothing(column, len(array))
    before = _valid(array)
    return _Read(data, valid, np.ones(len(array), bool) if before is None else before, dictionary)


def _through_dictionary(read: _Reader, array: pa.DictionaryArray, column: Column) -> _Read:
    """Read each distinct value once, then look every row up."""
    values = _plain(array.dictionary)
    if not len(values):
        return _Read(*_nothing(column, len(array)))
    codes = _raw(array.indices)
    inside = _valid(array)
    if inside is not None:
        codes = np.where(inside, codes, 0)
    once = read(values, column)
    data = once.data[codes]
    valid = inside
    if once.valid is not None:
        valid = once.valid[codes] if inside is None else once.valid[codes] & inside
    misfit = None
    if once.misfit is not None:
        misfit = once.misfit[codes] if inside is None else once.misfit[codes] & inside
    return _Read(data, valid, misfit)


def _word_by_word(array: pa.Array, dtype: Any, word_of: Callable[[str], Any]) -> _Read:
    """Read strings of which some do not fit, each distinct word once.

    *word_of* returns the value, raises ValueError for a misfit, and is not asked about `NULL_WORDS`.
    """
    encoded = array.dictionary_encode()
    words = _strings(encoded.dictionary)
    if not len(words):
        return _Read(np.zeros(len(array), dtype), np.zeros(len(array), bool))
    data, valid, misfit = np.zeros(len(words), dtype), np.ones(len(words), bool), np.zeros(len(words), bool)
    for row, word in enumerate(words):
        word = word.strip()
        if word in NULL_WORDS:
            valid[row] = False
            continue
        try:
            data[row] = word_of(word)
        except (ValueError, OverflowError):
            valid[row], misfit[row] = False, True
    return _through_dictionary(lambda _values, _column: _Read(data, valid, misfit), encoded, _ANY)


_ANY = Column(name="", kind=Kind.NUMERIC)


def _numeric(array: pa.Array, column: Column) -> _Read:
    kind = array.type
    valid = _valid(array)
    if pa.types.is_dictionary(kind):
        return _through_dictionary(_numeric, array, column)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _Read(_raw(array).astype(np.float64, copy=False), valid)
    if pa.types.is_boolean(kind):
        return _Read(_bits(array).astype(np.float64), valid)
    if pa.types.is_decimal(kind):
        return _Read(_raw(array.cast(pa.float64(), safe=False)), valid)
    if pa.types.is_time(kind) or pa.types.is_duration(kind):
        return _Read(_raw(array) / _PER_SECOND[kind.unit], valid)
    if _is_string(kind):
        try:
            return _Read(_raw(array.cast(pa.float64())), valid)
        except pa.ArrowInvalid:
            of_day = column.dtype == "string" or column.dtype.startswith("time")
            return _word_by_word(array, np.float64, _number_or_time if of_day else _number)
    return _no_fit(array, column)


def _number_or_time(word: str) -> float:
    """A number; or a time of day, as seconds."""
    found = TIME_OF_DAY.fullmatch(word)
    if found is None:
        return _number(word)
    return int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3] or 0)


def _number(word: str) -> float:
    if "_" in word:  # Python reads 1_000 as a number; files never mean that
        raise ValueError(word)
    return float(word)


def _integer_dtype(column: Column) -> Any:
    return np.uint64 if column.dtype == "uint64" else np.int64


def _integer(array: pa.Array, column: Column) -> _Read:
    kind = array.type
    if pa.types.is_dictionary(kind):
        return _through_dictionary(_integer, array, column)
    if not column.dtype and pa.types.is_uint64(kind):
        return _Read(_raw(array), _valid(array))
    wanted = _integer_dtype(column)
    if pa.types.is_boolean(kind):
        return _Read(_bits(array).astype(wanted), _valid(array))
    if pa.types.is_integer(kind):
        return _integers_as(_raw(array), _valid(array), wanted)
    if pa.types.is_decimal(kind):
        try:
            return _integers_as(_raw(array.cast(pa.int64())), _valid(array), wanted)
        except pa.ArrowInvalid:
            pass
    if _is_string(kind):
        try:
            return _integers_as(_raw(array.cast(pa.int64())), _valid(array), wanted)
        except pa.ArrowInvalid:
            return _word_by_word(array, wanted, _whole_number)
    read = _numeric(array, column)
    if read.misfit is not None:
        return _no_fit(array, column)
    return _whole_floats(read, wanted)


def _integers_as(raw: np.ndarray, valid: np.ndarray | None, wanted: Any) -> _Read:
    """64-bit integers of the other sign convention: what does not fit is a misfit, never wrapped round."""
    if wanted is np.int64:
        bad = raw > _INT64.max if raw.dtype == np.uint64 else None
    else:
        bad = raw < 0 if raw.dtype.kind == "i" else None
    return _marked(raw.astype(wanted, copy=False), valid, bad)


def _whole_floats(read: _Read, wanted: Any) -> _Read:
    """Floats in an integer column: NaN is missing there, and what is not whole does not fit."""
    numbers = read.data
    missing = np.isnan(numbers)
    low, high = (0.0, 2.0**64) if wanted is np.uint64 else (-(2.0**63), 2.0**63)
    with np.errstate(invalid="ignore"):
        fits = (numbers >= low) & (numbers < high) & (np.trunc(numbers) == numbers)
    data = np.where(fits, numbers, 0.0).astype(wanted)
    valid = ~missing if read.valid is None else read.valid & ~missing
    return _marked(data, valid, ~fits & ~missing)


def _marked(data: np.ndarray, valid: np.ndarray | None, bad: np.ndarray | None) -> _Read:
    """Rows of *bad* become misfits, unless they were null anyway."""
    if bad is None or not bad.any():
        return _Read(data, valid)
    misfit = bad if valid is None else bad & valid
    return _Read(data, ~bad if valid is None else valid & ~bad, misfit)


def _whole_number(word: str) -> int:
    if "_" in word:
        raise ValueError(word)
    try:
        return int(word)
    except ValueError:
        number = float(word)
        if not number.is_integer():
            raise
        return int(number)


def _boolean(array: pa.Array, column: Column) -> _Read:
    kind = array.type
    if pa.types.is_dictionary(kind):
        return _through_dictionary(_boolean, array, column)
    valid = _valid(array)
    if pa.types.is_boolean(kind):
        return _Read(_bits(array), valid)
    if is_number_like(kind):
        numbers = _numeric(array, column).data
        missing = np.isnan(numbers)
        if missing.any():
            valid = ~missing if valid is None else valid & ~missing
        return _marked(numbers == 1, valid, (numbers != 0) & (numbers != 1) & ~missing)
    if _is_string(kind):
        return _word_by_word(array, bool, _truth)
    return _no_fit(array, column)


def _truth(word: str) -> bool:
    word = word.lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError(word)


def _datetime(array: pa.Array, column: Column) -> _Read:
    kind = array.type
    if pa.types.is_dictionary(kind):
        return _through_dictionary(_datetime, array, column)
    valid = _valid(array)
    if pa.types.is_date32(kind):
        return _Read(_raw(array).astype(np.int64) * 86_400_000_000, valid)
    if pa.types.is_timestamp(kind) or pa.types.is_date64(kind):
        return _microseconds(_raw(array), valid, "ms" if pa.types.is_date64(kind) else kind.unit)
    if _is_string(kind):
        for reading in (pa.timestamp("us"), pa.timestamp("us", "UTC")):
            try:
                return _Read(_raw(array.cast(reading)), valid)
            except pa.ArrowInvalid:
                continue
        return _word_by_word(array, np.int64, _instant)
    if is_number_like(kind):
        return _epochs(array, valid)
    return _no_fit(array, column)


def _microseconds(raw: np.ndarray, valid: np.ndarray | None, unit: str) -> _Read:
    if unit == "us":
        return _Read(raw, valid)
    if unit == "ns":
        return _Read(raw // 1_000, valid)
    times = 1_000_000 // _PER_SECOND[unit]
    limit = _INT64.max // times
    far = (raw > limit) | (raw < -limit)
    if far.any():
        raw = np.where(far, 0, raw)
    return _marked(raw * times, valid, far)


def _epochs(array: pa.Array, valid: np.ndarray | None) -> _Read:
    if pa.types.is_integer(array.type):  # exactly: nanoseconds of today are above 2**53
        raw = _raw(array)
        size = np.abs(raw.astype(np.float64))
        whole = _integers_as(raw, valid, np.int64)
        numbers, valid, far = whole.data, whole.valid, whole.misfit
        data = np.where(size < EPOCH_LIMITS[2][0], numbers, numbers // 1_000)
        for limit, times in reversed(EPOCH_LIMITS[:2]):
            near = size < limit
            data = np.where(near, np.where(near, numbers, 0) * int(times), data)
        return _Read(data, valid, far)
    numbers = _numeric(array, _ANY).data
    missing = np.isnan(numbers)
    size = np.abs(numbers)
    scaled = numbers * 1e-3
    for limit, times in reversed(EPOCH_LIMITS):
        scaled = np.where(size < limit, numbers * times, scaled)
    fits = np.abs(scaled) < 2.0**63
    if missing.any():
        valid = ~missing if valid is None else valid & ~missing
    return _marked(np.rint(np.where(fits, scaled, 0.0)).astype(np.int64), valid, ~fits & ~missing)


def _instant(word: str) -> int:
    if not word[:4].isdigit() or (len(word) != 8 and word[4:5] != "-"):
        return _bare_epoch(word)  # 8 digits are a date; Python would find a date in 13 digits too
    at = datetime.fromisoformat(word)
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _bare_epoch(word: str) -> int:
    """Seconds (or finer) since 1970 written as a number."""
    number = _number(word)
    if not -(2.0**63) < number < 2.0**63:
        raise ValueError(word)
    for limit, times in EPOCH_LIMITS:
        if abs(number) < limit:
            return round(number * times)
    return int(number) // 1_000


# --- counted one by one -----------------------------------------------------------------------------------


def _words(array: pa.Array, column: Column) -> _Read:
    if not _has_text(plain_type(array.type)):
        return _no_fit(array, column)
    codes, dictionary, valid = _codes(array)
    return _Read(codes, valid, None, dictionary)


def _has_text(kind: pa.DataType) -> bool:
    return _is_simple(kind) and not _is_list(kind)


def _codes(array: pa.Array) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return int32 codes ``(rows,)``, the words they stand for (object, distinct, each in use), and validity."""
    encoded = array if pa.types.is_dictionary(array.type) else _encode(array)
    words = _plain(encoded.dictionary)
    codes = _raw(encoded.indices)
    valid = _valid(encoded)
    if valid is not None:
        codes = np.where(valid, codes, 0)
    if not pa.types.is_dictionary(array.type) and _is_string(words.type):
        return codes.astype(np.int32, copy=False), _strings(words), valid
    if not len(words):
        return np.zeros(len(codes), np.int32), np.empty(0, object), valid
    # a dictionary from outside may name words that no row uses, twice, or as null
    used = np.flatnonzero(np.bincount((codes if valid is None else codes[valid]).astype(np.intp)))
    if len(used) == len(words) and _is_string(words.type) and _differ(words):
        return codes.astype(np.int32, copy=False), _strings(words), valid
    places = pa.Array.from_buffers(pa.int64(), len(used), [None, pa.py_buffer(used)])  # pa.array: pandas
    spelled = _spell(words.take(places)).dictionary_encode()
    new = np.zeros(len(words), np.int32)
    kept = np.zeros(len(words), bool)
    kept[used] = _bits(pc.is_valid(spelled.indices))
    new[used] = np.where(kept[used], _raw(spelled.indices), 0)
    if not kept[used].all():
        valid = kept[codes] if valid is None else kept[codes] & valid
    return new[codes], _strings(spelled.dictionary), valid


def _differ(words: pa.Array) -> bool:
    """Whether no word stands there twice, or is null."""
    return not words.null_count and pc.count_distinct(words).as_py() == len(words)


def _strings(words: pa.Array) -> np.ndarray:
    """Words as Python strings, object ``(n,)``; bytes that are not UTF-8 (some writers store them) are escaped."""
    try:
        return np.array(words.to_pylist(), dtype=object)  # to_numpy() would import pandas
    except UnicodeDecodeError:
        raw = words.cast(pa.large_binary()).to_pylist()
        return np.array([None if x is None else x.decode("utf-8", "backslashreplace") for x in raw], object)


def _encode(array: pa.Array) -> pa.DictionaryArray:
    if pa.types.is_null(array.type):
        array = array.cast(pa.string())
    elif pa.types.is_decimal32(array.type) or pa.types.is_decimal64(array.type):
        array = array.cast(pa.decimal128(array.type.precision, array.type.scale))
    elif not _has_text(array.type) or pa.types.is_interval(array.type):
        array = pa.array([None if x is None else str(x) for x in array.to_pylist()], pa.large_string())
    return array.dictionary_encode()


def _spell(words: pa.Array) -> pa.Array:
    """Distinct values as strings."""
    kind = words.type
    if _is_string(kind):
        return words
    if pa.types.is_dictionary(kind):
        return as_text(words)
    if pa.types.is_float16(kind):
        words, kind = words.cast(pa.float32()), pa.float32()
    if pa.types.is_floating(kind):
        return _spell_floats(words)
    if pa.types.is_decimal(kind):
        text = pc.replace_substring_regex(words.cast(pa.string()), r"^(-?\d+)\.0+$", r"\1")
        return pc.replace_substring_regex(text, r"^(-?\d+\.\d*[1-9])0+$", r"\1")
    if pa.types.is_timestamp(kind):
        return words.cast(pa.timestamp(kind.unit, "UTC")).cast(pa.string())
    if pa.types.is_duration(kind):
        return _spell_floats(pa.array(_numeric(words, _ANY).data))
    if pa.types.is_fixed_size_binary(kind):
        return pa.array([None if x is None else x.hex() for x in words.to_pylist()], pa.string())
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        try:
            return words.cast(pa.large_string())
        except pa.ArrowInvalid:
            return pa.array([None if x is None else _decode(x) for x in words.to_pylist()], pa.string())
    try:
        return words.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.array([None if x is None else str(x) for x in words.to_pylist()], pa.string())


def _spell_floats(words: pa.Array) -> pa.Array:
    numbers = _raw(words)
    text = words.cast(pa.string())
    whole = (np.abs(numbers) < 1e15) & (np.trunc(numbers) == numbers)
    as_int = pa.array(np.where(whole, numbers, 0).astype(np.int64)).cast(pa.string())
    text = pc.if_else(pa.array(whole), as_int, text)
    nan = np.isnan(numbers)
    return pc.if_else(pa.array(nan), None, text) if nan.any() else text


def _decode(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.hex()


# --- vectors ----------------------------------------------------------------------------------------------


def _vector(array: pa.Array, column: Column) -> _Read:
    """Lists of numbers of one length, float64 ``(rows, dimensions)``.

    The length is the fixed one of the type, else the one that ``column.dtype`` fixes, else the most frequent
    one in this batch; rows of another length, or with a null inside, are misfits.
    """
    kind = array.type
    if pa.types.is_dictionary(kind):
        return _through_dictionary(_vector, array, column)
    if not _is_list(kind) or not _holds_numbers(kind.value_type):
        return _no_fit(array, column)
    rows = len(array)
    before = _valid(array)
    lengths = np.asarray(pc.list_value_length(array).fill_null(0)).astype(np.int64)
    flat = _plain(array.flatten())
    read = _numeric(flat, _ANY)
    dimensions = _dimensions(column, kind, lengths if before is None else lengths[before])
    fits = lengths == dimensions
    if before is not None:
        fits &= before
        lengths = np.where(before, lengths, 0)
    if read.valid is not None:  # a hole in a vector makes it no vector
        row_of = np.repeat(np.arange(rows), lengths)
        fits[row_of[~read.valid]] = False
    if fits.all():
        return _Read(read.data.reshape(rows, dimensions), None)
    data = np.zeros((rows, dimensions))
    starts = np.cumsum(lengths) - lengths
    which = np.flatnonzero(fits)
    if dimensions and len(which):
        data[which] = read.data[starts[which, None] + np.arange(dimensions)]
    return _Read(data, fits, ~fits if before is None else ~fits & before)


def _holds_numbers(kind: pa.DataType) -> bool:
    kind = plain_type(kind)
    return is_number_like(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind)


def _dimensions(column: Column, kind: pa.DataType, lengths: np.ndarray) -> int:
    if column.dtype.startswith("fixed_size_list") and column.dtype.endswith("]"):
        return int(column.dtype[column.dtype.rindex("[") + 1 : -1])
    if pa.types.is_fixed_size_list(kind):
        return int(kind.list_size)
    return int(np.bincount(lengths).argmax()) if len(lengths) else 0


_READERS: dict[Kind, _Reader] = {
    Kind.NUMERIC: _numeric,
    Kind.INTEGER: _integer,
    Kind.BOOLEAN: _boolean,
    Kind.DATETIME: _datetime,
    Kind.CATEGORICAL: _words,
    Kind.TEXT: _words,
    Kind.VECTOR: _vector,
}
