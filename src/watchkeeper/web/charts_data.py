"""What charts draw, cut to what a screen can show: the mean, the least and the largest of each pixel's bucket.

A year of hours is 8,760 points and a screen has about 800 pixels. Taking every tenth point loses the spike that
the chart is there for; keeping least and largest of each bucket never does.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


BUCKETS = 400
"""Buckets of a time axis: two pixels each on a wide page."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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
