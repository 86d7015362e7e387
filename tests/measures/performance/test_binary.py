"""Binary measures against scikit-learn, what has no value, and how often the intervals cover."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from watchkeeper.errors import BadInput
from watchkeeper.measures.performance.accuracy import accuracy, balanced_accuracy
from watchkeeper.measures.performance.average_precision import average_precision
from watchkeeper.measures.performance.brier import brier
from watchkeeper.measures.performance.calibration_error import expected_calibration_error
from watchkeeper.measures.performance.lift import lift
from watchkeeper.measures.performance.log_loss import log_loss
from watchkeeper.measures.performance.mcc import mcc
from watchkeeper.measures.performance.precision_recall import f1, precision, recall, specificity
from watchkeeper.measures.performance.roc_auc import roc_auc
from watchkeeper.stats.states.confusion import Confusion
from watchkeeper.stats.states.score_table import ConfusionCounts, ScoreTable

DECISIONS = {
    accuracy: metrics.accuracy_score,
    balanced_accuracy: metrics.balanced_accuracy_score,
    precision: metrics.precision_score,
    recall: metrics.recall_score,
    specificity: lambda y, d: metrics.recall_score(~y, ~d),
    f1: metrics.f1_score,
    mcc: metrics.matthews_corrcoef,
}
SCORES = {
    roc_auc: metrics.roc_auc_score,
    average_precision: metrics.average_precision_score,
    log_loss: metrics.log_loss,
    brier: metrics.brier_score_loss,
}


def scored(rows=3_000, seed=0):
    rng = np.random.default_rng(seed)
    scores = rng.beta(2, 3, rows)
    return scores, rng.random(rows) < scores


def named(function):
    return function.__name__


@pytest.mark.known_answer(
    "accuracy",
    "balanced_accuracy",
    "precision",
    "recall",
    "specificity",
    "f1",
    "mcc",
    source="scikit-learn on the rows",
)
@pytest.mark.parametrize("measure", DECISIONS, ids=named)
@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.625, 1 / 3])
def test_decisions_agree_with_scikit_learn(measure, threshold):
    scores, outcomes = scored()
    found = measure(ScoreTable.of(scores, outcomes), threshold=threshold)
    truth = DECISIONS[measure](outcomes, scores >= threshold)
    assert abs(found.value - truth) <= found.bound + 1e-12
    assert found.bound == 0 or threshold == 1 / 3
    assert found.interval.low <= found.value <= found.interval.high
    assert found.rows == 3_000


@pytest.mark.parametrize("measure", DECISIONS, ids=named)
def test_the_models_own_decisions_are_read_from_a_confusion(measure):
    scores, outcomes = scored()
    decisions = scores + np.random.default_rng(1).normal(0, 0.1, scores.size) > 0.5
    confusion = Confusion.of_labels(outcomes.tolist(), decisions.tolist())
    assert measure(confusion, positive="True").value == pytest.approx(DECISIONS[measure](outcomes, decisions))
    assert measure(confusion).value == measure(confusion, positive="True").value


@pytest.mark.known_answer(
    "roc_auc", "average_precision", "log_loss", "brier", source="scikit-learn on the rows"
)
@pytest.mark.parametrize("measure", SCORES, ids=named)
def test_scores_agree_with_scikit_learn(measure):
    scores, outcomes = scored()
    found = measure(ScoreTable.of(scores, outcomes))
    assert abs(found.value - SCORES[measure](outcomes, scores)) <= found.bound + 1e-12
    assert found.interval.low <= found.value <= found.interval.high


@pytest.mark.known_answer(
    "expected_calibration_error", source="Naeini et al. 2015, equation 3, worked on the rows"
)
@pytest.mark.parametrize("bins", [5, 10, 20])
def test_calibration_error_is_its_definition(bins):
    scores, outcomes = scored()
    where = np.minimum((scores * bins).astype(int), bins - 1)
    truth = sum(
        abs(scores[where == b].mean() - outcomes[where == b].mean()) * (where == b).mean()
        for b in np.unique(where)
    )
    found = expected_calibration_error(ScoreTable.of(scores, outcomes), bins=bins)
    assert found.value == pytest.approx(truth)
    assert found.p_value > 0.01  # these scores are calibrated
    biased = expected_calibration_error(ScoreTable.of(np.sqrt(scores), outcomes), bins=bins)
    assert biased.value > biased.margin
    assert biased.p_value < 0.01


@pytest.mark.parametrize("measure", [*DECISIONS, *SCORES, lift, expected_calibration_error], ids=named)
class TestWithoutAnAnswer:
    def test_no_outcome_is_a_reason_not_a_zero(self, measure):
        found = measure(ScoreTable.of(np.array([0.2, 0.7])))
        assert found.value is None
        assert "outcome" in found.reason

    def test_one_row_gives_a_value_or_a_reason_and_no_error(self, measure):
        found = measure(ScoreTable.of(np.array([0.7]), np.array([True])))
        assert found.value is not None or found.reason

    def test_rows_that_weigh_more_change_only_certainty(self, measure):
        scores, outcomes = scored(400)
        once = measure(ScoreTable.of(scores, outcomes))
        thrice = measure(ScoreTable.of(scores, outcomes).scaled(2.5))
        assert thrice.value == pytest.approx(once.value, rel=0.02)
        assert thrice.rows == pytest.approx(1000)


def test_a_share_without_a_whole_says_which():
    none_predicted = ConfusionCounts(tp=0, fp=0, fn=5, tn=5)
    assert precision(none_predicted).reason == "No row was predicted positive."
    assert mcc(none_predicted).value is None
    assert recall(ConfusionCounts(tp=0, fp=5, fn=0, tn=5)).reason == "No outcome was positive."
    assert f1(none_predicted).value == 0.0


def test_three_classes_need_to_know_which_one_is_positive():
    confusion = Confusion.of_labels(list("abc"), list("abb"))
    with pytest.raises(BadInput, match="which one is positive"):
        recall(confusion)
    assert recall(confusion, positive="b").value == 1.0
    assert accuracy(confusion).value == pytest.approx(2 / 3)


@pytest.mark.known_answer("lift", source="the rows, sorted by score and counted")
def test_lift_counts_the_best_rows():
    scores, outcomes = scored(1_000)
    best = np.argsort(-scores)[:100]
    found = lift(ScoreTable.of(scores, outcomes), share=0.1)
    assert abs(found.value - outcomes[best].mean() / outcomes.mean()) <= found.bound + 1e-12
    with pytest.raises(BadInput, match="share"):
        lift(ScoreTable.of(scores, outcomes), share=10)


@pytest.fixture(scope="module")
def truth():
    return ScoreTable.of(*scored(2_000_000, seed=9))


@pytest.mark.slow
class TestCoverage:
    """Windows of few rows; 95% intervals must hold the truth about 95 times in 100 (1,500 windows: se 0.6%)."""

    rounds = 1_500
    rows = 150

    @pytest.mark.parametrize(
        "measure", [accuracy, balanced_accuracy, precision, recall, f1, mcc, roc_auc, average_precision,
                    log_loss, brier, lift], ids=named
    )  # fmt: skip
    def test_intervals_hold_the_truth(self, measure, truth):
        options = {"share": 0.2} if measure is lift else {}
        target = measure(truth, **options).value
        rng = np.random.default_rng(10)
        hits = 0
        for _ in range(self.rounds):
            scores = rng.beta(2, 3, self.rows)
            outcomes = rng.random(self.rows) < scores
            found = measure(ScoreTable.of(scores, outcomes), **options)
            hits += found.interval.low <= target <= found.interval.high
        assert 0.93 <= hits / self.rounds <= 0.985

    @pytest.mark.parametrize(("rows", "b"), [(300, 20), (2_000, 50)], ids=["14 positives", "39 positives"])
    def test_average_precision_of_a_rare_event(self, rows, b):
        rng = np.random.default_rng(12)
        scores = rng.beta(1, b, 2_000_000)
        target = average_precision(ScoreTable.of(scores, rng.random(scores.size) < scores)).value
        hits = 0
        for _ in range(800):
            scores = rng.beta(1, b, rows)
            found = average_precision(ScoreTable.of(scores, rng.random(rows) < scores))
            hits += found.interval.low <= target <= found.interval.high
        assert 0.92 <= hits / 800 <= 0.985

    def test_a_calibrated_model_stays_under_its_margin(self):
        rng = np.random.default_rng(11)
        over = 0
        for i in range(300):
            scores = rng.beta(2, 3, self.rows)
            outcomes = rng.random(self.rows) < scores
            found = expected_calibration_error(ScoreTable.of(scores, outcomes), seed=i)
            over += found.value > found.margin
        assert over <= stats.binom.ppf(0.9999, 300, 0.055)
