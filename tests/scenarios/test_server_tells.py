"""What a whole project tells by itself: through a server, or through `watchkeeper tick` from cron."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from receivers import Reply
from watchkeeper.domain.alert import Alert, AlertState
from watchkeeper.domain.fact import Fact
from watchkeeper.domain.rule import Severity
from watchkeeper.loop.records.kinds import ALERT, GROUP
from watchkeeper.loop.records.records import Records, write

pytest.importorskip("deltalake", reason="the server extra is not installed")
pytest.importorskip("apprise", reason="the server extra is not installed")

KEY = "00000000000000aa"


def fire(watch, state="firing", **rest):
    """An alert changes, as the judge writes it: alert, group and fact at once."""
    from watchkeeper.decisions.alerting.grouping import assign

    now = watch.clock()
    alert = Alert(
        fingerprint=KEY,
        labels={"model": "churn", "rule": "psi high", "category": "rule", "severity": "critical"},
        severity=Severity.CRITICAL,
        state=AlertState(state),
        episode=1,
        model="churn",
        rule="psi high",
        runbook="drift",
        sentence="PSI of age is 0.3.",
        since=now - timedelta(hours=1),
        changed_at=now,
        **rest,
    )
    facts = watch.ledger.facts
    known = {kept.key: kept for kept in Records(facts, GROUP).all()}
    groups = assign(
        [alert], watch.config.alerting().routes, {k: kept.value for k, kept in known.items()}, now=now
    )
    records = [(Records(facts, ALERT).get(KEY) or ALERT.new(alert)).to(alert)]
    records += [known[k].to(g) if k in known else GROUP.new(g) for k, g in groups.items()]
    kind = "alert.fired" if state == "firing" else "alert.resolved"
    news = Fact(kind=kind, at=now, actor="watchkeeper", model="churn", subject=KEY)
    write(facts, [news], records, now=now)


def wait_until(condition, timeout_s=30):
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        if time.monotonic() > deadline:
            pytest.fail("it did not happen in time")
        time.sleep(0.05)
    return found


def serving(watch, port):
    """The whole server on loopback; returns what stops it."""
    import uvicorn

    from watchkeeper.web.server import Server
    from watchkeeper.wiring.telling import outbox_of

    ours = Server(watch, outbox=outbox_of(watch))
    server = uvicorn.Server(uvicorn.Config(ours, host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    wait_until(lambda: server.started)

    def stop():
        server.should_exit = True
        thread.join(30)

    return stop


CONFIG = """
[project]
name = "shop"
[server]
tick_every = "1s"
[models.churn]
owner = "ann"
[channels.ops]
kind = "alertmanager"
url = "{alertmanager}"
[channels.hook]
kind = "webhook"
url = "{hook}"
[dead_mans_switch]
url = "{switch}"
every = "1s"
[[routes]]
channels = ["hook"]
group_wait = "0s"
group_interval = "1s"
"""
ROUTE = """
route:
  receiver: watch
  group_by: [alertname]
  group_wait: 100ms
  group_interval: 200ms
receivers:
  - name: watch
    webhook_configs: [{{url: "http://127.0.0.1:{port}/v1/hooks/alertmanager", send_resolved: true}}]
"""


@pytest.mark.server
@pytest.mark.slow
def test_the_whole_circle_with_alertmanager_a_webhook_and_a_dead_mans_switch(
    alertmanager, new_receiver, tmp_path
):
    """Our alert goes out to both channels; a machine's alert comes back by Alertmanager and joins our incident."""
    import real_servers
    from watchkeeper.adapters.notifiers.alertmanager import AlertmanagerNotifier
    from watchkeeper.loop.incidents.follow import incidents_of
    from watchkeeper.wiring import open_project

    port = real_servers.free_port()
    there = alertmanager(ROUTE.format(port=port))
    hook, switch = new_receiver(), new_receiver()
    switch.default = Reply(hang_s=3)  # a switch that is slow must not hold anybody up
    config = CONFIG.format(alertmanager=there.url, hook=hook.url, switch=switch.url)
    (tmp_path / "watchkeeper.toml").write_text(config)
    client = AlertmanagerNotifier("test", there.url)
    with open_project(tmp_path) as watch:
        stop = serving(watch, port)
        try:
            fire(watch)
            (told,) = hook.wait_for(1)
            assert (told.json["status"], told.json["alerts"][0]["runbook"]) == ("firing", "drift")
            wait_until(client.alerts)
            assert client.alerts()[0]["labels"]["rule"] == "psi high"
            wait_until(lambda: incidents_of(watch).find())

            labels = {"alertname": "DiskFull", "severity": "critical", "model": "churn"}
            foreign = {"labels": labels, "headline": "Disk of db1 is full", "fingerprint": "x"}
            client.push([{**foreign, "state": "firing"}], now=datetime.now(UTC))
            wait_until(lambda: len(incidents_of(watch).get(1).alerts) == 2)
            client.push([{**foreign, "state": "resolved"}], now=datetime.now(UTC))
            fire(watch, "resolved", resolved_at=watch.clock())
            wait_until(lambda: not incidents_of(watch).get(1).is_firing)
            wait_until(lambda: client.alerts() == [])
            wait_until(lambda: [r.json["status"] for r in hook.received] == ["firing", "resolved"])
            assert len(incidents_of(watch).find()) == 1
            switch.wait_for(1)
        finally:
            switch.released.set()
            stop()


class TestFromCron:
    CONFIG = """
[models.churn]
[channels.hook]
kind = "webhook"
url = "{hook}"
[dead_mans_switch]
url = "{switch}"
[[routes]]
channels = ["hook"]
group_wait = "10m"
"""

    @pytest.fixture
    def project(self, tmp_path, new_receiver):
        self.hook, self.switch = new_receiver(), new_receiver()
        (tmp_path / "watchkeeper.toml").write_text(
            self.CONFIG.format(hook=self.hook.url, switch=self.switch.url)
        )
        return tmp_path

    def tick(self, project):
        from watchkeeper.cli import main

        with pytest.raises(SystemExit) as end:
            main(["tick", "--project", str(project)])
        return int(end.value.code or 0)

    def test_a_tick_tells_at_once_and_pings(self, project):
        from watchkeeper.wiring import open_project

        with open_project(project) as watch:
            fire(watch)
        assert self.tick(project) == 0
        assert [r.json["status"] for r in self.hook.received] == ["firing"]
        assert [r.method for r in self.switch.received] == ["GET"]
        assert self.tick(project) == 0
        assert len(self.hook.received) == 1

    def test_a_switch_that_fails_is_a_problem_that_is_told(self, project, capsys):
        self.switch.default = Reply(503)
        assert self.tick(project) == 1
        assert "dead man's switch was not pinged" in capsys.readouterr().err

    def test_while_another_ticks_nothing_is_told_twice(self, project):
        from watchkeeper.loop.watch.tick import LEASE, LEASE_FOR
        from watchkeeper.wiring import open_project

        with open_project(project) as watch:
            fire(watch)
            watch.ledger.leases.acquire(LEASE, "somebody", LEASE_FOR, watch.clock())
        assert self.tick(project) == 0
        assert self.hook.received == self.switch.received == []


def test_every_command_of_a_runbook_does_what_it_says_in_a_real_project(tmp_path, receiver):
    """Silence, rebaseline, backfill, label, notify: on real rows, each looked for where it must have left its mark."""
    from watchkeeper.capture.recorder import Recorder
    from watchkeeper.loop.incidents.follow import incidents_of
    from watchkeeper.testing.clock import FakeClock
    from watchkeeper.wiring import open_project
    from watchkeeper.wiring.telling import outbox_of, runbooks_of

    start, day = datetime(2026, 3, 1, tzinfo=UTC), timedelta(days=1)
    (tmp_path / "watchkeeper.toml").write_text(
        '[models.churn]\ncadence = "1d"\n[channels.hook]\nkind = "webhook"\nurl = "' + receiver.url + '"\n'
    )
    (tmp_path / "runbooks").mkdir()
    (tmp_path / "runbooks" / "all.md").write_text(
        "# All\n\n## Everything\n\n```watchkeeper\n"
        'silence model={model} --for 4h --reason "being worked on"\n'
        "rebaseline {model} --from 2026-03-01 --to 2026-03-05\n"
        "backfill {model} --from 2026-03-05 --to 2026-03-07\n"
        "label team=risk\n"
        'notify hook "looking at {model}"\n'
        "```\n"
    )
    with open_project(tmp_path, clock=FakeClock(start + 8 * day)) as watch:
        with Recorder("churn", "1", path=watch.data) as recorder:
            for i in range(700):
                recorder.record({"x": float(i % 7)}, i % 2, id=str(i), at=start + (i // 100) * day)
        watch.tick()
        incidents = incidents_of(watch)
        incidents.open("Look", actor="ann", model="churn")
        before = {s.key.window: s.generation for s in watch.ledger.windows.windows("churn")}
        record = runbooks_of(watch).run("all", actor="ann", incident=1)
        assert [c["state"] for c in record.commands] == ["done"] * 5, record.commands
        assert [c["command"].split()[1] for c in record.commands[1:3]] == ["churn", "churn"]
        assert watch.baseline("churn").profile.rows == 400
        (silence,) = watch.ledger.facts.documents("silence", states=["active"])
        assert (silence.body["author"], silence.body["reason"]) == ("ann", "being worked on")
        after = {s.key.window: s.generation for s in watch.ledger.windows.windows("churn")}
        again = {w.start for w in before if after[w] > before[w]}
        assert {start + 4 * day, start + 5 * day} <= again
        assert incidents.get(1).labels["team"] == "risk"
        outbox_of(watch).deliver()
        assert [r.json["title"] for r in receiver.received] == ["watch: looking at churn"]
        assert {f.actor for f in watch.ledger.facts.facts(kinds=["runbook.*"])} == {"ann"}


class TestAChannelThatCannotBeUsed:
    CONFIG = """
[models.churn]
[channels.pager]
url = "env:NO_SUCH_SECRET"
[channels.resting]
url = "env:NO_SUCH_SECRET_EITHER"
enabled = false
[channels.hook]
kind = "webhook"
url = "{hook}"
[[routes]]
channels = ["pager", "resting", "hook"]
group_wait = "0s"
"""

    def test_is_told_with_its_reason_by_the_others_and_one_that_is_off_is_left_out(self, tmp_path, receiver):
        from watchkeeper.loop.reports.status import status
        from watchkeeper.wiring import open_project
        from watchkeeper.wiring.telling import check_channels, outbox_of, tell

        (tmp_path / "watchkeeper.toml").write_text(self.CONFIG.format(hook=receiver.url))
        with open_project(tmp_path) as watch:
            assert any("NO_SUCH_SECRET" in fault for fault in check_channels(watch))
            fire(watch)
            assert tell(watch) == []
            outbox_of(watch).deliver()
            titles = [r.json["title"] for r in receiver.received]
            assert len(titles) == 2
            assert any("The channel pager could not be told" in title for title in titles)
            found = {e.lane: e for e in outbox_of(watch).entries() if ":" in e.key}
            assert (found["pager"].state, found["resting"].state) == ("dead", "sent")
            assert "NO_SUCH_SECRET" in found["pager"].last_error
            said = [p for p in status(watch)["problems"] if "pager" in p]
            assert len(said) == 1
            assert "watchkeeper outbox" in said[0]
