"""Moments against scipy, and against exact fractions where doubles are hard pressed."""

from fractions import Fraction

import numpy as np
import pytest
from scipy import stats as sps

from watchkeeper.stats.states.moments import Moments

RNG = np.random.default_rng(3)


@pytest.mark.parametrize(
    "x",
    [
        RNG.normal(size=50_001),
        RNG.lognormal(sigma=1.5, size=20_000),
        RNG.uniform(-1, 1, 3) * 1e-9,
        RNG.normal(1e6, 3.0, 30_000),
        RNG.integers(0, 2, 10_000),
    ],
    ids=["normal", "lognormal", "tiny", "far from zero", "flags"],
)
@pytest.mark.parametrize("parts", [1, 7])
def test_they_agree_with_scipy(x, parts):
    m = Moments.empty()
    for part in np.array_split(x, parts):
        m = m.merge(Moments.of(part))
    assert m.n == len(x)
    assert m.mean == pytest.approx(np.mean(x), rel=1e-12, abs=1e-15)
    assert m.variance() == pytest.approx(np.var(x), rel=1e-12)
    assert m.variance(1) == pytest.approx(np.var(x, ddof=1), rel=1e-12)
    assert m.skewness == pytest.approx(sps.skew(x), rel=1e-9, abs=1e-11)
    assert m.kurtosis == pytest.approx(sps.kurtosis(x), rel=1e-9, abs=1e-10)
    assert (m.min, m.max) == (x.min(), x.max())
    assert m.sum == pytest.approx(x.sum(), rel=1e-12, abs=1e-9)


@pytest.mark.parametrize(
    "x",
    [
        RNG.normal(size=20_001),
        np.r_[RNG.normal(size=50), np.nan, np.inf, -np.inf, np.nan],
        1e9 + RNG.integers(0, 10, 50_000),
        np.full(3, 1e308),
        np.array([np.nan, np.inf]),
        np.array([]),
    ],
    ids=["normal", "not finite", "far from zero", "huge", "nothing finite", "empty"],
)
def test_sorted_values_and_counted_values_give_the_same(x):
    plain = Moments.of(x)
    for m in (
        Moments.of_sorted(np.sort(x)),
        Moments.of_counts(*np.unique(x[np.isfinite(x)], return_counts=True)),
    ):
        assert (m.n, m.min, m.max) == (plain.n, plain.min, plain.max)
        for name in ("mean", "sd", "skewness", "kurtosis"):
            assert getattr(m, name) == pytest.approx(getattr(plain, name), rel=1e-9, abs=1e-12, nan_ok=True)


def test_a_large_mean_does_not_drown_a_small_variance():
    x = 1e9 + RNG.integers(0, 10, 100_000)
    exact = [Fraction(int(v)) for v in x]
    mean = sum(exact) / len(exact)
    variance = float(sum((v - mean) ** 2 for v in exact) / len(exact))
    merged = Moments.of(x[:300]).merge(Moments.of(x[300:]))
    for m in (Moments.of(x), merged):
        assert m.variance() == pytest.approx(variance, rel=1e-12)


def test_what_is_not_finite_is_left_out():
    m = Moments.of([1.0, np.nan, 3.0, np.inf, -np.inf])
    assert (m.n, m.mean, m.variance()) == (2, 2.0, 1.0)


def test_a_sum_that_overflows_is_not_taken_for_infinities():
    m = Moments.of([1e308, 1e308, 1e308])
    assert (m.n, m.min, m.max) == (3, 1e308, 1e308)
    assert m.mean == pytest.approx(1e308)


def test_nothing_and_one_value():
    empty = Moments.empty()
    assert np.isnan([empty.mean, empty.variance(), empty.sd, empty.skewness, empty.kurtosis]).all()
    assert empty.sum == 0.0
    one = Moments.of([5.0])
    assert (one.mean, one.variance(), one.min, one.max) == (5.0, 0.0, 5.0, 5.0)
    assert np.isnan([one.variance(1), one.skewness, one.kurtosis]).all()


def test_scaling_keeps_mean_and_shape():
    x = RNG.gamma(2.0, size=1000)
    m = Moments.of(x)
    s = m.scaled(10)
    assert s.n == 10_000
    assert (s.mean, s.sd) == pytest.approx((m.mean, m.sd))
    assert (s.skewness, s.kurtosis) == pytest.approx((m.skewness, m.kurtosis))
