"""Forecasts: right where the answer is known, honest where it is not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import theilslopes

from watchkeeper.errors import BadInput
from watchkeeper.stats.forecasting import METHODS, forecast, holt, rolling_errors, theil_sen, time_to_breach


@pytest.mark.parametrize("seed", range(5))
def test_theil_sen_is_scipys(seed):
    y = np.random.default_rng(seed).normal(size=31) + 0.3 * np.arange(31)
    slope, level = theil_sen(y)
    theirs = theilslopes(y, method="joint")
    assert slope == pytest.approx(theirs.slope)
    assert level == pytest.approx(theirs.intercept + theirs.slope * 30)


@pytest.mark.parametrize("damped", [False, True])
def test_holt_is_statsmodels(damped):
    statsmodels = pytest.importorskip("statsmodels.tsa.api")
    y = np.random.default_rng(3).normal(size=40).cumsum() + 50
    phi = 0.9 if damped else 1.0
    # Theirs smooths the first value too, from a start before it: begin so that both stand at the same place.
    fit = statsmodels.Holt(
        y[1:],
        damped_trend=damped,
        initialization_method="known",
        initial_level=y[0],
        initial_trend=y[1] - y[0],
    ).fit(smoothing_level=0.3, smoothing_trend=0.2, damping_trend=phi if damped else None, optimized=False)
    level, trend, error = holt(y, 0.3, 0.2, phi)
    assert level == pytest.approx(fit.level[-1])
    assert trend == pytest.approx(fit.trend[-1])
    assert error == pytest.approx(np.abs(fit.resid).mean())


@pytest.mark.parametrize(
    ("method", "ahead"), [("naive", [9, 9, 9]), ("trend", [10, 11, 12]), ("holt", [10, 11, 12])]
)
def test_a_line_goes_on(method, ahead):
    got = METHODS[method](np.arange(10.0), 3, 1)
    assert got == pytest.approx(ahead)


def test_a_season_comes_again():
    y = np.tile([1.0, 2.0, 5.0], 10) + 0.1 * np.arange(30)
    made = forecast(y, steps=6, period=3)
    assert made.trusted
    assert made.mean == pytest.approx(np.tile([1.0, 2.0, 5.0], 2) + 0.1 * np.arange(30, 36), abs=1e-6)


def test_nothing_of_the_future_is_used():
    y = np.random.default_rng(0).normal(size=40).cumsum()
    changed = y.copy()
    changed[30:] += 100
    for method in METHODS:
        one, other = (rolling_errors(v, method, steps=1, period=5, first=15) for v in (y, changed))
        assert np.array_equal(one[:15], other[:15])


def test_intervals_hold_what_they_should_on_trends():
    held = total = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        y = 0.02 * np.arange(107) + 0.1 * rng.normal(size=107)
        made = forecast(y[:100], steps=7)
        held += int(((y[100:] >= made.low) & (y[100:] <= made.high)).sum())
        total += 7
    assert 0.92 <= held / total <= 0.999


def test_a_random_walk_is_hardly_ever_trusted():
    trusted = 0
    for seed in range(100):
        y = np.random.default_rng(seed).normal(size=80).cumsum()
        trusted += forecast(y, steps=7).trusted
    assert trusted <= 15


def test_intervals_never_narrow_further_out():
    made = forecast(np.random.default_rng(1).normal(size=60).cumsum(), steps=10)
    assert (np.diff(made.high - made.mean) >= -1e-12).all()
    assert (np.diff(made.mean - made.low) >= -1e-12).all()


@pytest.mark.parametrize("wrong", [[], [1.0] * 7, [1.0] * 9 + [np.nan]])
def test_too_little_is_refused(wrong):
    with pytest.raises(BadInput):
        forecast(wrong, steps=1)


def test_a_breach_is_found_on_either_side():
    path = np.array([0.5, 0.6, 0.4])
    assert time_to_breach(path, above=0.55) == 2
    assert time_to_breach(path, below=0.45) == 3
    assert time_to_breach(path, above=0.9, below=0.1) is None


def test_an_unknown_method_is_told_the_nearest():
    with pytest.raises(BadInput, match="Did you mean 'holt'"):
        rolling_errors([1.0] * 10, "hollt", steps=1)
