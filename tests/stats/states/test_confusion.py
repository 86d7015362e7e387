"""Counting classes, against scikit-learn, and past the cap."""

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from watchkeeper.domain.schema import Kind
from watchkeeper.domain.values import Values
from watchkeeper.errors import BadInput
from watchkeeper.stats.states.confusion import Confusion


def numbers(data, valid=None):
    data = np.asarray(data)
    kind = {"b": Kind.BOOLEAN, "f": Kind.NUMERIC}.get(data.dtype.kind, Kind.INTEGER)
    return Values(kind=kind, rows=data.size, data=data, valid=valid)


def test_it_counts_as_scikit_learn_does():
    rng = np.random.default_rng(0)
    actual, predicted = rng.integers(-3, 4, 5000), rng.integers(-3, 4, 5000)
    found = Confusion.of(numbers(actual), numbers(predicted))
    expected = confusion_matrix(actual.astype(str), predicted.astype(str), labels=list(found.labels))
    np.testing.assert_array_equal(found.counts, expected)
    assert found.right == (actual == predicted).sum()


@pytest.mark.parametrize(
    "predicted",
    [np.array([1, 0, 1], np.int8), np.array([1.0, 0.0, 1.0]), np.array([True, False, True])],
    ids=["integer", "float", "boolean"],
)
def test_one_class_in_different_types_is_one_class(predicted):
    found = Confusion.of(numbers(np.array([1, 0, 0])), numbers(predicted))
    assert found.labels == ("0", "1")
    assert found.right == 2


def test_two_boolean_columns_are_false_and_true():
    found = Confusion.of(numbers(np.array([True, False])), numbers(np.array([True, True])))
    assert found.labels == ("false", "true")


def test_large_and_fractional_numbers_are_classes_too():
    found = Confusion.of(numbers(np.array([10**15, -(10**15), 5])), numbers(np.array([10.5, -1e15, np.nan])))
    assert set(found.labels) == {"1000000000000000", "-1000000000000000", "10.5"}
    assert (found.right, found.unpredicted) == (1, 1)


def test_nulls_are_counted_apart():
    found = Confusion.of(
        numbers(np.array([1, 1, 0, 7]), np.array([True, False, True, False])),
        numbers(np.array([1, 1, 1, 1]), np.array([True, True, False, False])),
    )
    assert (found.n, found.unlabelled, found.unpredicted) == (1, 2, 1)
    assert found.labels == ("1",)


def test_past_the_cap_the_rarest_classes_are_the_rest_and_right_stays_exact():
    rng = np.random.default_rng(1)
    actual = rng.zipf(1.3, 3000) % 400
    predicted = np.where(rng.random(3000) < 0.7, actual, rng.zipf(1.3, 3000) % 400)
    whole = Confusion.of(numbers(actual), numbers(predicted), cap=10)
    halves = [Confusion.of(numbers(actual[i::2]), numbers(predicted[i::2]), cap=10) for i in (0, 1)]
    for found in (whole, halves[0].merge(halves[1])):
        assert found.rest
        assert len(found.labels) == 11
        assert found.n == 3000
        assert found.right == (actual == predicted).sum()
        assert not found.accuracy.exact
    top = np.bincount(actual).argmax()
    assert whole.actual[whole.labels.index(str(top))] == (actual == top).sum()


def test_a_class_that_is_called_rest_is_not_taken_for_the_rest():
    named = Confusion.of_labels(["(rest)", "a", "b"], ["(rest)", "a", "a"], cap=3)
    assert not named.rest
    merged = named.merge(Confusion.of_labels(["c", "d", "c", "c"], ["c", "d", "d", "c"], cap=3))
    assert merged.rest
    assert merged.n == 7


def test_sides_of_different_length_are_refused():
    with pytest.raises(BadInput, match="2 outcomes, but 1 predictions"):
        Confusion.of(numbers(np.array([1, 2])), numbers(np.array([1])))


def test_a_vector_is_no_class():
    with pytest.raises(BadInput, match="vector"):
        Confusion.of(Values(kind=Kind.VECTOR, rows=1, data=np.zeros((1, 2))), numbers(np.array([1])))
