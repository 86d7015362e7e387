"""Our own writing of NannyML's definitions gives the numbers that NannyML 0.13.1 itself gave."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from watchkeeper.errors import BadInput
from watchkeeper.measures.compat import nannyml

KEPT = json.loads((Path(__file__).parent / "golden" / "nannyml.json").read_text())["results"]
PAIRS = [(case, method) for case, found in KEPT.items() for method in found]


def same(ours, theirs):
    if theirs == "nan":
        return ours is None
    return ours == pytest.approx(float(theirs), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("case", "method"), PAIRS, ids=lambda v: str(v))
def test_equal_to_the_peer(case, method, column_cases):
    column, theirs = column_cases[case], KEPT[case][method]
    whole = nannyml.column_drift(column.reference, column.current, kind=column.kind, method=method)
    if "error" in theirs:
        assert whole.score is None
        assert "fails" in whole.reason
        return
    assert same(whole.score, theirs["whole"]["score"])
    assert whole.drifted is theirs["whole"]["drifted"]
    if method == "chi2":
        assert same(whole.p_value, theirs["whole"]["p_value"])
    else:
        assert same(whole.threshold, theirs["whole"]["threshold"])
    chunks = nannyml.chunk_drift(column.reference, column.current, kind=column.kind, method=method)
    assert len(chunks) == len(theirs["chunks"])
    assert all(same(c.score, value) for c, value in zip(chunks, theirs["chunks"], strict=True))
    assert [c.drifted for c in chunks] == theirs["alerts"]


def test_fewer_rows_than_chunks_is_said():
    found = nannyml.column_drift([1.0] * 9, [1.0] * 50)
    assert found.score is None
    assert "tenth" in found.reason


def test_a_constant_threshold_replaces_the_chunks():
    x = np.arange(100.0)
    assert nannyml.column_drift(x, x + 5, threshold=10.0).drifted is False
    assert nannyml.column_drift(x, x + 5, method="wasserstein", threshold=1.0).drifted is True


def test_methods_of_the_other_kind_are_refused():
    with pytest.raises(BadInput, match="no method"):
        nannyml.column_drift(["a"] * 20, ["b"] * 20, method="wasserstein")
