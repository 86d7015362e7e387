"""JSON lines (one object a line), and a JSON array of objects, plain or compressed.

Arrow's reader is fast but gives up at the first line that is broken or of another type. From there on each line
is decoded by itself: a broken one is passed over and counted, a column of mixed types becomes text.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.json as pa_json

from watchkeeper.errors import UnreadableSource
from watchkeeper.rows.delimited import open_text, refuse_bad_text, text_head
from watchkeeper.rows.frames import column_of, open_rows
from watchkeeper.rows.parts import Notes, Part, cut

_BLOCK_BYTES = 8 * 2**20
_EXAMPLES = 5
_GATHER_ROWS = 65_536
_STRICT = msgspec.json.Decoder().decode
_BEYOND_INT64 = re.compile(r"[:\[,]\s*(9[2-9]\d{17}|[1-9]\d{19,})\s*[,}\]\n]")
_NOT_FINITE = re.compile(rb"[:\[,\s](NaN|-?Infinity)\b")


@dataclass(slots=True)
class JsonLinesPart:
    """One JSON-lines file."""

    label: str
    path: Path
    schema: pa.Schema
    rows: int | None
    encoding: str | None
    table: pa.Table | None = None

    def batches(self, names: Sequence[str], batch_rows: int, notes: Notes) -> Iterator[pa.RecordBatch]:
        """Yield the named fields; a field that an object lacks is null."""
        if not names:
            return
        if self.table is not None:
            for batch in self.table.select(list(names)).to_batches(max_chunksize=batch_rows):
                yield from cut(batch, batch_rows)
            return
        done = 0
        try:
            with pa_json.open_json(
                _utf8(self.path, self.encoding),
                read_options=pa_json.ReadOptions(block_size=_BLOCK_BYTES),
                parse_options=pa_json.ParseOptions(
                    explicit_schema=self.schema, unexpected_field_behavior="error"
                ),
            ) as reader:
                for batch in reader:
                    batch = batch.select(list(names))
                    batch.validate(full=True)  # the reader takes any bytes for text
                    for piece in cut(batch, batch_rows):
                        done += piece.num_rows
                        yield piece
        except (pa.ArrowInvalid, UnicodeError):
            if self.encoding is None:
                refuse_bad_text(self.path, self.label)
            yield from self._line_by_line(names, batch_rows, notes, skip=done)

    def _line_by_line(
        self, names: Sequence[str], batch_rows: int, notes: Notes, skip: int
    ) -> Iterator[pa.RecordBatch]:
        lines = _Lines(self.path, self.label, self.encoding, known=frozenset(self.schema.names))
        objects = islice(lines, skip, None)
        while rows := list(islice(objects, min(batch_rows, _GATHER_ROWS))):
            arrays = [column_of([row.get(name) for row in rows], name, notes) for name in names]
            yield pa.RecordBatch.from_arrays(arrays, names=list(names))
        lines.tell(notes)


class _Lines:
    """The objects of a file, one at a time; remembers what it passed over."""

    def __init__(self, path: Path, label: str, encoding: str | None, known: frozenset[str] | None) -> None:
        self.path, self.label, self.encoding, self.known = path, label, encoding, known
        self.broken = 0
        self.examples: list[str] = []
        self.late: set[str] = set()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        with _utf8(self.path, self.encoding) as stream:
            number, rest = 0, b""
            chunk = stream.read(_BLOCK_BYTES).removeprefix(codecs.BOM_UTF8)
            while True:
                whole, _, rest = (rest + chunk).rpartition(b"\n") if chunk else (rest, b"", b"")
                for line in whole.split(b"\n") if whole else ():
                    number += 1
                    if not line.strip():
                        continue
                    try:
                        found = _decoded(line)
                        if not isinstance(found, dict):
                            raise ValueError(f"it is a {type(found).__name__}, not an object")
                    except ValueError as cause:
                        self.broken += 1
                        if len(self.examples) < _EXAMPLES:
                            self.examples.append(f"line {number:,}: {cause}")
                        continue
                    if self.known is not None:
                        self.late.update(found.keys() - self.known)
                    yield found
                if not chunk:
                    return
                chunk = stream.read(_BLOCK_BYTES)

    def tell(self, notes: Notes) -> None:
        if self.broken:
            what = "1 line is" if self.broken == 1 else f"{self.broken:,} lines are"
            shown = "; ".join(self.examples)
            notes.add(
                f"{self.label}: broken", f"{self.label}: {what} no JSON object and passed over ({shown})."
            )
        for name in sorted(self.late):
            notes.add(
                f"{self.label}: late {name}",
                f"{self.label}: the field {name!r} appears in none of the sampled lines; it is not read.",
            )


def open_json_lines(
    path: Path, label: str, notes: Notes, *, encoding: str | None = None, keep: bool = True
) -> Part:
    """Find the fields of the file and their types.

    Parameters
    ----------
    keep : read the whole file now and keep it in memory; for small ones.

    Raises
    ------
    UnreadableSource
        it is empty, not in its encoding, or no line is a JSON object.
    """
    head, encoding = text_head(path, label, encoding, notes)
    if head.lstrip()[:1] == "[":
        return _open_array(path, label, encoding, notes)
    if not keep:
        schema = _sampled_schema(path, label, head, notes)
        if schema is not None:
            return JsonLinesPart(label, path, schema, None, encoding)
    try:
        if _BEYOND_INT64.search(head):
            raise pa.ArrowInvalid("Arrow would round these integers")
        table = pa_json.read_json(
            _utf8(path, encoding), read_options=pa_json.ReadOptions(block_size=_BLOCK_BYTES)
        )
        table.validate(full=True)  # the reader takes any bytes for text
    except (pa.ArrowInvalid, UnicodeError):
        if encoding is None:
            refuse_bad_text(path, label)
        lines = _Lines(path, label, encoding, known=None)
        rows = list(lines)
        if not rows:
            raise UnreadableSource(
                f"{label} holds no JSON object ({'; '.join(lines.examples)}).",
                'Write one object a line: {"age": 31, "city": "Oslo"}',
            ) from None
        lines.tell(notes)
        names = dict.fromkeys(name for row in rows for name in row)
        table = pa.table({name: column_of([row.get(name) for row in rows], name, notes) for name in names})
    return JsonLinesPart(label, path, table.schema, table.num_rows, encoding, table)


def _sampled_schema(path: Path, label: str, head: str, notes: Notes) -> pa.Schema | None:
    """The fields and types of the first lines; None where they do not agree among themselves."""
    body = head[: head.rfind("\n") + 1].encode("utf-8", errors="replace")
    try:
        if _BEYOND_INT64.search(head):
            raise pa.ArrowInvalid("Arrow would round these integers")
        table = pa_json.read_json(
            pa.BufferReader(body), read_options=pa_json.ReadOptions(block_size=_BLOCK_BYTES)
        )
    except pa.ArrowInvalid:
        rows = []
        for line in body.split(b"\n"):
            try:
                rows.append(_decoded(line))
            except ValueError:
                continue
        rows = [row for row in rows if isinstance(row, dict)]
        if not rows:
            return None
        return open_rows(rows, label, notes).schema
    return pa.schema([f.with_type(pa.string()) if pa.types.is_null(f.type) else f for f in table.schema])


def _open_array(path: Path, label: str, encoding: str | None, notes: Notes) -> Part:
    with _utf8(path, encoding) as stream:
        raw = stream.read()
    try:
        rows = msgspec.convert(_decoded(raw.removeprefix(codecs.BOM_UTF8)), list[dict[str, Any]])
    except (ValueError, UnicodeError) as cause:
        if encoding is None:
            refuse_bad_text(path, label)
        raise UnreadableSource(
            f"{label} is not a JSON array of objects: {cause}",
            "Write an array of objects, or better one object a line (.jsonl).",
        ) from cause
    return open_rows(rows, label, notes)


def _decoded(text: bytes) -> Any:
    """Decode JSON, also with the bare NaN and Infinity that Python's ``json`` and JavaScript-like writers put in.

    Raises
    ------
    ValueError
        it is no JSON either way; of the strict decoder, which names the place.
    """
    try:
        return _STRICT(text)
    except RecursionError as cause:
        raise ValueError("it is nested too deeply") from cause
    except ValueError as strict:
        if _NOT_FINITE.search(text) is None:
            raise
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise strict from None


def _utf8(path: Path, encoding: str | None) -> Any:
    stream = open_text(path)
    return stream if encoding is None else pa.transcoding_input_stream(stream, encoding, "utf-8")
