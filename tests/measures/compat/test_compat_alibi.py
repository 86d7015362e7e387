"""Our own writing of alibi-detect's definitions gives the numbers that alibi-detect 0.13.0 itself gave."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from watchkeeper.errors import BadInput
from watchkeeper.measures.compat import alibi

KEPT = json.loads((Path(__file__).parent / "golden" / "alibi.json").read_text())["results"]
PAIRS = [(case, method) for case, found in KEPT.items() for method in found if method != "mmd"]


@pytest.mark.parametrize(("case", "method"), PAIRS, ids=lambda v: str(v))
def test_equal_to_the_peer(case, method, column_cases):
    column, theirs = column_cases[case], KEPT[case][method]
    ours = alibi.column_drift(column.reference, column.current, kind=column.kind, method=method)
    if "error" in theirs or theirs["score"] == "nan":
        assert ours.score is None
        assert ours.reason
        return
    # The peer keeps single precision, and so do we: one unit of its last place is 6e-8 of the value.
    assert ours.score == pytest.approx(theirs["score"], rel=1e-9)
    assert ours.p_value == pytest.approx(theirs["p_value"], rel=1e-9, abs=1e-12)
    assert ours.drifted is theirs["drifted"]


@pytest.mark.parametrize("name", ["vectors_shift", "vectors_same"])
def test_mmd_is_the_peers_statistic_and_its_p_within_simulation_error(name, vector_cases):
    reference, current = vector_cases[name]
    theirs = KEPT[name]["mmd"]
    ours = alibi.mmd_drift(reference, current, permutations=2000)
    assert ours.score == pytest.approx(theirs["score"], abs=1e-9)
    p = theirs["p_value"]
    assert ours.p_value == pytest.approx(p, abs=5 * np.sqrt(2 * max(p * (1 - p), 1e-4) / 2000))
    assert ours.drifted is theirs["drifted"]


def test_mmd_without_the_plus_one_can_be_zero():
    rows = np.arange(40.0).reshape(20, 2)
    assert alibi.mmd_drift(rows, rows + 100).p_value == 0.0


def test_shapes_and_methods_are_checked():
    with pytest.raises(BadInput, match="as many columns"):
        alibi.mmd_drift(np.ones((5, 2)), np.ones((5, 3)))
    with pytest.raises(BadInput, match="no detector"):
        alibi.column_drift([1.0], [2.0], method="lsdd")
