"""Clocks that are wrong, calendars that jump: rows land in a UTC window, and none stops the drain."""

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pyarrow as pa
import pytest

from watchkeeper.adapters.lakes.delta import open_lake
from watchkeeper.capture.events import Prediction
from watchkeeper.capture.journal import Flush
from watchkeeper.capture.recorder import Recorder
from watchkeeper.domain.window import Window, day_of, floor_to
from watchkeeper.loop.watch.event_tables import harvest
from watchkeeper.testing.clock import FakeClock
from watchkeeper.wiring import open_project

T0 = datetime(2026, 3, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def project(folder, text, now):
    (folder / "watchkeeper.toml").write_text(text)
    return open_project(folder, clock=FakeClock(now))


def put(watch, times, **rest):
    with Recorder("m", "1", path=watch.data, flush_interval_s=60, **rest) as recorder:
        for i, at in enumerate(times):
            recorder.record({"x": float(i)}, 1, id=f"r{i}-{at}", at=at)
        assert recorder.flush()


def judged(watch):
    return {
        s.key.window: s.rows
        for s in watch.ledger.windows.windows("m", limit=100_000)
        if s.key.window.length > HOUR
    }


def test_milliseconds_are_read_and_a_time_that_no_calendar_has_is_dropped_and_counted(tmp_path):
    with project(tmp_path, "[models.m]\n", T0 + DAY) as watch:
        clock = lambda: (T0 + 5 * HOUR).timestamp()  # noqa: E731
        put(watch, [T0, T0.timestamp() * 1000, -1e12], clock=clock)
        done = watch.tick()
        assert done.to_dict()["problems"] == []
        rows = pa.Table.from_batches(watch.lake.joined("m", Window(T0, T0 + DAY))).to_pylist()
        assert [r["wk_at"] for r in rows] == [T0, T0]
        assert watch.lake.counters("m", T0, T0 + DAY)["dropped"] == 1


def test_such_a_time_in_an_older_journal_is_that_of_its_flush_and_is_kept_aside():
    """What a recorder wrote that did not refuse it."""
    flushed = int((T0 + 5 * HOUR).timestamp() * 1e6)
    events = [Prediction(id=f"r{at}", at_us=at, features={"x": 1.0}) for at in (-(10**18), 10**18)]
    rows = harvest([Flush(1, flushed, "1", 2, events)]).predictions.to_pylist()
    assert [r["wk_at"] for r in rows] == [T0 + 5 * HOUR] * 2
    assert [json.loads(r["wk_rescued"])["wk_at"] for r in rows] == [-(10**18), 10**18]


def test_a_clock_that_is_ahead_makes_a_window_that_waits_until_it_has_ended(tmp_path):
    with project(tmp_path, "[models.m]\n", T0 + HOUR) as watch:
        put(watch, [T0 + 10 * timedelta(minutes=1), T0 + 3 * HOUR])
        assert watch.tick().stored_windows == 1
        watch.clock.advance(3 * HOUR)
        assert watch.tick().stored_windows == 1


def test_a_clock_that_is_behind_opens_a_window_that_was_measured(tmp_path):
    with project(tmp_path, "[models.m]\n", T0 + DAY) as watch:
        put(watch, [T0 + 2 * HOUR])
        watch.tick()
        put(watch, [T0 + 2 * HOUR + timedelta(minutes=5)])
        assert watch.tick().stored_windows == 1
        assert judged(watch) == {Window(T0, T0 + DAY): 2}


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", datetime(2026, 3, 29, 12, tzinfo=UTC), 23),
        ("Europe/Berlin", datetime(2026, 10, 25, 12, tzinfo=UTC), 25),
        ("America/New_York", datetime(2026, 3, 8, 18, tzinfo=UTC), 23),
        ("America/New_York", datetime(2026, 11, 1, 18, tzinfo=UTC), 25),
        ("UTC", datetime(2026, 3, 29, 12, tzinfo=UTC), 24),
        ("Asia/Kolkata", datetime(2026, 3, 29, 12, tzinfo=UTC), 24),
        ("Asia/Kathmandu", datetime(2026, 3, 29, 12, tzinfo=UTC), 24),
        ("Australia/Lord_Howe", datetime(2026, 4, 5, 2, tzinfo=UTC), 24.5),
        ("Australia/Lord_Howe", datetime(2026, 10, 4, 2, tzinfo=UTC), 23.5),
    ],
)
def test_every_row_of_a_local_day_is_in_its_window_and_no_other(tmp_path, zone, day, hours):
    """One row each half hour for three days: a day of 23, 24 or 25 hours has two rows for each of its hours.

    A zone whose days do not begin on the hour needs windows that divide its offset.
    """
    cadence = {"Asia/Kolkata": "30m", "Australia/Lord_Howe": "30m", "Asia/Kathmandu": "15m"}.get(zone, "1h")
    text = f'[models.m]\ntimezone = "{zone}"\ncadence = "{cadence}"\n'
    with project(tmp_path, text, day + 3 * DAY) as watch:
        start = floor_to(day, DAY) - DAY
        put(watch, [start + i * timedelta(minutes=30) for i in range(144)])
        watch.tick()
        window = day_of(day, zone)
        assert window.length == hours * HOUR
        assert judged(watch)[window] == 2 * hours
        windows = sorted(judged(watch))
        assert all(a.end == b.start for a, b in pairwise(windows)), "neither gap nor overlap"
        assert sum(judged(watch).values()) == 144


def test_months_and_years_end_where_they_end(tmp_path):
    days = ["2027-02-28", "2027-12-31", "2028-02-29"]
    with project(tmp_path, "[models.m]\n", datetime(2028, 3, 2, 1, tzinfo=UTC)) as watch:
        for last in (datetime.fromisoformat(d).replace(tzinfo=UTC) for d in days):
            put(watch, [last + DAY - timedelta(microseconds=1), last + DAY])
        watch.tick()
        assert {w.start.date().isoformat(): n for w, n in judged(watch).items()} == {
            "2027-02-28": 1, "2027-03-01": 1, "2027-12-31": 1, "2028-01-01": 1, "2028-02-29": 1, "2028-03-01": 1,
        }  # fmt: skip


def test_a_lake_of_another_process_is_seen(tmp_path):
    with project(tmp_path, "[models.m]\n", T0 + DAY) as watch:
        put(watch, [T0])
        watch.tick()
        other = open_lake(tmp_path / ".watchkeeper" / "lake")
        assert sum(b.num_rows for b in other.joined("m", Window(T0, T0 + DAY))) == 1
