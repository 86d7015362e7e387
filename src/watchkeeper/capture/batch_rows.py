"""The rows of a recorded batch: an Arrow IPC stream in the journal."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from watchkeeper.capture.events import Batch

if TYPE_CHECKING:
    import pyarrow as pa


def packed(table: pa.Table) -> bytes:
    """Return *table* as the payload of a batch."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def table_in(batch: Batch) -> pa.Table:
    """Return the rows of a recorded batch. See `checked_table`."""
    return checked_table(batch.payload)


def checked_table(payload: bytes) -> pa.Table:
    """Return the rows of an Arrow IPC stream, checked so that no use of them can leave their memory.

    A body whose offsets run backwards or beyond its data ends the process at the first look at a value.

    Raises
    ------
    ValueError
        it is no such stream, or what it says of itself is not so (`pyarrow.ArrowInvalid` is a ValueError).
    """
    import pyarrow as pa

    try:
        with pa.ipc.open_stream(payload) as stream:
            table = stream.read_all()
        for name in table.column_names:
            name.encode()
        table.validate(full=True)
    except (pa.ArrowException, OSError, UnicodeError) as fault:
        raise ValueError(f"it is no sound Arrow stream: {(str(fault).splitlines() or [''])[0]}") from fault
    return table


def without_ids(batch: Batch, ids: frozenset[str]) -> Batch | None:
    """Return *batch* without the rows of *ids*; None when no row is left."""
    return _of_rows(batch, lambda id: id not in ids)


def with_ids(batch: Batch, ids: frozenset[str]) -> Batch | None:
    """Return *batch* with only the rows of *ids*; None when there is none."""
    return _of_rows(batch, lambda id: id in ids)


def _of_rows(batch: Batch, wanted: Callable[[str], bool]) -> Batch | None:
    import pyarrow as pa

    table = table_in(batch)
    keep = [wanted(str(id)) for id in table.column(batch.roles["id"]).to_pylist()]
    if all(keep):
        return batch
    kept = table.filter(pa.array(keep))
    if not kept.num_rows:
        return None
    return msgspec.structs.replace(batch, rows=kept.num_rows, payload=packed(kept))
