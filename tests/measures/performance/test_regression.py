"""Regression measures against scikit-learn, and how often their intervals cover."""

import numpy as np
import pytest
from sklearn import metrics

from watchkeeper.measures.performance.error_quantiles import error_quantiles, median_absolute_error
from watchkeeper.measures.performance.mean_errors import bias, mae, mse, rmse
from watchkeeper.measures.performance.percentage_errors import mape, smape
from watchkeeper.measures.performance.r2 import r2
from watchkeeper.stats.states.residuals import Residuals

SKLEARN = {
    mse: metrics.mean_squared_error,
    rmse: metrics.root_mean_squared_error,
    mae: metrics.mean_absolute_error,
    bias: lambda y, p: np.mean(p - y),
    mape: metrics.mean_absolute_percentage_error,
    smape: lambda y, p: np.mean(2 * abs(y - p) / (abs(y) + abs(p))),
    r2: metrics.r2_score,
    median_absolute_error: metrics.median_absolute_error,
}


def predicted(rows=2_000, seed=0):
    """Errors are larger where the outcome is: what makes naive intervals of R2 fail."""
    rng = np.random.default_rng(seed)
    actual = rng.gamma(4, 5, rows) + 1
    return actual + rng.normal(0.3, 1, rows) * np.sqrt(actual), actual


@pytest.mark.parametrize("measure", SKLEARN, ids=lambda f: f.__name__)
class TestEveryMeasure:
    @pytest.mark.known_answer(
        "mse",
        "rmse",
        "mae",
        "bias",
        "mape",
        "smape",
        "r2",
        "median_absolute_error",
        source="scikit-learn on the rows; bias and sMAPE, which it lacks, by numpy",
    )
    def test_it_agrees_with_scikit_learn(self, measure):
        guess, actual = predicted()
        found = measure(Residuals.of(guess, actual))
        assert abs(found.value - SKLEARN[measure](actual, guess)) <= found.bound + 1e-9
        assert found.interval.low < found.value < found.interval.high

    def test_no_outcome_is_a_reason(self, measure):
        found = measure(Residuals.of([1.0], [1.0], labelled=np.array([False])))
        assert found.value is None
        assert "outcome" in found.reason

    def test_one_row_is_no_error(self, measure):
        found = measure(Residuals.of([1.0], [2.0]))
        assert found.value is not None or found.reason

    @pytest.mark.slow
    def test_its_interval_holds_the_truth(self, measure):
        guess, actual = predicted(2_000_000, seed=77)
        target = SKLEARN[measure](actual, guess)
        hits = 0
        for seed in range(1_000):
            found = measure(Residuals.of(*predicted(300, seed=1_000 + seed))).interval
            hits += found.low <= target <= found.high
        assert 0.92 <= hits / 1_000 <= 0.985


@pytest.mark.known_answer("error_quantiles", source="numpy.quantile of the errors")
def test_quantiles_of_errors_bracket_the_truth():
    guess, actual = predicted(20_000)
    for found in error_quantiles(Residuals.of(guess, actual)):
        truth = np.quantile(np.abs(guess - actual), found.details["quantile"])
        assert abs(found.value - truth) <= found.bound
        assert found.interval.low <= truth <= found.interval.high


def test_a_quantile_that_few_rows_reach_has_no_upper_end():
    assert error_quantiles(Residuals.of([1.0, 2.0, 4.0], [0.0, 0.0, 0.0]))[2].interval.high == np.inf


def test_a_constant_outcome_has_no_r2():
    assert "same number" in r2(Residuals.of([1.0, 2.0], [3.0, 3.0])).reason


def test_outcomes_of_zero_are_said():
    assert mape(Residuals.of([1.0, 3.0], [0.0, 2.0])).details == {"outcomes_of_zero": 1}
    assert mape(Residuals.of([1.0], [0.0])).reason == "Every outcome is zero."
