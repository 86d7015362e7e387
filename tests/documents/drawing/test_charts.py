"""A chart holds its numbers, says them to those who cannot see it, and draws without any network."""

from __future__ import annotations

import json
import math
import re
import struct
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from watchkeeper.documents.drawing.charts import (
    COLOURS,
    Place,
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
    assert kinds == ["area", "line", "rule", "text", "rule", "text", "rule", "text"]
    assert [
        layer["encoding"]["text"].get("value") for layer in spec["layer"] if layer["mark"]["type"] == "text"
    ] == [
        "threshold 0.2",
        "baseline 0.1",
        None,
    ]


def colours(svg):
    return set(re.findall(r"#[0-9a-f]{6}", svg))


def test_a_theme_changes_colours_and_nothing_else():
    """A category named like a colour stays what it is."""
    picture = Picture(baseline=(0.5, 0.5), current=(0.2, 0.8), labels=("#1f5fa8", "b"))
    light, dark = (distribution(picture, title="plan", place=Place("page", t)) for t in ("light", "dark"))
    assert {**light, "config": 0} == {**dark, "config": 0}
    assert "#1f5fa8" in render_svg({**dark, "width": 300})
    assert not re.findall(r"#[0-9a-f]{6}", json.dumps({**line(threshold=0.2), "config": 0}))
    drawn = colours(render_svg(line(threshold=0.2, place=Place("report", "dark"))))
    assert drawn <= set(COLOURS["dark"].values())
    assert {COLOURS["dark"]["measured"], COLOURS["dark"]["fail"]} <= drawn


def test_a_page_says_the_title_itself_and_a_message_carries_it():
    assert "title" not in line(place=Place("page"))
    assert line(place=Place("page"))["width"] == "container"
    assert line()["title"] == {"text": "PSI of age"}
    assert line()["description"] == line(place=Place("page"))["description"]


def test_a_window_is_a_step_from_its_start_to_its_end():
    """Ten points on a path of five windows: level along each, and upright between two."""
    svg = render_svg(line())
    path = re.search(r'aria-roledescription="line mark" d="([^"]+)"', svg).group(1)
    points = [tuple(map(float, p.split(","))) for p in re.split("[ML]", path)[1:]]
    assert len(points) == 10
    assert all(a[1] == b[1] for a, b in zip(points[::2], points[1::2]))
    assert all(a[0] == b[0] for a, b in zip(points[1::2], points[2::2]))


def test_of_many_windows_the_mean_of_seven_is_bold():
    points = [{"at": T0 + i * DAY, "value": float(i % 7)} for i in range(60)]
    spec = series_line(points, title="x")
    assert [la["mark"]["style"] for la in spec["layer"]] == ["single", "several"]
    means = [r["mean"] for r in spec["data"]["values"]]
    assert means[:3] == [None, None, None]
    assert means[6:] == [3.0] * 54  # any seven days of this week have its mean


@pytest.mark.parametrize(
    "length",
    [timedelta(hours=3), timedelta(hours=20), DAY, 2 * DAY, 3 * DAY, 7 * DAY, 30 * DAY, 90 * DAY, 365 * DAY, 3000 * DAY],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("width", [320, 1100])
def test_no_two_marks_of_an_axis_read_alike_and_none_is_cut(length, width):
    points = [{"at": T0, "value": 1.0}, {"at": T0 + length, "end": T0 + length, "value": 2.0}]
    svg = render_svg({**series_line(points, title="x", span=(T0, T0 + length)), "width": width})
    axis = svg[svg.index("role-axis-label") :]
    axis = axis[axis.index("role-axis-label", 20) :] if axis.count("role-axis-label") > 1 else axis
    axis = axis[: axis.index("</g>")]
    texts = re.findall(r'<text[^>]*opacity="1"[^>]*>([^<]+)<', axis) or re.findall(
        r"<text[^>]*>([^<]+)<", axis
    )
    assert 2 <= len(texts) <= 10
    assert len(set(texts)) == len(texts)


def test_above_nothing_no_band_looks_like_something():
    points = [
        {"at": T0, "value": 0.0, "low": 0.0, "high": 0.02},
        {"at": T0 + DAY, "value": 0.1, "low": 0.05, "high": 0.2},
    ]
    rows = series_line(points, title="errors", unit="share of requests")["data"]["values"]
    assert [(r["low"], r["high"]) for r in rows] == [(None, None), (0.05, 0.2)]


def test_a_share_is_said_in_per_cent():
    spec = series_line([{"at": T0, "value": 0.14}], title="x", unit="share of rows", baseline=0.137)
    assert spec["layer"][-1]["encoding"]["text"] == {"value": "baseline 13.7%"}


def test_an_axis_writes_whole_numbers_and_small_ones_as_people_do():
    points = [{"at": T0 + i * DAY, "value": 20.0 * i} for i in range(4)]
    assert ">60</text>" in render_svg(series_line(points, title="x"))
    points = [{"at": T0 + i * DAY, "value": 0.1 * i} for i in range(10)]
    svg = render_svg(series_line(points, title="x"))
    assert ">0.8</text>" in svg
    assert "m</text>" not in svg


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
    assert points_of(table) == [{"at": T0, "end": T0 + DAY, "value": 0.3, "low": 0.2, "high": 0.4}]


def test_the_last_bin_of_a_distribution_is_drawn_to_its_end():
    picture = Picture(baseline=(0.25, 0.75), current=(0.5, 0.5), borders=(0.0, 1.0, 3.0))
    values = distribution(picture, title="age")["data"]["values"]
    assert [(v["from"], v["share"]) for v in values if v["rows"] == "baseline"] == [
        (0.0, 0.25),
        (1.0, 0.75),
        (3.0, 0.75),
    ]


def test_a_heat_map_leaves_cells_that_were_not_measured_empty():
    spec = heat_map(
        ["age", "plan"], [T0, T0 + DAY, T0 + 2 * DAY], [[0.0, 0.5], [None, 0.2]], title="PSI", top=0.5
    )
    drawn = render_svg(spec)
    assert drawn.count('aria-roledescription="rect mark"') == 3
    light = COLOURS["light"]
    assert light["cold"] in colours(drawn) or "rgb(243, 241, 236)" in drawn
    assert "rgb(156, 47, 27)" in drawn or light["fail"] in colours(drawn)


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
            ["age"], [T0 + i * DAY for i in range(6)], [[i / 10 for i in range(5)]], title="PSI", top=0.3
        ),
        heat_map([], [], [], title="nothing yet", top=1.0),
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
