"""What a program that records its predictions can rely on."""

import logging
import math
import threading
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from watchkeeper.capture.events import Counters, Outcome, Prediction
from watchkeeper.capture.identity import millisecond_of
from watchkeeper.capture.journal import journals, read_after
from watchkeeper.capture.recorder import Recorder, confidence
from watchkeeper.errors import BadInput


def events_in(path, kind=(Prediction, Outcome)):
    return [
        e
        for journal in journals(path)
        for _, events in read_after(journal)
        for e in events
        if isinstance(e, kind)
    ]


def counters_in(path):
    total = {}
    for event in events_in(path, Counters):
        for name in ("recorded", "dropped", "sampled_out", "unencodable", "oversized", "errors"):
            total[name] = total.get(name, 0) + getattr(event, name)
    return total


class TestRecording:
    def test_everything_told_about_a_prediction_is_in_the_journal(self, tmp_path):
        with Recorder("churn", 3, path=tmp_path) as recorder:
            id = recorder.record(
                {"age": 41, "plan": "basic"}, True, score={"yes": 0.8, "no": 0.2}, at="2024-03-01T12:00:00Z",
                latency_s=0.25, error="late", tags={"country": "de"},
            )  # fmt: skip
        (event,) = events_in(tmp_path)
        assert event == Prediction(
            id=id, at_us=1709294400000000, features={"age": 41, "plan": "basic"}, prediction=True,
            score={"yes": 0.8, "no": 0.2}, latency_s=0.25, error="late", tags={"country": "de"},
        )  # fmt: skip

    def test_a_dict_changed_later_does_no_harm(self, tmp_path):
        row = {"age": 41, "past": [1, 2]}
        with Recorder("churn", 3, path=tmp_path) as recorder:
            recorder.record(row, 1)
            row["age"], row["new"] = 0, 1
            row["past"].append(3)
        assert events_in(tmp_path)[0].features == {"age": 41, "past": [1, 2]}

    def test_an_outcome_carries_the_id_that_record_returned(self, tmp_path):
        with Recorder("churn", 3, path=tmp_path) as recorder:
            id = recorder.record({}, 1)
            assert recorder.outcome(id, 0, at=datetime(2024, 3, 1, tzinfo=UTC)) == id
            recorder.outcome("order-17", 1)
        told = events_in(tmp_path, Outcome)
        assert [(o.id, o.actual) for o in told] == [(id, 0), ("order-17", 1)]
        assert told[0].at_us == 1709251200000000

    @pytest.mark.parametrize(
        ("at", "seconds"),
        [
            (datetime(2024, 3, 1, tzinfo=UTC), 1709251200),
            (datetime(2024, 3, 1), 1709251200),
            ("2024-03-01T01:00:00+01:00", 1709251200),
            (1709251200, 1709251200),
            (1709251200.5, 1709251200.5),
        ],
        ids=str,
    )
    def test_a_time_may_be_told_in_several_ways_and_its_id_agrees(self, tmp_path, at, seconds):
        with Recorder("churn", 3, path=tmp_path) as recorder:
            id = recorder.record({}, 1, at=at)
        assert events_in(tmp_path)[0].at_us == seconds * 1e6
        assert millisecond_of(id) == seconds * 1000

    @pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
    @pytest.mark.parametrize(
        "kind", [int, float, str, lambda n: str(float(n))], ids=["int", "float", "text", "float text"]
    )
    def test_a_number_counts_in_the_unit_that_its_size_shows(self, tmp_path, unit, kind):
        at = np.datetime64("2024-03-01T12:30:15")
        number = int(at.astype(f"datetime64[{unit}]").astype(int))
        with Recorder("churn", 3, path=tmp_path) as recorder:
            recorder.record({}, 1, at=kind(number))
            recorder.outcome("a", 1, at=kind(number))
        assert [e.at_us for e in events_in(tmp_path, (Prediction, Outcome))] == [
            int(at.astype("datetime64[us]").astype(int))
        ] * 2

    @pytest.mark.parametrize(
        "at",
        [
            "yesterday", "25/12/2024", "9999-12-31", "1900-01-01", "1970-01-01", "", 5, 20240301, 45_352.5, 10**30,
            math.nan, math.inf, True, pd.NaT, np.datetime64("NaT"), datetime(2300, 1, 1),
        ],
        ids=str,
    )  # fmt: skip
    def test_a_time_that_is_none_is_refused_and_counted(self, tmp_path, at):
        with Recorder("churn", 3, path=tmp_path, clock=lambda: 1_700_000_000.0) as recorder:
            assert isinstance(recorder.record({}, 1, at=at), str)
            recorder.outcome("a", 1, at=at)
        assert events_in(tmp_path, (Prediction, Outcome)) == []
        assert recorder.stats().dropped == 2
        assert "time" in recorder.stats().last_error or "1970" in recorder.stats().last_error

    @pytest.mark.parametrize(
        "id", [10_000, 10_000.0, np.int64(10_000), np.float32(10_000), Decimal("1E+4"), "10000"]
    )
    def test_an_id_is_one_name_whatever_type_holds_it(self, tmp_path, id):
        with Recorder("churn", 3, path=tmp_path) as recorder:
            assert recorder.record({}, 1, id=id) == recorder.outcome(id, 1) == "10000"
        assert [e.id for e in events_in(tmp_path, (Prediction, Outcome))] == ["10000"] * 2

    @pytest.mark.parametrize("id", [12.5, 2.0**53, math.inf, True], ids=str)
    def test_an_id_that_names_nothing_is_refused(self, tmp_path, id):
        with Recorder("churn", 3, path=tmp_path) as recorder:
            recorder.record({}, 1, id=id)
            recorder.outcome(id, 1)
            recorder.outcome(None, 1)
        assert events_in(tmp_path, (Prediction, Outcome)) == []
        assert recorder.stats().dropped == 3
        assert "id" in recorder.stats().last_error

    def test_a_model_may_have_any_name(self, tmp_path):
        for name in ("a/b", "..", "größe", "a b", "x" * 60):
            with Recorder(name, 1, path=tmp_path) as recorder:
                recorder.record({}, name)
            assert [e.prediction for j in journals(tmp_path, name) for _, es in read_after(j) for e in es
                    if isinstance(e, Prediction)] == [name]  # fmt: skip
        assert len(journals(tmp_path)) == 5

    def test_what_is_told_after_close_is_dropped_and_counted(self, tmp_path):
        recorder = Recorder("churn", 3, path=tmp_path)
        recorder.record({}, 1)
        assert recorder.close()
        recorder.record({}, 2)
        assert recorder.close()
        assert recorder.stats().dropped == 1
        assert len(events_in(tmp_path)) == 1

    def test_a_background_flush_comes_by_itself(self, tmp_path):
        recorder = Recorder("churn", 3, path=tmp_path, flush_interval_s=0.05)
        recorder.record({}, 1)
        parcel = recorder._outbox._unwritten[:1] or [recorder._outbox._current]
        assert parcel[0].wait(30)
        assert len(events_in(tmp_path)) == 1
        recorder.close()

    def test_many_threads_lose_and_repeat_nothing(self, tmp_path):
        with Recorder("churn", 3, path=tmp_path, flush_interval_s=0.01) as recorder:
            ids = [[] for _ in range(8)]

            def work(mine):
                for i in range(2_000):
                    mine.append(recorder.record({"i": i}, i))

            threads = [threading.Thread(target=work, args=(mine,)) for mine in ids]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        written = [e.id for e in events_in(tmp_path)]
        assert sorted(written) == sorted(id for mine in ids for id in mine)
        assert len(set(written)) == 16_000
        assert all(mine == sorted(mine) for mine in ids), "ids of one thread are in order of time"


class TestBounds:
    def test_a_full_buffer_drops_and_counts_and_the_count_is_in_the_journal(self, tmp_path):
        recorder = Recorder("churn", 3, path=tmp_path, buffer_events=10, flush_interval_s=1000)
        with recorder._outbox._writing:  # the flusher is kept out, so that the buffer stays full
            for i in range(25):
                recorder.record({"i": i}, i)
            assert recorder.stats().buffered == 10
        recorder.close()
        stats = recorder.stats()
        assert (stats.recorded, stats.dropped, stats.flushed) == (10, 15, 10)
        assert [e.prediction for e in events_in(tmp_path)] == list(range(10))
        assert counters_in(tmp_path)["dropped"] == 15
        assert counters_in(tmp_path)["recorded"] == 10

    def test_bytes_are_bounded_too(self, tmp_path):
        recorder = Recorder("churn", 3, path=tmp_path, buffer_bytes=10_000, flush_interval_s=1000)
        with recorder._outbox._writing:
            for i in range(25):
                recorder.record({"text": "x" * 1_000}, i)
        recorder.close()
        assert recorder.stats().dropped == 16

    def test_there_is_room_again_after_a_flush(self, tmp_path):
        with Recorder("churn", 3, path=tmp_path, buffer_events=10, flush_interval_s=1000) as recorder:
            for i in range(100):
                recorder.record({"i": i}, i)
                if i % 10 == 9:
                    assert recorder.flush()
        assert recorder.stats().dropped == 0

    def test_a_huge_prediction_is_recorded_without_its_features(self, tmp_path):
        with Recorder("churn", 3, path=tmp_path, max_event_bytes=1_000) as recorder:
            id = recorder.record({"image": b"x" * 5_000}, "cat", score=0.5)
        (event,) = events_in(tmp_path)
        assert (event.id, event.features, event.prediction, event.score) == (id, {}, "cat", 0.5)
        assert counters_in(tmp_path)["oversized"] == 1


class TestSamplingAndRedaction:
    def test_an_outcome_is_kept_exactly_when_its_prediction_was(self, tmp_path):
        with Recorder("churn", 3, path=tmp_path / "a", sample_rate=0.25) as recorder:
            for i in range(4_000):
                recorder.record({"i": i}, i, id=f"order-{i}")
        with Recorder("churn", 3, path=tmp_path / "b", sample_rate=0.25) as other:
            for i in range(4_000):
                other.outcome(f"order-{i}", i)
        predicted = {e.id for e in events_in(tmp_path / "a", Prediction)}
        assert predicted == {e.id for e in events_in(tmp_path / "b", Outcome)}
        assert 850 < len(predicted) < 1150, "more than 5 standard deviations from 1,000"
        assert {e.rate for e in events_in(tmp_path / "a")} == {0.25}
        assert counters_in(tmp_path / "a")["sampled_out"] == 4_000 - len(predicted)

    def test_dividing_by_the_rate_gives_the_true_number(self, tmp_path):
        with Recorder("churn", 3, path=tmp_path, sample_rate=0.1) as recorder:
            for i in range(20_000):
                recorder.record({"i": i}, i)
        estimate = sum(1 / e.rate for e in events_in(tmp_path))
        assert abs(estimate - 20_000) < 5 * (20_000 * 0.9 / 0.1) ** 0.5

    def test_dropped_columns_are_nowhere_in_the_file_and_hashed_ones_only_as_hashes(self, tmp_path):
        with Recorder(
            "churn", 3, path=tmp_path, drop=["name"], hash_columns=["card"], hash_key="secret"
        ) as recorder:
            recorder.record(
                {"name": "Ada Lovelace", "card": "4111-1111", "age": 36}, 1, tags={"name": "Ada L."}
            )
            recorder.record({"card": "4111-1111"}, 1)
            recorder.record({"card": None}, 1)
        first, second, third = (e.features for e in events_in(tmp_path))
        assert set(first) == {"card", "age"}
        assert first["card"] == second["card"] != "4111-1111"
        assert third["card"] is None
        assert events_in(tmp_path)[0].tags == {}
        raw = journals(tmp_path)[0].read_bytes()
        assert b"Lovelace" not in raw
        assert b"4111" not in raw

    def test_another_key_gives_another_hash(self, tmp_path):
        for key in ("a", "b"):
            with Recorder("m", 1, path=tmp_path, hash_columns=["c"], hash_key=key) as recorder:
                recorder.record({"c": "x"}, 1)
        assert len({e.features["c"] for e in events_in(tmp_path)}) == 2

    def test_unsure_predictions_are_marked_for_labelling(self, tmp_path):
        with Recorder("churn", 3, path=tmp_path, label_below=0.6) as recorder:
            for score in (0.5, 0.55, 0.7, 0.1, [0.4, 0.35, 0.25], {"a": 0.9, "b": 0.1}, None, "high"):
                recorder.record({}, 1, score=score)
        assert [e.label for e in events_in(tmp_path)] == [True, True, False, False, True, False, False, False]

    def test_confidence_of_numpy_scores(self):
        np = pytest.importorskip("numpy")
        assert confidence(np.array([0.25, 0.75])) == 0.75
        assert confidence(np.float32(0.25)) == 0.75


class TestStrict:
    def test_record_returns_after_the_commit(self, tmp_path):
        recorder = Recorder("churn", 3, path=tmp_path, durability="strict", flush_interval_s=1000)
        for i in range(20):
            receipt = recorder.record({"i": i}, i)
            assert receipt.committed
            assert [e.id for e in events_in(tmp_path)][-1] == receipt
        recorder.close()

    def test_threads_share_a_commit(self, tmp_path):
        recorder = Recorder("churn", 3, path=tmp_path, durability="strict")
        together = threading.Barrier(16)
        committed = []

        def work():
            together.wait()
            committed.extend(recorder.record({}, i).committed for i in range(20))

        threads = [threading.Thread(target=work) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        recorder.close()
        assert committed == [True] * 320
        (journal,) = journals(tmp_path)
        assert len(list(read_after(journal))) < 320, "fewer flushes than predictions"

    def test_a_commit_that_takes_too_long_is_told_and_not_waited_for(self, tmp_path, caplog):
        (tmp_path / "journals").write_text("a file where the folder should be")
        recorder = Recorder("churn", 3, path=tmp_path, durability="strict", strict_timeout_s=0.05)
        with caplog.at_level(logging.CRITICAL):
            receipt = recorder.record({}, 1)
            assert not receipt.committed
            assert [r.committed for r in recorder.record_all([{"features": {}}] * 3)] == [False] * 3
            recorder.close()

    @pytest.mark.parametrize("durability", ["interval", "strict"])
    def test_predictions_made_together_are_recorded_in_their_order(self, tmp_path, durability):
        recorder = Recorder("churn", 3, path=tmp_path, durability=durability)
        ids = recorder.record_all({"features": {"i": i}, "prediction": i, "id": f"r{i}"} for i in range(50))
        assert ids == [f"r{i}" for i in range(50)]
        recorder.flush()
        assert [e.id for e in events_in(tmp_path)] == ids
        recorder.close()

    def test_predictions_made_together_wait_for_one_commit(self, tmp_path):
        recorder = Recorder("churn", 3, path=tmp_path, durability="strict", flush_interval_s=1000)
        ids = recorder.record_all({"features": {"i": i}} for i in range(200))
        assert all(i.committed for i in ids)
        (journal,) = journals(tmp_path)
        assert len(list(read_after(journal))) <= 3, "not one flush for each"
        assert recorder.record({}, 1).committed, "a single one waits by itself again"
        recorder.close()

    def test_what_is_sampled_out_of_them_needs_no_commit(self, tmp_path):
        recorder = Recorder("churn", 3, path=tmp_path, durability="strict", sample_rate=0.5)
        ids = recorder.record_all({"features": {}, "id": f"r{i}"} for i in range(100))
        recorder.close()
        kept = {e.id for e in events_in(tmp_path)}
        assert 20 < len(kept) < 80
        assert {i for i in ids if getattr(i, "committed", False)} == kept


class TestOptions:
    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"durability": "sometimes"}, "durability"),
            ({"sample_rate": 0}, "sample_rate"),
            ({"sample_rate": 1.5}, "sample_rate"),
            ({"hash_columns": ["a"]}, "hash_key"),
            ({"hash_columns": ["a"], "hash_key": "k" * 65}, "64"),
            ({"drop": "name"}, "list"),
            ({"flush_interval_s": 0}, "flush_interval_s"),
            ({"buffer_events": 0}, "buffer_events"),
        ],
    )
    def test_an_option_that_makes_no_sense_is_refused_at_the_start(self, tmp_path, options, words):
        with pytest.raises(BadInput, match=words):
            Recorder("churn", 3, path=tmp_path, **options)

    def test_a_model_needs_a_name(self, tmp_path):
        with pytest.raises(BadInput, match="name"):
            Recorder(" ", 3, path=tmp_path)

    def test_every_option_is_explained(self):
        import inspect

        options = set(inspect.signature(Recorder).parameters)
        explained = {
            name
            for name in options
            if f"{name}\n" in Recorder.__doc__
            or f"{name}, " in Recorder.__doc__
            or f", {name}" in Recorder.__doc__
        }
        assert options == explained
