"""The rows of a recorded batch: an Arrow IPC stream in the journal."""

from __future__ import annotations

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
    """Return the rows of a recorded batch."""
    import pyarrow as pa

    with pa.ipc.open_stream(batch.payload) as stream:
        return stream.read_all()


def without_ids(batch: Batch, ids: frozenset[str]) -> Batch | None:
    """Return *batch* without the rows of *ids*; None when no row is left."""
    import pyarrow as pa

    table = table_in(batch)
    keep = [id not in ids for id in table.column(batch.roles["id"]).to_pylist()]
    if all(keep):
        return batch
    kept = table.filter(pa.array(keep))
    if not kept.num_rows:
        return None
    return msgspec.structs.replace(batch, rows=kept.num_rows, payload=packed(kept))
