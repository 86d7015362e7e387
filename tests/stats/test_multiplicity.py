"""The correction for many tests: equal to statsmodels, and to the paper's own example."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from watchkeeper.errors import BadInput
from watchkeeper.stats.multiplicity import benjamini_hochberg

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=50)


class TestAgainstStatsmodels:
    @settings(max_examples=60, deadline=None)
    @given(P_VALUES)
    def test_adjusted_values(self, p):
        assert benjamini_hochberg(p) == pytest.approx(multipletests(p, method="fdr_bh")[1], abs=1e-12)

    def test_nothing_tested_nothing_adjusted(self):
        assert benjamini_hochberg([]).size == 0

    @pytest.mark.parametrize("bad", [[1.2], [-0.1], [math.nan], [[0.1]]])
    def test_what_is_no_p_value_is_refused(self, bad):
        with pytest.raises(BadInput, match="between 0 and 1"):
            benjamini_hochberg(bad)


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
