"""Our own writing of Evidently's definitions gives the numbers that Evidently 0.7.23 itself gave."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from watchkeeper.errors import BadInput
from watchkeeper.measures.compat import evidently

KEPT = json.loads((Path(__file__).parent / "golden" / "evidently.json").read_text())["results"]
PAIRS = [(case, method) for case, found in KEPT.items() if case != "_preset" for method in found]


@pytest.mark.parametrize(("case", "method"), PAIRS, ids=lambda v: str(v))
def test_equal_to_the_peer(case, method, column_cases):
    column, theirs = column_cases[case], KEPT[case][method]
    ours = evidently.column_drift(
        column.reference, column.current, kind=column.kind, method=None if method == "default" else method
    )
    if "error" in theirs or theirs["score"] == "nan":
        assert ours.score is None
        assert ours.reason
        return
    if case == "normal_tiny" and method == "cramer_von_mises":
        # The peer counts the orderings of so few rows in single precision.
        assert ours.score == pytest.approx(theirs["score"], rel=1e-6)
    else:
        assert ours.score == pytest.approx(theirs["score"], rel=1e-9, abs=1e-12)
    assert ours.drifted is theirs["drifted"]
    assert ours.threshold == theirs["threshold"]


def test_dataset_drift_is_the_presets(column_cases):
    names = KEPT["_preset"]["columns"]
    table = evidently.table_drift(
        {n: column_cases[n].reference[:500] for n in names}, {n: column_cases[n].current[:400] for n in names}
    )
    assert table.count == KEPT["_preset"]["count"]
    assert table.share == KEPT["_preset"]["share"]
    assert table.drifted


def test_few_integers_are_categories_only_when_nobody_says_otherwise():
    few = np.arange(2000) % 7
    assert evidently.column_drift(few, few).method == "jensenshannon"
    assert evidently.column_drift(few, few, kind="integer").method == "jensenshannon"
    assert evidently.column_drift(few, few, kind="numeric").method == "wasserstein"


def test_arrow_lists_and_arrays_are_one_sample():
    numbers = [0.5, None, 2.0, 7.0, 1.0, 9.0, 4.0]
    array = np.array([0.5, np.nan, 2.0, 7.0, 1.0, 9.0, 4.0])
    scores = {
        evidently.column_drift(x, [3.0, 4, 5, 6, 7, 8]).score for x in (numbers, array, pa.array(numbers))
    }
    assert len(scores) == 1


def test_nothing_left_is_said_and_not_scored():
    found = evidently.column_drift([float("nan")] * 5, [1.0, 2.0])
    assert found.score is None
    assert "reference" in found.reason


def test_unknown_tests_and_kinds_are_refused():
    with pytest.raises(BadInput, match="wasserstein"):
        evidently.column_drift([1.0], [2.0], method="waserstein")
    with pytest.raises(BadInput, match="not for numeric"):
        evidently.column_drift([1.0], [2.0], method="chisquare")
    with pytest.raises(BadInput, match="classifier"):
        evidently.column_drift(["a"], ["b"], kind="text")
