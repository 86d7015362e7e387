"""Judging a window: the same once or twice, with or without a crash; and every kind of rule end to end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from as_written import model_of, plan_of
from watchkeeper.adapters.ledgers.sql import open_ledger
from watchkeeper.domain.measurement import Interval, Measurement
from watchkeeper.domain.series import PlacedMeasurement, WindowKey, WindowState
from watchkeeper.domain.watched import WatchedModel
from watchkeeper.domain.window import Window
from watchkeeper.errors import StoreUnavailable
from watchkeeper.loop.alerting.alert_actions import acknowledge_alert
from watchkeeper.loop.alerting.judging import AlertJudge
from watchkeeper.loop.batch.profiling import baseline as take_baseline
from watchkeeper.loop.batch.profiling import profile as take_profile
from watchkeeper.loop.effects.engine import EFFECT
from watchkeeper.loop.records.records import Records
from watchkeeper.ports.judge import JudgedWindow

DAY = timedelta(days=1)
START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def ledger(tmp_path):
    made = open_ledger(tmp_path / "ledger.db")
    yield made
    made.close()


def day(n: int) -> Window:
    return Window(START + n * DAY, START + (n + 1) * DAY)


def placed(
    n: int, measure: str, value: float | None, *, subject="", segment="", rows=1000, half=0.01, **rest
):
    interval = None if value is None else Interval(value - half, value + half)
    m = Measurement(
        measure=measure,
        subject=subject,
        value=value,
        rows=rows,
        interval=interval,
        reason=None if value is not None else rest.pop("reason", "no rows"),
        **rest,
    )
    return PlacedMeasurement(key=WindowKey(model="m", window=day(n), segment=segment), measurement=m)


def judge_of(
    *rules: dict, model: WatchedModel | None = None, preset=False, **plan
) -> tuple[AlertJudge, WatchedModel]:
    model = model or model_of(rules=rules)
    return AlertJudge(plan_of({"m": model}, preset=preset, **plan)), model


def run_day(judge, ledger, model, n, rows, *, now=None, **rest):
    ledger.measurements.write(rows, at=day(n).end)
    return judge.judge(
        JudgedWindow(
            ledger=ledger, model=model, window=day(n), measurements=rows, now=now or day(n).end, **rest
        )
    )


def everything(ledger) -> dict:
    """All that judging writes, without sequences and revisions."""
    facts = [(f.kind, f.subject, f.at, f.key, dict(f.body)) for f in ledger.facts.facts(limit=100_000)]
    documents = {
        (d.kind, d.key): (d.state, dict(d.body))
        for kind in ("alert", "evidence", "judged", "group", "outbox")
        for d in ledger.facts.documents(kind, limit=100_000)
    }
    return {"facts": facts, "documents": documents}


PSI = {
    "name": "psi high",
    "measure": "psi",
    "above": 0.2,
    "resolve_above": 0.1,
    "for": "1d",
    "severity": "warning",
}


def test_a_threshold_holds_fires_and_resolves_at_its_own_level(ledger):
    judge, model = judge_of(PSI)
    kinds = []
    for n, value in enumerate([0.05, 0.3, 0.3, 0.15, 0.15, 0.05]):
        done = run_day(judge, ledger, model, n, [placed(n, "psi", value, subject="age")])
        kinds.append([t.kind for _, t in done.changes])
    assert kinds == [[], ["pending"], ["fired"], [], [], ["resolved"]]
    (document,) = ledger.facts.documents("alert")
    assert document.state == "resolved"
    assert document.body["labels"] == {
        "rule": "psi high",
        "model": "m",
        "severity": "warning",
        "category": "rule",
        "measure": "psi",
        "column": "age",
    }


@pytest.mark.parametrize(
    ("rule", "book"),
    [
        (PSI | {"for": "0s"}, "drift"),
        ({"name": "low", "measure": "accuracy", "below": 0.8, "severity": "warning"}, "performance"),
        ({"name": "gone", "measure": "missing_column", "above": 0.0}, "data-quality"),
        (PSI | {"for": "0s", "runbook": "our-own"}, "our-own"),
    ],
)
def test_every_alert_has_a_runbook_its_own_or_that_of_its_kind(ledger, rule, book):
    judge, model = judge_of(rule)
    value = 0.5 if rule["measure"] != "missing_column" else 1.0
    run_day(judge, ledger, model, 0, [placed(0, rule["measure"], value, subject="age")])
    (document,) = ledger.facts.documents("alert", states=["firing"])
    assert document.body["runbook"] == book


def test_judging_twice_changes_nothing(ledger):
    judge, model = judge_of(PSI, {"name": "fell", "kind": "evidence", "measure": "accuracy"})
    for n in range(30):
        rows = [
            placed(n, "psi", 0.3 if n > 3 else 0.0, subject="age"),
            placed(n, "accuracy", 0.9 - 0.01 * (n % 3)),
        ]
        run_day(judge, ledger, model, n, rows)
        once = everything(ledger)
        run_day(judge, ledger, model, n, rows)
        assert everything(ledger) == once


class Crashing:
    """A ledger whose next write of facts fails before or after it was made."""

    def __init__(self, ledger, *, after: bool):
        self._ledger, self._after = ledger, after
        self.armed = True
        self.facts, self.measurements, self.windows = self, ledger.measurements, ledger.windows

    def __getattr__(self, name):
        return getattr(self._ledger.facts, name)

    def append(self, *args, **kwargs):
        if self.armed and not self._after:
            raise StoreUnavailable("killed before the write")
        made = self._ledger.facts.append(*args, **kwargs)
        if self.armed:
            raise StoreUnavailable("killed after the write")
        return made


def values_of(n: int) -> list[PlacedMeasurement]:
    rng = np.random.default_rng(n)
    accuracy = (0.9 if n < 28 else 0.8) + 0.01 * rng.normal()
    return [placed(n, "accuracy", accuracy), placed(n, "psi", [0.0, 0.3][n % 7 in (3, 4)], subject="age")]


@pytest.mark.parametrize("after", [False, True], ids=["before the write", "after it"])
def test_a_crash_between_steps_ends_in_the_same_place(tmp_path, after):
    rules = (PSI, {"name": "accuracy fell", "kind": "evidence", "measure": "accuracy", "columns": ""})
    plan = {"routes": [{"channels": ["mail"], "group_wait": "0s"}], "channels": ["mail"]}
    ends = []
    for crashing in (False, True):
        ledger = open_ledger(tmp_path / f"{crashing}.db")
        judge, model = judge_of(*rules, **plan)
        for n in range(40):
            now = day(n).end
            if crashing:
                fragile = Crashing(ledger, after=after)
                with pytest.raises(StoreUnavailable):
                    AlertJudge(judge.plan).judge(
                        JudgedWindow(
                            ledger=fragile, model=model, window=day(n), measurements=values_of(n), now=now
                        )
                    )
                if ledger.facts.documents("group", due_before=now):
                    with pytest.raises(StoreUnavailable):
                        judge.notify(fragile, now=now)
            run_day(AlertJudge(judge.plan), ledger, model, n, values_of(n))
            judge.notify(ledger, now=now)
        ends.append(everything(ledger))
        ledger.close()
    assert ends[0] == ends[1]
    assert sum(k == "outbox" for k, _ in ends[0]["documents"]) > 4


def test_a_lasting_fall_of_a_measure_is_told_with_its_guarantee(ledger):
    judge, model = judge_of(
        {
            "name": "accuracy fell",
            "kind": "evidence",
            "measure": "accuracy",
            "columns": "",
            "severity": "critical",
        },
        model=None,
    )
    rng = np.random.default_rng(5)
    fired = None
    for n in range(60):
        value = (0.9 if n < 40 else 0.85) + 0.007 * rng.normal()
        done = run_day(judge, ledger, model, n, [placed(n, "accuracy", value, half=0.014)])
        for alert, t in done.changes:
            if t.kind == "fired":
                fired = (n, alert)
    assert fired is not None
    n, alert = fired
    assert 41 <= n <= 50
    assert "1 in 66.7 chance of ever firing falsely" in alert.what["guarantee"]
    assert alert.what["assumption"].startswith("if windows are exchangeable with the first 20 windows")
    assert abs(alert.since - day(40).start) <= 2 * DAY


@pytest.mark.parametrize(
    ("estimated", "kind"),
    [(0.9, "conditional change"), (0.8, "input drift"), (0.85, "both")],
)
def test_a_fall_of_performance_says_whether_the_inputs_explain_it(ledger, estimated, kind):
    """What the estimate without labels sees of the fall is what the inputs explain."""
    from watchkeeper.decisions.alerting.story import alert_story
    from watchkeeper.loop.records.kinds import ALERT

    judge, model = judge_of({"name": "fell", "kind": "evidence", "measure": "accuracy"})
    random = np.random.default_rng(1)
    for n in range(60):
        bad = n >= 30
        rows = [
            placed(n, "accuracy", (0.8 if bad else 0.9) + random.normal(0, 0.004)),
            placed(n, "estimated_accuracy", estimated if bad else 0.9),
            placed(n, "estimated_accuracy", 0.1, segment="origin=JFK"),
        ]
        run_day(judge, ledger, model, n, rows)
    (document,) = ledger.facts.documents("alert")
    cause = document.body["what"]["details"]["cause"]
    assert cause["kind"] == kind
    assert cause["inputs"] + cause["conditional"] == pytest.approx(-0.1, abs=0.02)
    assert cause["windows"] > 20
    assert cause["sentence"] in alert_story(ALERT.read(document).value).what


def test_a_column_that_drifts_is_found_with_no_configuration(ledger, tmp_path):
    rng = np.random.default_rng(2)
    days = 30

    def rows(n: int, shift: float, size: int = 500) -> pa.Table:
        at = START - days * DAY + timedelta(days=n)
        return pa.table(
            {
                "at": pa.array([at + timedelta(seconds=int(s)) for s in rng.integers(0, 86400, size)]),
                "age": rng.normal(40 + 10 * shift, 10, size),
                "income": rng.normal(0, 1, size),
                "plan": rng.choice(["a", "b", "c"], size),
            }
        )

    made = take_baseline(
        pa.concat_tables([rows(n, 0) for n in range(days)]), roles={"at": "time"}, window=DAY, now=START
    )
    assert len(made.windows) >= 20
    judge, model = judge_of(model=WatchedModel(name="m"), preset=True)
    fired = {}
    for n in range(20):
        window = rows(days + n, 0.3 if n >= 8 else 0)
        profile = take_profile(window, plan=made.plan)
        done = run_day(judge, ledger, model, n, [], profiles={("", ""): profile}, baseline=made)
        for alert, t in done.changes:
            if t.kind == "fired":
                fired[alert.labels.get("column")] = (n, alert)
    assert set(fired) == {"age"}
    n, alert = fired["age"]
    assert 8 <= n <= 17
    assert alert.rule == "column changed"
    assert alert.sentence.startswith("age changed: the ")
    assert "of ever firing falsely" in alert.what["guarantee"]


def test_the_quality_of_outcomes_is_judged_when_they_are_in(ledger):
    """The first outcomes of a bad evening are all alike, and say nothing of the day."""
    rng = np.random.default_rng(3)
    rows = pa.table(
        {
            "at": pa.array([START - timedelta(hours=h) for h in range(700, 0, -1)]),
            "age": rng.normal(40, 10, 700),
            "outcome": rng.integers(0, 2, 700),
        }
    )
    made = take_baseline(rows, roles={"at": "time"}, window=DAY, now=START)
    judge, model = judge_of(model=WatchedModel(name="m"), preset=True)

    def fired(n, *, mature):
        found = [placed(n, "became_constant", 1.0, subject="outcome", rows=70)]
        done = run_day(judge, ledger, model, n, found, baseline=made, mature=mature)
        return [a.labels["column"] for a, t in done.changes if t.kind == "fired"]

    assert fired(0, mature=False) == []
    assert fired(0, mature=True) == ["outcome"]


def test_the_baselines_short_windows_are_merged_to_the_judged_length(ledger):
    rng = np.random.default_rng(2)
    size = 6_000
    at = [START - 25 * DAY + timedelta(seconds=float(s)) for s in rng.uniform(0, 25 * 86400, size)]
    made = take_baseline(
        pa.table({"at": pa.array(at), "x": rng.normal(size=size)}),
        roles={"at": "time"},
        window=timedelta(hours=6),
        now=START,
    )
    judge, model = judge_of(model=WatchedModel(name="m"), preset=True)
    profile = take_profile(pa.table({"at": pa.array(at[:250]), "x": rng.normal(size=250)}), plan=made.plan)
    done = run_day(judge, ledger, model, 0, [], profiles={("", ""): profile}, baseline=made)
    said = [e for e in done.evaluations if e.rule == "column changed"]
    assert [(e.subject, e.verdict.value) for e in said] == [("x", "pass")]
    ((_, own),) = judge._baselines.values()
    assert len(own.windows) in (24, 25)


def test_columns_of_a_segment_are_not_judged_by_the_whole_baseline(ledger):
    """A segment that differs from the others would alarm at once, for ever."""
    rng = np.random.default_rng(2)

    def rows(n, shift=0.0):
        at = START + n * DAY
        times = pa.array([at + timedelta(seconds=float(s)) for s in rng.uniform(0, 86400, 300)])
        return pa.table({"at": times, "x": rng.normal(size=300) + shift})

    made = take_baseline(
        pa.concat_tables([rows(n - 25) for n in range(25)]), roles={"at": "time"}, window=DAY, now=START
    )
    rule = {"name": "in segments", "kind": "evidence", "segments": "*"}
    judge, model = judge_of(rule)
    for n in range(8):
        profile = take_profile(rows(n, 2.0), plan=made.plan)
        done = run_day(judge, ledger, model, n, [], profiles={("", "region=north"): profile}, baseline=made)
        assert done.changes == ()
        assert {e.verdict.value for e in done.evaluations if e.rule == "in segments"} == {"inconclusive"}


def test_one_broken_source_is_one_alert(ledger):
    judge, model = judge_of({"name": "nulls", "measure": "missing", "above": 0.5}, PSI)
    rows = [
        placed(0, "psi", None, subject=f"c{i}", reason="cannot read", details={"failed": True})
        for i in range(300)
    ]
    done = run_day(judge, ledger, model, 0, rows)
    assert [(a.rule, a.category.value, t.kind) for a, t in done.changes] == [
        ("evaluation failed", "error", "fired")
    ]
    (alert,) = ledger.facts.documents("alert")
    assert alert.body["sentence"].startswith(
        "300 of 300 evaluations failed. The first: Population stability index of c0"
    )
    done = run_day(judge, ledger, model, 1, [placed(1, "psi", 0.0, subject=f"c{i}") for i in range(300)])
    assert [t.kind for _, t in done.changes] == ["resolved"]


def test_a_rule_that_raises_does_not_stop_the_others(ledger, monkeypatch):
    from watchkeeper.decisions.rules.anomaly import Anomaly

    def boom(self, rule, series):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(Anomaly, "evaluate", boom)
    judge, model = judge_of({**PSI, "for": "0s"}, {"name": "odd", "kind": "anomaly", "measure": "psi"})
    done = run_day(judge, ledger, model, 0, [placed(0, "psi", 0.9)])
    assert {(a.rule, t.kind) for a, t in done.changes} == {
        ("psi high", "fired"),
        ("evaluation failed", "fired"),
    }


def test_late_outcomes_of_an_old_window_make_an_alert_of_their_own(ledger):
    rule = {"name": "low", "measure": "accuracy", "below": 0.8, "severity": "critical"}
    plan = {
        "routes": [{"channels": ["pager"], "group_wait": "0s", "group_interval": "0s"}],
        "channels": ["pager"],
    }
    judge, model = judge_of(rule, **plan)
    for n in range(40):
        run_day(judge, ledger, model, n, [placed(n, "accuracy", 0.9)])
    night = day(40).start + timedelta(hours=3)
    done = run_day(judge, ledger, model, 10, [placed(10, "accuracy", 0.5)], now=night)
    ((alert, change),) = done.changes
    assert (change.kind, alert.retrospective, alert.labels["window"]) == ("fired", True, day(10).label)
    judge.notify(ledger, now=night)
    (message,) = [kept.value for kept in Records(ledger.facts, EFFECT).all()]
    assert message.body["urgency"] == "low"
    assert message.body["title"].startswith("Looking back: m: ")
    done = run_day(judge, ledger, model, 10, [placed(10, "accuracy", 0.9)], now=night + timedelta(hours=1))
    assert [t.kind for _, t in done.changes] == ["corrected", "resolved"]
    judge.notify(ledger, now=night + timedelta(hours=1))
    assert {kept.value.body["urgency"] for kept in Records(ledger.facts, EFFECT).all()} == {"low"}


def test_a_window_that_waits_for_outcomes_holds_back_the_evidence_after_it(ledger):
    judge, model = judge_of({"name": "fell", "kind": "evidence", "measure": "accuracy", "columns": ""})
    for n in range(22):
        run_day(judge, ledger, model, n, [placed(n, "accuracy", 0.9)], mature=n not in (20, 21))
    run_day(judge, ledger, model, 22, [placed(22, "accuracy", 0.5)])
    (document,) = ledger.facts.documents("evidence")
    assert len(document.body["folded"]["starts"]) == 20
    assert len(document.body["folded"]["waiting"]) == 3
    run_day(judge, ledger, model, 20, [placed(20, "accuracy", 0.91)])
    run_day(judge, ledger, model, 21, [placed(21, "accuracy", 0.92)])
    (document,) = ledger.facts.documents("evidence")
    assert document.body["folded"]["evidence"]["values"][20:] == [0.91, 0.92, 0.5]
    # What was folded stays folded, whatever comes later.
    run_day(judge, ledger, model, 21, [placed(21, "accuracy", 0.1)])
    (document,) = ledger.facts.documents("evidence")
    assert document.body["folded"]["evidence"]["values"][20:] == [0.91, 0.92, 0.5]


def test_silence_of_the_source_is_one_alert_that_ends_by_itself(ledger):
    judge, model = judge_of({"name": "quiet", "kind": "absence", "of": "predictions", "after": "2d"})

    def arrive(n):
        key = WindowKey(model="m", window=day(n))
        ledger.windows.mark_dirty([key], reason="rows")
        ledger.windows.done([WindowState(key=key, rows=10, generation=1)])

    arrive(0)
    kinds = []
    for hour in range(0, 24 * 6, 3):
        now = day(0).end + timedelta(hours=hour)
        if hour == 24 * 4:
            arrive(4)
        kinds += [(hour, t.kind) for _, t in judge.judge_arrivals(ledger, model, now=now).changes]
    assert kinds == [(51, "fired"), (96, "resolved")]
    (alert,) = ledger.facts.documents("alert")
    assert alert.body["labels"]["category"] == "no_data"


def test_a_composite_rule_fires_where_its_parts_do(ledger):
    judge, model = judge_of(
        PSI | {"for": "0s"},
        {"name": "slow", "measure": "latency", "above": 1.0},
        {
            "name": "both",
            "kind": "composite",
            "when": "psi high and slow".replace("psi high", "psi-high"),
            "severity": "critical",
        },
        {"name": "psi-high", "measure": "psi", "above": 0.2},
    )
    done = run_day(judge, ledger, model, 0, [placed(0, "psi", 0.9), placed(0, "latency", 0.1)])
    assert "both" not in {a.rule for a, _ in done.changes}
    done = run_day(judge, ledger, model, 1, [placed(1, "psi", 0.9), placed(1, "latency", 3.0)])
    assert "both" in {a.rule for a, t in done.changes if t.kind == "fired"}


def test_segments_and_columns_are_named_in_the_alert(ledger):
    judge, model = judge_of({"name": "low", "measure": "accuracy", "columns": "", "below": 0.8})
    rows = [
        placed(0, "accuracy", 0.7),
        *(placed(0, "accuracy", v, segment=s) for s, v in (("o=JFK", 0.5), ("o=LGA", 0.9), ("o=EWR", 0.6))),
        *(placed(0, "psi", v, subject=c) for c, v in (("age", 0.4), ("sex", 0.001))),
    ]
    done = run_day(judge, ledger, model, 0, rows)
    ((alert, _),) = done.changes
    assert [s["segment"] for s in alert.whom["segments"]] == ["o=JFK", "o=EWR"]
    assert [c["column"] for c in alert.whom["columns"]] == ["age"]


def test_an_acknowledgement_meanwhile_is_kept(ledger):
    judge, model = judge_of(PSI | {"for": "0s"})
    run_day(judge, ledger, model, 0, [placed(0, "psi", 0.9)])
    (alert,) = ledger.facts.documents("alert")
    acknowledge_alert(ledger.facts, alert.key[:6], actor="ann", now=day(0).end, note="looking")
    run_day(judge, ledger, model, 1, [placed(1, "psi", 0.9)])
    (alert,) = ledger.facts.documents("alert")
    assert alert.body["acknowledged_by"] == "ann"
    run_day(judge, ledger, model, 2, [placed(2, "psi", 0.0)])
    (alert,) = ledger.facts.documents("alert")
    assert (alert.state, alert.body.get("acknowledged_by")) == ("resolved", None)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_columns_that_do_not_move_raise_no_alarm(ledger, seed):
    """End to end: the baseline's windows are kept coarse and new ones fine, and still nothing is found."""
    rng = np.random.default_rng(seed)

    def rows(n: int) -> pa.Table:
        at = START + n * DAY
        columns = {f"normal {i}": rng.normal(size=400) + 0.05 * rng.normal() for i in range(25)}
        columns |= {f"counts {i}": rng.poisson(40, 400) for i in range(5)}
        columns |= {
            f"words {i}": rng.choice(["a", "b", "c", "d"], 400, p=[0.5, 0.3, 0.15, 0.05]) for i in range(5)
        }
        columns |= {
            f"zeros {i}": np.where(rng.random(400) < 0.6, 0, rng.exponential(size=400)) for i in range(5)
        }
        return pa.table(
            {"at": [at + timedelta(seconds=float(s)) for s in rng.uniform(0, 86400, 400)], **columns}
        )

    made = take_baseline(
        pa.concat_tables([rows(n - 25) for n in range(25)]), roles={"at": "time"}, window=DAY, now=START
    )
    judge, model = judge_of(model=WatchedModel(name="m"), preset=True)
    for n in range(50):
        profile = take_profile(rows(n), plan=made.plan)
        done = run_day(judge, ledger, model, n, [], profiles={("", ""): profile}, baseline=made)
        assert done.changes == ()
        assert done.verdicts == {"pass": 80}
