"""The dead man's switch is pinged in time, only while work is done, and a failure never raises."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from receivers import Reply
from watchkeeper.adapters.notifiers.dead_man import DeadMansSwitch
from watchkeeper.testing.clock import FakeClock


def test_pings_at_most_once_an_interval(receiver):
    clock = FakeClock(datetime(2026, 3, 1, tzinfo=UTC))
    switch = DeadMansSwitch(receiver.url + "/ping", every=timedelta(minutes=5), clock=clock)
    assert [switch.ping(), switch.ping()] == [True, False]
    clock.advance(timedelta(minutes=5))
    assert switch.ping()
    assert [(r.method, r.path) for r in receiver.received] == [("GET", "/ping")] * 2


def test_is_silent_when_no_work_is_done(receiver):
    switch = DeadMansSwitch(receiver.url, is_well=lambda: False)
    assert not switch.ping()
    assert receiver.received == []
    assert "does no work" in switch.last_error


def test_a_failed_ping_is_told_and_tried_again(receiver):
    receiver.replies.append(Reply(500))
    switch = DeadMansSwitch(receiver.url)
    assert not switch.ping()
    assert "500" in switch.last_error
    assert switch.ping()
    assert switch.last_error == ""
