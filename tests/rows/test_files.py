"""Files, folders, patterns and Delta tables: the same rows, whatever they were written as."""

from __future__ import annotations

import codecs
import datetime as dt
import gzip
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from watchkeeper.domain.schema import Column
from watchkeeper.errors import BadInput, UnreadableSource
from watchkeeper.rows.infer import kind_of_type
from watchkeeper.rows.sources import open_source
from watchkeeper.rows.values import values_of

TABLE = pa.table(
    {
        "age": [31, 45, 27, 60],
        "city": ["Oslo", None, "Bergen", "Oslo"],
        "paid": [1.5, None, 2.5, 0.0],
        "late": [True, False, None, True],
    }
)


def rows_of(source) -> list[dict]:
    return [row for batch in source.batches() for row in batch.to_pylist()]


def write(path: Path, table: pa.Table = TABLE) -> Path:
    """Write *table* in the format that the path's ending names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    match path.suffixes:
        case [".parquet"]:
            pq.write_table(table, path)
        case [".csv"]:
            pa_csv.write_csv(table, path)
        case [".tsv"]:
            pa_csv.write_csv(table, path, pa_csv.WriteOptions(delimiter="\t"))
        case [".csv", _]:
            with pa.output_stream(str(path)) as stream:
                pa_csv.write_csv(table, stream)
        case [".jsonl"] | [".ndjson"] | [".jsonl", _]:
            with pa.output_stream(str(path)) as stream:
                stream.write("".join(json.dumps(row) + "\n" for row in table.to_pylist()).encode())
        case [".json"]:
            path.write_text(json.dumps(table.to_pylist()))
        case [".arrow"]:
            with pa.ipc.new_file(str(path), table.schema) as writer:
                writer.write_table(table)
        case [".arrows"]:
            with pa.ipc.new_stream(str(path), table.schema) as writer:
                writer.write_table(table)
        case [".feather"]:
            feather.write_feather(table, str(path))
        case other:
            raise AssertionError(other)
    return path


ENDINGS = [
    ".parquet",
    ".csv",
    ".tsv",
    ".csv.gz",
    ".csv.zst",
    ".csv.bz2",
    ".jsonl",
    ".ndjson",
    ".jsonl.gz",
    ".json",
]
ENDINGS += [".arrow", ".arrows", ".feather"]


@pytest.mark.parametrize("ending", ENDINGS)
class TestEveryFormat:
    def test_its_rows_come_out_twice(self, tmp_path, ending):
        source = open_source(write(tmp_path / f"t{ending}"))
        assert source.rereadable
        assert rows_of(source) == rows_of(source) == TABLE.to_pylist()
        assert source.problems == []

    def test_only_the_wanted_columns_in_the_wanted_order(self, tmp_path, ending):
        source = open_source(str(write(tmp_path / f"t{ending}")), columns=["paid", "age"])
        assert rows_of(source) == TABLE.select(["paid", "age"]).to_pylist()

    def test_batches_hold_no_more_rows_than_asked_for(self, tmp_path, ending):
        source = open_source(write(tmp_path / f"t{ending}"), batch_rows=3)
        sizes = [batch.num_rows for batch in source.batches()]
        assert max(sizes) <= 3
        assert sum(sizes) == 4

    def test_where_it_comes_from_is_told(self, tmp_path, ending):
        path = write(tmp_path / f"t{ending}")
        source = open_source(path)
        list(source.batches())
        told = source.describe()
        assert told["path"] == str(path)
        assert (told["kind"], told["rows"], told["files"]) == ("file", 4, 1)
        assert told["size_bytes"] == path.stat().st_size == source.size_bytes
        assert dt.datetime.fromisoformat(told["modified_at"]).tzinfo is not None
        json.dumps(told)

    def test_a_folder_of_it_is_one_source(self, tmp_path, ending):
        for name in ("b", "a"):
            write(tmp_path / "in" / f"{name}{ending}")
        (tmp_path / "in" / "_SUCCESS").touch()
        (tmp_path / "in" / ".hidden.csv").write_text("no")
        for given in (tmp_path / "in", str(tmp_path / "in" / "*"), [tmp_path / "in"]):
            assert rows_of(open_source(given)) == TABLE.to_pylist() * 2

    def test_a_home_relative_or_relative_path(self, tmp_path, ending, monkeypatch):
        write(tmp_path / f"t{ending}")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HOME", str(tmp_path))
        assert rows_of(open_source(f"t{ending}")) == rows_of(open_source(f"~/t{ending}"))


def test_a_format_is_told_by_its_first_bytes_where_the_ending_is_wrong(tmp_path):
    path = write(tmp_path / "t.parquet").rename(tmp_path / "t.csv")
    assert rows_of(open_source(path)) == TABLE.to_pylist()


def test_a_file_without_an_ending_is_text_or_json(tmp_path):
    (tmp_path / "rows").write_text("a;b\n1;2\n")
    assert rows_of(open_source(tmp_path / "rows")) == [{"a": 1, "b": 2}]
    (tmp_path / "lines").write_text('{"a": 1}\n')
    assert rows_of(open_source(tmp_path / "lines")) == [{"a": 1}]


class TestParquet:
    def test_repeated_words_come_as_a_dictionary_and_others_do_not(self, tmp_path):
        words = pa.table({"few": ["a", "b"] * 50_000, "many": [f"w{i}" for i in range(100_000)]})
        [batch] = open_source(write(tmp_path / "t.parquet", words)).batches()
        assert pa.types.is_dictionary(batch.column(0).type)
        assert pa.types.is_string(batch.column(1).type)
        assert batch.column(0).to_pylist() == words["few"].to_pylist()

    def test_names_with_dots_and_structs_do_not_mix(self, tmp_path):
        table = pa.table({"a": [{"b": 1}, None], "a.b": ["x", "y"], "c.d": [1.5, 2.5], "c": [1, 2]})
        path = write(tmp_path / "t.parquet", table)
        for columns in (["a.b"], ["a"], ["c", "a"], ["c.d", "a.b"]):
            assert rows_of(open_source(path, columns=columns)) == table.select(columns).to_pylist()

    def test_columns_of_one_name(self, tmp_path):
        table = pa.Table.from_arrays([pa.array([1]), pa.array(["x"]), pa.array([2])], names=["a", "b", "a"])
        path = write(tmp_path / "t.parquet", table)
        source = open_source(path)
        assert rows_of(source) == [{"a": 1, "b": "x", "a (2)": 2}]
        assert rows_of(open_source(path, columns=["a (2)"])) == [{"a (2)": 2}]
        assert "more than once" in source.problems[0]

    def test_no_rows(self, tmp_path):
        source = open_source(write(tmp_path / "t.parquet", TABLE.slice(0, 0)))
        assert list(source.batches()) == []
        assert source.row_count_hint == 0
        assert "no rows" in source.problems[0]

    def test_times_as_int96_hold_every_year(self, tmp_path):
        """Spark and Impala write INT96; 9999-12-31, the usual 'for ever', lies beyond nanoseconds of 64 bits."""
        at = [
            dt.datetime(2024, 1, 1, 12, 30, 15, 123456),
            dt.datetime(9999, 12, 31),
            None,
            dt.datetime(1, 1, 1),
        ]
        table = pa.table({"at": pa.array(at, pa.timestamp("us"))})
        path = tmp_path / "t.parquet"
        pq.write_table(table, path, use_deprecated_int96_timestamps=True)
        assert pq.ParquetFile(path).schema.column(0).physical_type == "INT96"
        assert [row["at"] for row in rows_of(open_source(path))] == at


class TestFolders:
    def test_partitions_are_columns(self, tmp_path):
        for day, carrier in (
            ("2013-01-01", "UA"),
            ("2013-01-02", "A%20A"),
            ("2013-01-03", "__HIVE_DEFAULT_PARTITION__"),
        ):
            write(
                tmp_path / f"day={day}" / "hour=3" / f"carrier={carrier}" / "p.parquet", TABLE.select(["age"])
            )
        source = open_source(tmp_path)
        assert source.arrow_schema.names == ["age", "day", "hour", "carrier"]
        found = rows_of(source)
        assert found[0] == {"age": 31, "day": dt.date(2013, 1, 1), "hour": 3, "carrier": "UA"}
        assert [row["carrier"] for row in found[::4]] == ["UA", "A A", None]
        assert [row["day"] for row in rows_of(open_source(tmp_path, columns=["day"]))] == [
            dt.date(2013, 1, day) for day in (1, 2, 3) for _ in range(4)
        ]

    def test_a_partition_of_numbers_with_zeros_in_front_is_text(self, tmp_path):
        write(tmp_path / "zip=00501" / "p.parquet")
        write(tmp_path / "zip=10001" / "p.parquet")
        assert rows_of(open_source(tmp_path))[0]["zip"] == "00501"

    def test_a_column_in_the_file_wins_over_the_folder(self, tmp_path):
        write(tmp_path / "age=1" / "p.parquet")
        assert rows_of(open_source(tmp_path))[0]["age"] == 31

    def test_schemas_are_joined(self, tmp_path):
        write(tmp_path / "1.parquet", pa.table({"n": [1], "x": [1], "w": ["a"], "only": [True]}))
        write(tmp_path / "2.parquet", pa.table({"w": [2], "x": [1.5], "n": pa.array([2], pa.int8())}))
        source = open_source(tmp_path)
        assert source.arrow_schema.field("n").type == pa.int64()
        assert source.arrow_schema.field("x").type == pa.float64()
        assert rows_of(source) == [
            {"n": 1, "x": 1.0, "w": "a", "only": True},
            {"n": 2, "x": 1.5, "w": "2", "only": None},
        ]
        assert source.problems == [
            "Column 'w' has several types (string, int64); it is read as text.",
            "Column 'only' is missing from 2.parquet; it is null there.",
        ]

    def test_joining_loses_no_digit(self, tmp_path):
        big = 2**53 + 1
        write(tmp_path / "1.parquet", pa.table({"n": [big], "u": [-1]}))
        write(tmp_path / "2.parquet", pa.table({"n": [0.5], "u": pa.array([2**64 - 1], pa.uint64())}))
        assert rows_of(open_source(tmp_path)) == [{"n": big, "u": -1}, {"n": 0.5, "u": 2**64 - 1}]

    def test_times_of_all_kinds_are_joined_as_times(self, tmp_path):
        at = dt.datetime(2013, 1, 1)
        write(tmp_path / "1.parquet", pa.table({"t": [at.date()]}))
        write(tmp_path / "2.parquet", pa.table({"t": pa.array([at], pa.timestamp("ms"))}))
        write(tmp_path / "3.parquet", pa.table({"t": pa.array([at], pa.timestamp("us", "UTC"))}))
        source = open_source(tmp_path)
        column = Column(name="t", kind=kind_of_type(source.arrow_schema.field("t").type))
        found = [values_of(batch.column(0), column).data.tolist() for batch in source.batches()]
        assert found == [[1356998400000000]] * 3
        assert source.problems == []

    def test_text_and_csv_types_are_joined_too(self, tmp_path):
        (tmp_path / "a.csv").write_text("x,y\n1,\n2,\n")
        (tmp_path / "b.csv").write_text("x,y\nmany,7\n")
        source = open_source(tmp_path)
        assert rows_of(source) == [{"x": "1", "y": None}, {"x": "2", "y": None}, {"x": "many", "y": 7}]

    def test_files_of_no_known_kind_are_passed_over_and_told(self, tmp_path):
        write(tmp_path / "a.parquet")
        (tmp_path / "README.md").write_text("hello")
        source = open_source(tmp_path)
        assert len(rows_of(source)) == 4
        assert "README.md" in source.problems[0]

    def test_two_formats_in_one_folder_are_not_added_up(self, tmp_path):
        write(tmp_path / "a.parquet")
        write(tmp_path / "a.csv")
        with pytest.raises(BadInput, match=r"several kinds.*\n.*pattern"):
            open_source(tmp_path)
        assert len(rows_of(open_source(str(tmp_path / "*.csv")))) == 4

    def test_the_fingerprint_follows_names_and_sizes(self, tmp_path):
        write(tmp_path / "a.parquet")
        first = open_source(tmp_path).describe()["fingerprint"]
        assert open_source(tmp_path).describe()["fingerprint"] == first
        write(tmp_path / "b.parquet")
        assert open_source(tmp_path).describe()["fingerprint"] != first

    def test_the_sample_looks_into_several_files(self, tmp_path):
        for n in range(9):
            write(tmp_path / f"{n}.parquet", pa.table({"file": [n] * 50}))
        sample = open_source(tmp_path).sample(20)
        assert set(sample["file"].to_pylist()) == {0, 2, 4, 6, 8}
        assert sample.num_rows == 20


class TestDelta:
    deltalake = pytest.importorskip("deltalake")

    def test_the_current_rows_with_partitions(self, tmp_path):
        self.deltalake.write_deltalake(str(tmp_path), TABLE.select(["age", "city"]), partition_by=["city"])
        self.deltalake.write_deltalake(
            str(tmp_path), pa.table({"age": [99], "city": ["Oslo"]}), mode="append"
        )
        self.deltalake.DeltaTable(str(tmp_path)).delete("age = 31")
        source = open_source(str(tmp_path))
        assert sorted(row["age"] for row in rows_of(source)) == [27, 45, 60, 99]
        assert source.row_count_hint == 4
        assert source.kind == "delta"
        assert {row["city"] for row in rows_of(open_source(tmp_path, columns=["city"]))} == {
            "Oslo",
            "Bergen",
            None,
        }

    def test_partition_values_keep_their_types_and_odd_letters(self, tmp_path):
        table = pa.table(
            {
                "n": [1, 2, 3],
                "day": [dt.date(2013, 1, 1), None, dt.date(2013, 1, 2)],
                "c": ["A B/ø", "x=y", None],
            }
        )
        self.deltalake.write_deltalake(str(tmp_path), table, partition_by=["day", "c"])
        found = sorted(rows_of(open_source(tmp_path)), key=lambda row: row["n"])
        assert found == table.to_pylist()

    def test_a_column_added_later_is_null_before(self, tmp_path):
        self.deltalake.write_deltalake(str(tmp_path), pa.table({"n": [1]}))
        self.deltalake.write_deltalake(
            str(tmp_path), pa.table({"n": [2], "w": ["x"]}), mode="append", schema_mode="merge"
        )
        source = open_source(tmp_path)
        assert sorted(rows_of(source), key=lambda row: row["n"]) == [{"n": 1, "w": None}, {"n": 2, "w": "x"}]
        assert source.problems == []

    def test_a_table_without_rows(self, tmp_path):
        self.deltalake.DeltaTable.create(str(tmp_path), schema=self.deltalake.Schema.from_arrow(TABLE.schema))
        source = open_source(tmp_path)
        assert source.arrow_schema.names == TABLE.column_names
        assert rows_of(source) == []
        assert source.sample().num_rows == 0

    @pytest.mark.parametrize("feature", ["deletionVectors", "columnMapping"])
    def test_what_would_be_read_wrongly_is_refused(self, tmp_path, feature):
        self.deltalake.write_deltalake(str(tmp_path), TABLE)
        log = tmp_path / "_delta_log" / "00000000000000000000.json"
        actions = [json.loads(line) for line in log.read_text().splitlines()]
        for action in actions:
            if "protocol" in action:
                action["protocol"] = {
                    "minReaderVersion": 3,
                    "minWriterVersion": 7,
                    "readerFeatures": [feature],
                    "writerFeatures": [feature],
                }
            if "metaData" in action and feature == "columnMapping":
                action["metaData"]["configuration"] = {"delta.columnMapping.mode": "name"}
        log.write_text("\n".join(map(json.dumps, actions)))
        with pytest.raises(UnreadableSource, match=feature):
            open_source(tmp_path)

    def test_a_missing_file_is_no_smaller_table(self, tmp_path):
        self.deltalake.write_deltalake(str(tmp_path), TABLE)
        self.deltalake.write_deltalake(str(tmp_path), TABLE, mode="append")
        next(tmp_path.glob("*.parquet")).unlink()
        with pytest.raises(UnreadableSource):
            open_source(tmp_path)

    def test_a_broken_log(self, tmp_path):
        (tmp_path / "_delta_log").mkdir()
        with pytest.raises(UnreadableSource, match="Delta"):
            open_source(tmp_path)

    def test_without_the_library_it_says_what_to_install(self, tmp_path, monkeypatch):
        from watchkeeper.errors import MissingExtra

        (tmp_path / "_delta_log").mkdir()
        monkeypatch.setitem(sys.modules, "deltalake", None)
        with pytest.raises(MissingExtra, match=r"watchkeeper\[server\]"):
            open_source(tmp_path)


class TestDelimited:
    def read(self, tmp_path, text: str | bytes, name="t.csv", **options):
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        source = open_source(path, **options)
        return rows_of(source), source.problems

    @pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
    def test_the_delimiter_is_found(self, tmp_path, delimiter):
        text = 'a,b\n1,"x,;|y"\n2,z\n'.replace(",", delimiter)
        found, _ = self.read(tmp_path, text)
        assert [row["a"] for row in found] == [1, 2]

    def test_it_can_be_given(self, tmp_path):
        assert self.read(tmp_path, "a:b\n1:2\n", delimiter=":")[0] == [{"a": 1, "b": 2}]

    def test_decimal_commas(self, tmp_path):
        found, problems = self.read(tmp_path, "a;b;c\n1;2,5;x\n2;3,5;y\n")
        assert [row["b"] for row in found] == [2.5, 3.5]
        assert "decimal comma" in problems[0]

    def test_one_column_needs_no_delimiter(self, tmp_path):
        assert self.read(tmp_path, "a\n1\n2\n")[0] == [{"a": 1}, {"a": 2}]

    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    def test_line_ends_and_blank_lines(self, tmp_path, end):
        text = f"{end}a,b{end}1,2{end}{end}3,4"
        assert self.read(tmp_path, text)[0] == [{"a": 1, "b": 2}, {"a": 3, "b": 4}]

    def test_quotes_hold_line_ends_and_delimiters(self, tmp_path):
        found, problems = self.read(tmp_path, '"a","b\nc"\n1,"x\ny, ""z"""\n')
        assert found == [{"a": 1, "b\nc": 'x\ny, "z"'}]
        assert problems == []

    def test_what_is_written_for_nothing_is_null(self, tmp_path):
        found, _ = self.read(tmp_path, "a,b,c\n1,NA,\n,x,\nNaN,,\n")
        assert found == [
            {"a": 1, "b": None, "c": None},
            {"a": None, "b": "x", "c": None},
            {"a": None, "b": None, "c": None},
        ]

    def test_types(self, tmp_path):
        found, _ = self.read(tmp_path, "i,f,b,d,t,inf\n1,1.5,true,2013-01-01,2013-01-01T10:00:00Z,inf\n")
        at = dt.datetime(2013, 1, 1, 10, tzinfo=dt.UTC)
        assert found == [
            {"i": 1, "f": 1.5, "b": True, "d": dt.date(2013, 1, 1), "t": at, "inf": float("inf")}
        ]

    def test_a_mark_at_the_start_is_no_part_of_the_first_name(self, tmp_path):
        assert self.read(tmp_path, "a,b\n1,2\n".encode("utf-8-sig"))[0] == [{"a": 1, "b": 2}]

    @pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "cp1252"])
    def test_other_encodings(self, tmp_path, encoding):
        found, _ = self.read(tmp_path, "å,b\n1,é\n".encode(encoding), encoding=encoding)
        assert found == [{"å": 1, "b": "é"}]

    def test_a_marked_utf16_is_recognised(self, tmp_path):
        found, problems = self.read(tmp_path, "å,b\n1,é\n".encode("utf-16"))
        assert found == [{"å": 1, "b": "é"}]
        assert "UTF-16" in problems[0]

    def test_a_late_word_in_a_column_of_numbers_makes_it_text(self, tmp_path):
        found, _ = self.read(tmp_path, "a\n" + "1\n" * 100_000 + "x\n")
        assert found[0] == {"a": "1"}
        assert found[-1] == {"a": "x"}

    def test_a_header_with_nameless_and_repeated_columns(self, tmp_path):
        found, problems = self.read(tmp_path, ",a,a\n1,2,3\n")
        assert found == [{"column 1": 1, "a": 2, "a (2)": 3}]
        assert len(problems) == 2


class TestLargeTextFiles:
    """Over 64 MiB, files are streamed; made small here by lowering that limit."""

    @pytest.fixture(autouse=True)
    def _stream_everything(self, monkeypatch):
        monkeypatch.setattr("watchkeeper.rows.files._KEEP_BYTES", 0)
        monkeypatch.setattr("watchkeeper.rows.delimited._HEAD_BYTES", 20_000)
        monkeypatch.setattr("watchkeeper.rows.delimited._PROBE_BYTES", 2_000)

    def test_the_same_rows_as_when_read_whole(self, tmp_path):
        rng = np.random.default_rng(1)
        n = 200_000
        table = pa.table(
            {"i": np.arange(n), "f": rng.normal(size=n), "w": rng.choice(["a", "b"], n).tolist()}
        )
        for ending in (".csv", ".csv.gz", ".jsonl"):
            path = tmp_path / f"t{ending}"
            if ending == ".jsonl":
                path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
            else:
                write(path, table)
            source = open_source(path)
            assert source.row_count_hint is None
            read = pa.Table.from_batches(source.batches())
            assert read["i"].to_pylist() == table["i"].to_pylist()
            assert np.allclose(read["f"], table["f"], atol=1e-14)
            assert read["w"].to_pylist() == table["w"].to_pylist()

    def test_a_word_that_the_sample_missed_is_kept(self, tmp_path):
        """No crash, no lost row: from there on the column is text, and a note says so."""
        path = tmp_path / "t.csv"
        lines = [f"{i},{i}" for i in range(300_000)]
        lines[171_113] = "171113,many"
        path.write_text("i,x\n" + "\n".join(lines) + "\n")
        source = open_source(path, batch_rows=10_000)
        assert source.arrow_schema.field("x").type == pa.int64()
        found = rows_of(source)
        assert [row["i"] for row in found] == list(range(300_000))
        assert found[171_113]["x"] == "many"
        assert "'many'" in source.problems[0]
        assert rows_of(source) == found
        assert len(source.problems) == 1

    def test_a_fraction_that_the_sample_missed_makes_floats(self, tmp_path):
        path = tmp_path / "t.csv"
        lines = ["1"] * 300_000
        lines[171_113] = "1.5"
        path.write_text("x\n" + "\n".join(lines) + "\n")
        source = open_source(path)
        found = [x for batch in source.batches() for x in batch.column(0).to_pylist()]
        assert (len(found), sum(found)) == (300_000, 300_000.5)

    def test_many_columns_that_surprise_late(self, tmp_path):
        path = tmp_path / "t.csv"
        lines = ["1,1,1,1,1,1"] * 300_000
        for column in range(6):
            cells = ["1"] * 6
            cells[column] = "x"
            lines[150_111 + 1_000 * column] = ",".join(cells)
        path.write_text("a,b,c,d,e,f\n" + "\n".join(lines) + "\n")
        assert sum(batch.num_rows for batch in open_source(path).batches()) == 300_000

    def test_ragged_records_are_counted_with_their_lines(self, tmp_path):
        path = tmp_path / "t.csv"
        lines = ["1,2"] * 100_000
        lines[5], lines[70_000] = "1", "1,2,3"
        path.write_text("a,b\n" + "\n".join(lines) + "\n")
        source = open_source(path)
        assert sum(batch.num_rows for batch in source.batches()) == 99_998
        assert "2 records" in source.problems[0]
        assert "line 7 has 1: '1'; line 70,002 has 3: '1,2,3'" in source.problems[0]

    def test_bytes_that_are_not_utf8_are_found_where_they_are(self, tmp_path):
        path = tmp_path / "t.csv"
        raw = b"a,b\n" + b"1,x\n" * 171_113 + b"1,\xe9\n" + b"1,x\n" * 100_000
        path.write_bytes(raw)
        with pytest.raises(UnreadableSource, match=f"0xe9 at offset {raw.index(0xE9):,} .line 171,115"):
            list(open_source(path).batches())
        assert sum(b.num_rows for b in open_source(path, encoding="latin-1").batches()) == 271_114

    def test_a_record_longer_than_a_block(self, tmp_path):
        path = tmp_path / "t.csv"
        path.write_text("a,b\n" + "1,x\n" * 20_000 + "2," + "y" * 3_000_000 + "\n" + "3,z\n")
        found = rows_of(open_source(path))
        assert [len(found), len(found[20_000]["b"]), found[-1]["a"]] == [20_002, 3_000_000, 3]

    def test_broken_and_changing_json_lines(self, tmp_path):
        path = tmp_path / "t.jsonl"
        lines = ['{"a": 1, "b": "x"}'] * 300_000
        lines[171_113], lines[171_114], lines[171_115] = '{"a": "many"}', "{broken", '{"a": 1.5, "new": 1}'
        path.write_text("\n".join(lines) + "\n")
        source = open_source(path)
        found = rows_of(source)
        assert len(found) == 299_999
        assert str(found[171_113]["a"]) == "many"
        assert any("line 171,115" in problem for problem in source.problems)
        assert any("'new'" in problem for problem in source.problems)


class TestJson:
    def test_mixed_types_and_broken_lines(self, tmp_path):
        path = tmp_path / "t.jsonl"
        path.write_text('{"a": 1}\n\nbroken\n{"a": "x", "b": 2.5}\n[1]\n')
        source = open_source(path)
        assert rows_of(source) == [{"a": "1", "b": None}, {"a": "x", "b": 2.5}]
        assert any(
            "2 lines are no JSON object" in problem and "line 3" in problem for problem in source.problems
        )

    @pytest.mark.parametrize("name", ["a.jsonl", "mixed.jsonl", "a.json"])
    def test_what_pythons_json_writes_for_numbers_that_are_none(self, tmp_path, name):
        rows = [{"x": x, "c": c} for x, c in [(math.nan, "a"), (math.inf, "b"), (-math.inf, "c"), (1.5, "d")]]
        if name.startswith("mixed"):
            rows[3]["c"] = 7
        path = tmp_path / name
        path.write_text(json.dumps(rows) if name == "a.json" else "\n".join(map(json.dumps, rows)))
        source = open_source(path)
        np.testing.assert_array_equal(
            [row["x"] for row in rows_of(source)], [r["x"] for r in json.loads(json.dumps(rows))]
        )
        assert not any("passed over" in line for line in source.problems)

    @pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
    def test_integers_beyond_63_bits_lose_no_digit(self, tmp_path, name):
        rows = [{"id": 2**63 + 1}, {"id": 2**64 - 1}, {"id": 5}]
        path = tmp_path / name
        path.write_text(json.dumps(rows) if name == "a.json" else "\n".join(map(json.dumps, rows)))
        assert rows_of(open_source(path)) == rows

    def test_a_mark_at_the_start_of_mixed_lines(self, tmp_path):
        (tmp_path / "a.jsonl").write_bytes(codecs.BOM_UTF8 + b'{"a": 1}\n{"a": "x"}\n')
        assert rows_of(open_source(tmp_path / "a.jsonl")) == [{"a": "1"}, {"a": "x"}]

    def test_nested_objects_and_lists_come_as_they_are(self, tmp_path):
        path = tmp_path / "t.jsonl"
        path.write_text('{"v": [1, 2], "s": {"k": 1}}\n')
        assert rows_of(open_source(path)) == [{"v": [1, 2], "s": {"k": 1}}]

    def test_another_encoding(self, tmp_path):
        path = tmp_path / "t.jsonl"
        path.write_bytes('{"a": "é"}\n'.encode("latin-1"))
        assert rows_of(open_source(path, encoding="latin-1")) == [{"a": "é"}]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows(tmp_path):
    """3,000,000 rows of 12 columns: 290 MB of values, of which only a few batches are ever held."""
    rng = np.random.default_rng(0)
    path = tmp_path / "big.parquet"
    batch = pa.table({f"x{i}": rng.normal(size=500_000) for i in range(10)} | {"w": ["a", "b"] * 250_000})
    peaks = []
    for repeats in (1, 6):
        with pq.ParquetWriter(path, batch.schema) as writer:
            for _ in range(repeats):
                writer.write_table(batch)
        script = (
            "import resource, sys\n"
            "from watchkeeper.rows.sources import open_source\n"
            "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
            "rows = sum(b.num_rows for b in open_source(sys.argv[1]).batches())\n"
            "print(rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
        )
        run = subprocess.run(
            [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
        )
        rows, kib = map(int, run.stdout.split())
        assert rows == 500_000 * repeats
        peaks.append(kib / 1024)
    assert peaks[1] < 250
    assert peaks[1] < 1.25 * peaks[0] + 30


def test_opening_reads_no_more_than_it_must(tmp_path):
    """Importing the package, and opening a Parquet file, pull in no frame library and no database."""
    path = write(tmp_path / "t.parquet")
    script = (
        "import sys\nfrom watchkeeper.rows.sources import open_source\n"
        f"list(open_source({str(path)!r}).batches())\n"
        "print(sorted({'pandas', 'polars', 'duckdb', 'deltalake', 'scipy', 'pyarrow.dataset'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_gzip_in_several_members(tmp_path):
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n1,2\n") + gzip.compress(b"3,4\n"))
    assert rows_of(open_source(path)) == [{"a": 1, "b": 2}, {"a": 3, "b": 4}]


@pytest.mark.parametrize(
    ("group", "sizes"), [(250, [250] * 4), (1_000, [250] * 4), (40, [240] * 4 + [40]), (600, [200] * 5)]
)
def test_batches_of_parquet_end_where_its_row_groups_do(tmp_path, group, sizes):
    """A dictionary ends with its row group, and would cut a batch that goes on into the next."""
    table = pa.table({"x": range(1_000), "c": ["a", "b"] * 500})
    pq.write_table(
        table, tmp_path / "t.parquet", row_group_size=group, use_dictionary=["c"] if group > 40 else False
    )
    source = open_source(tmp_path / "t.parquet", batch_rows=260)
    assert [batch.num_rows for batch in source.batches()] == sizes
    assert [row["x"] for row in rows_of(source)] == list(range(1_000))
