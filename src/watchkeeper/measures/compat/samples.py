"""One column of raw rows as an array, the way that the peers see it.

They all work on pandas columns: integers stay integers, a null turns a number into NaN, and text is an array of
objects with None for a null. This brings lists, NumPy and anything that exports Arrow to that form.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import Any

import numpy as np

from watchkeeper.domain.schema import Kind
from watchkeeper.errors import BadInput


def array_of(values: Any) -> np.ndarray:
    """Return *values* as a 1-D array of numbers, booleans or objects (None for null).

    >>> array_of([1, None, 3])
    array([ 1., nan,  3.])
    >>> array_of(["a", None]).tolist()
    ['a', None]
    """
    if _exports_arrow(values):
        array = _of_arrow(values)
    elif isinstance(values, np.ndarray):
        array = values
    else:  # NumPy would make one text of a list of numbers and text
        array = np.asarray(values, dtype=object)
    if array.ndim != 1:
        raise BadInput(f"A column has one dimension; this has the shape {array.shape}.")
    if array.dtype.kind in "iufb":
        return array
    if array.dtype.kind in "mM":
        return np.where(np.isnat(array), np.nan, array.astype("int64").astype(float))
    return _of_objects(array.astype(object))


def _exports_arrow(values: Any) -> bool:
    return any(
        hasattr(values, name) for name in ("__arrow_c_array__", "__arrow_c_stream__", "__arrow_array__")
    )


def _of_arrow(values: Any) -> np.ndarray:
    import pyarrow as pa

    if not isinstance(values, pa.Array | pa.ChunkedArray):
        try:
            values = pa.chunked_array(values) if hasattr(values, "__arrow_c_stream__") else pa.array(values)
        except pa.ArrowException:  # a pandas column of mixed objects has no Arrow type
            return np.asarray(values, dtype=object)
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_nested(values.type):
        raise BadInput(f"The peers have no drift of one column of type {values.type}.")
    if pa.types.is_decimal(values.type):
        values = values.cast(pa.float64())
    return np.asarray(values.to_numpy(zero_copy_only=False))


def _of_objects(array: np.ndarray) -> np.ndarray:
    values = [None if v is None or v != v else v for v in array.tolist()]
    kinds = {type(v) for v in values} - {type(None)}
    nulls = None in values
    if kinds == {bool} and not nulls:
        return np.array(values, dtype=bool)
    if kinds and kinds <= {int, float}:
        return np.array([np.nan if v is None else v for v in values]) if nulls else np.array(values)
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out


def is_number(array: np.ndarray) -> bool:
    """Whether *array* holds integers or floats; booleans are categories."""
    return array.dtype.kind in "iuf"


def present_only(array: np.ndarray) -> np.ndarray:
    """Drop NaN and None; infinities stay."""
    if array.dtype.kind == "f":
        return array[~np.isnan(array)]
    if array.dtype.kind == "O":
        return array[np.array([v is not None for v in array.tolist()], dtype=bool)]
    return array


def finite_only(array: np.ndarray) -> np.ndarray:
    """Drop NaN, None and both infinities."""
    if array.dtype.kind == "f":
        return array[np.isfinite(array)]
    return present_only(array)


def counts_of(array: np.ndarray) -> dict[Hashable, int]:
    """How often each value occurs (after nulls were dropped), in order of value where there is one.

    >>> counts_of(np.array([2, 1, 2]))
    {1: 1, 2: 2}
    """
    if array.dtype.kind == "O":
        found = Counter(array.tolist())
        try:
            return {value: found[value] for value in sorted(found)}
        except TypeError:
            return dict(found)
    values, counts = np.unique(array, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def aligned_counts(
    reference: np.ndarray, current: np.ndarray
) -> tuple[np.ndarray, np.ndarray, list[Hashable]]:
    """Counts of both samples over the union of their values, the reference's values first."""
    left, right = counts_of(reference), counts_of(current)
    keys = [*left, *(key for key in right if key not in left)]
    return (
        np.array([left.get(key, 0) for key in keys], dtype=np.int64),
        np.array([right.get(key, 0) for key in keys], dtype=np.int64),
        keys,
    )


def distinct_values(reference: np.ndarray, current: np.ndarray) -> int:
    """How many different values both samples hold together.

    >>> distinct_values(np.array([1, 2]), np.array([2, 3]))
    3
    """
    if reference.dtype.kind == "O" or current.dtype.kind == "O":
        return len({*reference.tolist(), *current.tolist()})
    return len(np.unique(np.concatenate([reference, current])))


def treated_as(kind: Kind | str | None, reference: np.ndarray, current: np.ndarray) -> str:
    """``"numeric"`` or ``"categorical"``: what the user says, else what the arrays hold.

    Raises
    ------
    BadInput
        the kind has no univariate drift in the peers (vectors, unknown types).
    """
    if kind is None:
        return "numeric" if is_number(reference) and is_number(current) else "categorical"
    try:
        kind = Kind(kind)
    except ValueError:
        raise BadInput(f"{kind!r} is not a kind of column.", "Say numeric or categorical.") from None
    if kind in (Kind.VECTOR, Kind.UNKNOWN):
        raise BadInput(f"The peers have no drift of one column of kind {kind.value}.")
    if not kind.is_numeric:
        return "categorical"
    if not (is_number(reference) and is_number(current)):
        raise BadInput("The column is said to be numeric but holds other values.", "Say kind='categorical'.")
    return "numeric"
