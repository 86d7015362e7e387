"""What every condition shares: it is evaluated on a context, which whoever judges fills in as the condition reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

from watchkeeper.decisions.rules.memory import Folded
from watchkeeper.decisions.rules.series import Series
from watchkeeper.decisions.rules.shares import Shares
from watchkeeper.domain.rule import Evaluation, Reads, Rule
from watchkeeper.domain.verdict import Verdict
from watchkeeper.stats.evidence.column_evidence import Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """What has arrived of a model: when its last predictions were made, and up to when outcomes are known.

    ``outcomes_until``: the end of the newest window with any outcome. ``outcomes_since``: the start of the oldest
    window that still waits for its outcomes.
    """

    model: str
    now: datetime
    predictions_until: datetime | None = None
    outcomes_until: datetime | None = None
    watched_since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnFinding:
    """What the evidence of one column says, the starts of its folded windows, and its named categories."""

    reading: Reading
    starts: Sequence[datetime] = ()
    categories: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a condition may read. Which parts are there follows from its `reads`; a condition asks for no other."""

    rule: Rule
    model: str = ""
    series: Series | None = None
    """"series", "evidence": the series that is judged, or for columns the place alone."""
    folded: Folded | None = None
    """What the condition keeps of the series, with its last window in it."""
    column: ColumnFinding | None = None
    """"evidence" without a measure."""
    shares: Shares = field(default_factory=Shares)
    arrivals: Arrivals | None = None
    """"arrivals"."""
    said: Mapping[str, Evaluation] = field(default_factory=dict)
    """"rules": the gravest evaluation of each other rule, by name."""

    @property
    def judged(self) -> Series:
        """The series that is judged, of a condition that reads one."""
        assert self.series is not None, f"a rule of the kind {self.rule.kind!r} reads a series"
        return self.series


def waiting(context: Context) -> Evaluation | None:
    """What a rule that keeps something of a series says while earlier windows wait for their outcomes; None: go on."""
    series, folded = context.judged, context.folded
    if folded is None or folded.until >= series.last.window.end.timestamp():
        return None
    return series.evaluation(
        context.rule,
        Verdict.INCONCLUSIVE,
        f"{series.title} waits for earlier windows whose outcomes are still arriving.",
    )


@dataclass(frozen=True, slots=True)
class Trouble:
    """The condition of rules on the watching itself: nobody evaluates them, whoever meets the trouble reports it."""

    kind: ClassVar[str] = "error"
    needs_measure: ClassVar[bool] = False
    reads: ClassVar[Reads] = "rules"
    may_page: ClassVar[bool] = True
    guarantee: ClassVar[str] = "exact: it failed"

    def evaluate(self, context: Context) -> Evaluation:
        """Is not called."""
        raise NotImplementedError("trouble is reported by whoever meets it")
