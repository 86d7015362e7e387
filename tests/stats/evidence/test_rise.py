"""A loss that rose is found in weeks; one that did not alarms no oftener than is stated."""

import numpy as np
import pytest

from watchkeeper.stats.evidence.rise import rise_of


def first_alarm(base, later, **rest):
    alarms = rise_of(base, later, **rest).alarms
    return alarms[0] + 1 if alarms else None


def test_a_lasting_rise_is_found_and_dated():
    rng = np.random.default_rng(1)
    base = 0.17 + 0.045 * rng.standard_normal(60)
    later = np.concatenate([0.17 + 0.045 * rng.standard_normal(40), 0.23 + 0.045 * rng.standard_normal(40)])
    at = first_alarm(base, later, mean_time=365)
    assert 40 < at <= 75
    assert abs(rise_of(base, later, mean_time=365).since - 40) <= 15


def test_an_alarm_ends_when_the_loss_is_usual_again():
    rng = np.random.default_rng(2)
    base = 0.17 + 0.02 * rng.standard_normal(60)
    bad, good = 0.25 + 0.02 * rng.standard_normal(30), 0.17 + 0.02 * rng.standard_normal(30)
    assert rise_of(base, bad, mean_time=365, matters=0.01).active
    assert not rise_of(base, np.concatenate([bad, good]), mean_time=365, matters=0.01).active


def test_a_rise_that_does_not_matter_raises_no_alarm():
    rng = np.random.default_rng(3)
    base = 0.2 + 0.002 * rng.standard_normal(60)
    later = 0.205 + 0.002 * rng.standard_normal(300)
    assert not rise_of(base, later, mean_time=365, matters=0.01).active


@pytest.mark.parametrize("base", [np.zeros(30), np.ones(30), np.full(30, 0.5)])
def test_a_loss_that_never_varies_harms_nothing(base):
    assert not rise_of(base, base, mean_time=365).active


@pytest.mark.slow
@pytest.mark.parametrize("noise", ["normal", "t3"])
def test_the_mean_time_between_false_alarms_is_at_least_what_is_stated(noise):
    """Runs of 600 windows over draws of the baseline, stated mean time 100; the mean is censored from above, so low."""
    rng = np.random.default_rng(4)
    times = []
    for _ in range(150):
        draw = rng.standard_normal(660) if noise == "normal" else rng.standard_t(3, 660)
        x = np.clip(0.2 + 0.04 * draw, 0, 1)
        times.append(first_alarm(x[:60], x[60:], mean_time=100) or 600)
    assert np.mean(times) >= 100
