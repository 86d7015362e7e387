"""Many rows at once, as Arrow. Only this file of the room needs pyarrow, and only when a batch is recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from watchkeeper.capture.batch_rows import packed
from watchkeeper.capture.events import Encoder, plain_features
from watchkeeper.capture.identity import IdSource
from watchkeeper.capture.limits import is_too_deep
from watchkeeper.capture.redaction import Redaction
from watchkeeper.domain.instant import HOW_TO_WRITE
from watchkeeper.errors import BadInput, MissingExtra, NotFound, nearest

if TYPE_CHECKING:
    import pyarrow as pa


_CHUNK_ROWS = 65_536
_CHUNK_BYTES = 4 << 20
_LABEL = "watchkeeper_label"
_ID = "watchkeeper_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchEncoding:
    """How a recorder encodes batches: its ids, its sampling and what it leaves out."""

    encoder: Encoder
    ids: IdSource
    redaction: Redaction
    redact: Callable[[dict[Any, Any]], dict[Any, Any]] | None
    keep: Callable[[str], bool] | None
    """Whether the row with this id is in the sample; None keeps all."""
    sample_rate: float
    is_unsure: Callable[[Any], bool] | None
    """Whether a row with this score is marked for labelling; None marks none."""


class Refused:
    """Rows that cannot be taken, with the reason of the first."""

    def __init__(self) -> None:
        self.rows: set[int] = set()
        self.first = ""

    def add(self, row: int, why: str) -> None:
        """Row number *row* (from 0) cannot be taken."""
        self.first = self.first or f"row {row + 1}: {why}"
        self.rows.add(row)


def encode_batches(
    how: BatchEncoding,
    what: str,
    frame: Any,
    named: Mapping[str, str | Mapping[str, str] | None],
    *,
    latency_s: float | None = None,
    error: str | None = None,
    tags: Mapping[str, Any] | None = None,
) -> tuple[list[str], list[tuple[bytes, int]], int, Refused]:
    """Return the ids of *frame*'s rows, its events with their number of rows, how many rows the sample left out, and
    which were refused: rows whose time or id cannot be used.

    Raises
    ------
    NotFound
        a named column is not there.
    BadInput
        the frame cannot become Arrow, or a role that is needed has no column.
    """
    table = table_of(frame, how.encoder.replace)
    roles = _roles(table.column_names, named)
    for needed in ("id", "actual") if what == "outcomes" else ():
        if needed not in roles:
            raise BadInput(
                f"The outcomes have no {needed!r} column.", f"Name it: outcomes(frame, {needed}=...)."
            )
    table, refused = _with_times(table, roles, how)
    table, ids, now_us = _with_ids(table, roles, refused, what, how)
    table = _redacted(table, how)
    roles = {role: column for role, column in roles.items() if column in table.column_names}
    kept, sampled_out = table, 0
    if how.keep is not None or refused.rows:
        import pyarrow as pa

        sampled = [how.keep is None or how.keep(id) for id in ids]
        sampled_out = sum(not keep and row not in refused.rows for row, keep in enumerate(sampled))
        kept = table.filter(
            pa.array([k and row not in refused.rows for row, k in enumerate(sampled)], pa.bool_())
        )
    label = None
    if what == "predictions" and how.is_unsure is not None:
        kept, label = _labelled(kept, roles, how.is_unsure)
    labels = None if tags is None else plain_features(tags)
    if labels is not None and how.redact is not None:
        labels = how.redact(labels)
    encoded = []
    for payload, count in _payloads(kept):
        event = (
            "b", what, now_us, count, roles, payload, latency_s, error, labels, how.sample_rate, label,
        )  # fmt: skip
        encoded.append((how.encoder.encode(event), count))
    return ids, encoded, sampled_out, refused


def table_of(frame: Any, replace: Callable[[Any], str] = repr) -> pa.Table:
    """Return *frame* as an Arrow table; a column of values that Arrow refuses becomes text by *replace*.

    >>> table_of({"age": [41, 36], "plan": ["basic", None]}).num_rows
    2
    """
    try:
        import pyarrow as pa
    except ImportError as cause:  # pragma: no cover - a bare copy of the capture room
        raise MissingExtra(adapter="recording of batches", library="pyarrow", extra="server") from cause
    if isinstance(frame, pa.Table):
        return frame
    if isinstance(frame, pa.RecordBatch):
        return pa.Table.from_batches([frame])
    if type(frame).__module__.startswith("pandas.") and hasattr(frame, "columns"):
        frame = {str(name): frame.iloc[:, i] for i, name in enumerate(frame.columns)}
    elif hasattr(frame, "__arrow_c_stream__"):
        return pa.table(frame)
    elif len(getattr(frame, "shape", ())) == 2:
        frame = {f"x{i}": frame[:, i] for i in range(frame.shape[1])}
    elif isinstance(frame, (list, tuple)):
        records = [plain_features(row) for row in frame]
        names = dict.fromkeys(str(name) for row in records for name in row)
        frame = {name: [row.get(name) for row in records] for name in names}
    if not isinstance(frame, Mapping):
        raise BadInput(
            f"A {type(frame).__name__} is no table.",
            "Give a data frame, an Arrow table, a dict of columns, a list of dicts or a matrix.",
        )
    return pa.table({str(name): _array(values, replace) for name, values in frame.items()})


def _array(values: Any, replace: Callable[[Any], str]) -> Any:
    import pyarrow as pa

    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return values
    if isinstance(values, list) and any(is_too_deep(v) for v in values):
        # Arrow takes minutes to find the type of what is nested some thousand levels deep.
        values = [replace(v) if is_too_deep(v) else v for v in values]
    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowException, OverflowError, ValueError, TypeError):
        items = values.tolist() if hasattr(values, "tolist") else list(values)
        return pa.array([v if v is None or isinstance(v, str) else replace(v) for v in items], pa.string())


def _roles(columns: Sequence[str], named: Mapping[str, str | Mapping[str, str] | None]) -> dict[str, str]:
    roles: dict[str, str] = {}
    for role, column in named.items():
        if column is None:
            if role in columns:
                roles[role] = role
        elif not column:
            continue
        elif isinstance(column, Mapping):
            roles |= {f"{role}:{name}": at for name, at in column.items()}
        else:
            roles[role] = column
    for role, column in roles.items():
        if column not in columns:
            raise NotFound(f"There is no column {column!r} for {role}.{nearest(column, columns)}")
    return roles


def _with_times(table: pa.Table, roles: Mapping[str, str], how: BatchEncoding) -> tuple[pa.Table, Refused]:
    """Bring the column of times, if there is one, to microseconds in UTC; refuse rows that it does not place."""
    import pyarrow as pa

    from watchkeeper.rows.row_keys import instants_of

    refused = Refused()
    if "at" not in roles:
        return table, refused
    position = table.column_names.index(roles["at"])
    found = instants_of(table.column(position), how.ids.now_us())
    for row in (~found.good).nonzero()[0].tolist():
        refused.add(row, f"{found.why(row)}; {HOW_TO_WRITE}" if not refused.rows else "")
    us = pa.Array.from_buffers(pa.int64(), len(found.us), [None, pa.py_buffer(found.us)])
    return table.set_column(position, roles["at"], us.cast(pa.timestamp("us", "UTC"))), refused


def _with_ids(
    table: pa.Table, roles: dict[str, str], refused: Refused, what: str, how: BatchEncoding
) -> tuple[pa.Table, list[str], int]:
    """Give every row an id; one that is made here holds the row's time, where it has one."""
    import pyarrow as pa

    from watchkeeper.rows.row_keys import ids_of

    rows = table.num_rows
    made, now_us = how.ids.take(max(rows, 1))
    if "at" in roles:
        made = [how.ids.at(at) for at in table.column(roles["at"]).cast(pa.int64()).to_pylist()]
    if "id" not in roles:
        ids = made[:rows]
        roles["id"] = _ID
        return table.append_column(_ID, pa.array(ids, pa.string())), ids, now_us
    position = table.column_names.index(roles["id"])
    found = ids_of(table.column(position))
    for row, why in found.refused.items():
        refused.add(row, why)
    ids = []
    for row, (id, new) in enumerate(zip(found.texts.to_pylist(), made, strict=False)):
        if id is None and what == "outcomes":
            refused.add(row, "it has no id")
        ids.append(new if id is None else id)
    return table.set_column(position, roles["id"], pa.array(ids, pa.string())), ids, now_us


def _redacted(table: pa.Table, how: BatchEncoding) -> pa.Table:
    import pyarrow as pa

    redaction = how.redaction
    table = table.drop_columns([name for name in table.column_names if name in redaction.drop])
    for position, name in enumerate(table.column_names):
        if name in redaction.hash_columns:
            packed = table.column(position).combine_chunks()
            if not pa.types.is_dictionary(packed.type) and not pa.types.is_nested(packed.type):
                packed = packed.dictionary_encode()
                hashes = pa.array([redaction.hash(v) for v in packed.dictionary.to_pylist()], pa.string())
                hashed = hashes.take(packed.indices)
            else:
                hashed = pa.array([redaction.hash(v) for v in packed.to_pylist()], pa.string())
            table = table.set_column(position, name, hashed)
    return table


def _labelled(
    table: pa.Table, roles: Mapping[str, str], is_unsure: Callable[[Any], bool]
) -> tuple[pa.Table, str | None]:
    import pyarrow as pa

    classes = [column for role, column in roles.items() if role.startswith("score:")]
    if classes:
        scores: list[Any] = [list(row.values()) for row in table.select(classes).to_pylist()]
    elif "score" in roles:
        scores = table.column(roles["score"]).to_pylist()
    else:
        return table, None
    return table.append_column(_LABEL, pa.array([is_unsure(score) for score in scores])), _LABEL


def _payloads(table: pa.Table) -> list[tuple[bytes, int]]:
    """Cut *table* into IPC streams that are small enough for one row of the journal."""

    if not table.num_rows:
        return []
    row_bytes = max(1, table.nbytes // table.num_rows)
    step = max(1, min(_CHUNK_ROWS, _CHUNK_BYTES // row_bytes))
    return [
        (packed(table.slice(start, step)), min(step, table.num_rows - start))
        for start in range(0, table.num_rows, step)
    ]
