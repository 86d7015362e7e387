"""Bytes that format 1 wrote are read by this version, and say what they said.

``golden/<kind>.wks`` was written once by the version that introduced the state, from the rows in `MADE`; the
files are never written again. To add one for a new state:
``encode(MADE["..."]())`` into a file of that name.
"""

from pathlib import Path

import numpy as np
import pytest

from watchkeeper.domain.schema import Kind
from watchkeeper.domain.values import Values
from watchkeeper.stats.states.codec import decode
from watchkeeper.stats.states.confusion import Confusion
from watchkeeper.stats.states.distinct import Distinct
from watchkeeper.stats.states.residuals import Residuals
from watchkeeper.stats.states.sample import Sample
from watchkeeper.stats.states.score_table import ScoreTable
from watchkeeper.stats.states.span import DatetimeSpan
from watchkeeper.stats.states.text import TextLengths
from watchkeeper.stats.states.vector import VectorState

FOLDER = Path(__file__).parent / "golden"
WORDS = Values(
    kind=Kind.TEXT, rows=3, data=np.array([0, 1, 1]), dictionary=np.array(["7", "Straße 1"], dtype=object)
)

MADE = {
    "score_table": lambda: ScoreTable.of(
        np.array([0.25, 0.5, 0.75, 1e-4]),
        np.array([False, True, True, False]),
        labelled=np.array([True, True, True, False]),
    ),
    "confusion": lambda: Confusion.of_labels(["a", "b", None], ["a", "a", "b"]),
    "residuals": lambda: Residuals.of([1.0, 2.5, 4.0], [1.0, 2.0, 8.0]),
    "sample": lambda: Sample.of(
        np.array([5, 3, 9], np.uint64),
        {"x": np.array([1.5, np.nan, 2.0]), "c": np.array(["é", None, "b"], dtype=object)},
        2,
    ),
    "distinct": lambda: Distinct.of(np.array([2**63, 7, 7], np.uint64)),
    "span": lambda: DatetimeSpan.of_moments([-5, 1_700_000_000_000_000], nulls=2),
    "vector": lambda: VectorState.of_vectors(np.array([[1.0, 2.0], [3.0, 5.0]])),
    "text": lambda: TextLengths.of(WORDS),
}


def assert_same(left, right):
    """Equal, floats to 1e-12: logarithms may differ by a bit between processors."""
    if hasattr(left, "to_payload"):
        left, right = left.to_payload(), right.to_payload()
    if isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            assert_same(left[key], right[key])
    elif isinstance(left, np.ndarray) and left.dtype.kind == "f":
        np.testing.assert_allclose(left, right, rtol=1e-12)
    elif isinstance(left, np.ndarray):
        np.testing.assert_array_equal(left, right)
    elif isinstance(left, float):
        assert left == pytest.approx(right, rel=1e-12, nan_ok=True)
    else:
        assert left == right


@pytest.mark.parametrize("kind", MADE)
def test_what_was_stored_once_is_read_for_ever(kind):
    read = decode((FOLDER / f"{kind}.wks").read_bytes())
    assert read.kind == kind
    assert_same(read, MADE[kind]())


def test_no_stored_state_is_forgotten():
    assert {path.stem for path in FOLDER.glob("*.wks")} == set(MADE)
