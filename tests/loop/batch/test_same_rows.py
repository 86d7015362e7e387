"""The same rows give the same profile, whatever program wrote them into whatever file."""

from __future__ import annotations

import csv

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from watchkeeper.domain.verdict import Verdict
from watchkeeper.loop.batch.compare import compare
from watchkeeper.loop.batch.profiling import profile


def table(seed, n=300):
    """A table of what real ones hold: words that look like nulls or need quotes, codes, gaps, times."""
    r = np.random.default_rng(seed)
    start = pd.Timestamp("2024-01-01")
    frame = pd.DataFrame(
        {
            "region": r.choice(["EU", "NA", "None", "US, west", 'say "hi"', "ÅÄ"], n),
            "price": np.round(r.lognormal(6, 2, n), 2),
            "count": r.integers(0, 2_000, n),
            "big": r.integers(2**62, 2**63 - 1, n),
            "zip": [f"{x:05}" for x in r.integers(0, 99_999, n)],
            "paid": r.random(n) < 0.5,
            "at": (start + pd.to_timedelta(r.integers(0, 10**6, n), unit="s")).astype("datetime64[us]"),
            "due": (start + pd.to_timedelta(r.integers(0, 100, n), unit="D")).astype("datetime64[us]"),
            "opens": [f"{h:02}:{m:02}" for h, m in zip(r.integers(0, 24, n), r.integers(0, 60, n))],
            "gap": np.where(r.random(n) < 0.2, np.nan, np.round(r.normal(size=n), 3)),
            "word": pd.Series(r.choice(["a", "b"], n)).where(r.random(n) > 0.2, None),
        }
    )
    return frame


def arrow(frame):
    return pa.Table.from_pandas(frame, preserve_index=False)


def by_pandas(quoting):
    def write(frame, path):
        frame.to_csv(path, index=False, quoting=quoting)

    return write


def by_excel(frame, path):
    """A German Excel: a mark, sep=, semicolons, decimal commas, points between thousands."""
    marks = str.maketrans(",.", ".,")
    frame = frame.assign(
        price=frame.price.map(lambda x: f"{x:,.2f}".translate(marks)),
        gap=frame.gap.map(lambda x: "" if pd.isna(x) else str(x).replace(".", ",")),
    )
    text = "sep=;\r\n" + frame.to_csv(index=False, sep=";", lineterminator="\r\n")
    path.write_text(text, encoding="utf-8-sig", newline="")


def by_spark(frame, path):
    """Spark's defaults: quotes where they are needed, escaped by a backslash; ISO times with milliseconds."""

    def cell(value):
        if value is None or value != value:
            return ""
        if isinstance(value, str):
            return '"' + value.replace('"', '\\"') + '"' if "," in value or '"' in value else value
        if isinstance(value, bool | np.bool_):
            return str(value).lower()
        return f"{value:%Y-%m-%dT%H:%M:%S}.000" if isinstance(value, pd.Timestamp) else str(value)

    path.write_text(_lines(frame, cell))


def by_r(frame, path):
    """R's write.csv: text in quotes, NA without."""

    def cell(value):
        if value is None or value != value:
            return "NA"
        if isinstance(value, str):
            return '"' + value.replace('"', '""') + '"'
        return str(value).upper() if isinstance(value, bool | np.bool_) else str(value)

    path.write_text(_lines(frame.rename(columns=lambda name: f'"{name}"'), cell))


def _lines(frame, cell):
    rows = [",".join(map(cell, row)) for row in frame.itertuples(index=False, name=None)]
    return "\n".join([",".join(frame.columns), *rows]) + "\n"


def by_delta(frame, path):
    pytest.importorskip("deltalake").write_deltalake(str(path), arrow(frame))


WRITERS = {
    "int96.parquet": lambda f, p: pq.write_table(arrow(f), p, use_deprecated_int96_timestamps=True),
    "polars.parquet": lambda f, p: pl.from_pandas(f).write_parquet(p),
    "minimal.csv": by_pandas(csv.QUOTE_MINIMAL),
    "all.csv": by_pandas(csv.QUOTE_ALL),
    "text.csv": by_pandas(csv.QUOTE_NONNUMERIC),
    "tabs.tsv": lambda f, p: f.to_csv(p, index=False, sep="\t"),
    "polars.csv": lambda f, p: pl.from_pandas(f).write_csv(p),
    "arrow.csv": lambda f, p: pa_csv.write_csv(arrow(f), p),
    "excel.csv": by_excel,
    "spark.csv": by_spark,
    "r.csv": by_r,
    "array.json": lambda f, p: f.to_json(p, orient="records", date_format="iso", date_unit="us"),
    "lines.jsonl": lambda f, p: f.to_json(p, orient="records", lines=True, date_format="iso", date_unit="us"),
    "ipc.arrow": lambda f, p: feather.write_feather(arrow(f), p, compression="uncompressed"),
    "delta": by_delta,
}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", WRITERS)
def test_every_writer_gives_the_profile_of_the_frame(tmp_path, name, seed):
    frame = table(seed)
    WRITERS[name](frame, tmp_path / name)
    expected, found = profile(frame), profile(tmp_path / name)
    assert found.rows == len(frame)
    for column, states in expected.columns.items():
        assert found.schema[column].kind is expected.schema[column].kind, column
        for state, value in states.states.items():
            assert repr(found.columns[column].states[state]) == repr(value), (column, state)


@pytest.mark.parametrize("name", ["minimal.csv", "excel.csv"])
@pytest.mark.parametrize("turned", [False, True], ids=["file is baseline", "text is baseline"])
def test_a_csv_file_and_its_text_in_parquet_do_not_differ(tmp_path, name, turned):
    """A text file has no types, so a column of strings with the same words in it has not changed its type."""
    frame = table(2)
    WRITERS[name](frame, tmp_path / name)
    frame.to_csv(tmp_path / "words.csv", index=False)
    words = pd.read_csv(tmp_path / "words.csv", dtype=str, keep_default_na=False, na_values=[""])
    words.to_parquet(tmp_path / "text.parquet")
    sides = [tmp_path / name, tmp_path / "text.parquet"]
    report = compare(*(sides[::-1] if turned else sides))
    assert [(f.subject, f.measure) for f in report.findings if f.verdict is Verdict.FAIL] == []
    words.loc[3, "price"] = "cheap"
    words.to_parquet(tmp_path / "text.parquet")
    report = compare(*(sides[::-1] if turned else sides))
    assert turned or ("price", "type_changed") in [
        (f.subject, f.measure) for f in report.findings if f.verdict is Verdict.FAIL
    ]
