"""One file, read anywhere and for ever."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from watchkeeper.domain.schema import Column, Kind, Role, Schema, Task
from watchkeeper.domain.values import Values
from watchkeeper.stats.states.accumulator import profile_columns
from watchkeeper.stats.states.baseline import Baseline, WindowProfile
from watchkeeper.stats.states.codec import decode, encode
from watchkeeper.stats.states.edge_search import EdgeSearch

GOLDEN = Path(__file__).parent / "golden"


def small():
    """A little of everything that a profile can hold, the same on every machine."""
    i = np.arange(400)
    words = np.array(["north", "south", "Zürich"], dtype=object)
    columns = {
        "id": (Kind.INTEGER, Role.ID, i),
        "amount": (Kind.NUMERIC, Role.FEATURE, np.where(i % 50 == 7, np.nan, (i * 37 % 101) / 8)),
        "large": (Kind.INTEGER, Role.FEATURE, 2**60 + i % 5),
        "region": (Kind.CATEGORICAL, Role.FEATURE, (i % 3).astype(np.int32)),
        "note": (Kind.TEXT, Role.FEATURE, (i % 2).astype(np.int32)),
        "flag": (Kind.BOOLEAN, Role.FEATURE, i % 4 == 0),
        "at": (Kind.DATETIME, Role.TIME, 1_600_000_000_000_000 + i * 1_000_000),
        "vector": (Kind.VECTOR, Role.FEATURE, np.stack([i / 4.0, -i / 2.0], axis=1)),
        "score": (Kind.NUMERIC, Role.SCORE, (i % 64) / 64),
        "prediction": (Kind.INTEGER, Role.PREDICTION, (i % 64 >= 32).astype(np.int64)),
        "outcome": (Kind.INTEGER, Role.OUTCOME, (i * 7 % 64 >= 32).astype(np.int64)),
    }
    schema = Schema(
        columns=tuple(Column(name=n, kind=k, role=r) for n, (k, r, _) in columns.items()), task=Task.BINARY
    )
    batch = {
        n: Values(kind=k, rows=400, data=x, dictionary=words if x.dtype == np.int32 else None)
        for n, (k, _, x) in columns.items()
    }
    with EdgeSearch(schema) as search:
        search.add(batch)
        plan = search.plan(sample_k=20, segments=(("region",),))
    profile = profile_columns(batch, plan)
    assert profile.notes == ()
    return Baseline(
        plan=plan,
        profile=profile,
        windows=(
            WindowProfile(
                label="2020-09-13T12:00Z/PT1H",
                start_us=1_600_000_000_000_000,
                end_us=1_600_003_600_000_000,
                profile=profile.without_rows().coarsen(64),
            ),
        ),
        source={"kind": "file", "path": "data.parquet", "rows": 400},
        created_at="2026-11-22T00:00:00Z",
        name="golden",
    )


def assert_says_the_same(one, other):
    """Everything that measures read, compared by value."""
    assert one.rows == other.rows
    assert one.schema == other.schema
    for name in other.columns:
        a, b = one[name], other[name]
        assert (a.column, a.rows, a.nulls, a.misfits) == (b.column, b.rows, b.nulls, b.misfits)
        assert a.states.keys() == b.states.keys()
        assert a.frequencies == b.frequencies
        assert a.distinct == b.distinct
        if b.histogram is not None:
            assert a.histogram.edges.cuts.tolist() == b.histogram.edges.cuts.tolist()
            assert a.histogram.counts.tolist() == b.histogram.counts.tolist()
            assert a.histogram.low.to_list() == b.histogram.low.to_list()
            assert (a.histogram.nans, a.histogram.nulls) == (b.histogram.nans, b.histogram.nulls)
            assert a.moments.mean == pytest.approx(b.moments.mean, rel=1e-12, nan_ok=True)
    if other.sample is not None:
        assert one.sample.hashes.tolist() == other.sample.hashes.tolist()
        for name, column in other.sample.columns.items():
            np.testing.assert_array_equal(one.sample.columns[name], column)
    assert one.performance.keys() == other.performance.keys()
    auc = one.performance["score_table"].auc().value
    assert auc == pytest.approx(other.performance["score_table"].auc().value)
    assert one.performance["confusion"].counts.tolist() == other.performance["confusion"].counts.tolist()
    assert one.segments.keys() == other.segments.keys()


def test_a_baseline_comes_back_whole():
    made = small()
    again = decode(encode(made))
    assert (again.name, again.created_at, again.source) == (made.name, made.created_at, made.source)
    assert again.edges == made.edges
    assert again.plan.positive == "1"
    assert again.plan.segments == (("region",),)
    assert_says_the_same(again.profile, made.profile)
    (window,) = again.windows
    assert window.label == made.windows[0].label
    assert_says_the_same(window.profile, made.windows[0].profile)
    # Edges stand in the file once, and are one object again.
    assert again.profile["amount"].histogram.edges is again.edges["amount"]


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.wkb")), ids=lambda p: p.stem)
def test_baselines_that_earlier_versions_wrote_are_still_read(path):
    """Files made once by `small()`; never rewritten, one is added when the format grows."""
    assert_says_the_same(decode(path.read_bytes()).profile, small().profile)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.wkp")), ids=lambda p: p.stem)
def test_profiles_that_earlier_versions_wrote_are_still_read(path):
    assert_says_the_same(decode(path.read_bytes()), small().profile.without_rows())


def test_there_are_golden_files():
    assert {p.suffix for p in GOLDEN.iterdir()} >= {".wkb", ".wkp"}


def test_another_process_reads_it(tmp_path):
    (tmp_path / "b.wkb").write_bytes(encode(small()))
    code = (
        "from watchkeeper.stats.states.codec import decode\n"
        "b = decode(open('b.wkb', 'rb').read())\n"
        "print(b.profile['large'].histogram.edges.low, b.profile['region'].frequencies.counts['Zürich'])"
    )
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(2**60), "133"]


def test_a_baseline_of_a_profile_alone():
    made = small()
    alone = Baseline.of_profile(made.profile.without_rows(), name="from a profile")
    assert alone.sample is None
    assert alone.plan.sample_k == 0
    assert alone.edges == made.edges
    assert alone.known.keys() == made.known.keys()
    assert made.without_rows().sample is None
