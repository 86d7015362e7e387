"""Events of a journal as the rows of the lake's tables.

A feature whose values have several types in one batch (numbers and text, say) keeps the type of most of them;
the others are rescued as JSON, row by row, and nothing is turned into something else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from watchkeeper.capture.events import Batch, Counters, Event, Outcome, Prediction, Unreadable

INSTANT = pa.timestamp("us", tz="UTC")
RESERVED = "wk_"
"""Names that begin so are ours; a feature of such a name is kept under ``feature_`` and the name."""
_EARLIEST_US, _LATEST_US = 0, 7_258_118_400_000_000
"""1970 to 2200."""
_ROLE_COLUMNS = {
    "id": "wk_id",
    "at": "wk_at",
    "prediction": "wk_prediction",
    "score": "wk_score",
    "actual": "wk_actual",
    "latency_s": "wk_latency_s",
    "error": "wk_error",
}


@dataclass(slots=True)
class Harvest:
    """What some flushes held: rows for the lake, and what was lost on the way."""

    predictions: pa.Table | None = None
    outcomes: pa.Table | None = None
    counters: dict[int, dict[str, int]] = field(default_factory=dict)
    """Losses and errors by hour (microseconds since 1970, its start)."""
    unreadable: list[str] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Rows of both tables."""
        return sum(t.num_rows for t in (self.predictions, self.outcomes) if t is not None)


def harvest(flushes: Iterable[tuple[int, str, list[Event]]]) -> Harvest:
    """Turn flushes, as ``(at_us, version, events)``, into tables."""
    out = Harvest()
    predictions: list[tuple[int, str, Prediction]] = []
    outcomes: list[tuple[int, Outcome]] = []
    tables: dict[str, list[pa.Table]] = {"predictions": [], "outcomes": []}
    for flushed_us, version, events in flushes:
        for event in events:
            if isinstance(event, Prediction):
                predictions.append((flushed_us, version, event))
            elif isinstance(event, Outcome):
                outcomes.append((flushed_us, event))
            elif isinstance(event, Counters):
                _count(out.counters, event)
            elif isinstance(event, Batch):
                try:
                    tables[event.what].append(_batch_rows(event, version, flushed_us))
                except (pa.ArrowException, KeyError, ValueError) as failure:
                    out.unreadable.append(f"a batch of {event.rows} rows: {failure}")
            elif isinstance(event, Unreadable):
                out.unreadable.append(event.reason)
    if predictions:
        tables["predictions"].append(_prediction_rows(predictions))
    if outcomes:
        tables["outcomes"].append(_outcome_rows(outcomes))
    if tables["predictions"]:
        out.predictions = _stacked(tables["predictions"])
    if tables["outcomes"]:
        out.outcomes = _stacked(tables["outcomes"])
    return out


def _count(counters: dict[int, dict[str, int]], event: Counters) -> None:
    hour = event.at_us // 3_600_000_000 * 3_600_000_000
    sums = counters.setdefault(hour, {})
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


def _prediction_rows(placed: list[tuple[int, str, Prediction]]) -> pa.Table:
    events = [(version, event) for _, version, event in placed]
    rescued: dict[int, dict[str, Any]] = {}
    features: dict[str, list[Any]] = {}
    count = len(events)
    for i, (_, event) in enumerate(events):
        for name, value in event.features.items():
            column = features.get(name)
            if column is None:
                column = features[name] = [None] * count
            column[i] = value
    columns: dict[str, Any] = {
        "wk_id": pa.array([e.id for _, e in events], pa.string()),
        "wk_at": _sane([e.at_us for _, e in events], [us for us, _, _ in placed], rescued),
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
    for name, values in features.items():
        columns[_feature_name(name)] = _column(name, values, rescued)
    columns["wk_rescued"] = _rescued_column(rescued, count)
    return pa.table(columns)


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
    by_class: dict[str, list[Any]] = {}
    for i, score in enumerate(scores):
        parts = (
            score
            if isinstance(score, dict)
            else dict(enumerate(score))
            if isinstance(score, list)
            else {"": score}
        )
        for name, value in parts.items():
            by_class.setdefault(str(name), [None] * len(scores))[i] = value
    return {
        f"wk_score:{name}" if name else "wk_score": _column(f"wk_score:{name}", values, rescued)
        for name, values in by_class.items()
    }


def _outcome_rows(events: list[tuple[int, Outcome]]) -> pa.Table:
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


def _batch_rows(event: Batch, version: str, flushed_us: int) -> pa.Table:
    table = pa.ipc.open_stream(event.payload).read_all()
    count = table.num_rows
    roles = {column: _ROLE_COLUMNS[role] for role, column in event.roles.items() if role in _ROLE_COLUMNS}
    # One score column for each class comes as roles named "score:<class>".
    roles |= {c: f"wk_{role}" for role, c in event.roles.items() if role.startswith("score:")}
    columns: dict[str, Any] = {}
    for name in table.column_names:
        if name == event.label:
            columns["wk_to_label"] = table[name]
        else:
            columns[roles.get(name) or _feature_name(name)] = table[name]
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
    try:
        return pa.concat_tables(tables, promote_options="permissive").combine_chunks()
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        pass
    kinds: dict[str, list[tuple[int, pa.DataType]]] = {}
    for table in tables:
        for column in table.schema:
            if not pa.types.is_null(column.type):
                kinds.setdefault(column.name, []).append((table.num_rows, column.type))
    target = {name: max(seen, key=lambda s: s[0])[1] for name, seen in kinds.items()}
    return pa.concat_tables(
        [_agreeing(t, target) for t in tables], promote_options="permissive"
    ).combine_chunks()


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
            columns[name] = column.cast(pa.float64(), safe=False)
            continue
        columns[name] = pa.nulls(table.num_rows, kind)
        for i, value in enumerate(column.to_pylist()):
            if value is not None:
                rescued.setdefault(i, {})[name] = value
    if "wk_rescued" in columns:
        for i, text in enumerate(columns["wk_rescued"].to_pylist()):
            if text:
                rescued[i] = {**json.loads(text), **rescued.get(i, {})}
    columns["wk_rescued"] = _rescued_column(rescued, table.num_rows)
    return pa.table(columns)


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)
