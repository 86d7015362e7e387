"""Our own quantile sketch keeps its bound, whatever the order and the cut, and repeats itself exactly."""

import numpy as np
import pytest

from watchkeeper.stats.states.ladder import Ladder

N = 300_000
ORDERS = {
    "random": np.random.default_rng(1).permutation(N).astype(float),
    "rising": np.arange(N, dtype=float),
    "falling": np.arange(N, dtype=float)[::-1],
    "sawtooth": np.arange(N, dtype=float) % 1_000,
}


def climbed(data, batch, k=256):
    ladder = Ladder(k)
    for start in range(0, len(data), batch):
        ladder.update(data[start : start + batch])
    return ladder


def worst(ladder, data):
    ordered = np.sort(data)
    ranks = np.linspace(0.001, 0.999, 500)
    got = ladder.get_quantiles(ranks.tolist())
    low, high = np.searchsorted(ordered, got, "left"), np.searchsorted(ordered, got, "right")
    wanted = ranks * len(data)
    by_quantile = np.maximum(0, np.maximum(low - wanted, wanted - high)).max() / len(data)
    points = np.quantile(ordered, ranks)
    cdf = np.array(ladder.get_cdf(points.tolist()))[:-1]
    by_rank = np.abs(cdf - np.searchsorted(ordered, points, "left") / len(data)).max()
    return max(by_quantile, by_rank)


@pytest.mark.parametrize("data", ORDERS.values(), ids=ORDERS.keys())
@pytest.mark.parametrize("batch", [777, 50_000, N])
def test_every_rank_is_within_the_bound(data, batch):
    ladder = climbed(data, batch)
    assert ladder.n == N
    assert 0 < ladder.normalized_rank_error(False) < 0.03
    assert worst(ladder, data) <= ladder.normalized_rank_error(False)
    assert ladder.normalized_rank_error(True) == 2 * ladder.normalized_rank_error(False)


@pytest.mark.parametrize("data", ORDERS.values(), ids=ORDERS.keys())
def test_merging_keeps_the_bound(data):
    parts = [climbed(part, 10_000) for part in np.array_split(data, 6)]
    whole = parts[0]
    for part in parts[1:]:
        whole.merge(part)
    assert whole.n == N
    assert worst(whole, data) <= whole.normalized_rank_error(False)


def test_the_weights_stand_for_every_row():
    for n in (1, 511, 512, 513, 100_001):
        ladder = climbed(np.random.default_rng(n).normal(size=n), 10_000)
        assert ladder._weighted()[1][-1] == n
        assert ladder.get_cdf([1e9]) == [1.0, 1.0]


def test_it_is_exact_while_little_was_seen_and_repeats_itself():
    data = np.random.default_rng(2).normal(size=500)
    ladder = climbed(data, 100)
    assert ladder.normalized_rank_error(False) == 0
    assert ladder.get_quantiles([0.0, 1.0]) == [data.min(), data.max()]
    large = ORDERS["random"]
    ranks = np.linspace(0, 1, 99).tolist()
    assert climbed(large, 5_000).get_quantiles(ranks) == climbed(large, 5_000).get_quantiles(ranks)


def test_memory_grows_with_the_logarithm():
    ladder = climbed(ORDERS["random"], 10_000)
    assert sum(map(len, ladder._rungs)) <= 2 * 256 * len(ladder._rungs)
    assert len(ladder._rungs) <= 12


def test_it_comes_back_from_its_payload():
    ladder = climbed(ORDERS["random"], 10_000)
    again = Ladder.of_payload(ladder.to_payload())
    again.update(np.arange(5_000.0))
    ladder.update(np.arange(5_000.0))
    assert again.get_quantiles([0.3, 0.6]) == ladder.get_quantiles([0.3, 0.6])
