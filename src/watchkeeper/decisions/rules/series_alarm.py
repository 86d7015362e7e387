"""A measured series' evidence: what it begins from, and at which windows a rule fires on it.

The watch folds one window at a time (`evaluate`); a replay has them all at hand (`alarms`). Both begin from `begun` and
read by `Shares.read`, so that both say the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from watchkeeper.decisions.rules.series_evidence import SeriesEvidence, SeriesReading
from watchkeeper.decisions.rules.shares import Shares, evidence_of
from watchkeeper.domain.measurement import Direction, Family, Measure
from watchkeeper.domain.rule import Rule
from watchkeeper.stats.evidence.column_evidence import FEWEST_WINDOWS

ScoredWindow = tuple[float, float, int]
"""A window's value, its standard error of sampling (0: unknown), and its season."""


def ranks_among_baseline(described: Measure | None, *, subject: str, segment: str) -> bool:
    """Whether a series' windows are ranked among the baseline's own.

    Only realised performance of all rows is: the baseline's windows are a part of the baseline, so what is measured
    *against* the baseline is smaller for them than for any window that comes later.
    """
    return described is not None and described.family is Family.PERFORMANCE and not subject and not segment


def begun(
    described: Measure | None, *, measure: str, subject: str = "", own: Sequence[ScoredWindow] = ()
) -> SeriesEvidence:
    """Begin from the baseline's *own* windows; with fewer than 20, the first 20 that come stand in for them."""
    direction = Direction.NEITHER if described is None else described.direction
    return SeriesEvidence.of(
        [value for value, _, _ in own],
        [error for _, error, _ in own],
        name=f"{measure}|{subject}",
        sign={Direction.HIGHER_IS_WORSE: 1, Direction.LOWER_IS_WORSE: -1}.get(direction, 0),
        strata=[season for _, _, season in own],
    )


def first_reference(evidence: SeriesEvidence, windows: Iterable[ScoredWindow]) -> SeriesEvidence:
    """Take the first 20 of *windows* as what is usual, where the evidence has no baseline of its own."""
    for value, error, season in windows:
        if evidence.reference >= FEWEST_WINDOWS:
            break
        evidence = evidence.update(value, error, stratum=season)
    return evidence


def fires(rule: Rule, reading: SeriesReading) -> bool:
    """Whether *rule* fires at that reading: by evidence, or by three windows in a row that no chance explains."""
    return reading.broken or (reading.persistent and rule.kind != "break")


def alarms(
    rule: Rule, evidence: SeriesEvidence, windows: Sequence[ScoredWindow | None], shares: Shares
) -> Iterator[bool]:
    """Yield whether *rule* fires after each of *windows*; None is a window that could not be measured.

    A reading costs two milliseconds, so it is taken only where the effect is near what matters, or a rise has begun.
    """
    condition = evidence_of(rule)
    mean_time = getattr(condition, "mean_time", 0.0)
    known = [w for w in windows if w is not None]
    risen = evidence.first_rise([v for v, _, _ in known], mean_time=mean_time, matters=condition.matters)
    always = rule.kind == "break" or any(s for _, _, s in known)
    folded = 0
    for window in windows:
        if window is None:
            yield False
            continue
        was_ready = evidence.ready
        evidence = evidence.update(window[0], window[1], stratum=window[2])
        folded += was_ready
        near = was_ready and (always or folded > risen or evidence.is_near(condition.matters))
        yield near and fires(rule, shares.read(rule, evidence))
