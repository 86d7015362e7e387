"""Confidence sequences: closed forms, and the share of runs whose every interval holds the truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import beta, binom

from watchkeeper.errors import BadInput
from watchkeeper.stats.evidence.confidence_sequences import (
    asymptotic_difference,
    asymptotic_half_width,
    asymptotic_mean,
    betting_mean,
    bounded_mean,
    difference,
    proportion,
    quantile,
    tightest_rho,
)

RUNS = 300
ALLOWED = 0.05 + 2.5 * np.sqrt(0.05 * 0.95 / RUNS)


@pytest.mark.parametrize(("s", "n"), [(0, 10), (3, 10), (30, 100), (100, 100), (0, 0)])
def test_a_proportions_ends_solve_the_mixture_equation(s, n):
    low, high = proportion(s, n)
    assert 0 <= low <= high <= 1

    def ratio(p):
        prior = beta(0.5, 0.5)
        mixture = quad(lambda q: q**s * (1 - q) ** (n - s) * prior.pdf(q), 0, 1)[0]
        return mixture / (p**s * (1 - p) ** (n - s))

    for end in (float(low), float(high)):
        if 0 < end < 1:
            assert ratio(end) == pytest.approx(20, rel=1e-3)


def test_a_proportion_holds_at_all_times():
    rng = np.random.default_rng(1)
    n = np.arange(1, 2_001)
    missed = 0
    for _ in range(RUNS):
        low, high = proportion(np.cumsum(rng.random(2_000) < 0.3), n)
        missed += ((low > 0.3) | (high < 0.3)).any()
    assert missed / RUNS < ALLOWED


def test_a_fixed_interval_read_at_all_times_does_not_hold():
    """Why any of this is needed: Wald's 95% interval, looked at after every row."""
    rng = np.random.default_rng(1)
    n = np.arange(1, 2_001)
    missed = 0
    for _ in range(RUNS):
        share = np.cumsum(rng.random(2_000) < 0.3) / n
        half = 1.96 * np.sqrt(share * (1 - share) / n)
        missed += (np.abs(share - 0.3)[50:] > half[50:]).any()
    assert missed / RUNS > 0.3


@pytest.mark.parametrize("shape", [(1, 9), (5, 5)])
def test_bounded_means_hold_at_all_times_and_narrow(shape):
    rng = np.random.default_rng(2)
    truth, missed, missed_bet, narrower = shape[0] / sum(shape), 0, 0, 0
    for run in range(RUNS):
        x = rng.beta(*shape, 800)
        low, high = bounded_mean(x)
        missed += ((low > truth) | (high < truth)).any()
        assert (np.diff(high - low) <= 1e-12).all()
        if run < 40:
            a, b = betting_mean(x, grid=200)
            missed_bet += not a <= truth <= b
            narrower += b - a < high[-1] - low[-1] + 0.012
    assert missed / RUNS < ALLOWED
    assert missed_bet <= 4
    assert narrower >= 36


@pytest.mark.parametrize("q", [0.1, 0.5, 0.95])
@pytest.mark.parametrize("discrete", [False, True])
def test_quantiles_hold_at_all_times(q, discrete):
    rng = np.random.default_rng(3)
    truth = float(binom.ppf(q, 10, 0.4)) if discrete else -np.log(1 - q)
    missed = 0
    for _ in range(100):
        x = rng.binomial(10, 0.4, 3_000).astype(float) if discrete else rng.exponential(size=3_000)
        missed += any(
            not low <= truth <= high
            for low, high in (quantile(x[:n], q) for n in (10, 30, 100, 300, 1_000, 3_000))
        )
    assert missed <= 5


def test_quantiles_of_few_values_are_unbounded():
    assert quantile(np.arange(5.0), 0.5) == (-np.inf, np.inf)
    low, high = quantile(np.arange(2_000.0), 0.999)
    assert low > 0
    assert high == np.inf


def test_asymptotic_width_is_the_formula():
    n, rho, alpha, sd = 777, 0.04, 0.05, 2.0
    expected = sd * np.sqrt(2 * (n * rho**2 + 1) / (n**2 * rho**2) * np.log(np.sqrt(n * rho**2 + 1) / alpha))
    assert asymptotic_half_width(n, sd, alpha=alpha, rho=rho) == pytest.approx(expected)


def test_asymptotic_width_is_nearly_least_where_it_was_tuned():
    widths = [float(asymptotic_half_width(5_000, 1, rho=r)) for r in np.geomspace(0.005, 0.3, 200)]
    assert float(asymptotic_half_width(5_000, 1, rho=tightest_rho(5_000))) < 1.005 * min(widths)


def test_asymptotic_means_hold_from_a_few_hundred_on():
    rng = np.random.default_rng(4)
    missed = missed_difference = 0
    for _ in range(RUNS):
        x, y = rng.exponential(size=(2, 4_000))
        low, high = asymptotic_mean(x)
        missed += ((low > 1) | (high < 1))[300:].any()
        n = np.arange(1, 4_001)
        moments = [(np.cumsum(v) / n, np.cumsum(v**2) / n - (np.cumsum(v) / n) ** 2, n) for v in (x, y)]
        low, high = asymptotic_difference(*moments[0], *moments[1])
        missed_difference += ((low > 0) | (high < 0))[300:].any()
    assert missed / RUNS < ALLOWED
    assert missed_difference / RUNS < ALLOWED


def test_a_difference_is_the_union_of_two():
    a, b = proportion(30, 100, alpha=0.025), proportion(50, 100, alpha=0.025)
    low, high = difference(a, b)
    assert (low, high) == (a[0] - b[1], a[1] - b[0])


def test_nonsense_is_refused():
    with pytest.raises(BadInput, match="alpha"):
        proportion(1, 2, alpha=0)
    with pytest.raises(BadInput, match="quantile"):
        quantile(np.arange(5.0), 1.0)
    with pytest.raises(BadInput, match="more successes"):
        proportion(3, 2)
    with pytest.raises(BadInput, match="bounded"):
        bounded_mean(np.array([2.0]))
