"""Measures of several classes, against scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics

from watchkeeper.measures.catalogue import entry
from watchkeeper.measures.performance.log_loss import multiclass_log_loss
from watchkeeper.measures.performance.roc_auc import roc_auc_ovr, roc_auc_per_class
from watchkeeper.stats.states.confusion import Confusion
from watchkeeper.stats.states.score_table import ScoreTable

SKLEARN = {"precision": metrics.precision_score, "recall": metrics.recall_score, "f1": metrics.f1_score}


def labelled(rows=2_000, seed=0, classes="abcd"):
    rng = np.random.default_rng(seed)
    share = np.arange(len(classes), 0, -1) ** 2.0
    actual = rng.choice(list(classes), rows, p=share / share.sum())
    other = rng.choice(list(classes), rows)
    return actual, np.where(rng.random(rows) < 0.7, actual, other)


@pytest.mark.known_answer(
    "precision_per_class",
    "precision_macro",
    "precision_micro",
    "precision_weighted",
    "recall_per_class",
    "recall_macro",
    "recall_micro",
    "recall_weighted",
    "f1_per_class",
    "f1_macro",
    "f1_micro",
    "f1_weighted",
    source="scikit-learn on the rows",
)
@pytest.mark.parametrize("name", SKLEARN)
class TestAverages:
    @pytest.mark.parametrize("how", ["macro", "micro", "weighted"])
    def test_they_agree_with_scikit_learn(self, name, how):
        actual, predicted = labelled()
        found = entry(f"{name}_{how}").function(Confusion.of_labels(actual, predicted))
        assert found.value == pytest.approx(SKLEARN[name](actual, predicted, average=how))
        assert found.interval.low < found.value < found.interval.high

    def test_each_class_agrees_with_scikit_learn(self, name):
        actual, predicted = labelled()
        found = entry(f"{name}_per_class").function(Confusion.of_labels(actual, predicted))
        assert [m.subject for m in found] == list("abcd")
        assert [m.value for m in found] == pytest.approx(SKLEARN[name](actual, predicted, average=None))

    def test_a_class_that_is_never_predicted_counts_as_zero_in_the_mean(self, name):
        actual, predicted = list("aabbc"), list("aabba")
        found = entry(f"{name}_macro").function(Confusion.of_labels(actual, predicted))
        expected = SKLEARN[name](actual, predicted, average="macro", zero_division=0)
        assert found.value == pytest.approx(expected)
        assert found.details["undefined_classes"] == (1 if name == "precision" else 0)

    def test_nothing_labelled_is_a_reason(self, name):
        assert entry(f"{name}_macro").function(Confusion.empty()).reason
        assert entry(f"{name}_per_class").function(Confusion.empty()) == []

    @pytest.mark.slow
    @pytest.mark.parametrize("how", ["macro", "weighted"])
    def test_intervals_hold_the_truth(self, name, how):
        measure = entry(f"{name}_{how}").function
        target = measure(Confusion.of_labels(*labelled(400_000, seed=5))).value
        hits = 0
        for seed in range(600):
            found = measure(Confusion.of_labels(*labelled(300, seed=100 + seed))).interval
            hits += found.low <= target <= found.high
        assert 0.92 <= hits / 600 <= 0.98


def test_past_the_cap_the_average_admits_that_it_has_no_bound():
    actual, predicted = labelled(classes="abcdefgh")
    found = entry("f1_macro").function(Confusion.of_labels(actual, predicted, cap=3))
    assert found.bound is None
    assert len(entry("f1_per_class").function(Confusion.of_labels(actual, predicted, cap=3))) == 3


@pytest.fixture(scope="module")
def probabilities():
    rng = np.random.default_rng(3)
    scores = rng.dirichlet([2, 1, 1], 4_000)
    actual = (scores.cumsum(axis=1) > rng.random((4_000, 1))).argmax(axis=1)
    tables = {str(k): ScoreTable.of(scores[:, k], actual == k) for k in range(3)}
    return scores, actual, tables


@pytest.mark.known_answer("roc_auc_ovr", source="scikit-learn on the rows")
def test_one_against_the_rest_agrees_with_scikit_learn(probabilities):
    scores, actual, tables = probabilities
    found = roc_auc_ovr(tables)
    truth = metrics.roc_auc_score(actual, scores, multi_class="ovr", average="macro")
    assert abs(found.value - truth) <= found.bound


@pytest.mark.known_answer("roc_auc_per_class", source="scikit-learn on the rows")
def test_each_class_has_its_own_area(probabilities):
    scores, actual, tables = probabilities
    found = roc_auc_per_class(tables)
    assert [m.subject for m in found] == ["0", "1", "2"]
    for k, m in enumerate(found):
        truth = metrics.roc_auc_score(actual == k, scores[:, k])
        assert abs(m.value - truth) <= m.bound
        assert m.interval.low < truth < m.interval.high


@pytest.mark.known_answer("multiclass_log_loss", source="scikit-learn on the rows")
def test_log_loss_agrees_with_scikit_learn(probabilities):
    scores, actual, tables = probabilities
    assert multiclass_log_loss(tables).value == pytest.approx(metrics.log_loss(actual, scores), rel=1e-9)


def test_an_outcome_without_a_score_is_not_passed_over(probabilities):
    _, _, tables = probabilities
    found = multiclass_log_loss({name: tables[name] for name in ("0", "1")})
    assert found.value is None
    assert "has no score" in found.reason
