"""Measures between groups: the definitions by hand, and intervals that hold where groups do not differ."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, precision_score, recall_score

from watchkeeper.domain.schema import Schema, Task
from watchkeeper.measures.fairness.evaluation import measure_fairness
from watchkeeper.measures.groups import Groups
from watchkeeper.stats.states.confusion import Confusion
from watchkeeper.stats.states.profile import Profile


def groups_of(frame: pd.DataFrame, axis: str = "group") -> Groups:
    return Groups(
        axis=axis,
        profiles={
            str(name): Profile(
                schema=Schema(columns=()),
                performance={"confusion": Confusion.of_labels(part.y.tolist(), part.said.tolist())},
            )
            for name, part in frame.groupby("group")
        },
    )


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    dice = np.random.default_rng(5)
    group = dice.choice(list("abcd"), 4000, p=[0.5, 0.3, 0.15, 0.05])
    y = dice.random(4000) < np.where(group == "a", 0.4, 0.3)
    said = np.where(y, dice.random(4000) < np.where(group == "b", 0.6, 0.8), dice.random(4000) < 0.2)
    return pd.DataFrame({"group": group, "y": y.astype(int), "said": said.astype(int)})


@pytest.mark.known_answer(
    "demographic_parity_difference", "demographic_parity_ratio", "equal_opportunity_difference",
    "equalized_odds_difference", "predictive_parity_difference", "accuracy_difference",
    source="scikit-learn's scores of each group, put together by each paper's definition",
)  # fmt: skip
def test_they_are_what_scikit_learn_gives_by_group(people):
    by = people.groupby("group")[["y", "said"]]
    rate = by.apply(lambda p: p.said.mean())
    tpr = by.apply(lambda p: recall_score(p.y, p.said))
    fpr = by.apply(lambda p: 1 - recall_score(p.y, p.said, pos_label=0))
    ppv = by.apply(lambda p: precision_score(p.y, p.said))
    right = by.apply(lambda p: accuracy_score(p.y, p.said))
    wanted = {
        "demographic_parity_difference": rate.max() - rate.min(),
        "demographic_parity_ratio": rate.min() / rate.max(),
        "equal_opportunity_difference": tpr.max() - tpr.min(),
        "equalized_odds_difference": max(tpr.max() - tpr.min(), fpr.max() - fpr.min()),
        "predictive_parity_difference": ppv.max() - ppv.min(),
        "accuracy_difference": right.max() - right.min(),
    }
    measured = {m.measure: m for m in measure_fairness(groups_of(people), task=Task.BINARY, positive="1")}
    assert {n: m.value for n, m in measured.items()} == pytest.approx(wanted, abs=1e-12)
    for m in measured.values():
        assert m.subject == "group"
        assert m.interval.low <= m.value <= m.interval.high
    assert measured["equal_opportunity_difference"].details["lowest"] == "b"


def test_the_interval_holds_where_groups_do_not_differ():
    """1,000 windows of eight groups with one rate: the lower end is 0 in at least 95% (binomial bound: 930)."""
    dice = np.random.default_rng(11)
    held = 0
    for _ in range(1000):
        sizes = dice.integers(30, 400, 8)
        counts = dice.binomial(sizes, 0.3)
        from watchkeeper.measures.fairness.group_rates import difference_interval, intervals_of

        spans = intervals_of({str(i): (int(k), int(n)) for i, (k, n) in enumerate(zip(counts, sizes))})
        held += difference_interval(spans, 0.95).low == 0
    assert held >= 930


def test_a_true_difference_is_found_and_covered():
    dice = np.random.default_rng(3)
    from watchkeeper.measures.fairness.group_rates import difference_interval, intervals_of

    found = covered = 0
    for _ in range(300):
        spans = intervals_of(
            {"a": (int(dice.binomial(800, 0.5)), 800), "b": (int(dice.binomial(800, 0.3)), 800)}
        )
        span = difference_interval(spans, 0.95)
        found += span.low > 0
        covered += span.low <= 0.2 <= span.high
    assert found == 300
    assert covered >= 285


def test_a_small_group_is_listed_with_the_reason_and_never_called_fair(people):
    few = pd.concat([people[people.group == "a"], people[people.group == "d"].head(4)])
    measured = {m.measure: m for m in measure_fairness(groups_of(few), task=Task.BINARY, positive="1")}
    m = measured["demographic_parity_difference"]
    assert m.value is None
    assert m.details["left_out"] == {"d": "4 rows, and 10 are needed"}
    assert "Fewer than two groups" in m.reason


def test_nothing_is_said_of_one_group_or_of_a_regression(people):
    assert measure_fairness(groups_of(people[people.group == "a"]), task=Task.BINARY) == []
    assert measure_fairness(groups_of(people), task=Task.REGRESSION) == []
