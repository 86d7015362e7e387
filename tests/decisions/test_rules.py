"""Each rule: what fails, what passes, what cannot be told; and what it says of its guarantee."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from watchkeeper.decisions.rules.absence import Absence
from watchkeeper.decisions.rules.budget import Budget
from watchkeeper.decisions.rules.catalogue import KINDS, check_rules, parse_rule
from watchkeeper.decisions.rules.composite import Composite
from watchkeeper.decisions.rules.condition import Arrivals, Context
from watchkeeper.decisions.rules.preset import default_rules, watched_columns
from watchkeeper.decisions.rules.series import Point, Series
from watchkeeper.decisions.rules.series_evidence import SeriesEvidence
from watchkeeper.domain.duration import duration_of, duration_words
from watchkeeper.domain.measurement import Direction, Family, Measure
from watchkeeper.domain.rule import NO_GUARANTEE, Evaluation, Severity
from watchkeeper.domain.schema import Column, Kind, Role, Schema, Task
from watchkeeper.domain.verdict import Verdict
from watchkeeper.domain.window import Window
from watchkeeper.errors import BadInput
from watchkeeper.measures.catalogue import described_measures

START = datetime(2026, 1, 5, tzinfo=UTC)
DAY = timedelta(days=1)
WORSE_UP = Measure(name="loss", family=Family.PERFORMANCE, title="Loss")
WORSE_DOWN = Measure(name="auc", family=Family.PERFORMANCE, title="AUC", direction=Direction.LOWER_IS_WORSE)


def series(
    values, *, rows=1000, half=None, firing=False, described=None, step=DAY, mature=True, reason="no rows"
):
    points = [
        Point(
            Window(START + k * step, START + (k + 1) * step), v, rows,
            None if half is None or v is None else v - half, None if half is None or v is None else v + half,
            reason="" if v is not None else reason,
        )
        for k, v in enumerate(values)
    ]  # fmt: skip
    return Series(
        model="m", measure="x", points=points, firing=firing, described=described, mature=mature,
        now=points[-1].window.end,
    )  # fmt: skip


def judge(rule: dict, s: Series) -> Evaluation:
    made = parse_rule({"name": "r", "measure": "x", **rule})
    return made.condition.evaluate(Context(rule=made, series=s))


class TestEveryRule:
    """What holds for every kind, also for one that joins the catalogue later."""

    @pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
    def test_it_says_whether_it_may_page_and_what_it_promises(self, kind):
        assert isinstance(kind.guarantee, property) or kind.guarantee
        assert isinstance(kind.may_page, property | bool)

    @pytest.mark.parametrize(
        "raw",
        [
            {"above": 1.0},
            {"kind": "anomaly"},
            {"kind": "predictive", "above": 1.0},
            {"kind": "evidence"},
            {"kind": "break"},
        ],
        ids=lambda raw: raw.get("kind", "threshold"),
    )
    def test_too_few_rows_are_inconclusive_and_no_value_is_too(self, raw):
        from watchkeeper.decisions.rules.evaluate import evaluate

        rule = parse_rule({"name": "r", "measure": "x", **raw})
        few = evaluate(rule, series([0.5] * 30 + [99.0], rows=5))
        assert few.verdict is Verdict.INCONCLUSIVE
        assert "rests on 5 rows, and this rule needs" in few.sentence
        gone = evaluate(rule, series([0.5, None]))
        assert (gone.verdict, gone.sentence) == (Verdict.INCONCLUSIVE, "x could not be measured: no rows.")
        early = evaluate(rule, series([0.5] * 31, mature=False))
        assert early.verdict is Verdict.INCONCLUSIVE

    @pytest.mark.parametrize("raw", [{"above": 1.0}, {"kind": "anomaly"}, {"kind": "predictive", "above": 1}])
    def test_without_a_guarantee_it_does_not_page_by_default(self, raw):
        assert parse_rule({"name": "r", "measure": "x", **raw}).severity is Severity.NOTICE
        assert parse_rule({"name": "r", "measure": "x", **raw, "severity": "critical"}).severity.pages


class TestThreshold:
    @pytest.mark.parametrize(
        ("rule", "value", "firing", "verdict"),
        [
            ({"above": 0.2}, 0.2, False, "pass"),
            ({"above": 0.2}, 0.21, False, "fail"),
            ({"below": 0.7}, 0.69, False, "fail"),
            ({"above": 0.9, "below": 0.1}, 0.5, False, "pass"),
            ({"above": 0.9, "below": 0.1}, 0.05, False, "fail"),
            ({"above": 0.2, "resolve_above": 0.1}, 0.15, False, "pass"),
            ({"above": 0.2, "resolve_above": 0.1}, 0.15, True, "fail"),
            ({"above": 0.2, "resolve_above": 0.1}, 0.1, True, "pass"),
            ({"below": 0.7, "resolve_below": 0.8}, 0.75, True, "fail"),
            ({"below": 0.7, "resolve_below": 0.8}, 0.8, True, "pass"),
        ],
    )
    def test_levels(self, rule, value, firing, verdict):
        assert judge(rule, series([value], firing=firing)).verdict == verdict

    def test_certain_asks_for_the_whole_interval(self):
        assert judge({"above": 0.2, "certain": True}, series([0.25], half=0.1)).verdict == "inconclusive"
        said = judge({"above": 0.2, "certain": True}, series([0.25], half=0.01))
        assert (said.verdict, said.guarantee[:33]) == ("fail", "one window is wrong at most 1 tim")
        assert judge({"above": 0.2}, series([0.25], half=0.1)).guarantee == NO_GUARANTEE

    def test_what_is_counted_must_be_beyond_chance_and_is_told_in_the_measures_words(self):
        """Two rows are alike easily: that a column has one value in them says nothing."""
        from watchkeeper.measures.quality.cardinality import became_constant
        from watchkeeper.stats.states.frequencies import Frequencies
        from watchkeeper.stats.states.profile import ColumnProfile

        def column(**counts):
            states = {"frequencies": Frequencies.of_counts(counts)}
            kind = Column(name="late", kind=Kind.CATEGORICAL)
            return ColumnProfile(column=kind, states=states, rows=sum(counts.values()))

        (rule,) = (
            r for r in default_rules(None, measures=described_measures()) if r.name == "became constant"
        )

        def judged(rows):
            found = became_constant(column(no=rows), column(no=770, yes=230))
            point = Point.of(Window(START, START + DAY), found)
            s = Series(model="m", measure="became_constant", subject="late", points=[point], described=None)
            return rule.condition.evaluate(Context(rule=rule, series=s))

        assert judged(2).verdict is Verdict.INCONCLUSIVE
        assert judged(50).verdict is Verdict.INCONCLUSIVE, "0.77 ** 49 is 3 in a million"
        assert judged(60).verdict is Verdict.FAIL
        assert judged(60).sentence == "late has the same value in every row; the baseline had several."

    @pytest.mark.parametrize(
        "rule",
        [
            {},
            {"above": 0.2, "resolve_above": 0.3},
            {"below": 0.2, "resolve_below": 0.1},
            {"above": 0.1, "below": 0.2},
        ],
    )
    def test_levels_that_make_no_sense_are_refused(self, rule):
        with pytest.raises(BadInput):
            judge(rule, series([0.1]))


class TestAnomaly:
    def test_a_sunday_is_compared_with_sundays(self):
        rng = np.random.default_rng(0)
        usual = [100 + 5 * rng.normal() - 60 * (k % 7 == 6) for k in range(70)]
        monday = series([*usual, 40.0])  # what Sundays have
        sunday = series([*usual, *usual[:6], 40.0])
        both = {"kind": "anomaly", "either": True}
        assert judge(both, monday).verdict == "fail"
        assert "for this weekday" in judge(both, monday).sentence
        assert judge(both, sunday).verdict == "pass"

    def test_half_of_the_past_may_be_wild(self):
        rng = np.random.default_rng(1)
        past = [0.1 + 0.01 * rng.normal() for _ in range(60)]
        wild = [v if k % 5 else 50.0 for k, v in enumerate(past)]
        rule = {"kind": "anomaly", "season": "none"}
        assert judge(rule, series([*wild, 0.5], described=WORSE_UP)).verdict == "fail"
        assert judge(rule, series([*wild, 0.11], described=WORSE_UP)).verdict == "pass"

    def test_better_is_no_alarm(self):
        rng = np.random.default_rng(1)
        past = [0.8 + 0.01 * rng.normal() for _ in range(40)]
        assert judge({"kind": "anomaly"}, series([*past, 0.99], described=WORSE_DOWN)).verdict == "pass"
        assert judge({"kind": "anomaly"}, series([*past, 0.5], described=WORSE_DOWN)).verdict == "fail"
        assert (
            judge({"kind": "anomaly", "either": True}, series([*past, 0.99], described=WORSE_DOWN)).verdict
            == "fail"
        )

    def test_it_needs_twenty_windows(self):
        said = judge({"kind": "anomaly"}, series([0.1] * 20))
        assert said.verdict == "inconclusive"
        assert "has 19 earlier windows, and an anomaly needs 20" in said.sentence

    def test_a_constant_series_alarms_only_on_what_matters(self):
        assert judge({"kind": "anomaly"}, series([0.5] * 30 + [0.501])).verdict == "pass"
        assert judge({"kind": "anomaly"}, series([0.5] * 30 + [0.6])).verdict == "fail"

    def test_its_own_resolve_level(self):
        rng = np.random.default_rng(3)
        past = [10 + rng.normal() for _ in range(50)]
        rule = {"kind": "anomaly", "season": "none", "z": 6, "resolve_z": 2}
        assert judge(rule, series([*past, 14.0])).verdict == "pass"
        assert judge(rule, series([*past, 14.0], firing=True)).verdict == "fail"


class TestPredictive:
    RULE = {"kind": "predictive", "above": 1.0, "within": "14d", "severity": "critical"}

    def test_a_steady_rise_is_told_with_its_time_and_interval(self):
        rng = np.random.default_rng(0)
        values = [0.5 + 0.01 * k + 0.01 * rng.normal() for k in range(40)]
        said = judge(self.RULE, series(values))
        assert said.verdict == "fail"
        assert said.loudest is None
        # 0.5 + 0.01 k passes 1.0 at k = 51: twelve days after the last one.
        assert abs(said.details["breach_in_s"] / 86400 - 11) <= 2
        assert said.details["soonest_in_s"] <= said.details["breach_in_s"]
        assert said.interval.low < 1.0 < said.interval.high

    def test_far_away_is_a_pass_and_crossed_already_is_a_thresholds_matter(self):
        values = [0.5 + 0.001 * k for k in range(40)]
        assert judge(self.RULE, series(values)).verdict == "pass"
        crossed = judge(self.RULE, series([*values, 1.5]))
        assert (crossed.verdict, "crossed already" in crossed.sentence) == ("pass", True)

    def test_a_forecast_that_is_no_better_than_naive_may_not_page(self):
        # Frequent enough to find wandering series whose forecast crosses: none of them may be loud without skill.
        loud = found = 0
        for seed in range(60):
            walk = 0.6 + np.cumsum(0.03 * np.random.default_rng(seed).normal(size=60))
            said = judge(self.RULE, series(list(np.minimum(walk, 0.99))))
            found += said.verdict == "fail"
            loud += said.verdict == "fail" and said.loudest is None
            if said.verdict == "fail" and said.loudest is not None:
                assert said.loudest is Severity.NOTICE
                assert "Do not rely on it" in said.sentence
        assert loud <= 3

    def test_it_needs_twenty_windows(self):
        assert judge(self.RULE, series([0.1] * 19)).verdict == "inconclusive"


class TestAbsence:
    def arrivals(self, **hours):
        given = {k: START + timedelta(hours=v) for k, v in hours.items()}
        return Arrivals(model="m", **given)

    def test_predictions_that_stop(self):
        rule = parse_rule({"name": "r", "kind": "absence", "after": "6h"})
        assert rule.severity is Severity.WARNING
        quiet = rule.condition.evaluate(
            Context(rule=rule, arrivals=self.arrivals(now=10, predictions_until=3))
        )
        assert (quiet.verdict, quiet.category) == ("fail", "no_data")
        assert (
            quiet.sentence
            == "No predictions of m since 2026-01-05 03:00 UTC: 7 hours, and 6 hours is allowed."
        )
        assert (
            rule.condition.evaluate(
                Context(rule=rule, arrivals=self.arrivals(now=8, predictions_until=3))
            ).verdict
            == "pass"
        )

    def test_outcomes_are_not_missed_while_there_are_no_predictions(self):
        rule = parse_rule({"name": "r", "kind": "absence", "of": "outcomes", "after": "6h"})
        stopped = self.arrivals(now=500, predictions_until=5, outcomes_until=3)
        assert rule.condition.evaluate(Context(rule=rule, arrivals=stopped)).verdict == "pass"
        late = self.arrivals(now=500, predictions_until=499, outcomes_until=3)
        assert rule.condition.evaluate(Context(rule=rule, arrivals=late)).verdict == "fail"

    def test_a_model_that_was_never_seen_is_not_told(self):
        for of in ("predictions", "outcomes"):
            rule = parse_rule({"name": "r", "kind": "absence", "of": of})
            assert (
                rule.condition.evaluate(Context(rule=rule, arrivals=self.arrivals(now=500))).verdict
                == "inconclusive"
            )

    def test_of_what(self):
        with pytest.raises(BadInput, match="Did you mean 'outcomes'"):
            Absence(of="outcome")


class TestComposite:
    def said(self, when, **verdicts):
        rule = parse_rule({"name": "r", "kind": "composite", "when": when})
        by_rule = {
            n: Evaluation(rule=n, model="m", verdict=Verdict(v), sentence=f"{n} says.", guarantee=f"of {n}")
            for n, v in verdicts.items()
        }
        return rule.condition.evaluate(Context(rule=rule, model="m", said=by_rule))

    @pytest.mark.parametrize(
        ("when", "a", "b", "verdict"),
        [
            ("a and b", "fail", "fail", "fail"),
            ("a and b", "fail", "pass", "pass"),
            ("a and b", "fail", "inconclusive", "inconclusive"),
            ("a and b", "pass", "inconclusive", "pass"),
            ("a or b", "fail", "inconclusive", "fail"),
            ("a or b", "pass", "inconclusive", "inconclusive"),
            ("a or b", "pass", "pass", "pass"),
            ("not a and b", "pass", "fail", "fail"),
            ("not (a or b)", "pass", "pass", "fail"),
            ("not a", "error", "pass", "inconclusive"),
            ("b or a and b", "pass", "fail", "fail"),
        ],
    )
    def test_kleene(self, when, a, b, verdict):
        assert self.said(when, a=a, b=b).verdict == verdict

    def test_a_rule_that_said_nothing_is_untold(self):
        assert self.said("a and c", a="fail").verdict == "inconclusive"

    def test_and_keeps_one_promise_or_needs_all(self):
        assert self.said("a and b", a="fail", b="fail").guarantee == "of a"
        assert self.said("a or b", a="fail", b="fail").guarantee == "of a; of b"
        assert self.said("not a", a="pass").guarantee == NO_GUARANTEE

    @pytest.mark.parametrize("when", ["", "a and", "(a", "a b", "a & b", "and a", "a)"])
    def test_what_cannot_be_read(self, when):
        with pytest.raises(BadInput, match="expression"):
            Composite(when=when)


class TestSeriesEvidence:
    def windows(self, seed, n, *, shift=0.0, at=10**9):
        rng = np.random.default_rng(seed)
        day = 0.004 * rng.normal(size=n)
        return [0.9 + day[k] + 0.01 * rng.normal() - (shift if k >= at else 0) for k in range(n)]

    def fold(self, values, *, base=30, budget=0.015, columns=4.0, sign=-1):
        state = SeriesEvidence.of(values[:base], [0.01] * base, name="auc", sign=sign)
        fired = None
        for k, v in enumerate(values[base:], 1):
            state = state.update(v, 0.01)
            reading = state.reading(columns=columns, budget=budget, matters=0.01)
            if reading.persistent and fired is None:
                fired = k
        return fired, state

    def test_a_fall_is_found_within_ten_windows(self):
        found = [self.fold(self.windows(s, 60, shift=0.05, at=40))[0] for s in range(30)]
        in_time = [f for f in found if f is not None and 10 < f <= 20]
        assert len(in_time) >= 28

    @pytest.mark.slow
    def test_no_false_alarm_while_windows_are_exchangeable(self):
        fired = [self.fold(self.windows(s, 130))[0] for s in range(30)]
        assert fired == [None] * 30

    def test_a_rise_of_what_is_better_is_no_alarm(self):
        assert self.fold(self.windows(0, 60, shift=-0.05, at=40))[0] is None
        assert self.fold(self.windows(0, 60, shift=-0.05, at=40), sign=0)[0] is not None

    def test_saved_and_read_it_says_the_same_to_the_last_bit(self):
        import json

        values = self.windows(3, 80, shift=0.05, at=60)
        _, whole = self.fold(values)
        _, state = self.fold(values[:50])
        for v in values[50:]:
            state = SeriesEvidence.of_payload(json.loads(json.dumps(state.to_payload()))).update(v, 0.01)
        one, other = (s.reading(columns=4, budget=0.015) for s in (whole, state))
        assert one == other

    def test_memory_is_bounded_and_goes_on(self):
        state = SeriesEvidence.of(self.windows(1, 30), name="x", sign=1)
        for v in self.windows(2, 1300):
            state = state.update(v)
        assert len(state.values) <= 30 + 1000
        assert state.folded == 1300
        assert not state.reading(columns=1, budget=0.01).persistent

    def test_a_break_needs_three_windows_in_a_row(self):
        state = SeriesEvidence.of(self.windows(1, 30), [0.01] * 30, name="x", sign=-1)
        said = []
        for v in (0.4, 0.4, 0.9, 0.4, 0.4, 0.4):
            state = state.update(v, 0.01)
            said.append(state.reading(columns=1, budget=0.01, break_budget=0.005).broken)
        assert said == [False] * 5 + [True]
        one = SeriesEvidence.of(self.windows(1, 30), [0.01] * 30, name="x", sign=-1).update(0.4, 0.01)
        assert one.reading(columns=1, budget=0.01, break_budget=0.005, independent_rows=True).broken

    def test_dependent_windows_are_told(self):
        rng = np.random.default_rng(4)
        x = [0.0]
        for _ in range(60):
            x.append(0.8 * x[-1] + rng.normal())
        state = SeriesEvidence.of(x[:40], name="x", sign=1)
        for v in x[40:]:
            state = state.update(v)
        assert state.reading(columns=1, budget=0.01).assumption.startswith("heuristic: windows are dependent")


class TestPreset:
    SCHEMA = Schema(
        columns=(
            Column(name="id", kind=Kind.TEXT, role=Role.ID),
            Column(name="age", kind=Kind.NUMERIC),
            Column(name="plan", kind=Kind.CATEGORICAL),
            Column(name="score", kind=Kind.NUMERIC, role=Role.SCORE),
            Column(name="churned", kind=Kind.BOOLEAN, role=Role.OUTCOME),
        ),
        task=Task.BINARY,
    )

    @pytest.mark.parametrize("task", [None, *Task])
    def test_it_stands_with_the_measures_that_there_are(self, task):
        rules = default_rules(task, self.SCHEMA, measures=described_measures())
        check_rules(rules)
        known = described_measures()
        assert all(not r.selector.measure or r.selector.measure in known for r in rules)
        assert all(r.about for r in rules)

    def test_all_that_may_page_is_exact_or_shares_the_one_budget(self):
        for rule in default_rules(Task.BINARY, self.SCHEMA, measures=described_measures()):
            if rule.severity.pages:
                assert rule.condition.may_page, rule.name
        budget = Budget(total=0.05)
        assert budget.columns + budget.breaks + budget.measures + budget.revisions == pytest.approx(0.05)

    def test_watched_columns_are_what_the_model_reads_and_says(self):
        assert watched_columns(self.SCHEMA) == ("age", "plan", "score")

    def test_a_direction_is_taken_from_the_measure(self):
        names = {r.name for r in default_rules(Task.REGRESSION, self.SCHEMA, measures=described_measures())}
        assert {"mae rose", "rmse rose", "no predictions", "no outcomes", "traffic unusual"} <= names


def test_durations_are_read_and_said_as_people_do():
    assert duration_of("1.5h") == timedelta(minutes=90)
    assert duration_words(timedelta(minutes=90)) == "90 minutes"
    for wrong in ("5", "", "h", "5 years", 5, None):
        with pytest.raises(BadInput):
            duration_of(wrong)
