"""Segments that are measured by name are the same in every window, the largest there are, and what was cut is told."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from watchkeeper.capture.recorder import Recorder
from watchkeeper.domain.window import Window
from watchkeeper.loop.reports.explain import explain
from watchkeeper.testing.clock import FakeClock
from watchkeeper.wiring import open_project

T0 = datetime(2026, 3, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def watch(tmp_path):
    (tmp_path / "watchkeeper.toml").write_text(
        '[models.m]\ntask = "binary"\nsegments = ["city", ["city", "plan"]]\nmax_segments = 4\n'
    )
    with open_project(tmp_path, clock=FakeClock(T0 + DAY)) as watch:
        watch.judges = ()
        yield watch


def record(watch, cities, *, at=T0, seed=0):
    """Rows spread over a day, each city's alternating between two plans."""
    dice = np.random.default_rng(seed)
    order = dice.permutation(len(cities))
    with Recorder("m", "1", path=watch.data) as recorder:
        recorder.record_batch(
            {
                "id": [f"{at:%d%H}-{seed}-{i}" for i in range(len(cities))],
                "at": [at + DAY * (i / len(cities)) for i in range(len(cities))],
                "city": [cities[i] for i in order],
                "plan": ["basic" if i % 2 else "pro" for i in order],
                "prediction": [1] * len(cities),
            }
        )


def rows_of_day(watch, start=T0):
    table = watch.measurements("m", measures=["request_rate"], start=start, end=start + HOUR).to_pylist()
    return {
        r["segment"]: round(r["value"] * 86400)
        for r in table
        if r["end"] - r["start"] == DAY and not r["version"]
    }


def test_the_largest_keep_their_names_and_the_day_counts_every_row_of_them(watch):
    cities = ["a"] * 50 + ["b"] * 40 + ["c"] * 30 + ["d"] * 20 + ["e"] * 10 + ["f"] * 5
    record(watch, cities)
    assert watch.tick().to_dict()["problems"] == []
    found = rows_of_day(watch)
    counted = Counter(cities)
    of_city = {s: n for s, n in found.items() if " & " not in s and s}
    assert of_city == {**{f"city={c}": counted[c] for c in "abcd"}, "city=(other)": 15}
    crossed = {s: n for s, n in found.items() if " & " in s}
    assert set(crossed) == {
        *(f"city={c} & plan={p}" for c in "ab" for p in ("basic", "pro")),
        "city=(other) & plan=(other)",
    }
    assert crossed["city=(other) & plan=(other)"] == 65
    assert sum(crossed.values()) == sum(of_city.values()) == found[""] == len(cities)


def test_what_was_cut_is_told_of_the_hour_and_of_the_day(watch):
    record(watch, ["a"] * 50 + ["b"] * 40 + ["c"] * 30 + ["d"] * 20 + ["e"] * 10 + ["f"] * 5)
    watch.tick()
    assert (
        "15 rows are in segments of city beyond those kept by name" in explain(watch, "m", "latest")["notes"]
    )


def test_a_name_once_given_is_kept_and_there_is_none_for_those_who_come_later(watch):
    record(watch, ["a"] * 5 + ["b"] * 4 + ["c"] * 3 + ["d"] * 2)
    watch.tick()
    watch.clock.advance(DAY)
    record(watch, ["new"] * 90 + ["d"], at=T0 + DAY, seed=1)
    watch.tick()
    city = {s: n for s, n in rows_of_day(watch, T0 + DAY).items() if s and " & " not in s}
    assert city == {"city=(other)": 90, "city=d": 1}


def test_measuring_again_gives_the_same_segments(watch):
    cities = [f"c{i}" for i in range(40) for _ in range(40 - i)]
    record(watch, cities)
    watch.tick()
    before = {(s.key.segment, s.rows) for s in watch.windows("m", Window(T0, T0 + DAY), segment=None)}
    watch.backfill("m", T0, T0 + DAY)
    after = {(s.key.segment, s.rows) for s in watch.windows("m", Window(T0, T0 + DAY), segment=None)}
    assert after == before
    assert {s for s, _ in after if " & " not in s} == {"", "city=(other)", *(f"city=c{i}" for i in range(4))}
