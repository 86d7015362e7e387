"""Worlds have the drift that they say, and windows that differ as they say."""

from __future__ import annotations

import numpy as np
import pytest

from watchkeeper.errors import BadInput
from watchkeeper.testing.worlds import WORLDS, World

RANKS = (np.arange(20) + 0.5) / 20


@pytest.mark.parametrize("kind", WORLDS)
def test_windows_have_their_rows_and_no_drift(kind):
    counts = World(kind=kind, rows=200).counts(np.random.default_rng(1), columns=6, windows=400)
    assert counts.shape == (6, 400, 20)
    assert (counts.sum(-1) == 200).all()
    assert (counts @ RANKS / 200).mean() == pytest.approx(0.5, abs=0.012)


@pytest.mark.parametrize("kind", WORLDS)
def test_an_injected_shift_moves_the_mean_rank(kind):
    shift = np.where(np.arange(400) < 200, 0.0, 0.5)
    counts = World(kind=kind, rows=200).counts(np.random.default_rng(2), columns=4, windows=400, shift=shift)
    location = counts @ RANKS / 200
    assert location[:, :200].mean() == pytest.approx(0.5, abs=0.02)
    assert location[:, 200:].mean() == pytest.approx(0.638, abs=0.02)  # Phi(.5 / sqrt 2)


def test_day_effects_add_variation_between_windows():
    def spread(kind):
        return (
            World(kind=kind).counts(np.random.default_rng(3), columns=2, windows=2_000) @ RANKS / 500
        ).std()

    assert spread("iid") == pytest.approx(np.sqrt(1 / 12 / 500), rel=0.05)
    assert spread("day_normal") == pytest.approx(np.hypot(np.sqrt(1 / 12 / 500), 0.0282), rel=0.08)
    assert spread("ar1_rows") > 3 * spread("iid")


def test_columns_and_windows_are_correlated_where_said():
    shared = World(kind="correlated_columns", rows=2_000).counts(
        np.random.default_rng(4), columns=4, windows=500
    )
    location = shared @ RANKS
    assert np.corrcoef(location[0], location[2])[0, 1] > 0.6
    assert (shared[0] == shared[1]).all()
    chain = World(kind="correlated_windows", rows=2_000).counts(
        np.random.default_rng(5), columns=4, windows=900
    )
    location = chain @ RANKS
    assert np.corrcoef(location[0, 1:], location[0, :-1])[0, 1] == pytest.approx(0.57, abs=0.1)


def test_the_same_seed_gives_the_same_world_and_an_unknown_one_is_refused():
    a, b = (World(kind="day_t3").counts(np.random.default_rng(6), columns=2, windows=5) for _ in range(2))
    assert (a == b).all()
    with pytest.raises(BadInput, match="Did you mean 'iid'"):
        World(kind="iidd")
