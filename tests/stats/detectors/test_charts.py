"""CUSUM and EWMA charts against published run lengths and their own recursions."""

from __future__ import annotations

import json

import numpy as np
import pytest

from watchkeeper.errors import BadInput
from watchkeeper.stats.detectors.cusum import CUSUM, mean_run_length
from watchkeeper.stats.detectors.ewma import EWMA


def cusum_by_recursion(z, k, h):
    high = low = 0.0
    out = []
    for i, x in enumerate(z):
        high, low = max(0.0, high + x - k), max(0.0, low - x - k)
        if max(high, low) > h:
            out.append(i)
            high = low = 0.0
    return out


def ewma_by_recursion(z, lam, limit, exact):
    level, n, out = 0.0, 0, []
    for i, x in enumerate(z):
        n += 1
        level = (1 - lam) * level + lam * x
        bound = limit * (lam / (2 - lam) * ((1 - (1 - lam) ** (2 * n)) if exact else 1)) ** 0.5
        if abs(level) > bound:
            out.append(i)
            level, n = 0.0, 0
    return out


@pytest.fixture
def values():
    rng = np.random.default_rng(5)
    return np.concatenate([rng.normal(size=5_000), rng.normal(0.7, 1, 3_000), rng.normal(size=4_000)])


def test_cusum_equals_the_recursion(values):
    assert CUSUM(target=0, sd=1).update_many(values)[1].tolist() == cusum_by_recursion(values, 0.5, 4.0)


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("lam", [0.05, 0.2, 1.0])
def test_ewma_equals_the_recursion(values, lam, exact):
    ours = EWMA(target=0, sd=1, smoothing=lam, exact_limits=exact).update_many(values)[1]
    assert ours.tolist() == ewma_by_recursion(values, lam, 2.962, exact)


@pytest.mark.parametrize(("h", "published"), [(4.0, 168.0), (5.0, 465.0)])
def test_cusum_has_the_published_run_length(h, published):
    """k = 0.5, two sides: Montgomery, Introduction to Statistical Quality Control, table 9.3 (168 and 465)."""
    values = np.random.default_rng(1).normal(size=int(3_000 * published))
    alarms = CUSUM(target=0, sd=1, h=h).update_many(values)[1]
    assert np.diff(alarms).mean() == pytest.approx(published, rel=0.07)
    assert mean_run_length(0.5, h) == pytest.approx(published, rel=0.02)


@pytest.mark.parametrize(("lam", "limit"), [(0.05, 2.615), (0.1, 2.814), (0.2, 2.962), (0.4, 3.054)])
def test_ewma_has_the_published_run_length(lam, limit):
    """Lucas and Saccucci 1990, table 3: these pairs have a mean run length of 500."""
    values = np.random.default_rng(2).normal(size=1_500_000)
    chart = EWMA(target=0, sd=1, smoothing=lam, limit=limit, exact_limits=False)
    assert np.diff(chart.update_many(values)[1]).mean() == pytest.approx(500, rel=0.06)


@pytest.mark.parametrize(
    "chart", [CUSUM(target=0.2, sd=2.0), EWMA(target=0.2, sd=2.0)], ids=["cusum", "ewma"]
)
@pytest.mark.parametrize("cut", [0, 1, 700, 6_000])
def test_a_saved_state_goes_on_as_if_nothing_happened(chart, values, cut):
    whole = chart.update_many(values)[1]
    first, early = chart.update_many(values[:cut])
    resumed = type(chart).of_payload(json.loads(json.dumps(first.to_payload())))
    assert [*early, *(resumed.update_many(values[cut:])[1] + cut)] == whole.tolist()


def test_nonsense_is_refused():
    with pytest.raises(BadInput, match="above 0"):
        CUSUM(target=0, sd=0)
    with pytest.raises(BadInput, match="smoothing"):
        EWMA(target=0, sd=1, smoothing=0)
