"""Tables that are in memory already: Arrow, pandas, polars, a dict of arrays, a list of dicts.

Arrow passes through as it is. Python objects are converted column by column, so that one column of mixed types
costs only itself: it is read as text, and a note says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import chain
from numbers import Real
from typing import Any

import numpy as np
import pyarrow as pa

from watchkeeper.errors import BadInput
from watchkeeper.rows.parts import Notes, StreamPart, unique_names


def open_arrow(table: pa.Table | pa.RecordBatch, label: str, notes: Notes) -> StreamPart:
    """An Arrow table or record batch."""
    table = table if isinstance(table, pa.Table) else pa.Table.from_batches([table])
    return StreamPart(
        label=label,
        schema=_named(table.schema, label, notes),
        rows=table.num_rows,
        open=lambda positions, batch_rows: table.select(positions).to_batches(max_chunksize=batch_rows),
    )


def open_stream(exporter: Any, label: str, notes: Notes) -> StreamPart:
    """Anything with ``__arrow_c_stream__``; it is asked for a new stream at every reading.

    The schema is taken from the first stream, which is then used for the first reading.
    """
    first: list[pa.RecordBatchReader] = [pa.RecordBatchReader.from_stream(exporter)]
    schema = first[0].schema

    def batches(positions: list[int], batch_rows: int) -> Iterator[pa.RecordBatch]:
        with first.pop() if first else pa.RecordBatchReader.from_stream(exporter) as reader:
            for batch in reader:
                yield batch.select(positions)

    return StreamPart(label=label, schema=_named(schema, label, notes), rows=None, open=batches)


def open_columns(columns: Mapping[Any, Any], label: str, notes: Notes) -> StreamPart:
    """A dict of arrays, lists or series of one length.

    Raises
    ------
    BadInput
        a value is no column, or the lengths differ.
    """
    arrays = {str(name): column_of(values, str(name), notes) for name, values in columns.items()}
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name}: {length}" for name, length in list(lengths.items())[:6])
        raise BadInput(f"The columns differ in length ({shown}).", "Give arrays of one length.")
    return open_arrow(pa.table(arrays), label, notes)


def open_rows(rows: Sequence[Mapping[Any, Any]], label: str, notes: Notes) -> StreamPart:
    """A list of dicts; a key that a row lacks is null there."""
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: [row.get(name) for row in rows] for name in names}
    return open_columns(columns, label, notes)


def open_polars(frame: Any, label: str, notes: Notes) -> StreamPart:
    """A polars frame, its exotic types brought to ones that Arrow knows."""
    import polars as pl

    wide = [n for n, kind in frame.schema.items() if kind in (pl.Int128, getattr(pl, "UInt128", pl.Int128))]
    objects = [n for n, kind in frame.schema.items() if kind == pl.Object]
    if wide:
        frame = frame.with_columns(pl.col(wide).cast(pl.Float64))
        for name in wide:
            notes.add(name, f"Column {name!r} holds 128-bit integers; it is read as float64.")
    if objects:
        texts = {name: column_of(frame[name].to_list(), name, notes) for name in objects}
        frame = frame.with_columns(pl.Series(name, pl.from_arrow(array)) for name, array in texts.items())
    part = open_stream(frame, label, notes)
    part.rows = frame.height
    return part


def open_pandas(frame: Any, label: str, notes: Notes) -> StreamPart:
    """A pandas frame, converted a batch at a time; named index levels are columns too.

    NaN in a pandas column means *missing*, and is null here, as when pandas writes Parquet.
    """
    if any(name is not None for name in frame.index.names):
        names = [n for n in frame.index.names if n is not None and n not in frame.columns]
        frame = frame.reset_index(level=names) if names else frame
    names, lines = unique_names(["" if n is None else _flat_name(n) for n in frame.columns])
    for line in lines:
        notes.add(line, line)
    whole: dict[int, pa.Array] = {}
    fields = []
    for position, name in enumerate(names):
        series = frame.iloc[:, position]
        if not _converts_lazily(series.dtype):
            whole[position] = column_of(series, name, notes)
            kind = whole[position].type
        else:
            kind = pa.array(series.iloc[:0], from_pandas=True).type
        fields.append(pa.field(name, kind))

    def batches(positions: list[int], batch_rows: int) -> Iterator[pa.RecordBatch]:
        for start in range(0, len(frame), batch_rows):
            stop = min(start + batch_rows, len(frame))
            arrays = []
            for position in positions:
                if position in whole:
                    arrays.append(whole[position].slice(start, stop - start))
                    continue
                array = pa.array(frame.iloc[start:stop, position], from_pandas=True)
                arrays.append(array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array)
            yield pa.RecordBatch.from_arrays(arrays, names=[names[p] for p in positions])

    return StreamPart(label=label, schema=pa.schema(fields), rows=len(frame), open=batches)


def _flat_name(name: Any) -> str:
    return ".".join(str(level) for level in name if str(level)) if isinstance(name, tuple) else str(name)


def _converts_lazily(dtype: Any) -> bool:
    """Whether any slice of a pandas column of this dtype converts to the same Arrow type."""
    if isinstance(dtype, np.dtype):
        return dtype.kind in "biufM" and dtype.itemsize <= 8
    if type(dtype).__name__ == "CategoricalDtype":
        words = dtype.categories
        return _converts_lazily(words.dtype) if words.dtype != object else words.inferred_type == "string"
    return type(dtype).__name__ in _LAZY_PANDAS_DTYPES


_LAZY_PANDAS_DTYPES = frozenset(
    "StringDtype DatetimeTZDtype BooleanDtype ArrowDtype "  # noqa: SIM905
    "Int8Dtype Int16Dtype Int32Dtype Int64Dtype UInt8Dtype UInt16Dtype UInt32Dtype UInt64Dtype "
    "Float32Dtype Float64Dtype".split()
)


def _named(schema: pa.Schema, label: str, notes: Notes) -> pa.Schema:
    names, lines = unique_names(schema.names)
    for line in lines:
        notes.add(f"{label}: {line}", line)
    return pa.schema([f.with_name(n).remove_metadata() for f, n in zip(schema, names, strict=True)])


def column_of(values: Any, name: str, notes: Notes) -> pa.Array:
    """Return *values* (an array, series or list) as one Arrow array.

    Mixed types become text and numbers beyond 64 bits float64, each with a note.

    >>> notes = Notes()
    >>> column_of([1, "two", None], "x", notes).to_pylist(), notes.lines
    (['1', 'two', None], ["Column 'x' holds mixed types (1 int, 1 str); it is read as text."])

    Raises
    ------
    BadInput
        it is a single value, or an array of more than two dimensions.
    """
    from_pandas = type(values).__module__.startswith("pandas")
    if from_pandas:
        values = _plain_series(values)
    elif isinstance(values, np.ndarray) or (
        hasattr(values, "__array__") and not hasattr(values, "__arrow_c_array__")
    ):
        values = np.asarray(values)
        if values.ndim != 1:
            return _matrix(values, name)
        if values.dtype.kind in "cV":
            values = values.tolist()
        elif values.dtype.kind == "M" and np.datetime_data(values.dtype)[0] not in (
            "D",
            "s",
            "ms",
            "us",
            "ns",
        ):
            values = values.astype("datetime64[us]")
    elif isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise BadInput(
            f"Column {name!r} is a {type(values).__name__}, not a column of values.",
            "Give a list or an array.",
        )
    elif not isinstance(values, Sequence) and not _is_arrow(values):
        values = list(values)
    try:
        array = pa.array(values, from_pandas=from_pandas or None)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return _mixed(values, name, notes)
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _is_arrow(values: Any) -> bool:
    return hasattr(values, "__arrow_c_array__") or hasattr(values, "__arrow_c_stream__")


def _plain_series(series: Any) -> Any:
    """A pandas series as a dtype that Arrow reads by meaning: periods as their start, sparse as dense."""
    kind = type(series.dtype).__name__
    if kind == "PeriodDtype":
        return series.dt.to_timestamp() if hasattr(series, "dt") else series.to_timestamp()
    if kind == "SparseDtype":
        return series.sparse.to_dense()
    if kind == "IntervalDtype":
        return pa.array([None if _is_missing(x) else str(x) for x in series], pa.large_string())
    if kind == "CategoricalDtype" and not _converts_lazily(series.dtype):
        words = series.dtype.categories.astype("str")  # of pandas.cut: intervals
        categorical = series.cat if hasattr(series, "cat") else series
        return categorical.rename_categories(words)
    return series


def _matrix(values: np.ndarray, name: str) -> pa.Array:
    if values.ndim != 2:
        raise BadInput(
            f"Column {name!r} is an array of {values.ndim} dimensions.",
            "Give one value a row (1 dimension), or one vector a row (2 dimensions).",
        )
    flat = pa.array(np.ascontiguousarray(values).ravel())
    if not values.shape[1]:
        return pa.array([[]] * values.shape[0], pa.list_(flat.type))
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def _mixed(values: Any, name: str, notes: Notes) -> pa.Array:
    """Objects that Arrow has no single type for."""
    items = [None if _is_missing(value) else value for value in values]
    present = [value for value in items if value is not None]
    if present and all(isinstance(value, Real | Decimal | np.bool_) for value in present):
        if any(isinstance(value, int) and abs(value) >= 2**63 for value in present):
            if all(type(value) is int and 0 <= value < 2**64 for value in present):
                return pa.array(items, pa.uint64())
            notes.add(name, f"Column {name!r} holds integers beyond 64 bits; it is read as float64.")
        return pa.array([None if value is None else _as_float(value) for value in items], pa.float64())
    types = Counter(type(value).__name__ for value in present)
    shown = ", ".join(f"{count} {kind}" for kind, count in types.most_common(5))
    what = f"mixed types ({shown})" if len(types) > 1 else f"objects of type {next(iter(types), 'None')}"
    notes.add(name, f"Column {name!r} holds {what}; it is read as text.")
    return pa.array([None if value is None else _spell(value) for value in items], pa.string())


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _spell(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="backslashreplace")
    try:
        text = str(value)
    except Exception as cause:
        text = f"<{type(value).__name__}: {type(cause).__name__}>"
    return text.encode("utf-8", errors="backslashreplace").decode("utf-8")


def _is_missing(value: Any) -> bool:
    if value is None:
        return True
    if isinstance(value, float):
        return value != value
    return type(value).__name__ in ("NAType", "NaTType")


def open_dataset(dataset: Any, label: str, notes: Notes) -> StreamPart:
    """A ``pyarrow.dataset.Dataset``; only the wanted columns are read."""
    names = dataset.schema.names

    def batches(positions: list[int], batch_rows: int) -> Iterator[pa.RecordBatch]:
        scanner = dataset.scanner(
            columns=[names[p] for p in positions],
            batch_size=batch_rows,
            batch_readahead=1,
            fragment_readahead=1,
            cache_metadata=False,
        )
        yield from scanner.to_batches()

    return StreamPart(label=label, schema=_named(dataset.schema, label, notes), rows=None, open=batches)


def open_iterator(batches: Iterator[Any], label: str, notes: Notes) -> StreamPart:
    """An iterator of record batches (or tables), which can be read once.

    Raises
    ------
    BadInput
        it yields something else, or nothing.
    """
    first = next(batches, None)
    if not isinstance(first, pa.RecordBatch | pa.Table):
        raise BadInput(
            f"The iterator yields {type(first).__name__}, not record batches.",
            "Yield pyarrow.RecordBatch, or collect it into a list of dicts.",
        )

    def rest(positions: list[int], batch_rows: int) -> Iterator[pa.RecordBatch]:
        for item in chain((first,), batches):
            chosen = item.select(positions)
            yield from chosen.to_batches() if isinstance(chosen, pa.Table) else (chosen,)

    return StreamPart(label=label, schema=_named(first.schema, label, notes), rows=None, open=rest)
