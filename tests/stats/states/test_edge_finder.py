"""Edges from a stream: the same as from all rows at once, or within the sketch's error."""

import sys

import numpy as np
import pytest

from watchkeeper.domain.schema import Kind
from watchkeeper.domain.values import Values
from watchkeeper.errors import Incompatible
from watchkeeper.stats.states.codec import decode, encode
from watchkeeper.stats.states.edge_finder import EdgeFinder
from watchkeeper.stats.states.edges import Edges
from watchkeeper.stats.states.histogram import Histogram

RNG = np.random.default_rng(6)
N = 60_000
COLUMNS = {
    "normal": RNG.normal(size=N),
    "ordered": np.sort(RNG.normal(size=N)),
    "cents": np.round(RNG.lognormal(3, 0.5, N), 2),
    "zero inflated": np.where(RNG.random(N) < 0.5, 0.0, RNG.normal(size=N)),
    "few": RNG.integers(0, 9, N),
    "integers": RNG.integers(-(10**12), 10**12, N),
    "unsigned": RNG.integers(2**63, 2**64 - 1, N, dtype=np.uint64),
    "constant": np.full(N, 7.25),
}
columns = pytest.mark.parametrize("data", COLUMNS.values(), ids=COLUMNS.keys())


def found(data, *, batches=7, **options):
    finder = EdgeFinder(**options)
    for part in np.array_split(data, batches):
        finder.update(Values(kind=Kind.NUMERIC, rows=len(part), data=part))
    return finder


@columns
class TestWhileEverythingFits:
    def test_the_edges_are_those_of_all_rows(self, data):
        assert found(data).edges() == Edges.of_values(data)

    def test_so_is_the_histogram(self, data):
        finder = found(data)
        h, direct = finder.histogram(), Histogram.of(data, Edges.of_values(data))
        np.testing.assert_array_equal(h.counts, direct.counts)
        assert h.low.to_list() == pytest.approx(direct.low.to_list())
        assert h.high.to_list() == pytest.approx(direct.high.to_list())
        assert h.slack == 0

    def test_it_merges_from_any_parts(self, data):
        parts = [found(part, batches=2) for part in np.array_split(data, 3)]
        both = parts[0].merge(decode(encode(parts[1]))).merge(parts[2])
        assert both.edges() == Edges.of_values(data)
        assert both.rows == len(data)


@pytest.fixture(params=["datasketches", "ladder"])
def sketch(request, monkeypatch):
    """Both sketches: our own is used where the library is not installed."""
    if request.param == "ladder":
        monkeypatch.setitem(sys.modules, "datasketches", None)
    else:
        pytest.importorskip("datasketches")


@columns
@pytest.mark.usefixtures("sketch")
class TestPastTheBuffer:
    """A sketch: every bin's share is within the sketch's error of what it should be."""

    def check(self, finder, data):
        edges = finder.edges()
        assert edges.cuts.dtype == data.dtype
        assert (edges.low, edges.high) == (data.min(), data.max())
        h = Histogram.of(data, edges)
        values, counts = np.unique(data, return_counts=True)
        for value in values[counts > len(data) / 2048]:
            assert edges.atoms[np.searchsorted(edges.cuts, value, side="right")]
        # Two values of less than a share each may stand in one bin.
        assert h.fullest_share <= 2 / 2048 + 2.5 * finder.rank_error
        for bins in (64, 256):
            assert edges.coarsen(bins).bins <= bins or edges.exact
        estimated = finder.histogram()
        assert estimated.n == len(data)
        assert np.abs(estimated.cdf() - h.cdf()).max() <= 1.5 * finder.rank_error
        assert estimated.mean() == pytest.approx(
            float(h.mean()), abs=0.02 * np.std(data.astype(float)) + 1e-9
        )

    def test_one_stream(self, data):
        finder = found(data, buffer=5_000)
        self.check(finder, data)
        if len(np.unique(data)) > 16_384:
            assert 0 < finder.rank_error < 0.001
            assert finder.histogram().accuracy.bound >= finder.rank_error

    def test_merged_and_stored(self, data):
        parts = [found(part, buffer=5_000) for part in np.array_split(data, 3)]
        self.check(parts[0].merge(decode(encode(parts[1]))).merge(parts[2]), data)


def test_a_small_finder_and_a_large_one_merge_either_way():
    large, small = found(COLUMNS["normal"], buffer=5_000), found(COLUMNS["few"][:500].astype(float))
    buffered = found(RNG.normal(size=30_000), buffer=40_000)
    for one, other in ((large, small), (small, large), (large, buffered), (buffered, large)):
        both = one.merge(other)
        assert both.n == one.n + other.n
        assert Histogram.of(COLUMNS["normal"], both.edges()).fullest_share < 0.005


def test_sketches_of_two_libraries_are_not_joined(monkeypatch):
    pytest.importorskip("datasketches")
    one = found(COLUMNS["normal"], buffer=5_000)
    stored = encode(one)
    monkeypatch.setitem(sys.modules, "datasketches", None)
    with pytest.raises(Incompatible, match="different libraries"):
        found(COLUMNS["normal"], buffer=5_000).merge(one)
    with pytest.raises(Incompatible, match="not installed here"):
        decode(stored)


def test_what_is_not_finite_is_counted_and_not_cut_at():
    finder = EdgeFinder()
    finder.update(
        Values(
            kind=Kind.NUMERIC,
            rows=6,
            data=np.array([1.0, np.nan, np.inf, -np.inf, 2.0, 99.0]),
            valid=np.array([True, True, True, True, True, False]),
        )
    )
    h = finder.histogram()
    assert (h.n, h.nulls, h.nans, h.pos_inf, h.neg_inf, finder.rows) == (2, 1, 1, 1, 1, 6)
    assert finder.edges().low == 1.0


def test_a_column_that_turns_from_integers_to_floats():
    finder = EdgeFinder()
    finder.add(np.array([1, 2, 2]))
    finder.add(np.array([2.0, 2.5]))
    assert finder.edges() == Edges.of_values(np.array([1.0, 2.0, 2.0, 2.0, 2.5]))


def test_nothing_seen():
    finder = EdgeFinder()
    assert finder.edges().bins == 1
    assert finder.histogram().n == 0
    assert finder.merge(EdgeFinder()).rows == 0
    assert decode(encode(finder)).rows == 0


def test_a_late_surge_of_distinct_values_after_many_rows():
    finder = EdgeFinder(buffer=10_000)
    few = RNG.integers(0, 10, 100_000).astype(float)
    finder.add(few)
    late = RNG.normal(20, 1, 50_000)
    finder.add(late)
    h = Histogram.of(np.concatenate([few, late]), finder.edges())
    assert finder.n == 150_000
    assert h.fullest_share < 0.002
