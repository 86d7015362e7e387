"""CSV, TSV and their kin: text files with one record a line, plain or compressed.

Small files are read whole, since then every value has a say in what type its column is. Large ones are streamed:
types are inferred from blocks taken all over the file, and a column that later proves them wrong is read as
wider numbers or as text from that row on, with a note. Records of another number of fields are passed over and
counted.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv

from watchkeeper.errors import BadInput, UnreadableSource
from watchkeeper.rows.parts import Notes, cut, unique_names
from watchkeeper.rows.values import NULL_WORDS

_HEAD_BYTES = 4 * 2**20
_PROBE_BYTES = 512 * 1024
_PROBES = 15
_EXAMPLES = 5
_COMPRESSED = (".gz", ".bz2", ".zst", ".lz4")
_DELIMITERS = (",", "\t", ";", "|")
_BOMS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_CONVERSION = re.compile(r"In CSV column #(\d+): .*?conversion error to ([^:]+): (.*)", re.DOTALL)
_VALUE = re.compile(r"invalid value '(.*)'", re.DOTALL)


# --- text files of any kind --------------------------------------------------------------------------------


def open_text(path: Path) -> pa.NativeFile:
    """Open *path* as bytes, decompressed by its ending (.gz, .bz2, .zst, .lz4)."""
    return pa.input_stream(str(path), compression="detect")


def text_head(path: Path, label: str, encoding: str | None, notes: Notes) -> tuple[str, str | None]:
    """Return the first few megabytes of the file as text, and its encoding (None for UTF-8).

    Raises
    ------
    UnreadableSource
        it is empty, holds no text, or not in that encoding.
    BadInput
        there is no such encoding.
    """
    try:
        with open_text(path) as stream:
            raw = stream.read(_HEAD_BYTES)
    except OSError as cause:
        raise UnreadableSource(
            f"{label} cannot be read: {cause}", "Check the file, and that its ending tells its compression."
        ) from cause
    if not raw.strip():
        raise UnreadableSource(
            f"{label} is empty ({len(raw)} bytes of text).",
            "Write a header and at least one row, or leave it out.",
        )
    if encoding is None:
        encoding = next((name for bom, name in _BOMS.items() if raw.startswith(bom)), None)
        if encoding:
            notes.add(
                f"{label}: encoding", f"{label} is in {encoding.upper()} by its first bytes; read as such."
            )
    if encoding is None and b"\0" in raw[:4096]:
        raise UnreadableSource(
            f"{label} is not a text file: it holds zero bytes.",
            "Give a Parquet, Arrow, CSV or JSON-lines file; text in UTF-16 without a mark needs encoding='utf-16'.",
        )
    try:
        decoder = codecs.getincrementaldecoder(encoding or "utf-8-sig")(errors="replace")
    except LookupError as cause:
        raise BadInput(
            f"There is no text encoding {encoding!r}.", "Usual ones: 'utf-8', 'latin-1', 'cp1252', 'utf-16'."
        ) from cause
    return decoder.decode(raw), encoding


def refuse_bad_text(path: Path, label: str) -> None:
    """Raise `UnreadableSource` at the first byte of the file that is not UTF-8; return if there is none."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    offset, line = 0, 1
    with open_text(path) as stream:
        while True:
            chunk = stream.read(2**20)
            pending = len(decoder.getstate()[0])
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as cause:
                at = cause.start - pending
                line += chunk[: max(at, 0)].count(b"\n")
                raise UnreadableSource(
                    f"{label} is not UTF-8: byte 0x{cause.object[cause.start]:02x} at offset {offset + at:,} "
                    f"(line {line:,}).",
                    "Say what it is:   encoding='cp1252' (Windows) or 'latin-1'",
                    "Or convert it:    iconv -f cp1252 -t utf-8 OLD > NEW",
                ) from cause
            if not chunk:
                return
            offset += len(chunk)
            line += chunk.count(b"\n")


# --- one delimited file ------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Layout:
    """How the file is cut into fields."""

    names: list[str]
    header_lines: int
    delimiter: str
    decimal_point: str
    encoding: str | None

    def read_options(self, **more: Any) -> pa_csv.ReadOptions:
        return pa_csv.ReadOptions(
            column_names=self.names, skip_rows=self.header_lines, encoding=self.encoding or "utf8", **more
        )

    def parse_options(self, on_ragged: Any) -> pa_csv.ParseOptions:
        return pa_csv.ParseOptions(
            delimiter=self.delimiter, newlines_in_values=True, invalid_row_handler=on_ragged
        )

    def convert_options(self, types: dict[str, pa.DataType], only: Sequence[str]) -> pa_csv.ConvertOptions:
        return pa_csv.ConvertOptions(
            column_types={name: types[name] for name in only if name in types},
            include_columns=list(only),
            null_values=sorted(NULL_WORDS),
            strings_can_be_null=True,
            decimal_point=self.decimal_point,
        )


@dataclass(slots=True)
class _Ragged:
    """Counts records that have another number of fields than the header."""

    rows: int = 0
    examples: list[str] = field(default_factory=list)

    def __call__(self, row: Any) -> str:
        self.rows += 1
        if len(self.examples) < _EXAMPLES and row.number is not None:
            text = row.text if len(row.text) <= 40 else row.text[:39] + "…"
            self.examples.append(f"line {row.number:,} has {row.actual_columns}: {text!r}")
        return "skip"


@dataclass(slots=True)
class DelimitedPart:
    """One delimited file."""

    label: str
    path: Path
    schema: pa.Schema
    rows: int | None
    layout: _Layout
    row_bytes: float
    table: pa.Table | None = None
    """The whole of a small file, read when its types were inferred."""

    def batches(self, names: Sequence[str], batch_rows: int, notes: Notes) -> Iterator[pa.RecordBatch]:
        """Yield the named columns, re-reading with a wider type where a value does not fit."""
        if self.table is not None:
            for batch in self.table.select(list(names)).to_batches(max_chunksize=batch_rows):
                yield from cut(batch, batch_rows)
            return
        if not names:
            return
        types = dict(zip(self.schema.names, self.schema.types, strict=True))
        block = min(max(int(batch_rows * self.row_bytes), 2**20), 16 * 2**20)
        done = attempts = 0
        while True:
            ragged = _Ragged()
            try:
                for batch in self._stream(types, names, block, ragged, skip=done):
                    for piece in cut(batch, batch_rows):
                        done += piece.num_rows
                        yield piece
            except pa.ArrowInvalid as cause:
                if "straddl" in str(cause) and block < 2**29:  # a record is longer than a block
                    block *= 8
                    continue
                attempts += 1
                self._widen(types, cause, notes, all_of_them=attempts > 3)
            else:
                break
        if ragged.rows:
            _tell_ragged(self.label, self.path, self.layout, ragged.rows, notes)

    def _stream(
        self, types: dict[str, pa.DataType], names: Sequence[str], block: int, ragged: _Ragged, skip: int
    ) -> Iterator[pa.RecordBatch]:
        """Batches of the file without its first *skip* rows."""
        with pa_csv.open_csv(
            open_text(self.path),
            read_options=self.layout.read_options(block_size=block),
            parse_options=self.layout.parse_options(ragged),
            convert_options=self.layout.convert_options(types, names),
        ) as reader:
            for batch in reader:
                rest = batch.slice(skip)
                skip = max(0, skip - batch.num_rows)
                if rest.num_rows:
                    yield rest

    def _widen(
        self, types: dict[str, pa.DataType], cause: pa.ArrowInvalid, notes: Notes, all_of_them: bool
    ) -> None:
        """Change *types* so that the value which stopped the reading fits; else raise."""
        found = _CONVERSION.search(str(cause))
        if found is None:
            raise _unparsable(self.label, cause) from cause
        name, reason = self.layout.names[int(found[1])], found[3]
        old = types.get(name)
        if "UTF8" in reason or old is None or pa.types.is_string(old):
            if self.layout.encoding is None:
                refuse_bad_text(self.path, self.label)
            raise _unparsable(self.label, cause) from cause
        value = _VALUE.search(reason)
        types[name] = pa.string()
        if value and pa.types.is_integer(old) and _is_number(value[1]):
            types[name] = pa.float64()
        if all_of_them:
            for other in types:
                types[other] = pa.string()
        shown = f" ({value[1]!r})" if value else ""
        notes.add(
            f"{self.label}: {name}",
            f"{self.label}: column {name!r} looked like {old} in the blocks that were sampled, but a later value "
            f"does not fit{shown}; it is read as {types[name]} from there on.",
        )


def open_delimited(
    path: Path,
    label: str,
    notes: Notes,
    *,
    encoding: str | None = None,
    delimiter: str | None = None,
    texts: frozenset[str] = frozenset(),
    keep: bool = True,
) -> DelimitedPart:
    """Find out how the file is written, and the types of its columns.

    Parameters
    ----------
    texts : columns to be read as text whatever they look like (``00123`` is not 123).
    keep : read the whole file now and keep it in memory; for small ones.

    Raises
    ------
    UnreadableSource
        it is empty, not in its encoding, or no record has as many fields as the header.
    """
    head, encoding = text_head(path, label, encoding, notes)
    layout = _layout_of(path, label, head, encoding, delimiter, notes)
    if len(head) < _HEAD_BYTES // 4 and not "".join(_lines(head)[layout.header_lines :]).strip():
        nothing = pa.schema([(name, pa.null()) for name in layout.names]).empty_table()
        return DelimitedPart(label, path, nothing.schema, 0, layout, 1.0, nothing)
    ragged = _Ragged()
    texts_here = {name: pa.string() for name in layout.names if name in texts}
    size = path.stat().st_size
    whole = keep or (len(head) < _HEAD_BYTES and path.suffix not in _COMPRESSED and size < _HEAD_BYTES)
    source = open_text(path) if whole else pa.py_buffer(_sample(path, head, layout))
    sampled = layout if whole else _Layout(layout.names, 0, layout.delimiter, layout.decimal_point, None)
    try:
        table = pa_csv.read_csv(
            source if whole else pa.BufferReader(source),
            read_options=sampled.read_options(block_size=16 * 2**20),
            parse_options=sampled.parse_options(ragged),
            convert_options=sampled.convert_options(texts_here, sampled.names),
        )
    except pa.ArrowInvalid as cause:
        if encoding is None:
            refuse_bad_text(path, label)
        raise _unparsable(label, cause) from cause
    except UnicodeError as cause:
        raise UnreadableSource(
            f"{label} is not in the encoding {encoding!r}: {cause}",
            "Give the encoding that it was written in.",
        ) from cause
    if whole and any(pa.types.is_binary(kind) for kind in table.schema.types):
        refuse_bad_text(path, label)
    if ragged.rows and not table.num_rows:
        lines = _ragged_examples(path, layout)
        raise UnreadableSource(
            f"No record of {label} has the {len(layout.names)} fields of its header ({lines}).",
            f"Check the delimiter (taken to be {layout.delimiter!r}): delimiter=';' sets another.",
        )
    if whole and ragged.rows:
        _tell_ragged(label, path, layout, ragged.rows, notes)
    row_bytes = (size if whole else len(head)) / max(table.num_rows, 1)
    if not whole:
        row_bytes = source.size / max(table.num_rows, 1)
    return DelimitedPart(
        label=label,
        path=path,
        schema=table.schema if whole else pa.schema([_streamed(f) for f in table.schema]),
        rows=table.num_rows if whole else None,
        layout=layout,
        row_bytes=row_bytes,
        table=table if keep else None,
    )


def _streamed(column: pa.Field) -> pa.Field:
    """The type under which a column that was only sampled is read."""
    kind = column.type
    if pa.types.is_null(kind) or pa.types.is_binary(kind):
        return column.with_type(pa.string())
    if pa.types.is_timestamp(kind) and kind.unit == "s":  # fractions may come later
        return column.with_type(pa.timestamp("us", kind.tz))
    return column


def _layout_of(
    path: Path, label: str, head: str, encoding: str | None, delimiter: str | None, notes: Notes
) -> _Layout:
    if delimiter is None:
        tab = any(suffix in (".tsv", ".tab") for suffix in path.suffixes)
        delimiter = _guess_delimiter(head) or ("\t" if tab else ",")
    elif len(delimiter) != 1:
        raise BadInput(f"A delimiter is one character, not {delimiter!r}.", "Usual ones: ',' ';' '\\t' '|'.")
    reader = csv.reader(io.StringIO(head, newline=""), delimiter=delimiter)
    header: list[str] = []
    try:
        header = next((record for record in reader if any(cell.strip() for cell in record)), [])
    except csv.Error as cause:
        raise _unparsable(label, cause) from cause
    if any("\ufffd" in cell for cell in header) and encoding is None:
        refuse_bad_text(path, label)
    names, lines = unique_names([cell.strip() for cell in header])
    for line in lines:
        notes.add(f"{label}: {line}", f"{label}: {line}")
    point = "."
    if delimiter == ";":
        body = head[:65_536]
        if re.search(r";-?\d+,\d+[;\r\n]", body) and not re.search(r";-?\d+\.\d+[;\r\n]", body):
            point = ","
            notes.add(f"{label}: point", f"{label}: numbers are written with a decimal comma; read as such.")
    return _Layout(names, reader.line_num, delimiter, point, encoding)


def _guess_delimiter(head: str) -> str | None:
    """Return the delimiter under which the first lines have the same number (over one) of fields, most often."""
    lines = head.splitlines()[:50]
    if len(lines) > 1 and len(head) >= _HEAD_BYTES // 4:
        lines = lines[:-1]
    text = "\n".join(lines)
    best, best_score = None, 0.0
    for delimiter in _DELIMITERS:
        try:
            widths = [len(record) for record in csv.reader(io.StringIO(text), delimiter=delimiter) if record]
        except csv.Error:
            continue
        if not widths or widths[0] < 2:
            continue
        agree = sum(width == widths[0] for width in widths) / len(widths)
        score = agree + 0.001 * min(widths[0], 100)
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _sample(path: Path, head: str, layout: _Layout) -> bytes:
    """UTF-8 records from all over the file, without the header."""
    lines = _lines(head)
    body = "".join(lines[layout.header_lines : -1] or lines[layout.header_lines :])
    parts = [body.encode("utf-8", errors="replace")]
    size = path.stat().st_size
    quoted = re.search(r'"[^",]*\n', body[:262_144]) is not None
    if path.suffix not in _COMPRESSED and layout.encoding is None and not quoted and size > _HEAD_BYTES:
        with path.open("rb") as file:
            for probe in range(1, _PROBES + 1):
                file.seek(max(_HEAD_BYTES, size * probe // _PROBES - _PROBE_BYTES))
                chunk = file.read(_PROBE_BYTES)
                first, last = chunk.find(b"\n"), chunk.rfind(b"\n")
                parts.append(chunk[first + 1 : last + 1].decode("utf-8", errors="replace").encode())
    return b"".join(parts)


def _lines(text: str) -> list[str]:
    """Lines as the csv module counts them: ended by line feed or carriage return, by nothing else."""
    return io.StringIO(text, newline="").readlines()


def _tell_ragged(label: str, path: Path, layout: _Layout, rows: int, notes: Notes) -> None:
    examples = _ragged_examples(path, layout)
    what = "1 record does" if rows == 1 else f"{rows:,} records do"
    were = "was" if rows == 1 else "were"
    notes.add(
        f"{label}: ragged",
        f"{label}: {what} not have the {len(layout.names)} fields of the header and {were} passed over ({examples}).",
    )


def _ragged_examples(path: Path, layout: _Layout) -> str:
    """Where the first few ragged records are; a pass of its own, since only one thread can count lines."""
    ragged = _Ragged()
    text = {layout.names[0]: pa.string()}
    try:
        with pa_csv.open_csv(
            open_text(path),
            read_options=layout.read_options(use_threads=False, block_size=4 * 2**20),
            parse_options=layout.parse_options(ragged),
            convert_options=layout.convert_options(text, layout.names[:1]),
        ) as reader:
            for _ in reader:
                if len(ragged.examples) >= _EXAMPLES:
                    break
    except pa.ArrowInvalid:
        pass
    return "; ".join(ragged.examples) or "the place could not be found"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _unparsable(label: str, cause: BaseException) -> UnreadableSource:
    return UnreadableSource(
        f"{label} cannot be read as delimited text: {cause}",
        "Check its quotes and delimiter; delimiter=';' and encoding='cp1252' set what is taken for granted.",
    )
