"""Evaluate any rule that reads one series, whatever its kind; and keep the evidence of those that fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from watchkeeper.decisions.rules.break_rule import Break
from watchkeeper.decisions.rules.effect_and_evidence import series_evaluation
from watchkeeper.decisions.rules.series import Series, verdict_of
from watchkeeper.decisions.rules.series_evidence import SeriesEvidence
from watchkeeper.decisions.rules.shares import Shares, folds
from watchkeeper.domain.rule import Evaluation, Rule
from watchkeeper.domain.verdict import Verdict
from watchkeeper.stats.evidence.column_evidence import FEWEST_WINDOWS
from watchkeeper.stats.evidence.seasons import season_codes

_KEPT = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """Evidence of one series, and which windows are in it.

    A window is folded once it is mature, in order of time: one that waits for outcomes holds back those after
    it. What was folded stays folded.
    """

    evidence: SeriesEvidence
    starts: tuple[float, ...] = ()
    """Seconds since 1970 of the windows folded last, 1,000 at most."""
    until: float = 0.0
    """End of the newest folded window."""
    waiting: tuple[tuple[float, float, float | None, float, bool], ...] = ()
    """Windows that wait: start, end, value, standard error, mature."""

    def seen(self, series: Series, *, stale_after_s: float, season: str = "none") -> Folded:
        """Return the state after the last window of *series* was measured, mature or not."""
        point = series.points[-1]
        start, end = point.window.start.timestamp(), point.window.end.timestamp()
        if end <= self.until:
            return self
        now = series.now.timestamp() if series.now is not None else end
        entry = (start, end, point.value, point.standard_error or 0.0, series.mature)
        rest = [(s, e, v, se, m or now > e + stale_after_s) for s, e, v, se, m in self.waiting if e != end]
        waiting = sorted([*rest, entry])
        evidence, starts, until = self.evidence, list(self.starts), self.until
        while waiting and waiting[0][4]:
            begins, ends, value, error, _ = waiting.pop(0)
            until = ends
            if value is None:
                continue
            code = 0
            if season != "none":
                at = replace(point, window=replace(point.window, start=_moment(begins), end=_moment(ends)))
                code = int(season_codes(series.local_starts([at]), season)[0])
            evidence = evidence.update(value, error, stratum=code)
            starts.append(begins)
        return Folded(evidence=evidence, starts=tuple(starts[-_KEPT:]), until=until, waiting=tuple(waiting))

    def to_payload(self) -> dict[str, Any]:
        """Plain JSON values; `of_payload` reads them back."""
        return {
            "evidence": self.evidence.to_payload(),
            "starts": list(self.starts),
            "until": self.until,
            "waiting": [list(w) for w in self.waiting],
        }

    @classmethod
    def of_payload(cls, payload: dict[str, Any]) -> Folded:
        """Read what `to_payload` wrote."""
        return cls(
            evidence=SeriesEvidence.of_payload(payload["evidence"]),
            starts=tuple(payload["starts"]),
            until=payload["until"],
            waiting=tuple((s, e, v, se, bool(m)) for s, e, v, se, m in payload["waiting"]),
        )


def evaluate(
    rule: Rule, series: Series, *, folded: Folded | None = None, shares: Shares | None = None
) -> Evaluation:
    """Judge the last window of *series*. A rule that folds needs its *folded* state, this window included."""
    if not folds(rule):
        return rule.condition.evaluate(rule, series)  # type: ignore[no-any-return]
    undecided = verdict_of(series, rule, min_rows=rule.condition.min_rows)
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
    if folded.until < series.points[-1].window.end.timestamp():
        return series.evaluation(
            rule,
            Verdict.INCONCLUSIVE,
            f"{series.title} waits for earlier windows whose outcomes are still arriving.",
        )
    reading = (shares or Shares()).read(rule, folded.evidence)
    starts: Sequence[datetime] = [_moment(s) for s in folded.starts[-400:]]
    return series_evaluation(rule, series, reading, starts=starts, breaks=isinstance(rule.condition, Break))


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
