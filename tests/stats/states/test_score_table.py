"""What a score table says, against scikit-learn on the rows."""

import numpy as np
import pytest
from sklearn import metrics

from watchkeeper.stats.states.score_table import ScoreTable, lattice


def scored(seed=0, rows=20_000, a=1.0, b=6.0, decimals=None):
    rng = np.random.default_rng(seed)
    scores = rng.beta(a, b, rows)
    if decimals is not None:
        scores = scores.round(decimals)
    return scores, rng.random(rows) < scores


CASES = [
    pytest.param({}, id="spread"),
    pytest.param({"a": 2.0, "b": 2000.0}, id="rare event"),
    pytest.param({"a": 2000.0, "b": 2.0}, id="common event"),
    pytest.param({"decimals": 2}, id="discrete"),
    pytest.param({"rows": 60}, id="few rows"),
]


@pytest.mark.parametrize("case", CASES)
class TestAgainstRows:
    def test_auc_lies_within_its_bound(self, case):
        scores, outcomes = scored(**case)
        value, bound = ScoreTable.of(scores, outcomes).auc()
        truth = metrics.roc_auc_score(outcomes, scores)
        assert abs(value - truth) <= bound + 1e-12
        assert bound < (0.03 if case.get("rows") == 60 or "decimals" in case else 0.005)

    def test_average_precision_lies_within_its_bound_and_close(self, case):
        scores, outcomes = scored(**case)
        value, bound = ScoreTable.of(scores, outcomes).average_precision()
        truth = metrics.average_precision_score(outcomes, scores)
        assert abs(value - truth) <= bound + 1e-12
        assert value == pytest.approx(truth, abs=0.005 if scores.size < 100 else 0.001)

    def test_losses_are_exact(self, case):
        scores, outcomes = scored(**case)
        table = ScoreTable.of(scores, outcomes)
        assert table.log_loss() == pytest.approx(metrics.log_loss(outcomes, scores), rel=1e-12)
        assert table.brier() == pytest.approx(metrics.brier_score_loss(outcomes, scores), rel=1e-12)

    @pytest.mark.parametrize("threshold", [0.0, 0.001, 0.07, 0.3, 0.5, 0.999, 1.0])
    def test_thresholds_of_three_decimals_are_exact(self, case, threshold):
        scores, outcomes = scored(**case)
        table = ScoreTable.of(scores, outcomes)
        tn, fp, fn, tp = metrics.confusion_matrix(outcomes, scores >= threshold, labels=[False, True]).ravel()
        assert table.confusion_at(threshold) == (tp, fp, fn, tn)
        assert table.unsure_at(threshold) == 0

    def test_other_thresholds_are_off_by_at_most_the_cell_they_split(self, case):
        scores, outcomes = scored(**case)
        table = ScoreTable.of(scores, outcomes)
        for threshold in (1 / 3, np.pi / 10, 0.00012345):
            tn, fp, fn, tp = metrics.confusion_matrix(
                outcomes, scores >= threshold, labels=[False, True]
            ).ravel()
            off = np.abs(np.subtract(table.confusion_at(threshold), (tp, fp, fn, tn))).sum() / 2
            assert off <= table.unsure_at(threshold)

    @pytest.mark.parametrize("bins", [5, 10, 20])
    def test_calibration_is_exact_per_bin(self, case, bins):
        scores, outcomes = scored(**case)
        found = ScoreTable.of(scores, outcomes).calibration(bins)
        where = np.minimum((np.round(scores * bins, 9)).astype(int), bins - 1)
        assert found.exact
        np.testing.assert_array_equal(found.counts, np.bincount(where, minlength=bins))
        for b in np.unique(where):
            assert found.mean_score[b] == pytest.approx(scores[where == b].mean())
            assert found.positive_share[b] == pytest.approx(outcomes[where == b].mean())

    @pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 1.0])
    def test_lift_lies_within_its_bound(self, case, share):
        scores, outcomes = scored(**case)
        value, bound = ScoreTable.of(scores, outcomes).lift(share)
        best = np.argsort(-scores, kind="stable")[: max(1, int(np.ceil(share * scores.size - 1e-9)))]
        assert abs(value - outcomes[best].mean() / outcomes.mean()) <= bound + 1e-9


def test_a_perfect_and_a_reversed_score_reach_the_ends():
    outcomes = np.array([False] * 50 + [True] * 50)
    assert ScoreTable.of(np.linspace(0, 1, 100), outcomes).auc().value == 1.0
    assert ScoreTable.of(np.linspace(1, 0, 100), outcomes).auc().value == 0.0


def test_log_loss_clips_as_scikit_learn_does():
    scores, outcomes = np.array([0.0, 1.0, 0.5]), np.array([True, False, True])
    assert ScoreTable.of(scores, outcomes).log_loss() == pytest.approx(metrics.log_loss(outcomes, scores))


def test_what_is_no_probability_is_counted_and_in_no_loss():
    scores = np.array([0.5, np.nan, 1.5, -3.0, 0.2, 1.0 + 1e-8, np.inf])
    table = ScoreTable.of(
        scores, np.ones(7, bool), valid=np.array([True, True, True, True, False, True, True])
    )
    assert (table.nans, table.outside, table.nulls) == (1, 3, 1)
    assert (table.positives, table.negatives, table.total) == (5, 0, 7)
    assert (table.positive_log_loss.n, table.squared_error.n) == (2, 2)


def test_scores_without_an_outcome_are_kept_apart():
    scores, outcomes = scored(rows=1000)
    labelled = np.arange(1000) < 400
    table = ScoreTable.of(scores, outcomes, labelled=labelled)
    assert (table.labelled, table.unlabelled) == (400, 600)
    assert table.auc() == ScoreTable.of(scores[:400], outcomes[:400]).auc()
    forgotten = table.without_outcomes()
    assert (forgotten.labelled, forgotten.unlabelled) == (0, 1000)
    assert forgotten.sums.sum() == pytest.approx(scores.sum())
    assert np.isnan(forgotten.auc().value)


def test_the_callers_scores_are_left_alone():
    scores = np.array([0.9, 0.1, 0.5])
    ScoreTable.of(scores)
    assert scores.tolist() == [0.9, 0.1, 0.5]


def test_the_lattice_is_fixed():
    cuts = lattice()
    assert cuts.size == 2047
    assert (np.diff(cuts) > 0).all()
    assert np.isin(np.arange(1, 1000) / 1000, cuts).all()
    # What is stored today is read on these cuts for ever: a sum of them pins the lattice.
    assert cuts.sum() == pytest.approx(1023.5, abs=1e-9)
    assert cuts[:524].sum() == pytest.approx(float(np.sort(cuts)[:524].sum()))
    assert cuts[100] == pytest.approx(1e-6 * (0.05 / 1e-6) ** (100 / 524), rel=1e-12)
