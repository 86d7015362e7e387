"""Old things are kept smaller, or not at all, and what is merged from them still says the same."""

import contextlib
import shutil
import zlib
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow.parquet as pq
import pytest

from watchkeeper.capture.journal import journals
from watchkeeper.capture.recorder import Recorder
from watchkeeper.domain.window import Window
from watchkeeper.loop.batch.profiling import baseline, load_baseline, save_baseline
from watchkeeper.loop.labels.forget import forget
from watchkeeper.loop.labels.labelling import label_next, requests
from watchkeeper.loop.watch.lease import LEASE, LEASE_FOR
from watchkeeper.loop.watch.retention import maintain
from watchkeeper.testing.clock import FakeClock
from watchkeeper.wiring import open_project

pytestmark = pytest.mark.slow

T0 = datetime(2026, 3, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def table(n, seed, days=3, prefix="r"):
    dice = np.random.default_rng(seed)
    x = dice.normal(size=n)
    p = 1 / (1 + np.exp(-x))
    times = np.sort(dice.uniform(0, days * 86400, n))
    return {
        "id": [f"{prefix}{i}" for i in range(n)],
        "at": [T0 + timedelta(seconds=float(s)) for s in times],
        "x": x,
        "score": p,
        "prediction": (p > 0.5).astype(int),
    } | {"outcome": (dice.random(n) < p).astype(int)}


@pytest.fixture(scope="module")
def drained(tmp_path_factory):
    """The project after its first tick, made once; each test has a copy of its own."""
    folder = tmp_path_factory.mktemp("drained") / "project"
    folder.mkdir()
    (folder / "watchkeeper.toml").write_text(
        '[models.m]\ntask = "binary"\nbaseline = "m.wkb"\nsegments = ["plan"]\n[models.m.retention]\nrows = "100d"\nfull_profiles = "10d"\n'
        'measurements = "200d"\n'
    )
    save_baseline(baseline(table(3000, 1, prefix="r"), roles={"at": "time"}), folder / "m.wkb")
    with open_project(folder, clock=FakeClock(T0 + 3 * DAY)) as watch:
        watch.judges = ()
        rows = table(2000, 2)
        with Recorder("m", "1", path=watch.data) as recorder:
            recorder.record_batch({k: v for k, v in rows.items() if k != "outcome"})
            recorder.outcomes({"id": rows["id"], "actual": rows["outcome"]})
        assert watch.tick().to_dict()["problems"] == []
    return folder


@pytest.fixture
def watch(drained, tmp_path):
    shutil.copytree(drained, tmp_path, dirs_exist_ok=True)
    with open_project(tmp_path, clock=FakeClock(T0 + 3 * DAY)) as watch:
        watch.judges = ()
        yield watch


def merged(watch):
    out = None
    for stored in watch.windows("m", Window(T0, T0 + 3 * DAY)):
        out = stored if out is None else out.merge(stored)
    return out.profile.estimate()


def bins(watch):
    return {
        len(s.profile.estimate()["x"].histogram.counts) for s in watch.windows("m", Window(T0, T0 + 3 * DAY))
    }


def test_old_profiles_become_coarse_and_say_the_same(watch):
    before = merged(watch)
    assert bins(watch) == {2048}
    watch.clock.now = T0 + 12 * DAY
    done = maintain(watch, watch.model("m"), watch.lease(LEASE, LEASE_FOR), now_please=True).done
    assert done["profiles.coarsened_days"] == 2
    assert bins(watch) == {64, 2048}
    watch.clock.now = T0 + 20 * DAY
    maintain(watch, watch.model("m"), watch.lease(LEASE, LEASE_FOR), now_please=True)
    assert bins(watch) == {64}
    after = merged(watch)
    assert after.rows == before.rows
    assert after["x"].moments.mean == pytest.approx(before["x"].moments.mean)
    assert after["x"].histogram.counts.tolist() == before["x"].histogram.coarsen(64).counts.tolist()
    auc = [p.performance["score_table"].auc()[0] for p in (before, after)]
    assert auc[0] == auc[1]


def test_an_old_window_that_gets_late_outcomes_is_stored_coarse_at_once(watch):
    watch.clock.now = T0 + 20 * DAY
    maintain(watch, watch.model("m"), watch.lease(LEASE, LEASE_FOR), now_please=True)
    with Recorder("m", "1", path=watch.data) as recorder:
        recorder.outcome("r0", 1)
    assert watch.tick().stored_windows == 1
    assert bins(watch) == {64}


def test_rows_and_measurements_go_when_their_time_is_over(watch):
    watch.clock.now = T0 + 250 * DAY
    done = maintain(watch, watch.model("m"), watch.lease(LEASE, LEASE_FOR), now_please=True).done
    assert done["predictions.expired_days"] == 3
    assert done["measurements.dropped"] > 0
    assert watch.lake.days("m") == []
    assert watch.measurements("m").num_rows == 0
    assert merged(watch).rows == 2000, "profiles stay"


def test_upkeep_is_done_at_most_every_ten_minutes(watch):
    watch.clock.advance(HOUR)
    assert maintain(watch, watch.model("m"), watch.lease(LEASE, LEASE_FOR)).done is not None
    first = watch.ledger.facts.document("upkeep", "m").updated_at
    watch.clock.advance(timedelta(minutes=5))
    maintain(watch, watch.model("m"), watch.lease(LEASE, LEASE_FOR))
    assert watch.ledger.facts.document("upkeep", "m").updated_at == first
    watch.clock.advance(timedelta(minutes=6))
    maintain(watch, watch.model("m"), watch.lease(LEASE, LEASE_FOR))
    assert watch.ledger.facts.document("upkeep", "m").updated_at > first


def texts_in(path):
    """Everything that a file says: its bytes, and what is packed in them."""
    yield path.read_bytes()
    if path.suffix == ".parquet":
        yield str(pq.ParquetFile(path).read().to_pydict()).encode()
    if path.suffix == ".db":
        raw = path.read_bytes()
        for at in [i for i in range(len(raw) - 2) if raw[i : i + 2] == b"\x78\x01"]:  # where zlib may begin
            with contextlib.suppress(zlib.error):
                yield zlib.decompressobj().decompress(raw[at:])


def traces(folder, *words):
    return sorted(
        {
            (path.relative_to(folder).parts[-1], word)
            for path in folder.rglob("*")
            if path.is_file()
            for text in texts_in(path)
            for word in words
            if word.encode() in text
        }
    )


SECRET, GONE = "find-me-nowhere", "gone-1"


def test_what_is_forgotten_is_in_no_file_and_in_no_number(watch, tmp_path):
    """Also not in free pages of journals, logs of databases, packed blobs, statistics of files, or names of segments."""
    with Recorder("m", "1", path=watch.data) as recorder:
        for i in range(200):  # enough that a flush is packed
            recorder.record({"x": 1.0, "plan": "basic"}, 1, score=0.5, id=f"stays-{i}", at=T0 + HOUR)
        recorder.record({"x": 3.0, "plan": SECRET}, 1, score=0.9, id=GONE, at=T0 + HOUR)
        recorder.outcome(GONE, 1)
    assert traces(watch.data, SECRET, GONE) == [("journal-000.db", SECRET), ("journal-000.db", GONE)]
    watch.tick()
    assert ("journal-000.db", GONE) not in traces(watch.data, GONE), "drained, and wiped from its free pages"
    with Recorder("m", "1", path=watch.data) as recorder:
        recorder.record({"x": 3.0, "plan": SECRET}, 1, score=0.9, id=GONE, at=T0 + 2 * HOUR)
    assert label_next(watch, "m", budget=150).ids.count(GONE) in (0, 1)
    watch.clock.advance(timedelta(minutes=1))
    sample = load_baseline(tmp_path / "m.wkb").sample
    segments = set(watch.measurements("m")["segment"].to_pylist())
    assert {"plan=basic", f"plan={SECRET}"} <= segments
    assert {place for place, _ in traces(watch.data, SECRET)} & {"ledger.db", "ledger.db-wal"}

    done = forget(watch, "m", ids=[GONE, "r7"], actor="test")

    assert (done.predictions, done.outcomes, done.baseline_rows) == (2, 2, 1)
    assert (done.problems, done.not_rebuildable) == ([], [])
    assert traces(watch.data, SECRET, GONE) == []
    assert merged(watch).rows == 2000 + 201 - 2
    assert set(watch.measurements("m")["segment"].to_pylist()) == segments - {f"plan={SECRET}"}
    assert load_baseline(tmp_path / "m.wkb").sample.size == sample.size - 1
    assert len(journals(watch.data, "m")) >= 1
    facts = watch.ledger.facts.facts(kinds=["rows.forgotten"])
    assert [f.body["predictions"] for f in facts] == [2]
    assert GONE not in str(facts)


def test_a_request_for_labels_keeps_nothing_of_who_is_forgotten(watch):
    with Recorder("m", "1", path=watch.data) as recorder:
        for i in range(30):
            recorder.record({"x": 1.0}, 1, score=0.5, id=f"open-{i}", at=T0 + 50 * HOUR)
    watch.tick()
    asked = label_next(watch, "m", budget=10)
    assert forget(watch, "m", ids=[asked.ids[3]], actor="test").label_rows == 1
    (kept,) = requests(watch, "m")
    assert [i for i in asked.ids if i not in kept.ids] == [asked.ids[3]]
    assert (kept.ids[3], kept.predictions[3], kept.scores[3]) == ("", None, None)
    assert kept.probabilities == asked.probabilities
    assert traces(watch.data, asked.ids[3]) == []


@pytest.mark.parametrize("step", ["_hours_of", "clean"])
def test_forgetting_that_was_cut_short_is_finished_by_forgetting_again(watch, monkeypatch, step):
    owner = watch.lake.files if step == "clean" else watch.lake
    monkeypatch.setattr(type(owner), step, broken)
    with pytest.raises(RuntimeError, match="the power went"):
        forget(watch, "m", ids=["r7"], actor="test")
    monkeypatch.undo()
    done = forget(watch, "m", ids=["r7"], actor="test")
    assert done.rebuilt_windows, "its window was marked before the rows went"
    assert merged(watch).rows == 1999
    assert traces(watch.data / "lake", "r7'") == []


def broken(*_, **__):
    raise RuntimeError("the power went")


def test_a_window_whose_rows_have_expired_says_that_it_cannot_be_rebuilt(watch):
    watch.clock.now = T0 + 102 * DAY
    done = forget(watch, "m", ids=["r1"], actor="test")
    assert done.not_rebuildable == ["2026-03-01T00:00Z/PT1H"]
    assert done.rebuilt_windows == []
