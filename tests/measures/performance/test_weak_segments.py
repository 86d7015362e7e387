"""The planted weak segment is found, and nothing is found where nothing is."""

import numpy as np
import pytest
from scipy import stats

from watchkeeper.domain.schema import Task
from watchkeeper.errors import BadInput
from watchkeeper.measures.performance.weak_segments import (
    coded,
    row_losses,
    weak_segments,
    weakest_segments,
)


def world(rows=8_000, seed=0):
    rng = np.random.default_rng(seed)
    raw = {
        "age": rng.uniform(18, 90, rows),
        "region": rng.choice(["north", "south", "east"], rows).astype(object),
        "member": rng.random(rows) < 0.4,
        "noise": rng.normal(size=rows),
    }
    return raw, {name: coded(name, values) for name, values in raw.items()}, rng.exponential(size=rows)


def test_a_planted_pair_is_found_alone():
    raw, columns, losses = world()
    bad = (raw["region"] == "north") & raw["member"]
    losses[bad] += 0.8
    found = weak_segments(columns, losses)
    assert [set(s.conditions) for s in found] == [{"region = north", "member = true"}]
    assert found[0].rows == bad.sum()
    assert found[0].caused == pytest.approx(bad.sum() * (losses[bad].mean() - losses[~bad].mean()))
    assert found[0].interval.low < 0.8 < found[0].interval.high


@pytest.mark.known_answer("weak_segment", source="Welch's test of scipy.stats, and the rows' own means")
def test_the_loss_and_its_certainty_are_those_of_the_rows():
    raw, columns, losses = world()
    south = raw["region"] == "south"
    losses[south] += 0.12
    (found,) = weakest_segments({"region": columns["region"]}, losses, depth=1)
    assert found.segment == "region = south"
    assert found.value == pytest.approx(losses[south].sum() - south.sum() * losses[~south].mean())
    welch = stats.ttest_ind(losses[south], losses[~south], equal_var=False, alternative="greater")
    assert 1e-9 < welch.pvalue < 1e-3
    assert found.p_value == pytest.approx(3 * welch.pvalue, rel=0.05)  # three regions were searched


def test_a_planted_column_is_found_and_its_parts_are_no_news():
    raw, columns, losses = world()
    losses[raw["region"] == "south"] += 0.5
    assert [s.name for s in weak_segments(columns, losses)] == ["region = south"]


def test_segments_are_sorted_by_the_loss_that_they_cause():
    raw, columns, losses = world(20_000)
    losses[raw["region"] == "south"] += 0.5  # a third of the rows
    losses[raw["age"] > 85] += 1.0  # few rows, each of them worse
    found = weak_segments(columns, losses)
    assert found[0].name == "region = south"
    assert found[1].columns == ("age",)
    assert [s.caused for s in found] == sorted((s.caused for s in found), reverse=True)


def test_nothing_is_found_where_losses_do_not_depend_on_columns():
    false = 0
    for seed in range(60):
        _, columns, losses = world(2_000, seed=seed)
        false += bool(weak_segments(columns, losses))
    assert false <= 9  # at 5% of 60, more than 9 happens once in 3,000 runs


def test_small_segments_are_not_searched():
    _, columns, losses = world(1_000)
    losses[:10] += 100
    columns["ten"] = coded("ten", np.arange(1_000) < 10)
    assert all("ten = true" not in s.conditions for s in weak_segments(columns, losses, min_rows=30))


def test_rows_without_a_loss_are_left_out():
    raw, columns, losses = world()
    losses[raw["region"] == "south"] += 0.5
    losses[::2] = np.nan
    found = weak_segments(columns, losses)
    assert found[0].rows == np.isfinite(losses[raw["region"] == "south"]).sum()


def test_missing_and_rare_values_are_segments_too():
    values = np.array([None, "a", "a", "b", "c", "d"], dtype=object)
    column = coded("x", values, categories=2)
    assert column.labels == ("x = a", "x = b", "x is one of 2 others", "x is missing")
    assert column.codes.tolist() == [3, 0, 0, 1, 2, 2]


def test_numbers_are_cut_into_bins_of_about_equal_size():
    column = coded("x", np.random.default_rng(0).exponential(size=10_000))
    assert np.bincount(column.codes) == pytest.approx([2_000] * 5, abs=2)
    assert len(column.labels) == 5


def test_losses_of_rows_are_those_of_the_task():
    assert row_losses(Task.MULTICLASS, ["a", "b"], ["a", "a"]).tolist() == [0.0, 1.0]
    binary = row_losses(Task.BINARY, [0.8, 0.8], [True, False])
    assert binary == pytest.approx([-np.log(0.8), -np.log(0.2)])


def test_what_cannot_be_searched_is_refused():
    _, columns, losses = world(100)
    with pytest.raises(BadInput, match="depth"):
        weak_segments(columns, losses, depth=3)
    with pytest.raises(BadInput, match="100 rows"):
        weak_segments(columns, losses[:50])


@pytest.mark.parametrize("share", [0.5, 0.8, 0.9, 0.99])
@pytest.mark.parametrize("end", [0.0, 10.0, -np.inf, np.inf])
def test_a_column_that_mostly_holds_one_value_is_cut_beside_it(share, end):
    rng = np.random.default_rng(4)
    values = np.where(rng.random(2_000) < share, end, rng.uniform(1, 9, 2_000))
    cut = coded("spend", values)
    assert len(cut.labels) >= 2
    assert np.bincount(cut.codes).sum() == values.size
    if np.isfinite(end) and share >= 0.9:
        assert sorted(np.bincount(cut.codes)) == sorted([(values == end).sum(), (values != end).sum()])
