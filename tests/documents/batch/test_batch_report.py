"""The report in all its forms: strict, escaped, bounded in size, the same answer everywhere."""

from __future__ import annotations

import html
import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import watchkeeper as wk
from watchkeeper.documents.batch.answer import Side, verdict_word
from watchkeeper.documents.batch.report import Report
from watchkeeper.documents.drawing.picture import Picture, figure_html, spark_svg, svg
from watchkeeper.domain.verdict import Verdict
from watchkeeper.errors import BadInput

NASTY = (
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "</style></script><svg onload=alert(1)>",
    "a | b `c` *d* _e_ [f](javascript:x)",
    "]]>&amp;&lt;",
    "{{ 7 * 7 }}{% for %}",
    "line\nbreak\ttab\x07bell",
    "ünï🙂中文",
)


class Tags(HTMLParser):
    """Every tag with its attributes, as a browser's parser would find them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def tags(page: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(page)
    return parser.found


def table(seed: int, rows: int, columns: int, *, shift: float = 0.0) -> pa.Table:
    random = np.random.default_rng([seed, columns])
    data = {f"x{i:04d}": random.normal(shift if i % 50 == 0 else 0, 1, rows) for i in range(columns)}
    for i in range(9, columns, 10):
        data[f"x{i:04d}"] = random.choice([f"category {k}" for k in range(30)], rows)
    return pa.table(data)


@pytest.fixture(scope="module")
def nasty() -> Report:
    """A report in which columns, categories, segments, names and titles all try to break out."""
    random = np.random.default_rng(0)
    rows = 2_000
    sides = []
    for shift in (0.0, 0.8):
        side = {name: random.normal(shift, 1, rows) for name in NASTY}
        side["words"] = random.choice(NASTY if shift else NASTY[:4], rows)
        side["<segment>"] = random.choice(NASTY[:3], rows)
        side["score"] = random.random(rows)
        side["outcome"] = (random.random(rows) < (0.5 if shift else side["score"])).astype(int)
        sides.append(side)
    return wk.compare(
        *sides, segments=["<segment>"], title="<b>title</b>", compat="evidently",
        expectations=[f"'{NASTY[0]}' between 0 and 1"],
    )  # fmt: skip


class TestEscaping:
    def test_no_name_and_no_value_becomes_markup(self, nasty):
        page = nasty.to_html()
        found = tags(page)
        assert not [tag for tag in found if tag[0] in ("img", "b0", "iframe", "object", "embed")]
        assert sum(tag == "script" for tag, _ in found) == 1
        assert not [a for _, attributes in found for a in attributes if a.startswith("on")]
        for text in NASTY[:3]:
            assert text not in page
        assert html.escape("<b>title</b>") in page
        assert "{{ 7 * 7 }}" in html.unescape(page)  # shown as it stands, not computed

    def test_names_are_shown_as_they_are(self, nasty):
        shown = html.unescape(nasty.to_html())
        for text in NASTY[:5]:
            assert text in shown

    def test_junit_is_xml_and_says_the_names(self, nasty):
        root = ET.fromstring(nasty.to_junit())
        names = [case.get("name") for case in root.iter("testcase")]
        assert len(names) == len(nasty.findings)
        assert any(NASTY[0] in name for name in names)
        assert int(root.get("failures")) == len(nasty.failed()) == len(list(root.iter("failure")))
        assert int(root.get("skipped")) == len(list(root.iter("skipped")))

    def test_markdown_shows_signs_and_obeys_none(self, nasty):
        text = nasty.to_markdown()
        assert "<script" not in text
        assert "<img" not in text
        table = [line for line in text.splitlines() if line.startswith("|")]
        for line in table:
            assert len(re.findall(r"(?<!\\)\|", line)) in (6, 5), line
        assert not re.search(r"(?<!\\)\]\(", text)  # no link

    def test_pictures_alone_are_escaped_too(self):
        picture = Picture(baseline=(0.5, 0.5), current=(0.4, 0.6), labels=NASTY[:2])
        for made in (svg(picture, title=NASTY[1]), figure_html(picture, title=NASTY[1])):
            assert not {tag for tag, _ in tags(made)} & {"script", "img"}
            ET.fromstring(made)
        ET.fromstring(spark_svg(picture))

    def test_a_notebook_gets_a_frame_of_its_own(self, nasty):
        [(tag, attributes)] = tags(nasty._repr_html_())
        assert tag == "iframe"
        assert attributes["sandbox"] == "allow-scripts"
        assert attributes["srcdoc"] == nasty.to_html()


class TestOfflinePage:
    def test_nothing_is_fetched(self, nasty):
        page = nasty.to_html()
        for tag, attributes in tags(page):
            assert tag != "link" or attributes["href"] == "data:,"
            assert "src" not in attributes
            assert not (attributes.get("href") or "").startswith(("http", "//"))
        assert "url(" not in page
        assert "@import" not in page
        assert "default-src 'none'" in page

    @pytest.mark.parametrize(("rows", "columns", "limit"), [(1_000, 20, 1.5e6), (100_000, 20, 1.5e6)])
    def test_its_size_does_not_grow_with_the_rows(self, rows, columns, limit):
        report = wk.compare(table(0, rows, columns), table(1, rows, columns, shift=0.5))
        assert len(report.to_html().encode()) < min(limit, 150_000)

    @pytest.mark.slow
    def test_three_thousand_columns_fit_in_four_megabytes(self):
        report = wk.compare(table(0, 2_000, 3_000), table(1, 2_000, 3_000, shift=0.7))
        page = report.to_html()
        assert len(page.encode()) < 4e6
        assert sum("data-k" in a for _, a in tags(page)) == 3_000

    def test_every_column_stands_in_the_table(self):
        report = wk.compare(table(0, 500, 30), table(1, 500, 30))
        shown = [a["data-k"].split()[0] for _, a in tags(report.to_html()) if "data-k" in a]
        assert sorted(shown) == sorted(c.name for c in report.columns)


class TestFormsSayTheSame:
    def test_headline_and_findings(self, nasty):
        page, text, raw = html.unescape(nasty.to_html()), nasty.to_markdown(), nasty.to_dict()
        assert nasty.headline in page
        assert nasty.headline in text
        assert raw["headline"] == nasty.headline
        assert len(raw["findings"]) == len(nasty.findings)
        for finding in nasty.failed():
            if not finding.segment:
                assert finding.sentence in page

    def test_files_are_what_is_returned(self, nasty, tmp_path):
        for name, write in (
            ("r.html", nasty.to_html), ("r.md", nasty.to_markdown), ("r.xml", nasty.to_junit), ("r.json", nasty.to_json),
        ):  # fmt: skip
            text = write(tmp_path / name)
            assert (tmp_path / name).read_bytes().decode() == text

    def test_a_folder_that_is_not_there_is_a_clear_error(self, nasty, tmp_path):
        with pytest.raises(BadInput, match="cannot be written"):
            nasty.to_html(tmp_path / "absent" / "r.html")

    def test_every_verdict_has_a_word(self):
        assert len({verdict_word(v.value) for v in Verdict}) == len(Verdict)

    def test_a_family_that_does_not_exist(self, nasty):
        with pytest.raises(BadInput, match="Did you mean 'drift'"):
            nasty.failed("drfit")

    def test_an_empty_report(self):
        report = Report(
            title="t", reference=Side(name="a", rows=0), current=Side(name="b", rows=0), columns=(), findings=()
        )  # fmt: skip
        assert report.verdict is Verdict.INCONCLUSIVE
        assert report.headline == "This batch is empty"
        for form in (report.to_html, report.to_markdown, report.to_junit, report.to_json):
            assert form()


ugly = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=6),
    st.dates(),
    st.datetimes(),
    st.binary(max_size=4),
    st.lists(st.floats(), max_size=3),
)
columns = st.dictionaries(
    st.text(min_size=1, max_size=5), st.lists(ugly, min_size=6, max_size=6), min_size=1, max_size=4
)


@settings(max_examples=60)
@given(columns, columns)
def test_whatever_the_data_every_form_is_strict(before, after):
    """No NaN in JSON, no broken XML, no crash: for any values that Python can hold in a column."""
    try:
        report = wk.compare(before, after)
    except wk.WatchkeeperError:
        return
    assert json.loads(json.dumps(report.to_dict(), allow_nan=False))["verdict"] == report.verdict.value
    ET.fromstring(report.to_junit())
    report.to_markdown()
    assert not [t for t, _ in tags(report.to_html()) if t == "img"]


class TestPictures:
    def test_the_axis_is_marked_with_round_numbers_inside_it(self):
        picture = Picture(baseline=(0.5, 0.5), current=(0.5, 0.5), borders=(-2.566, 0.1, 2.598))
        assert re.findall(r">(-?[\d.]+)<", figure_html(picture, title="t")) == ["-2", "0", "2"]

    @given(
        st.lists(
            st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=3, max_size=3, unique=True
        ),
        st.booleans(),
    )
    def test_any_range_can_be_drawn(self, borders, is_time):
        low, middle, high = sorted(borders)
        picture = Picture(
            baseline=(0.4, 0.6), current=(1.0, 0.0), borders=(low, middle, high), is_time=is_time
        )
        for made in (svg(picture, title="t"), spark_svg(picture)):
            ET.fromstring(made)
        assert "nan" not in figure_html(picture, title="t")

    def test_it_holds_shares_and_no_rows(self):
        report = wk.compare({"x": np.arange(1000.0)}, {"x": np.arange(1000.0)})
        drawn = report.to_dict()["columns"][0]["distribution"]
        assert len(drawn["baseline"]) == 40
        assert sum(drawn["baseline"]) == pytest.approx(1, abs=1e-3)

    @pytest.mark.parametrize("kind", [float, int])
    def test_whole_numbers_are_drawn_in_intervals_that_hold_as_many(self, kind):
        """Ages in 40 equal intervals would be a comb: some hold one year, some two."""
        age = np.repeat(np.arange(18, 97), 50).astype(kind)
        older = np.append(age, [99, 104])
        drawn = wk.compare({"x": age}, {"x": older}).to_dict()["columns"][0]["distribution"]
        widths = set(np.diff(drawn["borders"]).tolist())
        assert widths == {2.0}
        assert max(drawn["baseline"][1:-1]) - min(drawn["baseline"][1:-1]) < 1e-4


class TestPage:
    def test_what_changed_is_drawn_beside_what_is_said(self):
        random = np.random.default_rng(0)
        before = {"moved": random.normal(size=4000), "gone": random.normal(size=4000)}
        page = wk.compare(before, {"moved": random.normal(2, 1, 4000)}).to_html()
        changed = page[page.index('id="h-changed"') : page.index('id="columns-h"')]
        assert (
            changed.count('class="seen"') == changed.count("<svg viewBox") == 1
        )  # nothing is drawn of "gone"

    def test_measures_that_nobody_judges_are_folded_away(self):
        random = np.random.default_rng(0)
        score = random.random(4000)
        rows = {
            "x": random.normal(size=4000),
            "score": score,
            "y_true": (random.random(4000) < score).astype(int),
        }
        page = wk.compare(rows, rows).to_html()
        shown, folded = page[page.index('id="h-performance"') :].split('<details class="rest">', 1)
        assert "not judged" not in shown
        assert "ROC AUC" in shown
        assert "Recall" in folded
