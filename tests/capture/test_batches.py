"""Many rows at once, from any frame, are what the same rows recorded one by one would be."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from watchkeeper.capture.batch_rows import table_in
from watchkeeper.capture.events import Batch, Counters, Prediction
from watchkeeper.capture.identity import millisecond_of
from watchkeeper.capture.journal import journals, read_after
from watchkeeper.capture.recorder import Recorder

COLUMNS = {"age": [41, 36, None], "plan": ["basic", None, "pro"]}


def events_in(path, kind=Batch):
    return [
        e for journal in journals(path) for _, es in read_after(journal) for e in es if isinstance(e, kind)
    ]


class Exporter:
    """The least that a frame library offers."""

    def __init__(self, table):
        self._table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self._table.__arrow_c_stream__(requested_schema)


class TestFrames:
    @pytest.mark.parametrize(
        "frame",
        [
            COLUMNS,
            pa.table(COLUMNS),
            pa.RecordBatch.from_pydict(COLUMNS),
            Exporter(pa.table(COLUMNS)),
            pd.DataFrame(
                {"age": pd.array([41, 36, None], "Int64"), "plan": ["basic", None, "pro"]}, index=[5, 6, 7]
            ),
            [{"age": 41, "plan": "basic"}, {"age": 36}, {"plan": "pro"}],
        ],
        ids=lambda f: type(f).__name__,
    )
    def test_any_frame_gives_the_same_rows(self, tmp_path, frame):
        with Recorder("m", 1, path=tmp_path) as recorder:
            ids = recorder.record_batch(frame, latency_s=0.5, tags={"t": 1})
        (batch,) = events_in(tmp_path)
        rows = table_in(batch)
        assert rows.select(["age", "plan"]).to_pydict() == COLUMNS
        assert rows.column(batch.roles["id"]).to_pylist() == ids
        assert [millisecond_of(id) for id in ids] == [batch.at_us // 1000] * 3
        assert (batch.rows, batch.latency_s, batch.tags, batch.rate) == (3, 0.5, {"t": 1}, 1.0)
        assert recorder.stats().flushed == 3

    def test_a_matrix_gets_names(self, tmp_path):
        with Recorder("m", 1, path=tmp_path) as recorder:
            recorder.record_batch(np.array([[1.5, 2.0], [3.0, 4.0]]))
        (batch,) = events_in(tmp_path)
        assert table_in(batch).select(["x0", "x1"]).to_pydict() == {"x0": [1.5, 3.0], "x1": [2.0, 4.0]}

    def test_a_column_that_arrow_refuses_becomes_text_and_is_counted(self, tmp_path):
        with Recorder("m", 1, path=tmp_path) as recorder:
            recorder.record_batch({"mixed": [1, "a", None, [2]], "x": [1, 2, 3, 4]})
        (batch,) = events_in(tmp_path)
        assert table_in(batch).select(["mixed", "x"]).to_pydict() == {
            "mixed": ["1", "a", None, "[2]"],
            "x": [1, 2, 3, 4],
        }
        assert recorder.stats().unencodable == 2

    def test_a_frame_that_is_none_harms_nobody(self, tmp_path):
        with Recorder("m", 1, path=tmp_path) as recorder:
            assert recorder.record_batch(object()) == []
            assert recorder.record_batch({"a": [1, 2], "b": [1]}) == []
            assert recorder.record_batch({"a": [1]}, score="skore") == []
            assert recorder.outcomes({"a": [1]}) == 0
        assert events_in(tmp_path) == []
        stats = recorder.stats()
        assert stats.recorded == 0
        assert stats.dropped >= 4
        assert "id" in stats.last_error

    def test_an_empty_frame_is_nothing(self, tmp_path):
        with Recorder("m", 1, path=tmp_path) as recorder:
            assert recorder.record_batch({"a": []}) == []
        assert events_in(tmp_path) == []


class TestRoles:
    def test_named_and_conventional_columns(self, tmp_path):
        frame = {"key": [1, 2], "x": [5, 6], "prediction": ["a", "b"], "p_a": [0.9, 0.2], "p_b": [0.1, 0.8]}
        with Recorder("m", 1, path=tmp_path) as recorder:
            ids = recorder.record_batch(frame, id="key", score={"a": "p_a", "b": "p_b"})
        (batch,) = events_in(tmp_path)
        assert ids == ["1", "2"]
        assert batch.roles == {"id": "key", "prediction": "prediction", "score:a": "p_a", "score:b": "p_b"}

    @pytest.mark.parametrize(
        "at",
        [
            pa.array([1709251200, 1709251201], pa.timestamp("s")),
            pa.array([1709251200_000000000, 1709251201_000000000], pa.timestamp("ns", "Europe/Berlin")),
            [1709251200, 1709251201],
            ["2024-03-01T00:00:00Z", "2024-03-01T01:00:01+01:00"],
        ],
        ids=["naive", "zoned", "seconds", "text"],
    )
    def test_times_are_brought_to_utc_and_into_the_ids(self, tmp_path, at):
        with Recorder("m", 1, path=tmp_path) as recorder:
            ids = recorder.record_batch({"x": [1, 2], "at": at})
        (batch,) = events_in(tmp_path)
        column = table_in(batch).column("at")
        assert column.type == pa.timestamp("us", "UTC")
        assert column.cast(pa.int64()).to_pylist() == [1709251200_000000, 1709251201_000000]
        assert [millisecond_of(id) for id in ids] == [1709251200_000, 1709251201_000]

    def test_a_missing_time_is_now_and_a_missing_id_is_made(self, tmp_path):
        with Recorder("m", 1, path=tmp_path, clock=lambda: 1_700_000_000.0) as recorder:
            ids = recorder.record_batch({"id": ["a", None], "at": [None, 5]})
        (batch,) = events_in(tmp_path)
        assert table_in(batch).column("at").cast(pa.int64()).to_pylist() == [1_700_000_000_000_000, 5_000_000]
        assert ids[0] == "a"
        assert millisecond_of(ids[1]) == 5_000

    def test_outcomes(self, tmp_path):
        with Recorder("m", 1, path=tmp_path) as recorder:
            assert (
                recorder.outcomes(pd.DataFrame({"id": ["a", "b"], "late": [True, False]}), actual="late") == 2
            )
        (batch,) = events_in(tmp_path)
        assert (batch.what, batch.roles) == ("outcomes", {"id": "id", "actual": "late"})


class TestOptions:
    def test_redaction_and_sampling_agree_with_single_records(self, tmp_path):
        options = {"sample_rate": 0.3, "drop": ["name"], "hash_columns": ["card"], "hash_key": "k"}
        names = [f"id-{i}" for i in range(2_000)]
        frame = {"id": names, "name": ["Ada"] * 2_000, "card": [i % 7 for i in range(2_000)]}
        with Recorder("m", 1, path=tmp_path / "batch", **options) as recorder:
            recorder.record_batch(frame)
        with Recorder("m", 1, path=tmp_path / "single", **options) as other:
            for i, id in enumerate(names):
                other.record({"name": "Ada", "card": i % 7}, id=id)
        (batch,) = events_in(tmp_path / "batch")
        single = events_in(tmp_path / "single", Prediction)
        rows = table_in(batch).select(["id", "card"]).to_pylist()
        assert rows == [{"id": e.id, **e.features} for e in single]
        assert batch.rate == 0.3
        assert recorder.stats().sampled_out == other.stats().sampled_out == 2_000 - len(single)

    def test_unsure_rows_are_marked(self, tmp_path):
        with Recorder("m", 1, path=tmp_path, label_below=0.7) as recorder:
            recorder.record_batch({"score": [0.1, 0.5, 0.9, None]})
        (batch,) = events_in(tmp_path)
        assert table_in(batch).column(batch.label).to_pylist() == [False, True, False, False]

    def test_a_large_batch_is_cut_and_counted_by_rows(self, tmp_path):
        values = np.random.default_rng(0).normal(size=(150_000, 8))
        with Recorder("m", 1, path=tmp_path) as recorder:
            ids = recorder.record_batch(values)
        batches = events_in(tmp_path)
        assert len(batches) >= 3
        assert sum(b.rows for b in batches) == len(set(ids)) == 150_000
        assert np.array_equal(
            np.concatenate([table_in(b).column("x3").to_numpy() for b in batches]), values[:, 3]
        )
        assert sum(c.recorded for c in events_in(tmp_path, Counters)) == 150_000

    def test_what_finds_no_room_is_counted_by_rows(self, tmp_path):
        with Recorder("m", 1, path=tmp_path, buffer_bytes=1_000) as recorder:
            recorder.record_batch({"x": np.random.default_rng(0).normal(size=5_000)})
        assert recorder.stats().dropped == 5_000


def test_neither_numpy_nor_pyarrow_is_imported_before_a_batch(tmp_path):
    program = f"""
import sys
from watchkeeper.capture import recorder, wrapping, watching, asgi, wsgi
with recorder.Recorder("m", 1, path={str(tmp_path)!r}, label_below=0.9, drop=["b"]) as r:
    r.record({{"a": 1}}, 1, score=0.5); r.record([1, 2], 1); r.outcome("x", 1); r.flush()
    heavy = {{"numpy", "pyarrow", "pandas", "scipy", "sklearn", "duckdb", "starlette", "flask"}} & set(sys.modules)
    assert not heavy, heavy
    r.record_batch({{"a": [1]}})
    assert "pyarrow" in sys.modules
assert r.stats().flushed == 4
"""
    subprocess.run([sys.executable, "-c", program], check=True)
