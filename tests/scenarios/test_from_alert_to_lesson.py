"""A whole story under a fake clock: alerts become one message and one incident; what was learnt comes back next time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from receivers import Reply
from watchkeeper.adapters.notifiers.webhook import WebhookNotifier
from watchkeeper.decisions.alerting.grouping import assign
from watchkeeper.decisions.alerting.routing import Route
from watchkeeper.domain.alert import Alert, AlertState, fingerprint
from watchkeeper.domain.fact import Fact
from watchkeeper.domain.incident import Phase
from watchkeeper.domain.rule import Severity
from watchkeeper.loop.alerting.judging import AlertJudge
from watchkeeper.loop.alerting.plan import AlertingPlan
from watchkeeper.loop.effects.engine import Effects
from watchkeeper.loop.effects.notifications import Notifications
from watchkeeper.loop.incidents.follow import IncidentFollower, enrichment, incidents_of
from watchkeeper.loop.records.kinds import ALERT, GROUP
from watchkeeper.loop.records.records import Records, write
from watchkeeper.ports.judge import Watching
from watchkeeper.testing.clock import FakeClock

pytest.importorskip("sqlalchemy", reason="the server extra is not installed")

T0 = datetime(2026, 3, 10, 12, tzinfo=UTC)
ROUTE = Route(channels=("team", "robot"), group_by=("model",), group_wait=timedelta(seconds=30))
COUNT = 300


@pytest.fixture
def world(tmp_path, new_receiver):
    from watchkeeper.adapters.ledgers.sql import open_ledger

    ledger = open_ledger(tmp_path / "ledger.db")
    clock = FakeClock(T0)
    watch = SimpleNamespace(ledger=ledger, clock=clock, models={})
    team, robot = new_receiver(), new_receiver()
    channels = {
        "team": [WebhookNotifier("team", team.url)],
        "robot": [WebhookNotifier("robot", robot.url, timeout_s=0.3)],
    }
    yield SimpleNamespace(
        ledger=ledger,
        clock=clock,
        watch=watch,
        team=team,
        robot=robot,
        judge=AlertJudge(AlertingPlan(routes=(ROUTE,))),
        outbox=Effects(
            ledger.facts,
            {"notify": Notifications(channels, enrich=enrichment(watch))},
            clock=clock,
            draw=lambda: 0.5,
        ),
        incidents=incidents_of(watch),
    )
    ledger.close()


def fire(world, state, kind):
    """What the judge writes when *COUNT* alerts change at once."""
    alerts = []
    for i in range(COUNT):
        labels = {"model": "churn", "rule": "drift", "category": "rule", "measure": "psi", "column": f"c{i}"}
        alerts.append(
            Alert(
                fingerprint=fingerprint(labels),
                labels={**labels, "severity": "warning"},
                severity=Severity.WARNING,
                state=state,
                episode=1,
                since=world.clock() - timedelta(hours=6),
                changed_at=world.clock(),
                rule="drift",
                model="churn",
                sentence=f"PSI of c{i} is 0.3.",
                what={"sentence": f"PSI of c{i} is 0.3.", "guarantee": "1 in 20 ever"},
            )
        )
    facts = world.ledger.facts
    alert_records, group_records = Records(facts, ALERT), Records(facts, GROUP)
    known = {kept.key: kept for kept in group_records.all()}
    groups = assign(alerts, (ROUTE,), {k: kept.value for k, kept in known.items()}, now=world.clock())
    records = [(alert_records.get(a.fingerprint) or ALERT.new(a)).to(a) for a in alerts]
    records += [known[k].to(g) if k in known else GROUP.new(g) for k, g in groups.items()]
    news = [
        Fact(
            kind=f"alert.{kind}", at=world.clock(), actor="watchkeeper", model="churn", subject=a.fingerprint
        )
        for a in alerts
    ]
    write(facts, news, records, now=world.clock())


def tick(world, wait=timedelta(minutes=1)):
    world.clock.advance(wait)
    world.judge.notify(world.ledger, now=world.clock())
    IncidentFollower().after(Watching(ledger=world.ledger, models=world.watch.models, now=world.clock()))
    world.outbox.deliver(timeout_s=20)


def test_a_storm_is_one_message_a_channel_and_one_incident_and_teaches(world):
    world.robot.replies.extend([Reply(hang_s=5), Reply(503, "", {"Retry-After": "120"})])
    fire(world, AlertState.FIRING, "fired")
    tick(world)
    (told,) = [r.json for r in world.team.received]
    assert (told["status"], told["severity"]) == ("firing", "warning")
    assert f"{COUNT} alerts" in told["title"]
    assert "What changed" in told["text"]
    assert "Guarantee: 1 in 20 ever" in told["text"]
    assert "more." in told["text"]

    # The robot hung, then was busy, and in the end has it once, under the same key each time.
    for _ in range(6):
        tick(world)
    keys = [r.headers["Idempotency-Key"] for r in world.robot.received]
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert len(world.team.received) == 1

    (incident,) = world.incidents.find()
    assert len(incident.alerts) == COUNT
    assert incident.started_at == T0 - timedelta(hours=6)

    for phase in (Phase.ASSESSMENT, Phase.MITIGATION):
        world.incidents.enter(1, phase, actor="ann")
    lesson = "look at the upstream join first"
    world.incidents.learn(1, lesson, actor="ann")
    fire(world, AlertState.RESOLVED, "resolved")
    tick(world, timedelta(minutes=10))
    assert world.team.received[-1].json["status"] == "resolved"
    assert not world.incidents.get(1).is_firing
    for phase in (Phase.RESOLUTION, Phase.POST_MORTEM, Phase.CLOSED):
        world.incidents.enter(1, phase, actor="ann")

    # Weeks later the same again: a new incident, and the message says what was learnt.
    world.clock.advance(timedelta(days=20))
    fire(world, AlertState.FIRING, "fired")
    tick(world, timedelta(minutes=10))
    assert f"Learnt last time: {lesson} (incident 1)" in world.team.received[-1].json["text"]
    again = world.incidents.get(2)
    assert [s.number for s in world.incidents.similar(2)] == [1]
    assert again.phase is Phase.DETECTION
    assert world.ledger.facts.count("outbox", states=["waiting", "sending", "dead"]) == 0
