"""Maximum mean discrepancy: the textbook sums, honest single precision, and a p-value that keeps its size."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.distance import cdist, pdist
from sklearn.metrics.pairwise import rbf_kernel

from watchkeeper.errors import BadInput, Incompatible
from watchkeeper.stats import mmd as module
from watchkeeper.stats.mmd import median_bandwidth, mmd


def textbook(x, y, sigma, *, unbiased=True):
    xx, yy, xy = (rbf_kernel(a, b, gamma=1 / (2 * sigma**2)) for a, b in ((x, x), (y, y), (x, y)))
    n, m = len(x), len(y)
    if not unbiased:
        return xx.mean() + yy.mean() - 2 * xy.mean()
    return (xx.sum() - n) / (n * (n - 1)) + (yy.sum() - m) / (m * (m - 1)) - 2 * xy.mean()


@pytest.fixture
def samples():
    rng = np.random.default_rng(1)
    return rng.normal(size=(730, 6)), rng.normal(0.1, 1.2, size=(611, 6))


class TestStatistic:
    @pytest.mark.parametrize("unbiased", [True, False])
    def test_equals_the_sums_over_sklearns_kernel(self, samples, unbiased):
        got = mmd(*samples, permutations=0, unbiased=unbiased)
        assert got.statistic == pytest.approx(textbook(*samples, got.bandwidth, unbiased=unbiased), abs=1e-12)
        assert got.p_value is None

    def test_the_bandwidth_is_the_median_of_the_baselines_pairs(self, samples):
        x, _ = samples
        lower_median = np.sort(pdist(x, "sqeuclidean"))[(len(x) * (len(x) - 1) // 2 - 1) // 2]
        assert median_bandwidth(x) == pytest.approx(math.sqrt(lower_median / 2))
        assert mmd(*samples, permutations=0).bandwidth == pytest.approx(math.sqrt(lower_median / 2))

    def test_every_permuted_statistic_is_that_of_its_labelling(self, samples, monkeypatch):
        x, y = samples[0][:40], samples[1][:30]
        kept = {}
        plain = module._labels

        def labels(*args):
            kept["labels"] = plain(*args)
            return kept["labels"]

        monkeypatch.setattr(module, "_labels", labels)
        got = mmd(x, y, permutations=99, seed=3)
        pooled = np.concatenate([x, y])
        values = [
            textbook(pooled[a == 0], pooled[a == 1], got.bandwidth) for a in kept["labels"].T.astype(int)
        ]
        assert got.statistic == pytest.approx(values[0])
        assert got.p_value == (1 + np.sum(np.array(values[1:]) >= values[0])) / 100
        assert got.threshold == pytest.approx(np.quantile(values[1:], 0.99))

    def test_single_precision_is_off_by_far_less_than_the_noise(self):
        rng = np.random.default_rng(2)
        x, y = rng.normal(1e3, 1, size=(1500, 20)), rng.normal(1e3, 1, size=(1300, 20))
        double = mmd(x, y, precision="double")
        single = mmd(x, y, precision="single")
        assert abs(single.statistic - double.statistic) < 1e-3 * double.threshold
        assert single.threshold == pytest.approx(double.threshold, rel=1e-3)
        assert abs(single.p_value - double.p_value) <= 2 / 201


class TestPValue:
    def test_is_never_zero(self):
        rng = np.random.default_rng(0)
        got = mmd(rng.normal(size=(60, 2)), rng.normal(9, 1, size=(60, 2)), permutations=99)
        assert got.p_value == 0.01

    def test_keeps_its_size_and_sees_a_change_of_correlation_only(self):
        rng = np.random.default_rng(7)
        null, power = 0, 0
        turned = np.linalg.cholesky(np.array([[1, 0.8], [0.8, 1]]))
        for seed in range(200):
            x, y = rng.normal(size=(80, 2)), rng.normal(size=(60, 2))
            null += mmd(x, y, permutations=99, seed=seed).p_value <= 0.05
            power += mmd(x, y @ turned.T, permutations=99, seed=seed).p_value <= 0.05
        assert null <= 200 * 0.05 + 3 * math.sqrt(200 * 0.05 * 0.95)
        assert power >= 100

    def test_repeats_exactly(self, samples):
        assert mmd(*samples, seed=5) == mmd(*samples, seed=5)


class TestHardInput:
    def test_a_constant_baseline_still_tells_equal_from_different(self):
        same = mmd(np.ones((30, 2)), np.ones((20, 2)))
        assert same.statistic == pytest.approx(0)
        assert same.p_value == 1
        assert mmd(np.ones((30, 2)), np.zeros((20, 2))).p_value == pytest.approx(1 / 201)

    def test_one_dimension_may_be_flat(self):
        x, y = np.arange(10.0), np.arange(5.0)
        got = mmd(x, y, permutations=0)
        kernel = np.exp(-cdist(x[:, None], y[:, None], "sqeuclidean") / (2 * got.bandwidth**2))
        assert kernel.shape == (10, 5)
        assert got.statistic == pytest.approx(textbook(x[:, None], y[:, None], got.bandwidth))

    def test_refusals(self):
        with pytest.raises(Incompatible, match="of 3 and of 2 numbers"):
            mmd(np.ones((4, 3)), np.ones((4, 2)))
        with pytest.raises(BadInput, match="window needs at least two rows"):
            mmd(np.ones((4, 3)), np.ones((1, 3)))
        with pytest.raises(BadInput, match="baseline holds numbers that are not finite"):
            mmd(np.full((4, 3), np.nan), np.ones((4, 3)))
