"""Every window is measured once, again when outcomes come, and the numbers are scikit-learn's."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss, precision_score, roc_auc_score

from watchkeeper.capture.recorder import Recorder
from watchkeeper.domain.window import Window
from watchkeeper.errors import BadInput
from watchkeeper.loop.batch.profiling import baseline, save_baseline
from watchkeeper.loop.reports.status import status
from watchkeeper.stats.intervals import wilson
from watchkeeper.testing.clock import FakeClock
from watchkeeper.wiring import open_project

T0 = datetime(2026, 3, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def frame(n, seed=0, start=T0, hours=24):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    score = 1 / (1 + np.exp(-x))
    return pd.DataFrame(
        {
            "id": [f"r{seed}-{i}" for i in range(n)],
            "at": pd.to_datetime(start) + pd.to_timedelta(np.sort(rng.uniform(0, hours * 3600, n)), unit="s"),
            "x": x,
            "origin": rng.choice(["JFK", "LGA", "EWR"], n),
            "score": score,
            "prediction": (score > 0.5).astype(int),
            "outcome": (rng.random(n) < score).astype(int),
        }
    )


@pytest.fixture
def project(tmp_path):
    (tmp_path / "watchkeeper.toml").write_text(
        """
        [models.m]
        baseline = "m.wkb"
        cadence = "1h"
        judge_every = "1d"
        segments = ["origin"]
        [models.m.maturity]
        share = 0.9
        after = "3d"
        """
    )
    save_baseline(baseline(frame(5000, seed=1)), tmp_path / "m.wkb")
    clock = FakeClock(T0)
    watch = open_project(tmp_path, clock=clock)
    yield watch, clock
    watch.close()


def record(watch, rows, *, version="1"):
    with Recorder("m", version, path=watch.data, flush_interval_s=60) as recorder:
        columns = rows.drop(columns=["outcome"])
        recorder.record_batch(columns, id="id", at="at", prediction="prediction", score="score")
        assert recorder.flush()


def tell(watch, rows):
    with Recorder("m", "1", path=watch.data, flush_interval_s=60) as recorder:
        recorder.outcomes(rows[["id", "outcome"]], id="id", actual="outcome")
        assert recorder.flush()


def values(watch, measure, *, length=DAY, **rest):
    table = watch.ledger.measurements.series("m", measure, length=length, **rest)
    return table["value"].to_pylist()


def test_a_day_is_measured_as_scikit_learn_measures_its_rows(project):
    watch, clock = project
    rows = frame(3000)
    record(watch, rows)
    clock.advance(DAY)
    done = watch.tick()
    assert done.to_dict()["problems"] == []
    assert (done.stored_windows, done.judged_windows) == (24, 1)
    assert values(watch, "roc_auc") == [None]
    tell(watch, rows)
    done = watch.tick()
    assert done.judged_windows == 1
    y, p = rows.outcome, rows.score
    assert values(watch, "brier")[0] == pytest.approx(brier_score_loss(y, p))
    assert values(watch, "log_loss")[0] == pytest.approx(log_loss(y, p))
    assert values(watch, "accuracy")[0] == pytest.approx(accuracy_score(y, rows.prediction))
    auc = [
        m for m in watch.measurements("m", measures=["roc_auc"]).to_pylist() if m["end"] - m["start"] == DAY
    ]
    assert auc[0]["value"] == pytest.approx(roc_auc_score(y, p), abs=1e-3)
    for origin, part in rows.groupby("origin"):
        found = values(watch, "brier", segment=f"origin={origin}")
        assert found[0] == pytest.approx(brier_score_loss(part.outcome, part.score))
    assert values(watch, "psi", subject="x")[0] < 0.05
    assert len(values(watch, "brier", length=HOUR)) == 24


def test_status_shows_the_measurements_of_the_window_that_it_names(project):
    watch, clock = project
    rows = frame(3000)
    record(watch, rows)
    tell(watch, rows)
    clock.advance(DAY)
    watch.tick()
    (seen,) = status(watch)["models"]
    assert seen["measurements"]["row_count"] == seen["freshest"]["rows"] == 3000
    assert seen["measurements"]["accuracy"] == pytest.approx(accuracy_score(rows.outcome, rows.prediction))


def test_ticking_again_changes_nothing(project):
    watch, clock = project
    record(watch, frame(500))
    clock.advance(DAY)
    watch.tick()
    before = watch.measurements("m")
    done = watch.tick()
    assert (done.stored_windows, done.judged_windows, done.measurements) == (0, 0, 0)
    assert watch.measurements("m").equals(before)


def test_a_window_that_has_not_ended_waits(project):
    watch, clock = project
    record(watch, frame(500))
    clock.advance(timedelta(hours=5, minutes=30))
    done = watch.tick()
    assert (done.stored_windows, done.judged_windows) == (5, 0)
    clock.advance(DAY)
    done = watch.tick()
    assert (done.stored_windows, done.judged_windows) == (19, 1)


def test_a_window_says_how_many_outcomes_it_has_and_matures(project):
    watch, clock = project
    rows = frame(1000)
    record(watch, rows)
    clock.advance(DAY)
    watch.tick()

    def day():
        return next(s for s in watch.ledger.windows.windows("m") if s.key.window.length == DAY)

    assert (day().coverage, day().mature) == (0.0, False)
    tell(watch, rows[:500])
    watch.tick()
    assert (day().coverage, day().mature) == (0.5, False)
    tell(watch, rows[500:])
    watch.tick()
    assert (day().coverage, day().mature, day().generation) == (1.0, True, 3)
    assert values(watch, "outcome_coverage") == [1.0]


def test_outcomes_that_have_not_come_are_late_and_not_missing(project):
    """Half of the outcomes are there: nothing has drifted, and nothing says that half of a column is missing."""
    watch, clock = project
    rows = frame(2000)
    record(watch, rows)
    tell(watch, rows[::2])
    clock.advance(DAY)
    watch.tick()
    whole = watch.measurements("m", subjects=["outcome"], segments=[""], versions=[""]).to_pylist()
    day = {m["measure"]: m for m in whole if m["end"] - m["start"] == DAY}
    assert day["psi"]["value"] < 0.02
    assert day["missing"]["value"] == 0
    assert "missing_drift" not in day
    assert (day["psi"]["rows"], values(watch, "outcome_coverage")) == (1000, [0.5])


class Listener:
    """A judge that hears of windows and decides nothing."""

    def __init__(self, heard):
        self.judge = heard

    def sources(self, at, troubles):
        assert at.lease is not None

    def after(self, at):
        assert at.lease is not None


def test_a_window_whose_outcomes_never_come_is_judged_when_its_time_is_over(project):
    watch, clock = project
    rows, heard = frame(1000), []
    watch.judges = (Listener(lambda w: heard.append((w.window.length, w.mature))),)
    record(watch, rows)
    tell(watch, rows[:500])
    clock.advance(DAY)
    watch.tick()
    clock.advance(2 * DAY)
    watch.tick()
    assert heard == [(DAY, False)]
    clock.advance(DAY)  # three days after the end of the window, and nothing came in
    done = watch.tick()
    assert (done.stored_windows, done.judged_windows) == (0, 1), "no rows are read again"
    assert heard == [(DAY, False), (DAY, True)]
    assert all(s.mature for s in watch.ledger.windows.windows("m"))
    assert watch.tick().judged_windows == 0, "once"


def test_versions_are_measured_apart_and_together(project):
    watch, clock = project
    old, new = frame(400, seed=3), frame(600, seed=4)
    record(watch, old, version="1")
    record(watch, new, version="2")
    tell(watch, pd.concat([old, new]))
    clock.advance(DAY)
    watch.tick()
    assert values(watch, "brier", version="1")[0] == pytest.approx(brier_score_loss(old.outcome, old.score))
    assert values(watch, "brier", version="2")[0] == pytest.approx(brier_score_loss(new.outcome, new.score))
    both = pd.concat([old, new])
    assert values(watch, "brier")[0] == pytest.approx(brier_score_loss(both.outcome, both.score))


def test_sampled_capture_is_weighted_and_its_margins_are_those_of_the_rows_kept(project):
    watch, clock = project
    rows = frame(4000)
    with Recorder("m", "1", path=watch.data, flush_interval_s=60, sample_rate=0.25) as recorder:
        columns = rows.drop(columns=["outcome"])
        recorder.record_batch(columns, id="id", at="at", prediction="prediction", score="score")
        assert recorder.flush()
    clock.advance(DAY)
    watch.tick()
    day = [
        m
        for m in watch.measurements("m", measures=["psi"], subjects=["x"]).to_pylist()
        if m["end"] - m["start"] == DAY
    ]
    whole = next(m for m in day if m["segment"] == "" and m["version"] == "")
    assert whole["rows"] == pytest.approx(1000, rel=0.15)
    kept = whole["rows"]
    errors = next(
        m
        for m in watch.measurements("m", measures=["error_rate"]).to_pylist()
        if m["end"] - m["start"] == DAY and m["segment"] == "" and m["version"] == ""
    )
    assert (errors["rows"], errors["high"]) == (kept, pytest.approx(wilson(0, kept).high))
    count = values(watch, "row_count")[0]
    assert count == pytest.approx(4000, rel=0.15)


def test_days_of_a_zone_are_merges_of_its_hours(tmp_path):
    """29 March 2026 has 23 hours in Berlin."""
    (tmp_path / "watchkeeper.toml").write_text('[models.m]\ncadence = "1h"\ntimezone = "Europe/Berlin"\n')
    clock = FakeClock(datetime(2026, 3, 31, tzinfo=UTC))
    with open_project(tmp_path, clock=clock) as watch:
        record(watch, frame(800, start=datetime(2026, 3, 28, 23, tzinfo=UTC), hours=24))
        watch.tick()
        days = [s.key.window for s in watch.ledger.windows.windows("m") if s.key.window.length > HOUR]
        assert days[0] == Window(datetime(2026, 3, 28, 23, tzinfo=UTC), datetime(2026, 3, 29, 22, tzinfo=UTC))
        assert days[0].length == 23 * HOUR
        rows = watch.ledger.measurements.series("m", "row_count", length=23 * HOUR)["value"].to_pylist()
        hours = watch.ledger.measurements.series(
            "m", "row_count", length=HOUR, start=days[0].start, end=days[0].end
        )["value"].to_pylist()
        assert rows == [sum(hours)]


def test_a_daily_batch_has_days_of_its_own_zone(tmp_path):
    """A batch of each day at half past midnight in Berlin lies in the day before by UTC."""
    (tmp_path / "watchkeeper.toml").write_text('[models.m]\ncadence = "1d"\ntimezone = "Europe/Berlin"\n')
    days = pd.date_range("2026-03-26", "2026-04-01", tz="Europe/Berlin")
    clock = FakeClock(datetime(2026, 4, 2, 6, tzinfo=UTC))
    with open_project(tmp_path, clock=clock) as watch:
        at = (days + pd.Timedelta(minutes=30)).repeat(40)
        with Recorder("m", "1", path=watch.data) as recorder:
            recorder.record_batch(pd.DataFrame({"at": at, "x": np.arange(len(at)) % 7}))
        watch.tick()
        table = watch.measurements("m", measures=["row_count"]).to_pandas()
        table = table[(table.segment == "") & (table.version == "") & (table.end - table.start > HOUR)]
        counted = table.set_index(pd.DatetimeIndex(table.start).tz_convert("Europe/Berlin")).value
        assert counted[days].to_dict() == dict.fromkeys(days, 40.0)


def test_two_processes_do_not_tick_at_once(project):
    watch, clock = project
    record(watch, frame(100))
    clock.advance(DAY)
    lease = watch.ledger.leases.acquire("tick", "somebody else", timedelta(minutes=5), clock())
    assert watch.tick().held_by_another
    watch.ledger.leases.release(lease)
    assert watch.tick().judged_windows == 1


def test_a_lease_of_a_process_that_is_gone_is_not_waited_for(project, tmp_path):
    """A tick that was killed, or stopped with Ctrl-C, must not keep the next one waiting for minutes."""
    watch, clock = project
    record(watch, frame(100))
    clock.advance(DAY)
    killed = (
        "import os, sys; from datetime import timedelta; from watchkeeper.wiring import open_project\n"
        "watch = open_project(sys.argv[1]); lease = watch.lease('tick', timedelta(days=36500))\n"
        "print(lease.holder); sys.stdout.flush(); os._exit(9)"
    )
    command = [sys.executable, "-c", killed, str(tmp_path)]
    holder = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout.strip()
    assert watch.ledger.leases.holder("tick").holder == holder
    assert watch.tick().judged_windows == 1
    elsewhere = "another-machine:1:" + holder.split(":", 2)[2]
    watch.ledger.leases.acquire("tick", elsewhere, timedelta(minutes=5), clock())
    assert watch.tick().held_by_another, "of another machine nothing is known"


def test_windows_by_rows_are_cut_when_enough_came(tmp_path):
    (tmp_path / "watchkeeper.toml").write_text('[models.m]\ncadence = "1h"\nrows_per_window = 250\n')
    clock = FakeClock(T0 + 2 * DAY)
    with open_project(tmp_path, clock=clock) as watch:
        record(watch, frame(1000))
        watch.tick()
        cut = [s for s in watch.ledger.windows.windows("m") if s.key.window.length != HOUR]
        assert len(cut) == 3
        assert all(250 <= s.rows < 350 for s in cut)
        assert [a.key.window.end for a in cut[:-1]] == [b.key.window.start for b in cut[1:]]


def test_a_model_without_a_baseline_takes_its_first_mature_windows(tmp_path):
    (tmp_path / "watchkeeper.toml").write_text(
        '[models.m]\ntask = "binary"\ncadence = "1d"\njudge_every = "1d"\n[models.m.maturity]\nafter = "0s"\n'
    )
    clock = FakeClock(T0 + 30 * DAY)
    with open_project(tmp_path, clock=clock) as watch:
        rows = frame(6000, hours=24 * 30)
        record(watch, rows)
        tell(watch, rows)
        watch.tick()
        made = watch.baseline("m")
        assert made is not None
        assert len(made.windows) >= 20
        assert [f.kind for f in watch.ledger.facts.facts(kinds=["baseline.set"])] == ["baseline.set"]
        psi = watch.ledger.measurements.series("m", "psi", subject="x")["value"].to_pylist()
        assert len(psi) == 30


def test_backfill_measures_again_and_says_so(project):
    watch, clock = project
    rows = frame(500)
    record(watch, rows)
    clock.advance(DAY)
    watch.tick()
    done = watch.backfill("m", T0, T0 + DAY)
    assert (done.stored_windows, done.judged_windows) == (24, 1)
    kinds = [f.kind for f in watch.ledger.facts.facts(kinds=["backfill.*"])]
    assert kinds == ["backfill.started", "backfill.finished"]


def test_rows_that_expired_cannot_be_measured_again(tmp_path):
    (tmp_path / "watchkeeper.toml").write_text('[models.m]\n[models.m.retention]\nrows = "10d"\n')
    clock = FakeClock(T0 + DAY)
    with open_project(tmp_path, clock=clock) as watch:
        record(watch, frame(200))
        watch.tick()
        clock.advance(20 * DAY)
        watch.backfill("m", T0, T0 + DAY)
        states = [s for s in watch.ledger.windows.windows("m") if s.key.window.length == HOUR]
        assert not any(s.rebuildable for s in states)
        assert "expired" in states[0].reason


def test_a_stored_window_is_read_back_by_column(project):
    watch, clock = project
    record(watch, frame(500))
    clock.advance(DAY)
    watch.tick()
    found = watch.windows("m", Window(T0, T0 + DAY), parts=["column:x"])
    assert len(found) == 24
    profile = found[0].profile.estimate()
    assert list(profile.columns) == ["x"]
    assert sum(s.rows for s in found) == 0, "the count of rows is in the part that was not read"
    assert sum(s.profile.estimate()["x"].rows for s in found) == 500


def test_where_the_values_lie_is_kept_also_of_each_segment(project):
    watch, clock = project
    rows = frame(4_800)
    record(watch, rows)
    clock.advance(DAY)
    watch.tick()
    (whole,) = values(watch, "median", subject="x")
    assert whole == pytest.approx(np.median(rows["x"]), abs=0.02)
    for origin, part in rows.groupby("origin"):
        (found,) = values(watch, "median", subject="x", segment=f"origin={origin}")
        assert found == pytest.approx(np.median(part["x"]), abs=0.02)
    assert len(values(watch, "median", subject="x", length=HOUR)) == 24


def test_the_answer_is_an_arrow_table(project):
    watch, clock = project
    record(watch, frame(100))
    clock.advance(DAY)
    watch.tick()
    table = watch.measurements("m", measures=["error_rate"])
    assert isinstance(table, pa.Table)
    assert {"model", "measure", "start", "end", "value", "reason"} <= set(table.column_names)


def test_stored_windows_as_long_as_judged_ones_are_judged_as_they_are(tmp_path):
    (tmp_path / "watchkeeper.toml").write_text('[models.m]\ncadence = "1d"\njudge_every = "1d"\n')
    seen = []
    with open_project(tmp_path, clock=FakeClock(T0 + 3 * DAY)) as watch:
        watch.judges = (Listener(lambda w: seen.append((w.window, len(w.measurements)))),)
        record(watch, frame(300, hours=72))
        done = watch.tick()
        assert (done.stored_windows, done.judged_windows) == (3, 3)
        assert [w for w, _ in seen] == [Window(T0 + i * DAY, T0 + (i + 1) * DAY) for i in range(3)]
        assert all(n > 5 for _, n in seen)
        assert len(watch.ledger.facts.facts(kinds=["window.measured"])) == 3


@pytest.mark.parametrize(("no", "yes"), [("False", "True"), ("0.0", "1.0"), ("no", "yes")])
def test_outcomes_spelled_in_another_way_than_the_baseline_are_the_same_classes(tmp_path, no, yes):
    (tmp_path / "watchkeeper.toml").write_text('[models.m]\nbaseline = "m.wkb"\ncadence = "1d"\n')
    before = frame(2000, seed=1).assign(outcome=lambda t: t.outcome.astype(bool).map({True: yes, False: no}))
    save_baseline(baseline(before), tmp_path / "m.wkb")
    clock = FakeClock(T0)
    with open_project(tmp_path, clock=clock) as watch:
        rows = frame(2000)
        record(watch, rows)
        tell(watch, rows)
        clock.advance(DAY)
        assert watch.tick().problems == []
        assert values(watch, "precision") == [pytest.approx(precision_score(rows.outcome, rows.prediction))]
        assert values(watch, "brier") == [pytest.approx(brier_score_loss(rows.outcome, rows.score))]


@pytest.mark.parametrize(("no", "yes"), [("False", "True"), ("no", "yes"), ("0.0", "1.0")])
def test_words_for_outcomes_that_are_numbers_in_the_baseline_are_the_same_classes(tmp_path, no, yes):
    (tmp_path / "watchkeeper.toml").write_text('[models.m]\nbaseline = "m.wkb"\ncadence = "1d"\n')
    save_baseline(baseline(frame(2000, seed=1)), tmp_path / "m.wkb")
    clock = FakeClock(T0)
    with open_project(tmp_path, clock=clock) as watch:
        rows = frame(2000)
        record(watch, rows)
        tell(watch, rows.assign(outcome=rows.outcome.map({1: yes, 0: no})))
        clock.advance(DAY)
        assert watch.tick().problems == []
        assert values(watch, "precision") == [pytest.approx(precision_score(rows.outcome, rows.prediction))]
        assert values(watch, "brier") == [pytest.approx(brier_score_loss(rows.outcome, rows.score))]


def test_another_positive_class_than_the_baselines_is_refused_by_name(tmp_path):
    (tmp_path / "watchkeeper.toml").write_text('[models.m]\nbaseline = "m.wkb"\npositive = "0"\n')
    save_baseline(baseline(frame(200, seed=1)), tmp_path / "m.wkb")
    with (
        open_project(tmp_path, clock=FakeClock(T0)) as watch,
        pytest.raises(BadInput, match="taken with '1'"),
    ):
        watch.baseline("m")
