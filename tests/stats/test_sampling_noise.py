"""The level below which a distance is noise: exceeded by about 1% of pairs in which nothing moved."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import kolmogi

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
PAIRS = 400


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
