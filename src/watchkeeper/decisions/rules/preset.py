"""The rules that hold with no configuration: from the task and the schema alone.

One budget
----------
Everything here that may page shares one chance of :math:`.05` to ever fire falsely in a deployment:

============== ===== ========================================================
columns        .020  lasting changes of any column (`effect_and_evidence`)
breaks         .005  sudden large damage of any column or measure
measures       .015  lasting changes of any measure of performance
revisions      .010  the past folded again, however often (`budget.Budget.revised`, `loop.refolding`)
============== ===== ========================================================

Beside that budget stands one promise of another kind: the Brier score and the accuracy (the accuracy and the
macro F1 of several classes) also alarm on a rise whose false alarms are at least 730 windows apart on average
for each (`stats.evidence.rise`). The alarm says which of the two it rests on.

Rules on things that are counted (a column is gone) are exact and need no share. Anomalies, forecasts and
plain thresholds promise nothing and are notices. A forecast belongs to a level that somebody cares about, so
none is here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta

from watchkeeper.decisions.rules.absence import Absence
from watchkeeper.decisions.rules.anomaly import Anomaly
from watchkeeper.decisions.rules.broken_now import BrokenNow
from watchkeeper.decisions.rules.effect_and_evidence import EffectAndEvidence
from watchkeeper.decisions.rules.threshold import Threshold
from watchkeeper.domain.measurement import Direction, Family, Measure
from watchkeeper.domain.rule import Rule, Selector, Severity
from watchkeeper.domain.schema import Kind, Role, Schema, Task

_PERFORMANCE: dict[Task, tuple[tuple[str, float], ...]] = {
    Task.BINARY: (("roc_auc", 0.02), ("brier", 0.01), ("accuracy", 0.02)),
    Task.MULTICLASS: (("accuracy", 0.02), ("f1_macro", 0.03)),
    Task.REGRESSION: (("mae", 0.0), ("rmse", 0.0)),
}
"""Measures of realised performance, and the change that matters in each (0: three times its usual variation)."""

_MEAN_TIME = 730.0
"""Windows between false alarms of a risen loss, on average, for each of two measures: one a year for days."""
_RISES = ("brier", "accuracy", "f1_macro")

_EXACT = (
    ("missing_column", "A column that the model reads is gone."),
    ("type_changed", "A column has another type than it had."),
    ("became_constant", "A column has one value only."),
    ("infinite", "A column has infinite values."),
    ("dropped_events", "Recorders had to drop predictions: what is measured is not all that was served."),
)


def watched_columns(schema: Schema) -> tuple[str, ...]:
    """Columns that are watched for drift: features, scores and predictions of a kind that can be counted."""
    kinds = (Kind.NUMERIC, Kind.INTEGER, Kind.BOOLEAN, Kind.CATEGORICAL)
    roles = (Role.FEATURE, Role.SCORE, Role.PREDICTION)
    return tuple(c.name for c in schema.columns if c.role in roles and c.kind in kinds)


def default_rules(
    task: Task | None,
    schema: Schema | None = None,
    *,
    measures: Mapping[str, Measure] | None = None,
    judge_every: timedelta = timedelta(days=1),
    maturity: timedelta = timedelta(days=7),
    leave_out: Iterable[str] = (),
) -> tuple[Rule, ...]:
    """Return a good set of rules.

    Parameters
    ----------
    measures : those that exist; rules on others are left out. None: all that the preset knows.
    leave_out : names of rules that the owner replaced or turned off.

    >>> [r.name for r in default_rules(Task.BINARY) if r.severity.pages][:4]
    ['column changed', 'column broke', 'roc_auc fell', 'roc_auc broke']
    """
    rules = [
        *([] if schema is not None and not watched_columns(schema) else _of_columns(judge_every)),
        *_of_performance(task, measures),
        *_exact(measures),
        *_of_estimates(measures),
        *_of_service(measures),
        *_of_absence(judge_every, maturity),
    ]
    gone = set(leave_out)
    return tuple(r for r in rules if r.name not in gone)


def _of_columns(judge_every: timedelta) -> list[Rule]:
    # An effect near its limit comes and goes with the noise of four windows, and with the days of a week.
    settling = 7 * judge_every
    return [
        Rule(
            name="column changed",
            kind="evidence",
            condition=EffectAndEvidence(),
            severity=Severity.WARNING,
            keep_firing_for=settling,
            about="A column that the model reads no longer looks like its baseline.",
        ),
        Rule(
            name="column broke",
            kind="broken",
            condition=BrokenNow(),
            severity=Severity.CRITICAL,
            resolve_after=2,
            about="A column is suddenly unlike anything in its baseline: often a broken pipeline.",
        ),
    ]


def _of_performance(task: Task | None, known: Mapping[str, Measure] | None) -> Iterator[Rule]:
    for measure, matters in _PERFORMANCE.get(task, ()) if task else ():
        if known is not None and measure not in known:
            continue
        fell = (
            known[measure].direction is Direction.LOWER_IS_WORSE
            if known is not None
            else measure in ("roc_auc", "accuracy", "f1_macro")
        )
        yield Rule(
            name=f"{measure} {'fell' if fell else 'rose'}",
            kind="evidence",
            condition=EffectAndEvidence(matters=matters, mean_time=_MEAN_TIME if measure in _RISES else 0.0),
            selector=Selector(measure=measure, subjects=("",)),
            severity=Severity.CRITICAL,
            about="The model does worse than it did, by outcomes that have arrived.",
        )
        yield Rule(
            name=f"{measure} broke",
            kind="broken",
            condition=BrokenNow(matters=matters),
            selector=Selector(measure=measure, subjects=("",)),
            severity=Severity.CRITICAL,
            resolve_after=2,
            about="In one window the model did far worse than it ever did, by outcomes that have arrived.",
        )


def _exact(known: Mapping[str, Measure] | None) -> Iterator[Rule]:
    for measure, about in _EXACT:
        if known is None or measure in known:
            yield Rule(
                name=measure.replace("_", " "),
                kind="threshold",
                condition=Threshold(above=0, exact=True, min_rows=1),
                selector=Selector(measure=measure, subjects=("", "*")),
                severity=Severity.WARNING,
                about=about,
            )


def _of_estimates(known: Mapping[str, Measure] | None) -> Iterator[Rule]:
    for measure in known or ():
        described = known[measure] if known else None
        if described is not None and described.family is Family.ESTIMATE:
            yield Rule(
                name=f"{measure} unusual",
                kind="anomaly",
                condition=Anomaly(),
                selector=Selector(measure=measure, subjects=("",)),
                about="Performance, estimated before outcomes arrive, is not what it usually is.",
            )


def _of_service(known: Mapping[str, Measure] | None) -> Iterator[Rule]:
    if known is None or "error_rate" in known:
        yield Rule(
            name="errors unusual",
            kind="anomaly",
            condition=Anomaly(matters=0.2),
            selector=Selector(measure="error_rate", subjects=("",)),
            about="More requests than usual end in an error.",
        )
    if known is None or "row_count" in known:
        yield Rule(
            name="traffic unusual",
            kind="anomaly",
            condition=Anomaly(either=True, matters=0.3, min_rows=0),
            selector=Selector(measure="row_count", subjects=("",)),
            about="Far more or fewer predictions than usual at this time.",
        )


def _of_absence(judge_every: timedelta, maturity: timedelta) -> list[Rule]:
    return [
        Rule(
            name="no predictions",
            kind="absence",
            condition=Absence(of="predictions", after=max(2 * judge_every, timedelta(hours=6))),
            severity=Severity.CRITICAL,
            about="The model is not called any more, or its predictions are not recorded.",
        ),
        Rule(
            name="no outcomes",
            kind="absence",
            condition=Absence(of="outcomes", after=maturity + 2 * judge_every),
            severity=Severity.WARNING,
            about="Outcomes have stopped coming, so performance is not known.",
        ),
    ]
