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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from watchkeeper.errors import BadInput, UnreadableSource
from watchkeeper.rows.parts import Notes, cut, unique_names
from watchkeeper.rows.values import NULL_WORDS
from watchkeeper.rows.written_numbers import Writing, grouped_by_points, writing_of

_HEAD_BYTES = 4 * 2**20
_PROBE_BYTES = 512 * 1024
_PROBES = 15
_EXAMPLES = 5
_COMPRESSED = (".gz", ".bz2", ".zst", ".lz4")
_DELIMITERS = (",", "\t", ";", "|")
_NOTHING = frozenset(("", r"\N"))
"""What always stands for a missing value: nothing, and what databases dump."""
_LOOK = 2_000
"""Distinct values of a column from which its way of writing is told."""
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
    return decoder.decode(raw).removeprefix("\ufeff"), encoding


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
    encoding: str | None
    comments: bool = False
    """Lines that begin with # are none of the rows."""
    backslashes: bool = False
    """A quote in a quoted field is written \\" (Spark, MySQL), not twice."""
    all_quoted: bool = False
    """What is missing is in quotes too, as where every field is."""
    null_words: frozenset[str] = _NOTHING
    """What stands for a missing value; in quotes it is text."""

    @property
    def is_cleaned(self) -> bool:
        """Whether the text is rewritten before it is cut."""
        return self.comments or self.backslashes

    def open(self, path: Path) -> Any:
        """The file's bytes as Arrow is to cut them."""
        stream = open_text(path)
        if not self.is_cleaned:
            return stream
        if self.encoding is not None:
            stream = pa.transcoding_input_stream(stream, self.encoding, "utf-8")
        return _Cleaned(stream, self.clean)

    def clean(self, lines: bytes) -> bytes:
        """Whole lines without comments, their quotes doubled."""
        if self.comments:
            lines = re.sub(rb"(?m)^#[^\n]*\n?", b"", lines)
        if self.backslashes:
            lines = re.sub(rb'(\\+)"', _doubled, lines)
        return lines

    def read_options(self, **more: Any) -> pa_csv.ReadOptions:
        encoding = "utf8" if self.is_cleaned else self.encoding or "utf8"
        return pa_csv.ReadOptions(
            column_names=self.names, skip_rows=self.header_lines, encoding=encoding, **more
        )

    def parse_options(self, on_ragged: Any) -> pa_csv.ParseOptions:
        return pa_csv.ParseOptions(
            delimiter=self.delimiter, newlines_in_values=True, invalid_row_handler=on_ragged
        )

    def convert_options(self, types: dict[str, pa.DataType], only: Sequence[str]) -> pa_csv.ConvertOptions:
        return pa_csv.ConvertOptions(
            column_types={name: types[name] for name in only if name in types},
            include_columns=list(only),
            null_values=sorted(self.null_words),
            strings_can_be_null=True,
            quoted_strings_can_be_null=self.all_quoted,
        )


def _doubled(found: re.Match[bytes]) -> bytes:
    """Backslashes before a quote: each pair is one, and a single one left over says that the quote is text."""
    pairs, single = divmod(len(found[1]), 2)
    return b"\\" * pairs + (b'""' if single else b'"')


class _Cleaned(io.RawIOBase):
    """A stream whose lines are rewritten as they pass."""

    def __init__(self, stream: Any, clean: Callable[[bytes], bytes]) -> None:
        self._stream, self._clean = stream, clean
        self._rest, self._ready, self._ended = b"", b"", False

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while not self._ended and (size < 0 or len(self._ready) < size):
            chunk = self._stream.read(2**20)
            self._ended = not chunk
            lines, end, self._rest = (self._rest + chunk).rpartition(b"\n")
            if self._ended:
                lines, end, self._rest = lines + end + self._rest, b"", b""
            self._ready += self._clean(lines + end)
        size = len(self._ready) if size < 0 else size
        out, self._ready = self._ready[:size], self._ready[size:]
        return out


@dataclass(slots=True)
class _Ragged:
    """Counts records that have another number of fields than the header."""

    rows: int = 0
    examples: list[str] = field(default_factory=list)

    def __call__(self, row: Any) -> str:
        if row.text.startswith("#"):
            return "skip"
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
    types: dict[str, pa.DataType]
    """As what columns are cut."""
    writings: dict[str, Writing]
    """How the numbers of columns are written that are cut as text."""
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
        types = dict(self.types)
        block = min(max(int(batch_rows * self.row_bytes), 2**20), 16 * 2**20)
        done = attempts = 0
        while True:
            ragged = _Ragged()
            try:
                for batch in self._stream(types, names, block, ragged, skip=done):
                    for piece in cut(self._written_out(batch, notes), batch_rows):
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
            self.layout.open(self.path),
            read_options=self.layout.read_options(block_size=block),
            parse_options=self.layout.parse_options(ragged),
            convert_options=self.layout.convert_options(types, names),
        ) as reader:
            for batch in reader:
                rest = batch.slice(skip)
                skip = max(0, skip - batch.num_rows)
                if rest.num_rows:
                    yield rest

    def _written_out(self, batch: pa.RecordBatch, notes: Notes) -> pa.RecordBatch:
        """The batch with its numbers as numbers; a column with another value in it stays text."""
        for name in self.writings.keys() & set(batch.schema.names):
            at = batch.schema.get_field_index(name)
            try:
                numbers = self.writings[name].numbers(pc.utf8_trim_whitespace(batch.column(at)))
            except pa.ArrowInvalid:
                notes.add(f"{self.label}: {name}", f"{self.label}: column {name!r} holds more than numbers.")
                continue
            if pa.types.is_floating(self.schema.field(name).type):
                numbers = numbers.cast(pa.float64())
            batch = batch.set_column(at, name, numbers)
        return batch

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
        if value and value[1].strip() in NULL_WORDS and not self.layout.null_words >= NULL_WORDS:
            self.layout.null_words = self.layout.null_words | NULL_WORDS
            return
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
    missing: Sequence[str] | None = None,
    keep: bool = True,
) -> DelimitedPart:
    """Find out how the file is written, and the types of its columns.

    Parameters
    ----------
    texts : columns to be read as text whatever they look like (``00123`` is not 123).
    missing : words that stand for a missing value, where they are not in quotes. Not given: such words as NA and null,
        where columns of numbers or times show that the file uses them; else they are text.
    keep : read the whole file now and keep it in memory; for small ones.

    Raises
    ------
    UnreadableSource
        it is empty, not in its encoding, or no record has as many fields as the header.
    """
    head, encoding = text_head(path, label, encoding, notes)
    layout, head = _layout_of(path, label, head, encoding, delimiter, notes)
    if missing is not None:
        layout.null_words = frozenset(("", *missing))
    if len(head) < _HEAD_BYTES // 4 and not "".join(_lines(head)[layout.header_lines :]).strip():
        nothing = pa.schema([(name, pa.null()) for name in layout.names]).empty_table()
        return DelimitedPart(label, path, nothing.schema, 0, layout, 1.0, {}, {}, nothing)
    ragged = _Ragged()
    size = path.stat().st_size
    whole = keep or (len(head) < _HEAD_BYTES and path.suffix not in _COMPRESSED and size < _HEAD_BYTES)
    sample = b"" if whole else _sample(path, head, layout)
    plain = (
        layout if whole else replace(layout, header_lines=0, comments=False, backslashes=False, encoding=None)
    )

    def read(types: dict[str, pa.DataType], only: Sequence[str]) -> pa.Table:
        plain.null_words, plain.all_quoted = layout.null_words, layout.all_quoted
        ragged.rows = 0
        return pa_csv.read_csv(
            layout.open(path) if whole else pa.BufferReader(sample),
            read_options=plain.read_options(block_size=16 * 2**20),
            parse_options=plain.parse_options(ragged),
            convert_options=plain.convert_options(types, only),
        )

    types = {name: pa.string() for name in layout.names if name in texts}
    try:
        table = read(types, layout.names)
        if missing is None and any(_is_null_by_words(column) for column in table.columns):
            layout.null_words |= NULL_WORDS
            table = read(types, layout.names)
        elif missing is None and any(_is_null_in_quotes(column) for column in table.columns):
            layout.all_quoted, layout.null_words = True, _NOTHING
            table = read(types, layout.names)
        text = head if whole else sample.decode("utf-8", errors="replace")
        table, writings = _looked_at_twice(table, read, layout, types, text, texts)
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
    _tell_readings(label, path, table, layout, types, writings, texts, notes)
    row_bytes = (size if whole else len(sample)) / max(table.num_rows, 1)
    schema = table.schema if whole else pa.schema([_streamed(f) for f in table.schema])
    cut_as = {f.name: pa.string() if f.name in writings else f.type for f in schema}
    return DelimitedPart(
        label=label,
        path=path,
        schema=schema,
        rows=table.num_rows if whole else None,
        layout=layout,
        row_bytes=row_bytes,
        types=cut_as,
        writings=writings,
        table=table if keep else None,
    )


def _is_null_by_words(column: pa.ChunkedArray) -> bool:
    """Whether text would be numbers, times or truths but for words such as NA: the file writes missing values so."""
    if pa.types.is_floating(column.type):
        return pc.any(pc.is_nan(column)).as_py() is True
    if not pa.types.is_string(column.type):
        return False
    words = [word for word in pc.unique(column.slice(0, 200_000)).drop_null().to_pylist() if word]
    rest = [word for word in words if word.strip() not in NULL_WORDS]
    return len(rest) < len(words) and all(_TYPED.fullmatch(word) for word in rest)


def _is_null_in_quotes(column: pa.ChunkedArray) -> bool:
    """Whether text would be numbers, times or truths but for empty cells in quotes (pandas with QUOTE_NONNUMERIC)."""
    if not pa.types.is_string(column.type):
        return False
    words = pc.unique(column.slice(0, 200_000)).drop_null().to_pylist()
    return "" in words and len(words) > 1 and all(_TYPED.fullmatch(word) for word in words if word)


_TYPED = re.compile(
    r"\s*([+-]?(\d+[\d.,'’ \u00a0\u202f]*|\.\d+)([eE][+-]?\d+)?|\d{4}-\d\d-\d\d([ T]\S+)?|\d\d:\d\d(:\S+)?|[+-]?inf"
    r"|true|false)\s*",
    re.IGNORECASE,
)
"""What a value of another kind than text looks like."""


def _looked_at_twice(
    table: pa.Table,
    read: Callable[[dict[str, pa.DataType], Sequence[str]], pa.Table],
    layout: _Layout,
    types: dict[str, pa.DataType],
    text: str,
    texts: frozenset[str],
) -> tuple[pa.Table, dict[str, Writing]]:
    """The table with numbers that Arrow takes for text, and with text that it takes for numbers; adds to *types*."""
    writings: dict[str, Writing] = {}
    for name in table.column_names:
        if pa.types.is_string(table[name].type) and name not in texts:
            words = [
                w.strip() for w in pc.unique(table[name].slice(0, 100_000)).drop_null().to_pylist()[:_LOOK]
            ]
            way = writing_of(words, delimiter=layout.delimiter)
            if way is not None and _all_are(way, table[name]):
                writings[name] = way
    end = re.escape(layout.delimiter) + r'"\r\n'
    odd = re.compile(rf"(?:^|[{end}])(?:0\d+|\d{{19,}})(?=[{end}]|$)", re.MULTILINE).search(text)
    points = any(way.decimal == "," for way in writings.values())
    again = [
        f.name
        for f in table.schema
        if f.name not in texts
        and ((odd and pa.types.is_integer(f.type)) or ((odd or points) and pa.types.is_floating(f.type)))
    ]
    if again:
        as_text = read({name: pa.string() for name in again}, again)
        for name in again:
            words = [w.strip() for w in pc.unique(as_text[name]).drop_null().to_pylist()]
            whole = all(re.fullmatch(r"[+-]?\d+", word) for word in words)
            if whole and any(re.fullmatch(r"[+-]?0\d+", word) for word in words):
                types[name] = pa.string()
                table = table.set_column(table.column_names.index(name), name, as_text[name])
            elif whole and pa.types.is_floating(table[name].type) and all(0 <= int(w) < 2**64 for w in words):
                types[name] = pa.uint64()
                exact = pc.utf8_trim_whitespace(as_text[name]).cast(pa.uint64())
                table = table.set_column(table.column_names.index(name), name, exact)
            elif points and grouped_by_points(words):
                writings[name] = Writing(",", ".")
                table = table.set_column(table.column_names.index(name), name, as_text[name])
    for name, way in writings.items():
        numbers = way.numbers(pc.utf8_trim_whitespace(table[name]))
        table = table.set_column(table.column_names.index(name), name, numbers)
    return table, writings


def _all_are(way: Writing, column: pa.ChunkedArray) -> bool:
    fits = pc.match_substring_regex(pc.utf8_trim_whitespace(column), f"^{way.pattern}$")
    return pc.all(fits, skip_nulls=True).as_py() is not False


def _tell_readings(
    label: str,
    path: Path,
    table: pa.Table,
    layout: _Layout,
    types: dict[str, pa.DataType],
    writings: dict[str, Writing],
    texts: frozenset[str],
    notes: Notes,
) -> None:
    commas = [name for name, way in writings.items() if way.decimal == ","]
    groups = [name for name, way in writings.items() if way.decimal == "."]
    zeros = [name for name, kind in types.items() if pa.types.is_string(kind) and name not in texts]
    for names, what, key in (
        (commas, "numbers are written with a decimal comma; read as such", "point"),
        (groups, "numbers are written with marks between thousands; read as such", "thousands"),
        (zeros, "whole numbers have zeros in front; read as text", "zeros"),
    ):
        if names:
            notes.add(f"{label}: {key}", f"{label}: {what} ({_some(names)}).")
    for name in table.column_names:
        if layout.all_quoted or layout.null_words >= NULL_WORDS or not pa.types.is_string(table[name].type):
            continue
        counts = pc.value_counts(table[name].slice(0, 1_000_000)).to_pylist()
        words = {c["values"]: c["counts"] for c in counts if c["values"] in NULL_WORDS and c["values"]}
        if words:
            shown = ", ".join(f"{count:,} times {word!r}" for word, count in words.items())
            notes.add(
                f"{label}: words {name}",
                f"{label}: {name!r} holds {shown}: read as categories, since nothing else in the file shows that they mean "
                f"missing. If they do:  --missing {','.join(sorted(words))}  (missing={sorted(words)} in Python).",
            )


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:5]))
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"


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
) -> tuple[_Layout, str]:
    """How the file is cut, and its head as it is cut: without comments, quotes doubled."""
    comments = False
    said = re.match(r'"?sep=(.)"?\r?\n', head, re.IGNORECASE)  # for Excel
    if said:
        delimiter = delimiter or said[1]
    elif head.startswith("#") and not _is_header(head):
        comments = True
    if delimiter is None:
        tab = any(suffix in (".tsv", ".tab") for suffix in path.suffixes)
        delimiter = _guess_delimiter(head) or ("\t" if tab else ",")
    elif len(delimiter) != 1:
        raise BadInput(f"A delimiter is one character, not {delimiter!r}.", "Usual ones: ',' ';' '\\t' '|'.")
    layout = _Layout(
        [], 0, delimiter, encoding, comments=comments, backslashes=_has_backslashes(head, delimiter)
    )
    if layout.is_cleaned:
        head = layout.clean(head.encode("utf-8", errors="surrogatepass")).decode("utf-8", errors="replace")
    skipped = 1 if said else 0
    lines = _lines(head)[skipped:]
    reader = csv.reader(lines, delimiter=delimiter)
    header: list[str] = []
    try:
        header = next((record for record in reader if any(cell.strip() for cell in record)), [])
    except csv.Error as cause:
        raise _unparsable(label, cause) from cause
    if any("\ufffd" in cell for cell in header) and encoding is None:
        refuse_bad_text(path, label)
    names, lines_told = unique_names([cell.strip() for cell in header])
    for line in lines_told:
        notes.add(f"{label}: {line}", f"{label}: {line}")
    layout.names, layout.header_lines = names, skipped + reader.line_num
    body = lines[reader.line_num :][:200]
    layout.all_quoted = bool(body) and all(_is_all_quoted(line, delimiter) for line in body if line.strip())
    first = lines[reader.line_num - 1] if reader.line_num else ""
    if not layout.all_quoted and _is_all_quoted(first, delimiter):
        # what is text is in quotes, so a bare word is none
        layout.null_words = _NOTHING | NULL_WORDS
    data = sum(_DATUM.fullmatch(cell.strip()) is not None for cell in header)
    if len(header) > 1 and 2 * data > len(header):
        shown = ", ".join(cell.strip() for cell in header[:5]) + (", ..." if len(header) > 5 else "")
        without = f"sql:SELECT * FROM read_csv('{path}', header=false)"  # noqa: S608 - shown, never run
        notes.add(
            f"{label}: header",
            f"{label}: its first record ({shown}) is taken as the header, and looks like data. If the file has none:  "
            f'"{without}"',
        )
    return layout, head


_DATUM = re.compile(
    r"[+-]?(\d+\.\d*|\.\d+|\d{5,}|\d{1,3})([eE][+-]?\d+)?|[+-]?\d+[eE][+-]?\d+|\d{4}-\d\d-\d\d.*|nan|-?inf",
    re.IGNORECASE,
)
"""A cell that is hardly a name; years are."""


def _is_header(head: str) -> bool:
    """Whether the last of the leading # lines names the columns of the lines below it."""
    lines = [line for line in head.splitlines()[:200] if line.strip()]
    count = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    below = lines[count : count + 20]
    if not below:
        return False
    delimiter = _guess_delimiter("\n".join(below)) or ","
    widths = {len(record) for record in csv.reader(below, delimiter=delimiter)}
    return (
        count == 1 and widths == {len(next(csv.reader([lines[0]], delimiter=delimiter)))} and min(widths) > 1
    )


def _is_all_quoted(line: str, delimiter: str) -> bool:
    field = r'"(?:[^"]|"")*"'
    return re.fullmatch(rf"{field}(?:{re.escape(delimiter)}{field})*\s*", line) is not None


def _has_backslashes(head: str, delimiter: str) -> bool:
    r"""Whether quotes in quoted fields are written ``\"``: read so, the records agree, and otherwise they do not."""
    if '\\"' not in head:
        return False
    plain = _agreement(head, delimiter=delimiter, strict=True)
    return (
        plain < 1
        and _agreement(head, delimiter=delimiter, strict=True, doublequote=False, escapechar="\\") > plain
    )


def _agreement(head: str, **dialect: Any) -> float:
    """The share of the first records that can be read and are as wide as the first."""
    widths = []
    try:
        for record in islice(csv.reader(io.StringIO(head[: 2**18], newline=""), **dialect), 2_000):
            widths.append(len(record))
    except csv.Error as cause:
        if "unexpected end" not in str(cause):
            return sum(width == widths[0] for width in widths) / 2_000 if widths else 0.0
    return sum(width == widths[0] for width in widths) / len(widths) if widths else 0.0


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
                whole = layout.clean(chunk[first + 1 : last + 1])
                parts.append(whole.decode("utf-8", errors="replace").encode())
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
            layout.open(path),
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
