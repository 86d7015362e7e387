"""Files that people hand to the dashboard: bounded, kept in a folder of their own, and gone afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.requests import Request

from watchkeeper.errors import BadInput

KINDS = (".csv", ".tsv", ".parquet", ".json", ".jsonl", ".ndjson", ".arrow", ".feather", ".wkb")
PACKED = (".gz", ".zst", ".bz2")


class Upload:
    """One file: where it lies now, and what its owner calls it."""

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name


@asynccontextmanager
async def received(
    request: Request, names: Sequence[str], *, most_bytes: int
) -> AsyncIterator[tuple[dict[str, Upload], dict[str, str]]]:
    """The files of a form by field, and its other fields. When the block ends, the files are gone.

    Raises
    ------
    BadInput
        a file is missing, of an unknown kind, or the whole is larger than *most_bytes*.
    """
    limited = Request(request.scope, _limited(request, most_bytes))
    with tempfile.TemporaryDirectory(prefix="watchkeeper-upload-") as folder:
        form = await limited.form(max_files=len(names), max_fields=20)
        try:
            files: dict[str, Upload] = {}
            for name in names:
                given: Any = form.get(name)
                if given is None or isinstance(given, str) or not given.filename:
                    raise BadInput(f"The file {name!r} is missing.", "Choose a file for each field.")
                files[name] = Upload(
                    Path(folder) / f"{name}{_suffix(given.filename)}", Path(given.filename).name[:200]
                )
                with files[name].path.open("wb") as sink:
                    while part := await given.read(1 << 20):
                        sink.write(part)
            fields = {k: v for k, v in form.items() if isinstance(v, str)}
            yield files, fields
        finally:
            await form.close()


def _suffix(name: str) -> str:
    """The ending by which a file is read; nothing else of its name is used."""
    parts = Path(name.lower()).suffixes
    for ending in (tuple(parts[-2:]), tuple(parts[-1:])):
        kind, *packed = ending or ("",)
        if kind in KINDS and all(p in PACKED for p in packed):
            return "".join(ending)
    raise BadInput(
        f"{name!r} is not a file of rows.", f"Known endings: {', '.join(KINDS)}; text may be packed (.gz)."
    )


def _limited(request: Request, most_bytes: int) -> Any:
    size = 0

    async def receive() -> Any:
        nonlocal size
        message = await request.receive()
        size += len(message.get("body", b""))
        if size > most_bytes:
            raise BadInput(
                f"These files are larger than {most_bytes >> 20} MB together, so they were not read.",
                "Raise max_request_mb in [server], or compare them on the command line: watchkeeper compare A B",
            )
        return message

    return receive
