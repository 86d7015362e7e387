"""The steps of an incident: what may follow what, when, and what is kept."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from watchkeeper.decisions.incidents.assessment import assess, window_cost
from watchkeeper.decisions.incidents.incidents import (
    NEXT,
    AlertSign,
    IncidentPolicy,
    assigned,
    durations,
    enter,
    fed,
    lessons_for,
    mean_durations,
    merged,
    noted,
    opened,
    phase_of,
    pinned,
    ready_to_open,
    similar_to,
    task_added,
    task_done,
    with_lesson,
)
from watchkeeper.domain.incident import Incident, Phase
from watchkeeper.domain.rule import Severity
from watchkeeper.errors import BadInput, BadTransition, NotFound
from watchkeeper.measures.catalogue import described_measures

T0 = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
POLICY = IncidentPolicy()


def new(number=1, **rest):
    given = {
        "title": "PSI of age",
        "severity": Severity.WARNING,
        "at": T0,
        "actor": "watchkeeper",
        "model": "churn",
    }
    return opened(number, **{**given, **rest})


def sign(name="f1", state="firing", at=T0, severity=Severity.WARNING, **labels):
    labels = {"model": "churn", "rule": "drift", "column": "age", **labels}
    return AlertSign(
        fingerprint=name,
        state=state,
        at=at,
        labels=labels,
        severity=severity,
        text=f"PSI of {labels['column']} is 0.3",
    )


def through(incident, *phases, start=T0, actor="ann"):
    for i, phase in enumerate(phases, 1):
        incident = enter(incident, phase, now=start + i * HOUR, actor=actor)
    return incident


ALL = (Phase.ASSESSMENT, Phase.MITIGATION, Phase.RESOLUTION, Phase.POST_MORTEM, Phase.CLOSED)


class TestSteps:
    def test_go_from_detection_to_closed_each_with_its_time(self):
        incident = through(new(), *ALL)
        assert incident.phase is Phase.CLOSED
        assert list(incident.entered) == [Phase.DETECTION.value, *(p.value for p in ALL)]
        assert incident.entered["mitigation"] == T0 + 2 * HOUR

    @pytest.mark.parametrize("origin", list(Phase))
    @pytest.mark.parametrize("to", list(Phase))
    def test_that_do_not_exist_are_refused(self, origin, to):
        from dataclasses import replace

        incident = replace(new(), phase=origin)
        if to in NEXT[origin]:
            assert enter(incident, to, now=T0 + HOUR, actor="ann").phase is to
        else:
            with pytest.raises(BadTransition, match="cannot go to"):
                enter(incident, to, now=T0 + HOUR, actor="ann")

    def test_cannot_lie_before_the_phase_they_follow(self):
        incident = through(new(), Phase.ASSESSMENT)
        with pytest.raises(BadTransition, match="before assessment did"):
            enter(incident, Phase.MITIGATION, now=T0 + 5 * HOUR, at=T0, actor="ann")

    def test_cannot_lie_in_the_future(self):
        with pytest.raises(BadTransition, match="in the future"):
            enter(new(), Phase.ASSESSMENT, now=T0, at=T0 + HOUR, actor="ann")

    def test_may_be_told_afterwards(self):
        incident = enter(new(), Phase.ASSESSMENT, now=T0 + 5 * HOUR, at=T0 + HOUR, actor="ann")
        line = incident.timeline[-1]
        assert (line.at, line.noted_at) == (T0 + HOUR, T0 + 5 * HOUR)

    def test_go_back_when_the_trouble_comes_back(self):
        incident = through(new(), Phase.RESOLUTION, Phase.ASSESSMENT)
        assert incident.phase is Phase.ASSESSMENT
        assert "resolution" not in incident.entered

    def test_are_read_as_people_write_them(self):
        assert phase_of("Post-Mortem") is Phase.POST_MORTEM
        with pytest.raises(BadInput, match="Did you mean 'mitigation'"):
            phase_of("mitigaton")


class TestAlerts:
    def test_open_an_incident_after_as_many_as_the_policy_says(self):
        policy = IncidentPolicy(open_after=2, within=HOUR)
        assert not ready_to_open([sign()], policy, T0)
        assert not ready_to_open([sign(), sign()], policy, T0)
        assert ready_to_open([sign(), sign("f2")], policy, T0)
        assert not ready_to_open([sign(at=T0 - 2 * HOUR), sign("f2")], policy, T0)
        assert not ready_to_open([sign(severity=Severity.NOTICE), sign("f2")], policy, T0)

    def test_join_and_the_same_news_twice_changes_nothing(self):
        once = fed(new(), sign(), policy=POLICY, now=T0)
        assert fed(once, sign(), policy=POLICY, now=T0 + HOUR) is once
        assert once.alerts == {"f1": "firing"}

    def test_raise_the_severity_and_never_lower_it(self):
        incident = fed(new(), sign(severity=Severity.CRITICAL), policy=POLICY, now=T0)
        incident = fed(incident, sign("f2", severity=Severity.NOTICE), policy=POLICY, now=T0)
        assert incident.severity is Severity.CRITICAL

    def test_that_fire_again_reopen_what_was_resolved(self):
        incident = through(fed(new(), sign(), policy=POLICY, now=T0), Phase.RESOLUTION)
        incident = fed(incident, sign("f2"), policy=POLICY, now=T0 + 3 * HOUR)
        assert incident.phase is Phase.ASSESSMENT

    def test_that_end_resolve_only_what_nobody_touched_and_only_if_told_to(self):
        policy = IncidentPolicy(resolve_with_alerts=True)
        firing = fed(new(), sign(), policy=policy, now=T0)
        assert fed(firing, sign(state="resolved"), policy=policy, now=T0 + HOUR).phase is Phase.RESOLUTION
        assert fed(firing, sign(state="resolved"), policy=POLICY, now=T0 + HOUR).phase is Phase.DETECTION
        touched = noted(firing, "looking", now=T0, actor="ann")
        assert fed(touched, sign(state="resolved"), policy=policy, now=T0 + HOUR).phase is Phase.DETECTION

    def test_in_a_storm_leave_a_timeline_of_bounded_length(self):
        incident = new()
        for i in range(3_000):
            incident = fed(incident, sign(f"f{i}"), policy=POLICY, now=T0)
        assert len(incident.alerts) == 3_000
        assert len(incident.timeline) <= 2_000
        assert (
            noted(incident, "a person still can", now=T0, actor="ann").timeline[-1].text
            == "a person still can"
        )


class TestTimeline:
    def test_is_only_added_to(self):
        first = new()
        later = noted(through(first, *ALL[:3]), "it was the join", now=T0 + 9 * HOUR, actor="bob")
        assert later.timeline[: len(first.timeline)] == first.timeline
        assert [e.number for e in later.timeline] == list(range(1, len(later.timeline) + 1))

    def test_has_pins(self):
        incident = pinned(noted(new(), "look here", now=T0, actor="ann"), 2)
        assert [e.number for e in incident.timeline if e.pinned] == [2]
        assert not pinned(incident, 2, pin=False).timeline[1].pinned
        with pytest.raises(NotFound):
            pinned(incident, 9)

    def test_takes_no_empty_notes_and_none_about_the_future(self):
        with pytest.raises(BadInput):
            noted(new(), "  ", now=T0, actor="ann")
        with pytest.raises(BadInput):
            noted(new(), "x", now=T0, at=T0 + HOUR, actor="ann")

    def test_tells_who_took_which_part(self):
        incident = assigned(
            new(), now=T0, actor="ann", owner="ann", role="scribe", person="bob", severity=Severity.CRITICAL
        )
        assert (incident.owner, incident.roles) == ("ann", {"scribe": "bob"})
        assert [e.text for e in incident.timeline[-3:]] == [
            "Owner: ann.",
            "scribe: bob.",
            "Severity: warning to critical.",
        ]
        assert assigned(incident, now=T0, actor="ann", role="scribe", person="").roles == {}


class TestTasks:
    def test_are_done_once(self):
        incident = task_added(new(), "check the join", now=T0, actor="ann")
        incident = task_done(incident, 1, now=T0 + HOUR, actor="bob")
        assert (incident.tasks[0].done_by, incident.tasks[0].is_done) == ("bob", True)
        with pytest.raises(BadTransition, match="done by bob already"):
            task_done(incident, 1, now=T0 + HOUR, actor="bob")
        with pytest.raises(NotFound):
            task_done(incident, 7, now=T0, actor="bob")

    def test_that_follow_up_stay_open_after_the_incident_is_closed(self):
        incident = task_added(new(), "add a check", now=T0, actor="ann", follow_up=True)
        incident = through(incident, *ALL)
        assert [t.text for t in incident.open_follow_ups] == ["add a check"]
        assert task_done(incident, 1, now=T0 + 99 * HOUR, actor="bob").open_follow_ups == ()


class TestMerging:
    def test_keeps_everything_of_both(self):
        a = task_added(fed(new(1), sign("f1"), policy=POLICY, now=T0), "a", now=T0, actor="ann")
        b = task_added(fed(new(2, at=T0 - HOUR), sign("f2"), policy=POLICY, now=T0), "b", now=T0, actor="bob")
        whole, gone = merged(a, b, now=T0 + HOUR, actor="ann")
        assert set(whole.alerts) == {"f1", "f2"}
        assert [(t.number, t.text) for t in whole.tasks] == [(1, "a"), (2, "b")]
        assert whole.detected_at == T0 - HOUR
        assert len(whole.timeline) == len(a.timeline) + len(b.timeline) + 1
        assert [e.at for e in whole.timeline] == sorted(e.at for e in whole.timeline)
        assert (gone.phase, gone.merged_into, whole.merged) == (Phase.MERGED, 1, (2,))

    def test_is_refused_with_itself_and_with_what_is_over(self):
        with pytest.raises(BadTransition, match="itself"):
            merged(new(), new(), now=T0, actor="ann")
        with pytest.raises(BadTransition, match="is closed"):
            merged(new(1), through(new(2), *ALL), now=T0, actor="ann")


class TestFigures:
    def test_are_times_from_the_start_of_the_incident(self):
        incident = through(
            new(started_at=T0 - 3 * HOUR), Phase.ASSESSMENT, Phase.MITIGATION, Phase.RESOLUTION
        )
        assert durations(incident) == {
            "to_detect_s": 10_800,
            "to_acknowledge_s": 3_600,
            "to_resolve_s": 10_800,
        }

    def test_of_many_are_means_of_what_has_happened(self):
        resolved = through(new(started_at=T0 - 2 * HOUR), Phase.RESOLUTION)
        figures = mean_durations([resolved, new(2)])
        assert (figures["mttd_s"], figures["mttd_of"]) == (3_600, 2)
        assert (figures["mttr_s"], figures["mttr_of"]) == (3_600, 1)
        assert mean_durations([])["mttr_s"] is None

    def test_an_automatic_line_acknowledges_nothing(self):
        incident = noted(new(), "auto", now=T0 + HOUR, actor="watchkeeper")
        assert incident.acknowledged_at is None
        assert noted(incident, "seen", now=T0 + 2 * HOUR, actor="ann").acknowledged_at == T0 + 2 * HOUR


class TestLikeness:
    def past(self):
        a = with_lesson(fed(new(1), sign(), policy=POLICY, now=T0), "check the join", now=T0, actor="ann")
        b = with_lesson(
            fed(
                new(2, model="fraud"), sign(model="fraud", rule="latency", column="x"), policy=POLICY, now=T0
            ),
            "restart",
            now=T0,
            actor="ann",
        )
        return [a, b]

    def test_finds_what_has_rule_and_column_in_common(self):
        current = fed(new(3), sign(), policy=POLICY, now=T0)
        (found,) = similar_to(current.features, self.past())
        assert (found.number, found.likeness) == (1, 1.0)
        assert "age" in found.because

    def test_brings_back_what_was_learnt(self):
        features = fed(new(3), sign(), policy=POLICY, now=T0).features
        assert lessons_for(features, self.past()) == ["check the join (incident 1)"]
        assert lessons_for({"rules": ("other",)}, self.past()) == []


def test_what_is_stored_reads_back_the_same():
    incident = through(fed(new(), sign(), policy=POLICY, now=T0), *ALL)
    incident = with_lesson(
        task_added(incident, "t", now=T0, actor="a", due=T0 + HOUR), "l", now=T0, actor="a"
    )
    body = json.loads(msgspec.json.encode(incident))
    assert msgspec.convert(body, Incident) == incident
    assert msgspec.convert({**body, "of_a_later_version": 1}, Incident) == incident


def drafted(rows, **what):
    return assess(rows, measures=described_measures(), **what)


class TestAssessment:
    def row(self, day, measure, value, *, subject="", segment="", version="", rows=1000, margin=None):
        start = T0 + timedelta(days=day)
        return {
            "measure": measure,
            "subject": subject,
            "segment": segment,
            "version": version,
            "start": start,
            "end": start + timedelta(days=1),
            "value": value,
            "margin": margin,
            "rows": rows,
        }

    def rows(self):
        out = []
        for day in range(20):
            bad = day >= 10
            out += [
                self.row(day, "psi", 0.4 if bad else 0.01, subject="age", margin=0.02),
                self.row(day, "psi", 0.01, subject="plan", margin=0.02),
                self.row(day, "roc_auc", 0.70 if bad else 0.85),
                self.row(day, "estimated_roc_auc", 0.72 if bad else 0.85),
                self.row(day, "roc_auc", 0.55 if bad else 0.85, segment="region=EU", rows=300),
                self.row(day, "roc_auc", 0.85, segment="region=US", rows=700),
                self.row(day, "accuracy", 0.9, version="2" if day >= 9 else "1"),
                self.row(day, "accuracy", 0.8 if bad else 0.9),
                self.row(day, "precision", 0.8),
                self.row(day, "recall", 0.5),
            ]
        return out

    def test_names_who_is_hit_since_when_after_what_and_what_it_costs(self):
        draft = drafted(
            self.rows(),
            since=T0 + timedelta(days=10),
            cost_of_errors={"false_positive": 1.0, "false_negative": 10.0},
            currency="EUR",
        )
        assert [c["column"] for c in draft.columns] == ["age"]
        assert [s["segment"] for s in draft.segments] == ["region=EU"]
        assert draft.change["version"] == "2"
        # 100 errors a day before, 200 after: of each, 20 and 40 are FP, 80 and 160 FN.
        assert draft.cost["since"] == pytest.approx(10 * (40 + 1600))
        assert draft.cost["excess"] == pytest.approx(10 * (20 + 800))
        side = next(p for p in draft.performance if p["measure"] == "roc_auc")
        assert (side["estimated"], side["realised"]) == (pytest.approx(0.72), pytest.approx(0.70))
        text = " ".join(draft.sentences)
        assert "2026-03-11" in text
        assert "8,200 EUR" in text

    def test_costs_by_the_estimates_where_outcomes_are_not_known_yet_and_says_so(self):
        rows = [
            {**r, "measure": f"estimated_{r['measure']}"}
            for r in self.rows()
            if r["measure"] in ("accuracy", "precision", "recall") and not r["version"]
        ]
        costs = {"false_positive": 1.0, "false_negative": 10.0}
        draft = drafted(rows, since=T0 + timedelta(days=10), cost_of_errors=costs, currency="EUR")
        assert draft.cost["estimated"]
        assert draft.cost["excess"] == pytest.approx(10 * (20 + 800))
        assert "8,200 EUR more than at the rate before, by the estimates without labels." in " ".join(
            draft.sentences
        )
        mixed = drafted([*rows, *self.rows()], since=T0 + timedelta(days=10), cost_of_errors=costs)
        assert not mixed.cost["estimated"]  # what is realised counts

    def test_names_the_columns_of_its_alerts_first_and_the_measures_that_moved_most(self):
        rows = [*self.rows(), *(self.row(d, "psi", 0.015, subject="quiet") for d in range(20))]
        rows += [self.row(d, m, v) for d in range(20) for m, v in (("f1", 0.6), ("brier", 0.1), ("mcc", 0.4))]
        draft = drafted(rows, since=T0 + timedelta(days=10), columns=["quiet", "gone"])
        assert [(c["column"], c["value"]) for c in draft.columns] == [
            ("gone", None), ("quiet", 0.015), ("age", 0.4)
        ]  # fmt: skip
        told = [s.partition(":")[0] for s in draft.sentences if "estimated without labels" in s]
        assert told[:2] == ["ROC AUC", "Accuracy"]
        assert len(told) == 4
        assert "And 3 more measures of performance." in draft.sentences

    def test_says_what_it_does_not_know(self):
        draft = drafted([self.row(0, "psi", 0.5, subject="age")], since=T0)
        said = " ".join(draft.sentences)
        assert "Realised performance is not known yet" in said
        assert "give the model cost_of_errors" in said
        assert "no measurements" in drafted([], since=T0).sentences[0]

    @pytest.mark.parametrize(
        ("tp", "fp", "fn", "tn"), [(50, 20, 80, 850), (10, 1, 0, 989), (100, 0, 30, 870)]
    )
    def test_works_out_the_errors_from_three_measures(self, tp, fp, fn, tn):
        n = tp + fp + fn + tn
        values = {"accuracy": (tp + tn) / n, "precision": tp / (tp + fp), "recall": tp / (tp + fn)}
        assert window_cost(values, n, {"false_positive": 3.0, "false_negative": 7.0}) == pytest.approx(
            3 * fp + 7 * fn
        )

    def test_a_regression_costs_by_the_unit_of_its_error(self):
        assert window_cost({"mae": 2.5}, 100, {"per_unit": 2.0}) == 500
        assert window_cost({"accuracy": 0.5}, 100, {"per_unit": 2.0}) is None
