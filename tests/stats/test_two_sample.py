"""Two-sample tests on rows: scipy's statistics, and p-values beside scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from watchkeeper.errors import BadInput
from watchkeeper.stats import two_sample

ROWS = st.lists(st.integers(-15, 15), min_size=3, max_size=60)
FLOATS = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60)


class TestAgainstScipy:
    @settings(max_examples=60, deadline=None)
    @given(FLOATS, FLOATS)
    def test_distances(self, x, y):
        assert two_sample.wasserstein_distance(x, y) == pytest.approx(
            stats.wasserstein_distance(x, y), rel=1e-9, abs=1e-9
        )
        assert two_sample.energy_distance(x, y) == pytest.approx(
            stats.energy_distance(x, y), rel=1e-6, abs=1e-4
        )

    @settings(max_examples=60, deadline=None)
    @given(ROWS, ROWS)
    def test_ks_and_mann_whitney_with_ties(self, x, y):
        assert two_sample.ks(x, y).statistic == pytest.approx(stats.ks_2samp(x, y, method="asymp").statistic)
        if len(set(x + y)) > 1:
            truth = stats.mannwhitneyu(x, y, method="asymptotic")
            got = two_sample.mann_whitney(x, y)
            assert got.statistic == pytest.approx(truth.statistic)
            assert got.p_value == pytest.approx(min(1.0, truth.pvalue), abs=1e-9)

    @pytest.mark.filterwarnings("ignore:p-value")
    @pytest.mark.parametrize("shift", [0.0, 0.1, 0.25])
    @pytest.mark.parametrize(("n", "m"), [(300, 300), (2000, 150)])
    def test_all_tests_of_continuous_rows(self, n, m, shift):
        rng = np.random.default_rng([n, m])
        x, y = rng.normal(size=n), rng.normal(shift, 1, size=m)
        got, truth = two_sample.ks(x, y), stats.ks_2samp(x, y)
        assert got.statistic == pytest.approx(truth.statistic)
        assert got.p_value == pytest.approx(truth.pvalue, rel=0.1, abs=1e-3)
        got, truth = two_sample.cramer_von_mises(x, y), stats.cramervonmises_2samp(x, y)
        assert got.statistic == pytest.approx(truth.statistic)
        assert got.p_value == pytest.approx(truth.pvalue, rel=0.1, abs=3e-3)
        got, truth = two_sample.anderson_darling(x, y), stats.anderson_ksamp([x, y], variant="midrank")
        assert got.statistic == pytest.approx(truth.statistic, abs=1e-9)
        if 0.001 < truth.pvalue < 0.25:
            assert got.p_value == pytest.approx(truth.pvalue, rel=0.15)
        got, truth = two_sample.mann_whitney(x, y), stats.mannwhitneyu(x, y)
        assert (got.statistic, got.p_value) == (pytest.approx(truth.statistic), pytest.approx(truth.pvalue))


class TestEqualConstantSamples:
    @pytest.mark.parametrize(
        "test", [two_sample.ks, two_sample.cramer_von_mises, two_sample.anderson_darling]
    )
    def test_have_not_moved(self, test):
        assert test(np.zeros(1000), np.zeros(100)).p_value == 1.0

    def test_mann_whitney_is_even(self):
        assert two_sample.mann_whitney(np.zeros(10), np.zeros(4)) == (20.0, 1.0)


class TestSizeWithTies:
    @pytest.mark.parametrize("test", [two_sample.cramer_von_mises, two_sample.anderson_darling])
    def test_is_kept_by_coarse_values_of_unequal_samples(self, test):
        rng = np.random.default_rng(3)
        low = sum(test(rng.poisson(1, 2000), rng.poisson(1, 200)).p_value <= 0.05 for _ in range(400))
        assert stats.binom.ppf(0.0001, 400, 0.045) <= low <= stats.binom.ppf(0.9999, 400, 0.055)


@pytest.mark.parametrize("bad", [[], [1.0, np.nan], [[1.0]], [np.inf]])
def test_rows_that_are_no_numbers_are_refused(bad):
    with pytest.raises(BadInput, match="finite numbers"):
        two_sample.ks(bad, [1.0])
