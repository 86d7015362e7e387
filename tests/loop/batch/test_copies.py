"""Copies are counted exactly in bounded memory, and the files that it takes go away."""

from __future__ import annotations

import tempfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.domain.schema import Kind
from watchkeeper.domain.values import Values
from watchkeeper.loop.batch.copies import CopyCount


def whole(data) -> Values:
    data = np.asarray(data, dtype=np.int64)
    return Values(kind=Kind.INTEGER, rows=len(data), data=data)


@given(st.lists(st.lists(st.integers(0, 40), max_size=60), max_size=8), st.integers(1, 50))
def test_spilled_or_not_the_count_is_that_of_a_set(batches, limit):
    with CopyCount(["id"], limit=limit) as copies:
        for batch in batches:
            copies.add({"id": whole(batch)})
        found = copies.result()["id"]
    flat = [v for batch in batches for v in batch]
    assert found.exact
    assert (found.rows, found.copies) == (len(flat), len(flat) - len(set(flat)))


def test_it_spills_to_a_folder_that_goes_away(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with CopyCount(["id"], limit=1_000) as copies:
        for start in range(0, 10_000, 700):
            copies.add({"id": whole(np.arange(start, start + 1_000))})
        assert len(list(tmp_path.rglob("*.run"))) > 3
        found = copies.result()["id"]
        assert (found.how, found.rows, found.copies) == ("spilled", 15_000, 15_000 - 10_800)
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_written_it_counts_in_memory(monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", "/proc/nowhere")
    with CopyCount(["id"], limit=100) as copies:
        copies.add({"id": whole(np.arange(1_000) // 2)})
        assert copies.result()["id"].copies == 500


def test_rows_without_an_id_are_no_copies_of_each_other():
    valid = np.array([True, False, False, True])
    with CopyCount(["id"]) as copies:
        copies.add({"id": Values(kind=Kind.INTEGER, rows=4, data=np.array([1, 0, 0, 1]), valid=valid)})
        found = copies.result()["id"]
    assert (found.rows, found.copies) == (2, 1)


@pytest.mark.parametrize(("b", "copies_found"), [([5, 6, 5], 1), ([5, 6, 7], 0)])
def test_whole_rows_are_equal_in_every_column(b, copies_found):
    with CopyCount([], rows=True) as copies:
        copies.add({"a": whole([1, 2, 1]), "b": whole(b)})
        assert copies.result()[""].copies == copies_found


def test_a_column_that_cannot_be_read_has_no_count():
    with CopyCount(["id"]) as copies:
        copies.add({"id": Values(kind=Kind.UNKNOWN, rows=3, data=None)})
        assert copies.result() == {}
