"""Distances of counts: equal to scipy, and they keep the laws that their names promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy

from watchkeeper.errors import BadInput, Incompatible
from watchkeeper.stats import distances

COUNTS = st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=1, max_size=40).filter(
    lambda pairs: sum(a for a, _ in pairs) > 0 and sum(b for _, b in pairs) > 0
)
BOUNDED = [
    distances.jensen_shannon_distance,
    distances.jensen_shannon_divergence,
    distances.hellinger,
    distances.total_variation,
    distances.l_infinity,
]
EVERY = [*BOUNDED, distances.psi, distances.kl]


def sides(pairs):
    return np.array([a for a, _ in pairs]), np.array([b for _, b in pairs])


class TestAgainstScipy:
    @settings(max_examples=60, deadline=None)
    @given(COUNTS)
    def test_jensen_shannon_in_both_bases(self, pairs):
        q, p = sides(pairs)
        for base in (2.0, math.e):
            expected = jensenshannon(q, p, base=base)
            assert distances.jensen_shannon_distance(q, p, base=base) == pytest.approx(expected, abs=1e-7)
            divergence = distances.jensen_shannon_divergence(q, p, base=base)
            assert divergence == pytest.approx(expected**2, abs=1e-12)

    @settings(max_examples=60, deadline=None)
    @given(COUNTS)
    def test_kl_is_the_relative_entropy_of_the_window(self, pairs):
        q, p = sides(pairs)
        assert distances.kl(q, p, pseudo_count=0) == pytest.approx(entropy(p, q), abs=1e-10)
        q, p = q + 0.5, p + 0.5
        assert distances.kl(q, p, pseudo_count=0) == pytest.approx(entropy(p, q), abs=1e-10)

    @settings(max_examples=60, deadline=None)
    @given(COUNTS)
    def test_psi_is_the_sum_of_both_relative_entropies(self, pairs):
        q, p = sides(pairs)
        filled = (q + p) > 0
        padded = q[filled] + 0.5, p[filled] + 0.5
        expected = entropy(*padded) + entropy(*padded[::-1])
        assert distances.psi(q, p) == pytest.approx(expected, abs=1e-10)


class TestLaws:
    @pytest.mark.parametrize("distance", EVERY, ids=lambda f: f.__name__)
    def test_equal_shares_have_no_distance_whatever_the_totals(self, distance):
        rest = {"pseudo_count": 0} if distance in (distances.psi, distances.kl) else {}
        assert distance([10, 20, 30], [100, 200, 300], **rest) == pytest.approx(0, abs=1e-7)

    @pytest.mark.parametrize("distance", EVERY, ids=lambda f: f.__name__)
    def test_bins_empty_on_both_sides_say_nothing(self, distance):
        assert distance([5, 0, 7, 0], [9, 0, 1, 0]) == distance([5, 7], [9, 1])

    @pytest.mark.parametrize("distance", BOUNDED, ids=lambda f: f.__name__)
    def test_disjoint_sides_are_one_apart(self, distance):
        assert distance([4, 0], [0, 9]) == pytest.approx(1)

    @settings(max_examples=80, deadline=None)
    @given(COUNTS)
    def test_known_inequalities_hold(self, pairs):
        q, p = sides(pairs)
        h, tv = distances.hellinger(q, p), distances.total_variation(q, p)
        assert h**2 <= tv + 1e-12
        assert tv <= h * math.sqrt(2) + 1e-12
        assert 0 <= distances.l_infinity(q, p) <= tv + 1e-12
        assert distances.jensen_shannon_divergence(q, p) <= tv + 1e-12
        kl = distances.kl(q, p, pseudo_count=0)
        assert kl >= 2 * tv**2 - 1e-12, "Pinsker"

    def test_an_empty_bin_gives_infinity_only_without_a_pseudo_count(self):
        assert math.isinf(distances.psi([5, 5], [10, 0], pseudo_count=0))
        assert math.isfinite(distances.psi([5, 5], [10, 0]))
        assert math.isinf(distances.kl([10, 0], [5, 5], pseudo_count=0))


class TestRefusals:
    def test_other_bins(self):
        with pytest.raises(Incompatible, match="different bins"):
            distances.psi([1, 2], [1, 2, 3])

    def test_an_empty_side_is_named(self):
        with pytest.raises(BadInput, match="window has no rows"):
            distances.psi([1, 2], [0, 0])

    @pytest.mark.parametrize("bad", [[-1, 2], [np.nan, 2], [np.inf, 2]])
    def test_impossible_counts(self, bad):
        with pytest.raises(BadInput, match="baseline's counts"):
            distances.psi(bad, [1, 2])
