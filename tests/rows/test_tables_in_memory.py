"""Whatever library holds the table: the same rows come out, in batches, and again if asked again."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from watchkeeper.domain.schema import Column, Kind, Schema
from watchkeeper.errors import BadInput, UnreadableSource
from watchkeeper.rows.sources import open_source

ROWS = {
    "age": [31, 45, 27, 60],
    "city": ["Oslo", None, "Bergen", "Oslo"],
    "paid": [1.5, None, 2.5, 0.0],
    "late": [True, False, None, True],
    "at": [dt.datetime(2013, 1, day) for day in (1, 2, 3, 4)],
}
TABLE = pa.table({**ROWS, "at": pa.array(ROWS["at"], pa.timestamp("us"))})


class WithArrowStream:
    """Any library's frame: all that is known of it is that it exports a stream."""

    def __arrow_c_stream__(self, requested_schema=None):
        return TABLE.to_reader().__arrow_c_stream__(requested_schema)


class WithArrowArray:
    def __arrow_c_array__(self, requested_schema=None, requested_device=None):
        return TABLE.to_batches()[0].__arrow_c_array__(requested_schema)


TABLES = {
    "pyarrow table": (lambda: TABLE, True),
    "record batch": (lambda: TABLE.to_batches()[0], True),
    "list of batches": (lambda: TABLE.to_batches(max_chunksize=2), True),
    "pandas": (lambda: TABLE.to_pandas(), True),
    "pandas with Arrow types": (lambda: TABLE.to_pandas(types_mapper=pd.ArrowDtype), True),
    "pandas with nullable types": (lambda: TABLE.to_pandas().convert_dtypes(), True),
    "pandas, objects": (lambda: pd.DataFrame(ROWS, dtype=object), True),
    "polars": (lambda: pl.DataFrame(ROWS), True),
    "polars lazy": (lambda: pl.LazyFrame(ROWS), True),
    "dict of lists": (lambda: ROWS, True),
    "list of dicts": (lambda: TABLE.to_pylist(), True),
    "DuckDB relation": (lambda: duckdb.connect().from_arrow(TABLE), True),
    "Arrow dataset": (lambda: ds.dataset(TABLE), True),
    "Arrow scanner": (lambda: ds.dataset(TABLE).scanner(), False),
    "record batch reader": (lambda: TABLE.to_reader(max_chunksize=2), False),
    "iterator of batches": (lambda: iter(TABLE.to_batches(max_chunksize=2)), False),
    "Arrow C stream": (WithArrowStream, False),
    "Arrow C array": (WithArrowArray, True),
}


def rows_of(source) -> list[dict]:
    return [row for batch in source.batches() for row in batch.to_pylist()]


@pytest.mark.parametrize("name", TABLES)
class TestEveryKindOfTable:
    def test_its_rows_come_out(self, name):
        make, again = TABLES[name]
        source = open_source(make())
        assert source.arrow_schema.names == list(ROWS)
        assert source.available == tuple(ROWS)
        assert rows_of(source) == TABLE.to_pylist()
        assert source.rereadable is again
        assert source.describe()["rows"] == 4

    def test_it_can_be_read_again_or_says_that_it_cannot(self, name):
        make, again = TABLES[name]
        source = open_source(make())
        first = rows_of(source)
        if again:
            assert rows_of(source) == first
        else:
            with pytest.raises(UnreadableSource, match="read already"):
                source.batches()

    def test_looking_at_it_takes_nothing_away(self, name):
        make, _ = TABLES[name]
        source = open_source(make())
        assert source.sample(2).to_pylist() == TABLE.to_pylist()[:2]
        assert source.sample(3, columns=["city"]).to_pylist() == TABLE.select(["city"]).to_pylist()[:3]
        assert rows_of(source) == TABLE.to_pylist()

    def test_columns_can_be_chosen_after_looking(self, name):
        make, _ = TABLES[name]
        source = open_source(make())
        source.sample(1)
        chosen = open_source(source, columns=["paid", "age"])
        assert chosen.arrow_schema.names == ["paid", "age"]
        assert chosen.available == source.available
        assert rows_of(chosen) == TABLE.select(["paid", "age"]).to_pylist()

    def test_only_the_wanted_columns_come_in_the_wanted_order(self, name):
        make, _ = TABLES[name]
        source = open_source(make(), columns=["paid", "age"])
        assert rows_of(source) == TABLE.select(["paid", "age"]).to_pylist()
        assert source.available == tuple(ROWS)

    def test_batches_hold_no_more_rows_than_asked_for(self, name):
        make, _ = TABLES[name]
        sizes = [batch.num_rows for batch in open_source(make(), batch_rows=3).batches()]
        assert max(sizes) <= 3
        assert sum(sizes) == 4


class TestPandas:
    def test_nan_is_missing(self):
        [batch] = open_source(pd.DataFrame({"x": [1.0, float("nan")]})).batches()
        assert batch.column(0).null_count == 1

    def test_a_column_of_mixed_objects_costs_only_itself(self):
        frame = pd.DataFrame({"x": [1, "two", None, 3.5], "y": [1, 2, 3, 4], "z": [[1], "a", {"b": 2}, None]})
        source = open_source(frame)
        assert rows_of(source) == [
            {"x": "1", "y": 1, "z": "[1]"},
            {"x": "two", "y": 2, "z": "a"},
            {"x": None, "y": 3, "z": "{'b': 2}"},
            {"x": "3.5", "y": 4, "z": None},
        ]
        assert [p for p in source.problems if "'x'" in p] == [
            "Column 'x' holds mixed types (1 int, 1 str, 1 float); it is read as text."
        ]

    @pytest.mark.parametrize(
        ("series", "kind", "first"),
        [
            (pd.Series(["a", None], dtype="str"), pa.large_string(), "a"),
            (pd.Series(["a", None], dtype="category"), None, "a"),
            (pd.Series([1, None], dtype="Int64"), pa.int64(), 1),
            (pd.Series([2**63, 1], dtype="uint64"), pa.uint64(), 2**63),
            (pd.Series([True, None], dtype="boolean"), pa.bool_(), True),
            (pd.Series(pd.period_range("2013-01", periods=2, freq="M")), None, dt.datetime(2013, 1, 1)),
            (pd.Series(pd.arrays.SparseArray([1, 0])), pa.int64(), 1),
            (pd.Series(pd.interval_range(0, 2)), pa.large_string(), "(0, 1]"),
            (pd.cut(pd.Series([1, 2]), [0, 1, 2]), None, "(0, 1]"),
            (pd.Series(pd.Categorical(pd.period_range("2013-01", periods=2, freq="M"))), None, "2013-01"),
            (pd.Series([2**63, 1], dtype=object), pa.uint64(), 2**63),
            (pd.Series([1 + 2j, 0j]), pa.string(), "(1+2j)"),
            (pd.Series([Decimal("1.5"), None]), None, Decimal("1.5")),
            (pd.Series([dt.date(2013, 1, 1), None]), pa.date32(), dt.date(2013, 1, 1)),
            (pd.Series([[1.0, 2.0], [3.0, 4.0]]), pa.list_(pa.float64()), [1.0, 2.0]),
            (pd.Series([2**70, 1], dtype=object), pa.float64(), 2.0**70),
            (pd.Series(pd.date_range("2013-01-01", periods=2, tz="Europe/Oslo")), None, None),
            (pd.Series(pd.to_timedelta([1, 2], unit="s")), None, dt.timedelta(seconds=1)),
        ],
        ids=lambda x: str(getattr(x, "dtype", "")),
    )
    def test_dtypes(self, series, kind, first):
        source = open_source(pd.DataFrame({"x": series, "n": [1, 2]}))
        if kind is not None:
            assert source.arrow_schema.field("x").type == kind
        found = rows_of(source)
        if first is not None:
            assert found[0]["x"] == first
        assert [row["n"] for row in found] == [1, 2]

    def test_named_index_levels_are_columns_and_a_plain_index_is_not(self):
        frame = pd.DataFrame({"x": [1, 2]}, index=pd.Index(["a", "b"], name="key"))
        assert open_source(frame).arrow_schema.names == ["key", "x"]
        assert open_source(frame.reset_index(drop=True)).arrow_schema.names == ["x"]

    def test_names_that_are_no_text_or_not_unique(self):
        frame = pd.DataFrame([[1, 2, 3, 4]], columns=["a", "a", 7, ("x", "y")])
        source = open_source(frame)
        assert source.arrow_schema.names == ["a", "a (2)", "7", "x.y"]
        assert rows_of(source) == [{"a": 1, "a (2)": 2, "7": 3, "x.y": 4}]
        assert "more than once" in source.problems[0]

    def test_a_frame_without_rows(self):
        source = open_source(pd.DataFrame({"x": pd.Series([], dtype="float64")}))
        assert list(source.batches()) == []
        assert source.problems == ["pandas DataFrame has columns but no rows."]


class TestPolars:
    def test_types_that_arrow_lacks(self):
        frame = pl.DataFrame({"big": pl.Series([2**100, 1], dtype=pl.Int128), "n": [1, 2]})
        source = open_source(frame)
        assert rows_of(source) == [{"big": 2.0**100, "n": 1}, {"big": 1.0, "n": 2}]
        assert "128-bit" in source.problems[0]

    def test_python_objects_are_text(self):
        frame = pl.DataFrame({"o": pl.Series([2j, None], dtype=pl.Object), "n": [1, 2]})
        assert rows_of(open_source(frame)) == [{"o": "2j", "n": 1}, {"o": None, "n": 2}]

    def test_categories_enums_lists_and_arrays(self):
        frame = pl.DataFrame(
            {
                "c": pl.Series(["a", "b"], dtype=pl.Categorical),
                "e": pl.Series(["a", "b"], dtype=pl.Enum(["b", "a"])),
                "l": [[1, 2], [3]],
                "v": pl.Series([[1.0, 2.0], [3.0, 4.0]], dtype=pl.Array(pl.Float64, 2)),
            }
        )
        assert rows_of(open_source(frame)) == frame.to_dicts()


class TestDictsAndArrays:
    def test_a_matrix_is_a_column_of_vectors(self):
        source = open_source({"v": np.arange(6).reshape(2, 3), "n": np.array([1.0, np.nan])})
        assert source.arrow_schema.field("v").type == pa.list_(pa.int64(), 3)
        found = rows_of(source)
        assert found[1]["v"] == [3, 4, 5]
        assert np.isnan(found[1]["n"]), "in an array NaN is a value; only pandas means missing by it"

    def test_rows_that_lack_a_key_are_null_there(self):
        assert rows_of(open_source([{"a": 1}, {"b": "x"}])) == [{"a": 1, "b": None}, {"a": None, "b": "x"}]

    def test_lengths_must_agree(self):
        with pytest.raises(BadInput, match="differ in length"):
            open_source({"a": [1, 2], "b": [1]})

    @pytest.mark.parametrize("values", ["text", 5, np.zeros((2, 2, 2)), {"a": 1}, np.float64(3)])
    def test_what_is_no_column(self, values):
        with pytest.raises(BadInput):
            open_source({"x": values})

    def test_a_structured_array(self):
        array = np.array([(1, 2.5), (2, 3.5)], dtype=[("a", "i8"), ("b", "f8")])
        assert rows_of(open_source(array)) == [{"a": 1, "b": 2.5}, {"a": 2, "b": 3.5}]

    @pytest.mark.parametrize(
        "values", [range(3), (x for x in (0, 1, 2)), pd.Series([0, 1, 2]), pa.array([0, 1, 2])]
    )
    def test_any_sequence_is_a_column(self, values):
        assert [row["x"] for row in rows_of(open_source({"x": values}))] == [0, 1, 2]


class TestQueries:
    def test_a_query_text(self, tmp_path):
        source = open_source('sql:SELECT i, i * 2 AS "twice i" FROM range(5) t(i);', columns=["twice i"])
        assert [row["twice i"] for row in rows_of(source)] == [0, 2, 4, 6, 8]
        assert source.rereadable
        assert source.kind == "query"

    def test_a_database_file(self, tmp_path):
        path = tmp_path / "flights.duckdb"
        with duckdb.connect(str(path)) as connection:
            connection.execute("CREATE TABLE flights AS SELECT 1 AS n")
        for text in (f"duckdb:{path}", f"duckdb:{path}::flights", f"duckdb:{path}::SELECT n FROM flights"):
            assert rows_of(open_source(text)) == [{"n": 1}]
        with duckdb.connect(str(path)) as connection:
            connection.execute("CREATE TABLE planes AS SELECT 2 AS n")
        with pytest.raises(BadInput, match="Tables: flights, planes"):
            open_source(f"duckdb:{path}")

    @pytest.mark.parametrize(
        ("query", "word"),
        [
            ("sql:SELEC 1", "syntax"),
            ("sql:SELECT * FROM nowhere", "nowhere"),
            ("duckdb:absent.db::t", "absent"),
        ],
    )
    def test_faults_are_told_in_the_words_of_the_engine(self, query, word):
        with pytest.raises(UnreadableSource, match=word):
            open_source(query)

    def test_a_fault_while_reading(self):
        source = open_source(
            "sql:SELECT CASE WHEN i = 9 THEN error('nine') ELSE i END AS x FROM range(10) t(i)"
        )
        with pytest.raises(UnreadableSource, match="nine"):
            list(source.batches())

    def test_stopping_early_frees_the_connection(self):
        connection = duckdb.connect()
        source = open_source(connection.sql("SELECT range AS i FROM range(1000000)"), batch_rows=1000)
        batches = source.batches()
        next(batches)
        batches.close()
        assert connection.execute("SELECT 1").fetchall() == [(1,)]

    def test_a_busy_connection_is_explained(self):
        connection = duckdb.connect()
        source = open_source(connection.sql("SELECT range AS i FROM range(1000000)"))
        held = connection.sql("SELECT range FROM range(1000000)").to_arrow_reader(10)
        held.read_next_batch()
        try:
            with pytest.raises(UnreadableSource, match=r"busy.*\n.*cursor"):
                list(source.batches())
        finally:
            held.close()

    def test_columns_of_one_name(self):
        source = open_source("sql:SELECT 1 AS a, 2 AS a")
        assert rows_of(source) == [dict(zip(source.arrow_schema.names, (1, 2)))]
        assert len(set(source.arrow_schema.names)) == 2


class TestWhatIsNoTable:
    @pytest.mark.parametrize(
        "thing",
        [5, None, object(), [], {}, [1, 2], np.zeros((3, 2)), pd.Series([1]), pa.array([1]), b"x", iter([1])],
    )
    def test_it_says_what_would_be_one(self, thing):
        with pytest.raises(BadInput) as failure:
            open_source(thing)
        assert failure.value.next_steps

    def test_an_unknown_column(self):
        with pytest.raises(BadInput, match="Did you mean 'city'"):
            open_source(TABLE, columns=["citty"])

    def test_batches_of_no_rows(self):
        with pytest.raises(BadInput):
            open_source(TABLE, batch_rows=0)

    def test_an_opened_source_passes_through(self):
        source = open_source(TABLE)
        assert open_source(source) is source


def test_a_very_wide_table_comes_in_smaller_batches():
    wide = pa.table({f"c{i}": np.zeros(20_000) for i in range(2_000)})
    sizes = [batch.num_rows for batch in open_source(wide).batches()]
    assert sum(sizes) == 20_000
    assert max(sizes) * 2_000 * 8 <= 100 * 2**20


def test_a_consumer_that_fails_leaves_no_thread_behind():
    import threading

    before = threading.active_count()
    for _ in range(3):
        batches = open_source(TABLE, batch_rows=1).batches()
        next(batches)
        batches.close()
    assert threading.active_count() == before


def test_words_stay_words_where_the_schema_says_so(tmp_path):
    (tmp_path / "zip.csv").write_text("zip,n\n00501,1\n10001,2\n")
    schema = Schema(columns=(Column(name="zip", kind=Kind.CATEGORICAL, dtype="string"),))
    assert rows_of(open_source(tmp_path / "zip.csv", schema=schema))[0] == {"zip": "00501", "n": 1}
    (tmp_path / "zip.csv").write_text("zip,n\n50100,1\n10001,2\n")
    assert rows_of(open_source(tmp_path / "zip.csv", schema=schema))[0] == {"zip": "50100", "n": 1}
    assert rows_of(open_source(tmp_path / "zip.csv"))[0] == {"zip": 50100, "n": 1}
