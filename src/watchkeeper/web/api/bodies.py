"""Request bodies as encoded events: JSON, NDJSON and Arrow, good rows kept and bad ones told by line.

Rows go from the body's bytes to the journal's bytes with one decoding and one encoding, both in C; nothing in
between is built for a row but the row itself.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from watchkeeper.capture.batch_rows import checked_table
from watchkeeper.capture.events import Encoder
from watchkeeper.capture.identity import IdSource, millisecond_of
from watchkeeper.capture.limits import MOST_DEPTH, is_too_deep, too_much, too_wide
from watchkeeper.domain.instant import EARLIEST_US, LEAST_NUMBER
from watchkeeper.domain.row_id import id_text
from watchkeeper.errors import BadInput

ARROW = "application/vnd.apache.arrow.stream"
AHEAD_S = 3600
"""A prediction may be this far ahead of our clock (clocks differ); further, its time is a mistake."""
MOST_TOLD = 1000
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
_CHUNK_ROWS = 65_536
_DIGITS = 15


class PredictionRow(msgspec.Struct):
    """One prediction. ``at``: ISO 8601 (UTC where it has no offset) or seconds since 1970."""

    features: dict[str, Any] | None = None
    prediction: Any = None
    score: Any = None
    id: str | int | float | None = None
    at: dt.datetime | float | None = None
    latency_s: float | None = None
    error: str | None = None
    tags: dict[str, Any] | None = None
    model: str | None = None
    version: str | int | None = None


class OutcomeRow(msgspec.Struct):
    """What really happened to the prediction ``id``."""

    id: str | int | float
    actual: Any
    at: dt.datetime | float | None = None
    model: str | None = None


class Predictions(msgspec.Struct):
    """A JSON body with many predictions of one version."""

    predictions: list[msgspec.Raw]
    model: str | None = None
    version: str | int | None = None


class Outcomes(msgspec.Struct):
    """A JSON body with many outcomes."""

    outcomes: list[msgspec.Raw]
    model: str | None = None


class Parcels:
    """What a body came to: events by (model, version), the ids made here, and the rows that were refused."""

    __slots__ = ("accepted", "events", "made", "refused", "refused_count")

    def __init__(self) -> None:
        self.events: dict[tuple[str, str], list[tuple[bytes, int]]] = {}
        self.accepted = 0
        self.made: list[str] = []
        self.refused: list[dict[str, Any]] = []
        self.refused_count = 0

    def refuse(self, line: int, why: str) -> None:
        """Row number *line* (from 1) cannot be taken."""
        self.refused_count += 1
        if len(self.refused) < MOST_TOLD:
            self.refused.append({"line": line, "error": why})


_ROWS = {"predictions": PredictionRow, "outcomes": OutcomeRow}
_WRAPPED = {"predictions": Predictions, "outcomes": Outcomes}
_LINES = {what: msgspec.json.Decoder(kind) for what, kind in _ROWS.items()}
_LISTS = {what: msgspec.json.Decoder(list[kind]) for what, kind in _ROWS.items()}  # type: ignore[valid-type]
_RAW = msgspec.json.Decoder(list[msgspec.Raw])


def json_events(
    what: str,
    body: bytes,
    *,
    lines: bool,
    model: str | None,
    version: str | None,
    ids: IdSource,
    key: str | None = None,
    now_us: int | None = None,
    refusal: Callable[[str], str | None] = lambda model: None,
) -> Parcels:
    """Read a JSON (or, with *lines*, NDJSON) body of ``predictions`` or ``outcomes``.

    *refusal* says why rows of a model cannot be taken, which refuses these lines and no others. *key* names the request: a row without an id gets one made of it, so that a repeat counts once.

    Raises
    ------
    BadInput
        the body as a whole cannot be read.
    """
    out = Parcels()
    rows: Sequence[Any]
    numbers: Sequence[int] | None = None
    if lines:
        rows, numbers = _of_lines(what, body, out)
    else:
        rows, numbers, model, version = _of_document(what, body, out, model, version)
    now = now_us or time.time_ns() // 1000
    take = _take_outcome if what == "outcomes" else _take_prediction
    encode = Encoder().encode
    places: dict[tuple[str | None, Any], list[tuple[bytes, int]]] = {}
    for place, row in enumerate(rows):
        line = numbers[place] if numbers is not None else place + 1
        try:
            event = take(row, line, ids, key, now, encode, out)
        except ValueError as problem:
            out.refuse(line, str(problem))
            continue
        name = (row.model or model, getattr(row, "version", None) or version)
        if name not in places:
            whose, which = name
            if not whose:
                out.refuse(line, 'which model? Give ?model=NAME, or "model" in the row')
                continue
            if lines and (why := refusal(whose)) is not None:
                out.refuse(line, why)
                continue
            if what == "predictions" and which is None:
                out.refuse(line, 'which version? Give ?version=NAME, or "version" in the row')
                continue
            places[name] = out.events.setdefault((whose, "" if which is None else str(which)), [])
        places[name].append((event, 1))
        out.accepted += 1
    return out


def _of_lines(what: str, body: bytes, out: Parcels) -> tuple[list[Any], list[int] | None]:
    try:
        return _LINES[what].decode_lines(body), None if b"\n\n" not in body else _numbers(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    rows, numbers = [], []
    for number, line in enumerate(body.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            rows.append(_LINES[what].decode(line))
            numbers.append(number)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
            out.refuse(number, str(problem))
    return rows, numbers


def _numbers(body: bytes) -> list[int]:
    return [number for number, line in enumerate(body.split(b"\n"), 1) if line.strip()]


def _of_document(
    what: str, body: bytes, out: Parcels, model: str | None, version: str | None
) -> tuple[list[Any], list[int] | None, str | None, str | None]:
    start = body.lstrip()[:1]
    try:
        if start == b"[":
            try:
                return _LISTS[what].decode(body), None, model, version
            except msgspec.ValidationError:
                raws = _RAW.decode(body)
        else:
            try:
                wrapped = msgspec.json.decode(body, type=_WRAPPED[what])
            except msgspec.ValidationError:
                return [_LINES[what].decode(body)], None, model, version
            raws = getattr(wrapped, what)
            model = model or wrapped.model
            if what == "predictions" and version is None and wrapped.version is not None:
                version = str(wrapped.version)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise BadInput(
            f"The body is no list of {what}: {problem}.",
            f'Send {{"{what}": [...]}}, a list, one row, NDJSON (application/x-ndjson) or Arrow ({ARROW}).',
        ) from problem
    rows, numbers = [], []
    for number, raw in enumerate(raws, 1):
        try:
            rows.append(_LINES[what].decode(raw))
            numbers.append(number)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
            out.refuse(number, str(problem))
    return rows, numbers, model, version


def _take_prediction(
    row: PredictionRow,
    line: int,
    ids: IdSource,
    key: str | None,
    now: int,
    encode: Callable[..., bytes],
    out: Parcels,
) -> bytes:
    if row.features is None and row.prediction is None and row.score is None and row.error is None:
        raise ValueError("it has neither features nor a prediction, a score or an error")
    if row.features and (said := too_much(row.features)) is not None:
        raise ValueError(said)
    if any(is_too_deep(value) for value in (row.prediction, row.score, row.tags)):
        raise ValueError(f"it is nested deeper than {MOST_DEPTH} levels")
    at = row.at
    id = row.id
    if at is None:
        at_us = now
        if id is not None:
            held = millisecond_of(id) if type(id) is str else None
            if held is not None and EARLIEST_US <= held * 1000 <= now + AHEAD_S * 1_000_000:
                at_us = held * 1000  # sent again, it falls on the same time
    else:
        at_us = _micros(at, now)
    if id is None:
        id = ids.at(at_us) if key is None else f"{key}:{line}"
        out.made.append(id)
    else:
        id = _id(id)
    if row.latency_s is None and row.error is None and row.tags is None:
        return encode(("p", id, at_us, row.features or {}, row.prediction, row.score))
    return encode(
        ("p", id, at_us, row.features or {}, row.prediction, row.score, row.latency_s, row.error, row.tags)
    )


def _take_outcome(
    row: OutcomeRow,
    line: int,
    ids: IdSource,
    key: str | None,
    now: int,
    encode: Callable[..., bytes],
    out: Parcels,
) -> bytes:
    if is_too_deep(row.actual):
        raise ValueError(f"its actual value is nested deeper than {MOST_DEPTH} levels")
    at_us = now if row.at is None else _micros(row.at, now)
    return encode(("o", _id(row.id), at_us, row.actual))


def _id(given: str | int | float) -> str:
    id = id_text(given)
    if id is None:
        raise ValueError("its id is empty")
    return id


def _micros(at: dt.datetime | float, now: int) -> int:
    if isinstance(at, dt.datetime):
        aware = at if at.tzinfo is not None else at.replace(tzinfo=dt.UTC)
        at_us = (aware - _EPOCH) // _MICROSECOND
    else:
        if not LEAST_NUMBER <= abs(at) <= 10**_DIGITS:
            raise ValueError(f"its time {at:g} is no number of seconds since 1970")
        at_us = int(at * 1_000_000)
    _check_time(at_us, now)
    return at_us


def _check_time(at_us: int, now: int) -> None:
    if at_us > now + AHEAD_S * 1_000_000:
        hours = (at_us - now) / 3.6e9
        raise ValueError(
            f"its time is {hours:,.1f} hours ahead of this server's clock"
            + (" (milliseconds? Seconds are meant)" if hours > 1e6 else "")
        )
    if at_us < EARLIEST_US:
        raise ValueError("its time lies before 2 January 1970")


def arrow_events(
    what: str,
    body: bytes,
    *,
    model: str,
    version: str,
    ids: IdSource,
    key: str | None = None,
    now_us: int | None = None,
) -> Parcels:
    """Read an Arrow IPC stream: columns id, at, prediction, score (or ``score:<class>``), actual; others are features.

    Raises
    ------
    BadInput
        the bytes are no Arrow stream, or a column that is needed is missing or of the wrong type.
    """
    import pyarrow as pa

    try:
        table = checked_table(body)
    except ValueError as problem:
        raise BadInput(f"The body is no Arrow IPC stream: {problem}.") from problem
    if (said := too_wide(table.column_names)) is not None:
        raise BadInput(f"The body cannot be taken: {said}.")
    out, now = Parcels(), now_us or time.time_ns() // 1000
    if len(set(table.column_names)) != table.num_columns:
        raise BadInput("Two columns have the same name.")
    table, wrong = _times_in(pa, table, now)
    if what == "outcomes" and "actual" not in table.column_names:
        raise BadInput(
            "The outcomes have no column 'actual'.", f"They have: {', '.join(table.column_names)}."
        )
    table, ids_made = _ids_in(pa, table, what, ids, key, wrong)
    for row in sorted(wrong):
        out.refuse(row + 1, wrong[row])
    if wrong:
        kept = [row not in wrong for row in range(table.num_rows)]
        table = table.filter(pa.array(kept, pa.bool_()))
        ids_made = [i for i, ok in zip(ids_made, kept) if ok]
    out.made = ids_made
    known = {"id", "at", "prediction", "score", "actual", "latency_s", "error"}
    roles = {n: n for n in table.column_names if n in known or n.startswith("score:")}
    encode = Encoder().encode
    events = out.events.setdefault((model, version), [])
    row_bytes = max(1, table.nbytes // max(1, table.num_rows))
    step = max(1, min(_CHUNK_ROWS, (4 << 20) // row_bytes))
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    for start in range(0, table.num_rows, step):
        part = table.slice(start, step)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, part.schema, options=options) as writer:
            writer.write_table(part)
        events.append(
            (encode(("b", what, now, part.num_rows, roles, sink.getvalue().to_pybytes())), part.num_rows)
        )
    out.accepted = table.num_rows
    return out


def _times_in(pa: Any, table: Any, now: int) -> tuple[Any, dict[int, str]]:
    """The table with its times as instants, and why rows have none that can be a prediction's."""
    from watchkeeper.rows.row_keys import instants_of

    instant = pa.timestamp("us", "UTC")
    if "at" not in table.column_names:
        at = pa.repeat(pa.scalar(now, pa.int64()), table.num_rows)
        return table.append_column("at", at.cast(instant)), {}
    place = table.column_names.index("at")
    found = instants_of(table["at"], now, ahead_us=AHEAD_S * 1_000_000)
    us = pa.Array.from_buffers(pa.int64(), len(found.us), [None, pa.py_buffer(found.us)])
    wrong = {row: found.why(row) for row in (~found.good).nonzero()[0].tolist()}
    return table.set_column(place, "at", us.cast(instant)), wrong


def _ids_in(
    pa: Any, table: Any, what: str, ids: IdSource, key: str | None, wrong: dict[int, str]
) -> tuple[Any, list[str]]:
    """The table with its ids as text, and those that were made; why rows have none is added to *wrong*."""
    from watchkeeper.rows.row_keys import ids_of

    if "id" in table.column_names:
        found = ids_of(table["id"])
        for row, is_none in enumerate(found.texts.is_null().to_pylist()):
            if is_none:
                wrong.setdefault(row, found.refused.get(row, "it has no id"))
        return table.set_column(table.column_names.index("id"), "id", found.texts), []
    if what == "outcomes":
        raise BadInput("The outcomes have no column 'id'.", f"They have: {', '.join(table.column_names)}.")
    if key is not None:
        made = [f"{key}:{line}" for line in range(1, table.num_rows + 1)]
    else:
        made = [ids.at(us) for us in table["at"].cast(pa.int64()).to_pylist()]
    return table.append_column("id", pa.array(made, pa.string())), made
