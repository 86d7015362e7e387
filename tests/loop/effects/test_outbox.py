"""The outbox: at least once, each with its key; no channel delays another; what cannot be sent is not forgotten."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from receivers import Reply
from watchkeeper.adapters.notifiers.exchange import Refused, TryAgain
from watchkeeper.adapters.notifiers.webhook import WebhookNotifier
from watchkeeper.domain.effect import Effect, EffectState, Performed
from watchkeeper.domain.fact import Document
from watchkeeper.errors import BadInput, NotFound
from watchkeeper.loop.effects.engine import EFFECT, FACTS, Effects, RetryPolicy
from watchkeeper.loop.effects.notifications import Notifications, notification
from watchkeeper.loop.records.records import Records, write
from watchkeeper.testing.clock import FakeClock

pytest.importorskip("sqlalchemy", reason="the server extra is not installed")

T0 = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def ledger(tmp_path):
    from watchkeeper.adapters.ledgers.sql import open_ledger

    opened = open_ledger(tmp_path / "ledger.db")
    yield opened
    opened.close()


@pytest.fixture
def clock():
    return FakeClock(T0)


class Box:
    """A target that keeps what it is given, and fails as told."""

    def __init__(self, name="box"):
        self.name, self.keys, self.faults, self.titles = name, [], [], []
        self.gate = threading.Event()
        self.gate.set()

    def send(self, message, *, key):
        self.gate.wait(30)
        if self.faults:
            fault = self.faults.pop(0)
            if fault is not None:
                raise fault
        self.keys.append(key)
        self.titles.append(message["title"])


def put(ledger, *keys, channel="chat", now=T0, **body):
    asked = [notification(channel, k, {"title": k, "text": "text", **body}, now=now) for k in keys]
    write(ledger.facts, [], asked, now=now)


def outbox(ledger, clock, channels, **rest):
    told = Notifications(channels, enrich=rest.pop("enrich", None))
    return Effects(ledger.facts, {"notify": told}, clock=clock, draw=lambda: 0.5, **rest)


def effect(ledger, key):
    return Records(ledger.facts, EFFECT).of(key).value


def states(ledger):
    return {d.key: d.state for d in ledger.facts.documents("outbox")}


def test_an_entry_is_sent_once_and_written_down_as_sent(ledger, clock):
    box = Box()
    put(ledger, "a", "b")
    sender = outbox(ledger, clock, {"chat": [box]})
    assert sender.deliver() == 2
    assert sender.deliver() == 0
    assert sorted(box.keys) == ["a", "b"]
    assert states(ledger) == {"a": "sent", "b": "sent"}
    assert {f.subject for f in ledger.facts.facts(kinds=["outbox.sent"])} == {"a", "b"}


def test_a_failure_is_tried_again_later_and_later(ledger, clock):
    box = Box()
    box.faults = [TryAgain("down")] * 3
    put(ledger, "a")
    sender = outbox(ledger, clock, {"chat": [box]})
    waits = []
    for _ in range(3):
        sender.deliver()
        due = ledger.facts.document("outbox", "a").due
        waits.append((due - clock()).total_seconds())
        clock.advance(due - clock())
    assert waits == [5, 10, 20]
    sender.deliver()
    assert box.keys == ["a"]


def test_a_receiver_that_asks_for_time_gets_it(ledger, clock):
    box = Box()
    box.faults = [TryAgain("busy", retry_after_s=600)]
    put(ledger, "a")
    sender = outbox(ledger, clock, {"chat": [box]})
    sender.deliver()
    clock.advance(timedelta(seconds=599))
    assert sender.deliver() == 0
    clock.advance(timedelta(seconds=1))
    sender.deliver()
    assert box.keys == ["a"]


def test_jitter_spreads_what_failed_together():
    policy = RetryPolicy()
    waits = {policy.wait(3, draw=d / 10).total_seconds() for d in range(11)}
    assert (min(waits), max(waits), len(waits)) == (16, 24, 11)


def test_tries_are_limited_then_the_letter_is_dead_and_can_be_sent_again(ledger, clock):
    box = Box()
    box.faults = [TryAgain("down")] * 3
    put(ledger, "a")
    sender = outbox(ledger, clock, {"chat": [box]}, policy=RetryPolicy(tries=3))
    for _ in range(5):
        sender.deliver()
        clock.advance(timedelta(hours=1))
    assert states(ledger) == {"a": "dead"}
    (letter,) = sender.entries("dead")
    assert letter.last_error == "down"
    assert sender.retry(actor="ann") == 1
    sender.deliver()
    assert box.keys == ["a"]
    assert [f.actor for f in ledger.facts.facts(kinds=["outbox.retried"])] == ["ann"]


def test_an_entry_that_is_too_old_is_given_up_when_it_fails(ledger, clock):
    box = Box()
    box.faults = [TryAgain("down")] * 9
    put(ledger, "a")
    sender = outbox(ledger, clock, {"chat": [box]})
    clock.advance(timedelta(days=2))
    sender.deliver()
    assert states(ledger) == {"a": "dead"}


def test_a_refusal_is_dead_at_once_and_the_other_channels_hear_of_it_once_an_hour(ledger, clock):
    broken, well = Box(), Box()
    broken.faults = [Refused("wrong secret")] * 5
    put(ledger, "a", "b")
    sender = outbox(ledger, clock, {"chat": [broken], "mail": [well]})
    sender.deliver()
    assert states(ledger)["a"] == states(ledger)["b"] == "dead"
    assert len(well.keys) == 1
    assert "chat could not be told" in well.titles[0]
    clock.advance(timedelta(hours=1))
    put(ledger, "c", now=clock())
    sender.deliver()
    assert len(well.keys) == 2


def test_two_dead_channels_do_not_tell_each_other_for_ever(ledger, clock):
    one, two = Box(), Box()
    one.faults = [Refused("x")] * 100
    two.faults = [Refused("x")] * 100
    put(ledger, "a")
    sender = outbox(ledger, clock, {"one": [one], "two": [two], "chat": [one]})
    sender.deliver()
    assert len(ledger.facts.documents("outbox")) == 3


def test_an_unknown_channel_is_a_dead_letter_that_names_the_nearest(ledger, clock):
    put(ledger, "a", channel="chatt")
    sender = outbox(ledger, clock, {"chat": [Box()]})
    sender.deliver()
    (letter,) = sender.entries("dead")
    assert "Did you mean 'chat'?" in letter.last_error


def test_each_target_has_its_own_result(ledger, clock):
    one, two = Box("one"), Box("two")
    two.faults = [TryAgain("down")]
    put(ledger, "a")
    sender = outbox(ledger, clock, {"chat": [one, two]})
    sender.deliver()
    targets = effect(ledger, "a").progress
    assert (targets["one"]["state"], targets["two"]["state"]) == ("sent", "waiting")
    clock.advance(timedelta(minutes=1))
    sender.deliver()
    assert (one.keys, two.keys) == (["a"], ["a"])


def test_what_can_wait_wakes_nobody_and_the_others_have_it(ledger, clock):
    chat, pager = Box("chat"), Box("pager")
    pager.wakes = True
    put(ledger, "last month", can_wait=True)
    put(ledger, "now", can_wait=False)
    put(ledger, "dead channel")
    outbox(ledger, clock, {"chat": [chat, pager]}).deliver()
    assert sorted(chat.keys) == ["dead channel", "last month", "now"]
    assert sorted(pager.keys) == ["dead channel", "now"]
    last = effect(ledger, "last month")
    assert (last.state, last.progress["pager"]["state"]) == ("sent", "spared")


def test_a_target_that_refuses_does_not_keep_the_other_from_being_told(ledger, clock):
    one, two = Box("one"), Box("two")
    one.faults = [Refused("no")]
    put(ledger, "a")
    outbox(ledger, clock, {"chat": [one, two]}).deliver()
    assert two.keys == ["a"]
    assert states(ledger)["a"] == "dead"


def test_a_channel_that_hangs_delays_no_other(ledger, clock):
    stuck, well = Box(), Box()
    stuck.gate.clear()
    put(ledger, *[f"s{i}" for i in range(150)], channel="stuck")
    put(ledger, *[f"w{i}" for i in range(20)], channel="well")
    sender = outbox(ledger, clock, {"stuck": [stuck], "well": [well]}, queue_size=10)
    try:
        sender.deliver(timeout_s=1.0)
        assert len(well.keys) == 20
        assert stuck.keys == []
    finally:
        stuck.gate.set()
    sender.deliver()
    assert len(stuck.keys) == 150


def test_a_claim_of_a_process_that_died_is_taken_over(ledger, clock):
    dead = Box()
    put(ledger, "a")
    kept = Records(ledger.facts, EFFECT).of("a")
    claimed = replace(kept.value, state=EffectState.PERFORMING, due=T0 + timedelta(minutes=2))
    write(ledger.facts, [], [kept.to(claimed)])
    sender = outbox(ledger, clock, {"chat": [dead]})
    assert sender.deliver() == 0
    clock.advance(timedelta(minutes=2))
    sender.deliver()
    assert dead.keys == ["a"]


def test_two_processes_do_not_send_the_same_entry_twice(ledger, clock):
    box = Box()
    put(ledger, *[f"k{i}" for i in range(60)])
    senders = [outbox(ledger, clock, {"chat": [box]}) for _ in range(2)]
    threads = [threading.Thread(target=s.deliver) for s in senders]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for s in senders:
        s.deliver()
    assert sorted(box.keys) == sorted(f"k{i}" for i in range(60))


def test_an_adapter_with_a_bug_ends_no_worker_and_tells_no_secret(ledger, clock):
    box = Box()
    box.faults = [RuntimeError("token=hunter2hunter2")]
    put(ledger, "a", "b")
    sender = outbox(ledger, clock, {"chat": [box]})
    sender.deliver()
    clock.advance(timedelta(minutes=1))
    sender.deliver()
    assert sorted(box.keys) == ["a", "b"]
    assert "hunter2" not in json.dumps([f.body for f in ledger.facts.facts()])


def test_what_is_added_at_the_last_moment_may_fail(ledger, clock):
    box = Box()
    put(ledger, "a")

    def enrich(body):
        raise ValueError("no chart today")

    outbox(ledger, clock, {"chat": [box]}, enrich=enrich).deliver()
    assert box.keys == ["a"]


def test_the_same_key_is_one_notification(ledger, clock):
    put(ledger, "a")
    from watchkeeper.errors import Conflict

    with pytest.raises(Conflict):
        put(ledger, "a")


def test_retrying_what_is_not_dead_is_an_error(ledger, clock):
    put(ledger, "a")
    sender = outbox(ledger, clock, {"chat": [Box()]})
    with pytest.raises(NotFound):
        sender.retry("zzz", actor="ann")
    with pytest.raises(BadInput, match="not dead but waiting"):
        sender.retry("a", actor="ann")


def test_old_entries_are_pruned_and_their_facts_stay(ledger, clock):
    put(ledger, "a")
    sender = outbox(ledger, clock, {"chat": [Box()]})
    sender.deliver()
    clock.advance(timedelta(days=31))
    put(ledger, "b", now=clock())
    assert sender.prune() == 1
    assert states(ledger) == {"b": "waiting"}
    assert len(ledger.facts.facts(kinds=["outbox.sent"])) == 1


def test_it_sends_in_the_background_until_it_is_stopped(ledger, clock, receiver):
    sender = outbox(ledger, clock, {"hook": [WebhookNotifier("hook", receiver.url)]})
    sender.start(every=timedelta(milliseconds=20))
    put(ledger, "a", channel="hook")
    (request,) = receiver.wait_for(1)
    sender.stop()
    assert request.headers["Idempotency-Key"] == "a"
    assert request.json["key"] == "a"
    put(ledger, "b", channel="hook")
    assert states(ledger)["b"] == "waiting"


class TestAnHttpReceiver:
    @pytest.mark.parametrize(
        ("reply", "state"),
        [
            (Reply(204, ""), "sent"),
            (Reply(400), "dead"),
            (Reply(401), "dead"),
            (Reply(302, "", {"Location": "http://127.0.0.1:1/"}), "dead"),
            (Reply(429, "", {"Retry-After": "30"}), "waiting"),
            (Reply(500), "waiting"),
            (Reply(reset=True), "waiting"),
            (Reply(hang_s=30), "waiting"),
        ],
        ids=["taken", "bad", "secret", "moved", "busy", "broken", "reset", "hang"],
    )
    def test_decides_what_becomes_of_it(self, ledger, clock, receiver, reply, state):
        receiver.default = reply
        put(ledger, "a", channel="hook")
        outbox(ledger, clock, {"hook": [WebhookNotifier("hook", receiver.url, timeout_s=0.3)]}).deliver()
        receiver.released.set()
        document = ledger.facts.document("outbox", "a")
        assert document.state == state
        if reply.status == 429:
            assert document.due == T0 + timedelta(seconds=30)

    def test_no_secret_reaches_the_ledger_or_the_logs(self, ledger, clock, receiver, tmp_path, caplog):
        caplog.set_level(logging.DEBUG)
        secret = "s3cr3t-token-xyzzy"
        url = receiver.url.replace("http://", f"http://user:{secret}@") + f"/{secret}?key={secret}"
        for reply in (Reply(403, "no"), Reply(500), Reply(reset=True), Reply()):
            receiver.replies.append(reply)
        sender = outbox(ledger, clock, {"hook": [WebhookNotifier("hook", url)], "other": [Box()]})
        for i in range(4):
            put(ledger, f"k{i}", channel="hook", now=clock())
            sender.deliver()
            clock.advance(timedelta(hours=2))
        sender.deliver()
        assert "sent" in states(ledger).values()
        assert receiver.received[-1].headers["Authorization"].startswith("Basic ")
        ledger.close()
        files = [p for p in tmp_path.rglob("ledger.db*") if p.is_file()]
        assert files
        assert all(secret.encode() not in p.read_bytes() for p in files)
        assert secret not in caplog.text


@pytest.mark.parametrize(
    "reply", [Reply(403, "{secrets} is wrong"), Reply(500, "{secrets}"), Reply(reset=True), Reply()]
)
@pytest.mark.parametrize("service", ["slack", "twilio", "pager", "discord"])
def test_no_secret_of_a_service_reaches_the_ledger_or_the_logs(
    ledger, clock, chat_world, tmp_path, caplog, service, reply
):
    """Grep the ledger's own bytes, and every log line, after each kind of answer (which may repeat the secret)."""
    pytest.importorskip("apprise", reason="the server extra is not installed")
    from watchkeeper.adapters.notifiers.apprise import AppriseNotifier

    caplog.set_level(logging.DEBUG)
    url, secrets = {
        "slack": ("slack://TabcdefghT/BabcdefghB/cabcdefghijklmnopqrstuvw", ["BabcdefghB", "cabcdefghijklmnopqrstuvw"]),
        "twilio": (
            "twilio://AC735c307c62944b5a:e29dfbcebf390dee9@12345678901/15551234567",
            ["AC735c307c62944b5a", "e29dfbcebf390dee9"],
        ),
        "pager": ("pagerduty://A1BRTD4JDkeykey@TIiajkdnlazkcEv78S/w/c", ["A1BRTD4JDkeykey", "TIiajkdnlazkcEv78S"]),
        "discord": ("discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js", ["JHMHI8qBe7bk2ZwO5U711o3dV_js"]),
    }[service]  # fmt: skip
    chat_world.default = replace(reply, body=reply.body.format(secrets=" ".join(secrets)))
    put(ledger, "a", channel="team", now=clock())
    outbox(ledger, clock, {"team": [AppriseNotifier("team", url)], "other": [Box()]}).deliver()
    assert chat_world.received
    document = ledger.facts.document("outbox", "a")
    assert document.state in {403: ("dead",), 500: ("waiting",)}.get(
        reply.status, ("waiting", "sent", "dead")
    )
    ledger.close()
    held = b"".join(p.read_bytes() for p in tmp_path.rglob("ledger.db*"))
    assert b"outbox" in held
    assert [s for s in secrets if s.encode() in held or s in caplog.text] == []


CHILD = """
import sys, time
from datetime import timedelta
from watchkeeper.adapters.ledgers.sql import open_ledger
from watchkeeper.adapters.notifiers.webhook import WebhookNotifier
from watchkeeper.loop.effects.engine import Effects, RetryPolicy
from watchkeeper.loop.effects.notifications import Notifications

ledger = open_ledger(sys.argv[1])
policy = RetryPolicy(first_wait=timedelta(milliseconds=50), jitter=0)
told = Notifications({"hook": [WebhookNotifier("hook", sys.argv[2])]})
sender = Effects(ledger.facts, {"notify": told}, claim_for=timedelta(seconds=1), policy=policy)
sender.start(every=timedelta(milliseconds=20))
print("started", flush=True)
while True:
    time.sleep(1)
"""


@pytest.mark.slow
def test_kill_9_in_the_middle_of_a_send_loses_nothing_and_repeats_carry_the_same_key(
    tmp_path, ledger, receiver
):
    """The process is killed ten times while its receiver has a request in hand; in the end all have arrived."""
    keys = [f"n{i:03}" for i in range(60)]
    put(ledger, *keys, channel="hook", now=datetime.now(UTC))
    receiver.default = Reply(hang_s=0.03)
    command = [sys.executable, "-c", CHILD, str(tmp_path / "ledger.db"), receiver.url]
    for round_ in range(10):
        seen = len(receiver.received)
        child = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ})
        try:
            receiver.wait_for(min(seen + 2 + round_ % 4, seen + 5), timeout_s=60)
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait()
    cut = len(receiver.received)
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 90
        while ledger.facts.count("outbox", states=["sent"]) < len(keys) and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        child.kill()
        child.wait()
    arrived = [r.headers["Idempotency-Key"] for r in receiver.received]
    assert set(arrived) == set(keys)
    assert cut < len(arrived)
    assert {r.json["key"] for r in receiver.received} == set(keys)
    # A kill may repeat what was in hand at that moment, and nothing else.
    assert len(arrived) - len(keys) <= 10
    sent = ledger.facts.facts(kinds=["outbox.sent"])
    assert sorted(f.subject for f in sent) == keys


class Slow:
    """A performer that waits at its gate, and fails as told."""

    def __init__(self, *faults):
        self.faults, self.seen, self.gate = list(faults), [], threading.Event()
        self.gate.set()

    def perform(self, effect):
        self.gate.wait(30)
        self.seen.append((effect.key, dict(effect.progress)))
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, Exception):
            raise fault
        return fault

    def given_up(self, effect, *, now):
        return []


def wait_until(is_so, timeout_s=30.0):
    deadline = time.monotonic() + timeout_s
    while not (so := is_so()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return so


def ask(ledger, *keys, kind="train", now=None):
    now = now or datetime.now(UTC)
    asked = [EFFECT.new(Effect(key=k, kind=kind, lane="m", created_at=now, due=now)) for k in keys]
    write(ledger.facts, [], asked, now=now)


class TestAnyKindOfEffect:
    def test_is_performed_by_the_performer_of_its_kind_which_sees_how_far_it_came(self, ledger, clock):
        train = Slow(Performed(progress={"step": 1}, errors={"": "away"}, again=True))
        ask(ledger, "t1")
        engine = Effects(ledger.facts, {"train": train}, policy=RetryPolicy(first_wait=timedelta(0)))
        engine.deliver()
        engine._until.clear()
        engine.deliver()
        assert train.seen[:2] == [("t1", {}), ("t1", {"step": 1})]
        assert effect(ledger, "t1").state is EffectState.DONE

    def test_that_nobody_performs_is_a_dead_letter(self, ledger, clock):
        ask(ledger, "t1", kind="trian")
        Effects(ledger.facts, {"train": Slow()}).deliver()
        assert effect(ledger, "t1").last_error.startswith(
            "Nothing here performs effects of the kind 'trian'. Did you mean 'train'?"
        )

    def test_that_takes_longer_than_a_claim_lasts_is_not_taken_over(self, ledger, clock):
        ask(ledger, "t1", now=T0)
        first, second, claim = Slow(), Slow(), timedelta(seconds=0.3)
        first.gate.clear()
        engines = [Effects(ledger.facts, {"train": p}, clock=clock, claim_for=claim) for p in (first, second)]
        engines[0].deliver(0.0)
        for _ in range(4):  # together twice as long as a claim
            clock.advance(claim / 2)
            assert wait_until(lambda: (effect(ledger, "t1").due or T0) >= clock() + claim), "it is renewed"
            assert engines[1].deliver(0.0) == 0
        first.gate.set()
        engines[0].deliver()
        assert (len(first.seen), len(second.seen)) == (1, 0)
        assert effect(ledger, "t1").state is EffectState.DONE


def test_a_message_that_version_0_1_0_stored_is_sent(ledger, clock):
    body = {
        "channel": "chat", "created_at": T0.isoformat(), "title": "old", "text": "t", "tries": 1,
        "targets": {"one": {"state": "sent"}, "two": {"state": "waiting"}}, "last_error": "down",
    }  # fmt: skip
    ledger.facts.append([], [Document(kind="outbox", key="a", state="waiting", due=T0, body=body)])
    one, two = Box("one"), Box("two")
    outbox(ledger, clock, {"chat": [one, two]}).deliver()
    assert (one.keys, two.keys, two.titles) == ([], ["a"], ["watch: old"])
    assert (effect(ledger, "a").tries, effect(ledger, "a").state) == (2, "sent")


def test_a_fact_and_its_notification_are_written_together_or_not_at_all(ledger, clock):
    put(ledger, "a")
    from watchkeeper.errors import Conflict

    fact = FACTS["retried"](at=T0, actor="ann")
    with pytest.raises(Conflict):
        write(ledger.facts, [fact], [notification("chat", "a", {"title": "again"}, now=T0)])
    assert ledger.facts.facts(kinds=["outbox.*"]) == []
