"""Distances of distribution functions from counts: equal to scipy on the rows when every value has its bin."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from watchkeeper.stats import cdf_distances

ROWS = st.lists(st.integers(-20, 20), min_size=2, max_size=60)


def counted(x, y):
    values = np.union1d(x, y)
    return tuple(np.bincount(np.searchsorted(values, side), minlength=len(values)) for side in (x, y))


def binned(x, y, cuts):
    return tuple(np.bincount(np.searchsorted(cuts, side), minlength=len(cuts) + 1) for side in (x, y))


class TestAgainstScipy:
    @settings(max_examples=100, deadline=None)
    @given(ROWS, ROWS)
    def test_ks_statistic(self, x, y):
        assert cdf_distances.ks(*counted(x, y)) == pytest.approx(
            stats.ks_2samp(x, y, method="asymp").statistic
        )

    @settings(max_examples=150, deadline=None)
    @given(st.integers(1, 60), st.integers(1, 60), st.floats(0.01, 1.0))
    def test_exact_ks_p_value(self, n, m, share):
        # distances that two samples of these sizes can have
        statistic = max(1, round(share * n * m)) / (n * m)
        pooled = np.arange(n + m)
        rng = np.random.default_rng([n, m, round(share * 1000)])
        mine = rng.permutation(pooled)
        truth = stats.ks_2samp(mine[:n], mine[n:], method="exact")
        assert cdf_distances.ks_p_value(truth.statistic, n, m) == pytest.approx(truth.pvalue, abs=1e-9)
        assert 0 <= cdf_distances.ks_p_value(statistic, n, m) <= 1

    @pytest.mark.parametrize(("n", "m"), [(5000, 5000), (100_000, 1000)])
    def test_limiting_ks_p_value(self, n, m):
        rng = np.random.default_rng(3)
        x, y = rng.normal(size=n), rng.normal(0.02, 1, size=m)
        truth = stats.ks_2samp(x, y, method="asymp")
        assert cdf_distances.ks_p_value(truth.statistic, n, m) == pytest.approx(truth.pvalue, abs=0.02)

    @settings(max_examples=60, deadline=None)
    @given(st.integers(2, 40), st.integers(2, 40), st.integers(0, 99))
    def test_cramer_von_mises_without_ties(self, n, m, seed):
        order = np.random.default_rng(seed).permutation(n + m)
        x, y = order[:n], order[n:]
        truth = stats.cramervonmises_2samp(x, y, method="asymptotic").statistic
        assert cdf_distances.cramer_von_mises(*counted(x, y)) == pytest.approx(truth)

    def test_cramer_von_mises_of_equal_constants_is_zero_where_ranks_go_astray(self):
        assert cdf_distances.cramer_von_mises([1000], [100]) == 0
        assert stats.cramervonmises_2samp(np.zeros(1000), np.zeros(100), method="asymptotic").statistic > 700

    @pytest.mark.filterwarnings("ignore:p-value")
    @settings(max_examples=60, deadline=None)
    @given(ROWS, ROWS)
    def test_anderson_darling_with_ties(self, x, y):
        if len(set(x + y)) < 2:
            return
        truth = stats.anderson_ksamp([x, y], variant="midrank", method=stats.PermutationMethod(n_resamples=1))
        ours = cdf_distances.anderson_darling(*counted(x, y))
        standard = (ours - 1) / cdf_distances.anderson_darling_sd(len(x), len(y))
        assert standard == pytest.approx(truth.statistic, abs=1e-8)

    @settings(max_examples=100, deadline=None)
    @given(ROWS, ROWS)
    def test_integrals_of_step_functions(self, x, y):
        knots = []
        for side in (x, y):
            value, count = np.unique(side, return_counts=True)
            after = np.cumsum(count) / len(side)
            knots.append(
                (
                    np.repeat(value.astype(float), 2),
                    np.ravel(np.column_stack([after - count / len(side), after])),
                )
            )
        assert cdf_distances.integral_of_gap(*knots) == pytest.approx(stats.wasserstein_distance(x, y))
        energy = math.sqrt(2 * cdf_distances.integral_of_gap(*knots, power=2))
        assert energy == pytest.approx(stats.energy_distance(x, y), abs=1e-7)


class TestLinesAreIntegratedExactly:
    @pytest.mark.parametrize("power", [1, 2])
    def test_two_uniform_distributions_against_a_fine_sum(self, power):
        one = (np.array([0.0, 2.0]), np.array([0.0, 1.0]))
        two = (np.array([-1.0, 0.5, 4.0]), np.array([0.0, 0.3, 1.0]))
        at = np.linspace(-1, 4, 2_000_001)
        gap = np.interp(at, *one) - np.interp(at, *two)
        expected = np.trapezoid(np.abs(gap) ** power, at)
        assert cdf_distances.integral_of_gap(one, two, power=power) == pytest.approx(expected, rel=1e-6)


class TestBounds:
    """Coarse bins: the number from the rows lies within the declared bound of the number from the counts."""

    @settings(max_examples=150, deadline=None)
    @given(st.integers(5, 200), st.integers(5, 200), st.integers(1, 12), st.integers(0, 9999))
    def test_hold_for_any_rows(self, n, m, bins, seed):
        rng = np.random.default_rng(seed)
        x, y = rng.normal(size=n), rng.normal(rng.uniform(-1, 1), rng.uniform(0.3, 2), size=m)
        counts = binned(x, y, np.linspace(-2, 2, bins))
        loose = np.zeros(bins + 1, bool)
        rows = counted(x, y)
        low = cdf_distances.ks(*counts)
        assert low <= cdf_distances.ks(*rows) + 1e-12
        assert cdf_distances.ks(*rows) <= low + cdf_distances.ks_bound(*counts, atoms=loose) + 1e-12
        off = abs(
            cdf_distances.cramer_von_mises(*counts, atoms=loose) - cdf_distances.cramer_von_mises(*rows)
        )
        assert off <= cdf_distances.cramer_von_mises_bound(*counts, atoms=loose) + 1e-12

    def test_vanish_when_every_bin_is_an_atom(self):
        counts = [3, 4, 5], [5, 4, 2]
        atoms = np.ones(3, bool)
        assert cdf_distances.ks_bound(*counts, atoms=atoms) == 0
        assert cdf_distances.cramer_von_mises_bound(*counts, atoms=atoms) == 0
