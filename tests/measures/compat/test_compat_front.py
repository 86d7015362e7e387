"""Every peer answers to one call, in one form, whatever the column holds."""

from __future__ import annotations

import json

import pytest

from watchkeeper.errors import BadInput
from watchkeeper.measures import compat


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
