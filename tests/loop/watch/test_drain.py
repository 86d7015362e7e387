"""What was acknowledged is in the lake exactly once, whatever is repeated, and its windows are marked."""

import json
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from watchkeeper.adapters.lakes.delta import open_lake
from watchkeeper.adapters.ledgers.sql import open_ledger
from watchkeeper.capture.journal import journals
from watchkeeper.capture.recorder import Recorder
from watchkeeper.domain.watched import WatchedModel
from watchkeeper.domain.window import Window
from watchkeeper.loop.watch import drain as drain_module
from watchkeeper.loop.watch.drain import drain

T0 = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
MODEL = WatchedModel(name="m")


@pytest.fixture
def ledger(tmp_path):
    ledger = open_ledger(tmp_path / "ledger.db")
    yield ledger
    ledger.close()


@pytest.fixture
def lake(tmp_path):
    return open_lake(tmp_path / "lake")


@pytest.fixture
def recorder(tmp_path):
    with Recorder("m", "1", path=tmp_path, flush_interval_s=60) as recorder:
        yield recorder


def drained(model, data, lake, ledger, *, holder="here", now=T0, **rest):
    lease = ledger.leases.acquire("tick", holder, timedelta(minutes=5), now)
    return drain(model, data=data, lake=lake, ledger=ledger, lease=lease, **rest)


def moved(recorder, tmp_path, lake, ledger, model=MODEL):
    assert recorder.flush()
    done = drained(model, tmp_path, lake, ledger)
    assert done.problems == []
    return done


def rows_of(lake, start=T0, hours=24):
    batches = list(lake.joined("m", Window(start, start + hours * HOUR)))
    return sorted(pa.Table.from_batches(batches).to_pylist(), key=lambda r: r["wk_id"]) if batches else []


def test_predictions_and_late_outcomes_meet(recorder, tmp_path, lake, ledger):
    for i in range(10):
        recorder.record({"age": 20 + i, "plan": "pro"}, i % 2, score=i / 10, id=f"p{i}", at=T0 + i * HOUR)
    done = moved(recorder, tmp_path, lake, ledger)
    assert (done.predictions, done.outcomes, done.windows) == (10, 0, 10)
    assert len(ledger.windows.dirty()) == 10
    recorder.outcome("p3", 1)
    recorder.outcome("p4", 0)
    done = moved(recorder, tmp_path, lake, ledger)
    assert (done.outcomes, done.windows) == (2, 2)
    rows = rows_of(lake)
    assert [r["wk_actual"] for r in rows] == [None] * 3 + [1.0, 0.0] + [None] * 5
    assert rows[3]["age"] == 23.0
    assert rows[3]["plan"] == "pro"
    assert rows[3]["wk_score"] == 0.3
    assert not any(list(drain_module.read_flushes(p)) for p in journals(tmp_path, "m"))


def test_draining_again_changes_nothing(recorder, tmp_path, lake, ledger, monkeypatch):
    """A crash after the lake's commit and before the journal forgets: the flushes come again."""
    recorder.record({"x": 1.0}, 0, id="a", at=T0)
    recorder.outcome("a", 1)
    assert recorder.flush()
    monkeypatch.setattr(drain_module, "delete_through", lambda path, sequence: 0)
    first = drained(MODEL, tmp_path, lake, ledger)
    again = drained(MODEL, tmp_path, lake, ledger)
    assert (first.predictions, first.outcomes) == (1, 1)
    assert (again.predictions, again.outcomes) == (0, 0)
    assert again.windows == 1, "the windows are marked again: the crash may have come before the mark"
    recorder.record({"x": 2.0}, 0, id="b", at=T0)
    assert recorder.flush()
    third = drained(MODEL, tmp_path, lake, ledger)
    assert third.predictions == 1
    assert [r["wk_id"] for r in rows_of(lake)] == ["a", "b"]


def test_an_id_that_was_sent_again_is_kept_once(recorder, tmp_path, lake, ledger):
    recorder.record({"x": 1.0}, 0, id="a", at=T0)
    recorder.record({"x": 1.0}, 0, id="a", at=T0)
    assert moved(recorder, tmp_path, lake, ledger).duplicates == 1
    recorder.record({"x": 9.0}, 0, id="a", at=T0 + HOUR)
    assert moved(recorder, tmp_path, lake, ledger).duplicates == 1
    assert [r["x"] for r in rows_of(lake)] == [1.0]


def test_an_outcome_that_is_corrected_counts_as_corrected(recorder, tmp_path, lake, ledger):
    recorder.record({"x": 1.0}, 0, id="a", at=T0)
    recorder.outcome("a", 0)
    moved(recorder, tmp_path, lake, ledger)
    recorder.outcome("a", 1)
    assert moved(recorder, tmp_path, lake, ledger).revisions == 1
    assert [r["wk_actual"] for r in rows_of(lake)] == [1.0]


def test_an_outcome_before_its_prediction_waits_for_it(recorder, tmp_path, lake, ledger):
    recorder.outcome("order-7", 1)
    assert moved(recorder, tmp_path, lake, ledger).unplaced == 1
    assert ledger.windows.dirty() == []
    recorder.record({"x": 1.0}, 0, id="order-7", at=T0 + 2 * HOUR)
    moved(recorder, tmp_path, lake, ledger)
    assert [r["wk_actual"] for r in rows_of(lake)] == [1.0]
    assert lake.take_unplaced("m") is None


def test_our_own_ids_need_no_index(recorder, tmp_path, lake, ledger):
    made = recorder.record({"x": 1.0}, 0)
    moved(recorder, tmp_path, lake, ledger)
    assert lake.columns("m", "places") == {}
    recorder.outcome(made, 1)
    assert moved(recorder, tmp_path, lake, ledger).unplaced == 0


def test_batches_and_single_records_share_one_table(recorder, tmp_path, lake, ledger):
    recorder.record({"x": 1.0, "name": "a"}, 0, id="one", at=T0)
    recorder.record_batch(
        {
            "key": ["b1", "b2"],
            "when": pa.array([T0, T0 + HOUR], pa.timestamp("us", tz="UTC")),
            "y": [1, 0],
            "p": [0.9, 0.1],
            "x": [2, 3],
            "name": ["b", None],
        },
        id="key",
        at="when",
        prediction="y",
        score="p",
    )
    recorder.outcomes({"key": ["b1"], "truth": [1]}, id="key", actual="truth")
    done = moved(recorder, tmp_path, lake, ledger)
    assert (done.predictions, done.outcomes, done.unplaced) == (3, 1, 0)
    rows = rows_of(lake)
    assert [(r["wk_id"], r["x"], r["name"], r["wk_score"], r["wk_actual"]) for r in rows] == [
        ("b1", 2.0, "b", 0.9, 1.0),
        ("b2", 3.0, None, 0.1, None),
        ("one", 1.0, "a", None, None),
    ]


def test_values_of_another_type_are_rescued_row_by_row(recorder, tmp_path, lake, ledger):
    for i, value in enumerate([1.5, 2, "n/a", None, 3.5]):
        recorder.record({"x": value}, 0, id=f"p{i}", at=T0)
    moved(recorder, tmp_path, lake, ledger)
    rows = rows_of(lake)
    assert [r["x"] for r in rows] == [1.5, 2.0, None, None, 3.5]
    assert [json.loads(r["wk_rescued"]) if r["wk_rescued"] else None for r in rows] == [
        None,
        None,
        {"x": "n/a"},
        None,
        None,
    ]


def test_scores_of_several_classes_are_columns(recorder, tmp_path, lake, ledger):
    recorder.record({"x": 1.0}, "cat", score={"cat": 0.7, "dog": 0.3}, id="a", at=T0)
    moved(recorder, tmp_path, lake, ledger)
    (row,) = rows_of(lake)
    assert (row["wk_score:cat"], row["wk_score:dog"], row["wk_prediction"]) == (0.7, 0.3, "cat")


def test_losses_are_counted_in_the_lake(tmp_path, lake, ledger):
    with Recorder("m", "1", path=tmp_path, flush_interval_s=60, buffer_events=5) as recorder:
        for i in range(50):
            recorder.record({"x": float(i)}, 0, id=f"p{i}", at=T0)
        recorder.flush()
        drained(MODEL, tmp_path, lake, ledger)
        kept, dropped = len(rows_of(lake)), recorder.stats().dropped
    drained(MODEL, tmp_path, lake, ledger)
    assert kept + dropped == 50
    counters = lake.counters("m", datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
    assert counters["dropped"] == dropped > 0


def test_a_broken_journal_holds_up_no_other(recorder, tmp_path, lake, ledger):
    recorder.record({"x": 1.0}, 0, id="a", at=T0)
    assert recorder.flush()
    folder = journals(tmp_path, "m")[0].parent
    (folder / "journal-999.db").write_bytes(b"this is no database" * 100)
    done = drained(MODEL, tmp_path, lake, ledger)
    assert done.predictions == 1
    assert any("journal-999" in p for p in done.problems)


def test_windows_longer_and_shorter_than_an_hour_are_marked(recorder, tmp_path, lake, ledger):
    day = WatchedModel(name="m", cadence=timedelta(days=1))
    recorder.record({"x": 1.0}, 0, id="a", at=T0 + 5 * HOUR)
    moved(recorder, tmp_path, lake, ledger, day)
    assert [s.key.window for s in ledger.windows.dirty()] == [Window(T0, T0 + 24 * HOUR)]
