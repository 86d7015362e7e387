"""Expectations say what is wrong with them, and come back from plain values."""

import pytest

from watchkeeper.domain.expectation import Expectation
from watchkeeper.errors import BadInput

ALL = [
    Expectation.not_null("x"),
    Expectation.complete("x", 0.9),
    Expectation.between("x", None, 10, tolerance=0.01),
    Expectation.one_of("x", [1, 2.0, True, "b"]),
    Expectation.matches("x", r"\d+"),
    Expectation.unique("x"),
]


@pytest.mark.parametrize("expected", ALL, ids=lambda e: e.rule.value)
def test_it_comes_back_from_plain_values(expected):
    assert Expectation.of_dict(expected.to_dict()) == expected
    assert expected.sentence.startswith("x ")


def test_values_are_compared_as_the_text_that_states_count():
    assert Expectation.one_of("x", [1, 2.0, True, "b"]).values == ("1", "2", "true", "b")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Expectation.between("x", None, None), "neither end"),
        (lambda: Expectation.between("x", 5, 1), "before it starts"),
        (lambda: Expectation.matches("x", "["), "no regular expression"),
        (lambda: Expectation.one_of("x", []), "empty"),
        (lambda: Expectation.complete("x", 90), "share"),
        (lambda: Expectation.not_null("x", tolerance=5), "tolerance"),
        (lambda: Expectation.of_dict({"column": "x", "rule": "betwen"}), "Did you mean 'between'"),
        (lambda: Expectation.of_dict({"column": "x", "rule": "unique", "lo": 1}), "Did you mean 'low'"),
        (lambda: Expectation.of_dict({"rule": "unique"}), "names no column"),
    ],
)
def test_what_makes_no_sense_is_refused(make, said):
    with pytest.raises(BadInput, match=said):
        make()
