"""Profiles merged by day and month say what their windows say, and are never believed once a window was measured again."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import reduce

import numpy as np
import pyarrow as pa
import pytest

from watchkeeper.capture.recorder import Recorder
from watchkeeper.domain.window import Window
from watchkeeper.errors import BadInput
from watchkeeper.loop.batch.profiling import baseline, save_baseline
from watchkeeper.loop.labels.forget import forget
from watchkeeper.loop.records.records import Records
from watchkeeper.loop.watch import profile_rollups
from watchkeeper.loop.watch.lease import LEASE, LEASE_FOR
from watchkeeper.loop.watch.profile_rollups import column_between, columns_by_time
from watchkeeper.loop.watch.retention import UPKEEP, maintain
from watchkeeper.profiles.stored_window import StoredWindow
from watchkeeper.testing.clock import FakeClock
from watchkeeper.wiring import open_project

pytest.importorskip("deltalake")
pytestmark = pytest.mark.slow

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
DAYS = [
    datetime(2026, month, day, tzinfo=UTC)
    for month, day in ((1, 20), (1, 25), (2, 9), (2, 20), (3, 4), (3, 5))
]
T0, END = DAYS[0], DAYS[-1] + DAY


def rows(n, seed):
    dice = np.random.default_rng(seed)
    x = dice.normal(size=n)
    p = 1 / (1 + np.exp(-x))
    times = np.sort(dice.uniform(0, len(DAYS), n))
    return {
        "id": [f"r{i}" for i in range(n)],
        "at": [DAYS[int(t)] + (float(t) % 1) * DAY for t in times],
        "x": x,
        "city@2": dice.choice(["Aachen", "Bonn", "Cologne"], n).tolist(),
        "plan": dice.choice(["basic", "pro"], n, p=[0.7, 0.3]).tolist(),
        "score": p,
        "prediction": (p > 0.5).astype(int),
        "outcome": (dice.random(n) < p).astype(int),
    }


def record(watch, given, *, rate=1.0, outcomes=True):
    with Recorder("m", "1", path=watch.data, sample_rate=rate) as recorder:
        recorder.record_batch({k: v for k, v in given.items() if k != "outcome"})
        if outcomes:
            recorder.outcomes({"id": given["id"], "actual": given["outcome"]})


def made(folder, *, rate=1.0, **settings):
    """A project that has measured its rows."""
    lines = "\n".join(f"{k} = {v}" for k, v in {"cadence": '"6h"', **settings}.items())
    (folder / "watchkeeper.toml").write_text(
        f'[models.m]\ntask = "binary"\nbaseline = "m.wkb"\nsegments = ["plan"]\n{lines}\n'
        '[models.m.retention]\nfull_profiles = "60d"\n'
    )
    save_baseline(baseline(rows(3000, 1), roles={"at": "time"}), folder / "m.wkb")
    with opened(folder) as watch:
        record(watch, rows(3000, 2), rate=rate)
        assert watch.tick().to_dict()["problems"] == []
    return folder


def opened(folder):
    watch = open_project(folder, clock=FakeClock(END))
    watch.judges = ()
    return watch


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    return made(tmp_path_factory.mktemp("usual"))


@pytest.fixture(scope="module")
def usual_merged(usual, tmp_path_factory):
    folder = tmp_path_factory.mktemp("merged") / "m"
    shutil.copytree(usual, folder)
    with opened(folder) as watch:
        later(watch)
    return folder


@pytest.fixture
def watch(usual, tmp_path):
    """Measured this very moment; nothing is merged."""
    with opened(shutil.copytree(usual, tmp_path / "m")) as watch:
        yield watch


@pytest.fixture
def merged(usual_merged, tmp_path):
    """Two hours later, when the upkeep has merged what was over."""
    with opened(shutil.copytree(usual_merged, tmp_path / "m")) as watch:
        watch.clock.now += 2 * HOUR
        yield watch


def lease_of(watch):
    """Of who may write now: this watch, or another one of the same project."""
    return watch.lease(LEASE, LEASE_FOR) or watch.ledger.leases.holder(LEASE)


def later(watch, by=2 * HOUR):
    watch.clock.now += by
    lease = lease_of(watch)
    assert maintain(watch, watch.model("m"), lease, now_please=True).problems == []
    watch.ledger.leases.release(lease)


def held(watch):
    return watch.lake.profiles("m").rollups.spans()


def of_windows(watch, column, window, segment=""):
    """The same from the stored windows alone, the long way."""
    stored = [s for s in watch.windows("m", window, segment=segment) if s.profile.states]
    return reduce(StoredWindow.merge, stored).profile.estimate().columns[column]


def assert_alike(found, wanted):
    assert (found.rows, found.nulls, found.column) == (wanted.rows, wanted.nulls, wanted.column)
    assert found.states.keys() == wanted.states.keys()
    if wanted.histogram is not None:
        assert found.histogram.counts.tolist() == wanted.histogram.counts.tolist()
        assert found.moments.mean == pytest.approx(wanted.moments.mean, rel=1e-12)
        assert found.moments.variance() == pytest.approx(wanted.moments.variance(), rel=1e-9)
    if wanted.frequencies is not None:
        assert found.frequencies.counts == wanted.frequencies.counts


WINDOWS = {
    "all of it": Window(T0, END),
    "one month": Window(datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)),
    "from the middle of a day to the middle of another": Window(T0 + 9 * HOUR, END - 15 * HOUR),
    "within one day": Window(T0 + 6 * HOUR, T0 + 18 * HOUR),
    "beyond what there is": Window(T0 - 400 * DAY, END + 400 * DAY),
}


class TestReading:
    @pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
    def test_it_says_what_the_windows_say(self, merged, window):
        watch = merged
        assert {"2026-02", "2026-02-09", "2026-01-20"} <= held(watch).keys()
        for column in ("x", "score", "outcome", "city@2"):
            for segment in ("", "plan=pro"):
                found = column_between(watch, "m", column, window, segment=segment)
                assert_alike(found.profile, of_windows(watch, column, window, segment))
                assert found.unreadable == 0

    def test_hardly_any_window_is_read_where_there_are_roll_ups(self, merged, monkeypatch):
        watch = merged
        asked = []
        store = watch.lake.profiles("m")
        get = store.get
        monkeypatch.setattr(store, "get", lambda *a, **k: asked.append(k["days"]) or get(*a, **k))
        column_between(watch, "m", "x", Window(T0 + 6 * HOUR, END))
        assert asked == [["2026-01-20"]], "of which the first six hours are not asked for"
        column_between(watch, "m", "x", WINDOWS["one month"])
        assert len(asked) == 1

    @pytest.mark.parametrize("length", [7 * HOUR, DAY, 3 * DAY], ids=str)
    def test_over_time_each_span_says_what_its_windows_say(self, merged, length):
        window = Window(T0, END)
        found = columns_by_time(merged, "m", "x", window, length, segment="plan=pro")
        assert (
            sum(profile.rows for _, profile in found)
            == column_between(merged, "m", "x", window, segment="plan=pro").profile.rows
        )
        for start, profile in found:
            first = T0 + (start - T0) // length * length
            inside = [
                s
                for s in merged.windows("m", window, segment="plan=pro")
                if first <= s.key.window.start < first + length and s.profile.states
            ]
            assert start == inside[0].key.window.start
            assert_alike(profile, reduce(StoredWindow.merge, inside).profile.estimate().columns["x"])

    def test_nothing_is_found_where_there_is_nothing(self, merged):
        watch = merged
        assert column_between(watch, "m", "nobody", Window(T0, END)).profile is None
        assert column_between(watch, "m", "x", Window(END + DAY, END + 2 * DAY)).profile is None

    def test_rows_captured_at_any_rate_stand_for_those_that_were_not(self, tmp_path):
        with opened(made(tmp_path, rate=0.3)) as watch:
            later(watch)
            found = column_between(watch, "m", "x", Window(T0, END)).profile
            assert_alike(found, of_windows(watch, "x", Window(T0, END)))
            assert found.rows == pytest.approx(3000, rel=0.1)

    def test_too_many_windows_are_refused_unless_they_are_merged(self, watch, monkeypatch):
        monkeypatch.setattr(profile_rollups, "MOST_WINDOWS", 20)
        with pytest.raises(BadInput, match="24 stored windows"):
            column_between(watch, "m", "x", Window(T0, END))
        later(watch)
        assert column_between(watch, "m", "x", Window(T0, END)).profile.rows == 3000

    def test_the_longest_window_there_is_costs_no_more_than_what_is_stored(self, merged, monkeypatch):
        asked = []
        store = merged.lake.profiles("m")
        get = store.get
        monkeypatch.setattr(store, "get", lambda *a, **k: asked.append(k["days"]) or get(*a, **k))
        window = Window(datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
        assert column_between(merged, "m", "x", window).profile.rows == 3000
        assert asked == [], "everything is merged"

    def test_rows_of_the_last_day_that_a_calendar_holds_hold_nobody_up(self, merged):
        far = datetime(9999, 12, 31, 1, tzinfo=UTC)
        state = merged.ledger.windows.windows("m", limit=1)[0]
        key = replace(state.key, window=Window(far - HOUR, far + 5 * HOUR))
        merged.ledger.windows.done([replace(state, key=key)])
        later(merged)
        assert column_between(merged, "m", "x", Window(T0, far + 6 * HOUR)).profile.rows == 3000

    def test_an_upkeep_that_comes_between_does_not_show(self, merged, monkeypatch):
        watch = merged
        rollups = watch.lake.profiles("m").rollups
        get = rollups.get

        def slow(*args, **more):
            found = get(*args, **more)
            rollups.drop(["2026-02"], token=lease_of(watch).token)
            return found.slice(0, 0)

        monkeypatch.setattr(rollups, "get", slow)
        assert column_between(watch, "m", "x", Window(T0, END)).profile.rows == 3000

    def test_windows_that_cannot_be_read_are_counted_and_the_others_shown(self, merged):
        watch = merged
        # Another baseline comes, and the rows of the old windows are gone: their bins are known no more.
        save_baseline(
            baseline({**rows(900, 9), "x": np.arange(900.0)}, roles={"at": "time"}), watch.path / "m.wkb"
        )
        found = column_between(watch, "m", "x", Window(T0, END))
        assert found.profile is None
        assert found.unreadable == 4 * len(DAYS)
        assert column_between(watch, "m", "city@2", Window(T0, END)).profile.rows == 3000


class TestUpkeep:
    def test_only_days_and_months_that_are_over_and_settled_are_merged(self, watch):
        watch.clock.now = END + timedelta(minutes=30)
        maintain(watch, watch.model("m"), lease_of(watch), now_please=True)
        assert held(watch) == {}, "measured half an hour ago"
        later(watch)
        whole = {d.date().isoformat() for d in DAYS} | {"2026-01", "2026-02"}
        assert held(watch) == {
            **dict.fromkeys(whole, "21600s4-all"),
            "2026-01": "21600s8-all",
            "2026-02": "21600s8-all",
        }
        record(watch, {**rows(1, 3), "id": ["next"], "at": [END + HOUR]})
        watch.clock.now = END + 7 * HOUR
        watch.tick()
        later(watch)
        assert held(watch).keys() == whole, "the day is not over"
        later(watch, DAY)
        assert held(watch).keys() - whole == {"2026-03-06"}

    def test_a_late_outcome_makes_a_roll_up_unbelievable_until_it_is_merged_anew(self, merged):
        watch = merged
        stale = held(watch)
        recorded = {**rows(1, 3), "id": ["late"], "at": [DAYS[2] + HOUR]}
        record(watch, recorded)
        watch.tick()
        window = Window(T0, END)
        assert held(watch) == stale
        for column in ("x", "outcome"):
            found = column_between(watch, "m", column, window).profile
            assert found.rows == 3001
            assert_alike(found, of_windows(watch, column, window))
        later(watch)
        assert {s for s in stale if held(watch)[s] != stale[s]} == {"2026-02", "2026-02-09"}
        assert_alike(column_between(watch, "m", "x", window).profile, of_windows(watch, "x", window))

    def test_what_is_forgotten_is_in_no_roll_up(self, watch):
        record(watch, {**rows(1, 3), "id": ["gone"], "at": [DAYS[2]], "plan": ["find-me-nowhere"]})
        watch.tick()
        later(watch)
        found = column_between(watch, "m", "x", Window(T0, END), segment="plan=find-me-nowhere")
        assert found.profile.rows == 1
        assert forget(watch, "m", ids=["gone"], actor="test").problems == []
        assert not {"2026-02", "2026-02-09"} & held(watch).keys()
        later(watch)
        assert {"2026-02", "2026-02-09"} <= held(watch).keys()
        assert column_between(watch, "m", "x", Window(T0, END)).profile.rows == 3000
        rollups = watch.lake.profiles("m").rollups
        assert set(rollups.get(held(watch))["segment"].to_pylist()) == {"", "plan=basic", "plan=pro"}
        folder = watch.data / "lake" / "m" / "profile_rollups"
        files = [
            p.relative_to(folder).parts[0] for p in folder.rglob("*.parquet") if "_delta_log" not in p.parts
        ]
        assert sorted(files) == sorted(f"span={s}" for s in held(watch)), "no older version is left"

    def test_old_ones_are_kept_coarse_like_their_windows(self, merged):
        watch = merged
        full = column_between(watch, "m", "x", Window(T0, END)).profile
        assert len(full.histogram.counts) == 2048
        watch.clock.now = T0 + 81 * DAY  # January and the first days of February are old
        later(watch)
        assert held(watch)["2026-01-25"].endswith("-64")
        assert (held(watch)["2026-02"], held(watch)["2026-02-20"]) == ("21600s8-64", "21600s4-all")
        found = column_between(watch, "m", "x", Window(T0, END)).profile
        assert found.histogram.counts.tolist() == full.histogram.coarsen(64).counts.tolist()
        newer = Window(datetime(2026, 2, 15, tzinfo=UTC), END)
        assert_alike(column_between(watch, "m", "x", newer).profile, of_windows(watch, "x", newer))

    def test_one_upkeep_takes_on_so_much_and_the_next_call_goes_on_at_once(self, watch):
        watch.clock.now += 2 * HOUR

        def upkeep(most):
            kept = maintain(watch, watch.model("m"), lease_of(watch), most_parts=most)
            return kept.parts, Records(watch.ledger.facts, UPKEEP).of("m").value.left

        parts, left = upkeep(40)
        assert parts >= 40
        assert left > 0
        first = set(held(watch))
        assert {"2026-03-05"} <= first, "the newest first"
        assert 1 <= len(first) < len(DAYS)
        assert upkeep(0) == (0, left), "another model took all of this tick's"
        while left:
            parts, left = upkeep(40)
            assert parts
        assert len(held(watch)) == len(DAYS) + 2
        assert upkeep(40) == (0, 0)

    def test_models_share_what_one_tick_takes_on(self, usual, tmp_path, monkeypatch):
        text = (usual / "watchkeeper.toml").read_text()
        folder = shutil.copytree(usual, tmp_path / "m")
        (folder / "watchkeeper.toml").write_text(text.replace("models.m", "models.a") + text)
        lake = folder / ".watchkeeper" / "lake"
        shutil.copytree(lake / "m", lake / "a")
        monkeypatch.setattr("watchkeeper.loop.watch.tick.MOST_PARTS", 40)
        with opened(folder) as watch:
            states = watch.ledger.windows.windows("m", limit=1000)
            watch.ledger.windows.done([replace(s, key=replace(s.key, model="a")) for s in states])
            merged = []
            for _ in range(20):
                watch.clock.now += 2 * HOUR
                assert watch.tick().problems == []
                merged.append([len(watch.lake.profiles(n).rollups.spans()) for n in ("a", "m")])
            assert merged[0][0] < len(DAYS) + 2
            assert merged[0][1] == 0
            assert merged[-1] == [len(DAYS) + 2] * 2

    def test_of_daily_windows_only_months_are_merged(self, tmp_path):
        with opened(made(tmp_path, cadence='"1d"')) as watch:
            later(watch)
            assert set(held(watch)) == {"2026-01", "2026-02"}
            assert_alike(
                column_between(watch, "m", "x", Window(T0, END)).profile,
                of_windows(watch, "x", Window(T0, END)),
            )

    def test_merges_of_windows_of_another_length_are_not_believed(self, merged):
        """Six hours were made three, and as many marks as before were cleared."""
        folder, stale = merged.path, held(merged)
        text = (folder / "watchkeeper.toml").read_text()
        (folder / "watchkeeper.toml").write_text(text.replace('"6h"', '"3h"'))
        with opened(folder) as watch:
            states = watch.ledger.windows.windows("m", limit=1000)
            for state in (s for s in states if s.key.window.length == 6 * HOUR and not s.key.version):
                for half in (
                    Window(at, at + 3 * HOUR)
                    for at in (state.key.window.start, state.key.window.start + 3 * HOUR)
                ):
                    if half.start.hour % 12 == 0:
                        key = replace(state.key, window=half)
                        watch.ledger.windows.done([replace(state, key=key, marks=2)])
            asked = Window(DAYS[2], DAYS[2] + DAY)
            (day,) = watch.ledger.windows.by_day("m", length=3 * HOUR, start=asked.start, end=asked.end)
            assert day.stamp == 4
            assert held(watch) == stale
            assert not profile_rollups._chosen(profile_rollups._days([day]), asked, stale)

    def test_a_column_that_cannot_be_merged_holds_up_no_other(self, watch):
        store = watch.lake.profiles("m")
        day = store.get(T0, T0 + DAY, segment=None, days=["2026-01-20"])
        damaged = [
            b"not a state" if part == "column:x" and start.hour == 6 and not segment else payload
            for part, start, segment, payload in zip(
                *(day[n].to_pylist() for n in ("part", "start", "segment", "payload"))
            )
        ]
        at = day.column_names.index("payload")
        day = day.set_column(at, "payload", pa.array(damaged, pa.binary()))
        day = day.append_column("wk_day", pa.array(["2026-01-20"] * day.num_rows))
        store.replace_day("2026-01-20", day, token=lease_of(watch).token)
        later(watch)
        found = column_between(watch, "m", "x", Window(T0, END))
        assert found.unreadable == 1
        for column in ("score", "city@2"):
            good = column_between(watch, "m", column, Window(T0, END))
            assert (good.unreadable, good.profile.rows) == (0, 3000)
        of_pro = column_between(watch, "m", "x", Window(T0, END), segment="plan=pro")
        assert of_pro.unreadable == 0


def test_a_profile_that_was_stored_before_a_crash_does_not_stand_beside_the_later_one(watch, monkeypatch):
    """Stored, but not yet written down as measured; then another row comes, and the window is measured again."""
    windows = type(watch.ledger.windows)
    done, broke = windows.done, []

    def once(*args, **more):
        if not broke:
            broke.append(1)
            raise RuntimeError("the power went")
        return done(*args, **more)

    window = Window(DAYS[2], DAYS[2] + DAY)
    before = of_windows(watch, "x", window).rows
    record(watch, {**rows(1, 3), "id": ["one"], "at": [window.start]})
    monkeypatch.setattr(windows, "done", once)
    watch.clock.advance(timedelta(minutes=1))
    assert "the power went" in str(watch.tick().problems)
    assert of_windows(watch, "x", window).rows == before + 1
    record(watch, {**rows(1, 4), "id": ["two"], "at": [window.start]})
    watch.clock.advance(timedelta(minutes=1))
    assert watch.tick().problems == []
    for column in ("x", "score", "plan", "city@2"):
        assert of_windows(watch, column, window).rows == before + 2
    stored = watch.lake.profiles("m").get(
        window.start, window.end, version="", segment="", parts=["column:x"]
    )
    state = watch.ledger.windows.windows("m", start=window.start, end=window.start + HOUR)[0]
    assert stored["generation"].to_pylist()[0] == state.marks
