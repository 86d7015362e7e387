"""Events of a journal as the rows of the lake's tables.

A feature whose values have several types in one batch (numbers and text, say) keeps the type of most of them;
the others are rescued as JSON, row by row, and nothing is turned into something else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from watchkeeper.capture.batch_rows import table_in
from watchkeeper.capture.events import Batch, Counters, Event, Outcome, Prediction, Unreadable
from watchkeeper.capture.journal import Flush

INSTANT = pa.timestamp("us", tz="UTC")
RESERVED = "wk_"
"""Names that begin so are ours; a feature of such a name is kept under ``feature_`` and the name."""
_EARLIEST_US, _LATEST_US = 0, 7_258_118_400_000_000
"""1970 to 2200."""
CELLS = 4_000_000
"""Cells that one batch's features may have, however few are filled ..."""
DENSITY = 8
"""... and for each filled one."""
EXACT = 2**53
"""Integers up to this size are the same number as float64."""
_ROLE_COLUMNS = {
    "id": "wk_id",
    "at": "wk_at",
    "prediction": "wk_prediction",
    "score": "wk_score",
    "actual": "wk_actual",
    "latency_s": "wk_latency_s",
    "error": "wk_error",
}


@dataclass(frozen=True, slots=True)
class Refused:
    """An event of which no row could be made, and why; *place* is where it stands in its flush."""

    flush: Flush
    place: int
    event: Event
    reason: str


@dataclass(slots=True)
class Harvest:
    """What some flushes held: rows for the lake, and what cannot become rows."""

    predictions: pa.Table | None = None
    outcomes: pa.Table | None = None
    counters: dict[int, dict[str, int]] = field(default_factory=dict)
    """Losses and errors by hour (microseconds since 1970, its start)."""
    refused: list[Refused] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Rows of both tables."""
        return sum(t.num_rows for t in (self.predictions, self.outcomes) if t is not None)


class _Placed(NamedTuple):
    flush: Flush
    place: int
    event: Any


def harvest(flushes: Iterable[Flush]) -> Harvest:
    """Turn flushes into tables. An event that cannot become rows is left out of them, and no other with it."""
    out = Harvest()
    events: dict[type, list[_Placed]] = {Prediction: [], Outcome: [], Batch: []}
    for flush in flushes:
        for place, event in enumerate(flush.events):
            if isinstance(event, Counters):
                _count(out.counters, event)
            elif isinstance(event, Unreadable):
                out.refused.append(Refused(flush, place, event, event.reason))
            else:
                events[type(event)].append(_Placed(flush, place, event))
    predictions = _rows_of(events[Prediction], _prediction_rows, out.refused)
    outcomes = _rows_of(events[Outcome], _outcome_rows, out.refused)
    for placed in events[Batch]:
        tables = outcomes if placed.event.what == "outcomes" else predictions
        tables += _rows_of([placed], _batch_rows, out.refused)
    for refused in out.refused:
        rows = refused.event.rows if isinstance(refused.event, Batch) else 1
        sums = out.counters.setdefault(_hour_us(refused.flush.at_us), {})
        sums["quarantined"] = sums.get("quarantined", 0) + rows
    out.predictions = _stacked(predictions) if predictions else None
    out.outcomes = _stacked(outcomes) if outcomes else None
    return out


def _rows_of(
    placed: list[_Placed], make: Callable[[list[_Placed]], pa.Table], refused: list[Refused]
) -> list[pa.Table]:
    """Tables of these events; where that fails, of halves of them, down to the event that is the cause."""
    if not placed:
        return []
    try:
        return [make(placed)]
    except Exception as fault:
        if len(placed) == 1:
            (one,) = placed
            reason = (str(fault).splitlines() or [""])[0]
            refused.append(Refused(one.flush, one.place, one.event, f"{type(fault).__name__}: {reason}"))
            return []
    half = len(placed) // 2
    return _rows_of(placed[:half], make, refused) + _rows_of(placed[half:], make, refused)


def cells_of(flush: Flush) -> int:
    """How many values its single predictions hold; those of a batch are bounded by its size."""
    return sum(len(e.features) for e in flush.events if isinstance(e, Prediction))


def _count(counters: dict[int, dict[str, int]], event: Counters) -> None:
    sums = counters.setdefault(_hour_us(event.at_us), {})
    for name in (
        "recorded",
        "dropped",
        "sampled_out",
        "unencodable",
        "oversized",
        "errors",
        "failed_flushes",
    ):
        sums[name] = sums.get(name, 0) + getattr(event, name)


def _hour_us(at_us: int) -> int:
    return at_us // 3_600_000_000 * 3_600_000_000


def _prediction_rows(placed: list[_Placed]) -> pa.Table:
    events: list[tuple[str, Prediction]] = [(flush.version, event) for flush, _, event in placed]
    rescued: dict[int, dict[str, Any]] = {}
    count = len(events)
    columns: dict[str, Any] = {
        "wk_id": pa.array([e.id for _, e in events], pa.string()),
        "wk_at": _sane([e.at_us for _, e in events], [flush.at_us for flush, _, _ in placed], rescued),
        "wk_version": pa.array([v for v, _ in events], pa.string()),
        "wk_latency_s": pa.array([e.latency_s for _, e in events], pa.float64()),
        "wk_error": pa.array([e.error for _, e in events], pa.string()),
        "wk_tags": pa.array(
            [json.dumps(e.tags, default=str) if e.tags else None for _, e in events], pa.string()
        ),
        "wk_rate": pa.array([e.rate for _, e in events], pa.float64()),
        "wk_to_label": pa.array([e.label for _, e in events], pa.bool_()),
        "wk_prediction": _column("wk_prediction", [e.prediction for _, e in events], rescued),
    }
    columns |= _score_columns([e.score for _, e in events], rescued)
    features = ((i, n, v) for i, (_, e) in enumerate(events) for n, v in e.features.items())
    columns |= _dense(features, count, rescued, taken=columns)
    columns["wk_rescued"] = _rescued_column(rescued, count)
    return pa.table(columns)


def _dense(
    values: Iterable[tuple[int, str, Any]],
    count: int,
    rescued: dict[int, dict[str, Any]],
    *,
    taken: Collection[str] = (),
    prefix: str = "",
) -> dict[str, pa.Array]:
    """Columns of *values*, as (row, name, value). Those of few rows are rescued where all would be mostly empty.

    One row of 20,000 columns among 20,000 rows is 400 million cells, of which 40,000 are filled.
    """
    sparse: dict[str, tuple[list[int], list[Any]]] = {}
    filled = 0
    for row, name, value in values:
        rows, found = sparse.setdefault(name, ([], []))
        rows.append(row)
        found.append(value)
        filled += 1
    room = max(CELLS, DENSITY * filled) // max(count, 1)
    columns: dict[str, pa.Array] = {}
    by_rows = sorted(sparse, key=lambda name: -len(sparse[name][0])) if len(sparse) > room else list(sparse)
    for number, name in enumerate(by_rows):
        rows, found = sparse[name]
        target = f"{prefix}{name}" if prefix else _feature_name(name)
        if number >= room or target in taken or target in columns:
            for row, value in zip(rows, found):
                rescued.setdefault(row, {})[f"{prefix}{name}"] = value
            continue
        column: list[Any] = [None] * count
        for row, value in zip(rows, found):
            column[row] = value
        columns[target] = _column(f"{prefix}{name}", column, rescued)
    return columns


def _sane(times_us: list[int], flushed_us: list[int], rescued: dict[int, dict[str, Any]]) -> pa.Array:
    """Times as instants. One that no calendar has (milliseconds given as seconds) becomes that of its flush."""
    fixed = list(times_us)
    for i, at_us in enumerate(times_us):
        if not _EARLIEST_US <= at_us < _LATEST_US:
            fixed[i] = flushed_us[i]
            rescued.setdefault(i, {})["wk_at"] = at_us
    return pa.array(fixed, pa.int64()).cast(INSTANT)


def _feature_name(name: str) -> str:
    return f"feature_{name}" if name.lower().startswith(RESERVED) else name


def _score_columns(scores: list[Any], rescued: dict[int, dict[str, Any]]) -> dict[str, pa.Array]:
    """One column, or one for each class where a score is a mapping or a list."""
    if not any(isinstance(s, (dict, list)) for s in scores):
        return {"wk_score": _column("wk_score", scores, rescued)}
    plain = [None if isinstance(s, (dict, list)) else s for s in scores]
    columns = {"wk_score": _column("wk_score", plain, rescued)} if any(s is not None for s in plain) else {}
    parts = (
        (i, str(name), value)
        for i, score in enumerate(scores)
        if isinstance(score, (dict, list))
        for name, value in (score.items() if isinstance(score, dict) else enumerate(score))
    )
    return columns | _dense(parts, len(scores), rescued, prefix="wk_score:")


def _outcome_rows(placed: list[_Placed]) -> pa.Table:
    events: list[tuple[int, Outcome]] = [(flush.at_us, event) for flush, _, event in placed]
    rescued: dict[int, dict[str, Any]] = {}
    return pa.table(
        {
            "wk_id": pa.array([e.id for _, e in events], pa.string()),
            "wk_at": _sane([e.at_us for _, e in events], [us for us, _ in events], rescued),
            "wk_received": pa.array([us for us, _ in events], pa.int64()).cast(INSTANT),
            "wk_order": pa.array([_order(us, i) for i, (us, _) in enumerate(events)], pa.int64()),
            "wk_actual": _column("wk_actual", [e.actual for _, e in events], rescued),
            "wk_rescued": _rescued_column(rescued, len(events)),
        }
    )


def _order(flushed_us: int, place: int) -> int:
    """Later flushes come later, and within one batch the later event does."""
    return (flushed_us // 1000 << 20) + (place & 0xFFFFF)


def _batch_rows(placed: list[_Placed]) -> pa.Table:
    ((flush, _, event),) = placed
    version, flushed_us = flush.version, flush.at_us
    table = table_in(event)
    count = table.num_rows
    roles = {column: _ROLE_COLUMNS[role] for role, column in event.roles.items() if role in _ROLE_COLUMNS}
    # One score column for each class comes as roles named "score:<class>".
    roles |= {c: f"wk_{role}" for role, c in event.roles.items() if role.startswith("score:")}
    columns: dict[str, Any] = {}
    rescued: dict[int, dict[str, Any]] = {}
    for name, column in zip(table.column_names, table.columns):
        target = "wk_to_label" if name == event.label else roles.get(name) or _feature_name(name)
        if target in columns:  # two columns of one name
            for row in pc.indices_nonzero(pc.is_valid(column)).to_pylist():
                rescued.setdefault(row, {})[name] = _values(column.slice(row, 1))[0]
        else:
            columns[target] = column
    if "wk_at" in columns:
        columns["wk_at"] = _instants(columns["wk_at"], event.at_us)
    else:
        columns["wk_at"] = _constant(event.at_us, count, pa.int64()).cast(INSTANT)
    columns["wk_id"] = columns["wk_id"].cast(pa.string())
    if event.what == "outcomes":
        columns["wk_received"] = _constant(flushed_us, count, pa.int64()).cast(INSTANT)
        columns["wk_order"] = pa.array([_order(flushed_us, i) for i in range(count)], pa.int64())
        kept = ("wk_id", "wk_at", "wk_received", "wk_order", "wk_actual")
        return pa.table({n: columns[n] for n in kept})
    columns["wk_version"] = _constant(version, count, pa.string())
    columns.setdefault("wk_latency_s", _constant(event.latency_s, count, pa.float64()))
    columns.setdefault("wk_error", _constant(event.error, count, pa.string()))
    columns["wk_tags"] = _constant(
        json.dumps(event.tags, default=str) if event.tags else None, count, pa.string()
    )
    columns["wk_rate"] = _constant(event.rate, count, pa.float64())
    columns.setdefault("wk_to_label", _constant(False, count, pa.bool_()))
    if rescued:
        columns["wk_rescued"] = _rescued_column(rescued, count)
    return pa.table(columns)


def _instants(column: Any, fallback_us: int) -> Any:
    kind = column.type
    if pa.types.is_timestamp(kind):
        aware = column if kind.tz else pc.assume_timezone(column, "UTC")
        column = aware.cast(INSTANT, safe=False)
    elif pa.types.is_integer(kind):
        column = column.cast(pa.int64()).cast(INSTANT)
    else:
        column = column.cast(INSTANT)
    us = column.cast(pa.int64())
    sane = pc.and_(pc.greater_equal(us, _EARLIEST_US), pc.less(us, _LATEST_US))
    return pc.if_else(pc.fill_null(sane, False), column, pa.scalar(fallback_us, pa.int64()).cast(INSTANT))


def _constant(value: Any, count: int, kind: pa.DataType) -> pa.Array:
    return pa.repeat(pa.scalar(value, kind), count)


def _column(name: str, values: list[Any], rescued: dict[int, dict[str, Any]]) -> pa.Array:
    values = [_as_text(v) if isinstance(v, (dict, list)) and not _is_flat(v) else v for v in values]
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        pass
    families = [_family(v) for v in values]
    counts: dict[str, int] = {}
    for family in families:
        if family:
            counts[family] = counts.get(family, 0) + 1
    main = max(counts, key=lambda f: counts[f], default="")
    kept = []
    for i, (value, family) in enumerate(zip(values, families)):
        if family in ("", main):
            kept.append(value)
        else:
            kept.append(None)
            rescued.setdefault(i, {})[name] = value
    try:
        return pa.array(kept)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return pa.array([None if v is None else json.dumps(v, default=str) for v in kept], pa.string())


def _is_flat(value: dict[Any, Any] | list[Any]) -> bool:
    """Whether it is a list of plain values; what is nested is text, since deep types take seconds a column."""
    return isinstance(value, list) and not any(isinstance(v, (dict, list)) for v in value)


def _as_text(value: Any) -> str:
    return json.dumps(value, default=str, ensure_ascii=False)


def _family(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    return type(value).__name__


def _rescued_column(rescued: Mapping[int, Mapping[str, Any]], count: int) -> pa.Array:
    return pa.array(
        [
            json.dumps(rescued[i], default=str, ensure_ascii=False) if i in rescued else None
            for i in range(count)
        ],
        pa.string(),
    )


def _stacked(tables: list[pa.Table]) -> pa.Table:
    """One table of all columns; where types differ, number with number widens, else the lesser one is rescued."""
    if len(tables) == 1:
        return tables[0]
    tables = _without_rare(tables)
    try:
        return pa.concat_tables(tables, promote_options="permissive").combine_chunks()
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        pass
    kinds: dict[str, list[tuple[int, pa.DataType]]] = {}
    for table in tables:
        for column in table.schema:
            if not pa.types.is_null(column.type):
                kinds.setdefault(column.name, []).append((table.num_rows, column.type))
    target = {
        name: pa.float64()
        if all(_is_number(kind) for _, kind in seen) and len({kind for _, kind in seen}) > 1
        else max(seen, key=lambda s: s[0])[1]
        for name, seen in kinds.items()
    }
    return pa.concat_tables(
        [_agreeing(t, target) for t in tables], promote_options="permissive"
    ).combine_chunks()


def _without_rare(tables: list[pa.Table]) -> list[pa.Table]:
    """These tables; columns that few rows have are rescued where all together would be mostly empty."""
    rows: dict[str, int] = {}
    for table in tables:
        for name in table.column_names:
            rows[name] = rows.get(name, 0) + table.num_rows
    count = sum(t.num_rows for t in tables)
    room = max(CELLS, DENSITY * sum(rows.values())) // max(count, 1)
    if len(rows) <= room:
        return tables
    features = sorted((n for n in rows if not n.startswith(RESERVED)), key=lambda n: -rows[n])
    kept = {n for n in rows if n.startswith(RESERVED)}.union(features[:room])
    out = []
    for table in tables:
        rescued: dict[int, dict[str, Any]] = {}
        for name in table.column_names:
            if name not in kept:
                for row, value in enumerate(_values(table[name])):
                    if value is not None:
                        rescued.setdefault(row, {})[name] = value
        out.append(_with_rescued(table.select([n for n in table.column_names if n in kept]), rescued))
    return out


def _with_rescued(table: pa.Table, rescued: dict[int, dict[str, Any]]) -> pa.Table:
    if not rescued:
        return table
    if "wk_rescued" in table.column_names:
        for row, text in enumerate(table["wk_rescued"].to_pylist()):
            if text:
                rescued[row] = {**json.loads(text), **rescued.get(row, {})}
        table = table.drop_columns(["wk_rescued"])
    return table.append_column("wk_rescued", _rescued_column(rescued, table.num_rows))


def _agreeing(table: pa.Table, target: Mapping[str, pa.DataType]) -> pa.Table:
    rescued: dict[int, dict[str, Any]] = {}
    columns: dict[str, Any] = {}
    for name in table.column_names:
        column = table[name]
        kind = target.get(name, column.type)
        if column.type.equals(kind) or pa.types.is_null(column.type) or name == "wk_rescued":
            columns[name] = column
            continue
        if _is_number(kind) and _is_number(column.type):
            if pa.types.is_integer(column.type):
                signed = pa.types.is_signed_integer(column.type)
                wide = column.cast(pa.int64() if signed else pa.uint64())
                large = pc.greater(wide, pa.scalar(EXACT, wide.type))
                if signed:
                    large = pc.or_(large, pc.less(wide, pa.scalar(-EXACT, wide.type)))
                for i in pc.indices_nonzero(pc.fill_null(large, False)).to_pylist():
                    rescued.setdefault(i, {})[name] = column[i].as_py()
                column = pc.if_else(pc.fill_null(large, False), pa.scalar(None, column.type), column)
            columns[name] = column.cast(pa.float64(), safe=False)
            continue
        columns[name] = pa.nulls(table.num_rows, kind)
        for i, value in enumerate(_values(column)):
            if value is not None:
                rescued.setdefault(i, {})[name] = value
    return _with_rescued(pa.table(columns), rescued)


def _values(column: Any) -> list[Any]:
    try:
        return list(column.to_pylist())
    except (ValueError, OverflowError):  # a date that Python cannot have
        return list(column.cast(pa.string()).to_pylist())


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)
