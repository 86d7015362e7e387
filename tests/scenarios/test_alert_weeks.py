"""Weeks of simulated windows with a fake clock: what people hear, when, and how often."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from as_written import model_of, plan_of
from watchkeeper.adapters.ledgers.sql import open_ledger
from watchkeeper.domain.measurement import Interval, Measurement
from watchkeeper.domain.series import PlacedMeasurement, WindowKey, WindowState
from watchkeeper.domain.window import Window
from watchkeeper.errors import BadInput, BadTransition
from watchkeeper.loop.alerting.alert_actions import (
    acknowledge_alert,
    add_silence,
    expire_silence,
    silences_of,
)
from watchkeeper.loop.alerting.judging import AlertJudge
from watchkeeper.loop.effects.engine import EFFECT, Effects
from watchkeeper.loop.effects.notifications import Notifications
from watchkeeper.loop.incidents.incidents import Incidents
from watchkeeper.loop.records.kinds import ALERT
from watchkeeper.loop.records.records import Records
from watchkeeper.ports.judge import JudgedWindow, Watching
from watchkeeper.testing.clock import FakeClock

START = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
LATE = {"name": "late", "measure": "psi", "above": 0.2, "severity": "critical"}


class Box:
    """A target that keeps what it is sent."""

    def __init__(self, name, *, wakes=False):
        self.name, self.wakes, self.titles = name, wakes, []

    def send(self, message, *, key):
        self.titles.append(message["title"])


class World:
    """One model, one ledger, a clock that is moved by hand; windows of a given length come and are judged."""

    def __init__(self, path, *rules, length=HOUR, models=("m",), **plan):
        self.ledger = open_ledger(path / "ledger.db")
        self.clock = FakeClock(START)
        self.length = length
        self.models = {name: model_of(name, rules, judge_every=length, cadence=length) for name in models}
        given = {
            "routes": [{"channels": ["chat"], "group_wait": "30s", "group_interval": "5m", "repeat_interval": "12h"}],
            "channels": ["chat", "pager", "ops"],
        }  # fmt: skip
        self.judge = AlertJudge(plan_of(self.models, preset=False, **(given | plan)))
        self.outbox = None
        self.watch = SimpleNamespace(ledger=self.ledger, clock=self.clock, models=self.models)

    def window(self, values, *, model="m", window=None, measure="psi", mature=True, failed=False):
        """A window ends now: *values* is a number, or numbers by column."""
        window = window or Window(self.clock() - self.length, self.clock())
        rows = [
            PlacedMeasurement(
                key=WindowKey(model=model, window=window),
                measurement=Measurement(
                    measure=measure,
                    subject=column,
                    value=value,
                    rows=500,
                    interval=None if value is None else Interval(value - 0.01, value + 0.01),
                    reason="the file is gone" if value is None else None,
                    details={"failed": True} if failed else {},
                ),
            )
            for column, value in (values.items() if isinstance(values, dict) else [("", values)])
        ]
        key = WindowKey(model=model, window=window)
        self.ledger.windows.mark_dirty([key], reason="rows")
        self.ledger.windows.done([WindowState(key=key, rows=500, outcomes=500, mature=True, generation=1)])
        self.ledger.measurements.write(rows, at=self.clock())
        return self.judge.judge(
            JudgedWindow(
                ledger=self.ledger,
                model=self.models[model],
                window=window,
                measurements=rows,
                now=self.clock(),
                mature=mature,
            )
        )

    def look(self):
        """As the server does with every tick."""
        return self.judge.after(Watching(ledger=self.ledger, models=self.models, now=self.clock()))

    def go(self, length, every=timedelta(minutes=5)):
        """Let time pass, looking every now and then."""
        end = self.clock() + length
        while self.clock() < end:
            self.clock.advance(min(every, end - self.clock()))
            self.look()

    def heard(self, channel=None):
        """Messages so far, oldest first."""
        found = Records(self.ledger.facts, EFFECT).some(limit=100_000, order="due")
        return [
            {**k.value.body, "channel": k.value.lane, "created_at": k.value.created_at.isoformat()}
            for k in found
            if channel is None or k.value.lane == channel
        ]

    def delivered(self):
        """What has arrived so far at a target that wakes people and at one that does not, both of the channel chat."""
        if self.outbox is None:
            self.boxes = [Box("rests"), Box("wakes", wakes=True)]
            self.outbox = Effects(
                self.ledger.facts, {"notify": Notifications({"chat": self.boxes})}, clock=self.clock
            )
        self.outbox.deliver()
        return {box.name: box.titles for box in self.boxes}

    def alert(self, rule="late"):
        found = [kept.value for kept in Records(self.ledger.facts, ALERT).all()]
        return next(a for a in found if a.rule == rule)


@pytest.fixture
def world(tmp_path, request):
    made = []

    def make(*rules, **plan):
        made.append(World(tmp_path, *(rules or (LATE,)), **plan))
        return made[-1]

    yield make
    for one in made:
        one.ledger.close()


def test_a_quiet_month_says_nothing(world):
    w = world(length=3 * HOUR)
    for _ in range(8 * 28):
        w.clock.advance(3 * HOUR)
        w.window(0.05)
        w.look()
    assert w.heard() == []
    assert w.ledger.facts.count("alert") == 0


def test_one_alert_is_told_once_repeated_twice_a_day_and_ended(world):
    w = world()
    for n in range(24 * 3):
        w.clock.advance(HOUR)
        w.window(0.5 if 5 <= n < 5 + 30 else 0.05)
        w.look()
        w.go(timedelta(minutes=2), every=timedelta(minutes=1))
        w.clock.now -= timedelta(minutes=2)
    statuses = [(m["status"], m["repeat"], m["urgency"]) for m in w.heard()]
    assert statuses == [
        ("firing", False, "high"),
        ("firing", True, "high"),
        ("firing", True, "high"),
        ("resolved", False, "low"),
    ]


def test_a_hold_time_a_level_of_its_own_and_keep_firing_over_three_weeks(world):
    """A bad hour each night is nothing; four bad hours on Wednesdays fire with the third, and end when they are over."""
    rule = LATE | {"resolve_above": 0.1, "for": "2h", "keep_firing_for": "6h"}
    w = world(rule)
    seen = []
    for n in range(24 * 21):
        w.clock.advance(HOUR)
        day, hour = divmod(n, 24)
        bad = 10 <= hour < 14 if day % 7 == 2 else hour == 3
        between = day % 7 == 2 and 14 <= hour < 17  # above the level at which it ends
        w.window(0.5 if bad else 0.15 if between else 0.05)
        before = len(w.heard())
        w.go(timedelta(minutes=2), every=timedelta(minutes=1))
        w.clock.now -= timedelta(minutes=2)
        seen += [(day, hour, m["status"]) for m in w.heard()[before:]]
    # Fails with hours 10 to 16; seen first with 10, fires with 12; 16 + 6 = 22 is the last hour that it keeps firing.
    assert seen == [
        told for week in range(3) for told in ((7 * week + 2, 12, "firing"), (7 * week + 2, 23, "resolved"))
    ]
    kinds = [f.kind for f in w.ledger.facts.facts(kinds=["alert.*"], limit=1000)]
    assert kinds.count("alert.dropped") == 18  # each night but those of the three Wednesdays
    assert kinds.count("alert.fired") == kinds.count("alert.resolved") == 3


def test_what_joins_a_group_waits_for_its_interval_and_then_comes_together(world):
    w = world(models=("m",))
    w.clock.advance(HOUR)
    w.window({"a": 0.5})
    w.go(timedelta(minutes=1), every=timedelta(seconds=10))
    assert [m["firing"] for m in w.heard()] == [1]  # after group_wait, 30 s
    for column in "bcd":
        w.window({"a": 0.5, column: 0.5}, window=Window(w.clock() - HOUR, w.clock()))
        w.go(timedelta(minutes=1), every=timedelta(seconds=10))
    assert len(w.heard()) == 1
    w.go(timedelta(minutes=4), every=timedelta(seconds=10))
    assert [m["firing"] for m in w.heard()] == [1, 4]  # after group_interval, 5 min
    first, second = (datetime.fromisoformat(m["created_at"]) for m in w.heard())
    assert timedelta(minutes=5) <= second - first < timedelta(minutes=6)


def test_a_maintenance_window_once_is_quiet_and_then_people_hear_what_still_goes_on(world):
    start, end = START + DAY + 2 * HOUR, START + DAY + 8 * HOUR
    w = world(
        maintenance=[{"name": "move", "start": start, "end": end, "match": {"model": "m"}}],
        routes=[{"channels": ["chat"], "group_wait": "0s", "group_interval": "1m"}],
    )
    for n in range(24 * 3):
        w.clock.advance(HOUR)
        # Bad at 03:00 and 04:00 of every night; on the second night it goes on until noon.
        w.window(0.5 if n % 24 in (2, 3) or 26 <= n < 36 else 0.05)
        w.look()
    told = [(datetime.fromisoformat(m["created_at"]) - START, m["status"]) for m in w.heard()]
    assert [at for at, status in told if status == "firing"] == [3 * HOUR, DAY + 8 * HOUR, 2 * DAY + 3 * HOUR]


@pytest.mark.slow
def test_flapping_is_told_once_and_once_more_when_it_is_calm(world):
    w = world()
    incidents = Incidents(w.ledger.facts, clock=w.clock)
    for n in range(24 * 14):
        w.clock.advance(HOUR)
        # a week of coming and going every other hour, then a quiet one
        w.window(0.5 if n < 24 * 7 and n % 2 else 0.05)
        w.go(timedelta(minutes=10))
        w.clock.now -= timedelta(minutes=10)
        incidents.follow()
    told = [m for m in w.heard() if not m["repeat"]]
    # Four times it is told before it is known to flap; after that it is one, which ends when it is steady.
    assert [m["status"] for m in told] == ["firing", "resolved"] * 4
    reminders = [m["title"] for m in w.heard() if m["repeat"]]
    assert 13 <= len(reminders) <= 14  # twice a day, for a week
    assert all(t.startswith("Still: m: comes and goes: Population stability index is 0.5") for t in reminders)
    last_days = [m for m in w.heard() if datetime.fromisoformat(m["created_at"]) > START + 9 * DAY]
    assert last_days == []
    kinds = [f.kind for f in w.ledger.facts.facts(kinds=["alert.flapping", "alert.calmed"])]
    assert kinds == ["alert.flapping", "alert.calmed"]
    (incident,) = (
        incidents.find()
    )  # it is one incident too, and its timeline is not a week of coming and going
    lines = [e.text.split(":")[0] for e in incident.timeline if e.details.get("fingerprint")]
    assert lines == ["Fired", "Resolved"] * 4
    assert not incident.is_firing
    assert w.ledger.facts.count("alert") == 1


@pytest.mark.slow
def test_a_storm_becomes_a_handful_of_messages(world):
    models = tuple(f"model-{i}" for i in range(5))
    w = world(models=models)
    w.clock.advance(HOUR)
    for name in models:
        w.window({f"c{i}": 0.5 for i in range(1000)}, model=name)
    assert w.ledger.facts.count("alert", states=["firing"]) == 5000
    w.go(timedelta(minutes=30), every=timedelta(seconds=30))
    messages = w.heard()
    assert len(messages) == 5
    assert {m["firing"] for m in messages} == {1000}
    assert all(len(m["alerts"]) == 20 and m["more"] == 980 for m in messages)
    w.clock.advance(HOUR)
    for name in models:
        w.window({f"c{i}": 0.0 for i in range(1000)}, model=name)
    w.go(timedelta(minutes=30))
    assert [m["status"] for m in w.heard()] == ["firing"] * 5 + ["resolved"] * 5


def test_a_source_that_breaks_is_one_alert_to_the_people_who_mend_sources(world):
    rules = [LATE, *({"name": f"rule {i}", "measure": "psi", "above": 0.1 + i / 100} for i in range(20))]
    w = world(
        *rules,
        {"name": "quiet", "kind": "absence", "after": "6h", "severity": "critical"},
        routes=[
            {"channels": ["ops"], "match": {"category": "~no_data|error"}},
            {"channels": ["pager"], "group_by": ["model"]},
        ],
    )
    columns = {f"c{i}": 0.01 for i in range(50)}
    for _ in range(10):
        w.clock.advance(HOUR)
        w.window(columns)
        w.look()
    assert w.heard() == []
    # The file cannot be read any more: 21 rules on 50 columns fail.
    w.clock.advance(HOUR)
    w.window(dict.fromkeys(columns), failed=True)
    w.go(timedelta(minutes=10))
    assert [(m["channel"], m["firing"]) for m in w.heard()] == [("ops", 1)]
    assert "1050 of 1050 evaluations failed" in w.heard()[0]["alerts"][0]["headline"]
    # Then nothing comes at all, for two days.
    w.go(2 * DAY, every=timedelta(minutes=30))
    absent = [m for m in w.heard("ops") if "No predictions of m" in str(m["alerts"])]
    assert absent
    assert w.heard("pager") == []
    assert w.ledger.facts.count("alert") == 2
    # And comes back.
    w.clock.advance(HOUR)
    w.window(columns)
    w.go(HOUR)
    assert w.heard("ops")[-1]["status"] == "resolved"


def test_while_a_source_is_broken_what_follows_from_it_is_not_told(world):
    w = world(LATE, {"name": "quiet", "kind": "absence", "after": "6h"})
    w.clock.advance(HOUR)
    w.window(0.01)
    w.go(8 * HOUR)
    assert [m["alerts"][0]["category"] for m in w.heard()] == ["no_data"]
    # A window of the past is judged while the source is still quiet: it waits until the source is back.
    late = Window(w.clock() - 8 * HOUR, w.clock() - 7 * HOUR)
    placed = PlacedMeasurement(
        key=WindowKey(model="m", window=late),
        measurement=Measurement(measure="psi", value=0.9, rows=500),
    )
    w.judge.judge(
        JudgedWindow(ledger=w.ledger, model=w.models["m"], window=late, measurements=[placed], now=w.clock())
    )
    w.go(HOUR)
    assert w.ledger.facts.count("alert", states=["firing"]) == 2
    assert len(w.heard()) == 1
    w.window(0.9)
    w.go(HOUR)
    assert {a["labels"]["rule"] for m in w.heard()[1:] for a in m["alerts"]} == {"late", "quiet"}


def test_a_silence_mutes_and_ends_and_then_people_hear(world):
    w = world()
    add_silence(
        w.ledger.facts, {"rule": "late"}, author="ann", reason="migration", now=w.clock(), lasts=3 * DAY
    )
    for _ in range(24 * 2):
        w.clock.advance(HOUR)
        w.window(0.5)
        w.look()
    assert w.heard() == []
    assert w.alert().is_firing
    for _ in range(24 * 2):
        w.clock.advance(HOUR)
        w.window(0.5)
        w.look()
    first = w.heard()[0]
    told_at = datetime.fromisoformat(first["created_at"])
    assert START + 3 * DAY <= told_at <= START + 3 * DAY + HOUR
    assert silences_of(w.ledger.facts) == []
    assert [f.actor for f in w.ledger.facts.facts(kinds=["silence.*"])] == ["ann", "watchkeeper"]


def test_a_silence_that_comes_later_stops_repeats_and_the_end_is_still_told(world):
    w = world()
    w.clock.advance(HOUR)
    w.window(0.5)
    w.go(HOUR)
    assert len(w.heard()) == 1
    silence = add_silence(
        w.ledger.facts, ["model=m"], author="ann", reason="known", now=w.clock(), lasts=5 * DAY
    )
    for _ in range(24 * 2):
        w.clock.advance(HOUR)
        w.window(0.5)
        w.look()
    assert len(w.heard()) == 1
    w.clock.advance(HOUR)
    w.window(0.01)
    w.go(HOUR)
    assert [m["status"] for m in w.heard()] == ["firing", "resolved"]
    expire_silence(w.ledger.facts, silence.id, actor="bob", now=w.clock())
    with pytest.raises(BadTransition, match="has ended already"):
        expire_silence(w.ledger.facts, silence.id, actor="bob", now=w.clock())


def test_a_silence_needs_an_end_a_reason_and_an_aim(world):
    w = world()
    facts, now = w.ledger.facts, w.clock()
    with pytest.raises(BadInput, match="needs an end"):
        add_silence(facts, ["model=m"], author="ann", reason="x", now=now)
    with pytest.raises(BadInput, match="needs its reason"):
        add_silence(facts, ["model=m"], author="ann", reason=" ", now=now, lasts=HOUR)
    with pytest.raises(BadInput, match="would mute everything"):
        add_silence(facts, ["model=~.*"], author="ann", reason="x", now=now, lasts=HOUR)
    with pytest.raises(BadInput, match="regular expression"):
        add_silence(facts, ["model=~a("], author="ann", reason="x", now=now, lasts=HOUR)
    with pytest.raises(BadInput, match="ended at"):
        add_silence(facts, ["model=m"], author="ann", reason="x", now=now, ends_at=now - HOUR)


@pytest.mark.slow
def test_every_sunday_night_is_quiet_and_only_then(world):
    w = world(
        LATE | {"keep_firing_for": "0s"},
        routes=[{"channels": ["chat"], "group_wait": "0s", "group_interval": "1m"}],
        maintenance=[{"name": "reload", "days": ["sunday"], "at": "02:00", "duration": "4h", "match": {"model": "m"}}],
    )  # fmt: skip
    heard_at = []
    for n in range(24 * 14):
        w.clock.advance(HOUR)
        # Every night between 3 and 5 the loader makes a mess.
        w.window(0.5 if (n % 24) in (3, 4) else 0.05)
        before = len(w.heard())
        w.look()
        heard_at += [w.clock()] * sum(m["status"] == "firing" for m in w.heard()[before:])
    assert len(heard_at) == 12
    assert {at.weekday() for at in heard_at} == set(range(6))


def test_a_cron_line_is_read_in_its_own_time_zone(world):
    w = world(
        routes=[{"channels": ["chat"], "group_wait": "0s", "group_interval": "1m"}],
        maintenance=[{"name": "close", "cron": "0 18 28-31 * *", "duration": "10h", "timezone": "Europe/Berlin"}],
    )  # fmt: skip
    w.clock.now = datetime(2026, 3, 31, 18, tzinfo=UTC)  # 20:00 in Berlin
    w.window(0.5)
    w.look()
    assert w.heard() == []
    w.clock.now = datetime(2026, 4, 1, 3, tzinfo=UTC)
    w.window(0.5)
    w.look()
    assert len(w.heard()) == 1


def test_an_acknowledgement_stops_repeats_and_ends_with_the_alert(world):
    w = world()
    w.clock.advance(HOUR)
    w.window(0.5)
    w.go(HOUR)
    acknowledge_alert(w.ledger.facts, w.alert().fingerprint, actor="ann", now=w.clock(), note="rolling back")
    for _ in range(48):
        w.clock.advance(HOUR)
        w.window(0.5)
        w.look()
    assert len(w.heard()) == 1
    w.clock.advance(HOUR)
    w.window(0.01)
    w.go(HOUR)
    assert w.heard()[-1]["status"] == "resolved"
    assert "ann: Acknowledged: rolling back." in w.heard()[-1]["alerts"][0]["done"]
    with pytest.raises(BadTransition, match="nothing to acknowledge"):
        acknowledge_alert(w.ledger.facts, w.alert().fingerprint, actor="ann", now=w.clock())
    # The next time is a new event: it is told, and told again.
    w.clock.advance(HOUR)
    w.window(0.5)
    w.go(HOUR)
    assert w.heard()[-1]["status"] == "firing"
    assert w.alert().acknowledged_by == ""


def test_a_critical_alert_mutes_the_warnings_of_its_own_model_only(world):
    warning = {"name": "drifting", "measure": "psi", "above": 0.1, "severity": "warning"}
    w = world(
        LATE,
        warning,
        models=("a", "b"),
        inhibit=[{"source": {"severity": "critical"}, "target": {"severity": "warning"}, "equal": ["model"]}],
    )
    w.clock.advance(HOUR)
    w.window(0.5, model="a")
    w.window(0.15, model="b")
    w.go(HOUR)
    told = {(a["labels"]["model"], a["labels"]["rule"]) for m in w.heard() for a in m["alerts"]}
    assert told == {("a", "late"), ("b", "drifting")}


def test_routes_tell_teams_and_severities_apart(world):
    w = world(
        LATE | {"labels": {"team": "risk"}},
        {"name": "drifting", "measure": "psi", "above": 0.1},
        routes=[
            {"channels": ["pager"], "match": {"severity": "critical"}, "go_on": True},
            {"channels": ["ops"], "match": {"team": "~risk|fraud"}},
            {"channels": ["chat"]},
        ],
    )
    w.clock.advance(HOUR)
    w.window(0.5)
    w.go(HOUR)
    by_channel = {(m["channel"], m["alerts"][0]["labels"]["rule"], m["urgency"]) for m in w.heard()}
    assert by_channel == {("pager", "late", "high"), ("ops", "late", "high"), ("chat", "drifting", "low")}


def test_late_outcomes_of_last_month_wake_nobody(world):
    rule = {"name": "accuracy", "measure": "accuracy", "below": 0.8, "severity": "critical"}
    w = world(rule, length=DAY)
    for _ in range(40):
        w.clock.advance(DAY)
        w.window(0.9, measure="accuracy")
        w.look()
    w.clock.advance(3 * HOUR)  # 03:00 at night: a month's claims arrive
    for n in range(5, 15):
        w.window(0.6, measure="accuracy", window=Window(START + n * DAY, START + (n + 1) * DAY))
    w.go(HOUR)
    messages = w.heard()
    assert len(messages) == 1
    assert (messages[0]["urgency"], messages[0]["firing"]) == ("low", 10)
    assert all(a["retrospective"] for a in messages[0]["alerts"])
    assert [len(w.delivered()[kind]) for kind in ("rests", "wakes")] == [1, 0]
    # It is still so today: that is news, and loud.
    w.clock.advance(DAY)
    w.window(0.6, measure="accuracy", window=Window(START + 40 * DAY, START + 41 * DAY))
    w.go(HOUR)
    assert w.heard()[-1]["urgency"] == "high"
    assert [len(w.delivered()[kind]) for kind in ("rests", "wakes")] == [2, 1]


def test_what_late_outcomes_said_of_an_old_window_is_taken_back_and_said_again_without_waking_anybody(world):
    w = world({"name": "accuracy", "measure": "accuracy", "below": 0.8, "severity": "critical"}, length=DAY)
    for _ in range(40):
        w.clock.advance(DAY)
        w.window(0.9, measure="accuracy")
    old = Window(START + 5 * DAY, START + 6 * DAY)
    states = []
    for value in (0.6, 0.85, 0.6):  # outcomes of that day come in three parts, at night
        w.clock.advance(3 * HOUR)
        w.window(value, measure="accuracy", window=old)
        w.go(HOUR)
        (alert,) = [kept.value for kept in Records(w.ledger.facts, ALERT).all()]
        states.append((alert.state.value, alert.retrospective, alert.labels["window"]))
    assert [s for s, *_ in states] == ["firing", "resolved", "firing"]
    assert {(r, name) for _, r, name in states} == {(True, old.label)}
    assert [(m["status"], m["can_wait"]) for m in w.heard()] == [
        ("firing", True),
        ("resolved", True),
        ("firing", True),
    ]
    assert [f.kind for f in w.ledger.facts.facts(kinds=["alert.reopened"])] == ["alert.reopened"]
    assert [len(w.delivered()[kind]) for kind in ("rests", "wakes")] == [3, 0]


def test_a_backfill_of_old_windows_is_quiet_until_it_reaches_the_present(world):
    w = world(length=DAY)
    w.clock.now = START + 60 * DAY
    for n in range(60):
        w.window(0.5 if n >= 30 else 0.05, window=Window(START + n * DAY, START + (n + 1) * DAY))
        w.clock.advance(timedelta(minutes=1))
        w.look()
    urgencies = [m["urgency"] for m in w.heard()]
    assert urgencies[0] == "low"
    w.go(HOUR)
    assert [m["urgency"] for m in w.heard()] == ["low", "high"]


def test_the_alert_answers_four_questions_in_order(world):
    from watchkeeper.decisions.alerting.story import alert_story

    w = world(LATE | {"runbook": "drift", "about": "The model reads columns that have moved."})
    w.clock.advance(HOUR)
    w.window({"age": 0.5})
    w.go(HOUR)
    lines = alert_story(w.alert()).lines()
    assert [line.split(":")[0] for line in lines] == [
        "What changed",
        "Since when",
        "For whom",
        "What was done",
    ]
    assert "is 0.5 (95%: 0.49 to 0.51), above 0.2. 500 rows. Guarantee: no bound on false alarms." in lines[0]
    assert lines[1].startswith("Since when: 2026-03-02 00:00 UTC")
    assert lines[2] == "For whom: All rows. Column age."
    assert "watchkeeper: Told chat." in lines[3]


@pytest.mark.slow
def test_a_restart_between_any_two_steps_ends_where_an_undisturbed_run_ends(tmp_path):
    def run(path, *, restarts: bool):
        path.mkdir()
        w = World(path, LATE, {"name": "fell", "kind": "evidence", "measure": "psi", "columns": ""})
        for n in range(24 * 3):
            w.clock.advance(HOUR)
            w.window(0.5 if 40 <= n < 60 else 0.05)
            if restarts:
                w.ledger.close()
                w.ledger = open_ledger(path / "ledger.db")
                w.watch.ledger = w.ledger
                w.judge = AlertJudge(w.judge.plan)
                w.window(0.5 if 40 <= n < 60 else 0.05)
            w.look()
            w.look()
        facts = [(f.kind, f.subject, f.at, f.key) for f in w.ledger.facts.facts(limit=10_000)]
        documents = {
            (d.kind, d.key): (d.state, dict(d.body))
            for kind in ("alert", "evidence", "group", "outbox")
            for d in w.ledger.facts.documents(kind, limit=10_000)
        }
        w.ledger.close()
        return facts, documents

    assert run(tmp_path / "a", restarts=False) == run(tmp_path / "b", restarts=True)
