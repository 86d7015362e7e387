"""Drift of many columns at once: sees what one column cannot show, and keeps its size."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from watchkeeper.errors import BadInput, Incompatible
from watchkeeper.stats import multivariate
from watchkeeper.stats.multivariate import domain_classifier_auc, mean_distance, pca_reconstruction


class TestDomainClassifier:
    def test_equals_cross_fitted_ridge_of_sklearn(self):
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(150, 4)), rng.normal(0.3, 1.2, size=(120, 4))
        got = domain_classifier_auc(x, y, permutations=3, seed=5)
        rows, label = np.concatenate([x, y]), np.repeat([0, 1], [150, 120])
        z = StandardScaler().fit_transform(rows)
        i, j = np.triu_indices(4)
        products = z[:, i] * z[:, j]
        features = np.hstack([z, products / products.std(axis=0)])
        replay = np.random.default_rng(5)
        for _ in range(3):
            replay.permutation(270)
        part = replay.permutation(270) % 5
        aucs = []
        centred = features - features.mean(axis=0)
        for k in range(5):
            held = part == k
            target = label[~held] - label[~held].mean()
            model = Ridge(alpha=1.0, fit_intercept=False).fit(centred[~held], target)
            aucs.append(roc_auc_score(label[held], model.predict(centred[held])))
        assert got.auc == pytest.approx(np.mean(aucs), abs=1e-9)

    def test_sees_a_change_of_correlation_that_no_column_shows(self):
        rng = np.random.default_rng(1)
        turn = np.linalg.cholesky([[1, 0.7, 0], [0.7, 1, 0], [0, 0, 1]])
        got = domain_classifier_auc(rng.normal(size=(800, 3)), rng.normal(size=(800, 3)) @ turn.T)
        assert got.auc > 0.65 > got.threshold
        assert got.p_value == pytest.approx(1 / 201)
        assert got.weights.argmin() == 2
        assert got.weights.sum() == pytest.approx(1)

    def test_keeps_its_size(self):
        rng = np.random.default_rng(2)
        low = sum(
            domain_classifier_auc(
                rng.normal(size=(60, 3)), rng.normal(size=(40, 3)), permutations=99, seed=s
            ).p_value
            <= 0.05
            for s in range(200)
        )
        assert low <= stats.binom.ppf(0.9999, 200, 0.05)

    def test_a_constant_column_and_equal_rows_are_no_trouble(self):
        rows = np.column_stack([np.ones(50), np.arange(50.0)])
        got = domain_classifier_auc(rows, rows)
        assert got.p_value > 0.05
        flat = domain_classifier_auc(np.ones((20, 2)), np.ones((10, 2)))
        assert (flat.auc, flat.p_value) == (0.5, 1.0)
        assert flat.weights.tolist() == [0.5, 0.5]

    def test_the_auc_by_ranks_is_sklearns(self):
        rng = np.random.default_rng(3)
        scores, labels = rng.integers(0, 6, size=(40, 5)).astype(float), rng.integers(0, 2, size=(40, 5))
        found, known = multivariate._aucs(scores, labels.astype(float))
        assert known.all()
        assert found == pytest.approx([roc_auc_score(labels[:, k], scores[:, k]) for k in range(5)])


class TestReconstruction:
    def test_errors_are_those_of_sklearns_components(self):
        rng = np.random.default_rng(0)
        mix = rng.normal(size=(6, 6))
        x, y = rng.normal(size=(300, 6)) @ mix, rng.normal(size=(200, 6)) @ mix
        got = pca_reconstruction(x, y, seed=4)
        order = np.random.default_rng(4).permutation(300)
        scaler = StandardScaler().fit(x[order[:150]])
        pca = PCA(n_components=0.65, svd_solver="full").fit(scaler.transform(x[order[:150]]))
        assert got.components == pca.n_components_
        for rows, error in ((x[order[150:]], got.baseline_error), (y, got.window_error)):
            z = scaler.transform(rows)
            rebuilt = pca.inverse_transform(pca.transform(z))
            assert error == pytest.approx(np.linalg.norm(z - rebuilt, axis=1).mean())

    def test_keeps_its_size_and_its_margin(self):
        rng = np.random.default_rng(5)
        mix = rng.normal(size=(5, 5))
        low = above = 0
        for s in range(300):
            x, y = rng.normal(size=(400, 5)) @ mix, rng.normal(size=(300, 5)) @ mix
            got = pca_reconstruction(x, y, seed=s)
            low += got.p_value <= 0.05
            above += abs(got.ratio - 1) > multivariate.ratio_margin(got)
        assert low <= stats.binom.ppf(0.9999, 300, 0.06)
        assert above <= stats.binom.ppf(0.9999, 300, 0.015)

    def test_fewer_ways_to_vary_are_a_change_too(self):
        rng = np.random.default_rng(6)
        line = rng.normal(size=(500, 1))
        got = pca_reconstruction(rng.normal(size=(500, 3)), np.hstack([line, line, line]))
        assert got.ratio < 0.9
        assert got.p_value < 0.01

    def test_constant_columns(self):
        got = pca_reconstruction(np.ones((10, 3)), np.ones((5, 3)))
        assert got.p_value == 1
        with pytest.raises(BadInput, match="four baseline rows"):
            pca_reconstruction(np.ones((3, 3)), np.ones((5, 3)))


class TestMeanDistance:
    @pytest.mark.parametrize("tied", [False, True])
    def test_the_margin_holds_whatever_the_correlation(self, tied):
        rng = np.random.default_rng(7)
        above = 0
        for _ in range(500):
            x, y = (
                rng.normal(size=(k, 1)).repeat(8, axis=1) if tied else rng.normal(size=(k, 8))
                for k in (200, 100)
            )
            got = mean_distance(x.mean(0), x.var(0), 200, y.mean(0), y.var(0), 100)
            above += got.distance > got.margin
        assert above <= stats.binom.ppf(0.9999, 500, 0.01)

    def test_one_dimension_is_a_z_test(self):
        got = mean_distance([0.0], [4.0], 100, [0.5], [4.0], 50)
        z = 0.5 / math.sqrt(4 * (1 / 100 + 1 / 50))
        assert got.p_value == pytest.approx(2 * stats.norm.sf(z))
        assert got.distance == pytest.approx(0.25)

    def test_equal_vectors_give_no_unit(self):
        with pytest.raises(BadInput, match="spread is no unit"):
            mean_distance([0.0], [0.0], 10, [1.0], [0.0], 10)


def test_other_widths_are_refused():
    with pytest.raises(Incompatible):
        domain_classifier_auc(np.ones((5, 2)), np.ones((5, 3)))
