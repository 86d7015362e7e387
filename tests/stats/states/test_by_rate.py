"""Sampled capture: whole counts by rate, an unbiased estimate, and an honest sample size."""

import numpy as np
import pytest

from watchkeeper.errors import BadInput
from watchkeeper.stats.states.by_rate import ByRate
from watchkeeper.stats.states.distinct import Distinct
from watchkeeper.stats.states.frequencies import Frequencies
from watchkeeper.stats.states.moments import Moments

RNG = np.random.default_rng(5)


def test_counts_stay_whole_and_the_estimate_has_no_bias():
    day, night = RNG.normal(0, 1, 40_000), RNG.normal(5, 1, 10_000)
    kept = day[RNG.random(40_000) < 0.1]
    both = ByRate.of(Moments.of(kept), rate=0.1).merge(ByRate.of(Moments.of(night)))
    assert both.states[0.1].n == len(kept)
    whole = both.estimate()
    assert whole.n == pytest.approx(50_000, rel=0.02)
    assert whole.mean == pytest.approx(np.concatenate([day, night]).mean(), abs=0.05)


def test_the_effective_size_predicts_the_error_of_the_mean():
    """Kish's size against simulation: the variance of the weighted mean is sd^2 / n_effective."""
    means, sizes = [], []
    for _ in range(400):
        parts = ByRate.of(Moments.of(RNG.normal(size=200)), rate=0.05).merge(
            ByRate.of(Moments.of(RNG.normal(size=1000)))
        )
        means.append(parts.estimate().mean)
        sizes.append(parts.n_effective)
    assert np.var(means) * sizes[0] == pytest.approx(1.0, rel=0.25)
    assert sizes[0] < 200 * 1.6


def test_with_one_rate_nothing_is_gained_or_lost():
    part = ByRate.of(Frequencies.of_counts({"a": 30}), rate=0.25)
    assert part.n_effective == pytest.approx(30)
    assert part.rows == 30
    assert not part.accuracy.exact
    assert ByRate.of(Frequencies.of_counts({"a": 30})).accuracy.exact


def test_states_without_rows_have_no_effective_size():
    assert np.isnan(ByRate.of(Distinct.empty()).n_effective)


@pytest.mark.parametrize("rate", [0, -1, 1.5])
def test_a_rate_out_of_range_is_refused(rate):
    with pytest.raises(BadInput, match="sampling rate"):
        ByRate.of(Moments.empty(), rate=rate)


def test_nothing_captured_has_no_estimate():
    assert ByRate.empty().n_effective == 0
    with pytest.raises(BadInput, match="Nothing was captured"):
        ByRate.empty().estimate()
