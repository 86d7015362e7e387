"""Tests on tables of counts: equal to scipy's where no bin is small, and sound where bins are."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency

from watchkeeper.stats.contingency import chi_square, cramers_v, g_test, merge_small_bins

TABLES = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=2, max_size=30).filter(
    lambda pairs: (
        sum(a + b > 0 for a, b in pairs) > 1 and sum(a for a, _ in pairs) > 0 and sum(b for _, b in pairs) > 0
    )
)


def table(pairs):
    return np.array(pairs, dtype=float).T


class TestAgainstScipy:
    @settings(max_examples=60, deadline=None)
    @given(TABLES)
    @pytest.mark.parametrize(("ours", "theirs"), [(chi_square, "pearson"), (g_test, "log-likelihood")])
    def test_statistic_p_and_df(self, ours, theirs, pairs):
        q, p = table(pairs)
        filled = (q + p) > 0
        expected = chi2_contingency([q[filled], p[filled]], correction=False, lambda_=theirs)
        got = ours(q, p, min_expected=0)
        assert got.statistic == pytest.approx(expected.statistic, rel=1e-9, abs=1e-8)
        assert got.p_value == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-9)
        assert got.df == expected.dof


class TestSmallBins:
    @settings(max_examples=80, deadline=None)
    @given(TABLES)
    def test_what_remains_expects_enough_in_every_cell_and_loses_no_row(self, pairs):
        q, p = table(pairs)
        mq, mp = merge_small_bins(q, p)
        assert mq.sum() == q.sum()
        assert mp.sum() == p.sum()
        if mq.size > 1:
            expected = np.outer([mq.sum(), mp.sum()], mq + mp) / (mq.sum() + mp.sum())
            assert expected.min() >= 5 * (1 - 1e-12)

    def test_a_table_that_is_all_small_says_nothing(self):
        assert chi_square([1, 1, 1], [1, 0, 2]) == (0.0, 1.0, 0)
        assert g_test([1, 1, 1], [1, 0, 2]).p_value == 1.0

    def test_size_is_kept_with_many_rare_bins(self):
        """At most about 5% of null tables are rejected at 5%, although most bins expect less than one row."""
        rng = np.random.default_rng(5)
        share = 1 / np.arange(1, 301)
        share /= share.sum()
        rejected = sum(
            chi_square(rng.multinomial(2000, share), rng.multinomial(400, share)).p_value <= 0.05
            for _ in range(600)
        )
        assert rejected <= 600 * 0.05 + 3 * math.sqrt(600 * 0.05 * 0.95)


class TestCramersV:
    def test_textbook_formula_without_balance(self):
        q, p = np.array([70.0, 20.0, 10.0]), np.array([40.0, 40.0, 40.0])
        total, k, r = 220, 3, 2
        phi2 = chi2_contingency([q, p], correction=False).statistic / total
        phi2 = max(0.0, phi2 - (k - 1) * (r - 1) / (total - 1))
        kc, rc = k - (k - 1) ** 2 / (total - 1), r - (r - 1) ** 2 / (total - 1)
        assert cramers_v(q, p, balanced=False) == pytest.approx(math.sqrt(phi2 / min(kc - 1, rc - 1)))

    def test_balance_takes_the_sizes_out(self):
        q, p = np.array([700.0, 200.0, 100.0]), np.array([400.0, 400.0, 200.0])
        same = cramers_v(q * 1000, p * 1000)
        assert cramers_v(q * 100_000, p * 100) == pytest.approx(same, abs=1e-3)
        assert cramers_v(q * 100_000, p * 100, balanced=False) < same / 10

    def test_no_association_is_zero_on_average(self):
        rng = np.random.default_rng(7)
        draws = [
            cramers_v(rng.multinomial(5000, [0.1] * 10), rng.multinomial(500, [0.1] * 10)) for _ in range(300)
        ]
        assert np.mean([v == 0 for v in draws]) > 0.4
        assert np.mean(draws) < 0.04

    def test_one_bin_has_no_association(self):
        assert cramers_v([10], [20]) == 0.0
