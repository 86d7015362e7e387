"""A rule's words: how grave it is, what it may watch, and what one evaluation of it says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from watchkeeper.domain.measurement import Interval
from watchkeeper.domain.verdict import Verdict
from watchkeeper.domain.window import Window
from watchkeeper.errors import BadInput

__all__ = [
    "NO_GUARANTEE",
    "Category",
    "Evaluation",
    "Rule",
    "Selector",
    "Severity",
    "duration_of",
    "duration_words",
    "moment_of",
]

NO_GUARANTEE = "no bound on false alarms"
"""What a rule says that promises nothing; such a rule does not page unless its owner says so."""


class Severity(StrEnum):
    """How loudly people are told. Only warning and critical may page.

    >>> Severity.NOTICE.pages, Severity.CRITICAL.least(Severity.WARNING)
    (False, <Severity.WARNING: 'warning'>)
    """

    NOTICE = "notice"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def pages(self) -> bool:
        """Whether it may wake somebody."""
        return self is not Severity.NOTICE

    @property
    def rank(self) -> int:
        """0 for notice, 1 for warning, 2 for critical."""
        return list(Severity).index(self)

    def least(self, other: Severity | None) -> Severity:
        """The quieter of the two."""
        return self if other is None or self.rank <= other.rank else other


class Category(StrEnum):
    """What went wrong: the model (a rule), the data's arrival, or the watching itself. Routes tell them apart."""

    RULE = "rule"
    NO_DATA = "no_data"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """Which series a rule reads: one measure; subjects, segments and versions by glob.

    By default all columns, all rows together, all versions together.

    >>> Selector(measure="psi", subjects=("age*",)).takes("psi", "age_years", "", "")
    True
    """

    measure: str = ""
    subjects: tuple[str, ...] = ("*",)
    segments: tuple[str, ...] = ("",)
    versions: tuple[str, ...] = ("",)

    def takes(self, measure: str, subject: str, segment: str, version: str) -> bool:
        """Whether the series is one of them."""
        return (
            measure == self.measure
            and _any(self.segments, segment)
            and _any(self.versions, version)
            and _any(self.subjects, subject)
        )


def _any(patterns: tuple[str, ...], word: str) -> bool:
    return any(p == word or (p != "" and fnmatchcase(word, p)) for p in patterns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What is watched, what counts as wrong (*condition*), and how people hear of it.

    ``condition`` is one of the classes in ``decisions/rules``; ``kind`` is its name there.
    """

    name: str
    kind: str
    condition: Any
    selector: Selector = Selector()
    severity: Severity = Severity.NOTICE
    hold: timedelta = timedelta(0)
    """How long it must fail before the alert fires (``for`` in the file), in the time of the windows."""
    keep_firing_for: timedelta = timedelta(0)
    """How long after the last failing window the alert goes on."""
    labels: Mapping[str, str] = field(default_factory=dict)
    about: str = ""
    """One sentence for whoever is woken by it."""
    runbook: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One rule, over one series, after one window.

    ``evidence`` is a share: 1 and more is enough. ``since`` is when the change most likely began. ``limit`` is
    the level that was crossed or would have to be. ``loudest`` caps the severity (a forecast that has not
    earned trust).
    """

    rule: str
    model: str
    verdict: Verdict
    sentence: str
    version: str = ""
    segment: str = ""
    measure: str = ""
    subject: str = ""
    window: Window | None = None
    value: float | None = None
    baseline: float | None = None
    interval: Interval | None = None
    limit: float | None = None
    effect: float | None = None
    evidence: float | None = None
    rows: float = 0
    since: datetime | None = None
    guarantee: str = NO_GUARANTEE
    assumption: str = ""
    category: Category = Category.RULE
    loudest: Severity | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; what has nothing to say is left out."""
        out: dict[str, Any] = {
            "rule": self.rule,
            "model": self.model,
            "verdict": self.verdict.value,
            "sentence": self.sentence,
            "guarantee": self.guarantee,
        }
        for name in ("version", "segment", "measure", "subject", "assumption"):
            if item := getattr(self, name):
                out[name] = item
        for name in ("value", "baseline", "limit", "effect", "evidence"):
            if (item := getattr(self, name)) is not None:
                out[name] = item
        if self.window is not None:
            out["window"] = [self.window.start.isoformat(), self.window.end.isoformat()]
        if self.interval is not None:
            out["interval"] = [self.interval.low, self.interval.high, self.interval.level]
        if self.rows:
            out["rows"] = self.rows
        if self.since is not None:
            out["since"] = self.since.isoformat()
        if self.details:
            out["details"] = dict(self.details)
        return out


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([smhdw])\s*")


def duration_of(text: object) -> timedelta:
    """Read a duration as people write it.

    Raises
    ------
    BadInput
        it is not a number with a unit.

    >>> duration_of("36h")
    datetime.timedelta(days=1, seconds=43200)
    """
    if isinstance(text, timedelta):
        return text
    found = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if not found:
        raise BadInput(
            f"{text!r} is not a duration.", 'Write a number and a unit: "30s", "15m", "1h", "7d" or "2w".'
        )
    return timedelta(seconds=float(found[1]) * _UNITS[found[2]])


def duration_text(length: timedelta) -> str:
    """Write a duration so that `duration_of` reads it.

    >>> duration_text(timedelta(minutes=90)), duration_text(timedelta(days=14))
    ('90m', '2w')
    """
    seconds = length.total_seconds()
    for unit, size in sorted(_UNITS.items(), key=lambda pair: -pair[1]):
        if seconds and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"


def moment_of(text: str, now: datetime, *, ahead: bool = False) -> datetime:
    """Read a time as people write it: ISO 8601 (UTC unless it says otherwise), ``now``, or how long before *now*.

    With *ahead*, a length of time is after *now*: for what will end or is due.

    Raises
    ------
    BadInput
        it is neither.

    >>> noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    >>> f"{moment_of('2h', noon):%H:%M} {moment_of('2h', noon, ahead=True):%H:%M} {moment_of('2026-02-28', noon):%d %b}"
    '10:00 14:00 28 Feb'
    """
    if text == "now":
        return now
    try:
        length = duration_of(text)
    except BadInput:
        pass
    else:
        try:
            return now + length if ahead else now - length
        except OverflowError:
            raise BadInput(f"{text!r} is too long.") from None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        when = "from now" if ahead else "ago"
        raise BadInput(
            f"{text!r} is not a time.", f'Write "2026-01-31", "2026-01-31T22:00Z" or "30d" ({when}).'
        ) from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def duration_words(length: timedelta) -> str:
    """Say a duration as a person would.

    >>> duration_words(timedelta(hours=36)), duration_words(timedelta(days=14)), duration_words(timedelta(0))
    ('36 hours', '14 days', 'no time')
    """
    seconds = length.total_seconds()
    for size, name in ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= size and (seconds % size == 0 or seconds >= 10 * size or size == 1):
            count = round(seconds / size)
            return f"{count} {name}" + ("s" if count != 1 else "")
    return "no time"
