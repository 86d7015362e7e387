"""Robust outliers: where the usual z-score is blind, and how many are found where none are."""

import numpy as np
import pytest
from scipy import stats

from watchkeeper.domain.schema import Column, Kind
from watchkeeper.measures.quality.outliers import (
    fence_limits,
    fence_outliers,
    robust_z,
    robust_z_limits,
    robust_z_outliers,
)
from watchkeeper.stats.states.edges import Edges
from watchkeeper.stats.states.histogram import Histogram
from watchkeeper.stats.states.profile import ColumnProfile

PREDICTIONS = np.array([50.0, 52.0, 49.0, 51.0, 500.0])


def column(values, like=None):
    values = np.asarray(values, dtype=float)
    edges = Edges.of_values(values if like is None else like)
    states = {"histogram": Histogram.of(values, edges)}
    return ColumnProfile(column=Column(name="y", kind=Kind.NUMERIC), states=states, rows=values.size)


class TestTheFiveHundred:
    def test_the_usual_z_score_can_never_flag_it(self):
        n = PREDICTIONS.size
        usual = np.abs(stats.zscore(PREDICTIONS, ddof=1))
        assert usual.max() <= (n - 1) / np.sqrt(n) + 1e-12
        assert usual.max() < 3
        # Not even when it is as far away as can be.
        assert np.abs(stats.zscore([50, 52, 49, 51, 1e12], ddof=1)).max() < 3

    def test_the_robust_one_flags_it_and_nothing_else(self):
        assert (np.abs(robust_z(PREDICTIONS)) > 3).tolist() == [False] * 4 + [True]

    def test_so_do_the_fences(self):
        low, high = fence_limits(PREDICTIONS)
        assert ((low > PREDICTIONS) | (high < PREDICTIONS)).tolist() == [False] * 4 + [True]

    @pytest.mark.parametrize("measure", [robust_z_outliers, fence_outliers])
    def test_so_do_both_from_a_histogram(self, measure):
        found = measure(column(PREDICTIONS))
        assert (found.value, found.bound, found.details["count"]) == (0.2, 0.0, 1)


def test_it_agrees_with_scipys_median_absolute_deviation():
    data = np.random.default_rng(0).lognormal(size=501)
    mad = stats.median_abs_deviation(data, scale="normal")
    np.testing.assert_allclose(robust_z(data), (data - np.median(data)) / mad)


def test_when_most_values_are_equal_the_mean_deviation_stands_in():
    data = [7.0] * 20 + [8.0, 9.0, 400.0]
    assert stats.median_abs_deviation(data) == 0
    flagged = np.abs(robust_z(data)) > 3.5
    assert np.flatnonzero(flagged).tolist() == [22]


def test_a_constant_has_no_outliers():
    assert robust_z([3.0, 3.0, 3.0]).tolist() == [0.0, 0.0, 0.0]
    assert robust_z_outliers(column([3.0] * 10)).value == 0.0
    assert fence_outliers(column([3.0] * 10)).value == 0.0


def test_what_is_not_finite_has_no_score():
    scores = robust_z([1.0, 2.0, 3.0, np.nan, np.inf])
    assert np.isnan(scores[3:]).all()
    assert np.isfinite(scores[:3]).all()
    assert np.isnan(robust_z_limits([np.nan])).all()


@pytest.mark.parametrize("limits", [robust_z_limits, fence_limits])
def test_limits_from_a_histogram_are_those_of_the_rows(limits):
    data = np.random.default_rng(1).gamma(3, 2, 50_000)
    from_rows = np.array(limits(data))
    from_bins = np.array(limits(Histogram.of(data, Edges.of_values(data))))
    np.testing.assert_allclose(from_bins, from_rows, rtol=0.01)


def test_shares_are_what_theory_says():
    normal = np.random.default_rng(2).normal(size=200_000)
    assert fence_outliers(column(normal)).value == pytest.approx(2 * stats.norm.sf(2.698), abs=0.0007)
    skewed = np.random.default_rng(3).exponential(size=200_000)
    assert fence_outliers(column(skewed)).value == pytest.approx(0.048, abs=0.002)


def test_the_baselines_limits_judge_a_window():
    rng = np.random.default_rng(4)
    old = rng.normal(size=20_000)
    same, wide = rng.normal(size=2_000), rng.normal(scale=2, size=2_000)
    baseline = column(old)
    calm = robust_z_outliers(column(same, like=old), baseline)
    wild = robust_z_outliers(column(wide, like=old), baseline)
    assert calm.p_value > 0.01
    assert wild.p_value < 1e-6
    truth = (np.abs((wide - np.median(old)) / stats.median_abs_deviation(old, scale="normal")) > 3.5).mean()
    assert abs(wild.value - truth) <= wild.bound + 0.003
