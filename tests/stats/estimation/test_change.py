"""What moved and what it cost, and how estimates are scored: against worlds whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from sizes import sizes
from watchkeeper.domain.measurement import Interval
from watchkeeper.errors import BadInput
from watchkeeper.stats.estimation.attribution import attribute_change
from watchkeeper.stats.estimation.track_record import Told, score_estimates


def world(rng, *, n=2_000, concept=0.3):
    """Column a moves by 0.6 and costs 1 a unit, b moves by 0.4 and costs 0.5, c moves and costs nothing."""
    x = rng.normal(size=(n, 4))
    y = rng.normal([0.6, 0.4, 0.5, 0.0], 1, size=(n, 4))
    loss = lambda rows: 1 + rows[:, 0] + 0.5 * rows[:, 1] + 0.7 * rows[:, 3] + rng.normal(0, 0.5, len(rows))  # noqa: E731
    return x, y, loss(x), loss(y) + concept


def test_each_part_is_what_was_put_in():
    found = split(np.random.default_rng(0), n=5_000)
    assert found.covariate.value == pytest.approx(0.8, abs=0.08)
    assert found.conditional.value == pytest.approx(0.3, abs=0.08)
    wanted = {"a": 0.6, "b": 0.2, "c": 0.0, "d": 0.0}
    for name, value in wanted.items():
        assert found.columns[name].value == pytest.approx(value, abs=0.08), name


def test_parts_sum_to_the_whole():
    found = split(np.random.default_rng(1))
    assert found.covariate.value + found.conditional.value == pytest.approx(found.total.value)
    assert sum(p.value for p in found.columns.values()) == pytest.approx(found.covariate.value)
    assert found.window - found.baseline == pytest.approx(found.total.value)


@sizes("draws", small=25, full=120)
def test_intervals_cover_what_was_put_in(draws):
    """95% intervals over 120 worlds: 88% or more each (less has a chance of 0.2% at 95%)."""
    wanted = {"covariate": 0.8, "conditional": 0.3, "a": 0.6, "b": 0.2, "c": 0.0, "d": 0.0}
    hits = dict.fromkeys(wanted, 0)
    for seed in range(draws):
        found = split(np.random.default_rng(seed), n=2_000)
        parts = {"covariate": found.covariate, "conditional": found.conditional, **found.columns}
        for name, value in wanted.items():
            hits[name] += parts[name].interval.low <= value <= parts[name].interval.high
    print(hits)
    assert min(hits.values()) >= 0.88 * draws, hits


def test_dimensions_of_one_column_move_together():
    rng = np.random.default_rng(2)
    x, y, before, after = world(rng)
    found = attribute_change(before, x, y, ["a", "rest", "rest", "rest"], window_losses=after)
    assert list(found.columns) == ["a", "rest"]
    assert found.columns["rest"].value == pytest.approx(0.2, abs=0.1)


def test_many_columns_are_taken_in_sampled_orders():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(800, 10)), rng.normal([0.8, *[0.0] * 9], 1, size=(800, 10))
    found = attribute_change(x[:, 0], x, y, [f"c{i}" for i in range(10)], orders=2)
    assert not found.exact
    assert found.columns["c0"].value == pytest.approx(0.8, abs=0.2)
    assert sum(p.value for p in found.columns.values()) == pytest.approx(found.covariate.value)


def test_without_outcomes_only_the_covariate_part_is_known():
    rng = np.random.default_rng(4)
    x, y, before, after = world(rng)
    found = attribute_change(before, x, y, list("abcd"))
    assert found.total is None
    assert found.conditional is None
    some = rng.random(len(after)) < 0.3
    late = attribute_change(before, x, y, list("abcd"), window_losses=after[some], window_known=some)
    whole = attribute_change(before, x, y, list("abcd"), window_losses=after)
    assert late.covariate.value == found.covariate.value
    assert late.conditional.interval.high - late.conditional.interval.low > (
        whole.conditional.interval.high - whole.conditional.interval.low
    )


def test_sides_that_hardly_overlap_are_doubted():
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(500, 1)), rng.normal(6, 1, size=(500, 1))
    found = attribute_change(x[:, 0], x, y, ["a"])
    assert not found.reliable
    assert found.reasons


def test_lengths_must_agree():
    with pytest.raises(BadInput, match="3 losses"):
        attribute_change([1, 2, 3], np.zeros((2, 1)), np.zeros((2, 1)), ["a"])


def test_a_track_record_counts_what_was_told():
    """Worked by hand: gaps 0.01, 0.10, and 0.05 of an estimate that was not to be believed."""
    told = [
        Told(0.90, Interval(0.88, 0.92), 0.91),
        Told(0.80, Interval(0.78, 0.82), 0.70),
        Told(0.60, Interval(0.50, 0.70), 0.55, reliable=False),
    ]
    record = score_estimates(told)
    assert (record.windows, record.coverage) == (2, 0.5)
    assert record.error == pytest.approx(0.055)
    assert record.coverage_interval.low == pytest.approx(0.0945, abs=1e-4)  # Wilson's, of 1 in 2
    assert score_estimates(told, doubted=True).windows == 3
    assert score_estimates([]) is None


def split(rng, n=2_000):
    """The world of *rng*, taken apart."""
    x, y, before, after = world(rng, n=n)
    return attribute_change(before, x, y, list("abcd"), window_losses=after)
