"""e-SR and e-CUSUM keep the mean time between false alarms that they state, over draws of the baseline."""

from __future__ import annotations

import numpy as np
import pytest

from sizes import sizes
from watchkeeper.stats.evidence.e_cusum import ECUSUM
from watchkeeper.stats.evidence.e_sr import ESR
from watchkeeper.stats.evidence.levels import upper_mean, upper_rate

pytestmark = pytest.mark.slow

RATE, ALPHA, HORIZON = 0.1, 1 / 1000, 1_000_000


def mean_time(alarms, rows):
    """Mean time to an alarm of a detector that begins again after each (censored time counts as lived)."""
    return rows / max(len(alarms), 1)


@pytest.mark.parametrize("detector", [ESR, ECUSUM])
def test_a_known_level(detector):
    losses = (np.random.default_rng(1).random(HORIZON) < RATE).astype(float)
    _, alarms = detector(level=RATE, alpha=ALPHA).update_many(losses)
    print(f"\n{detector.name}: known level, mean time {mean_time(alarms, HORIZON):,.0f} (stated 1,000)")
    assert mean_time(alarms, HORIZON) >= 1 / ALPHA


@sizes("draws", small=40, full=120)
@pytest.mark.parametrize("rows", [500, 10_000])
def test_an_estimated_level_over_draws_of_the_baseline(rows, draws):
    """The stated time holds on all but delta of baselines, and so on average; the plug-in does not."""
    rng = np.random.default_rng(2)
    horizon = 60_000
    kept, plugged = [], []
    for _ in range(draws):
        errors = rng.binomial(rows, RATE)
        losses = (rng.random(horizon) < RATE).astype(float)
        state = ESR(level=upper_rate(errors, rows, delta=0.025), alpha=ALPHA, delta=0.025)
        kept.append(mean_time(state.update_many(losses)[1], horizon))
        plugged.append(mean_time(ESR(level=errors / rows, alpha=ALPHA).update_many(losses)[1], horizon))
    short = np.mean(np.array(kept) < 0.9 * state.mean_time)
    print(
        f"\nn0 {rows}: mean {np.mean(kept):,.0f}, unluckiest 5% {np.percentile(kept, 5):,.0f}, "
        f"below what is stated {short:.3f}; plug-in {np.percentile(plugged, 5):,.0f}"
    )
    assert np.mean(kept) >= state.mean_time
    assert short <= 0.025 + 3 * np.sqrt(0.025 * 0.975 / draws)
    if rows == 500:
        assert np.percentile(plugged, 5) < 0.7 / ALPHA


def test_windows_as_the_unit_survive_day_effects_and_rows_do_not():
    """Daily error rates vary (sd .03): betting window by window holds, betting row by row does not."""
    rng = np.random.default_rng(3)
    days, rows = 20_000, 200
    rates = np.clip(RATE + 0.03 * rng.normal(size=days), 0, 1)
    counts = rng.binomial(rows, rates)
    level = upper_mean(np.clip(RATE + 0.03 * rng.normal(size=400), 0, 1))
    _, by_window = ESR(level=level, alpha=ALPHA).update_many(counts / rows)
    first = counts[:2_000]
    row_losses = np.concatenate([rng.permutation(np.arange(rows) < k) for k in first]).astype(float)
    row_level = upper_rate(RATE * 100_000, 100_000)
    _, by_row = ESR(level=row_level, alpha=1 / 100_000, independent_rows=True).update_many(row_losses)
    print(
        f"\nby window: {len(by_window)} alarms in {days} days; by row (stated 1 in 100,000 rows): {len(by_row)} in 400,000"
    )
    assert mean_time(by_window, days) >= 1 / ALPHA
    assert len(by_row) > 10 * len(row_losses) / 100_000


@pytest.mark.parametrize("noise", ["normal", "t3"])
def test_windows_with_day_effects_over_draws_of_the_baseline(noise):
    """The default unit: mean losses of windows whose rate differs from day to day, the level from 60 of them."""
    rng = np.random.default_rng(5)
    draws, days, alpha = 200, 4_000, 1 / 200
    times = []
    for _ in range(draws):
        effect = (
            rng.normal(size=days + 60) if noise == "normal" else rng.standard_t(3, days + 60) / np.sqrt(3)
        )
        rates = rng.binomial(200, np.clip(RATE + 0.03 * effect, 0, 1)) / 200
        state = ESR(level=upper_mean(rates[:60], delta=0.025), alpha=alpha, delta=0.025)
        times.append(mean_time(state.update_many(rates[60:])[1], days))
    print(
        f"\n{noise}: windows, mean time {np.mean(times):,.0f}, unluckiest 5% {np.percentile(times, 5):,.0f}"
    )
    assert np.mean(times) >= state.mean_time
    assert np.mean(np.array(times) < state.mean_time) <= 0.025 + 3 * np.sqrt(0.025 * 0.975 / draws)
