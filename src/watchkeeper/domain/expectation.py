"""What a user expects of a column: a range, a set, a pattern, no nulls, no copies."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from watchkeeper.errors import BadInput, nearest

__all__ = ["Expectation", "Rule"]


class Rule(StrEnum):
    """The kinds of expectation."""

    NOT_NULL = "not_null"
    COMPLETE = "complete"
    BETWEEN = "between"
    ONE_OF = "one_of"
    MATCHES = "matches"
    UNIQUE = "unique"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """One expectation of one column; nulls break only those that speak of nulls.

    ``tolerance`` is the share of rows that may break it. Make one with the constructors below.

    >>> Expectation.between("age", 0, 120).sentence
    'age lies between 0 and 120'
    >>> Expectation.of_dict(Expectation.one_of("sex", ["f", "m"]).to_dict()).values
    ('f', 'm')
    """

    column: str
    rule: Rule
    low: float | None = None
    high: float | None = None
    values: tuple[str, ...] = ()
    pattern: str = ""
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.tolerance < 1.0:
            raise BadInput(
                f"The tolerance for {self.column!r} is a share from 0 to 1, not {self.tolerance!r}.",
                "0.01 lets one row in a hundred break the expectation.",
            )
        if self.rule is Rule.BETWEEN:
            if self.low is None and self.high is None:
                raise BadInput(f"The range of {self.column!r} has neither end.", "Give low, high, or both.")
            if self.low is not None and self.high is not None and self.low > self.high:
                raise BadInput(
                    f"The range of {self.column!r} ends ({self.high}) before it starts ({self.low})."
                )
        if self.rule is Rule.MATCHES:
            try:
                re.compile(self.pattern)
            except re.error as cause:
                raise BadInput(
                    f"The pattern for {self.column!r} is no regular expression: {cause}.",
                    f"It reads: {self.pattern}",
                ) from cause

    @classmethod
    def not_null(cls, column: str, *, tolerance: float = 0.0) -> Expectation:
        """No value is missing."""
        return cls(column=column, rule=Rule.NOT_NULL, tolerance=tolerance)

    @classmethod
    def complete(cls, column: str, at_least: float) -> Expectation:
        """At least the share *at_least* of values is there."""
        if not 0.0 < at_least <= 1.0:
            raise BadInput(f"The completeness of {column!r} is a share from 0 to 1, not {at_least!r}.")
        return cls(column=column, rule=Rule.COMPLETE, tolerance=1.0 - at_least)

    @classmethod
    def between(
        cls, column: str, low: float | None, high: float | None, *, tolerance: float = 0.0
    ) -> Expectation:
        """Every number lies from *low* to *high*, both included; None is an open end."""
        return cls(column=column, rule=Rule.BETWEEN, low=low, high=high, tolerance=tolerance)

    @classmethod
    def one_of(cls, column: str, values: Iterable[Any], *, tolerance: float = 0.0) -> Expectation:
        """Every value is one of *values*, compared as text (booleans as ``true`` and ``false``)."""
        names = tuple(str(v).lower() if isinstance(v, bool) else _text(v) for v in values)
        if not names:
            raise BadInput(f"The set of values for {column!r} is empty.", "Give at least one value.")
        return cls(column=column, rule=Rule.ONE_OF, values=names, tolerance=tolerance)

    @classmethod
    def matches(cls, column: str, pattern: str, *, tolerance: float = 0.0) -> Expectation:
        """Every text matches the regular expression *pattern* from its first to its last character."""
        return cls(column=column, rule=Rule.MATCHES, pattern=pattern, tolerance=tolerance)

    @classmethod
    def unique(cls, column: str, *, tolerance: float = 0.0) -> Expectation:
        """No value occurs twice."""
        return cls(column=column, rule=Rule.UNIQUE, tolerance=tolerance)

    @classmethod
    def of_text(cls, text: str) -> Expectation:
        """Read one from words; a column's name with spaces stands in quotes.

        Known: ``COLUMN between LOW and HIGH``, ``COLUMN >= LOW``, ``COLUMN <= HIGH``, ``COLUMN in A, B``,
        ``COLUMN matches PATTERN``, ``COLUMN not null``, ``COLUMN complete SHARE``, ``COLUMN unique``.

        Raises
        ------
        BadInput
            it is none of these.

        >>> [Expectation.of_text(t).sentence for t in ("age >= 18", "'home town' not null", "sex in f, m")]
        ['age is at least 18', 'home town is never missing', 'sex is one of f, m']
        """
        number = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
        found = re.fullmatch(r"""\s*(?:'([^']+)'|"([^"]+)"|(\S+))\s+(.*?)\s*""", text)
        column, said = (next(g for g in found.groups()[:3] if g), found[4]) if found else ("", "")
        if m := re.fullmatch(rf"between\s+({number})\s+and\s+({number})", said, re.I):
            return cls.between(column, float(m[1]), float(m[2]))
        if m := re.fullmatch(rf"(>=|<=)\s*({number})", said):
            low, high = (float(m[2]), None) if m[1] == ">=" else (None, float(m[2]))
            return cls.between(column, low, high)
        if m := re.fullmatch(r"(?:in|one of)\s+(.+)", said, re.I):
            return cls.one_of(column, [v.strip() for v in m[1].split(",") if v.strip()])
        if m := re.fullmatch(r"matches\s+(.+)", said, re.I):
            return cls.matches(column, m[1])
        if re.fullmatch(r"(?:is\s+)?not\s+null", said, re.I):
            return cls.not_null(column)
        if re.fullmatch(r"(?:is\s+)?unique", said, re.I):
            return cls.unique(column)
        if m := re.fullmatch(rf"complete\s+({number})", said, re.I):
            return cls.complete(column, float(m[1]))
        raise BadInput(
            f"{text!r} is no expectation.",
            "Say for example:  age between 0 and 120;  age >= 18;  sex in f, m;  code matches [A-Z]+;",
            "                  id unique;  id not null;  note complete 0.95",
        )

    @property
    def sentence(self) -> str:
        """The expectation in words."""
        match self.rule:
            case Rule.NOT_NULL:
                said = "is never missing"
            case Rule.COMPLETE:
                return f"{self.column} is there in at least {1 - self.tolerance:.4g} of the rows"
            case Rule.BETWEEN if self.low is None:
                said = f"is at most {self.high:g}"
            case Rule.BETWEEN if self.high is None:
                said = f"is at least {self.low:g}"
            case Rule.BETWEEN:
                said = f"lies between {self.low:g} and {self.high:g}"
            case Rule.ONE_OF:
                shown = ", ".join(self.values[:5])
                said = f"is one of {shown}" + (f" and {len(self.values) - 5} more" * (len(self.values) > 5))
            case Rule.MATCHES:
                said = f"matches {self.pattern}"
            case Rule.UNIQUE:
                said = "never occurs twice"
        within = f", in all but {self.tolerance:.4g} of the rows" if self.tolerance else ""
        return f"{self.column} {said}{within}"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; what has its default is left out."""
        out: dict[str, Any] = {"column": self.column, "rule": self.rule.value}
        for name in ("low", "high"):
            if (end := getattr(self, name)) is not None:
                out[name] = end
        if self.values:
            out["values"] = list(self.values)
        if self.pattern:
            out["pattern"] = self.pattern
        if self.tolerance:
            out["tolerance"] = self.tolerance
        return out

    @classmethod
    def of_dict(cls, raw: Mapping[str, Any]) -> Expectation:
        """Read what `to_dict` wrote.

        Raises
        ------
        BadInput
            the rule or a key is not known, or the column is not named.
        """
        known = ("column", "rule", "low", "high", "values", "pattern", "tolerance")
        for key in raw:
            if key not in known:
                raise BadInput(
                    f"An expectation has no {key!r}.{nearest(key, known)}", f"Known: {', '.join(known)}."
                )
        rules = [rule.value for rule in Rule]
        if raw.get("rule") not in rules:
            name = str(raw.get("rule"))
            raise BadInput(
                f"There is no expectation {name!r}.{nearest(name, rules)}", f"Known: {', '.join(rules)}."
            )
        if "column" not in raw:
            raise BadInput("An expectation names no column.", "Add the key 'column'.")
        return cls(
            column=str(raw["column"]),
            rule=Rule(raw["rule"]),
            low=raw.get("low"),
            high=raw.get("high"),
            values=tuple(_text(v) for v in raw.get("values", ())),
            pattern=str(raw.get("pattern", "")),
            tolerance=float(raw.get("tolerance", 0.0)),
        )


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
