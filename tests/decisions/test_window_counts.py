"""A window is counted the same at every resolution: otherwise new windows look drifted beside a coarse baseline."""

from __future__ import annotations

import numpy as np
import pytest

from watchkeeper.decisions.rules.window_counts import Binning
from watchkeeper.domain.schema import Column, Kind, Schema
from watchkeeper.domain.values import Values
from watchkeeper.errors import Incompatible
from watchkeeper.stats.states.accumulator import profile_columns
from watchkeeper.stats.states.edges import Edges
from watchkeeper.stats.states.profile import Profile
from watchkeeper.stats.states.profile_plan import ProfilePlan

SCHEMA = Schema(columns=(Column(name="x", kind=Kind.NUMERIC),))


def profile(x, edges: Edges) -> Profile:
    values = {"x": Values(kind=Kind.NUMERIC, data=np.asarray(x, dtype=float), valid=None, rows=len(x))}
    return profile_columns(values, ProfilePlan(schema=SCHEMA, edges={"x": edges}, sample_k=0))


DRAWS = {
    "normal": lambda rng, n: rng.normal(size=n),
    "heavy tails": lambda rng, n: rng.standard_t(2, size=n),
    "half zeros": lambda rng, n: np.where(rng.random(n) < 0.5, 0.0, rng.exponential(size=n)),
    "few values": lambda rng, n: rng.integers(0, 7, n).astype(float),
    "hundreds of values": lambda rng, n: rng.poisson(300, n).astype(float),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_every_resolution_gives_the_same_counts(draw):
    rng = np.random.default_rng(0)
    base = draw(rng, 15_000)
    edges = Edges.of_values(base)
    binning = Binning.of(profile(base, edges).columns["x"])
    window = np.concatenate([draw(rng, 500), [np.nan, np.inf, -np.inf, np.inf]])
    made = profile(window, edges)
    counts = [binning.counts(p.columns["x"]) for p in (made, made.coarsen(256), made.coarsen(64))]
    for other, missing in counts[1:]:
        assert np.array_equal(other, counts[0][0])
        assert missing == counts[0][1] == 1
    assert counts[0][0].sum() == 503
    # against the values themselves
    lower = np.concatenate([[-np.inf], binning.cuts])
    upper = np.concatenate([binning.cuts, [np.inf]])
    known = window[~np.isnan(window)]
    by_hand = [((known >= a) & ((known < b) | (b == np.inf))).sum() for a, b in zip(lower, upper)]
    assert counts[0][0].tolist() == by_hand


def test_other_edges_are_refused_and_not_compared():
    rng = np.random.default_rng(0)
    base, other = rng.normal(size=5000), rng.normal(size=5000)
    binning = Binning.of(profile(base, Edges.of_values(base)).columns["x"])
    with pytest.raises(Incompatible, match="other edges"):
        binning.counts(profile(other, Edges.of_values(other)).columns["x"])
