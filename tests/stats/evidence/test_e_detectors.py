"""e-SR, e-CUSUM and the ever-test: array form against the recursion, resuming, restarts, promises."""

from __future__ import annotations

import json
from math import inf

import numpy as np
import pytest

from watchkeeper.errors import BadInput
from watchkeeper.stats.evidence.e_cusum import ECUSUM
from watchkeeper.stats.evidence.e_detector import FRACTIONS
from watchkeeper.stats.evidence.e_sr import ESR
from watchkeeper.stats.evidence.ever_test import EverTest
from watchkeeper.stats.evidence.levels import upper_mean, upper_rate

BOTH = pytest.mark.parametrize("detector", [ESR, ECUSUM])


def by_recursion(detector, losses, level, alpha):
    """Loss by loss, as the papers write it, with a restart after each alarm."""
    stakes = [f / level for f in FRACTIONS]
    m, alarms, path = [0.0] * len(stakes), [], []
    for t, x in enumerate(losses):
        for i, stake in enumerate(stakes):
            bet = 1 + stake * (x - level)
            m[i] = (m[i] + 1) * bet if detector is ESR else max(m[i], 1) * bet
        path.append(sum(m) / len(m))
        if path[-1] >= 1 / alpha:
            alarms.append(t)
            m = [0.0] * len(stakes)
    return alarms, path


@BOTH
@pytest.mark.parametrize(("rate", "level"), [(0.1, 0.1), (0.3, 0.1), (0.9, 0.01), (0.0, 0.2), (1.0, 0.5)])
def test_alarms_equal_the_recursion(detector, rate, level):
    rng = np.random.default_rng(4)
    losses = (rng.random(6_000) < rate).astype(float)
    expected, _ = by_recursion(detector, losses, level, 1e-3)
    state, alarms = detector(level=level).update_many(losses)
    assert alarms.tolist() == expected
    assert state.alarms == len(expected)


@BOTH
def test_the_path_equals_the_recursion_over_many_blocks(detector):
    rng = np.random.default_rng(6)
    losses = rng.beta(1, 9, 40_000)
    _, expected = by_recursion(detector, losses, 0.12, 1e-300)
    np.testing.assert_allclose(detector(level=0.12).path(losses), expected, rtol=1e-9)


@BOTH
@pytest.mark.parametrize("cut", [0, 1, 999, 5_000])
def test_a_saved_state_goes_on_as_if_nothing_happened(detector, cut):
    rng = np.random.default_rng(9)
    losses = rng.random(5_000) ** 3
    whole, alarms = detector(level=0.2).update_many(losses)
    first, early = detector(level=0.2).update_many(losses[:cut])
    resumed = detector.of_payload(json.loads(json.dumps(first.to_payload())))
    last, late = resumed.update_many(losses[cut:])
    assert [*early, *(late + cut)] == alarms.tolist()
    np.testing.assert_allclose(last.capital, whole.capital, rtol=1e-9)
    assert (last.seen, last.alarms, last.since_alarm) == (whole.seen, whole.alarms, whole.since_alarm)


@BOTH
def test_a_loss_outside_the_unit_interval_is_refused(detector):
    for bad in (1.5, -0.1, np.nan):
        with pytest.raises(BadInput, match="bounded losses"):
            detector(level=0.1).update(bad)


def test_the_words_name_the_unit_and_the_mean_time():
    state = ESR(level=0.1, alpha=1 / 1000, delta=0.025)
    assert state.mean_time == pytest.approx(975)
    assert state.guarantee == "a false alarm at most every 975 windows on average"
    assert "declared" in ESR(level=0.1, independent_rows=True).assumption


def test_a_change_is_found_soon_and_e_sr_is_the_faster():
    """The setting of the reference simulation: 0.1 to 0.2, mean time 1,000; delays near 79 and 144."""
    rng = np.random.default_rng(0)
    delays = {ESR: [], ECUSUM: []}
    for _ in range(300):
        losses = (rng.random(3_000) < 0.2).astype(float)
        for detector, found in delays.items():
            found.append(int(np.argmax(detector(level=0.1).path(losses) >= 1000)) + 1)
    assert np.mean(delays[ESR]) < 100
    assert np.mean(delays[ESR]) < np.mean(delays[ECUSUM]) < 180


class TestEverTest:
    def test_equals_the_products(self):
        rng = np.random.default_rng(1)
        x = rng.random(500)
        expected = np.mean([np.prod(1 + f / 0.6 * (x - 0.6)) for f in FRACTIONS])
        state, _ = EverTest(level=0.6).update_many(x)
        assert np.exp(state.log_value) == pytest.approx(expected, rel=1e-9)

    def test_is_wrong_ever_at_most_as_often_as_said(self):
        rng = np.random.default_rng(2)
        wrong = sum(
            EverTest(level=0.1).update_many((rng.random(5_000) < 0.1).astype(float))[1] is not None
            for _ in range(400)
        )
        assert wrong / 400 < 0.05 + 2 * np.sqrt(0.05 * 0.95 / 400)
        assert wrong > 0

    def test_resumes_and_the_decision_stays(self):
        losses = np.r_[np.ones(30), np.zeros(400)]
        whole, first = EverTest(level=0.2).update_many(losses)
        half, _ = EverTest(level=0.2).update_many(losses[:3])
        resumed, _ = EverTest.of_payload(json.loads(json.dumps(half.to_payload()))).update_many(losses[3:])
        assert whole.rejected_at == resumed.rejected_at == first + 1
        np.testing.assert_allclose(resumed.log_capital, whole.log_capital)


class TestLevels:
    def test_upper_rate_is_clopper_and_pearsons(self):
        from scipy.stats import beta

        assert upper_rate(7, 90, delta=0.025) == pytest.approx(beta.ppf(0.975, 8, 83))
        assert 0 < upper_rate(0, 50) < 0.1

    @pytest.mark.parametrize("shape", [(1, 9), (0.2, 1.8), (5, 5)])
    def test_upper_mean_covers(self, shape):
        rng = np.random.default_rng(3)
        truth = shape[0] / sum(shape)
        bounds = np.array([upper_mean(rng.beta(*shape, 200)) for _ in range(400)])
        assert (bounds >= truth).mean() > 0.96
        assert bounds.mean() < truth + 0.15

    def test_upper_mean_of_nothing_knows_nothing(self):
        assert upper_mean(np.zeros(0)) == 1.0
        assert upper_mean(np.zeros(0)) < inf
