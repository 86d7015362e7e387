"""Text files as people and programs write them: what a cell means does not depend on who wrote the file."""

from __future__ import annotations

import csv
import datetime as dt
import io

import numpy as np
import pandas as pd
import pytest

from watchkeeper.rows import files
from watchkeeper.rows.sources import open_source


@pytest.fixture(params=["whole", "streamed"])
def read(request, tmp_path, monkeypatch):
    """Write a text, read its rows: kept in memory, or streamed as a large file is."""
    if request.param == "streamed":
        monkeypatch.setattr(files, "_KEEP_BYTES", 0)

    def _read(text, name="t.csv", **options):
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        source = open_source(path, **options)
        rows = [row for batch in source.batches() for row in batch.to_pylist()]
        return pd.DataFrame(rows, columns=source.arrow_schema.names), source.problems

    return _read


def plain(column):
    return [None if pd.isna(value) else value for value in column]


WAYS = {
    "plain": (".", ""),
    "decimal comma": (",", ""),
    "German": (",", "."),
    "French": (",", "\u202f"),
    "English": (".", ","),
    "Swiss": (".", "’"),
}


def spell(number, decimal, thousands):
    """A number as Python's own format writes it, with other marks."""
    text = f"{number:,.2f}" if thousands else f"{number:.2f}"
    return text.replace(",", "T").replace(".", decimal).replace("T", thousands)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("way", WAYS)
def test_numbers_are_the_same_in_every_way_of_writing_them(read, way, delimiter):
    numbers = np.round(np.random.default_rng(0).lognormal(7, 2, 200), 2)
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerow(["price", "kind", "version", "count"])
    for i, x in enumerate(numbers):
        writer.writerow([spell(x, *WAYS[way]) if i % 10 else "", "abc"[i % 3], f"1.{i % 7}", i])
    found, _ = read(out.getvalue())
    np.testing.assert_array_equal(found.price.astype(float)[1:10], numbers[1:10])
    assert found.price.isna().sum() == 20
    assert sorted(found.version.unique()) == pytest.approx([1 + i / 10 for i in range(7)])
    assert found["count"].tolist() == list(range(200))


@pytest.mark.parametrize(
    ("words", "delimiter", "numbers"),
    [
        (["1,234", "56,789"], ";", [1.234, 56.789]),
        (["1,234", "56,789"], "\t", [1.234, 56.789]),
        (["1,234", "857"], "\t", [1234, 857]),
        (["1,234", "56,789"], ",", [1234, 56789]),
        (["0,234", "56,789"], ",", [0.234, 56.789]),
        (["1,234,567", "1"], ";", [1234567, 1]),
        (["1.234,5", "1,0"], ";", [1234.5, 1.0]),
        (["-1,5", "+2", ",5"], ";", [-1.5, 2, 0.5]),
        (["1,5E+03", "2,5e-2"], ";", [1500.0, 0.025]),
    ],
)
def test_a_mark_that_may_be_either_is_told_by_the_file(read, words, delimiter, numbers):
    found, problems = read(delimiter.join("nk") + "\n" + "".join(f'"{w}"{delimiter}x\n' for w in words))
    assert found.n.tolist() == numbers
    assert any("decimal comma" in line or "thousands" in line for line in problems)


@pytest.mark.parametrize(
    "words", [["1.2.3", "1.2.4"], ["1,2,3", "4"], ["12,34,567", "1,2"], ["01.02.2024"], ["192.168.1.1"]]
)
def test_words_that_only_look_like_numbers_stay_words(read, words):
    found, _ = read("a;b\n" + "".join(f"{w};1\n" for w in words))
    assert found.a.tolist() == words


def test_points_between_thousands_are_seen_beside_decimal_commas(read):
    found, _ = read("price;count;version\n1,5;1.234;1.2\n2,25;17;1.3\n")
    assert found.to_dict("list") == {"price": [1.5, 2.25], "count": [1234, 17], "version": [1.2, 1.3]}


class TestWhatIsMissing:
    def test_words_are_categories_where_nothing_says_that_they_mean_missing(self, read):
        found, problems = read("region,x\nNA,1\nEU,2\nNone,3\n,4\nnull,5\n")
        assert plain(found.region) == ["NA", "EU", "None", None, "null"]
        assert any(
            "'region' holds 1 times 'NA'" in line and "--missing NA,None,null" in line for line in problems
        )

    @pytest.mark.parametrize(
        "column", ["x\n1\nNA\n3", "x\n1.5\nNaN\n2", "x\n2024-01-01\nnull\n2024-01-02", "x\ntrue\nNone\nfalse"]
    )
    def test_words_in_columns_of_numbers_times_and_truths_say_it(self, read, column):
        name, *cells = column.split("\n")
        found, _ = read(f"c,{name}\n" + "".join(f"{c},{x}\n" for c, x in zip(["NA", "b", "null"], cells)))
        assert plain(found.c) == [None, "b", None]
        assert found.x.isna().tolist() == [False, True, False]

    def test_in_quotes_it_is_text_as_r_writes_it(self, read):
        found, _ = read('"c","d","x"\n"NA",NA,1\n"b","a",NA\nNA,"NA",3\n')
        assert plain(found.c) == ["NA", "b", None]
        assert plain(found.d) == [None, "a", "NA"]
        assert found.x.isna().tolist() == [False, True, False]

    def test_nothing_in_quotes_is_empty_text_unless_everything_is_in_quotes(self, read):
        found, _ = read('c,x\n"",1\n,2\na,3\n')
        assert plain(found.c) == ["", None, "a"]
        found, _ = read('"c","x"\n"","1"\n"NA",""\n"a","3"\n')
        assert plain(found.c) == [None, "NA", "a"]
        assert found.x.isna().tolist() == [False, True, False]

    def test_the_words_can_be_given(self, read):
        found, _ = read("c,x\n-,1\nNA,-\na,3\n", missing=["-"])
        assert plain(found.c) == [None, "NA", "a"]
        assert found.x.isna().tolist() == [False, True, False]

    def test_databases_dump_a_backslash_and_n(self, read):
        found, _ = read("c\tx\n\\N\t1\na\t\\N\n", name="t.tsv")
        assert (found.c.isna().tolist(), found.x.isna().tolist()) == ([True, False], [False, True])


class TestAroundTheRows:
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    def test_excels_own_line_names_the_delimiter(self, read, encoding):
        found, _ = read("sep=;\r\na;b\r\n1,5;x,y\r\n2,5;z\r\n".encode(encoding))
        assert found.to_dict("list") == {"a": [1.5, 2.5], "b": ["x,y", "z"]}

    def test_comments_are_no_rows(self, read):
        found, problems = read("# exported, 2024\n# by me\na,b\n1,x\n# note, here\n2,y\n# end\n")
        assert found.to_dict("list") == {"a": [1, 2], "b": ["x", "y"]}
        assert problems == []

    def test_a_header_may_begin_with_a_hash(self, read):
        assert read("#id,name\n1,x\n2,y\n")[0].columns.tolist() == ["#id", "name"]

    @pytest.mark.parametrize("options", [{}, {"encoding": "utf-8"}])
    def test_a_mark_at_the_start_is_no_part_of_a_name(self, read, options):
        assert read("\ufeffa,b\n1,2\n", **options)[0].columns.tolist() == ["a", "b"]

    def test_a_header_that_looks_like_data_is_pointed_at(self, read):
        _, problems = read("1,-0.1321,0.6404\n0,0.2,0.3\n")
        assert any("looks like data" in line and "header=false" in line for line in problems)
        for usual in ("a,b,2019\n1,2,3\n", "x1,x2\n1,2\n", "id,0\n1,2\n", "2019,2020,2021\n1,2,3\n"):
            assert not any("header" in line for line in read(usual)[1]), usual


def test_quotes_after_a_backslash(read):
    words = ['say "hi"', 'a "b, c" d', "plain", "two\nlines", 'C:\\tmp "x"']
    body = "".join('{},"{}",{}\n'.format(i, words[i % 5].replace('"', '\\"'), i) for i in range(50))
    found, problems = read("id,comment,amount\n" + body)
    assert found.comment.tolist() == [words[i % 5] for i in range(50)]
    assert (found.amount.tolist(), problems) == (list(range(50)), [])


def test_backslashes_that_guard_nothing_stay(read):
    found, _ = read('a,b\n1,"x ""q"""\n2,"C:\\dir\\"\n3,"\\"\n')
    assert found.b.tolist() == ['x "q"', "C:\\dir\\", "\\"]


def test_whole_numbers_with_zeros_in_front_are_names(read):
    found, problems = read("zip,n,x\n00501,1,0\n10001,02,0.5\n,3,00.5\n")
    assert found.zip.tolist()[:2] == ["00501", "10001"]
    assert found.n.tolist() == ["1", "02", "3"]
    assert found.x.tolist() == [0, 0.5, 0.5]
    assert any("zeros in front" in line for line in problems)


def test_whole_numbers_of_64_bits_keep_every_digit(read):
    found, _ = read("id,x\n9223372036854775809,1\n18446744073709551615,2\n5,3\n")
    assert found.id.tolist() == [2**63 + 1, 2**64 - 1, 5]


def test_times_with_zones_are_instants(read):
    words = ["2024-01-01T00:00:00.000Z", "2024-01-01T01:00:00.000+01:00", "2024-01-01 00:00:00+0000"]
    found, _ = read("at,x\n" + "".join(f"{w},1\n" for w in words))
    assert {at.to_pydatetime() for at in found["at"]} == {dt.datetime(2024, 1, 1, tzinfo=dt.UTC)}
