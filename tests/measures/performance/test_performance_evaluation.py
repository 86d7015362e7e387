"""One call measures what the states allow, and every line of the catalogue is complete."""

import numpy as np
import pytest

from watchkeeper.domain.schema import Task
from watchkeeper.errors import NotFound
from watchkeeper.measures.performance.catalogue import CATALOGUE
from watchkeeper.measures.performance.evaluation import measure_performance
from watchkeeper.stats.states.confusion import Confusion
from watchkeeper.stats.states.residuals import Residuals
from watchkeeper.stats.states.score_table import ScoreTable


@pytest.fixture
def binary():
    rng = np.random.default_rng(0)
    scores = rng.random(500)
    outcomes = rng.random(500) < scores
    return {
        "score_table": ScoreTable.of(scores, outcomes),
        "confusion": Confusion.of_labels(outcomes.tolist(), (scores > 0.7).tolist()),
    }


def test_the_models_own_decisions_come_before_a_threshold(binary):
    both = {m.measure: m for m in measure_performance(binary, task=Task.BINARY)}
    table_only = {
        m.measure: m for m in measure_performance({"score_table": binary["score_table"]}, task=Task.BINARY)
    }
    assert both["recall"].value < table_only["recall"].value
    assert both["roc_auc"] == table_only["roc_auc"]
    assert {"accuracy", "brier", "lift"} <= both.keys()
    assert "rmse" not in both


def test_several_classes_are_measured_as_such():
    confusion = Confusion.of_labels(list("abcabc"), list("abcacb"))
    names = {m.measure for m in measure_performance({"confusion": confusion}, task=None)}
    assert {"accuracy", "f1_macro", "f1_per_class"} <= names
    assert not {"f1", "mcc"} & names


def test_numbers_are_measured_as_such():
    names = [m.measure for m in measure_performance(
        {"residuals": Residuals.of([1.0, 2.0], [1.0, 3.0])}, task=Task.REGRESSION
    )]  # fmt: skip
    assert {"rmse", "mae", "bias", "r2"} <= set(names)


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(NotFound, match="roc_auc"):
        measure_performance({}, task=None, names=["rocauc"])


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda e: e.name)
class TestEveryLine:
    def test_it_is_complete(self, entry):
        assert entry.reference
        assert entry.measure.sentence.endswith(".")
        assert ">>>" in getattr(entry.function, "func", entry.function).__doc__

    def test_its_name_is_its_own(self, entry):
        assert [e.name for e in CATALOGUE].count(entry.name) == 1
