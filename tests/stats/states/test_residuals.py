"""Sums and quantiles of errors, against scikit-learn and numpy on all rows."""

import numpy as np
import pytest
from sklearn import metrics

from watchkeeper.errors import BadInput
from watchkeeper.stats.states.residuals import LARGEST, Residuals


def predicted_and_actual(rows=5_000, scale=10.0, offset=100.0, seed=0):
    rng = np.random.default_rng(seed)
    actual = rng.normal(offset, scale, rows)
    return actual + rng.standard_t(4, rows) * scale / 5 + scale / 20, actual


def in_parts(predicted, actual, parts=9):
    whole = Residuals.empty()
    for i in range(parts):
        whole = whole.merge(Residuals.of(predicted[i::parts], actual[i::parts]))
    return whole


@pytest.mark.parametrize("offset", [0.0, 100.0, 1e7])
def test_means_agree_with_scikit_learn_however_the_rows_were_cut(offset):
    predicted, actual = predicted_and_actual(offset=offset)
    found = in_parts(predicted, actual)
    assert found.mse == pytest.approx(metrics.mean_squared_error(actual, predicted), rel=1e-10)
    assert found.mae == pytest.approx(metrics.mean_absolute_error(actual, predicted), rel=1e-10)
    assert found.r2 == pytest.approx(metrics.r2_score(actual, predicted), rel=1e-10)
    assert found.percentage.mean == pytest.approx(
        metrics.mean_absolute_percentage_error(actual, predicted), rel=1e-9
    )


def test_comoments_are_what_they_say_on_all_rows():
    predicted, actual = predicted_and_actual()
    found = in_parts(predicted, actual)
    square, away = (predicted - actual) ** 2, actual - actual.mean()
    assert found.variance_of_square == pytest.approx(square.var(), rel=1e-9)
    assert found.square_by_outcome == pytest.approx(((square - square.mean()) * away).sum(), rel=1e-8)
    spread = away**2
    expected = ((square - square.mean()) * (spread - spread.mean())).sum()
    assert found.square_by_spread == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e9])
@pytest.mark.parametrize("rows", [1, 2, 37, 5_000])
def test_quantiles_lie_within_their_bound(scale, rows):
    predicted, actual = predicted_and_actual(rows=rows, scale=scale, offset=0.0)
    found, error = Residuals.of(predicted, actual), predicted - actual
    for q in (0.0, 0.05, 0.25, 0.5, 0.9, 1.0):
        value, bound = found.quantile(q)
        assert abs(value - np.quantile(error, q)) <= bound + 1e-12 * scale
        assert bound <= max(0.0101 * np.abs(error).max(), 1e-9)
        value, bound = found.absolute_quantile(q)
        assert abs(value - np.quantile(np.abs(error), q)) <= bound + 1e-12 * scale


def test_a_perfect_model_has_no_error():
    found = Residuals.of([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    assert (found.mse, found.r2, found.quantile(0.5), found.absolute_quantile(0.5)) == (0, 1, (0, 0), (0, 0))


def test_errors_beyond_the_lattice_are_not_hidden():
    value, bound = Residuals.of([0.0, 1e20], [0.0, 0.0]).quantile(1.0)
    assert value > LARGEST / 2
    assert value + bound >= 1e20


def test_outcomes_of_zero_are_left_out_of_the_percentage_only():
    found = Residuals.of([1.0, 3.0], [0.0, 2.0])
    assert (found.percentage.n, found.percentage.mean) == (1, 0.5)
    assert found.symmetric.mean == pytest.approx((2.0 + 2 * 1 / 5) / 2)


def test_rows_that_cannot_be_used_are_counted_by_name():
    found = Residuals.of(
        [1.0, 2.0, np.nan, 4.0],
        [1.0, 2.0, 3.0, np.inf],
        labelled=np.array([True, False, True, True]),
        valid=np.array([False, True, True, True]),
    )
    assert (found.n, found.unlabelled, found.unpredicted, found.nonfinite) == (0, 1, 1, 2)


def test_sides_of_different_length_are_refused():
    with pytest.raises(BadInput, match="3 outcomes, but 2"):
        Residuals.of([1, 2], [1, 2, 3])
