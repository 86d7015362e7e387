"""Bad input: each a clear error that says what to do, or a line in ``problems`` while all else is read."""

from __future__ import annotations

import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from watchkeeper.domain.schema import Column, Kind
from watchkeeper.errors import UnreadableSource, WatchkeeperError
from watchkeeper.rows.infer import infer
from watchkeeper.rows.sources import open_source
from watchkeeper.rows.values import values_of

GOOD = pa.table({"a": [1, 2, 3]})


def parquet_bytes(table: pa.Table = GOOD, **options) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **options)
    return sink.getvalue().to_pybytes()


def ipc_bytes() -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, GOOD.schema) as writer:
        writer.write_table(GOOD)
    return sink.getvalue().to_pybytes()


UNREADABLE = {
    "empty.csv": (b"", "empty"),
    "empty.parquet": (b"", "empty"),
    "empty.jsonl": (b"", "empty"),
    "empty.arrow": (b"", "empty"),
    "blank.csv": (b"\n \n\n", "empty"),
    "blank.jsonl": (b"\n\n", "empty"),
    "empty.csv.gz": (gzip.compress(b""), "empty"),
    "cut.parquet": (parquet_bytes()[:-20], "Parquet"),
    "head.parquet": (parquet_bytes()[:50], "Parquet"),
    "text.parquet": (b"a,b\n1,2\n", "Parquet"),
    "cut.arrow": (ipc_bytes()[:100], "Arrow"),
    "noise.arrow": (b"\x01\x02\x03\x04" * 50, "Arrow"),
    "noise.csv": (b"a,b\n\x00\x01\x02\xff", "not a text file"),
    "noise.csv.gz": (b"this is no gzip", "cannot be read"),
    "latin.csv": ("a,b\n1,é\n".encode("latin-1"), "not UTF-8: byte 0xe9 at offset 6 .line 2."),
    "latin-header.csv": ("é,b\n1,2\n".encode("latin-1"), "not UTF-8: byte 0xe9 at offset 0 .line 1."),
    "latin.jsonl": ('{"a": "é"}\n'.encode("latin-1"), "not UTF-8: byte 0xe9 at offset 7 .line 1."),
    "latin.json": ('[{"a": "é"}]'.encode("latin-1"), "not UTF-8"),
    "ragged.csv": (b"a,b\n1\n2\n3,4,5\n", r"No record.*2 fields.*line 2 has 1"),
    "words.jsonl": (b"hello\nworld\n", "no JSON object.*line 1"),
    "broken.json": (b'[{"a": 1},', "JSON array"),
    "numbers.json": (b"[1, 2]", "JSON array"),
    "book.xlsx": (b"PK\x03\x04zipzip", "spreadsheet"),
    "old.db": (b"SQLite format 3\x00", "SQLite"),
    "page.parqet": (b"what is this", r"Did you mean '\.parquet'"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_file_that_cannot_be_read_says_why_and_what_to_do(tmp_path, name):
    raw, words = UNREADABLE[name]
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(UnreadableSource, match=words) as failure:
        list(open_source(tmp_path / name).batches())
    assert name in failure.value.what
    assert failure.value.next_steps


@pytest.mark.parametrize(
    "name", [name for name in UNREADABLE if name.endswith((".parquet", ".csv", ".jsonl"))]
)
def test_the_same_file_in_a_folder_is_told_and_the_others_are_read(tmp_path, name):
    ending = name.partition(".")[2]
    raw, _ = UNREADABLE[name]
    good = {"parquet": parquet_bytes(), "csv": b"a\n1\n2\n3\n", "jsonl": b'{"a": 1}\n{"a": 2}\n{"a": 3}\n'}[
        ending
    ]
    (tmp_path / name).write_bytes(raw)
    (tmp_path / f"zgood.{ending}").write_bytes(good)
    source = open_source(tmp_path)
    assert sum(batch.num_rows for batch in source.batches()) == 3
    assert any(name in problem for problem in source.problems)


def test_a_folder_of_bad_files_only(tmp_path):
    (tmp_path / "1.parquet").write_bytes(b"no")
    (tmp_path / "2.parquet").write_bytes(b"")
    with pytest.raises(UnreadableSource, match=r"None of the 2 files.*The first: 1\.parquet"):
        open_source(tmp_path)


def test_a_file_that_breaks_in_the_middle(tmp_path):
    """The footer is whole, but a page of the second row group is not."""
    table = pa.table({"a": list(range(100_000))})
    raw = bytearray(parquet_bytes(table, row_group_size=50_000, compression="zstd", use_dictionary=False))
    meta = pq.read_metadata(pa.BufferReader(bytes(raw)))
    start = meta.row_group(1).column(0).data_page_offset
    raw[start : start + 2_000] = b"\xff" * 2_000
    (tmp_path / "1.parquet").write_bytes(raw)
    with pytest.raises(UnreadableSource, match=r"1\.parquet"):
        list(open_source(tmp_path / "1.parquet").batches())
    (tmp_path / "2.parquet").write_bytes(parquet_bytes())
    source = open_source(tmp_path)
    assert sum(batch.num_rows for batch in source.batches()) >= 3
    assert any("1.parquet" in problem for problem in source.problems)


def test_a_file_that_vanishes_after_opening(tmp_path):
    path = tmp_path / "t.parquet"
    path.write_bytes(parquet_bytes())
    source = open_source(path)
    path.unlink()
    with pytest.raises(UnreadableSource):
        list(source.batches())


class TestPaths:
    def test_the_nearest_name_is_suggested(self, tmp_path):
        (tmp_path / "flights.parquet").write_bytes(parquet_bytes())
        with pytest.raises(UnreadableSource, match=r"Did you mean 'flights\.parquet'"):
            open_source(tmp_path / "fligths.parquet")

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            ("absent/t.parquet", "no folder"),
            ("t.parquet", "no file"),
            ("*.parquet", "No file matches"),
            ("", "empty"),
            ("s3://bucket/t.parquet", "address"),
        ],
    )
    def test_what_is_not_there(self, tmp_path, monkeypatch, given, words):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(WatchkeeperError, match=words) as failure:
            open_source(given)
        assert failure.value.next_steps

    def test_a_folder_with_nothing_readable(self, tmp_path):
        (tmp_path / "notes.md").write_text("hello")
        with pytest.raises(UnreadableSource, match=r"nothing that can be read \(notes\.md\)"):
            open_source(tmp_path)

    def test_an_empty_folder(self, tmp_path):
        with pytest.raises(UnreadableSource, match="no files at all"):
            open_source(tmp_path)

    def test_a_pattern_that_is_also_a_name(self, tmp_path):
        (tmp_path / "day[1].parquet").write_bytes(parquet_bytes())
        assert open_source(tmp_path / "day[1].parquet").row_count_hint == 3

    @pytest.mark.parametrize(("option", "value"), [("encoding", "latin-99"), ("delimiter", "ab")])
    def test_options_that_do_not_exist(self, tmp_path, option, value):
        (tmp_path / "t.csv").write_text("a,b\n1,2\n")
        with pytest.raises(WatchkeeperError, match=value) as failure:
            open_source(tmp_path / "t.csv", **{option: value})
        assert failure.value.next_steps

    def test_the_wrong_encoding(self, tmp_path):
        (tmp_path / "t.csv").write_bytes("a,b\n1,é\n".encode("latin-1"))
        with pytest.raises(UnreadableSource, match="ascii"):
            open_source(tmp_path / "t.csv", encoding="ascii")


class TestOddButReadable:
    def test_a_header_alone_is_a_table_of_no_rows(self, tmp_path):
        for text in ("a,b\n", "a,b"):
            (tmp_path / "t.csv").write_text(text)
            source = open_source(tmp_path / "t.csv")
            assert source.arrow_schema.names == ["a", "b"]
            assert list(source.batches()) == []
            assert source.row_count_hint == 0
            assert any("no rows" in problem for problem in source.problems)

    def test_a_header_alone_among_others(self, tmp_path):
        (tmp_path / "1.csv").write_text("a,b\n")
        (tmp_path / "2.csv").write_text("a,b\n1,2\n")
        source = open_source(tmp_path)
        assert [batch.to_pylist() for batch in source.batches()] == [[{"a": 1, "b": 2}]]
        assert source.problems == []

    def test_ragged_records_are_counted_and_shown(self, tmp_path):
        (tmp_path / "t.csv").write_text("a,b\n1,2\n3\n4,5,6\n7,8\n")
        source = open_source(tmp_path / "t.csv")
        assert [batch.to_pylist() for batch in source.batches()] == [[{"a": 1, "b": 2}, {"a": 7, "b": 8}]]
        assert "2 records do not have the 2 fields" in source.problems[0]
        assert "line 3 has 1: '3'; line 4 has 3: '4,5,6'" in source.problems[0]

    @pytest.mark.parametrize(
        ("column", "kind"),
        [
            (pa.nulls(5), Kind.UNKNOWN),
            (pa.nulls(5, pa.float64()), Kind.NUMERIC),
            (pa.array([7] * 5), Kind.INTEGER),
            (pa.array(["same"] * 5), Kind.CATEGORICAL),
            (pa.array([float("inf"), -float("inf"), float("nan"), 1.0, None]), Kind.NUMERIC),
            (pa.array([2**62, 0, 1, 2, 3], pa.timestamp("s")), Kind.DATETIME),
            (pa.array([{"a": 1}] * 5), Kind.UNKNOWN),
        ],
        ids=str,
    )
    def test_null_constant_infinite_and_out_of_range_columns(self, column, kind):
        source = open_source(pa.table({"x": column, "ok": range(5)}))
        schema = infer(source).schema
        assert schema["x"].kind is kind
        [batch] = source.batches()
        assert values_of(batch.column(0), schema["x"]).rows == 5
        assert values_of(batch.column(1), schema["ok"]).data.tolist() == [0, 1, 2, 3, 4]

    def test_one_row(self):
        source = open_source({"a": [1], "w": ["x"]})
        schema = infer(source).schema
        assert [c.kind for c in schema.columns] == [Kind.INTEGER, Kind.CATEGORICAL]

    def test_a_hundred_thousand_categories(self):
        words = [f"category {i}" for i in range(100_000)]
        source = open_source({"w": words})
        column = infer(source).schema["w"]
        assert column.kind is Kind.TEXT
        [batch] = source.batches()
        assert len(values_of(batch.column(0), column).dictionary) == 100_000

    def test_a_type_that_changed_between_two_tables(self):
        """The baseline's kind decides; what the new side holds beside it is counted."""
        column = Column(name="x", kind=Kind.NUMERIC, dtype="double")
        [batch] = open_source({"x": ["1.5", "2", "soon", None]}).batches()
        values = values_of(batch.column(0), column)
        assert (values.misfits, values.misfit_example) == (1, "soon")
        assert values.data[values.valid].tolist() == [1.5, 2.0]
