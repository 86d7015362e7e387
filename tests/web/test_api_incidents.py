"""Alerts, silences, incidents and runbooks over HTTP; and alerts of other systems that come in."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from watchkeeper.domain.alert import Alert, AlertState
from watchkeeper.domain.fact import Document
from watchkeeper.domain.rule import Severity
from watchkeeper.loop.incidents.follow import incidents_of
from watchkeeper.loop.records.records import plain
from watchkeeper.testing.clock import FakeClock
from watchkeeper.web.api.app import MOST_ACTION_BYTES, guarded_api
from watchkeeper.web.api.intake import Intake
from watchkeeper.web.security import Identity, Role, create_token
from watchkeeper.wiring import open_project

testclient = pytest.importorskip("starlette.testclient")
T0 = datetime(2026, 3, 1, 3, tzinfo=UTC)
KEY = "0123456789abcdef"


@pytest.fixture
def watch(tmp_path):
    (tmp_path / "watchkeeper.toml").write_text('[project]\nname = "shop"\n[models.churn]\nowner = "ann"\n')
    with open_project(tmp_path, clock=FakeClock(T0)) as opened:
        alert = Alert(
            fingerprint=KEY,
            labels={"model": "churn", "rule": "psi high", "column": "age", "severity": "warning"},
            severity=Severity.WARNING,
            state=AlertState.FIRING,
            model="churn",
            rule="psi high",
            runbook="drift",
            sentence="PSI of age is 0.3.",
            since=T0 - timedelta(hours=6),
        )
        opened.ledger.facts.append(
            [], [Document(kind="alert", key=KEY, body=plain(alert), state="firing", model="churn")]
        )
        yield opened


@pytest.fixture
def client(watch):
    intake = Intake(watch.data)
    with testclient.TestClient(guarded_api(watch, intake=intake), base_url="http://127.0.0.1") as made:
        yield made
    intake.close()


def as_role(watch, role, name="ann"):
    api = guarded_api(
        watch, intake=Intake(watch.data), authenticate=lambda request: role and Identity(name=name, role=role)
    )
    return testclient.TestClient(api, base_url="http://127.0.0.1")


def facts(watch, kind):
    return [(f.kind, f.actor) for f in watch.ledger.facts.facts(kinds=[kind])]


class TestAlerts:
    def test_are_listed_shown_taken_and_given_back(self, client, watch):
        (one,) = client.get("/v1/alerts").json()["alerts"]
        assert one["story"]["headline"] == "churn: PSI of age is 0.3."
        assert client.get("/v1/alerts?state=resolved").json() == {"alerts": [], "total": 0}
        assert client.get(f"/v1/alerts/{KEY[:6]}").json()["runbook"] == "drift"
        path = f"/v1/alerts/{KEY}/acknowledge"
        assert client.post(path, json={"note": "on it"}).json()["acknowledged_by"] == "local"
        assert "acknowledged_by" not in client.delete(path).json()
        assert facts(watch, "alert.*") == [("alert.acknowledged", "local"), ("alert.unacknowledged", "local")]
        assert client.delete(path).status_code == 409

    def test_are_muted_as_the_preview_said_until_the_silence_ends(self, client, watch):
        body = {"matchers": {"column": "~ag.*"}}
        found = client.post("/v1/silences/preview", json=body).json()
        assert (found["firing"], found["hints"]) == ([KEY], [])
        made = client.post("/v1/silences", json={**body, "reason": "migration", "until": "2h"})
        assert made.status_code == 201
        silence = made.json()
        assert (silence["author"], silence["ends_at"]) == ("local", "2026-03-01T05:00:00+00:00")
        assert [s["id"] for s in client.get("/v1/silences").json()["silences"]] == [silence["id"]]
        assert client.delete(f"/v1/silences/{silence['id']}").status_code == 200
        assert client.get("/v1/silences").json() == {"silences": []}
        assert len(client.get("/v1/silences?ended=true").json()["silences"]) == 1

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            ({"matchers": ["column=~a("], "reason": "x", "lasts": "1h"}, "regular expression"),
            ({"matchers": {"model": "churn"}, "reason": "x"}, "needs an end"),
            ({"matchers": {"model": "churn"}, "reason": " ", "lasts": "1h"}, "needs its reason"),
            ({"matchers": ["model=~.*"], "reason": "x", "lasts": "1h"}, "mute everything"),
            ({"matchers": ["model=churn"], "reason": "x", "lasts": "soon"}, "not a duration"),
            ({"matchers": ["model=churn"], "reason": "x", "for": "1h"}, "Extra inputs"),
        ],
    )
    def test_a_silence_that_cannot_be_is_told_why(self, client, watch, body, said):
        answer = client.post("/v1/silences", json=body)
        assert answer.status_code == 400
        assert said in answer.text
        assert watch.ledger.facts.count("silence") == 0


class TestIncidents:
    def test_from_the_opening_to_the_post_mortem(self, client, watch):
        made = client.post("/v1/incidents", json={"title": "Scores fell", "model": "churn", "since": "2h"})
        assert made.status_code == 201
        assert (made.json()["owner"], made.json()["to_detect"]) == ("ann", "2 h")
        at = "/v1/incidents/1"
        assert client.post(f"{at}/phase", json={"phase": "assessment"}).json()["assessment"]
        client.patch(at, json={"severity": "critical", "roles": {"scribe": "bob"}})
        client.post(f"{at}/notes", json={"text": "the join lost rows", "at": "30m", "pin": True})
        client.post(f"{at}/notes", json={"text": "count rows first", "kind": "lesson"})
        client.post(f"{at}/notes", json={"text": "an upstream join", "kind": "cause"})
        client.post(f"{at}/tasks", json={"text": "a row count check", "follow_up": True, "due": "7d"})
        for phase in ("mitigation", "resolution", "post-mortem", "closed"):
            watch.clock.advance(timedelta(minutes=10))
            assert client.post(f"{at}/phase", json={"phase": phase}).status_code == 200, phase
        shown = client.get(at).json()
        assert (shown["phase"], shown["severity"], shown["roles"]) == (
            "closed",
            "critical",
            {"scribe": "bob"},
        )
        assert shown["cause"] == "an upstream join"
        (left,) = client.get("/v1/incidents/follow-ups").json()["follow_ups"]
        assert left["due"] == "2026-03-08T03:00:00Z"
        client.post(f"{at}/tasks/1/done")
        assert client.get("/v1/incidents/follow-ups").json() == {"follow_ups": []}
        assert client.get("/v1/incidents/figures").json()["mttr_s"] == 1200
        assert client.get("/v1/incidents").json() == {"incidents": [], "total": 0}
        assert client.get("/v1/incidents?over=true").json()["total"] == 1
        markdown = client.get(f"{at}/postmortem").text
        assert "count rows first" in markdown
        page = client.get(f"{at}/postmortem?format=html")
        assert "sandbox" in page.headers["content-security-policy"]
        assert {actor for _, actor in facts(watch, "incident.*")} == {"local"}

    def test_pins_merges_and_what_does_not_exist(self, client):
        for title in ("one", "two"):
            client.post("/v1/incidents", json={"title": title})
        client.post("/v1/incidents/1/notes", json={"text": "look"})
        assert client.post("/v1/incidents/1/pins", json={"line": 2}).json()["timeline"][1]["pinned"]
        assert client.post("/v1/incidents/1/pins", json={"line": 99}).status_code == 404
        assert client.post("/v1/incidents/1/merge", json={"other": 2}).json()["merged"] == [2]
        assert client.get("/v1/incidents/2").json()["merged_into"] == 1
        assert client.get("/v1/incidents/77").status_code == 404
        assert client.post("/v1/incidents/1/phase", json={"phase": "closed"}).status_code == 409
        assert client.post("/v1/incidents/1/phase", json={"phase": "nonsense"}).status_code == 400
        assert client.post("/v1/incidents", json={"title": " "}).status_code == 400
        assert client.post("/v1/incidents", json={"title": "x", "model": "chrun"}).status_code == 404

    def test_a_runbook_is_run_and_recorded(self, client, watch):
        client.post("/v1/incidents", json={"title": "Age moved", "model": "churn"})
        assert "drift" in [b["name"] for b in client.get("/v1/runbooks").json()["runbooks"]]
        assert client.get("/v1/runbooks/drift").json()["steps"][0]["commands"]
        body = {"incident": 1, "alert": KEY}
        run = client.post("/v1/runbooks/drift/runs", json=body).json()
        assert (run["state"], run["actor"]) == ("done", "local")
        assert watch.ledger.facts.count("silence", states=["active"]) == 1
        stopped = client.post("/v1/runbooks/drift/runs", json={}).json()
        assert stopped["state"] == "failed"
        assert client.post(f"/v1/runbooks/runs/{stopped['run']}/resume").json()["state"] == "failed"
        assert client.post(f"/v1/runbooks/runs/{run['run']}/resume").status_code == 409
        assert len(client.get("/v1/runbooks/runs").json()["runs"]) == 2
        assert client.get("/v1/runbooks/drfit").status_code == 404


class TestOtherSystems:
    ALERT = {
        "status": "firing",
        "labels": {"alertname": "DiskFull", "severity": "critical", "model": "churn"},
        "annotations": {"summary": "Disk of db1 is full"},
        "startsAt": "2026-03-01T02:00:00.123456789Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "fingerprint": "f1",
    }

    def delivery(self, **change):
        return {"version": "4", "groupKey": "{}:{}", "alerts": [{**self.ALERT, **change}]}

    def test_alertmanagers_webhook_opens_an_incident_and_feeds_it(self, client, watch):
        (opened,) = client.post("/v1/hooks/alertmanager", json=self.delivery()).json()["incidents"]
        assert opened == {"number": 1, "title": "Disk of db1 is full", "phase": "detection"}
        again = client.post("/v1/hooks/alertmanager", json=self.delivery())
        assert again.json()["incidents"] == [opened]
        over = self.delivery(status="resolved", endsAt="2026-03-01T02:30:00Z")
        client.post("/v1/hooks/alertmanager", json=over)
        shown = client.get("/v1/incidents/1").json()
        assert (shown["model"], shown["severity"], shown["firing"]) == ("churn", "critical", 0)
        assert shown["owner"] == "ann"

    def test_any_other_system_does_so_too(self, client):
        body = {"title": "Queue is stuck", "severity": "critical", "key": "q7", "labels": {"model": "churn"}}
        client.post("/v1/hooks/alert", json=body)
        client.post("/v1/hooks/alertmanager", json=self.delivery())
        (one,) = client.get("/v1/incidents").json()["incidents"]
        assert len(one["alerts"]) == 2  # machines and models meet

    def test_the_content_type_does_not_matter_and_values_stay_text(self, client):
        body = '{"title": "disk <b>full</b>\\nWhat was done: fixed", "labels": {"model": "churn"}}'
        client.post("/v1/hooks/alert", content=body, headers={"content-type": "text/plain"})
        client.post("/v1/incidents/1/phase", json={"phase": "resolution"})
        page = client.get("/v1/incidents/1/postmortem?format=html").text
        assert "<b>full" not in page
        markdown = client.get("/v1/incidents/1/postmortem").text
        assert not [line for line in markdown.splitlines() if line.startswith("What was done")]

    @pytest.mark.parametrize("path", ["alertmanager", "alert"])
    @pytest.mark.parametrize(
        "body", ["[]", "null", "{", '"x"', '{"version": "3", "alerts": []}', '{"title": 7}']
    )
    def test_nonsense_is_refused_and_opens_nothing(self, client, watch, path, body):
        answer = client.post(f"/v1/hooks/{path}", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 400
        assert watch.ledger.facts.count("incident") == 0


class TestWhoMay:
    ACTIONS = (
        ("post", f"/v1/alerts/{KEY}/acknowledge", {}),
        ("delete", f"/v1/alerts/{KEY}/acknowledge", None),
        ("post", "/v1/silences", {"matchers": {"model": "churn"}, "reason": "x", "lasts": "1h"}),
        ("delete", "/v1/silences/x", None),
        ("post", "/v1/incidents", {"title": "x"}),
        ("patch", "/v1/incidents/1", {"title": "y"}),
        ("post", "/v1/incidents/1/phase", {"phase": "assessment"}),
        ("post", "/v1/incidents/1/notes", {"text": "x"}),
        ("post", "/v1/incidents/1/pins", {"line": 1}),
        ("post", "/v1/incidents/1/tasks", {"text": "x"}),
        ("post", "/v1/incidents/1/tasks/1/done", None),
        ("post", "/v1/incidents/1/merge", {"other": 2}),
        ("post", "/v1/runbooks/drift/runs", {}),
        ("post", "/v1/runbooks/runs/x/resume", None),
        ("post", "/v1/hooks/alertmanager", {"alerts": []}),
        ("post", "/v1/hooks/alert", {"title": "x"}),
        ("post", "/v1/models/churn/measurements", {"measurements": []}),
    )

    @pytest.mark.parametrize(("method", "path", "body"), ACTIONS)
    def test_only_operators_change_anything(self, watch, method, path, body):
        for role, status in ((None, 401), (Role.VIEWER, 403), (Role.LABELLER, 403)):
            before = watch.ledger.facts.facts()
            answer = as_role(watch, role).request(method, path, json=body)
            assert answer.status_code == status
            assert watch.ledger.facts.facts() == before
        assert as_role(watch, Role.OPERATOR).request(method, path, json=body).status_code not in (401, 403)

    def test_every_action_of_the_api_is_in_this_list(self, client):
        paths = client.get("/openapi.json").json()["paths"]
        known = {
            (method, path)
            for path, methods in paths.items()
            for method in methods
            if method != "get" and path not in ("/v1/predictions", "/v1/outcomes", "/v1/silences/preview")
        }
        assert len(known) == len(self.ACTIONS)

    @pytest.mark.parametrize(
        "path", ["/v1/alerts", "/v1/silences", "/v1/incidents", "/v1/incidents/1", "/v1/runbooks", "/v1/runbooks/runs"]
    )  # fmt: skip
    def test_nobody_reads_without_a_token_once_there_is_one(self, client, watch, path):
        client.post("/v1/incidents", json={"title": "x"})
        token = create_token(watch.ledger.facts, name="page", role="viewer", by="test", now=watch.clock())
        assert client.get(path).status_code == 401
        assert client.get(path, headers={"authorization": f"Bearer {token}"}).status_code == 200

    def test_a_body_without_end_is_not_read(self, client):
        def endless():
            while True:
                yield b" " * 65536

        assert client.post("/v1/hooks/alert", content=endless()).status_code == 413
        huge = {"content-length": str(MOST_ACTION_BYTES + 1)}
        assert client.post("/v1/hooks/alert", content=b"{}", headers=huge).status_code == 413


def test_page_api_and_shell_change_one_incident_at_once_and_nothing_is_lost(watch, tmp_path):
    """Three doors, one incident: each line is there once, each change is one fact with its actor."""
    from watchkeeper.web.app import create_app

    incidents_of(watch).open("Everybody at once", actor="ann")
    token = create_token(watch.ledger.facts, name="page", role="operator", by="test", now=watch.clock())
    headers = {"authorization": f"Bearer {token}", "accept": "application/json"}
    people = {
        "page": testclient.TestClient(create_app(watch), base_url="http://127.0.0.1", headers=headers),
        "api": as_role(watch, Role.OPERATOR, "api"),
    }
    said, faults = [], []

    def act(door):
        for n in range(8):
            text = f"{door} {n}"
            try:
                if door == "shell":
                    with open_project(tmp_path, clock=FakeClock(T0)) as other:
                        incidents_of(other).note(1, text, actor="shell")
                elif door == "page":
                    answer = people[door].post("/incidents/1/note", json={"text": text})
                    assert answer.status_code == 200, answer.text
                else:
                    answer = people[door].post("/v1/incidents/1/notes", json={"text": text})
                    assert answer.status_code == 201, answer.text
                said.append(text)
            except Exception as fault:
                faults.append((door, fault))

    threads = [threading.Thread(target=act, args=(door,)) for door in ("page", "api", "shell")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    incident = incidents_of(watch).get(1)
    assert faults == []
    assert sorted(e.text for e in incident.timeline if e.kind == "note") == sorted(said)
    assert [e.number for e in incident.timeline] == list(range(1, len(incident.timeline) + 1))
    noted_by = [actor for kind, actor in facts(watch, "incident.noted")]
    assert {name: noted_by.count(name) for name in set(noted_by)} == {"page": 8, "api": 8, "shell": 8}
