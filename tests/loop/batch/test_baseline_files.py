"""What a file holds when it is read as a baseline."""

from __future__ import annotations

import numpy as np
import pytest

from watchkeeper.errors import BadInput, UnreadableSource
from watchkeeper.loop.batch.profiling import baseline, load_baseline
from watchkeeper.stats.states.codec import encode


@pytest.fixture(scope="module")
def made():
    return baseline({"age": np.arange(500) % 70, "plan": ["basic", "plus"] * 250})


def test_a_stored_profile_becomes_a_baseline(made, tmp_path):
    (tmp_path / "p.wkp").write_bytes(encode(made.profile))
    read = load_baseline(tmp_path / "p.wkp")
    assert read.edges == made.edges
    assert read.profile.rows == 500


def test_any_other_state_is_refused(made, tmp_path):
    (tmp_path / "e.wks").write_bytes(encode(made.edges["age"]))
    with pytest.raises(BadInput, match="not a baseline"):
        load_baseline(tmp_path / "e.wks")


def test_a_damaged_file_is_refused(made, tmp_path):
    (tmp_path / "b.wkb").write_bytes(encode(made)[:-40])
    with pytest.raises(BadInput, match="cut short or damaged"):
        load_baseline(tmp_path / "b.wkb")


def test_no_file_says_how_to_take_one(tmp_path):
    with pytest.raises(UnreadableSource, match="cannot be read") as caught:
        load_baseline(tmp_path / "none.wkb")
    assert "watchkeeper baseline" in str(caught.value)
