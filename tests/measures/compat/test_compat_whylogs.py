"""Our own writing of whylogs' definitions gives the numbers that whylogs 1.6.4 itself gave.

Its quantile sketch is exact up to 1,024 values; past that it is random, and five runs of the peer bound ours.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from watchkeeper.errors import BadInput
from watchkeeper.measures.compat import whylogs

KEPT = json.loads((Path(__file__).parent / "golden" / "whylogs.json").read_text())["results"]
PAIRS = [(case, method) for case, found in KEPT.items() for method in found]
RANK_ERROR = 0.004
"""What the peer's sketch (k = 1,024) may be off by in rank, two sides together."""


@pytest.mark.parametrize(("case", "method"), PAIRS, ids=lambda v: str(v))
def test_equal_to_the_peer(case, method, column_cases):
    column, theirs = column_cases[case], KEPT[case][method]
    ours = whylogs.column_drift(
        column.reference, column.current, kind=column.kind, method=None if method == "default" else method
    )
    if "error" in theirs:
        assert ours.score is None
        assert ours.reason
        return
    assert ours.method == theirs["name"]
    if ours.note:
        slack = RANK_ERROR if ours.method == "ks" else 0.015
        low, high = theirs.get("low", theirs["score"]), theirs.get("high", theirs["score"])
        assert low - slack <= ours.score <= high + slack
    else:
        assert ours.score == pytest.approx(float(theirs["score"]), rel=1e-9, abs=1e-12)
        if theirs["p_value"] is not None:
            assert ours.p_value == pytest.approx(theirs["p_value"], rel=1e-9, abs=1e-300)
    assert ours.details["category"] == theirs["category"]


def test_most_cases_are_exact(column_cases):
    exact = [
        c
        for c, m in PAIRS
        if not whylogs.column_drift(column_cases[c].reference, column_cases[c].current).note
    ]
    assert len(exact) > len(PAIRS) / 2


def test_one_unseen_value_makes_the_statistic_infinite():
    found = whylogs.column_drift(["a"] * 1000, ["a"] * 999 + ["b"])
    assert found.score == np.inf
    assert found.p_value == 0.0
    assert found.drifted


def test_unknown_methods_are_refused():
    with pytest.raises(BadInput, match="hellinger"):
        whylogs.column_drift([1.0], [2.0], method="helinger")
