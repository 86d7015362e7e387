"""Many rows at once, from any frame, are what the same rows recorded one by one would be."""

import subprocess
import sys
from datetime import date, datetime
from decimal import Decimal

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

    @pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
    @pytest.mark.parametrize("kind", ["int64", "float64", "str", "uint64", "object"])
    def test_numbers_count_in_the_unit_that_their_size_shows(self, tmp_path, unit, kind):
        at = pd.Series(pd.to_datetime(["2024-03-01 12:30:15", "2026-11-29 23:59:59"])).dt.as_unit(unit)
        with Recorder("m", 1, path=tmp_path) as recorder:
            recorder.record_batch(pd.DataFrame({"x": [1, 2], "at": at.astype("int64").astype(kind)}))
        (batch,) = events_in(tmp_path)
        assert table_in(batch)["at"].to_pandas().dt.tz_localize(None).tolist() == at.tolist()

    @pytest.mark.parametrize(
        ("at", "said"),
        [
            ([None, 1709251200], "it has no time"),
            ([float("nan"), 1709251200.5], "it has no time"),
            (
                ["25/12/2024", "2024-03-01"],
                "'25/12/2024' cannot be read; write times as 2024-12-25T13:45:00Z",
            ),
            (["", "2024-03-01"], "it has no time"),
            ([5, 1709251200], "time 5 lies before"),
            ([20240301, 1709251200], "20240301 counts neither seconds nor less"),
            (["20240301.0", "1709251200.5"], "counts neither seconds nor less"),
            (pa.array([datetime(9999, 12, 31), datetime(2024, 3, 1)], pa.timestamp("us")), "years ahead"),
            (
                pa.array([datetime(1900, 1, 1), datetime(2024, 3, 1)], pa.timestamp("s")),
                "before 2 January 1970",
            ),
            (pa.array([-(2**62), 1709251200], pa.int64()), "before 2 January 1970"),
            ([date(2262, 1, 1), date(2024, 3, 1)], "years ahead"),
        ],
        ids=str,
    )
    def test_a_row_without_a_time_that_can_be_is_refused_and_the_others_kept(self, tmp_path, at, said):
        with Recorder("m", 1, path=tmp_path, clock=lambda: 1_800_000_000.0) as recorder:
            ids = recorder.record_batch({"id": ["a", "b"], "at": at})
        (batch,) = events_in(tmp_path)
        assert (ids, table_in(batch)["id"].to_pylist(), batch.rows) == (["a", "b"], ["b"], 1)
        assert table_in(batch)["at"][0].as_py().date() == date(2024, 3, 1)
        assert recorder.stats().dropped == 1
        assert "1 of 2 rows (row 1: " in recorder.stats().last_error
        assert said in recorder.stats().last_error

    def test_a_missing_id_is_made_and_holds_the_time(self, tmp_path):
        with Recorder("m", 1, path=tmp_path) as recorder:
            ids = recorder.record_batch({"id": ["a", None], "at": [1709251200, 1709251201]})
        assert ids[0] == "a"
        assert millisecond_of(ids[1]) == 1709251201_000

    @pytest.mark.parametrize(
        ("ids", "kept"),
        [
            (pa.array([2**63, 2**64 - 1], pa.uint64()), ["9223372036854775808", "18446744073709551615"]),
            (pa.array([10000.0, 10001.0]), ["10000", "10001"]),
            (pa.array([Decimal("10000"), Decimal(2**80)], pa.decimal256(40, 2)), ["10000", str(2**80)]),
            (pa.array(["a", "b"]).dictionary_encode(), ["a", "b"]),
            (pa.array([b"a", b"b"]), ["a", "b"]),
            (pa.array(["00123", "10000.0"], pa.large_string()), ["00123", "10000.0"]),
        ],
        ids=lambda x: str(getattr(x, "type", "")),
    )
    def test_ids_of_every_type_are_exact(self, tmp_path, ids, kept):
        with Recorder("m", 1, path=tmp_path) as recorder:
            assert recorder.record_batch({"id": ids, "x": [1, 2]}) == kept
            assert recorder.outcomes({"id": ids, "actual": [1, 0]}) == 2
        predictions, outcomes = events_in(tmp_path)
        assert table_in(predictions)["id"].to_pylist() == table_in(outcomes)["id"].to_pylist() == kept

    @pytest.mark.parametrize("id", [float("nan"), None, 12.5, 2.0**53], ids=str)
    def test_an_outcome_of_nothing_is_refused(self, tmp_path, id):
        with Recorder("m", 1, path=tmp_path) as recorder:
            recorder.outcomes(pa.table({"id": pa.array([id, 1.0], pa.float64()), "actual": [1, 1]}))
        (batch,) = events_in(tmp_path)
        assert table_in(batch)["id"].to_pylist() == ["1"]
        assert recorder.stats().dropped == 1

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
from datetime import date, datetime
from decimal import Decimal
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
