"""Effect and evidence, the default: a change that matters, and proof that it is no chance, looked at for ever.

Without a measure the rule watches the columns themselves: each is folded window by window into
`stats.evidence.column_evidence.ColumnEvidence`. With a measure it watches that measure's windows (`series_evidence`).
All of these share one stated budget (`preset`), and the alarm names its guarantee and its assumption.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from watchkeeper.decisions.rules.condition import ColumnFinding, Context, waiting
from watchkeeper.decisions.rules.memory import moment
from watchkeeper.decisions.rules.series import Series, number, verdict_of
from watchkeeper.decisions.rules.series_evidence import SeriesReading
from watchkeeper.decisions.rules.shares import evidence_of
from watchkeeper.domain.rule import Evaluation, Reads, Rule
from watchkeeper.domain.verdict import Verdict
from watchkeeper.errors import BadInput, nearest
from watchkeeper.stats.evidence.column_evidence import FEWEST_WINDOWS
from watchkeeper.stats.evidence.seasons import SEASONS

_SCORES = {
    "location": "the typical value (mean rank)",
    "spread": "the spread (mean rank distance)",
    "missing": "the share of missing values",
    "omnibus": "the whole distribution",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectAndEvidence:
    """Fails where a lasting change is larger than what is tolerated and the evidence reaches its threshold."""

    kind: ClassVar[str] = "evidence"
    needs_measure: ClassVar[bool] = False
    reads: ClassVar[Reads] = "evidence"
    may_page: ClassVar[bool] = True
    guarantee: ClassVar[str] = "a stated chance of ever firing falsely"

    matters: float = 0.0
    """Smallest effect that matters: in the measure's unit, or for columns in mean rank and share (0: .02)."""
    season: str = "none"
    """Rank windows within the same "weekday", "hour", "month", ..."""
    independent_rows: bool = False
    """Declare that rows are independent: then a break needs one window, not three."""
    min_rows: float = 20
    mean_time: float = 0.0
    """For a measure in [0, 1]: also fire on a rise whose false alarms are at least so many windows apart on average."""

    def __post_init__(self) -> None:
        if self.mean_time < 0:
            raise BadInput("A mean time between false alarms cannot be less than nothing.")
        if self.season not in SEASONS:
            raise BadInput(
                f"There is no season {self.season!r}.{nearest(self.season, SEASONS)}",
                f"Known: {', '.join(SEASONS)}.",
            )
        if self.matters < 0:
            raise BadInput("What matters cannot be less than nothing.")

    def evaluate(self, context: Context) -> Evaluation:
        """Say what the evidence of a column or a series says of a lasting change."""
        return evidence_evaluation(context, breaks=False)


def evidence_evaluation(context: Context, *, breaks: bool) -> Evaluation:
    """Say what evidence says: of a lasting change, or of a break."""
    if context.column is not None:
        return _of_column(context.rule, context.judged, context.column, breaks=breaks)
    rule, series, folded = context.rule, context.judged, context.folded
    undecided = verdict_of(series, rule, min_rows=evidence_of(rule).min_rows)
    if undecided is not None:
        return undecided
    if folded is None or not folded.evidence.ready:
        have = 0 if folded is None else folded.evidence.reference
        return series.evaluation(
            rule,
            Verdict.INCONCLUSIVE,
            f"{series.title} has {have} windows to compare with, and {FEWEST_WINDOWS} are needed.",
        )
    if folded.evidence.folded == 0:
        return series.evaluation(rule, Verdict.PASS, f"{series.title} has its windows to compare with now.")
    waits = waiting(context)
    if waits is not None:
        return waits
    reading = context.shares.read(rule, folded.evidence)
    return _of_series(rule, series, reading, [moment(s) for s in folded.starts[-400:]], breaks=breaks)


def _of_column(rule: Rule, series: Series, found: ColumnFinding, *, breaks: bool) -> Evaluation:
    """Of a column; *series* gives the place."""
    reading, starts, categories = found.reading, found.starts, found.categories
    fires = reading.broken if breaks else reading.persistent
    since = starts[-1] if fires and starts else None
    back = reading.window - reading.since if reading.since else 0
    if fires and not breaks and len(starts) > back:
        since = starts[-1 - back]
    name = _SCORES.get(reading.score, "")
    if not name:
        k = int(reading.score.removeprefix("share:"))
        name = (
            f"the share of {categories[k]!r}" if k < len(categories) else "the share of all other categories"
        )
    size = number(abs(reading.effect or 0.0))
    if breaks:
        sentence = (
            f"{series.subject} broke: its distribution is {number(reading.distance)} from the baseline's, "
            f"and {number(reading.break_threshold)} would already be a break."
        )
    elif reading.score == "omnibus":
        sentence = f"{series.subject} changed: {name} is off by {size} (phi-square; {number(reading.tolerated)} is tolerated)."
    else:
        way = "up" if reading.tail == "high" else "down"
        sentence = f"{series.subject} changed: {name} went {way} by {size} ({number(reading.tolerated)} is tolerated)."
    if not fires:
        sentence = (
            f"No lasting change of {series.subject}." if not breaks else f"No break of {series.subject}."
        )
    return series.evaluation(
        rule,
        Verdict.FAIL if fires else Verdict.PASS,
        sentence,
        value=reading.distance if breaks else reading.effect,
        interval=None,
        effect=reading.distance if breaks else reading.effect,
        limit=reading.break_threshold if breaks else reading.tolerated,
        evidence=(reading.distance / reading.break_threshold) if breaks else reading.share_of_threshold,
        since=since,
        guarantee=reading.guarantee,
        assumption=reading.assumption,
        details={"score": reading.score, "tail": reading.tail, "windows": reading.window, "breaks": breaks},
    )


def _of_series(
    rule: Rule, series: Series, reading: SeriesReading, starts: Sequence[datetime], *, breaks: bool
) -> Evaluation:
    """Of a measured series; *starts* are those of the windows that were folded."""
    fires = reading.broken or (reading.persistent and not breaks)
    back = max(reading.since, 1)
    since = starts[-back] if fires and len(starts) >= back else None
    if not fires:
        sentence = f"No lasting change of {series.title}." if not breaks else f"No break of {series.title}."
    elif breaks:
        sentence = (
            f"{series.title} broke: {number(reading.break_distance)} off its usual {number(reading.usual)}, "
            f"and {number(reading.break_threshold)} would already be a break."
        )
    else:
        sentence = (
            f"{series.title} went from {number(reading.usual)} to {number(reading.recent)} "
            f"({number(reading.tolerated)} is tolerated)."
        )
    guarantee = f"approximately {reading.guarantee}" if breaks else reading.guarantee
    return series.evaluation(
        rule,
        Verdict.FAIL if fires else Verdict.PASS,
        sentence,
        baseline=reading.usual,
        effect=reading.effect,
        limit=reading.break_threshold if breaks else reading.tolerated,
        evidence=(reading.break_distance / reading.break_threshold) if breaks else reading.share_of_threshold,
        since=since,
        guarantee=guarantee,
        assumption=reading.assumption,
        details={"windows": reading.windows},
    )
