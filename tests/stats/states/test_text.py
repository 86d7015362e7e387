"""Lengths and shapes of texts, against Python's own string methods."""

import re

import numpy as np
import pytest

from watchkeeper.domain.schema import Kind
from watchkeeper.domain.values import Values
from watchkeeper.stats.states.codec import decode, encode
from watchkeeper.stats.states.text import TextLengths


def text_values(words, nulls=0):
    codes = np.concatenate([np.arange(len(words)), np.zeros(nulls)]).astype(np.int32)
    valid = np.arange(len(codes)) < len(words)
    return Values(
        kind=Kind.TEXT, rows=len(codes), data=codes, valid=valid, dictionary=np.array(words, dtype=object)
    )


WORDS = ["", " \t", "42", "٤٢", "-1.5e3", "Ünïcode", "SHOUT 1", "quiet", "a b", " led", "no\ufffd",
         "ann@example.org", "https://example.org/x", "2013-03-01", "x" * 300]  # fmt: skip

ASK = {
    "empty": lambda s: s == "",
    "blank": lambda s: s != "" and s.strip() == "",
    "padded": lambda s: s.strip() != "" and s != s.strip(),
    "digits": str.isdecimal,
    "letters": str.isalpha,
    "upper": str.isupper,
    "lower": str.islower,
    "has_space": lambda s: any(c.isspace() for c in s.strip()),
    "has_digit": lambda s: any(c.isdecimal() for c in s),
    "non_ascii": lambda s: not s.isascii(),
    "number": lambda s: bool(re.fullmatch(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", s, re.ASCII)),
    "replacement": lambda s: "\ufffd" in s,
}


@pytest.mark.parametrize("pattern", ASK)
def test_shapes_are_what_python_says(pattern):
    found = TextLengths.of(text_values(WORDS)).patterns[pattern]
    assert found == sum(ASK[pattern](word) for word in WORDS)


@pytest.mark.parametrize(
    ("pattern", "word"), [("e_mail", WORDS[-4]), ("url", WORDS[-3]), ("date", WORDS[-2])]
)
def test_shapes_with_a_name(pattern, word):
    assert TextLengths.of(text_values(WORDS)).patterns[pattern] == 1
    assert TextLengths.of(text_values([word])).share(pattern) == 1.0


def test_lengths_are_characters_and_nulls_are_apart():
    found = TextLengths.of(text_values(WORDS, nulls=3))
    assert found.nulls == 3
    assert found.length.mean == pytest.approx(np.mean([len(w) for w in WORDS]))
    assert found.length.max == 300


def test_a_lone_surrogate_is_counted_not_fatal():
    assert TextLengths.of(text_values(["\ud800", "ok"])).n == 2


def test_it_comes_back_from_bytes():
    found = TextLengths.of(text_values(WORDS))
    again = decode(encode(found))
    assert again.patterns == found.patterns
    assert again.merge(found).n == 2 * len(WORDS)
