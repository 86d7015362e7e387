"""Corrections for many tests: equal to statsmodels, to the papers' rules, and within their budgets."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from watchkeeper.errors import BadInput
from watchkeeper.stats.multiplicity import ELond, benjamini_hochberg, benjamini_yekutieli, e_bh, e_lond, holm

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=50)


@pytest.mark.parametrize(
    ("ours", "theirs"), [(benjamini_hochberg, "fdr_bh"), (benjamini_yekutieli, "fdr_by"), (holm, "holm")]
)
class TestAgainstStatsmodels:
    @settings(max_examples=60, deadline=None)
    @given(P_VALUES)
    def test_adjusted_values(self, ours, theirs, p):
        assert ours(p) == pytest.approx(multipletests(p, method=theirs)[1], abs=1e-12)

    def test_nothing_tested_nothing_adjusted(self, ours, theirs):
        assert ours([]).size == 0

    @pytest.mark.parametrize("bad", [[1.2], [-0.1], [math.nan], [[0.1]]])
    def test_what_is_no_p_value_is_refused(self, ours, theirs, bad):
        with pytest.raises(BadInput, match="between 0 and 1"):
            ours(bad)


class TestBenjaminiHochberg:
    def test_the_papers_own_example(self):
        """Benjamini and Hochberg 1995, section 3.2: 15 p-values, four rejected at q = .05."""
        p = [
            0.0001,
            0.0004,
            0.0019,
            0.0095,
            0.0201,
            0.0278,
            0.0298,
            0.0344,
            0.0459,
            0.3240,
            0.4262,
            0.5719,
            0.6528,
            0.7590,
            1,
        ]
        assert int((benjamini_hochberg(p) <= 0.05).sum()) == 4
        assert int((holm(p) <= 0.05).sum()) == 3, "Bonferroni-type control rejects three there"


class TestEValues:
    @settings(max_examples=80, deadline=None)
    @given(st.lists(st.floats(0, 1e6), min_size=1, max_size=40))
    def test_e_bh_is_benjamini_hochberg_of_one_over_e(self, e):
        with np.errstate(divide="ignore", over="ignore"):
            p = np.minimum(1.0, 1 / np.asarray(e, dtype=float))
        q = benjamini_hochberg(p)
        clear = np.abs(q - 0.05) > 1e-9
        assert (e_bh(e)[clear] == (q <= 0.05)[clear]).all()

    def test_e_bh_keeps_its_rate_under_full_dependence(self):
        rng = np.random.default_rng(0)
        false = 0
        for _ in range(4000):
            false += e_bh(np.full(20, rng.exponential())).any()  # an e-value of mean 1, twenty times the same
        assert false / 4000 <= 0.05

    def test_e_lond_levels_follow_the_paper(self):
        test = ELond(alpha=0.06)
        levels = []
        for e in (1e9, 0.0, 1e9, 0.0):
            levels.append(test.level)
            _, test = test.next(e)
        assert levels == pytest.approx([0.06 / 2, 2 * 0.06 / 6, 2 * 0.06 / 12, 3 * 0.06 / 20])
        assert (test.tests, test.findings) == (4, 2)

    def test_e_lond_keeps_the_false_discovery_rate(self):
        """Half the hypotheses are false; e-values of the others are likelihood ratios, mean 1."""
        rng = np.random.default_rng(1)
        shares = []
        for _ in range(400):
            moved = rng.random(100) < 0.5
            z = rng.normal(4 * moved)
            found = np.array(e_lond(np.exp(4 * z - 8), alpha=0.1))
            shares.append((found & ~moved).sum() / max(1, found.sum()))
        assert np.mean(shares) <= 0.1

    def test_what_is_no_e_value_is_refused(self):
        with pytest.raises(BadInput):
            e_bh([-1.0])
        with pytest.raises(BadInput):
            e_lond([math.nan])
        with pytest.raises(BadInput):
            e_bh([1.0], alpha=0)
