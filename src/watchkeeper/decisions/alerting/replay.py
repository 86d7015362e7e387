"""Replay: what a rule would have done, before anybody is woken by it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from watchkeeper.decisions.alerting.state_machine import alert_labels, step
from watchkeeper.decisions.rules.evaluate import evaluate
from watchkeeper.decisions.rules.memory import Folded
from watchkeeper.decisions.rules.series import Point, Series
from watchkeeper.decisions.rules.series_alarm import begun
from watchkeeper.decisions.rules.shares import (
    folds,
    reads_rows,
    remembering,
    remembers,
    season_of,
    watches_columns,
)
from watchkeeper.domain.alert import Alert, AlertState
from watchkeeper.domain.measurement import Measure
from watchkeeper.domain.rule import Evaluation, Rule
from watchkeeper.errors import BadInput

SeriesName = tuple[str, str, str, str]
"""Measure, subject, segment, version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One window of a replay: what the rule said, and how the alert stood then."""

    evaluation: Evaluation
    alert: Alert | None

    @property
    def state(self) -> str:
        """The alert's state; inactive where there is none."""
        return AlertState.INACTIVE.value if self.alert is None else self.alert.state.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One time that an alert would have fired."""

    subject: str
    segment: str
    version: str
    since: datetime | None
    fired_at: datetime
    resolved_at: datetime | None
    sentence: str
    flapping: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What a rule would have done."""

    rule: str
    series: int
    windows: int
    verdicts: Mapping[str, int]
    episodes: tuple[Episode, ...]
    firing_share: float
    """Share of windows in which at least one alert would have fired."""


def walk(
    rule: Rule,
    name: SeriesName,
    points: Sequence[Point],
    *,
    model: str,
    described: Measure | None = None,
    timezone: str = "UTC",
    labels: Mapping[str, str] | None = None,
) -> Iterator[Step]:
    """Yield one step a window of one series, oldest first.

    Raises
    ------
    BadInput
        the rule reads more than one measured series (columns' own evidence, absence, composite).
    """
    if (
        rule.condition is None
        or not hasattr(rule.condition, "needs_measure")
        or rule.kind in ("absence", "composite", "broken")
    ):
        raise BadInput(
            f"The rule {rule.name!r} is of the kind {rule.kind!r}, which cannot be replayed by itself."
        )
    if reads_rows(rule):
        raise BadInput(
            f"The rule {rule.name!r} reads the errors of rows, which made-up series do not hold.",
            "Give it a measure, or try it on history:  watchkeeper alerts test",
        )
    if watches_columns(rule):
        raise BadInput(
            f"The rule {rule.name!r} watches the columns themselves, which measurements do not hold.",
            "Replay it on the baseline:  watchkeeper calibrate MODEL",
        )
    measure, subject, segment, version = name
    alert: Alert | None = None
    folded: Folded | None = None
    for end in range(1, len(points) + 1):
        seen = points[:end]
        series = Series(
            model=model,
            measure=measure,
            subject=subject,
            segment=segment,
            version=version,
            points=seen,
            described=described,
            timezone=timezone,
            now=seen[-1].window.end,
            firing=alert is not None and alert.is_firing,
        )
        if remembers(rule):
            memory = (
                begun(described, measure=measure, subject=subject)
                if folds(rule)
                else remembering(rule).begin(described)
            )
            folded = folded or Folded(evidence=memory)
            folded = folded.seen(series, stale_after_s=0.0, season=season_of(rule))
        evaluation = evaluate(rule, series, folded=folded)
        alert, _ = step(
            alert, evaluation, rule, now=seen[-1].window.end, labels=alert_labels(evaluation, rule, labels)
        )
        yield Step(evaluation=evaluation, alert=alert)


def summed_up(rule: Rule, walks: Iterable[Iterable[Step]], *, start: datetime | None = None) -> Replayed:
    """What *rule* would have done, from the steps of each of its series; what came before *start* is not counted."""
    verdicts: Counter[str] = Counter()
    episodes: list[Episode] = []
    fired: set[datetime] = set()
    windows: set[datetime] = set()
    taken = 0
    for steps in walks:
        taken += 1
        count, open_since = 0, None
        last: Alert | None = None
        for s in steps:
            window = s.evaluation.window
            if window is None or (start is not None and window.start < start):
                last, count = s.alert, s.alert.episode if s.alert else 0
                continue
            windows.add(window.start)
            verdicts[s.evaluation.verdict.value] += 1
            if s.alert is not None and s.alert.is_firing:
                fired.add(window.start)
            if s.alert is not None and s.alert.episode > count:
                count, open_since = s.alert.episode, s.alert
            if open_since is not None and s.alert is not None and not s.alert.is_firing:
                episodes.append(_episode(open_since, s.alert.resolved_at, s.alert.flapping))
                open_since = None
            last = s.alert
        if open_since is not None:
            episodes.append(_episode(open_since, None, last is not None and last.flapping))
    return Replayed(
        rule=rule.name,
        series=taken,
        windows=len(windows),
        verdicts=dict(verdicts),
        episodes=tuple(sorted(episodes, key=lambda e: (e.fired_at, e.subject, e.segment))),
        firing_share=len(fired) / len(windows) if windows else 0.0,
    )


def _episode(fired: Alert, resolved_at: datetime | None, flapping: bool) -> Episode:
    return Episode(
        subject=fired.labels.get("column", ""),
        segment=fired.labels.get("segment", ""),
        version=fired.labels.get("version", ""),
        since=fired.since,
        fired_at=fired.fired_at or fired.window_end or datetime.min,
        resolved_at=resolved_at,
        sentence=fired.sentence,
        flapping=flapping,
    )
