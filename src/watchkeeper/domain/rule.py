"""A rule's words: how grave it is, what it may watch, and what one evaluation of it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, ClassVar, Literal, Protocol

from watchkeeper.domain.measurement import Interval
from watchkeeper.domain.verdict import Verdict
from watchkeeper.domain.window import Window

__all__ = [
    "NO_GUARANTEE",
    "OUTSIDE",
    "Category",
    "Condition",
    "Evaluation",
    "Reads",
    "Rule",
    "Selector",
    "Severity",
]

NO_GUARANTEE = "no bound on false alarms"
"""What a rule says that promises nothing; such a rule does not page unless its owner says so."""


OUTSIDE = "outside."
"""How the names of measurements begin that come from outside, through the API."""


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


Reads = Literal["series", "evidence", "arrivals", "rules"]
"""What a condition reads: one series of measurements; evidence over time of columns or of a series; what came and when;
what other rules said."""


class Condition(Protocol):
    """What counts as wrong: a kind of rule, or a trigger. The classes are in ``decisions``, and a kind joins there."""

    kind: ClassVar[str]
    needs_measure: ClassVar[bool]
    reads: ClassVar[Reads]

    @property
    def may_page(self) -> bool:
        """Whether it wakes people unless its owner says otherwise."""

    @property
    def guarantee(self) -> str:
        """What it promises about false alarms, in words."""

    def evaluate(self, context: Any, /) -> Evaluation:
        """Judge a ``decisions.rules.condition.Context``, of which those parts are filled in that it reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What is watched, what counts as wrong (*condition*), and how people hear of it.

    ``condition`` is one of the classes in ``decisions/rules``; ``kind`` is its name there.
    """

    name: str
    kind: str
    condition: Condition
    selector: Selector = Selector()
    severity: Severity = Severity.NOTICE
    hold: timedelta = timedelta(0)
    """How long it must fail before the alert fires (``for`` in the file), in the time of the windows."""
    keep_firing_for: timedelta = timedelta(0)
    """How long after the last failing window the alert goes on."""
    resolve_after: int = 1
    """How many good mature windows in a row end the alert."""
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
