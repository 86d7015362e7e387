"""Drift of sampled rows: what no single column shows is seen, and stable samples stay quiet."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from watchkeeper.domain.schema import Column, Kind, Role, Schema
from watchkeeper.measures.drift.catalogue import CATALOGUE
from watchkeeper.measures.drift.evaluation import drift_entries
from watchkeeper.measures.drift.mean_distance import measure_mean_distance
from watchkeeper.measures.drift.mmd import measure_vector_mmd
from watchkeeper.measures.drift.multivariate import measure_joint_drift
from watchkeeper.measures.drift.sample_matrix import joint_rows
from watchkeeper.stats import mmd as kernel
from watchkeeper.stats.states.sample import Sample
from watchkeeper.stats.states.vector import VectorState

SCHEMA = Schema(
    columns=(
        Column(name="age", kind=Kind.INTEGER),
        Column(name="income", kind=Kind.NUMERIC),
        Column(name="region", kind=Kind.CATEGORICAL),
        Column(name="member", kind=Kind.BOOLEAN),
        Column(name="name", kind=Kind.TEXT),
        Column(name="score", kind=Kind.NUMERIC, role=Role.SCORE),
    )
)


def sampled(rng, rows, *, tie=0.0, missing=0.0):
    age = rng.integers(18, 80, size=rows)
    income = tie * (age - 49) / 18 + np.sqrt(1 - tie**2) * rng.normal(size=rows)
    income[rng.random(rows) < missing] = np.nan
    region = rng.choice(np.array(["north", "south", None], dtype=object), rows, p=[0.6, 0.3, 0.1])
    columns = {
        "age": age,
        "income": income,
        "region": region,
        "member": rng.random(rows) < 0.3,
        "name": np.array(["x"] * rows, dtype=object),
        "score": rng.random(rows),
    }
    return Sample.of(rng.integers(0, 2**63, size=rows).astype(np.uint64), columns, rows)


def by_name(found):
    return {m.measure: m for m in found}


class TestJointDrift:
    def test_a_broken_correlation_is_seen_by_each(self):
        rng = np.random.default_rng(0)
        found = by_name(measure_joint_drift(sampled(rng, 800, tie=0.9), sampled(rng, 600), SCHEMA))
        assert set(found) == {"mmd", "domain_classifier", "pca_reconstruction"}
        for m in found.values():
            assert m.value > m.margin, m.measure
            assert 0 < m.p_value <= 1 / 201 + 1e-12, m.measure
            assert (m.rows, m.baseline_rows) == (600, 800)
            assert m.bound == 0, "both samples hold every row"
        strongest = list(found["domain_classifier"].details["columns"])[:2]
        assert set(strongest) == {"age", "income"}
        assert found["pca_reconstruction"].details["ratio"] > 1

    @pytest.mark.slow
    def test_stable_samples_stay_quiet(self):
        rng = np.random.default_rng(1)
        low = dict.fromkeys(("mmd", "domain_classifier", "pca_reconstruction"), 0)
        for seed in range(100):
            pair = sampled(rng, 150, tie=0.5, missing=0.1), sampled(rng, 100, tie=0.5, missing=0.1)
            for m in measure_joint_drift(*pair, SCHEMA, seed=seed):
                low[m.measure] += m.p_value <= 0.05
        assert max(low.values()) <= stats.binom.ppf(0.9999, 100, 0.06), low

    def test_values_that_go_missing_are_seen(self):
        rng = np.random.default_rng(2)
        found = by_name(measure_joint_drift(sampled(rng, 600), sampled(rng, 600, missing=0.3), SCHEMA))
        assert found["domain_classifier"].p_value < 0.01
        assert next(iter(found["domain_classifier"].details["columns"])) == "income"

    def test_a_column_that_is_gone_does_not_drown_the_others(self):
        """All rows of a side lack it: any classifier would tell the sides apart by that alone."""
        rng = np.random.default_rng(5)
        before, after = sampled(rng, 800), sampled(rng, 600)
        after.columns["income"][:] = np.nan
        found = by_name(measure_joint_drift(before, after, SCHEMA))
        for m in found.values():
            assert m.value < m.margin, m.measure
        assert "income" not in found["domain_classifier"].details["columns"]

    def test_without_rows_each_says_so(self):
        rng = np.random.default_rng(3)
        for m in measure_joint_drift(None, sampled(rng, 50), SCHEMA):
            assert m.reason == "The baseline holds no sample of rows."
        for m in measure_joint_drift(sampled(rng, 50), sampled(rng, 5), SCHEMA):
            assert m.value is None
            assert m.reason == "The window's sample holds 5 rows; 20 are needed."

    def test_nothing_to_compare(self):
        rng = np.random.default_rng(4)
        only_text = Schema(columns=(Column(name="name", kind=Kind.TEXT),))
        for m in measure_joint_drift(sampled(rng, 50), sampled(rng, 50), only_text):
            assert m.reason == "There is no column whose sampled rows can be compared."


class TestAgainstSklearn:
    @pytest.mark.known_answer("mmd", source="the sums over scikit-learn's rbf_kernel")
    def test_mmd(self):
        rng = np.random.default_rng(8)
        pair = sampled(rng, 120, tie=0.8), sampled(rng, 90)
        got = by_name(measure_joint_drift(*pair, SCHEMA))["mmd"]
        rows = joint_rows(*pair, SCHEMA)
        gamma = 1 / (2 * got.details["bandwidth"] ** 2)
        xx, yy, xy = (
            rbf_kernel(a, b, gamma=gamma)
            for a, b in (
                (rows.baseline, rows.baseline),
                (rows.window, rows.window),
                (rows.baseline, rows.window),
            )
        )
        expected = (xx.sum() - 120) / (120 * 119) + (yy.sum() - 90) / (90 * 89) - 2 * xy.mean()
        assert got.value == pytest.approx(expected, abs=1e-12)

    @pytest.mark.known_answer(
        "domain_classifier", source="scikit-learn's cross-validated logistic regression"
    )
    def test_domain_classifier(self):
        """Another linear classifier over the same features comes to nearly the same AUC."""
        rng = np.random.default_rng(9)
        schema = Schema(columns=tuple(Column(name=n, kind=Kind.NUMERIC) for n in "ab"))
        x, y = rng.normal(size=(700, 2)), rng.normal([0.4, 0.0], [1.0, 1.4], size=(600, 2))
        pair = [
            Sample.of(
                rng.integers(0, 2**63, size=len(rows)).astype(np.uint64),
                {"a": rows[:, 0], "b": rows[:, 1]},
                len(rows),
            )
            for rows in (x, y)
        ]
        got = by_name(measure_joint_drift(*pair, schema))["domain_classifier"]
        features = PolynomialFeatures(2, include_bias=False).fit_transform(np.concatenate([x, y]))
        scores = cross_val_score(
            make_pipeline(StandardScaler(), LogisticRegression()),
            features,
            np.repeat([0, 1], [700, 600]),
            scoring="roc_auc",
            cv=KFold(5, shuffle=True, random_state=0),
        )
        assert got.value == pytest.approx(scores.mean(), abs=0.02)

    @pytest.mark.known_answer("pca_reconstruction", source="scikit-learn's PCA")
    def test_pca_reconstruction(self):
        rng = np.random.default_rng(10)
        pair = sampled(rng, 400, tie=0.95), sampled(rng, 300, tie=-0.95)
        got = by_name(measure_joint_drift(*pair, SCHEMA, seed=2))["pca_reconstruction"]
        rows = joint_rows(*pair, SCHEMA)
        order = np.random.default_rng(2).permutation(400)
        scaler = StandardScaler().fit(rows.baseline[order[:200]])
        pca = PCA(n_components=0.65, svd_solver="full").fit(scaler.transform(rows.baseline[order[:200]]))
        errors = []
        for side in (rows.baseline[order[200:]], rows.window):
            z = scaler.transform(side)
            errors.append(np.linalg.norm(z - pca.inverse_transform(pca.transform(z)), axis=1).mean())
        assert got.value == pytest.approx(abs(errors[1] / errors[0] - 1))


class TestSampleMatrix:
    def test_features_weigh_alike_and_nothing_else_takes_part(self):
        rng = np.random.default_rng(5)
        rows = joint_rows(sampled(rng, 500, missing=0.2), sampled(rng, 400), SCHEMA)
        assert sorted(set(rows.columns)) == ["age", "income", "member", "region"]
        pooled = np.concatenate([rows.baseline, rows.window])
        assert pooled.mean(axis=0) == pytest.approx(np.zeros(pooled.shape[1]), abs=1e-9)
        for name in ("age", "region", "member"):
            mine = [i for i, column in enumerate(rows.columns) if column == name]
            assert pooled[:, mine].var(axis=0).sum() == pytest.approx(1.0), name
        assert np.isfinite(pooled).all()

    def test_infinities_and_constants_do_no_harm(self):
        x = np.array([np.inf, -np.inf, np.nan, *np.arange(47.0)])
        schema = Schema(
            columns=(Column(name="x", kind=Kind.NUMERIC), Column(name="c", kind=Kind.CATEGORICAL))
        )
        ids = np.arange(50, dtype=np.uint64)
        sample = Sample.of(ids, {"x": x, "c": np.array(["same"] * 50, dtype=object)}, 50)
        rows = joint_rows(sample, sample, schema)
        assert np.isfinite(rows.baseline).all()
        assert set(rows.columns) == {"x"}
        assert rows.baseline[:3, 0].tolist() == [8, -8, 0]

    def test_numbers_sampled_as_objects_are_numbers(self):
        values = np.array([None, *range(49)], dtype=object)
        schema = Schema(columns=(Column(name="x", kind=Kind.INTEGER),))
        sample = Sample.of(np.arange(50, dtype=np.uint64), {"x": values}, 50)
        assert joint_rows(sample, sample, schema).columns == ("x", "x")


class TestVectors:
    COLUMN = Column(name="embedding", kind=Kind.VECTOR)

    def sample(self, vectors):
        return Sample.of(np.arange(len(vectors), dtype=np.uint64), {"embedding": vectors}, len(vectors))

    def test_mmd_of_an_embedding_is_that_of_its_vectors(self):
        rng = np.random.default_rng(6)
        x, y = rng.normal(size=(200, 8)), rng.normal(0.3, 1, size=(150, 8))
        y[3] = np.nan
        got = measure_vector_mmd(self.sample(x), self.sample(y), self.COLUMN)
        truth = kernel.mmd(x, np.delete(y, 3, axis=0))
        assert (got.value, got.p_value) == (pytest.approx(truth.statistic), truth.p_value)
        assert got.subject == "embedding"
        assert got.rows == 149
        both = Schema(columns=(self.COLUMN,))
        assert [m.measure for m in measure_joint_drift(self.sample(x), self.sample(y), both)] == ["mmd"]

    @pytest.mark.known_answer("mean_distance", source="the closed form for one shifted dimension")
    def test_the_distance_of_means_is_in_units_of_the_spread(self):
        rng = np.random.default_rng(7)
        x = rng.normal(size=(500, 4))
        shift = np.array([2.0, 0, 0, 0])
        got = measure_mean_distance(VectorState.of_vectors(x), VectorState.of_vectors(x + shift))
        assert got.value == pytest.approx(2 / np.sqrt(x.var(axis=0).sum()))
        assert got.value > got.margin > got.details["expected"] > 0
        assert got.p_value < 1e-6

    def test_other_dimensions_and_no_vectors_give_a_reason(self):
        x = VectorState.of_vectors(np.eye(3))
        assert (
            "of 3 and of 2 dimensions" in measure_mean_distance(x, VectorState.of_vectors(np.eye(2))).reason
        )
        assert measure_mean_distance(x, VectorState.empty()).reason == "The window has no finite vectors."


def test_vectors_join_the_measures_of_one_column():
    assert "mean_distance" in {entry.name for entry in drift_entries()}
    assert not {"mmd", "domain_classifier", "pca_reconstruction"} & {e.name for e in drift_entries()}
    assert len({entry.name for entry in CATALOGUE}) == len(CATALOGUE) == 21
