"""Against a real Alertmanager: alerts there and back through its webhook, silences both ways."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from watchkeeper.adapters.notifiers.alertmanager import AlertmanagerNotifier, alert_payload
from watchkeeper.adapters.notifiers.exchange import Refused, TryAgain
from watchkeeper.domain.fact import Document
from watchkeeper.domain.silence import Silence, parse_matchers
from watchkeeper.errors import BadInput
from watchkeeper.loop.alerting.alert_actions import add_silence, expire_silence, silences_of
from watchkeeper.loop.alerting.alertmanager_sync import AlertmanagerSync
from watchkeeper.loop.incidents import webhooks as incoming
from watchkeeper.loop.incidents.incidents import Incidents

pytest.importorskip("sqlalchemy", reason="the server extra is not installed")

CONFIG = """
route:
  receiver: hook
  group_by: [model]
  group_wait: 300ms
  group_interval: 300ms
  repeat_interval: 1h
receivers:
  - name: hook
    webhook_configs: [{{url: "{url}", send_resolved: true}}]
"""


@pytest.fixture
def ledger(tmp_path):
    from watchkeeper.adapters.ledgers.sql import open_ledger

    opened = open_ledger(tmp_path / "ledger.db")
    yield opened
    opened.close()


def now():
    return datetime.now(UTC)


def alert(column, state="firing", **rest):
    labels = {
        "rule": "drift",
        "model": "churn",
        "category": "rule",
        "column": column,
        "severity": "warning",
        **rest,
    }
    return {
        "fingerprint": f"fp-{column}",
        "labels": labels,
        "severity": "warning",
        "state": state,
        "sentence": f"PSI of {column} is 0.3",
        "changed_at": (now() - timedelta(minutes=1)).isoformat(),
        "runbook": "drift",
    }


def put(ledger, *alerts):
    documents = []
    for a in alerts:
        known = ledger.facts.document("alert", a["fingerprint"])
        documents.append(
            Document(
                kind="alert",
                key=a["fingerprint"],
                body=a,
                state=a["state"],
                model="churn",
                revision=known.revision if known else 0,
            )
        )
    ledger.facts.append([], documents)


def wait_until(condition, timeout_s=20):
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        if time.monotonic() > deadline:
            pytest.fail("it did not happen in time")
        time.sleep(0.02)
    return found


@pytest.mark.server
def test_alerts_fire_are_grouped_and_resolve_and_come_back_through_the_webhook(
    alertmanager, receiver, ledger
):
    server = alertmanager(CONFIG.format(url=receiver.url + "/hook"))
    client = AlertmanagerNotifier("am", server.url, link="http://watch.example")
    sync = AlertmanagerSync(ledger.facts, client)
    put(ledger, alert("age"), alert("income"))
    assert sync().sent == 2
    held = wait_until(lambda: len(client.alerts()) == 2 and client.alerts())
    assert {a["labels"]["column"] for a in held} == {"age", "income"}
    assert held[0]["labels"]["alertname"] == "drift"
    assert held[0]["annotations"]["runbook_url"] == "drift"
    assert held[0]["generatorURL"].startswith("http://watch.example/alerts/fp-")
    (first,) = receiver.wait_for(1)
    assert first.json["version"] == "4"
    assert first.json["groupLabels"] == {"model": "churn"}
    assert len(first.json["alerts"]) == 2

    # Nothing new: nothing is sent before it is time.
    assert sync().sent == 0
    put(ledger, alert("age", "resolved"), alert("income", "resolved"))
    assert sync().sent == 2
    wait_until(lambda: any(r.json["status"] == "resolved" for r in receiver.received))

    # What we sent there does not open incidents here; what others sent does.
    incidents = Incidents(ledger.facts)
    for request in receiver.received:
        assert incoming.alertmanager(incidents, request.json, now=now()) == []
    labels = {"alertname": "DiskFull", "severity": "critical", "model": "churn", "host": "db1"}
    foreign = {"labels": labels, "headline": "Disk of db1 is full", "state": "firing", "fingerprint": "x"}
    client.push([foreign], now=now())
    wait_until(lambda: any("DiskFull" in r.body.decode() for r in receiver.received))
    delivered = next(r for r in receiver.received if "DiskFull" in r.body.decode())
    (incident,) = incoming.alertmanager(incidents, delivered.json, now=now())
    assert (incident.title, incident.model, incident.severity.value) == (
        "Disk of db1 is full",
        "churn",
        "critical",
    )
    again = incoming.alertmanager(incidents, delivered.json, now=now())
    assert [(i.number, len(i.timeline)) for i in again] == [(incident.number, len(incident.timeline))]


@pytest.mark.server
def test_firing_alerts_are_sent_again_before_they_would_end_by_themselves(alertmanager, ledger):
    server = alertmanager()
    client = AlertmanagerNotifier("am", server.url, resend_every=timedelta(milliseconds=200))
    sync = AlertmanagerSync(ledger.facts, client)
    put(ledger, alert("age"))
    sync()
    first = wait_until(client.alerts)[0]["endsAt"]
    time.sleep(0.25)
    assert sync().sent == 1
    wait_until(lambda: client.alerts()[0]["endsAt"] > first)
    # And when we die it resolves by itself.
    wait_until(lambda: client.alerts() == [])


@pytest.mark.server
def test_silences_are_mirrored_both_ways_and_end_both_ways(alertmanager, ledger):
    server = alertmanager()
    client = AlertmanagerNotifier("am", server.url)
    sync = AlertmanagerSync(ledger.facts, client)
    put(ledger, alert("age"))

    ours = add_silence(
        ledger.facts,
        ["column=~ag.*", "model!=other"],
        author="ann",
        reason="migration",
        now=now(),
        lasts=timedelta(hours=1),
    )
    assert sync().pushed == 1
    ((there, state),) = client.silences()
    assert (state, there.author, there.reason) == ("active", "ann", "migration")
    assert {str(m) for m in there.matchers} == {'column=~"ag.*"', 'model!="other"'}
    wait_until(lambda: client.alerts() and client.alerts()[0]["status"]["state"] == "suppressed")
    assert sync().pushed == 0
    expire_silence(ledger.facts, ours.id, actor="ann", now=now())
    assert sync().ended == 1
    assert client.silences()[0][1] == "expired"

    theirs = Silence(
        id="x",
        matchers=parse_matchers({"model": "churn"}),
        author="bob",
        reason="deploy",
        starts_at=now(),
        ends_at=now() + timedelta(hours=2),
    )
    name = client.put_silence(theirs)
    assert sync().pulled == 1
    (here,) = silences_of(ledger.facts)
    assert (here.author, here.reason, here.mutes({"model": "churn"}, now() + timedelta(minutes=1))) == (
        "bob",
        "deploy",
        True,
    )
    assert sync().pulled == 0
    assert len(client.silences()) == 2
    client.expire_silence(name)
    assert sync().ended == 1
    assert silences_of(ledger.facts) == []


@pytest.mark.server
def test_a_silence_that_gets_another_end_there_gets_it_here_and_in_every_alertmanager(alertmanager, ledger):
    first = AlertmanagerNotifier("first", alertmanager().url)
    second = AlertmanagerNotifier("second", alertmanager().url)
    syncs = [AlertmanagerSync(ledger.facts, client) for client in (first, second)]
    ours = add_silence(
        ledger.facts, ["column=age"], author="ann", reason="load", now=now(), lasts=timedelta(hours=1)
    )
    assert [sync().pushed for sync in syncs] == [1, 1]
    assert [(s.pushed, s.pulled) for s in (sync() for sync in syncs)] == [(0, 0), (0, 0)]

    longer = now() + timedelta(hours=5)
    ((there, _),) = first.silences()
    first.put_silence(replace(there, ends_at=longer), id=there.id)
    assert syncs[0]().pulled == 1
    assert syncs[1]().pushed == 1
    (here,) = silences_of(ledger.facts)
    assert here.id == ours.id
    for end in (here.ends_at, *(s.ends_at for s, state in second.silences() if state == "active")):
        assert abs(end - longer) < timedelta(seconds=1)
    assert [(s.pushed, s.pulled, s.ended) for s in (sync() for sync in syncs)] == [(0, 0, 0), (0, 0, 0)]
    (changed,) = ledger.facts.facts(kinds=["silence.changed"])
    assert (changed.actor, changed.subject) == ("alertmanager", ours.id)


@pytest.mark.server
def test_a_silence_that_alertmanager_has_lost_is_made_there_again(alertmanager, ledger):
    add_silence(
        ledger.facts, ["column=age"], author="ann", reason="load", now=now(), lasts=timedelta(hours=1)
    )
    assert AlertmanagerSync(ledger.facts, AlertmanagerNotifier("am", alertmanager().url))().pushed == 1
    fresh = AlertmanagerNotifier("am", alertmanager().url)  # the same name, and none of its data
    sync = AlertmanagerSync(ledger.facts, fresh)
    assert (sync().pushed, sync().pushed) == (1, 0)
    assert [(s.reason, state) for s, state in fresh.silences()] == [("load", "active")]
    assert len(silences_of(ledger.facts)) == 1


@pytest.mark.server
def test_a_thousand_alerts_go_in_batches(alertmanager):
    client = AlertmanagerNotifier("am", alertmanager().url)
    assert client.push([alert(f"c{i}") for i in range(1_200)], now=now()) == 1_200
    assert len(wait_until(lambda: len(client.alerts()) == 1_200 and client.alerts())) == 1_200


def test_answers_of_later_versions_with_fields_that_we_do_not_know_are_read(receiver, ledger):
    """Alertmanager 0.34 says more than 0.25; a matcher without ``isEqual`` comes from before 0.22."""
    from receivers import Reply

    matchers = [{"name": "model", "value": "churn", "isRegex": False, "kind": "new"}]
    silence = {
        "id": "s1",
        "matchers": matchers,
        "annotations": {"ticket": "OPS-7"},
        "status": {"state": "active", "reason": "new"},
        "startsAt": "2026-03-01T00:00:00.123456789Z",
        "endsAt": "2126-03-01T00:00:00.123456789Z",
        "createdBy": "bob",
        "comment": "deploy",
        "updatedAt": "2026-03-01T00:00:00Z",
        "version": 2,
    }
    unreadable = [
        {**silence, "id": "s2", "matchers": [{"name": "x", "value": "a(", "isRegex": True}]},
        {"id": "s3"},
    ]
    receiver.default = Reply(200, json.dumps([silence, *unreadable]))
    client = AlertmanagerNotifier("am", receiver.url)
    ((read, state),) = client.silences()
    assert (read.id, state, [str(m) for m in read.matchers]) == ("s1", "active", ['model="churn"'])
    assert AlertmanagerSync(ledger.facts, client)().pulled == 1
    assert [s.author for s in silences_of(ledger.facts)] == ["bob"]


def test_labels_and_values_are_made_to_fit_its_alphabet():
    payload = alert_payload(
        {"labels": {"a.b": 1, "9x": "y", "empty": ""}, "rule": "r", "severity": "notice"},
        now=now(),
        lasts=timedelta(minutes=1),
    )
    assert payload["labels"] == {"a_b": "1", "_9x": "y", "alertname": "r", "severity": "notice"}


def test_a_broken_alertmanager_is_a_problem_and_not_a_crash(ledger, receiver):
    from receivers import Reply

    receiver.default = Reply(503)
    put(ledger, alert("age"))
    sync = AlertmanagerSync(ledger.facts, AlertmanagerNotifier("am", receiver.url))
    assert "503" in sync().problem
    receiver.default = Reply(200, "[]")
    done = sync()
    assert (done.problem, done.sent) == ("", 1)


@pytest.mark.parametrize(("status", "fault"), [(400, Refused), (500, TryAgain)])
def test_a_message_of_the_outbox_is_sent_as_alerts(receiver, status, fault):
    from receivers import Reply

    client = AlertmanagerNotifier("am", receiver.url)
    client.send({"alerts": [alert("age")]}, key="k")
    assert receiver.received[0].path == "/api/v2/alerts"
    assert receiver.received[0].json[0]["labels"]["column"] == "age"
    client.send({"title": "a channel is dead", "severity": "critical", "alerts": []}, key="k2")
    assert receiver.received[1].json[0]["labels"]["alertname"] == "WatchkeeperNotice"
    receiver.default = Reply(status)
    with pytest.raises(fault):
        client.send({"alerts": [alert("age")]}, key="k")


class TestAStrangersWebhook:
    @pytest.mark.parametrize(
        ("payload", "said"),
        [
            ([], "must be a JSON object"),
            ({"version": "3", "alerts": []}, "version '3'"),
            ({"version": "4"}, "'alerts' must be a list"),
            ({"alerts": ["x"]}, r"alerts\[0\] must be"),
            ({"alerts": [{"labels": []}]}, r"alerts\[0\]\.labels must be"),
            ({"alerts": [{"labels": {"a": "b"}, "startsAt": "yesterday"}]}, "not a time"),
        ],
    )
    def test_that_is_not_alertmanagers_is_told_what_is_wrong(self, payload, said):
        with pytest.raises(BadInput, match=said):
            incoming.alertmanager_signs(payload, now=now())

    @pytest.mark.parametrize(
        ("payload", "said"),
        [
            ({}, "'title' is needed"),
            ({"title": "x", "status": "odd"}, "must be"),
            ({"title": "x", "labels": "y"}, "labels must be"),
        ],
    )
    def test_that_is_plain_is_told_what_is_wrong(self, payload, said):
        with pytest.raises(BadInput, match=said):
            incoming.generic_signs(payload, now=now())

    def test_of_a_later_version_with_unknown_keys_is_read(self):
        payload = {
            "version": "4",
            "notification_reason": "first notification",
            "groupKey": "{}:{}",
            "new": {"x": 1},
            "alerts": [
                {
                    "status": "firing",
                    "labels": {"alertname": "X"},
                    "annotations": {},
                    "startsAt": "2026-03-01T00:00:00.123456789Z",
                    "endsAt": "0001-01-01T00:00:00Z",
                    "fingerprint": "abc",
                    "odd": True,
                }
            ],
        }
        (sign,) = incoming.alertmanager_signs(payload, now=now())
        assert (sign.state, sign.at, sign.text) == ("firing", datetime(2026, 3, 1, 0, 0, 0, 123456, UTC), "X")

    def test_with_huge_texts_is_cut(self):
        (sign,) = incoming.generic_signs({"title": "x" * 100_000, "labels": {"a": "y" * 100_000}}, now=now())
        assert len(sign.text) == len(sign.labels["a"]) == 1_000
