"""Every peer answers to one call, in one form, whatever the column holds."""

from __future__ import annotations

import json
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from watchkeeper.errors import BadInput
from watchkeeper.measures import compat
from watchkeeper.measures.compat.samples import array_of


@pytest.mark.parametrize("peer", compat.PEERS)
def test_every_case_gets_an_answer_or_a_reason(peer, column_cases):
    for case in column_cases.values():
        found = compat.column_drift(peer, case.reference, case.current, kind=case.kind)
        assert found.peer == peer
        assert found.score is not None or found.reason, case.name
        json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.parametrize("peer", compat.PEERS)
@pytest.mark.parametrize(
    ("reference", "current"),
    [
        ([], []),
        ([None, None], [1.0, 2.0]),
        ([1.0], [1.0]),
        (["a", None], [None, None]),
        ([1, "a", None], ["a", 2, 3]),
    ],
    ids=["empty", "all-null", "one-row", "null-current", "mixed"],
)
def test_ugly_columns_never_raise_anything_of_python(peer, reference, current):
    try:
        found = compat.column_drift(peer, reference, current)
    except BadInput:
        return
    json.dumps(found.to_dict(), allow_nan=False)


def test_tables_count_their_drifted_columns(column_cases):
    names = ["normal_shift_large", "normal_same_small", "category_new_small"]
    reference = {n: column_cases[n].reference for n in names}
    current = {n: column_cases[n].current for n in names} | {"only_here": [1, 2]}
    table = compat.table_drift("evidently", reference, current)
    assert set(table.columns) == set(names)
    assert table.share == table.count / 3


def test_unknown_peers_are_refused():
    with pytest.raises(BadInput, match="evidently"):
        compat.column_drift("evidenty", [1.0], [2.0])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([1, None, 3]), [1.0, np.nan, 3.0]),
        (pa.array([1, 2], pa.uint64()), [1, 2]),
        (pa.array([True, None]), [True, None]),
        (pa.array(["a", "b", "a", None]).dictionary_encode(), ["a", "b", "a", None]),
        (pa.array([Decimal("1.5"), None]), [1.5, np.nan]),
        (pa.array([0, None], pa.timestamp("us")), [0.0, np.nan]),
        (pa.chunked_array([[1], [2]]), [1, 2]),
        (pa.array([None, None]), [None, None]),
        (pd.Series(["a", None]), ["a", None]),
        (pd.Series([1, "a", None], dtype=object), [1, "a", None]),
        ([float("nan"), "a"], [None, "a"]),
    ],
    ids=lambda v: str(getattr(v, "type", type(v).__name__)),
)
def test_every_type_at_the_door_becomes_a_column(values, expected):
    found = array_of(values).tolist()
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours == theirs or (ours != ours and theirs != theirs)


def test_vectors_and_tables_are_refused():
    with pytest.raises(BadInput, match="list"):
        array_of(pa.array([[1.0, 2.0]]))
    with pytest.raises(BadInput, match="one dimension"):
        array_of(np.ones((2, 2)))
