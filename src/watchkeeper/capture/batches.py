"""Many rows at once, as Arrow. Only this file of the room needs pyarrow, and only when a batch is recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from watchkeeper.capture.batch_rows import packed
from watchkeeper.capture.events import Encoder, micros, plain_features
from watchkeeper.capture.identity import IdSource
from watchkeeper.capture.redaction import Redaction
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


def encode_batches(
    how: BatchEncoding,
    what: str,
    frame: Any,
    named: Mapping[str, str | Mapping[str, str] | None],
    *,
    latency_s: float | None = None,
    error: str | None = None,
    tags: Mapping[str, Any] | None = None,
) -> tuple[list[str], list[tuple[bytes, int]], int]:
    """Return the ids of *frame*'s rows, its events with their number of rows, and how many rows were left out.

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
    table, times = _with_times(table, roles)
    table, ids, now_us = _with_ids(table, roles, times, how)
    table = _redacted(table, how)
    roles = {role: column for role, column in roles.items() if column in table.column_names}
    rows, kept = table.num_rows, table
    if how.keep is not None:
        import pyarrow as pa

        kept = table.filter(pa.array([how.keep(id) for id in ids], pa.bool_()))
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
    return ids, encoded, rows - kept.num_rows


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


def _with_times(table: pa.Table, roles: Mapping[str, str]) -> tuple[pa.Table, list[int] | None]:
    """Bring the column of times, if there is one, to microseconds in UTC; no time means now."""
    import pyarrow as pa

    if "at" not in roles:
        return table, None
    position = table.column_names.index(roles["at"])
    column = table.column(position)
    instant = pa.timestamp("us", "UTC")
    if pa.types.is_timestamp(column.type):
        naive = column.type.tz is None
        column = column.cast(pa.timestamp("us", None if naive else "UTC"), safe=False).cast(instant)
    else:
        column = pa.chunked_array(
            [pa.array([None if at is None else micros(at) for at in column.to_pylist()], pa.int64())]
        ).cast(instant)
    times = column.cast(pa.int64()).to_pylist()
    return table.set_column(position, roles["at"], column), times


def _with_ids(
    table: pa.Table, roles: dict[str, str], times: list[int] | None, how: BatchEncoding
) -> tuple[pa.Table, list[str], int]:
    """Give every row an id; one that is made here holds the row's time, where it has one."""
    import pyarrow as pa

    source, rows = how.ids, table.num_rows
    made, now_us = source.take(max(rows, 1))
    if times is not None:
        made = [new if at is None else source.at(at) for new, at in zip(made, times, strict=False)]
    if times is not None and None in times:
        position = table.column_names.index(roles["at"])
        filled = table.column(position).fill_null(pa.scalar(now_us, pa.timestamp("us", "UTC")))
        table = table.set_column(position, roles["at"], filled)
    if "id" not in roles:
        ids = made[:rows]
        roles["id"] = _ID
        return table.append_column(_ID, pa.array(ids, pa.string())), ids, now_us
    position = table.column_names.index(roles["id"])
    given = table.column(position)
    if pa.types.is_string(given.type) or pa.types.is_large_string(given.type):
        texts = given.to_pylist()
    else:
        texts = [None if id is None else str(id) for id in given.to_pylist()]
    ids = [new if id is None else id for id, new in zip(texts, made, strict=False)]
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
