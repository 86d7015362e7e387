"""Edges and histograms against numpy and scipy on the rows themselves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as sps

from watchkeeper.errors import Incompatible
from watchkeeper.stats.states.codec import decode, encode
from watchkeeper.stats.states.edges import Edges
from watchkeeper.stats.states.histogram import Histogram, common_coarsening

RNG = np.random.default_rng(2)
SHAPES = {
    "normal": RNG.normal(size=60_000),
    "cauchy": RNG.standard_cauchy(60_000),
    "zero inflated": np.where(RNG.random(60_000) < 0.4, 0.0, RNG.lognormal(size=60_000)),
    "few values": RNG.choice([0.0, 0.5, 1.0, 7.0], 60_000, p=[0.7, 0.1, 0.1, 0.1]),
    "small integers": RNG.poisson(4, 60_000),
    "large integers": RNG.integers(-(10**15), 10**15, 60_000),
    "rounded": np.round(RNG.normal(size=60_000), 2),
}
shapes = pytest.mark.parametrize("data", SHAPES.values(), ids=SHAPES.keys())


def brute(data, cuts):
    return np.bincount(np.searchsorted(cuts, data, side="right"), minlength=len(cuts) + 1)


@shapes
class TestEdges:
    def test_counts_are_those_of_a_search_row_by_row(self, data):
        edges = Edges.of_values(data)
        assert (np.diff(edges.cuts) > 0).all()
        np.testing.assert_array_equal(Histogram.of(data, edges).counts, brute(data, edges.cuts))

    @pytest.mark.parametrize("bins", [256, 64, 16, 4])
    def test_coarsening_is_counting_coarsely(self, data, bins):
        edges = Edges.of_values(data)
        coarse = Histogram.of(data, edges).coarsen(bins)
        direct = Histogram.of(data, edges.coarsen(bins))
        np.testing.assert_array_equal(coarse.counts, direct.counts)
        assert coarse.edges == direct.edges
        distinct = len(np.unique(data))
        assert coarse.edges.bins <= bins or distinct <= bins
        twice = Histogram.of(data, edges).coarsen(512).coarsen(bins)
        np.testing.assert_array_equal(twice.counts, coarse.counts)
        for one, other in ((coarse.low, direct.low), (coarse.high, direct.high)):
            assert one.count == other.count
        assert coarse.low.min == direct.low.min
        assert coarse.high.max == direct.high.max

    @pytest.mark.parametrize("bins", [2048, 256, 64])
    def test_no_bin_that_is_not_an_atom_is_much_fuller_than_its_share(self, data, bins):
        h = Histogram.of(data, Edges.of_values(data)).coarsen(bins)
        # A value of less than twice a share may stand beside another in a bin.
        assert h.fullest_share <= (1.1 if bins == 2048 else 2.1) / min(bins, 2048) + 1e-3

    def test_heavy_values_are_atoms(self, data):
        edges = Edges.of_values(data)
        values, counts = np.unique(data, return_counts=True)
        heavy = values[counts > len(data) / 2048]
        h = Histogram.of(data, edges)
        at = np.searchsorted(edges.cuts, heavy, side="right")
        assert edges.atoms[at].all()
        np.testing.assert_array_equal(h.counts[at], counts[counts > len(data) / 2048])

    def test_the_distribution_function_is_exact_at_cuts_and_within_the_bound_between(self, data):
        h = Histogram.of(data, Edges.of_values(data))
        np.testing.assert_allclose(h.cdf(), np.searchsorted(np.sort(data), h.edges.cuts) / len(data))
        other = data[: len(data) // 2] + np.std(data[:50]).astype(data.dtype) // 4
        g = Histogram.of(other, h.edges)
        binned = np.abs(h.cdf() - g.cdf()).max()
        true = sps.ks_2samp(data, other).statistic
        assert binned <= true + 1e-12
        assert true - binned <= max(h.accuracy.bound, g.accuracy.bound) + 1e-12

    def test_bytes_give_the_edges_back(self, data):
        edges = Edges.of_values(data)
        again = decode(encode(edges))
        assert again == edges
        assert again.cuts.dtype == edges.cuts.dtype
        assert Edges.of_values(data).digest == edges.digest != Edges.of_values(data[:-9000] * 2).digest

    def test_mean_quantiles_and_range(self, data):
        h = Histogram.of(data, Edges.of_values(data))
        reach = np.quantile(data, 0.999) - np.quantile(data, 0.001)
        mean_bound = h._spread()
        assert abs(h.mean() - data.mean()) <= mean_bound + 1e-12 * abs(data).max()
        q = np.array([0.01, 0.25, 0.5, 0.9, 0.99])
        close = np.quantile(data, q, method="inverted_cdf")
        ranks = np.searchsorted(np.sort(data), [h.quantile(q), close], side="right") / len(data)
        assert np.abs(ranks[0] - ranks[1]).max() <= h.fullest_share + 1e-9
        assert np.abs(h.quantile(q) - close).max() <= 0.05 * reach
        assert h.min == data.min()
        assert h.max == pytest.approx(data.max())


@shapes
@pytest.mark.parametrize("move", ["same", "shift", "scale", "far away"])
def test_wasserstein_agrees_with_scipy_within_its_bound(data, move):
    edges = Edges.of_values(data)
    sd = np.diff(np.quantile(data, [0.16, 0.84]))[0] / 2 + 1
    half = data[1::2].astype(float)
    moved = {"same": half, "shift": half + sd / 3, "scale": half * 1.5, "far away": half + 50 * sd}[move]
    if data.dtype.kind == "i":
        moved = np.round(moved).astype(np.int64)
    h, g = Histogram.of(data, edges), Histogram.of(moved, edges)
    true = sps.wasserstein_distance(data, moved)
    assert h.wasserstein(g) == pytest.approx(g.wasserstein(h), rel=1e-12)
    assert abs(h.wasserstein(g) - true) <= h.wasserstein_bound(g) * 1.0001 + 1e-9 * (1 + abs(data).max())
    if move != "same" and not edges.exact and not np.array_equal(data, SHAPES["cauchy"]):
        assert h.wasserstein(g) == pytest.approx(true, rel=0.02)


def test_wasserstein_is_exact_for_few_values():
    a, b = RNG.choice([0.0, 1.0, 4.5], 3000), RNG.choice([0.0, 1.0, 4.5], 500, p=[0.1, 0.2, 0.7])
    edges = Edges.of_values(a)
    h, g = Histogram.of(a, edges), Histogram.of(b, edges)
    assert h.wasserstein(g) == pytest.approx(sps.wasserstein_distance(a, b), rel=1e-12)
    assert h.wasserstein_bound(g) == 0
    assert h.accuracy.exact


def test_integers_beyond_two_to_the_53_are_told_apart():
    base = 2**60
    data = np.array([base, base + 1, base + 1, base + 2])
    h = Histogram.of(data, Edges.of_values(data))
    assert h.edges.cuts.tolist() == [base, base + 1, base + 2, base + 3]
    assert h.counts.tolist() == [0, 1, 2, 1, 0]
    unsigned = Edges.of_values(np.array([2**64 - 1, 2**64 - 2, 5], np.uint64))
    assert unsigned.cuts.tolist() == [5, 6, 2**64 - 2, 2**64 - 1]
    counted = Histogram.of(np.array([2**64 - 1, 7, 5, 0], np.uint64), unsigned)
    assert counted.counts.tolist() == [1, 1, 1, 0, 1]
    assert decode(encode(counted)).edges == unsigned


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3), min_size=1, max_size=8),
    st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-3, 3).map(float), max_size=8),
    st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 3), min_size=1, max_size=8),
)
def test_every_type_is_counted_on_the_edges_of_every_other(ints, floats, naturals):
    """Python compares integers with floats exactly, and so do we (but for integers on float cuts)."""
    columns = [np.array(ints), np.array(floats, float), np.array(naturals, np.uint64)]
    for made_from in columns:
        edges = Edges.of_values(made_from)
        for data in columns:
            if edges.cuts.dtype.kind == "f" and data.dtype.kind != "f":
                data = data[np.abs(data.astype(float)) < 2**53]
            expected = [sum(c <= x for c in edges.cuts.tolist()) for x in data.tolist()]
            counts = np.bincount(np.array(expected, int), minlength=edges.bins)
            np.testing.assert_array_equal(Histogram.of(data, edges).counts, counts)


def test_what_is_not_a_number_is_counted_apart():
    data = np.array([np.nan, 1.0, -np.inf, np.inf, np.inf, 2.0, np.nan, np.nan])
    h = Histogram.of(data, Edges.of_values(data), nulls=7)
    assert (h.n, h.nulls, h.nans, h.pos_inf, h.neg_inf) == (2, 7, 3, 2, 1)
    assert (h.total, h.missing, h.infinite) == (15, 10, 3)
    assert h.scaled(2).total == 30
    only = Histogram.of(np.array([np.inf, -np.inf, np.nan]), h.edges)
    assert (only.n, only.nans, only.pos_inf, only.neg_inf) == (0, 1, 1, 1)


def test_rows_beyond_the_range_are_counted_and_keep_their_sum():
    edges = Edges.of_values(RNG.uniform(0, 1, 50_000))
    h = Histogram.of(np.array([-5.0, -7.0, 0.5, 9.0, edges.high]), edges)
    assert (h.low.count, h.low.sum, h.low.min, h.low.max, h.low.outside) == (2, -12.0, -7.0, -5.0, 2)
    assert (h.high.count, h.high.max, h.high.outside) == (2, 9.0, 1)
    assert h.mean() == pytest.approx((-5 - 7 + 0.5 + 9 + edges.high) / 5, abs=1e-3)


@pytest.mark.parametrize("data", [[], [np.nan], [np.inf, -np.inf]])
def test_a_column_without_numbers_has_one_bin(data):
    edges = Edges.of_values(np.array(data, float))
    h = Histogram.of(np.array([1.0, 5.0]), edges)
    assert edges.bins == 1
    assert h.mean() == 3.0
    assert h.coarsen(64) is h
    empty = Histogram.empty(edges)
    assert np.isnan(empty.mean())
    assert np.isnan(empty.quantile(0.5))
    assert np.isnan(empty.wasserstein(h))
    assert empty.accuracy.exact


def test_other_edges_are_refused_and_can_be_brought_together():
    data = RNG.integers(0, 5000, 100_000)
    a, b = Edges.of_values(data), Edges.of_values(data[:60_000])
    left, right = Histogram.of(data, a), Histogram.of(data, b)
    with pytest.raises(Incompatible, match="different edges"):
        left.merge(right)
    left, right = common_coarsening(left, right)
    assert left.edges == right.edges
    np.testing.assert_array_equal(left.counts, right.counts)
    with pytest.raises(Incompatible, match="no cut in common"):
        common_coarsening(left, Histogram.of([0.5], Edges.of_values([0.5])))


def test_extreme_floats_have_edges():
    big = np.finfo(float).max
    data = np.array([big, -big, 5e-324, 0.0, -0.0, big])
    h = Histogram.of(data, Edges.of_values(data))
    assert h.n == 6
    assert h.counts.max() == 2
    assert h.quantile(1.0) == big


def test_quantiles_given_by_hand_with_heavy_values():
    grid = np.arange(1, 2048) / 2048
    edges = Edges.of_quantiles(grid, heavy=[0.25, 0.3333], low=0.0, high=1.0)
    h = Histogram.of(np.array([0.25, 0.3333, 0.33331]), edges)
    at = np.searchsorted(edges.cuts, [0.25, 0.3333], side="right")
    assert edges.atoms[at].all()
    assert h.counts[at].tolist() == [1, 1]
    with pytest.raises(ValueError, match="2047 quantiles"):
        Edges.of_quantiles([1.0], low=0, high=1)


def test_a_stored_histogram_is_small():
    """A year of hours of 100 columns, 10,000 rows each, fits in one gigabyte; edges are kept once, apart.

    The promise is about their sum: one hour is some bytes larger or smaller than another.
    """
    rng = np.random.default_rng(20)  # its own: what other tests drew before must not change the sizes
    edges = Edges.of_values(rng.normal(size=200_000))
    hours = [Histogram.of(rng.normal(size=10_000), edges) for _ in range(100)]
    sizes = [len(encode(hour, known={edges.digest: edges})) for hour in hours]
    assert np.mean(sizes) * 100 * 24 * 365 < 1_000_000_000
    stored = encode(hours[0], known={edges.digest: edges})
    assert decode(stored, known={edges.digest: edges}).edges is edges
    with pytest.raises(Incompatible, match="edges"):
        decode(stored)


def test_values_are_told_only_where_no_bin_hides_one():
    edges = Edges.of_values([1.0, 2.0, 5.0])
    values, counts = Histogram.of([5.0, 1.0, np.nan, 5.0, np.inf], edges).values()
    assert (values.tolist(), counts.tolist()) == ([1.0, 5.0], [1, 2])
    assert Histogram.of([1.0, 3.0], edges).values() is None  # between two known ones
    assert Histogram.of([0.0, 1.0], edges).values() is None  # below
    assert [side.tolist() for side in Histogram.of([np.nan], edges).values()] == [[], []]
