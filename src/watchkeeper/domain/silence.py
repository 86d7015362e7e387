"""Silences and their matchers: which alerts say nothing for a while, by whose word, and why."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from watchkeeper.errors import BadInput

__all__ = ["Matcher", "Silence", "all_match", "parse_matcher", "parse_matchers"]

_WRITTEN = re.compile(r"""\s*([A-Za-z_][A-Za-z0-9_.-]*)\s*(=~|!~|!=|=)\s*(.*?)\s*""", re.DOTALL)


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on one label, as Alertmanager writes it: ``=``, ``!=``, ``=~``, ``!~``.

    A label that an alert does not have is empty. Regular expressions must match the whole value.

    >>> Matcher("column", "=~", "age|income").matches({"column": "age"})
    True
    >>> Matcher("team", "!=", "risk").matches({})
    True
    """

    label: str
    operator: str
    value: str

    def __post_init__(self) -> None:
        if self.operator not in ("=", "!=", "=~", "!~"):
            raise BadInput(f"{self.operator!r} does not compare labels.", "Known: =, !=, =~ and !~.")
        if self.operator in ("=~", "!~"):
            try:
                _compiled(self.value)
            except re.error as cause:
                where = "" if cause.pos is None else f" at position {cause.pos + 1}"
                raise BadInput(
                    f"The matcher {self} has a regular expression that cannot be read: {cause.msg}{where}.",
                    "Put a backslash before a sign that stands for itself, or compare with = instead.",
                ) from None

    def __str__(self) -> str:
        return f'{self.label}{self.operator}"{self.value}"'

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether *labels* satisfy it."""
        value = labels.get(self.label, "")
        if self.operator == "=":
            return value == self.value
        if self.operator == "!=":
            return value != self.value
        found = _compiled(self.value).fullmatch(value) is not None
        return found == (self.operator == "=~")


def parse_matcher(text: str) -> Matcher:
    """Read ``label=value``; the value may be quoted.

    Raises
    ------
    BadInput
        there is no operator, or the regular expression is wrong.

    >>> print(parse_matcher("severity!=notice"))
    severity!="notice"
    """
    found = _WRITTEN.fullmatch(text)
    if not found:
        raise BadInput(
            f"{text!r} is not a matcher.",
            'Write label=value, label!=value, label=~"regex" or label!~"regex".',
        )
    value = found[3]
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1]
    return Matcher(found[1], found[2], value)


def parse_matchers(raw: Mapping[str, str] | Iterable[str]) -> tuple[Matcher, ...]:
    """Read matchers: texts, or a table of label to value, where ``"~regex"``, ``"!value"`` and ``"!~regex"`` say more.

    >>> [str(m) for m in parse_matchers({"team": "risk", "column": "~age.*", "severity": "!notice"})]
    ['team="risk"', 'column=~"age.*"', 'severity!="notice"']
    """
    if isinstance(raw, str):
        return (parse_matcher(raw),)
    if not isinstance(raw, Mapping):
        return tuple(parse_matcher(text) for text in raw)
    out = []
    for label, value in raw.items():
        if not isinstance(value, str):
            raise BadInput(f"The label {label!r} is compared with {value!r}, which is not text.", "Quote it.")
        for sign, operator in (("!~", "!~"), ("~", "=~"), ("!", "!="), ("", "=")):
            if value.startswith(sign):
                out.append(Matcher(label, operator, value[len(sign) :]))
                break
    return tuple(out)


def all_match(matchers: Sequence[Matcher], labels: Mapping[str, str]) -> bool:
    """Whether *labels* satisfy every matcher."""
    return all(matcher.matches(labels) for matcher in matchers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Alerts whose labels match say nothing from ``starts_at`` until ``ends_at``. They still fire and resolve.

    >>> from datetime import UTC
    >>> silence = Silence(id="1", matchers=parse_matchers({"model": "churn"}), author="ann", reason="migration",
    ...                   starts_at=datetime(2026, 1, 1, tzinfo=UTC), ends_at=datetime(2026, 1, 2, tzinfo=UTC))
    >>> silence.mutes({"model": "churn"}, datetime(2026, 1, 1, 5, tzinfo=UTC))
    True
    """

    id: str
    matchers: tuple[Matcher, ...]
    author: str
    reason: str
    starts_at: datetime
    ends_at: datetime
    created_at: datetime | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    state: str = "active"
    """``active``, also before it starts; ``expired`` once it is written down that it ended."""

    def __post_init__(self) -> None:
        if not self.matchers or all(m.matches({}) for m in self.matchers):
            raise BadInput(
                "This silence would mute everything.",
                "Name at least one label with a value, such as model=churn.",
            )
        for name in ("author", "reason"):
            if not getattr(self, name).strip():
                raise BadInput(f"A silence needs its {name}.", "Whoever finds it later will want to know.")
        if self.ends_at <= self.starts_at:
            raise BadInput(f"The silence ends ({self.ends_at}) before it starts ({self.starts_at}).")

    def active(self, now: datetime) -> bool:
        """Whether it holds at *now*."""
        return self.starts_at <= now < self.ends_at

    def mutes(self, labels: Mapping[str, str], now: datetime) -> bool:
        """Whether an alert with *labels* says nothing at *now*."""
        return self.active(now) and all_match(self.matchers, labels)
