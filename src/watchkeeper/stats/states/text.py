"""Texts: how long they are, and how many have which shape.

Lengths are counted in characters on a fixed lattice (each length up to 64 by itself, then in steps of about
10%), so that any two states compare. Shapes are simple questions with yes or no, asked of the distinct texts
only; several may hold for one text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, ClassVar, Self

import numpy as np

from watchkeeper.domain.values import Values
from watchkeeper.stats.states.edges import Edges
from watchkeeper.stats.states.histogram import Histogram
from watchkeeper.stats.states.moments import Moments
from watchkeeper.stats.states.state import Accuracy

PATTERNS: dict[str, str] = {
    "empty": r"^$",
    "blank": r"^\s+$",
    "padded": r"^\s+\S|\S\s+$",
    "digits": r"^\p{Nd}+$",
    "number": r"^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?$",
    "letters": r"^\p{L}+$",
    "upper": r"^[^\p{Ll}]*\p{Lu}[^\p{Ll}]*$",
    "lower": r"^[^\p{Lu}]*\p{Ll}[^\p{Lu}]*$",
    "has_space": r"\S\s+\S",
    "has_digit": r"\p{Nd}",
    "non_ascii": r"[^\x00-\x7F]",
    "e_mail": r"^[^@\s]+@[^@\s]+\.[^@\s.]+$",
    "url": r"^[A-Za-z][A-Za-z0-9+.-]*://\S+$",
    "date": r"^\d{4}-\d{2}-\d{2}",
    "replacement": "\ufffd",
}
"""Name of each shape and the regular expression (RE2) that it is; ``replacement`` is a broken encoding."""


@cache
def length_edges() -> Edges:
    """The lattice of lengths: whole numbers, the same for every column."""
    steps = np.unique(np.round(65 * 1.1 ** np.arange(105)).astype(np.int64))
    cuts = np.concatenate([np.arange(1, 65, dtype=np.int64), steps])
    return Edges(cuts, np.full(cuts.size, 11, np.uint8))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TextLengths:
    """Lengths in characters of the texts that are not null, and ``patterns``: rows of each shape.

    >>> from watchkeeper.domain.schema import Kind
    >>> words = np.array(["ab", "7", ""], dtype=object)
    >>> t = TextLengths.of(Values(kind=Kind.TEXT, rows=4, data=np.array([0, 1, 1, 2]), dictionary=words))
    >>> t.length.mean, t.patterns["digits"], t.share("empty")
    (1.0, 2, 0.25)
    """

    kind: ClassVar[str] = "text"

    length: Moments
    lengths: Histogram
    patterns: dict[str, float]
    nulls: float = 0

    @classmethod
    def empty(cls) -> Self:
        """No rows."""
        return cls(
            length=Moments.empty(),
            lengths=Histogram.empty(length_edges()),
            patterns=dict.fromkeys(PATTERNS, 0),
        )

    @classmethod
    def of(cls, values: Values) -> Self:
        """The state of one batch of a text or categorical column (codes into a dictionary)."""
        codes = values.data if values.valid is None else values.data[values.valid]
        nulls = values.rows - int(codes.size)
        rows = np.bincount(codes, minlength=len(values.dictionary)) if codes.size else np.zeros(0, int)
        used = np.flatnonzero(rows)
        if not used.size:
            return replace(cls.empty(), nulls=nulls)
        import pyarrow as pa
        import pyarrow.compute as pc

        # A lone surrogate is no text in UTF-8; Arrow would refuse it.
        texts = values.dictionary[used]
        try:
            words = pa.array(texts, type=pa.large_string())
        except (UnicodeEncodeError, pa.ArrowInvalid):
            words = pa.array(
                [str(t).encode("utf-8", "replace").decode() for t in texts], type=pa.large_string()
            )
        rows = rows[used]
        lengths = np.repeat(np.asarray(pc.utf8_length(words), dtype=np.int64), rows)
        patterns: dict[str, float] = {}
        for name, pattern in PATTERNS.items():
            hits = pc.match_substring_regex(words, pattern)
            patterns[name] = int(rows[np.asarray(hits)].sum())
        return cls(
            length=Moments.of(lengths),
            lengths=Histogram.of(lengths, length_edges()),
            patterns=patterns,
            nulls=nulls,
        )

    def merge(self, other: Self) -> Self:
        """Add up. A shape that only a later version asks for counts the rows that were asked."""
        names = dict.fromkeys((*self.patterns, *other.patterns))
        return replace(
            self,
            length=self.length.merge(other.length),
            lengths=self.lengths.merge(other.lengths),
            patterns={name: self.patterns.get(name, 0) + other.patterns.get(name, 0) for name in names},
            nulls=self.nulls + other.nulls,
        )

    def scaled(self, factor: float) -> Self:
        """Each row weighs *factor*."""
        return replace(
            self,
            length=self.length.scaled(factor),
            lengths=self.lengths.scaled(factor),
            patterns={name: count * factor for name, count in self.patterns.items()},
            nulls=self.nulls * factor,
        )

    @property
    def n(self) -> float:
        """Texts that are not null."""
        return self.length.n

    def share(self, pattern: str) -> float:
        """Share of the texts that have this shape; NaN with no text."""
        return self.patterns[pattern] / self.n if self.n else float("nan")

    @property
    def accuracy(self) -> Accuracy:
        """Shapes and the moments of lengths are exact; the distribution is binned past 64 characters."""
        return self.lengths.accuracy

    def to_payload(self) -> dict[str, Any]:
        """Moments, counts of the lattice, and shapes."""
        return {
            "length": self.length.to_payload(),
            "lengths": self.lengths,
            "patterns": self.patterns,
            "nulls": self.nulls,
        }

    @classmethod
    def of_payload(cls, payload: Mapping[str, Any]) -> Self:
        """Read `to_payload`."""
        return cls(
            length=Moments.of_payload(payload["length"]),
            lengths=payload["lengths"],
            patterns=dict(payload["patterns"]),
            nulls=payload["nulls"],
        )
