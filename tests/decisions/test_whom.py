"""For whom a number is worse: the worst segments first, in the direction in which it is worse; and columns that moved."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from watchkeeper.decisions.alerting.whom import whom_of
from watchkeeper.decisions.rules.series import Point
from watchkeeper.domain.measurement import Direction, Family, Measure
from watchkeeper.domain.rule import Evaluation
from watchkeeper.domain.verdict import Verdict
from watchkeeper.domain.window import Window

T0 = datetime(2026, 3, 1, tzinfo=UTC)
WINDOW = Window(T0, T0 + timedelta(days=1))
MEASURES = {
    "roc_auc": Measure(
        name="roc_auc", title="ROC AUC", direction=Direction.LOWER_IS_WORSE, family=Family.PERFORMANCE
    ),
    "psi": Measure(name="psi", title="PSI", direction=Direction.HIGHER_IS_WORSE, family=Family.DRIFT),
}
FELL = Evaluation(rule="r", model="m", verdict=Verdict.FAIL, sentence="It fell.", measure="roc_auc")


def points(**values):
    """Series of one point: ``measure__subject__segment=value``; None where nothing was measured."""
    out = {}
    for name, value in values.items():
        measure, subject, segment = [*name.split("__"), "", ""][:3]
        out[measure, subject, segment.replace("_", "="), ""] = [Point(WINDOW, value, margin=0.03, rows=100.0)]
    return out


AUC = points(
    roc_auc=0.75, roc_auc____plan_a=0.6, roc_auc____plan_b=0.7, roc_auc____plan_c=0.9, roc_auc____plan_d=0.5,
    roc_auc____plan_e=0.4, roc_auc____plan_f=None,
)  # fmt: skip


def test_three_segments_below_the_whole_the_worst_first():
    told = whom_of(FELL, AUC, MEASURES)["segments"]
    assert [(s["segment"], s["value"], s["rows"]) for s in told] == [
        ("plan=e", 0.4, 100.0),
        ("plan=d", 0.5, 100.0),
        ("plan=a", 0.6, 100.0),
    ]


def test_where_higher_is_worse_the_highest_come_first():
    moved = replace(FELL, measure="psi", subject="age")
    series = points(psi__age=0.2, psi__age__plan_a=0.1, psi__age__plan_b=0.3, psi__pay__plan_a=0.9)
    assert [s["segment"] for s in whom_of(moved, series, MEASURES)["segments"]] == ["plan=b"]
    assert "columns" not in whom_of(moved, series, MEASURES), "a moved column is not explained by itself"


def test_columns_that_moved_by_more_than_noise_explain_a_fall_of_performance():
    series = points(
        roc_auc=0.7, psi__age=0.4, psi__pay=0.6, psi__plan=0.029, psi__sex=None, psi__age__plan_a=0.9
    )
    assert [(c["column"], c["value"]) for c in whom_of(FELL, series, MEASURES)["columns"]] == [
        ("pay", 0.6),
        ("age", 0.4),
    ]


def test_an_alert_of_no_measure_compares_segments_by_drift():
    about_a_column = replace(FELL, measure="", subject="age")
    series = points(jensen_shannon__age=0.1, jensen_shannon__age__plan_a=0.2, missing_drift__age__plan_b=0.9)
    told = whom_of(about_a_column, series, MEASURES)
    assert [(s["segment"], s["measure"]) for s in told["segments"]] == [("plan=a", "jensen_shannon")]


def test_nothing_is_said_of_the_segments_of_a_segment_or_where_none_is_worse():
    assert whom_of(replace(FELL, segment="plan=a"), AUC, MEASURES) == {}
    assert whom_of(FELL, points(roc_auc=0.7, roc_auc____plan_a=0.8), MEASURES) == {}
