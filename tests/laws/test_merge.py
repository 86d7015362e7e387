"""Merging must not depend on how the rows were cut up, and saving must not change a state.

A state joins this test by joining the catalogue; nobody edits this file. What its rows look like stands in
`rows_for/<kind>.py` beside it (see README.md here).
"""

import importlib.util
import math
from functools import cache, reduce
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from watchkeeper.errors import Incompatible
from watchkeeper.stats.states.catalogue import CATALOGUE
from watchkeeper.stats.states.codec import decode, encode, same_payload
from watchkeeper.stats.states.state import Accuracy, State

KINDS = [state.kind for state in CATALOGUE]


@cache
def rows_for(kind: str) -> ModuleType:
    path = Path(__file__).parent / "rows_for" / f"{kind}.py"
    assert path.exists(), f"The state {kind!r} is in the catalogue: write {path.name} in {path.parent}."
    spec = importlib.util.spec_from_file_location(f"rows_for_{kind}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def assert_same(left, right, where="state"):
    """Equal values of any payload type; numbers to 1e-9 relative."""
    if isinstance(left, State) or hasattr(left, "to_payload"):
        assert type(left) is type(right), where
        assert_same(left.to_payload(), right.to_payload(), where)
    elif isinstance(left, dict):
        assert left.keys() == right.keys(), where
        for key in left:
            assert_same(left[key], right[key], f"{where}[{key!r}]")
    elif isinstance(left, list | tuple):
        assert len(left) == len(right), where
        for i, (a, b) in enumerate(zip(left, right, strict=True)):
            assert_same(a, b, f"{where}[{i}]")
    elif isinstance(left, np.ndarray):
        assert left.shape == np.shape(right), where
        if left.dtype == object:
            assert left.tolist() == right.tolist(), where
        else:
            np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-9, err_msg=where)
    elif isinstance(left, float) or isinstance(right, float):
        both_nan = isinstance(left, float) and math.isnan(left) and math.isnan(right)
        assert both_nan or left == pytest.approx(right, rel=1e-9, abs=1e-9), where
    else:
        assert left == right, where


def same_of(kind):
    return getattr(rows_for(kind), "same", assert_same)


def parts_of(kind):
    return st.lists(st.lists(rows_for(kind).ROW, max_size=25), min_size=1, max_size=4)


lawful = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("kind", KINDS)
class TestEveryState:
    @lawful
    @given(data=st.data())
    def test_merging_the_parts_gives_the_whole(self, kind, data):
        parts = data.draw(parts_of(kind))
        build = rows_for(kind).build
        whole = build([row for part in parts for row in part])
        same_of(kind)(reduce(lambda a, b: a.merge(b), map(build, parts)), whole)

    @lawful
    @given(data=st.data())
    def test_the_order_of_merging_does_not_matter(self, kind, data):
        states = [rows_for(kind).build(part) for part in data.draw(parts_of(kind))]
        forward = reduce(lambda a, b: a.merge(b), states)
        backward = reduce(lambda a, b: b.merge(a), reversed(states))
        other_way = reduce(lambda a, b: b.merge(a), states)
        same_of(kind)(forward, backward)
        same_of(kind)(forward, other_way)

    @lawful
    @given(data=st.data())
    def test_the_empty_state_changes_nothing(self, kind, data):
        module = rows_for(kind)
        state, empty = module.build(data.draw(parts_of(kind))[0]), module.build([])
        same_of(kind)(state.merge(empty), state)
        same_of(kind)(empty.merge(state), state)

    @lawful
    @given(data=st.data())
    def test_double_weight_says_what_merging_with_itself_says(self, kind, data):
        state = rows_for(kind).build(data.draw(parts_of(kind))[0])
        same_of(kind)(state.scaled(2), state.merge(state))
        same_of(kind)(state.scaled(4).scaled(0.25), state)

    @lawful
    @given(data=st.data())
    def test_bytes_give_back_what_was_saved(self, kind, data):
        state = rows_for(kind).build(data.draw(parts_of(kind))[0])
        again = decode(encode(state))
        assert type(again) is type(state)
        assert same_payload(again.to_payload(), state.to_payload())
        assert encode(again) == encode(state)
        same_of(kind)(again.merge(state), state.merge(state))

    @lawful
    @given(data=st.data())
    def test_it_declares_its_accuracy(self, kind, data):
        accuracy = rows_for(kind).build(data.draw(parts_of(kind))[0]).accuracy
        assert isinstance(accuracy, Accuracy)
        assert accuracy.exact or accuracy.of
        assert accuracy.bound is None or accuracy.bound >= 0


@pytest.mark.parametrize("kind", [kind for kind in KINDS if hasattr(rows_for(kind), "incompatible")])
def test_other_parameters_are_refused(kind):
    left, right = rows_for(kind).incompatible()
    with pytest.raises(Incompatible):
        left.merge(right)


def test_each_kind_is_named_once():
    assert len(set(KINDS)) == len(KINDS)
