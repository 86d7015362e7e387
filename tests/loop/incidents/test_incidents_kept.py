"""Incidents in the ledger: opened and fed by alerts exactly once, changed by people, every change a fact."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from watchkeeper.decisions.incidents.incidents import IncidentPolicy
from watchkeeper.domain.alert import Alert, AlertState, fingerprint
from watchkeeper.domain.fact import Fact
from watchkeeper.domain.incident import Phase
from watchkeeper.domain.measurement import Measurement
from watchkeeper.domain.rule import Severity
from watchkeeper.domain.series import PlacedMeasurement, WindowKey
from watchkeeper.domain.watched import WatchedModel
from watchkeeper.domain.window import Window
from watchkeeper.errors import BadTransition, NotFound
from watchkeeper.loop.incidents import webhooks as incoming
from watchkeeper.loop.incidents.incidents import Incidents
from watchkeeper.loop.records.kinds import ALERT
from watchkeeper.loop.records.records import Records, write
from watchkeeper.testing.clock import FakeClock

pytest.importorskip("sqlalchemy", reason="the server extra is not installed")

T0 = datetime(2026, 3, 10, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def ledger(tmp_path):
    from watchkeeper.adapters.ledgers.sql import open_ledger

    opened = open_ledger(tmp_path / "ledger.db")
    yield opened
    opened.close()


@pytest.fixture
def clock():
    return FakeClock(T0)


MODEL = WatchedModel(
    name="churn", owner="ann", cost_of_errors={"false_positive": 1.0, "false_negative": 5.0}, currency="EUR"
)


@pytest.fixture
def incidents(ledger, clock):
    return Incidents(ledger.facts, ledger.measurements, models={"churn": MODEL}, clock=clock)


def tell(ledger, clock, *changes):
    """Write alerts as the judge does: a fact and the document, in one transaction. Each is (column, kind, ...)."""
    facts, documents = [], []
    for column, kind, *rest in changes:
        given = rest[0] if rest else {}
        labels = {
            "model": "churn",
            "rule": "drift",
            "category": "rule",
            "measure": "psi",
            "column": column,
            **given.get("labels", {}),
        }
        name = fingerprint(labels)
        alert = Alert(
            fingerprint=name,
            labels=labels,
            severity=given.get("severity", Severity.WARNING),
            state=AlertState.RESOLVED if kind == "resolved" else AlertState.FIRING,
            since=given.get("since", clock() - 5 * HOUR),
            changed_at=clock(),
            rule="drift",
            model=labels["model"],
            sentence=f"PSI of {column} is 0.3.",
            retrospective=given.get("retrospective", False),
        )
        documents.append((Records(ledger.facts, ALERT).get(name) or ALERT.new(alert)).to(alert))
        facts.append(Fact(kind=f"alert.{kind}", at=clock(), actor="watchkeeper", model="churn", subject=name))
    write(ledger.facts, facts, documents)


class TestFollowing:
    def test_an_alert_opens_an_incident_with_its_owner_and_what_came_before(self, ledger, clock, incidents):
        tell(ledger, clock, ("age", "fired"))
        assert incidents.follow() == 1
        (incident,) = incidents.find()
        assert (incident.title, incident.owner, incident.model) == ("PSI of age is 0.3", "ann", "churn")
        assert incident.started_at == T0 - 5 * HOUR
        assert incident.acknowledged_at is None
        assert [f.kind for f in ledger.facts.facts(kinds=["incident.*"])] == ["incident.opened"]
        assert incidents.of_alert(next(iter(incident.alerts))).number == 1

    def test_nothing_is_taken_twice(self, ledger, clock, incidents):
        tell(ledger, clock, ("age", "fired"))
        incidents.follow()
        before = incidents.get(1)
        assert incidents.follow() == 0
        assert Incidents(ledger.facts, clock=clock).follow() == 0
        assert incidents.get(1) == before

    def test_alerts_of_the_model_join_and_their_ends_are_told(self, ledger, clock, incidents):
        tell(ledger, clock, ("age", "fired"), ("income", "fired", {"severity": Severity.CRITICAL}))
        clock.advance(HOUR)
        tell(ledger, clock, ("age", "resolved"))
        incidents.follow()
        (incident,) = incidents.find()
        assert sorted(incident.alerts.values()) == ["firing", "resolved"]
        assert incident.severity is Severity.CRITICAL
        assert set(incident.features["columns"]) == {"age", "income"}

    def test_an_incident_waits_for_as_many_alerts_as_the_policy_says(self, ledger, clock):
        incidents = Incidents(ledger.facts, policy=IncidentPolicy(open_after=3), clock=clock)
        tell(ledger, clock, ("a", "fired"))
        incidents.follow()
        tell(ledger, clock, ("b", "fired"))
        incidents.follow()
        assert incidents.find() == []
        tell(ledger, clock, ("c", "fired"))
        incidents.follow()
        (incident,) = incidents.find()
        assert len(incident.alerts) == 3

    def test_notices_and_looks_back_open_nothing(self, ledger, clock, incidents):
        tell(
            ledger,
            clock,
            ("a", "fired", {"severity": Severity.NOTICE}),
            ("b", "fired", {"retrospective": True}),
        )
        incidents.follow()
        assert incidents.find() == []

    def test_models_have_incidents_of_their_own(self, ledger, clock, incidents):
        tell(ledger, clock, ("a", "fired"), ("a", "fired", {"labels": {"model": "fraud"}}))
        incidents.follow()
        assert {i.model for i in incidents.find()} == {"churn", "fraud"}

    def test_a_crash_between_reading_and_writing_loses_nothing(self, ledger, clock, incidents, monkeypatch):
        tell(ledger, clock, ("age", "fired"))
        whole = ledger.facts.append
        with monkeypatch.context() as patch:

            def dies(*args, **kwargs):
                raise KeyboardInterrupt

            patch.setattr(ledger.facts, "append", dies)
            with pytest.raises(KeyboardInterrupt):
                incidents.follow()
        assert ledger.facts.append == whole
        assert incidents.follow() == 1
        assert len(incidents.find()) == 1

    @pytest.mark.slow
    def test_a_storm_of_5000_alerts_is_one_incident(self, ledger, clock, incidents):
        tell(ledger, clock, *[(f"c{i}", "fired") for i in range(5_000)])
        incidents.follow()
        (incident,) = incidents.find()
        assert len(incident.alerts) == 5_000
        assert len(incident.timeline) <= 2_000
        assert len(ledger.facts.facts(kinds=["incident.*"])) <= 6

    def test_an_alert_of_the_machines_meets_that_of_the_model(self, ledger, clock, incidents):
        tell(ledger, clock, ("age", "fired"))
        incidents.follow()
        labels = {"alertname": "DiskFull", "severity": "critical", "model": "churn"}
        payload = {
            "version": "4",
            "groupKey": "g",
            "alerts": [
                {
                    "status": "firing",
                    "labels": labels,
                    "annotations": {"summary": "Disk full"},
                    "startsAt": T0.isoformat(),
                }
            ],
        }
        (incident,) = incoming.alertmanager(incidents, payload, now=clock())
        assert incident.number == 1
        assert len(incident.alerts) == 2
        assert incident.timeline[-2].text == "Fired: Disk full"

    def test_strangers_alerts_without_a_model_go_by_their_own_group(self, incidents, clock):
        def payload(group, name):
            return {
                "version": "4",
                "groupKey": group,
                "alerts": [{"status": "firing", "labels": {"alertname": name}}],
            }

        incoming.alertmanager(incidents, payload("g1", "A"), now=clock())
        incoming.alertmanager(incidents, payload("g1", "B"), now=clock())
        incoming.alertmanager(incidents, payload("g2", "C"), now=clock())
        assert sorted(len(i.alerts) for i in incidents.find()) == [1, 2]

    def test_a_plain_webhook_opens_and_resolves(self, incidents, clock):
        (first,) = incoming.generic(
            incidents, {"title": "Queue is stuck", "key": "q", "severity": "critical"}, now=clock()
        )
        assert first.severity is Severity.CRITICAL
        incoming.generic(
            incidents, {"title": "Queue is stuck", "key": "q", "status": "resolved"}, now=clock()
        )
        assert not incidents.get(first.number).is_firing


class TestPeople:
    def test_every_change_is_a_fact_with_its_actor(self, ledger, incidents, clock):
        incident = incidents.open("Scores look odd", actor="ann", model="churn")
        incidents.note(1, "it is the join", actor="bob")
        for phase, actor in ((Phase.ASSESSMENT, "ann"), (Phase.MITIGATION, "bob"), (Phase.RESOLUTION, "ann")):
            clock.advance(HOUR)
            incidents.enter(1, phase, actor=actor)
        facts = ledger.facts.facts(kinds=["incident.*"], subject=incident.key)
        assert [(f.kind, f.actor) for f in facts] == [
            ("incident.opened", "ann"),
            ("incident.noted", "bob"),
            ("incident.assessed", "ann"),
            ("incident.mitigated", "bob"),
            ("incident.resolved", "ann"),
        ]
        assert facts[-1].body["to"] == "resolution"

    def test_a_step_that_does_not_exist_writes_nothing(self, ledger, incidents):
        incidents.open("x", actor="ann")
        with pytest.raises(BadTransition):
            incidents.enter(1, Phase.CLOSED, actor="ann")
        assert len(ledger.facts.facts(kinds=["incident.*"])) == 1

    def test_two_at_once_both_get_their_line_in(self, incidents, clock):
        incidents.open("x", actor="ann")

        def write(name):
            for text in (f"{name}{k}" for k in range(5)):
                incidents.note(1, text, actor=name)

        threads = [threading.Thread(target=write, args=(n,)) for n in "ab"]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert {e.text for e in incidents.get(1).timeline[1:]} == {f"{n}{k}" for n in "ab" for k in range(5)}

    def test_incidents_opened_at_once_get_different_numbers(self, incidents):
        threads = [threading.Thread(target=lambda: incidents.open("x", actor="ann")) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert sorted(i.number for i in incidents.find()) == [1, 2, 3, 4]

    def test_merging_is_one_transaction_and_told_on_both(self, ledger, incidents):
        incidents.open("a", actor="ann")
        incidents.open("b", actor="ann")
        whole = incidents.merge(1, 2, actor="bob")
        assert whole.merged == (2,)
        assert incidents.get(2).phase is Phase.MERGED
        assert {
            (f.kind, f.subject) for f in ledger.facts.facts(kinds=["incident.merged", "incident.merged_away"])
        } == {
            ("incident.merged", "1"),
            ("incident.merged_away", "2"),
        }

    def test_follow_ups_stay_until_they_are_done(self, incidents, clock):
        incidents.open("a", actor="ann")
        incidents.add_task(1, "add a check", actor="ann", follow_up=True)
        for phase in (Phase.RESOLUTION, Phase.CLOSED):
            incidents.enter(1, phase, actor="ann")
        ((incident, task),) = incidents.follow_ups()
        incidents.finish_task(incident.number, task.number, actor="bob")
        assert incidents.follow_ups() == []

    def test_lessons_come_back_with_a_similar_alert(self, ledger, clock, incidents):
        tell(ledger, clock, ("age", "fired"))
        incidents.follow()
        incidents.learn(1, "look at the join", actor="ann")
        labels = {"model": "churn", "rule": "drift", "measure": "psi", "column": "age"}
        assert incidents.lessons(labels) == ["look at the join (incident 1)"]
        assert incidents.lessons({"model": "other", "rule": "latency"}) == []

    def test_figures_rest_on_what_has_happened(self, incidents, clock):
        incidents.open("a", actor="ann", started_at=clock() - HOUR)
        clock.advance(2 * HOUR)
        incidents.enter(1, Phase.RESOLUTION, actor="ann")
        assert incidents.figures()["mttd_s"] == 3600
        assert incidents.figures()["mttr_s"] == 7200
        assert incidents.figures(since=clock())["incidents"] == 0

    def test_an_unknown_number_says_how_to_find_one(self, incidents):
        with pytest.raises(NotFound, match="incidents list"):
            incidents.get(7)


class TestTheFirstDraft:
    def measured(self, ledger, days=20, bad_from=10):
        placed = []
        start = T0.replace(hour=0) - timedelta(days=days)

        def put(day, measure, value, subject="", segment="", version="", rows=1000):
            window = Window(start + timedelta(days=day), start + timedelta(days=day + 1))
            key = WindowKey(model="churn", window=window, segment=segment, version=version)
            placed.append(
                PlacedMeasurement(
                    key=key,
                    measurement=Measurement(
                        measure=measure,
                        subject=subject,
                        value=value,
                        rows=rows,
                        margin=0.02 if measure == "psi" else None,
                    ),
                )
            )

        for day in range(days):
            bad = day >= bad_from
            put(day, "psi", 0.4 if bad else 0.01, subject="age")
            put(day, "roc_auc", 0.7 if bad else 0.85)
            put(day, "roc_auc", 0.5 if bad else 0.85, segment="region=EU", rows=300)
            put(day, "accuracy", 0.8 if bad else 0.9)
            put(day, "precision", 0.8)
            put(day, "recall", 0.5)
            put(day, "accuracy", 0.8, version="2.1" if day >= bad_from - 1 else "2.0")
        ledger.measurements.write(placed, at=T0)
        return start + timedelta(days=bad_from)

    def test_is_written_when_the_assessment_begins(self, ledger, clock, incidents):
        began = self.measured(ledger)
        tell(ledger, clock, ("age", "fired", {"since": began}))
        incidents.follow()
        incident = incidents.enter(1, Phase.ASSESSMENT, actor="ann")
        draft = incident.timeline[-1]
        assert draft.pinned
        assert draft.actor == "watchkeeper"
        assert "age (population stability index 0.4)" in draft.text
        assert "region=EU (ROC AUC 0.85 to 0.5)" in draft.text
        assert "version 2.1 began to serve" in draft.text
        # Ten days with 200 errors of 1,000: 40 FP and 160 FN a day; 20 and 80 before.
        assert "cost about 8,400 EUR, 4,200 EUR more than at the rate before" in draft.text
        assert incident.assessment["cost"]["excess"] == pytest.approx(4_200)
        assert f"{began:%Y-%m-%d}" in draft.text

    def test_says_so_when_nothing_was_measured(self, incidents):
        incidents.open("x", actor="ann", model="churn")
        assert "no measurements" in incidents.enter(1, Phase.ASSESSMENT, actor="ann").timeline[-1].text


def test_what_a_message_gets_at_the_last_moment(ledger, clock, incidents):
    """The chart is of the series that the alert is about, and lessons are those of the past."""
    from types import SimpleNamespace

    from watchkeeper.loop.incidents.follow import enrichment

    TestTheFirstDraft().measured(ledger)
    tell(ledger, clock, ("age", "fired"))
    incidents.follow()
    incidents.learn(1, "look at the join", actor="ann")
    document = next(iter(ledger.facts.documents("alert")))
    what = {"measure": "psi", "subject": "age", "limit": 0.2, "baseline": 0.01}
    ledger.facts.append([], [replace(document, body={**document.body, "what": what})])
    watch = SimpleNamespace(ledger=ledger, models={}, clock=clock)
    alert = {"fingerprint": document.key, "labels": document.body["labels"]}
    added = enrichment(watch)({"status": "firing", "alerts": [alert]})
    assert added["lessons"] == ["look at the join (incident 1)"]
    assert added["chart"]["title"]["text"] == "Population stability index of age"
    assert added["incident"] == {"number": 1, "owner": "ann"}
    # A rule on the whole distribution names no measure: its column's distance from the baseline is drawn.
    document = ledger.facts.document("alert", document.key)
    labels = {k: v for k, v in document.body["labels"].items() if k != "measure"}
    body = {**document.body, "labels": labels, "what": {"evidence": 1.2, "limit": 0.1}}
    ledger.facts.append([], [replace(document, body=body)])
    drawn = enrichment(watch)({"status": "firing", "alerts": [alert]})["chart"]
    assert drawn["title"]["text"] == "Population stability index of age"
    assert "threshold" not in str(drawn["layer"])
    # The end of an alert comes with its picture too; what was learnt is for those who begin.
    assert set(enrichment(watch)({"status": "resolved", "alerts": [alert]})) == {"chart", "incident"}
    assert len(added["chart"]["data"]["values"]) == 20
    assert enrichment(watch)({"status": "firing", "alerts": [{"fingerprint": "unknown", "labels": {}}]}) == {}
