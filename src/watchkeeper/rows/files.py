"""Paths become parts: which files a path, glob or folder means, and what each of them is.

Folders are read recursively; hidden files, ``_SUCCESS`` and their like are left out, and folder names such as
``day=2013-01-01`` are columns (Hive partitions).
"""

from __future__ import annotations

import glob
import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

from watchkeeper.errors import BadInput, UnreadableSource, nearest
from watchkeeper.rows.parts import Notes, Part

KNOWN_ENDINGS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".parq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".txt": "csv",
    ".data": "csv",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}
_COMPRESSIONS = (".gz", ".bz2", ".zst", ".lz4")
_ACCEPTED = "Parquet, CSV, TSV, JSON lines (each of these also .gz, .zst), Arrow IPC, or a Delta table"
_NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
_KEEP_BYTES = 64 * 2**20
_COMPRESSION_RATIO = 6


@dataclass(frozen=True, slots=True)
class FileSet:
    """The files that a path means, sorted, and the folder (if any) that partitions are named below."""

    kind: str
    """``file``, ``folder``, ``glob`` or ``list``."""
    files: tuple[Path, ...]
    root: Path | None = None
    passed_over: tuple[Path, ...] = field(default=())

    def describe(self) -> dict[str, Any]:
        """Sizes, times and a fingerprint of names and sizes (not of contents)."""
        digest = hashlib.sha256()
        size, newest = 0, 0.0
        for path in self.files:
            try:
                found = path.stat()
            except OSError:
                continue
            size += found.st_size
            newest = max(newest, found.st_mtime)
            shown = path.relative_to(self.root) if self.root else path.name
            digest.update(f"{shown}\0{found.st_size}\n".encode("utf-8", errors="surrogateescape"))
        return {
            "files": len(self.files),
            "size_bytes": size,
            "modified_at": datetime.fromtimestamp(newest, UTC).isoformat() if newest else None,
            "fingerprint": f"sha256:{digest.hexdigest()}",
        }


def files_of(source: str | Path | Sequence[str | Path]) -> FileSet:
    """Find the files behind a path, a glob, a folder, or a list of those.

    Raises
    ------
    UnreadableSource
        there is none; the nearest name in the same folder is suggested.
    """
    if not isinstance(source, str | Path):
        sets = [files_of(one) for one in source]
        return FileSet("list", tuple(dict.fromkeys(path for one in sets for path in one.files)))
    path = Path(source).expanduser()
    if path.is_dir():
        return _folder(path)
    if path.exists():
        return FileSet("file", (path,))
    if glob.has_magic(str(path)):
        found = sorted(Path(p) for p in glob.glob(str(path), recursive=True))
        files = tuple(p for p in found if p.is_file() and not _is_hidden(p.name))
        if not files:
            raise UnreadableSource(
                f"No file matches {str(source)!r}.", "Check the pattern; ** goes into folders below."
            )
        return FileSet("glob", files)
    raise _no_such_file(path)


def _folder(path: Path) -> FileSet:
    files: list[Path] = []
    others: list[Path] = []
    for found in sorted(path.rglob("*")):
        below = found.relative_to(path)
        if any(_is_hidden(part) for part in below.parts) or not found.is_file():
            continue
        (files if kind_by_name(found) else others).append(found)
    if not files:
        shown = ", ".join(p.name for p in others[:5]) or "no files at all"
        raise UnreadableSource(
            f"The folder {str(path)!r} holds nothing that can be read ({shown}).", f"Readable: {_ACCEPTED}."
        )
    kinds = Counter(kind_by_name(p) for p in files)
    if len(kinds) > 1:
        shown = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        raise BadInput(
            f"The folder {str(path)!r} holds files of several kinds ({shown}), perhaps the same rows twice.",
            f"Say which with a pattern: '{path}/**/*{files[0].suffix}'",
        )
    return FileSet("folder", tuple(files), path, tuple(others))


def _is_hidden(name: str) -> bool:
    """What engines write beside the data: hidden files, ``_SUCCESS``, ``_metadata``; partitions may start so."""
    return name.startswith((".", "_")) and "=" not in name


def _no_such_file(path: Path) -> UnreadableSource:
    folder = path.parent
    if not folder.is_dir():
        return UnreadableSource(f"There is no folder {str(folder)!r}.", "Check the path, and where you are.")
    near = nearest(path.name, [p.name for p in folder.iterdir()])
    return UnreadableSource(f"There is no file {str(path)!r}.{near}", f"Looked in {str(folder.resolve())!r}.")


def kind_by_name(path: Path) -> str | None:
    """The kind of a file by its ending; None where the ending says nothing.

    >>> kind_by_name(Path("day.csv.gz")), kind_by_name(Path("README.md"))
    ('csv', None)
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _COMPRESSIONS:
        suffixes.pop()
    return KNOWN_ENDINGS.get(suffixes[-1]) if suffixes else None


def _kind_of(path: Path, label: str) -> str:
    """The kind of a file by its first bytes, then by its ending."""
    try:
        with path.open("rb") as file:
            magic = file.read(8)
    except OSError as cause:
        raise UnreadableSource(
            f"{label} cannot be opened: {cause.strerror}", "Check its permissions."
        ) from cause
    if not magic:
        raise UnreadableSource(
            f"{label} is empty (0 bytes).", "Write it again; a table without rows still has a header."
        )
    if magic.startswith(b"PAR1"):
        return "parquet"
    if magic.startswith((b"ARROW1", b"FEA1")):
        return "arrow"
    kind = kind_by_name(path)
    if kind is not None:
        return kind
    if magic.startswith(b"PK\x03\x04"):
        raise UnreadableSource(
            f"{label} is a ZIP archive or a spreadsheet.", "Unpack it, or save it as CSV or Parquet."
        )
    if magic.startswith(b"SQLite"):
        raise UnreadableSource(f"{label} is an SQLite database.", "Export the table to Parquet or CSV.")
    if magic.lstrip()[:1] == b"{":
        return "json"
    if path.suffix:
        raise UnreadableSource(
            f"{label} has an ending that is not known: {path.suffix!r}."
            f"{nearest(path.suffix.lower(), KNOWN_ENDINGS)}",
            f"Readable: {_ACCEPTED}.",
        )
    return "csv"


def open_file(
    path: Path,
    label: str,
    notes: Notes,
    *,
    total_bytes: int,
    encoding: str | None,
    delimiter: str | None,
    texts: frozenset[str],
    missing: Sequence[str] | None = None,
) -> Part:
    """Open one file as what it is.

    Raises
    ------
    UnreadableSource
        it cannot be read.
    """
    kind = _kind_of(path, label)
    if kind == "parquet":
        from watchkeeper.rows.parquet import open_parquet

        return open_parquet(path, label, notes)
    if kind == "arrow":
        from watchkeeper.rows.ipc import open_ipc

        return open_ipc(path, label, notes)
    inflation = _COMPRESSION_RATIO if path.suffix.lower() in _COMPRESSIONS else 1
    keep = total_bytes * inflation <= _KEEP_BYTES
    if kind == "json":
        from watchkeeper.rows.json_lines import open_json_lines

        return open_json_lines(path, label, notes, encoding=encoding, keep=keep)
    from watchkeeper.rows.delimited import open_delimited

    return open_delimited(
        path, label, notes, encoding=encoding, delimiter=delimiter, texts=texts, missing=missing, keep=keep
    )


# --- Hive partitions ---------------------------------------------------------------------------------------


def partitions_of(files: FileSet) -> tuple[dict[str, pa.DataType], list[dict[str, pa.Scalar]]]:
    """Columns that folder names such as ``day=2013-01-01`` stand for: their types, and each file's values.

    All integers become int64, all ISO dates date32, anything else strings.
    """
    texts: list[dict[str, str | None]] = []
    for path in files.files:
        below = path.relative_to(files.root) if files.root else path
        found: dict[str, str | None] = {}
        for part in below.parts[:-1]:
            key, equals, value = part.partition("=")
            if equals and key:
                found[unquote(key)] = None if value in ("", _NULL_PARTITION) else unquote(value)
        texts.append(found)
    names = list(dict.fromkeys(name for found in texts for name in found))
    types = {name: _partition_type([f[name] for f in texts if f.get(name) is not None]) for name in names}
    values = [
        {name: pa.scalar(_partition_value(f.get(name), kind), kind) for name, kind in types.items()}
        for f in texts
    ]
    return types, values


def _partition_type(words: Sequence[str | None]) -> pa.DataType:
    present = [word for word in words if word is not None]
    if present and all(re.fullmatch(r"-?(0|[1-9]\d{0,17})", word) for word in present):
        return pa.int64()
    if present and all(re.fullmatch(r"\d{4}-\d\d-\d\d", word) for word in present):
        try:
            for word in present:
                date.fromisoformat(word)
        except ValueError:
            return pa.string()
        return pa.date32()
    return pa.string()


def _partition_value(word: str | None, kind: pa.DataType) -> Any:
    if word is None:
        return None
    if pa.types.is_int64(kind):
        return int(word)
    return date.fromisoformat(word) if pa.types.is_date32(kind) else word
