"""Records change by compare-and-swap, in one transaction with facts of declared kinds; bodies of version 0.1.0 are read."""

from __future__ import annotations

import ast
import threading
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TypedDict

import pytest

import watchkeeper
from watchkeeper.adapters.ledgers.sql import open_ledger
from watchkeeper.domain.alert import AlertState, LogEntry
from watchkeeper.domain.fact import Document, Fact
from watchkeeper.domain.incident import Phase
from watchkeeper.domain.rule import Severity
from watchkeeper.domain.silence import Matcher
from watchkeeper.domain.window import Window
from watchkeeper.errors import BadInput, Conflict, Incompatible, LeaseLost, NotFound
from watchkeeper.loop.alerting.kept_evidence import EVIDENCE
from watchkeeper.loop.incidents.runbooks import RUNBOOK_RUN
from watchkeeper.loop.labels.labelling import LABEL_REQUEST
from watchkeeper.loop.records import records as module
from watchkeeper.loop.records.facts import FactKind, declared
from watchkeeper.loop.records.kinds import ALERT, GROUP, INCIDENT, SILENCE
from watchkeeper.loop.records.records import Kind, Records, retried, write
from watchkeeper.loop.watch.retention import UPKEEP
from watchkeeper.loop.watch.tick import LAST_TICK
from watchkeeper.web.security import SESSION, TOKEN

T0 = datetime(2026, 3, 1, tzinfo=UTC)


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Boat:
    name: str
    colour: Colour = Colour.RED
    model: str = ""
    crew: tuple[str, ...] = ()
    sails_at: datetime | None = None
    for_: timedelta = timedelta(0)
    notes: dict[str, int] = field(default_factory=dict)


class Painted(TypedDict, total=False):
    colour: str


BOAT = Kind(
    "boat", Boat, key="name", state="colour", model="model", due=lambda b: b.sails_at, find_them="boats"
)
PAINTED = FactKind("boat.painted", Painted)


@pytest.fixture
def ledger(tmp_path):
    made = open_ledger(tmp_path / "ledger.db")
    yield made
    made.close()


@pytest.fixture
def boats(ledger):
    return Records(ledger.facts, BOAT)


def painted(before, after):
    return PAINTED({"colour": after.colour.value}, at=T0, actor="ann", subject=after.name)


class TestRecords:
    def test_what_is_put_comes_back_with_its_types(self, boats):
        boat = Boat(
            name="Ada",
            colour=Colour.BLUE,
            crew=("ann", "bob"),
            sails_at=T0,
            for_=timedelta(hours=3),
            notes={"a": 1},
        )
        assert boats.put_new(boat, now=T0)
        kept = boats.of("Ada")
        assert (kept.value, kept.revision, kept.updated_at) == (boat, 1, T0)
        assert boats.get("Eve") is None
        with pytest.raises(NotFound, match="There is no boat 'Eve'"):
            boats.of("Eve")

    def test_state_model_and_due_are_found_by_the_ledger(self, ledger, boats):
        boats.put_new(Boat(name="Ada", model="m", sails_at=T0), now=T0)
        boats.put_new(Boat(name="Bo", colour=Colour.BLUE), now=T0)
        assert [k.key for k in boats.all(states=["red"])] == ["Ada"]
        assert [k.key for k in boats.all(model="m")] == ["Ada"]
        assert [k.key for k in boats.all(due_before=T0)] == ["Ada"]
        assert boats.count(states=["blue"]) == 1
        assert ledger.facts.document("boat", "Bo").body == {"name": "Bo", "colour": "blue", "for_": "P0D"}

    def test_all_goes_page_by_page_and_meets_each_once_while_they_change(self, boats, monkeypatch):
        monkeypatch.setattr(module, "PAGE", 3)
        for i in range(10):
            boats.put_new(Boat(name=f"b{i}"), now=T0)
        met = []
        for kept in boats.all(states=["red"]):
            met.append(kept.key)
            boats.change(kept.key, lambda b: replace(b, colour=Colour.BLUE), now=T0)
        assert met == [f"b{i}" for i in range(10)]

    def test_a_change_and_its_fact_are_written_together(self, ledger, boats):
        boats.put_new(Boat(name="Ada"), now=T0)
        after = boats.change("Ada", lambda b: replace(b, colour=Colour.BLUE), painted, now=T0)
        assert after == boats.of("Ada").value
        assert [f.body for f in ledger.facts.facts(kinds=["boat.*"])] == [{"colour": "blue"}]
        boats.change("Ada", lambda b: b, painted, now=T0)
        assert (boats.of("Ada").revision, len(ledger.facts.facts())) == (2, 1), (
            "nothing changed, nothing was written"
        )

    def test_changes_at_the_same_time_are_all_made(self, ledger, boats):
        boats.put_new(Boat(name="Ada"), now=T0)
        at_once = threading.Barrier(4)

        def sign_on(who):
            at_once.wait()
            boats.change("Ada", lambda b: replace(b, crew=(*b.crew, who)), now=T0)

        threads = [threading.Thread(target=sign_on, args=(f"p{i}",)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(boats.of("Ada").value.crew) == {"p0", "p1", "p2", "p3"}

    def test_a_write_over_what_somebody_else_changed_is_refused_and_writes_no_fact(self, ledger, boats):
        boats.put_new(Boat(name="Ada"), now=T0)
        old = boats.of("Ada")
        boats.change("Ada", lambda b: replace(b, crew=("ann",)), now=T0)
        with pytest.raises(Conflict):
            write(
                ledger.facts, [PAINTED(at=T0, actor="bob")], [old.to(replace(old.value, colour=Colour.BLUE))]
            )
        assert not ledger.facts.facts()
        assert not boats.put_new(Boat(name="Ada"), PAINTED(at=T0, actor="bob"), now=T0)

    def test_only_a_conflict_is_tried_again_and_not_for_ever(self):
        tries = []

        def work(fault):
            tries.append(fault)
            raise fault

        for fault, count in ((Conflict("x"), module.ATTEMPTS), (LeaseLost("x"), 1), (NotFound("x"), 1)):
            tries.clear()
            with pytest.raises(type(fault)):
                retried(work, fault)
            assert len(tries) == count

    def test_a_body_of_another_kind_names_the_record(self, ledger, boats):
        ledger.facts.append([], [Document(kind="boat", key="Ada", body={"crew": 3})])
        with pytest.raises(Incompatible, match=r"The boat 'Ada' in the ledger cannot be read: .*crew"):
            boats.of("Ada")

    def test_keys_of_a_later_version_are_passed_over(self, ledger, boats):
        ledger.facts.append([], [Document(kind="boat", key="Ada", state="blue", body={"masts": 3})])
        assert boats.of("Ada").value == Boat(name="Ada", colour=Colour.BLUE)


class TestFacts:
    def test_a_kind_that_nobody_declared_is_refused(self, ledger):
        with pytest.raises(BadInput, match=r"No kind of fact 'boat.paintd' was declared.*'boat.painted'"):
            write(ledger.facts, [Fact(kind="boat.paintd", at=T0, actor="ann")])
        assert not ledger.facts.facts()
        assert declared("boat.painted") is PAINTED
        with pytest.raises(BadInput, match="declared twice"):
            FactKind("boat.painted")

    def test_a_body_has_the_declared_keys_and_types(self):
        with pytest.raises(BadInput, match="has no 'size'"):
            PAINTED({"size": 3}, at=T0, actor="ann")
        with pytest.raises(BadInput, match="not the body"):
            PAINTED({"colour": 3}, at=T0, actor="ann")

    def test_facts_and_documents_are_made_in_one_place(self):
        """Everything else goes through declared kinds."""
        source = Path(watchkeeper.__file__).parent
        free = (
            "domain/fact.py",
            "loop/records/",
            "adapters/",
            "testing/",
            "profiles/",
        )
        made = []
        for path in source.rglob("*.py"):
            name = path.relative_to(source).as_posix()
            if name.startswith(free):
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("Fact", "Document"):
                    made.append(f"{name}:{node.lineno}")
        assert made == []


# ---- bodies as version 0.1.0 stored them ---------------------------------------------------------------

AT = "2026-03-01T06:00:00+00:00"
THEN = datetime(2026, 3, 1, 6, tzinfo=UTC)
HOUR = timedelta(hours=1)
OLD = {
    ALERT: (
        Document(
            kind="alert",
            key="f1",
            state="firing",
            model="churn",
            rank=11.0,
            body={
                "fingerprint": "f1", "labels": {"model": "churn"}, "severity": "warning", "category": "rule",
                "state": "firing", "episode": 1, "since": AT, "what": {"limit": 0.2, "since": AT},
                "log": [[AT, "watchkeeper", "Fired."], ["2026-03-01T07:00:00.123456+00:00", "ann", "Seen."]],
                "model": "churn",
            },
        ),
        lambda a: (a.state, a.severity, a.since, a.what, a.log)
        == (
            AlertState.FIRING, Severity.WARNING, THEN, {"limit": 0.2, "since": AT},
            (LogEntry(THEN, "watchkeeper", "Fired."), LogEntry(THEN + HOUR + timedelta(microseconds=123456), "ann", "Seen.")),
        ),
    ),
    SILENCE: (
        Document(
            kind="silence",
            key="s1",
            state="expired",
            body={
                "matchers": [["model", "=", "churn"], ["column", "=~", "a.*"]], "author": "ann", "reason": "r",
                "starts_at": AT, "ends_at": "2026-03-01T07:00:00+00:00", "created_at": None, "details": {},
            },
        ),
        lambda s: (s.id, s.state, s.matchers, s.ends_at)
        == ("s1", "expired", (Matcher("model", "=", "churn"), Matcher("column", "=~", "a.*")), THEN + HOUR),
    ),
    GROUP: (
        Document(
            kind="group",
            key="g1",
            state="open",
            model="churn",
            due=THEN,
            body={
                "channels": ["chat"], "labels": {"model": "churn"}, "wait_s": 30.0, "interval_s": 300.0,
                "repeat_s": 14400.0, "members": ["f1", "f2"], "told": {"f1": "firing"}, "due": AT,
                "last_sent": None, "sent": 2,
            },
        ),
        lambda g: (g.key, g.wait, g.repeat, g.members, g.due, g.sent)
        == ("g1", timedelta(seconds=30), timedelta(hours=4), {"f1", "f2"}, THEN, 2),
    ),
    INCIDENT: (
        Document(
            kind="incident",
            key="7",
            state="mitigation",
            model="churn",
            body={
                "number": 7, "title": "t", "severity": "critical", "phase": "mitigation", "model": "churn", "owner": "",
                "roles": {}, "labels": {}, "group": "model=churn", "started_at": AT, "detected_at": AT,
                "acknowledged_at": None, "entered": {"detection": AT}, "alerts": {"f1": "firing"},
                "features": {"model": ["churn"]}, "lessons": ["l"], "cause": "", "assessment": {"sentences": ["s"]},
                "timeline": [{
                    "number": 1, "at": AT, "noted_at": AT, "actor": "ann", "kind": "note", "text": "x",
                    "pinned": True, "automatic": False, "details": {},
                }],
                "tasks": [{
                    "number": 1, "text": "t", "created_at": AT, "created_by": "ann", "owner": "", "due": None,
                    "follow_up": True, "done_at": None, "done_by": "",
                }],
                "merged_into": None, "merged": [3],
            },
        ),
        lambda i: (i.number, i.phase, i.timeline[0].at, i.open_follow_ups[0].text, i.merged, i.features)
        == (7, Phase.MITIGATION, THEN, "t", (3,), {"model": ("churn",)}),
    ),
    LABEL_REQUEST: (
        Document(
            kind="label_request",
            key="m:1",
            state="open",
            model="m",
            body={
                "at": AT, "start": AT, "end": "2026-03-01T07:00:00+00:00", "population": 9, "ids": ["a", "b"],
                "probabilities": [0.5, 1], "predictions": ["yes", None], "scores": [0.25, None],
                "guesses": {"accuracy": [0.5, [0.5, 1]]},
            },
        ),
        lambda r: (r.model, r.window, r.probabilities, r.predictions, r.guesses)
        == ("m", Window(THEN, THEN + HOUR), (0.5, 1.0), ("yes", None), {"accuracy": (0.5, (0.5, 1.0))}),
    ),
    EVIDENCE: (
        Document(
            kind="evidence", key="column|m", model="m",
            body={"baseline": "b", "state": {"first": 1}, "starts": [1.5, 2], "until": 3.0},
        ),
        lambda f: (f.key, f.model, f.state, f.starts, f.folded) == ("column|m", "m", {"first": 1}, (1.5, 2.0), None),
    ),
    UPKEEP: (
        Document(
            kind="upkeep", key="m", model="m", updated_at=THEN,
            body={"coarse_until": "2026-02-01", "profiles.to_merge": 4, "profiles.merged": 2},
        ),
        lambda u: (u.model, u.at, u.coarse_until, u.left, u.done)
        == ("m", THEN, "2026-02-01", 4, {"profiles.merged": 2}),
    ),
    LAST_TICK: (
        Document(
            kind="tick", key="last",
            body={
                "held_by_another": False, "predictions": 3, "outcomes": 1, "duplicates": 0, "stored_windows": 1,
                "judged_windows": 1, "measurements": 9, "problems": ["p"], "at": AT, "holder": "h",
            },
        ),
        lambda t: (t.at, t.predictions, t.problems) == (THEN, 3, ("p",)),
    ),
    RUNBOOK_RUN: (
        Document(
            kind="runbook_run", key="r1", state="failed", model="m",
            body={
                "runbook": "drift", "actor": "ann", "started_at": AT, "alert": "f1", "incident": "",
                "values": {"model": "m"}, "source": "# Drift", "commands": [{"step": 1, "state": "failed"}],
            },
        ),
        lambda r: (r.key, r.state, r.model, r.started_at, r.commands)
        == ("r1", "failed", "m", THEN, ({"step": 1, "state": "failed"},)),
    ),
    TOKEN: (
        Document(
            kind="token", key="digest", state="once", due=THEN,
            body={
                "name": "ann", "role": "admin", "id": "dig", "created_at": AT, "created_by": "bob", "expires_at": AT,
            },
        ),
        lambda t: (t.key, t.state, t.expires_at, t.live(T0, "once")) == ("digest", "once", THEN, True),
    ),
    SESSION: (
        Document(kind="session", key="cookie", state="closed", due=THEN, body={"token": "digest", "name": "ann"}),
        lambda s: (s.key, s.state, s.until) == ("cookie", "closed", THEN),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", OLD, ids=lambda kind: kind.name)
def test_what_version_0_1_0_stored_is_read_and_written_again(ledger, kind):
    document, is_right = OLD[kind]
    ledger.facts.append([], [document])
    held = Records(ledger.facts, kind)
    kept = held.of(document.key)
    assert is_right(kept.value), kept.value
    write(ledger.facts, [], [kept], now=T0)
    again = held.of(document.key)
    assert (again.value, again.revision) == (kept.value, 2)
    stored = ledger.facts.document(kind.name, document.key)
    assert (stored.state, stored.model, stored.due) == (document.state, document.model, stored.due)
