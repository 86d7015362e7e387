"""Numbers as people and offices write them: ``1,5``, ``1.234,56``, ``1 234,5``, ``1,234.56``.

A column is read so only where *every* value is written in one and the same way; a guess between two ways (``1,234``)
follows what the rest of the file shows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

_SPACES = " \u00a0\u202f\u2009"
_EXPONENT = r"(?:[eE][+-]?\d+)?"


class Writing(NamedTuple):
    """How the numbers of a column are written."""

    decimal: str
    thousands: str
    """Characters that may group digits by three; empty for none."""

    def matches(self, word: str) -> bool:
        """Whether *word* is a number written so."""
        return re.fullmatch(self.pattern, word) is not None

    @property
    def pattern(self) -> str:
        """A regular expression that such numbers match whole."""
        point = re.escape(self.decimal)
        whole = r"\d+"
        if self.thousands:
            whole = rf"(?:\d{{1,3}}(?:[{re.escape(self.thousands)}]\d{{3}})+|\d{{1,3}})"
        return rf"[+-]?(?:{whole}(?:{point}\d*)?|{point}\d+){_EXPONENT}"

    def numbers(self, words: pa.Array) -> pa.Array:
        """Return *words* as float64, or int64 where all are whole; what is empty is null.

        Raises
        ------
        pyarrow.ArrowInvalid
            a word is no number written so.
        """
        if self.thousands:
            words = pc.replace_substring_regex(words, f"[{re.escape(self.thousands)}]", "")
        if self.decimal != ".":
            words = pc.replace_substring(words, self.decimal, ".")
        try:
            return words.cast(pa.int64())
        except pa.ArrowInvalid:
            return words.cast(pa.float64())


_COMMA = Writing(",", "")
_WAYS = (
    _COMMA,
    Writing(".", ","),
    Writing(",", "."),
    Writing(",", _SPACES),
    Writing(".", _SPACES),
    Writing(".", "'’"),
)


def writing_of(words: Iterable[str], *, delimiter: str) -> Writing | None:
    """How these numbers are written, where that is not the plain way; None if they are plain, or no numbers.

    ``1,234`` may be either: it is a fraction between semicolons; between commas it stands for a thousand; else it is a
    fraction unless some number below a thousand has none.

    >>> writing_of(["1,5", "2"], delimiter=","), writing_of(["1,234", "12"], delimiter=",")
    (Writing(decimal=',', thousands=''), Writing(decimal='.', thousands=','))
    >>> writing_of(["1.5", "x"], delimiter=";") is None
    True
    """
    words = list(words)
    if not words or not any(re.search(rf"[,'’{_SPACES}]|\..*\.", word.strip()) for word in words):
        return None
    found = [way for way in _WAYS if all(way.matches(word) for word in words)]
    if not found:
        return None
    if found[0] is _COMMA and Writing(".", ",") in found:
        bare = any("," not in word for word in words)
        zero = any(re.match(r"[+-]?0\d*,", word) for word in words)
        return _COMMA if zero or delimiter == ";" or (delimiter != "," and not bare) else Writing(".", ",")
    return found[0]


def grouped_by_points(words: Iterable[str]) -> bool:
    """Whether these are whole numbers grouped by points (``1.234``): asked only in a file of decimal commas.

    >>> grouped_by_points(["1.234", "17"]), grouped_by_points(["1.234", "1.5"]), grouped_by_points(["1.234", "2.345"])
    (True, False, True)
    """
    words = list(words)
    return bool(words) and any("." in w for w in words) and all(
        re.fullmatch(r"[+-]?[1-9]\d{0,2}(\.\d{3})+|[+-]?\d{1,3}", word) for word in words
    )  # fmt: skip
