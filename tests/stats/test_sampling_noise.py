"""The level below which a distance is noise: exceeded by about 1% of pairs in which nothing moved."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import kolmogi
from scipy.stats import chi2

from watchkeeper.errors import BadInput
from watchkeeper.stats import distances, sampling_noise

KNOWN = [
    distances.psi,
    distances.kl,
    distances.jensen_shannon_divergence,
    distances.jensen_shannon_distance,
    distances.hellinger,
    distances.total_variation,
    distances.l_infinity,
]
PAIRS = 300


def zipf(bins):
    share = 1 / np.arange(1, bins + 1)
    return share / share.sum()


@pytest.mark.parametrize("distance", KNOWN, ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    ("bins", "n", "m"), [(2, 1000, 1000), (20, 1000, 200), (20, 100_000, 100_000), (40, 100_000, 1000)]
)
class TestUnderNoDrift:
    def test_one_pair_in_a_hundred_lies_above(self, distance, bins, n, m):
        rng = np.random.default_rng([bins, n, m])
        share, above = zipf(bins), 0
        for _ in range(PAIRS):
            q, p = rng.multinomial(n, share), rng.multinomial(m, share)
            above += distance(q, p) > sampling_noise.quantile(distance, q, p)
        # twice the nominal 1%, and three standard errors of the count
        assert above <= PAIRS * 0.02 + 3 * math.sqrt(PAIRS * 0.02)

    def test_the_expected_distance_is_the_mean_of_many(self, distance, bins, n, m):
        rng = np.random.default_rng([bins, n, m, 1])
        share = zipf(bins)
        draws = [distance(rng.multinomial(n, share), rng.multinomial(m, share)) for _ in range(PAIRS)]
        told = sampling_noise.expected(distance, share * n, share * m)
        assert told == pytest.approx(np.mean(draws), rel=0.1, abs=4 * np.std(draws) / math.sqrt(PAIRS))


class TestTheLevel:
    def test_shrinks_with_the_sizes_and_repeats_exactly(self):
        share = zipf(15)
        levels = [sampling_noise.quantile(distances.psi, share * n, share * n) for n in (300, 3000, 30_000)]
        assert levels == sorted(levels, reverse=True)
        assert levels == [
            sampling_noise.quantile(distances.psi, share * n, share * n) for n in (300, 3000, 30_000)
        ]

    def test_scaled_counts_rest_on_the_rows_behind_them(self):
        told = sampling_noise.quantile(distances.psi, [100_000] * 10, [100_000] * 10, rows=(10_000, 10_000))
        assert told == pytest.approx(sampling_noise.quantile(distances.psi, [1000] * 10, [1000] * 10))

    def test_one_bin_cannot_move(self):
        assert sampling_noise.quantile(distances.psi, [10], [20]) == 0.0
        assert sampling_noise.expected(distances.psi, [10], [20]) == 0.0

    def test_an_unknown_distance_is_refused(self):
        with pytest.raises(BadInput, match="'len' is not known"):
            sampling_noise.quantile(len, [1], [1])


class TestBridge:
    def test_the_largest_gap_follows_kolmogorov(self):
        told = sampling_noise.bridge_quantile(lambda d: np.abs(d).max(axis=1), np.ones(100), 2000, 3000)
        assert told == pytest.approx(kolmogi(0.01) * math.sqrt(1 / 2000 + 1 / 3000), rel=0.08)

    def test_a_two_point_distribution_has_one_normal_gap(self):
        told = sampling_noise.bridge_quantile(lambda d: np.abs(d).max(axis=1), [0.3, 0.7], 400, 400)
        assert told == pytest.approx(2.5758 * math.sqrt(0.3 * 0.7 * 2 / 400), rel=0.08)


class TestPValues:
    @pytest.mark.parametrize("distance", KNOWN, ids=lambda f: f.__name__)
    @pytest.mark.parametrize(
        ("bins", "n", "m"), [(2, 500, 500), (5, 500, 300), (20, 1000, 200), (20, 9000, 9000)]
    )
    def test_are_at_most_five_percent_in_one_null_pair_of_twenty(self, distance, bins, n, m):
        rng = np.random.default_rng([bins, n, m, 2])
        share = zipf(bins)
        low = 0
        for _ in range(PAIRS):
            low += (
                sampling_noise.p_value(distance, rng.multinomial(n, share), rng.multinomial(m, share)) <= 0.05
            )
        assert low <= PAIRS * 0.06 + 3 * math.sqrt(PAIRS * 0.05 * 0.95)

    def test_agree_with_the_level(self):
        share = zipf(12)
        for distance in KNOWN[:-1]:
            top = sampling_noise.quantile(distance, share * 4000, share * 4000)
            told = sampling_noise.p_value(distance, share * 4000, share * 4000, value=top)
            assert told == pytest.approx(0.01, abs=0.003)

    def test_a_shift_is_evident(self):
        q, p = [300, 300, 300, 300], [200, 300, 300, 400]
        for distance in KNOWN:
            assert sampling_noise.p_value(distance, q, p) < 1e-3


class TestQuadraticForms:
    @pytest.mark.parametrize("df", [1, 2, 5, 30])
    @pytest.mark.parametrize("level", [0.5, 0.95, 0.99, 0.999999])
    def test_equal_eigenvalues_are_a_chi_square(self, df, level):
        at = chi2.ppf(level, df) * 3
        assert sampling_noise.quadratic_tail(np.full(df, 3.0), at) == pytest.approx(1 - level, rel=0.1)

    def test_cramer_von_mises_limit(self):
        """Anderson and Darling 1952, table 1: 0.743 and 0.461 are the 1% and 5% points."""
        bins = 300
        eigenvalues = sampling_noise.bridge_eigenvalues(np.ones(bins), np.ones(bins) / bins)
        assert sampling_noise.quadratic_quantile(eigenvalues) == pytest.approx(0.74346, rel=0.015)
        assert sampling_noise.quadratic_tail(eigenvalues, 0.46136) == pytest.approx(0.05, rel=0.03)

    @pytest.mark.parametrize("middle", [False, True])
    def test_unequal_bins_against_simulation(self, middle):
        rng = np.random.default_rng(4)
        masses, weights = np.array([0.5, 0.1, 0.3, 0.1]), np.array([1.0, 4.0, 0.5, 2.0])
        counts = rng.multinomial(4000, masses, size=40_000) / 4000 - masses
        at = np.cumsum(counts, axis=1) - (counts / 2 if middle else 0)  # a midrank is the mean of both ends
        draws = 4000 * (at**2 * weights).sum(axis=1)
        eigenvalues = sampling_noise.bridge_eigenvalues(
            masses, weights, at=0.5 if middle else 1.0, averaged=middle
        )
        assert eigenvalues.sum() == pytest.approx(draws.mean(), rel=0.02)
        for level in (0.9, 0.99):
            told = sampling_noise.quadratic_tail(eigenvalues, float(np.quantile(draws, level)))
            assert told == pytest.approx(1 - level, rel=0.1)

    def test_nothing_varies(self):
        assert sampling_noise.bridge_eigenvalues([1.0], [1.0]).size == 0
        assert sampling_noise.quadratic_tail(np.empty(0), 1.0) == 1.0
        assert sampling_noise.quadratic_quantile(np.empty(0)) == 0.0
