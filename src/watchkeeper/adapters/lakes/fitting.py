"""Make rows fit a table's columns before they are written, and rescue what does not fit.

The Delta writer was seen to store 1.5 as 1 in an integer column without a word. So every value is checked here:
what cannot be stored in its column as it is goes, as JSON, to the column ``wk_rescued``, and is counted.

Names that no table can hold are rescued too: equal to another one but for case (Delta refuses such a table for ever,
whichever came first), empty (no query can speak of it), with a NUL (which would be cut off in silence), very long, or
one too many.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

RESCUED = "wk_rescued"
EXACT = 2**53
"""Integers up to this size are the same number as float64."""
MOST_COLUMNS = 4_000
"""Columns of one table: an append of so many takes most of a second."""
NAME_CHARACTERS = 1_000
EARLIEST_US, LATEST_US = -62_135_596_800_000_000, 253_402_300_799_999_999
"""The years 1 to 9999, which is what Delta and Python can hold."""


def stored_type(seen: pa.DataType) -> pa.DataType:
    """The type in which a new column is stored.

    Numbers become float64: a column that begins with whole numbers may go on with others, and a table's column
    cannot change its type later. Integers too large for that are rescued, so none is ever rounded.
    """
    if pa.types.is_dictionary(seen) or pa.types.is_run_end_encoded(seen):
        return stored_type(seen.value_type)
    if pa.types.is_boolean(seen):
        return pa.bool_()
    if pa.types.is_integer(seen) or pa.types.is_floating(seen) or pa.types.is_decimal(seen):
        return pa.float64()
    if pa.types.is_timestamp(seen) or pa.types.is_date(seen):
        return pa.timestamp("us", tz="UTC")
    if pa.types.is_list(seen) or pa.types.is_fixed_size_list(seen) or pa.types.is_large_list(seen):
        inner = stored_type(seen.value_type)
        return pa.list_(pa.float64()) if pa.types.is_floating(inner) else pa.string()
    return pa.string()


def fit(rows: pa.Table, columns: Mapping[str, pa.DataType]) -> tuple[pa.Table, int]:
    """Return *rows* with each column in the type of *columns* (a new column in its `stored_type`), and how many
    values were rescued.
    """
    arrays: dict[str, pa.Array] = {}
    rescued: dict[int, dict[str, Any]] = {}
    spelt = {name.lower(): name for name in columns}
    for name, column in zip(rows.column_names, rows.columns):
        if name == RESCUED:
            continue
        array = _flat(column.combine_chunks() if rows.num_rows else column)
        if name in arrays or not _is_possible(name, spelt):
            for i in _places(pc.is_valid(array)):
                rescued.setdefault(i, {})[name] = _plain(array[i])
            continue
        target = columns.get(name)
        if target is None:
            if pa.types.is_null(array.type):
                continue  # nothing is known of its type yet; the column begins with its first value
            target = stored_type(array.type)
        spelt.setdefault(name.lower(), name)
        fitted, lost = _cast(array, target)
        arrays[name] = fitted
        for i in lost:
            rescued.setdefault(i, {})[name] = _plain(array[i])
    if RESCUED in rows.column_names:
        for i, text in enumerate(rows[RESCUED].to_pylist()):
            if text:
                rescued[i] = {**json.loads(text), **rescued.get(i, {})}
    count = sum(len(r) for r in rescued.values())
    said = [None] * rows.num_rows
    for i, lost_values in rescued.items():
        said[i] = json.dumps(lost_values, default=str, ensure_ascii=False)  # type: ignore[call-overload]
    arrays[RESCUED] = pa.array(said, pa.string())
    return pa.table(arrays), count


def _is_possible(name: str, spelt: Mapping[str, str]) -> bool:
    """Whether a table with the columns *spelt* (by their lower case) can have a column of this name."""
    if not name or "\0" in name or len(name) > NAME_CHARACTERS:
        return False
    there = spelt.get(name.lower())
    return there == name if there is not None else len(spelt) < MOST_COLUMNS


def _plain(scalar: pa.Scalar) -> Any:
    """The value as Python has it; a date that Python has not, as its number."""
    try:
        return scalar.as_py()
    except (ValueError, OverflowError):
        return str(getattr(scalar, "value", scalar))


def _flat(array: Any) -> pa.Array:
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    elif pa.types.is_run_end_encoded(array.type):
        array = pc.run_end_decode(array)
    return array


def _cast(array: pa.Array, target: pa.DataType) -> tuple[pa.Array, list[int]]:
    """Cast what keeps its value; return the places of what did not (they become null)."""
    source = array.type
    if pa.types.is_timestamp(target) or pa.types.is_date(target):
        return _instants(array, target)
    if source.equals(target):
        return array, []
    if pa.types.is_null(source):
        return pa.nulls(len(array), target), []
    if pa.types.is_floating(target) and pa.types.is_integer(source):
        wide = array.cast(pa.int64(), safe=False) if pa.types.is_signed_integer(source) else array
        too_large = pc.greater(wide, EXACT)
        if pa.types.is_signed_integer(source):
            too_large = pc.or_(too_large, pc.less(wide, -EXACT))
        return _without(array, too_large).cast(target), _places(too_large)
    if pa.types.is_integer(target) and pa.types.is_floating(source):
        whole = pc.and_(pc.equal(array, pc.floor(array)), pc.less(pc.abs(array), float(EXACT)))
        broken = pc.invert(pc.fill_null(whole, True))
        return _without(array, broken).cast(target), _places(broken)
    if pa.types.is_string(target) and not pa.types.is_nested(source) and not pa.types.is_binary(source):
        # A number in a text column stays readable as text; 1 and "1" were different values, so it is told.
        if pa.types.is_boolean(source) or pa.types.is_large_string(source) or pa.types.is_string_view(source):
            return array.cast(target), []
        return pa.nulls(len(array), target), _places(pc.is_valid(array))
    if pa.types.is_string(target):
        said = [
            None if v is None else json.dumps(v, default=str, ensure_ascii=False) for v in map(_plain, array)
        ]
        return pa.array(said, target), []
    if pa.types.is_floating(target) and pa.types.is_boolean(source):
        return array.cast(pa.int8()).cast(target), []
    try:
        return array.cast(target), []
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
        return _one_by_one(array, target)


def _instants(array: pa.Array, target: pa.DataType) -> tuple[pa.Array, list[int]]:
    try:
        cast = array.cast(target)
        lost: list[int] = []
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
        cast, lost = _one_by_one(array, target)
    us = cast.cast(pa.int64(), safe=False) if pa.types.is_timestamp(target) else None
    if us is None or not len(us):
        return cast, lost
    outside = pc.or_(pc.less(us, EARLIEST_US), pc.greater(us, LATEST_US))
    return _without(cast, outside), sorted({*lost, *_places(outside)})


def _one_by_one(array: pa.Array, target: pa.DataType) -> tuple[pa.Array, list[int]]:
    values: list[Any] = []
    lost: list[int] = []
    for i, scalar in enumerate(array):
        if not scalar.is_valid:
            values.append(None)
            continue
        try:
            values.append(scalar.cast(target).as_py())
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError, ValueError, OverflowError):
            values.append(None)
            lost.append(i)
    return pa.array(values, target), lost


def _without(array: pa.Array, mask: pa.Array) -> pa.Array:
    return pc.if_else(pc.fill_null(mask, False), pa.scalar(None, array.type), array)


def _places(mask: pa.Array) -> list[int]:
    return pc.indices_nonzero(pc.fill_null(mask, False)).to_pylist()
