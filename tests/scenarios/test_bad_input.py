"""Bad input, through the front door and the command line: a clear error, or a clear line in the report.

Every case of the list has one entry: what the two sides are, and what must be said. Whatever is wrong with one
column, the good ones beside it are measured; every form of the report can be made of it.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import watchkeeper as wk
from watchkeeper.cli import main

ROWS = 400
random = np.random.default_rng(7)


def rows(count: int = ROWS, **more: Any) -> dict[str, Any]:
    """Two good columns, and what is wrong beside them."""
    return {"age": random.integers(18, 90, count), "plan": random.choice(["a", "b", "c"], count), **more}


def parquet(table: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), sink)
    return sink.getvalue().to_pybytes()


@dataclass
class Refused:
    """A side that cannot be used: the file's name and bytes, and words of the error."""

    name: str
    raw: bytes
    words: tuple[str, ...]
    reference_too: bool = True


REFUSED = {
    "empty file": Refused("t.csv", b"", ("t.csv is empty", "header")),
    "empty Parquet file": Refused("t.parquet", b"", ("t.parquet is empty",)),
    "broken Parquet": Refused("t.parquet", parquet(rows())[:-30], ("t.parquet cannot be read as Parquet", "cut off")),
    "broken Parquet, head only": Refused("t.parquet", parquet(rows())[:200], ("cannot be read as Parquet",)),
    "not UTF-8": Refused("t.csv", "age,plan\n1,é\n".encode("latin-1"), ("not UTF-8", "line 2", "encoding")),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED.values(), ids=list(REFUSED))
@pytest.mark.parametrize("side", ["reference", "current"])
def test_a_side_that_cannot_be_read_is_a_clear_error(case, side, tmp_path, capsys):
    bad, good = tmp_path / case.name, tmp_path / "good.parquet"
    bad.write_bytes(case.raw)
    good.write_bytes(parquet(rows()))
    sides = (bad, good) if side == "reference" else (good, bad)
    with pytest.raises(wk.WatchkeeperError) as failure:
        wk.compare(*sides)
    for words in case.words:
        assert words in str(failure.value)
    assert failure.value.next_steps
    with pytest.raises(SystemExit) as end:
        main(["compare", *map(str, sides)])
    assert end.value.code == 2
    said = capsys.readouterr()
    assert case.words[0] in said.err
    assert said.out == ""


@dataclass
class Told:
    """Two sides that can be compared: the column, its verdict, words of its sentence, words of the notes."""

    reference: Any
    current: Any
    column: str = "x"
    verdict: str = "fail"
    words: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


normal = random.normal(size=ROWS)
days = np.arange(ROWS).astype("datetime64[D]")
centuries = pa.array([2**61] * ROWS, pa.timestamp("s"))
TOLD = {
    "all null": Told(rows(x=normal), rows(x=[None] * ROWS), words=("Missing values went from 0% to 100%",)),
    "all null in the baseline": Told(rows(x=pa.nulls(ROWS)), rows(x=normal), words=("held nothing but nulls",)),
    "all null on both sides": Told(
        rows(x=pa.nulls(ROWS)), rows(x=pa.nulls(ROWS)), verdict="error", notes=("'x' holds nothing but nulls",)
    ),
    "became constant": Told(rows(x=normal), rows(x=np.ones(ROWS)), words=("same value in every row",)),
    "constant in the baseline": Told(rows(x=np.ones(ROWS)), rows(x=normal), words=("Out of range",)),
    "constant on both sides": Told(rows(x=np.ones(ROWS)), rows(x=np.ones(ROWS)), verdict="pass"),
    "column missing here": Told(rows(x=normal), rows(), words=("The baseline has a column 'x'; this one has not",)),
    "column missing in the baseline": Told(rows(), rows(x=normal), words=("a column 'x' that the baseline has not",)),
    "number became text": Told(
        rows(x=normal), rows(x=["high", "low"] * (ROWS // 2)), words=("x was numeric (double)", "is categorical")
    ),
    "text became number": Told(
        rows(x=["high", "low"] * (ROWS // 2)), rows(x=normal), words=("x was categorical", "is numeric (double)")
    ),
    "date became text": Told(rows(x=days), rows(x=["soon"] * ROWS), words=("x was datetime", "is categorical")),
    "vector became number": Told(
        rows(x=[[1.0, 2.0]] * ROWS), rows(x=np.arange(ROWS)), words=("x was vector", "is integer")
    ),
    "integer became float": Told(
        rows(x=random.integers(0, 9, ROWS)), rows(x=random.integers(0, 9, ROWS) * 1.0), verdict="pass"
    ),
    "mixed types": Told(
        rows(x=[1, "a", None, 2.5] * (ROWS // 4)), rows(x=[1, "b", None, [2]] * (ROWS // 4)),
        words=("'[2]'",), notes=("Column 'x' holds mixed types",),
    ),
    "infinite values": Told(
        rows(x=normal), rows(x=np.where(np.arange(ROWS) % 10 == 0, np.inf, normal)), words=("Infinite share is 10%",)
    ),
    "nothing but infinity": Told(rows(x=normal), rows(x=np.full(ROWS, -np.inf)), words=("Infinite share is 100%",)),
    "dates out of range": Told(
        rows(x=pa.array([datetime(2026, 1, 1)] * ROWS, pa.timestamp("us"))), rows(x=centuries),
        words=("400 values of x are not",),
    ),
    "dates of another century": Told(
        rows(x=days), rows(x=np.where(np.arange(ROWS) % 4 == 0, np.datetime64("9999-12-31"), days)),
        words=("100 moments of x, as far as 9999-12-31: 20 years or more outside",),
    ),
    "struct": Told(
        rows(x=[{"a": 1}] * ROWS), rows(x=[{"a": 1}] * ROWS), verdict="error", notes=("'x' is of type struct",)
    ),
    "largest integers": Told(
        rows(x=np.full(ROWS, 2**64 - 1, np.uint64)), rows(x=np.arange(ROWS, dtype=np.uint64)),
        words=("The median fell from",),
    ),
}  # fmt: skip


def check_forms(report: wk.Report) -> None:
    """Every form of the report can be made, and is what it claims to be."""
    said = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert {c["name"] for c in said["columns"]} == {c.name for c in report.columns}
    assert "<!doctype html>" in report.to_html()
    assert report.headline in report.to_markdown()
    assert len(ET.fromstring(report.to_junit()).findall(".//testcase")) == len(report.findings)


def good_columns_are_measured(report: wk.Report) -> None:
    for name in ("age", "plan"):
        [column] = [c for c in report.columns if c.name == name]
        assert column.verdict.value == "pass", column.sentence
        assert column.moved().value is not None


@pytest.mark.parametrize("case", TOLD.values(), ids=list(TOLD))
def test_what_is_wrong_with_one_column_is_told_and_the_others_are_measured(case):
    report = wk.compare(case.reference, case.current, **case.options)
    [column] = [c for c in report.columns if c.name == case.column]
    assert column.verdict.value == case.verdict, column.sentence
    for words in case.words:
        assert words in column.sentence
    for words in case.notes:
        assert any(words in note for note in report.notes), report.notes
    good_columns_are_measured(report)
    check_forms(report)


@pytest.mark.parametrize(
    "name", ["became constant", "column missing here", "infinite values", "number became text"]
)
def test_the_command_line_says_the_same(name, tmp_path, capsys):
    case = TOLD[name]
    for side, data in (("a", case.reference), ("b", case.current)):
        (tmp_path / f"{side}.parquet").write_bytes(parquet(data))
    with pytest.raises(SystemExit) as end:
        main(["compare", str(tmp_path / "a.parquet"), str(tmp_path / "b.parquet"), "--json"])
    assert end.value.code == 1
    said = json.loads(capsys.readouterr().out)
    [column] = [c for c in said["columns"] if c["name"] == case.column]
    assert column["verdict"] == "fail"
    for words in case.words:
        assert words in column["sentence"]


class TestFewRows:
    def test_a_header_alone_is_an_empty_batch(self, tmp_path, capsys):
        (tmp_path / "t.csv").write_text("age,plan\n")
        report = wk.compare(rows(), tmp_path / "t.csv")
        assert (report.verdict.value, report.headline) == ("inconclusive", "This batch is empty")
        assert any("has columns but no rows" in note for note in report.notes)
        check_forms(report)

    def test_a_header_alone_is_no_baseline(self, tmp_path, capsys):
        (tmp_path / "t.csv").write_text("age,plan\n")
        (tmp_path / "u.csv").write_text("age,plan\n1,a\n")
        with pytest.raises(wk.WatchkeeperError, match="no rows, so there is nothing to compare with"):
            wk.compare(tmp_path / "t.csv", rows())
        with pytest.raises(SystemExit) as end:
            main(["compare", str(tmp_path / "t.csv"), str(tmp_path / "u.csv")])
        assert end.value.code == 2
        assert "no rows" in capsys.readouterr().err

    @pytest.mark.parametrize("sides", [(ROWS, 1), (1, ROWS), (1, 1), (ROWS, 5)])
    def test_one_row_tells_nothing(self, sides):
        report = wk.compare(rows(sides[0]), rows(sides[1]))
        assert report.verdict.value == "inconclusive"
        assert report.headline == "Too little data to tell"
        assert report.failed() == ()
        assert all("Too few rows to tell" in c.sentence for c in report.columns)
        check_forms(report)


def test_duplicate_column_names(tmp_path):
    (tmp_path / "t.csv").write_text("age,plan,age\n" + "".join(f"{i % 50},a,{i % 7}\n" for i in range(ROWS)))
    report = wk.compare(tmp_path / "t.csv", tmp_path / "t.csv")
    assert [c.name for c in report.columns if c.verdict.value == "pass"] == ["age", "plan", "age (2)"]
    assert any("'age' appears more than once" in note for note in report.notes)
    check_forms(report)


@pytest.mark.parametrize(
    ("kind", "verdict", "words"),
    [
        ("text", "pass", ""),
        (
            "categorical",
            "inconclusive",
            "it has more than 4,096 categories, and none of them is frequent enough",
        ),
    ],
)
def test_a_hundred_thousand_categories(kind, verdict, words):
    """Half of them are new. What cannot be seen is never called steady."""
    count = 100_000
    report = wk.compare(
        rows(count, x=[f"c{i}" for i in range(count)]),
        rows(count, x=[f"c{i + count // 2}" for i in range(count)]),
        kinds={"x": kind},
    )
    [column] = [c for c in report.columns if c.name == "x"]
    assert column.verdict.value == verdict
    assert words in column.sentence
    good_columns_are_measured(report)
    assert len(report.to_html()) < 200_000
    check_forms(report)


@pytest.mark.parametrize("side", ["reference", "current"])
def test_a_folder_with_one_bad_file(side, tmp_path):
    whole = pa.table(rows(2 * ROWS))
    folder = tmp_path / "days"
    folder.mkdir()
    (folder / "1.parquet").write_bytes(parquet(whole.slice(0, ROWS)))
    (folder / "2.parquet").write_bytes(parquet(whole)[:100])
    (folder / "3.parquet").write_bytes(parquet(whole.slice(ROWS)))
    report = wk.compare(*((folder, rows()) if side == "reference" else (rows(), folder)))
    sides = {"reference": report.reference.rows, "current": report.current.rows}
    assert sides[side] == 2 * ROWS
    assert any("2.parquet cannot be read" in note for note in report.notes)
    good_columns_are_measured(report)


@pytest.mark.parametrize("side", ["reference", "current"])
def test_a_stream_that_comes_by_once(side):
    table = pa.table(rows(5_000, x=random.normal(size=5_000)))
    stream = pa.RecordBatchReader.from_batches(table.schema, iter(table.to_batches(max_chunksize=700)))
    other = rows(5_000, x=random.normal(size=5_000))
    report = wk.compare(*((stream, other) if side == "reference" else (other, stream)))
    assert (report.reference.rows, report.current.rows) == (5_000, 5_000)
    assert [c.verdict.value for c in report.columns] == ["pass"] * 3
    table_again = wk.compare(*((table, other) if side == "reference" else (other, table)))
    assert [c.verdict for c in table_again.columns] == [c.verdict for c in report.columns]


def test_nothing_in_common():
    report = wk.compare({"a": [1] * ROWS}, {"b": [1] * ROWS})
    assert {c.name: c.verdict.value for c in report.columns} == {"a": "fail", "b": "fail"}


@pytest.mark.parametrize(
    ("reference", "current", "words"),
    [
        ("absent.parquet", {"a": [1]}, "There is no file 'absent.parquet'"),
        (5, {"a": [1]}, "int"),
        ({"a": [1]}, None, "NoneType"),
        ({"a": [1, 2]}, Path("absent"), "absent"),
    ],
    ids=str,
)
def test_what_is_no_rows_at_all(reference, current, words):
    with pytest.raises(wk.WatchkeeperError, match=words) as failure:
        wk.compare(reference, current)
    assert failure.value.next_steps


def test_text_in_another_encoding_is_read_when_it_is_named(tmp_path):
    text = "city,n\n" + "Zürich,1\nGenève,2\n" * 200
    (tmp_path / "t.csv").write_bytes(text.encode("latin-1"))
    report = wk.compare(tmp_path / "t.csv", tmp_path / "t.csv", encoding="latin-1")
    [city] = [c for c in report.columns if c.name == "city"]
    assert set(city.picture.labels) == {"Zürich", "Genève"}


@pytest.mark.parametrize("right", [True, False])
def test_one_row_is_too_little_to_call_a_model_worse(right):
    """One wrong decision is no accuracy of 0, and one loss has no spread that could be known."""
    dice = np.random.default_rng(4)
    score = dice.random(2000)
    before = {"score": score, "outcome": (dice.random(2000) < score).astype(int)}
    report = wk.compare(before, {"score": [0.9], "outcome": [int(right)]}, task="binary")
    assert not report.failed()
    assert report.headline == "Too little data to tell"
