"""Arrow IPC: files (.arrow, Feather) and streams (.arrows)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from watchkeeper.errors import UnreadableSource
from watchkeeper.rows.parts import Notes, StreamPart, unique_names

_FILE_MAGIC = b"ARROW1"
_FEATHER_1_MAGIC = b"FEA1"


def open_ipc(path: Path, label: str, notes: Notes) -> StreamPart:
    """Open an Arrow file or stream; which of the two it is, its first bytes say.

    Raises
    ------
    UnreadableSource
        it is neither, or is cut off.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(6)
        if magic.startswith(_FEATHER_1_MAGIC):
            raise UnreadableSource(
                f"{label} is in the old Feather format (version 1).",
                "Write it again as Feather 2 or Parquet.",
            )
        is_file = magic == _FILE_MAGIC
        with pa.OSFile(str(path)) as handle:
            schema = (pa.ipc.open_file if is_file else pa.ipc.open_stream)(handle).schema
    except (pa.ArrowException, OSError) as cause:
        raise _broken(label, cause) from cause
    names, lines = unique_names(schema.names)
    for line in lines:
        notes.add(f"{label}: {line}", f"{label}: {line}")

    def batches(positions: list[int], batch_rows: int) -> Iterator[pa.RecordBatch]:
        # no memory map: mapped pages count as resident, and the file may be larger than memory
        with pa.OSFile(str(path)) as handle:
            if is_file:
                options = pa.ipc.IpcReadOptions(included_fields=positions)
                with pa.ipc.open_file(handle, options=options) as reader:
                    order = _order(positions)
                    for at in range(reader.num_record_batches):
                        yield reader.get_batch(at).select(order)
            else:
                with pa.ipc.open_stream(handle) as stream:
                    for batch in stream:
                        yield batch.select(positions)

    return StreamPart(
        label=label,
        schema=pa.schema([f.with_name(n).remove_metadata() for f, n in zip(schema, names, strict=True)]),
        rows=None,
        open=batches,
        guard=lambda cause: _broken(label, cause) if isinstance(cause, pa.ArrowException | OSError) else None,
    )


def _order(positions: list[int]) -> list[int]:
    """Where each wanted column stands among the ones read, which keep the order of the file."""
    read = sorted(positions)
    return [read.index(position) for position in positions]


def _broken(label: str, cause: Exception) -> UnreadableSource:
    return UnreadableSource(
        f"{label} cannot be read as Arrow IPC: {cause}",
        "It may be cut off or still being written: write it again.",
    )
