"""Rows at the door: whatever the user hands us becomes a stream of Arrow record batches.

`open_source` finds out what it was given and what columns it has, and reads nothing more. A `Source` then streams
its rows in batches, decoding one ahead, with memory that does not grow with the rows.

A source made of several files reads them one after the other. Their schemas are joined (a column that a file
lacks is null there; integers and floats become floats; types that do not go together become strings), and a file
that cannot be read is told in ``problems`` while the others are read.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from copy import copy
from pathlib import Path
from typing import Any

import pyarrow as pa

from watchkeeper.domain.schema import Kind, Schema
from watchkeeper.errors import BadInput, UnreadableSource, nearest
from watchkeeper.rows.files import FileSet, files_of, open_file, partitions_of
from watchkeeper.rows.parts import Notes, Part, StreamPart, read_ahead, rows_in_a_batch
from watchkeeper.rows.values import as_text, plain_type

BATCH_ROWS = 262_144
_REREADABLE_MODULES = frozenset(
    ("polars", "pandas", "cudf", "ibis", "modin", "narwhals", "pyarrow", "datafusion", "daft", "fireducks")
)
_ACCEPTED = (
    "Accepted: a path, glob, folder or list of paths (Parquet, CSV, TSV, JSON lines, Arrow, Delta);",
    "a pandas or polars frame, an Arrow table or stream, a DuckDB relation, 'sql:SELECT ...';",
    "a dict of arrays, a list of dicts.",
)


class Source:
    """Rows that can be streamed, and what is known of them before.

    Attributes
    ----------
    name : what to call it in messages.
    kind : ``file``, ``folder``, ``glob``, ``list``, ``delta``, ``table``, ``stream`` or ``query``.
    arrow_schema : the columns that `batches` yields, in order.
    available : names of all columns, also those that were not asked for.
    rereadable : whether `batches` may be called again and yields the same rows.
    row_count_hint : number of rows, where it is known without reading.
    size_bytes : size on disk, where there is one.
    """

    def __init__(
        self,
        *,
        name: str,
        kind: str,
        parts: Sequence[Part],
        notes: Notes,
        rereadable: bool = True,
        batch_rows: int = BATCH_ROWS,
        columns: Sequence[str] | None = None,
        files: FileSet | None = None,
        partitions: tuple[Mapping[str, pa.DataType], Sequence[Mapping[str, pa.Scalar]]] = ({}, ()),
        declared: pa.Schema | None = None,
    ) -> None:
        self.name, self.kind, self.rereadable = name, kind, rereadable
        self._parts, self._notes, self._files = tuple(parts), notes, files
        self._partition_values = partitions[1] or tuple({} for _ in parts)
        joined = declared or _joined([part.schema for part in parts], [part.label for part in parts], notes)
        for column, dtype in partitions[0].items():
            if column not in joined.names:
                joined = joined.append(pa.field(column, dtype))
        self.available: tuple[str, ...] = tuple(joined.names)
        self.arrow_schema: pa.Schema = _selected(joined, columns, name)
        rows = [part.rows for part in parts]
        self.row_count_hint: int | None = None if None in rows else sum(n for n in rows if n is not None)
        self.size_bytes: int | None = files.describe()["size_bytes"] if files else None
        self._wanted_rows = batch_rows
        self._batch_rows = rows_in_a_batch(self.arrow_schema, batch_rows)
        self._counted: dict[str, int] = {}
        self._all_columns = joined
        self._once = None if rereadable else _Once()
        if self.row_count_hint == 0:
            notes.add("no rows", f"{name} has columns but no rows.")

    def __repr__(self) -> str:
        rows = "?" if self.row_count_hint is None else f"{self.row_count_hint:,}"
        return f"<Source {self.name}: {rows} rows, {len(self.arrow_schema)} columns>"

    @property
    def problems(self) -> list[str]:
        """What the user should know of this source, one line each; more may be found while reading."""
        return self._notes.lines

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield all rows in batches (262,144 rows, fewer if the table is very wide).

        Names and order of columns are those of ``arrow_schema``. A column's *type* may differ from it in single
        batches: repeated strings may come as a dictionary, and text where a late value did not fit the type that
        the first blocks suggested. `values_of` reads each batch on its own, so both are no concern there.

        Raises
        ------
        UnreadableSource
            nothing at all could be read, or it is a stream that was read before.
        """
        if self._once is not None and self._once.used:
            raise UnreadableSource(
                f"{self.name} is a stream that was read already.", "Give the table or file behind it instead."
            )
        if self._once is not None:
            self._once.used = True
        return self._ahead()

    def _ahead(self) -> Iterator[pa.RecordBatch]:
        with closing(read_ahead(self._all())) as batches:  # type: ignore[type-var]
            yield from batches

    def _all(self) -> Generator[pa.RecordBatch]:
        """All batches, also those of a stream that was looked into before."""
        if self._once is None or self._once.coming is None:
            yield from self._read()
            return
        names = self.arrow_schema.names
        while self._once.looked_at:
            yield self._once.looked_at.pop(0).select(names)
        for batch in self._once.coming:
            yield batch.select(names)

    def _read(self) -> Generator[pa.RecordBatch]:
        rows, failed = 0, list[UnreadableSource]()
        for part, constants in zip(self._parts, self._partition_values, strict=True):
            try:
                for batch in self._of(part, constants, self.arrow_schema, self._batch_rows):
                    rows += batch.num_rows
                    yield batch
            except UnreadableSource as cause:
                failed.append(cause)
                if len(self._parts) == 1 or (rows == 0 and len(failed) == len(self._parts)):
                    raise
                self._notes.add(part.label, f"{cause.what} The rows read before that are kept.")
        self._counted["rows"] = rows
        if rows == 0:
            self._notes.add("no rows", f"{self.name} has columns but no rows.")

    def _of(
        self, part: Part, constants: Mapping[str, pa.Scalar], schema: pa.Schema, batch_rows: int
    ) -> Generator[pa.RecordBatch]:
        """The columns of *schema* from one part; what the part lacks is its partition's value, or null."""
        wanted = schema.names
        held = set(part.schema.names)
        here = [name for name in wanted if name in held]
        if not here and part.rows is None and part.schema.names:
            here = part.schema.names[:1]  # rows must be counted by something
        if not here and part.rows is not None:
            for start in range(0, part.rows, batch_rows):
                yield _completed({}, min(batch_rows, part.rows - start), constants, schema)
            return
        for batch in part.batches(here, batch_rows, self._notes):
            if here == wanted and batch.schema.equals(schema):
                yield batch
            else:
                columns = dict(zip(here, batch.columns, strict=True))
                yield _completed(columns, batch.num_rows, constants, schema)

    def select(self, columns: Sequence[str]) -> Source:
        """Return the same source with only *columns*, in that order; nothing is opened again.

        Raises
        ------
        BadInput
            a column does not exist.
        """
        chosen = copy(self)
        chosen.arrow_schema = _selected(self._all_columns, columns, self.name)
        chosen._batch_rows = rows_in_a_batch(chosen.arrow_schema, self._wanted_rows)
        return chosen

    def sample(self, rows: int = 20_000, columns: Sequence[str] | None = None) -> pa.Table:
        """Return up to *rows* rows: the heads of up to five of its parts, from the first to the last.

        A stream that can be read only once is looked into without losing anything: what was taken from it comes
        first when it is read.
        """
        schema = self.arrow_schema if columns is None else _selected(self.arrow_schema, columns, self.name)
        tables = [pa.Table.from_batches([], schema=schema)]  # empty_table() would import pandas
        if self._once is not None:
            for batch in self._once.look(self._read, rows):
                piece = batch.select(schema.names).slice(0, rows - sum(t.num_rows for t in tables))
                tables.append(pa.Table.from_batches([_plainly(piece, schema)]))
            return _stacked(tables)
        count = min(len(self._parts), 5)
        chosen = dict.fromkeys(round(i * (len(self._parts) - 1) / max(count - 1, 1)) for i in range(count))
        for at in chosen:
            left = -(-rows // len(chosen))
            try:
                with closing(self._of(self._parts[at], self._partition_values[at], schema, left)) as batches:
                    for batch in batches:
                        tables.append(pa.Table.from_batches([_plainly(batch.slice(0, left), schema)]))
                        left -= batch.num_rows
                        if left <= 0:
                            break
            except UnreadableSource as cause:
                if len(self._parts) == 1:
                    raise
                self._notes.add(self._parts[at].label, f"{cause.what} The rows read before that are kept.")
        return _stacked(tables)

    def describe(self) -> dict[str, Any]:
        """Where the rows come from, as plain JSON: kind, name, rows, files, size, time, fingerprint, problems."""
        out: dict[str, Any] = {"kind": self.kind, "name": self.name, "columns": len(self.arrow_schema)}
        rows = self._counted.get("rows", self.row_count_hint)
        if rows is not None:
            out["rows"] = rows
        if self._files is not None:
            out["path"] = str(self._files.root or self._files.files[0])
            out |= {key: value for key, value in self._files.describe().items() if value is not None}
        if self.problems:
            out["problems"] = self.problems
        return out


class _Once:
    """A stream that comes by once: what was looked at beforehand is kept for the reading."""

    def __init__(self) -> None:
        self.used = False
        self.coming: Iterator[pa.RecordBatch] | None = None
        self.looked_at: list[pa.RecordBatch] = []

    def look(self, start: Callable[[], Iterator[pa.RecordBatch]], rows: int) -> list[pa.RecordBatch]:
        """The first batches, until they hold *rows*; nothing once the reading has begun."""
        if self.used:
            return []
        if self.coming is None:
            self.coming = start()
        while sum(batch.num_rows for batch in self.looked_at) < rows:
            batch = next(self.coming, None)
            if batch is None:
                break
            self.looked_at.append(batch)
        return list(self.looked_at)


def open_source(
    source: Any,
    *,
    columns: Sequence[str] | None = None,
    schema: Schema | None = None,
    batch_rows: int = BATCH_ROWS,
    encoding: str | None = None,
    delimiter: str | None = None,
    missing: Sequence[str] | None = None,
    name: str | None = None,
) -> Source:
    r"""Open anything that holds rows.

    Parameters
    ----------
    source : a path, glob, folder, or list of paths to Parquet, CSV, TSV, JSON-lines or Arrow files; a Delta table's
        folder; ``sql:SELECT ...`` or ``duckdb:FILE::SELECT ...``; a pandas or polars frame, an Arrow table or
        stream, a dataset or scanner, a DuckDB relation, anything with ``__arrow_c_stream__``; a dict of arrays; a
        list of dicts; an opened `Source` (of which only *columns* are chosen anew).
    columns : read only these, in this order.
    schema : what is known of the columns already; text columns are then read as text even if every value looks
        like a number.
    batch_rows : rows in a batch.
    encoding, delimiter : of text files; found out where not given (the encoding is UTF-8 unless marked).
    missing : words that stand for a missing value in text files (``NA``); found out where not given.
    name : what to call it in messages.

    Raises
    ------
    UnreadableSource
        there is nothing there, or it cannot be read.
    BadInput
        it is of no accepted type, or a wanted column does not exist.

    >>> source = open_source({"age": [31, None, 27]})
    >>> source.arrow_schema.names, source.row_count_hint, source.rereadable
    (['age'], 3, True)
    >>> [batch.num_rows for batch in source.batches()]
    [3]
    """
    if isinstance(source, Source):
        return source if columns is None else source.select(columns)
    if batch_rows < 1:
        raise BadInput(f"A batch of {batch_rows} rows is none.", "Give batch_rows of at least 1.")
    texts = frozenset(c.name for c in schema.columns if _is_words(c.dtype, c.kind)) if schema else frozenset()
    notes = Notes()
    chosen: dict[str, Any] = {"batch_rows": batch_rows, "columns": columns, "notes": notes}
    if isinstance(source, Path) or (isinstance(source, str) and not source.startswith(("sql:", "duckdb:"))):
        return _of_paths(source, name or str(source), chosen, encoding, delimiter, texts, missing)
    if isinstance(source, list | tuple) and source and all(isinstance(item, str | Path) for item in source):
        label = name or f"{len(source)} paths from {source[0]}"
        return _of_paths(source, label, chosen, encoding, delimiter, texts, missing)
    part, kind, rereadable = _in_memory(source, name, notes)
    return Source(name=name or part.label, kind=kind, parts=[part], rereadable=rereadable, **chosen)


def _is_words(dtype: str, kind: Kind) -> bool:
    return dtype in ("string", "large_string", "string_view") and kind in (Kind.TEXT, Kind.CATEGORICAL)


def _of_paths(
    source: str | Path | Sequence[str | Path],
    name: str,
    chosen: dict[str, Any],
    encoding: str | None,
    delimiter: str | None,
    texts: frozenset[str],
    missing: Sequence[str] | None,
) -> Source:
    notes: Notes = chosen["notes"]
    if isinstance(source, str):
        if source.startswith("file://"):
            source = source.removeprefix("file://")
        elif "://" in source:
            raise UnreadableSource(
                f"{source!r} is an address, and only local paths are read.",
                "Read it with DuckDB:   \"sql:SELECT * FROM 's3://...'\" (it needs its httpfs extension)",
                "Or with pyarrow:       pass pyarrow.dataset.dataset(address)",
            )
        if not source.strip():
            raise BadInput("The path is empty.", "Give a file, folder or pattern.")
    if isinstance(source, str | Path):
        from watchkeeper.rows.delta import is_delta, open_delta

        folder = Path(source).expanduser()
        if folder.is_dir() and is_delta(folder):
            delta = open_delta(folder, name, notes)
            return Source(
                name=name,
                kind="delta",
                parts=delta.parts,
                files=FileSet("delta", delta.files, folder),
                partitions=({}, delta.partitions),
                declared=delta.schema,
                **chosen,
            )
    files = files_of(source)
    if files.passed_over:
        shown = ", ".join(p.name for p in files.passed_over[:5])
        more = ", ..." if len(files.passed_over) > 5 else ""
        notes.add("passed over", f"{name}: files of no known kind were passed over: {shown}{more}")
    total = sum(path.stat().st_size for path in files.files)
    types, values = partitions_of(files)
    parts: list[Part] = []
    constants, bad = [], []
    for path, here in zip(files.files, values, strict=True):
        label = str(path.relative_to(files.root)) if files.root else str(path)
        try:
            part = open_file(
                path,
                label,
                notes,
                total_bytes=total,
                encoding=encoding,
                delimiter=delimiter,
                texts=texts,
                missing=missing,
            )
        except UnreadableSource as cause:
            bad.append(cause)
            notes.add(label, f"{cause.what} The other files are read.")
            continue
        parts.append(part)
        constants.append(here)
    if not parts:
        if len(bad) == 1:
            raise bad[0]
        raise UnreadableSource(
            f"None of the {len(bad)} files of {name} can be read. The first: {bad[0].what}",
            *bad[0].next_steps,
        )
    return Source(
        name=name,
        kind=files.kind,
        parts=parts,
        files=files,
        partitions=(types, constants),
        **chosen,
    )


def _in_memory(source: Any, name: str | None, notes: Notes) -> tuple[StreamPart, str, bool]:
    """The part behind an object, the kind of source, and whether it can be read again."""
    from watchkeeper.rows import frames, queries

    module, kind = type(source).__module__.partition(".")[0], type(source).__name__
    if isinstance(source, str):
        return queries.open_query(source, name or source, notes), "query", True
    if queries.is_relation(source):
        return queries.open_relation(source, name or "DuckDB relation", notes), "query", True
    if isinstance(source, pa.Table | pa.RecordBatch):
        return frames.open_arrow(source, name or "Arrow table", notes), "table", True
    if module == "pandas" and kind == "DataFrame":
        return frames.open_pandas(source, name or "pandas DataFrame", notes), "table", True
    if module == "polars" and kind == "LazyFrame":
        source, kind = source.collect(), "DataFrame"
    if module == "polars" and kind == "DataFrame":
        return frames.open_polars(source, name or "polars DataFrame", notes), "table", True
    if module == "pyarrow" and kind.endswith("Dataset"):
        return frames.open_dataset(source, name or "Arrow dataset", notes), "dataset", True
    if module == "pyarrow" and kind == "Scanner":
        part = frames.open_stream(source.to_reader(), name or "Arrow scanner", notes)
        return part, "stream", False
    if kind in ("Series", "ChunkedArray") or (
        isinstance(source, pa.Array) and not pa.types.is_struct(source.type)
    ):
        raise BadInput(
            f"A {kind} is one column, not a table.", "Give a frame: series.to_frame(), or {'name': series}."
        )
    if hasattr(source, "__arrow_c_stream__"):
        again = module in _REREADABLE_MODULES and not isinstance(source, pa.RecordBatchReader)
        return (
            frames.open_stream(source, name or f"{module} {kind}", notes),
            "table" if again else "stream",
            again,
        )
    if hasattr(source, "__arrow_c_array__"):
        return frames.open_arrow(pa.record_batch(source), name or f"{module} {kind}", notes), "table", True
    if isinstance(source, Mapping):
        if not source:
            raise BadInput("The dict holds no columns.", "Give {'column': values, ...}.")
        return frames.open_columns(source, name or "dict of columns", notes), "table", True
    if isinstance(source, list | tuple):
        if not source:
            raise BadInput("The list holds no rows.", "Give at least one row, or a table with columns.")
        if all(isinstance(row, Mapping) for row in source):
            return frames.open_rows(source, name or "list of rows", notes), "table", True
        if all(isinstance(batch, pa.RecordBatch) for batch in source):
            table = pa.Table.from_batches(source)
            return frames.open_arrow(table, name or "Arrow batches", notes), "table", True
    elif isinstance(source, Iterator):
        return frames.open_iterator(source, name or "record batches", notes), "stream", False
    elif isinstance(getattr(source, "dtype", None), object) and getattr(source, "dtype", None) is not None:
        names = getattr(source.dtype, "names", None)
        if names:
            return (
                frames.open_columns({n: source[n] for n in names}, name or "structured array", notes),
                "table",
                True,
            )
        raise BadInput(
            f"An array of shape {getattr(source, 'shape', '?')} has no column names.",
            "Give a dict: {'age': array[:, 0], ...}.",
        )
    raise BadInput(f"Rows cannot be read from an object of type {kind!r}.", *_ACCEPTED)


def _selected(schema: pa.Schema, columns: Sequence[str] | None, name: str) -> pa.Schema:
    if columns is None:
        return schema
    for column in columns:
        if schema.get_field_index(column) < 0:
            shown = ", ".join(schema.names[:12]) + (", ..." if len(schema) > 12 else "")
            raise BadInput(
                f"{name} has no column {column!r}.{nearest(column, schema.names)}", f"Its columns: {shown}."
            )
    return pa.schema([schema.field(column) for column in dict.fromkeys(columns)])


# --- joining the schemas of several parts --------------------------------------------------------------------


def _joined(schemas: Sequence[pa.Schema], labels: Sequence[str], notes: Notes) -> pa.Schema:
    """One schema for all parts, columns in the order of their first appearance."""
    if len(schemas) == 1:
        return schemas[0]
    types: dict[str, pa.DataType] = {}
    for schema in dict.fromkeys(schemas):
        for field in schema:
            if field.name not in types:
                types[field.name] = field.type
            elif not types[field.name].equals(field.type):
                types[field.name] = _common(types[field.name], field.type)
    held_by = [dict(zip(schema.names, schema.types, strict=True)) for schema in schemas]
    for column, dtype in types.items():
        lacking = [label for label, held in zip(labels, held_by, strict=True) if column not in held]
        if lacking:
            notes.add(
                f"lacking {column}", f"Column {column!r} is missing from {_some(lacking)}; it is null there."
            )
        if pa.types.is_string(dtype):
            present = dict.fromkeys(str(held[column]) for held in held_by if column in held)
            present.pop("null", None)
            if len(present) > 1 and not all("string" in kind for kind in present):
                notes.add(
                    f"types {column}",
                    f"Column {column!r} has several types ({', '.join(present)}); it is read as text.",
                )
    return pa.schema(list(types.items()))


def _some(labels: Sequence[str]) -> str:
    shown = ", ".join(labels[:3])
    return shown if len(labels) <= 3 else f"{shown} and {len(labels) - 3:,} more files"


def _common(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """The narrowest type that holds the values of both; a string where there is none."""
    one, other = plain_type(one), plain_type(other)
    for a, b in ((one, other), (other, one)):
        if pa.types.is_null(a):
            return b
        if pa.types.is_large_string(a) and pa.types.is_string(b):
            return a
    if all(pa.types.is_timestamp(kind) or pa.types.is_date(kind) for kind in (one, other)):
        zoned = any(pa.types.is_timestamp(kind) and kind.tz for kind in (one, other))
        fine = any(pa.types.is_timestamp(kind) and kind.unit == "ns" for kind in (one, other))
        return pa.timestamp("ns" if fine else "us", "UTC" if zoned else None)
    if pa.types.is_boolean(one) or pa.types.is_boolean(other):
        return one if one.equals(other) else pa.string()
    try:
        merged = pa.unify_schemas(
            [pa.schema([pa.field("x", one)]), pa.schema([pa.field("x", other)])], promote_options="permissive"
        )
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        return pa.string()
    return merged.field("x").type


def _completed(
    columns: Mapping[str, pa.Array], rows: int, constants: Mapping[str, pa.Scalar], schema: pa.Schema
) -> pa.RecordBatch:
    """A batch of all columns of *schema*, from those that are there, constants, and nulls."""
    arrays = []
    for field in schema:
        if field.name in columns:
            arrays.append(_fitted(columns[field.name], field.type))
        elif field.name in constants:
            arrays.append(_repeated(constants[field.name], rows))
        else:
            arrays.append(pa.nulls(rows, field.type))
    return pa.RecordBatch.from_arrays(arrays, names=schema.names)


def _fitted(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Bring a batch's column to the joined type; where that would lose something it stays as it is."""
    if plain_type(array.type).equals(plain_type(wanted)):
        return array
    if pa.types.is_string(wanted):
        return as_text(array)
    try:
        return array.cast(wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return array


def _plainly(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The batch without dictionaries that only the reader brought in."""
    arrays = [
        array.dictionary_decode()
        if pa.types.is_dictionary(array.type) and not array.type.equals(field.type)
        else array
        for array, field in zip(batch.columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, names=schema.names)


def _stacked(tables: Sequence[pa.Table]) -> pa.Table:
    """Tables one below the other; a column whose types do not go together becomes text."""
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        pass
    columns = {}
    for name in tables[0].column_names:
        kinds = {table.schema.field(name).type for table in tables}
        chunks = [table.column(name) if len(kinds) == 1 else as_text(table.column(name)) for table in tables]
        columns[name] = pa.chunked_array(
            [
                piece
                for chunk in chunks
                for piece in (chunk.chunks if isinstance(chunk, pa.ChunkedArray) else [chunk])
            ]
        )
    return pa.table(columns)


def _repeated(value: pa.Scalar, count: int) -> pa.Array:
    if pa.types.is_string(value.type) and value.is_valid:
        codes = pa.repeat(pa.scalar(0, pa.int32()), count)
        return pa.DictionaryArray.from_arrays(codes, pa.array([value.as_py()], pa.string()))
    return pa.repeat(value, count) if value.is_valid else pa.nulls(count, value.type)
