"""A chart holds its numbers, says them to those who cannot see it, and draws without any network."""

from __future__ import annotations

import math
import struct
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from watchkeeper.documents.drawing.charts import (
    distribution,
    heat_map,
    points_of,
    render_png,
    render_svg,
    series_line,
)
from watchkeeper.documents.drawing.picture import Picture

T0 = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def line(**rest):
    points = [
        {"at": T0 + i * DAY, "value": 0.1 * i, "low": 0.1 * i - 0.05, "high": 0.1 * i + 0.05}
        for i in range(5)
    ]
    return series_line(points, title="PSI of age", **rest)


def every_number(value):
    if isinstance(value, dict):
        return [n for v in value.values() for n in every_number(v)]
    if isinstance(value, list):
        return [n for v in value for n in every_number(v)]
    return [value] if isinstance(value, float) else []


def test_a_line_has_its_interval_its_level_and_its_marks():
    spec = line(threshold=0.2, baseline=0.1, marks=[{"at": T0 + DAY, "text": "version 2"}])
    kinds = [layer["mark"]["type"] for layer in spec["layer"]]
    assert kinds == ["area", "line", "point", "rule", "text", "rule", "text", "rule", "text"]
    assert [
        layer["encoding"]["text"].get("value") for layer in spec["layer"] if layer["mark"]["type"] == "text"
    ] == [
        "level that matters 0.2",
        "baseline 0.1",
        None,
    ]


def test_a_window_without_a_value_leaves_a_gap_and_nothing_infinite_gets_in():
    points = [
        {"at": T0, "value": None},
        {"at": T0 + DAY, "value": math.inf},
        {"at": T0 + 2 * DAY, "value": 0.5},
    ]
    spec = series_line(points, title="x", threshold=math.nan)
    assert [p["value"] for p in spec["data"]["values"]] == [None, None, 0.5]
    assert all(math.isfinite(n) for n in every_number(spec))


def test_points_come_from_a_stored_series():
    table = pa.table(
        {"start": [T0], "end": [T0 + DAY], "value": [0.3], "low": [0.2], "high": [0.4], "reason": ["x"]}
    )
    assert points_of(table) == [{"at": T0, "value": 0.3, "low": 0.2, "high": 0.4}]


def test_the_last_bin_of_a_distribution_is_drawn_to_its_end():
    picture = Picture(baseline=(0.25, 0.75), current=(0.5, 0.5), borders=(0.0, 1.0, 3.0))
    values = distribution(picture, title="age")["data"]["values"]
    assert [(v["from"], v["share"]) for v in values if v["rows"] == "baseline"] == [
        (0.0, 0.25),
        (1.0, 0.75),
        (3.0, 0.75),
    ]


def test_a_heat_map_keeps_cells_that_were_not_measured_apart_from_zero():
    cells = [{"row": "age", "at": T0, "value": 0.0}, {"row": "plan", "at": T0, "value": None}]
    spec = heat_map(cells, title="PSI", limit=0.2)
    assert [c["value"] for c in spec["data"]["values"]] == [0.0, None]
    assert spec["encoding"]["color"]["condition"]["test"] == "datum.value === null"


@pytest.mark.parametrize(
    "spec",
    [
        line(threshold=0.2, marks=[{"at": T0 + DAY, "text": "<script>alert(1)</script>", "kind": "fail"}]),
        distribution(Picture(baseline=(0.5, 0.5), current=(0.2, 0.8), borders=(0.0, 1.0, 2.0)), title="age"),
        distribution(
            Picture(baseline=(0.5, 0.5), current=(0.2, 0.8), borders=(0.0, 1e15, 2e15), is_time=True),
            title="at",
        ),
        distribution(Picture(baseline=(0.5, 0.5), current=(0.2, 0.8), labels=("a & b", "ü")), title="plan"),
        heat_map(
            [{"row": "age", "at": T0 + i * DAY, "value": i / 10} for i in range(5)], title="PSI", limit=0.3
        ),
        heat_map([], title="nothing yet"),
        series_line([], title="nothing yet"),
    ],
    ids=["line", "bins", "times", "categories", "heat", "no cells", "no points"],
)
def test_every_chart_draws_as_a_picture(spec):
    png = render_png(spec, scale=1)
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", png[16:24])
    assert width > 10
    assert height > 10
    svg = render_svg(spec)
    assert "<script" not in svg
