"""Intervals against scipy and brute force, and by how often they cover the truth."""

import numpy as np
import pytest
from scipy import stats

from watchkeeper.errors import BadInput
from watchkeeper.stats import intervals


@pytest.mark.parametrize(("k", "n"), [(0, 10), (3, 10), (10, 10), (1, 1000), (431, 1000)])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_proportions_agree_with_scipy(k, n, level):
    for ours, method in ((intervals.wilson, "wilson"), (intervals.clopper_pearson, "exact")):
        theirs = stats.binomtest(k, n).proportion_ci(level, method=method)
        mine = ours(k, n, level=level)
        assert (mine.low, mine.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_means_agree_with_scipy():
    data = np.random.default_rng(1).normal(5, 3, 40)
    mine = intervals.mean_interval(data.mean(), data.var(ddof=1), data.size)
    theirs = stats.t.interval(0.95, 39, loc=data.mean(), scale=stats.sem(data))
    assert (mine.low, mine.high) == pytest.approx(theirs)


def test_nothing_seen_is_nothing_known():
    assert (intervals.wilson(0, 0).low, intervals.wilson(0, 0).high) == (0.0, 1.0)
    assert intervals.mean_interval(3.0, 0.0, 1).low == -np.inf
    one_class = intervals.auc_interval(np.array([3, 4]), np.array([0, 0]))
    assert (one_class.low, one_class.high) == (0.0, 1.0)


def test_full_separation_is_not_certainty():
    found = intervals.auc_interval(np.array([0, 20]), np.array([20, 0]))
    assert found.high == 1.0
    assert 0.7 < found.low < 0.95


def test_delong_agrees_with_its_definition_on_rows():
    rng = np.random.default_rng(2)
    pos, neg = rng.integers(2, 12, 40), rng.integers(0, 10, 70)
    wins = (pos[:, None] > neg[None, :]) + 0.5 * (pos[:, None] == neg[None, :])
    truth = wins.mean(1).var(ddof=1) / 40 + wins.mean(0).var(ddof=1) / 70
    cells = (np.bincount(pos, minlength=12), np.bincount(neg, minlength=12))
    assert intervals.delong_variance(*cells) == pytest.approx(truth)


def test_a_level_that_is_none_is_refused():
    with pytest.raises(BadInput, match="level"):
        intervals.wilson(1, 2, level=95)


def test_a_delta_interval_stays_on_its_scale():
    for value, variance in ((0.999, 0.1), (1e-9, 1.0), (0.5, 1e9)):
        found = intervals.delta_interval(value, variance, low=0.0, high=1.0)
        assert 0.0 <= found.low <= value <= found.high <= 1.0


def test_the_bootstrap_of_a_proportion_is_close_to_the_exact_interval():
    found = intervals.bootstrap_interval(np.array([430, 570]), lambda c: c[:, 0] / c.sum(1), draws=4000)
    exact = intervals.clopper_pearson(430, 1000)
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=0.006)


def covered(interval, truth):
    return interval.low <= truth <= interval.high


class TestCoverage:
    """Simulated coverage of 95% intervals; 4,000 windows give it a standard error of 0.35%."""

    rounds = 4_000

    @pytest.mark.parametrize("p", [0.02, 0.3, 0.9])
    def test_wilson(self, p):
        rng = np.random.default_rng(3)
        hits = [covered(intervals.wilson(k, 80), p) for k in rng.binomial(80, p, self.rounds)]
        assert 0.93 < np.mean(hits) < 0.985

    def test_clopper_pearson_never_covers_less(self):
        rng = np.random.default_rng(4)
        hits = [covered(intervals.clopper_pearson(k, 30), 0.1) for k in rng.binomial(30, 0.1, self.rounds)]
        assert np.mean(hits) > 0.945

    @pytest.mark.slow
    @pytest.mark.parametrize(("gap", "positives"), [(0.5, 50), (1.5, 30), (2.5, 15)])
    def test_auc(self, gap, positives):
        rng = np.random.default_rng(5)
        truth = stats.norm.cdf(gap / np.sqrt(2))
        edges = np.linspace(-4, 7, 500)
        hits = 0
        for _ in range(self.rounds):
            pos = np.bincount(np.searchsorted(edges, rng.normal(gap, 1, positives)), minlength=501)
            neg = np.bincount(np.searchsorted(edges, rng.normal(0, 1, 200)), minlength=501)
            hits += covered(intervals.auc_interval(pos, neg), truth)
        assert 0.935 < hits / self.rounds < 0.975

    def test_the_sum_of_two_proportions(self):
        rng = np.random.default_rng(6)
        hits = 0
        for a, b in zip(rng.binomial(60, 0.9, self.rounds), rng.binomial(40, 0.7, self.rounds)):
            parts = [(0.5, a / 60, intervals.wilson(a, 60)), (0.5, b / 40, intervals.wilson(b, 40))]
            hits += covered(intervals.sum_of_independent(parts), 0.8)
        assert 0.935 < hits / self.rounds < 0.97
