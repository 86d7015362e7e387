"""What charts draw, cut to what a screen can show: the mean, the least and the largest of each pixel's bucket.

A year of hours is 8,760 points and a screen has about 800 pixels. Taking every tenth point loses the spike that
the chart is there for; keeping least and largest of each bucket never does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


BUCKETS = 400
"""Buckets of a time axis: two pixels each on a wide page."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY_US = 86_400_000_000
ALIKE = 0.9
"""Windows at least this long beside the longest are of one kind: days of 23, 24 and 25 hours are days."""


def downsample(table: pa.Table, buckets: int = BUCKETS) -> pa.Table:
    """A series (start, end, value, low, high, rows, ...) in at most *buckets* rows of equal time.

    Each row has the bucket's mean as ``value``, and ``value_min``, ``value_max``, the least ``low`` and the largest
    ``high``. A table that is small enough keeps its rows.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if table.num_rows <= buckets:
        for name in ("value_min", "value_max"):
            if name not in table.column_names:
                table = table.append_column(name, table["value"])
        return table
    start = table["start"].cast(pa.int64())
    first, last = pc.min(start).as_py(), pc.max(table["end"].cast(pa.int64())).as_py()
    width = -(-(last - first) // max(1, buckets))
    bucket = pc.divide(pc.subtract(start, first), width)
    wanted = [
        ("start", "min"),
        ("end", "max"),
        ("value", "mean"),
        ("value_min" if "value_min" in table.column_names else "value", "min"),
        ("value_max" if "value_max" in table.column_names else "value", "max"),
    ]
    wanted += [
        (n, how)
        for n, how in (("low", "min"), ("high", "max"), ("margin", "mean"), ("rows", "sum"))
        if n in table.column_names
    ]
    grouped = table.append_column("bucket", bucket).group_by("bucket").aggregate(wanted).sort_by("bucket")
    names = ["start", "end", "value", "value_min", "value_max", *(n for n, _ in wanted[5:])]
    out = grouped.select([f"{n}_{how}" for n, how in wanted]).rename_columns(names)
    return out


QUANTILES = ("p5", "p25", "p50", "p75", "p95")


def fold_spreads(found: Sequence[Sequence[float]], buckets: int) -> list[dict[str, Any]]:
    """Windows' quantiles (start in microseconds, rows, 5%, 25%, 50%, 75%, 95%) in at most *buckets* rows of equal time.

    The middle ones are means weighted by rows; the outer ones the least and the largest of the bucket, so that one
    odd window stands out however many there are.

    >>> [(r["p5"], r["p50"], r["p95"]) for r in fold_spreads([(0, 1, 1, 2, 3, 4, 5), (1, 3, -9, 2, 7, 4, 5)], 1)]
    [(-9.0, 6.0, 5.0)]
    """
    import numpy as np

    if not found:
        return []
    table = np.asarray(found, dtype=np.float64)
    first, last = table[0, 0], table[-1, 0]
    width = (last - first) / buckets * (1 + 1e-12) + 1 if len(table) > buckets else 1.0
    place = (
        ((table[:, 0] - first) // width).astype(np.int64) if len(table) > buckets else np.arange(len(table))
    )
    begins = np.flatnonzero(np.diff(place, prepend=-1))
    rows = table[:, 1]
    weight = np.where(rows > 0, rows, 1e-9)
    total = np.add.reduceat(weight, begins)
    out = {
        "p5": np.minimum.reduceat(table[:, 2], begins),
        **{
            q: np.add.reduceat(table[:, i] * weight, begins) / total
            for i, q in ((3, "p25"), (4, "p50"), (5, "p75"))
        },
        "p95": np.maximum.reduceat(table[:, 6], begins),
        "rows": np.add.reduceat(rows, begins),
    }
    starts = [EPOCH + timedelta(microseconds=int(t)) for t in table[begins, 0]]
    return [
        {"start": start, **{name: float(column[i]) for name, column in out.items()}}
        for i, start in enumerate(starts)
    ]


class Grid:
    """Values of one measure by column and time: ``cells[i][j]`` is the largest value of column i in bucket j."""

    def __init__(
        self, names: list[str], edges: list[datetime], cells: list[list[float | None]], more: int
    ) -> None:
        self.names, self.edges, self.cells, self.more = names, edges, cells, more

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON: names, the times between which buckets lie, and rows of cells."""
        return {
            "columns": self.names,
            "times": [e.isoformat() for e in self.edges],
            "cells": self.cells,
            "columns_left_out": self.more,
        }


def grid(
    ledger: Any,
    model: str,
    measure: str,
    *,
    start: datetime,
    end: datetime,
    segment: str = "",
    version: str = "",
    buckets: int = 60,
    most: int = 40,
) -> Grid:
    """The largest value of *measure* of each column in each of *buckets* whole-day spans, gravest columns first.

    Read from the ledger's daily roll-ups: a year of hourly windows of 100 columns is 36,500 rows there, and the
    database folds them to at most ``100 * buckets``.
    """
    from sqlalchemy import func, select

    from watchkeeper.adapters.ledgers.tables import rollups as r
    from watchkeeper.adapters.ledgers.tables import series as s

    first = _us(start) // DAY_US * DAY_US
    days = max(1, -(-(_us(end) - first) // DAY_US))
    per = -(-days // buckets)
    count = -(-days // per)
    width = per * DAY_US
    # Windows of different lengths are different series: the longest stands, as in `MeasurementStore.series`.
    longest = (
        select(func.max(s.c.length_us)).where(s.c.model == model, s.c.measure == measure).scalar_subquery()
    )
    bucket = ((r.c.day_us - first) // width).label("bucket")
    query = (
        select(s.c.subject, bucket, func.max(r.c.high))
        .join(r, r.c.series_id == s.c.id)
        .where(
            s.c.model == model,
            s.c.measure == measure,
            s.c.segment == segment,
            s.c.version == version,
            s.c.length_us >= ALIKE * longest,
            r.c.day_us >= first,
            r.c.day_us < first + count * width,
        )
        .group_by(s.c.subject, bucket)
    )
    rows: dict[str, list[float | None]] = {}
    with ledger.reading() as connection:
        for subject, at, value in connection.execute(query):
            rows.setdefault(subject, [None] * count)[int(at)] = (
                None if value is None else float(f"{value:.3g}")
            )
    names = sorted(rows, key=lambda n: (-_weight(rows[n]), n))
    shown = names[:most]
    edges = [EPOCH + timedelta(microseconds=first + k * width) for k in range(count + 1)]
    return Grid(shown, edges, [rows[n] for n in shown], len(names) - len(shown))


def _weight(cells: Sequence[float | None]) -> float:
    """Grave columns first: the newest tenth of the time counts, then all of it."""
    recent = [c for c in cells[-max(1, len(cells) // 10) :] if c is not None]
    return max(recent, default=0.0) + 0.001 * max((c for c in cells if c is not None), default=0.0)


def sparks(
    ledger: Any, wanted: Mapping[str, str], *, start: datetime
) -> dict[str, list[tuple[datetime, float, float, float]]]:
    """Daily (day, value, low, high) since *start* of one measure of each model: ``{model: measure}``.

    A window of a day or more has its interval as low and high; a day of shorter windows has their mean, least and
    largest, from the roll-ups.
    """
    from sqlalchemy import and_, or_, select

    from watchkeeper.adapters.ledgers.tables import measurements as m
    from watchkeeper.adapters.ledgers.tables import rollups as r
    from watchkeeper.adapters.ledgers.tables import series as s

    out: dict[str, list[tuple[datetime, float, float, float]]] = {}
    if not wanted:
        return out
    length: dict[str, int] = {}
    pairs = or_(*(and_(s.c.model == m, s.c.measure == v) for m, v in wanted.items()))
    since = _us(start) // DAY_US * DAY_US
    whole = (s.c.subject == "", s.c.segment == "", s.c.version == "", pairs)
    long = (
        select(s.c.model, s.c.length_us, m.c.start_us, m.c.value, m.c.low, m.c.high)
        .join(m, m.c.series_id == s.c.id)
        .where(*whole, s.c.length_us >= ALIKE * DAY_US, m.c.start_us >= since, m.c.value.is_not(None))
        .order_by(s.c.model, s.c.length_us.desc(), m.c.start_us)
    )
    short = (
        select(s.c.model, s.c.length_us, r.c.day_us, r.c.mean, r.c.low, r.c.high)
        .join(r, r.c.series_id == s.c.id)
        .where(*whole, s.c.length_us < ALIKE * DAY_US, r.c.day_us >= since, r.c.mean.is_not(None))
        .order_by(s.c.model, s.c.length_us.desc(), r.c.day_us)
    )
    with ledger.reading() as connection:
        for query in (long, short):
            for model, length_us, at, value, low, high in connection.execute(query):
                if length_us >= ALIKE * length.setdefault(model, length_us):
                    day = EPOCH + timedelta(microseconds=at)
                    between = (value, value) if low is None or high is None else (low, high)
                    out.setdefault(model, []).append((day, value, *between))
    return {model: sorted(points) for model, points in out.items()}


def _us(at: datetime) -> int:
    return (at.astimezone(UTC) - EPOCH) // timedelta(microseconds=1)


def table_as(table: pa.Table, form: str) -> tuple[bytes, str]:
    """The table as ``csv``, ``json`` or ``arrow`` bytes (an Arrow IPC stream), and its media type."""
    import io

    import pyarrow as pa

    if form == "csv":
        from pyarrow import csv

        sink = io.BytesIO()
        csv.write_csv(table, sink)
        return sink.getvalue(), "text/csv; charset=utf-8"
    if form == "arrow":
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return sink.getvalue(), "application/vnd.apache.arrow.stream"
    import json

    rows = [{k: _plain(v) for k, v in row.items()} for row in table.to_pylist()]
    return json.dumps(rows, allow_nan=False, ensure_ascii=False).encode(), "application/json"


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float) and value - value != 0:
        return None
    return value
