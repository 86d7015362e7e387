"""Runbooks: checked when they are read, run step by step, every command recorded, stopped where one fails."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from watchkeeper.decisions.rules.catalogue import KINDS
from watchkeeper.documents.incident.runbook import default_runbooks, parse_runbook, runbook_for
from watchkeeper.domain.alert import Alert, AlertState, fingerprint
from watchkeeper.domain.incident import Phase
from watchkeeper.domain.measurement import Family
from watchkeeper.domain.rule import Category, Severity
from watchkeeper.errors import BadInput, BadTransition, Conflict, NotFound, StoreUnavailable
from watchkeeper.loop.alerting.alert_actions import silences_of
from watchkeeper.loop.effects.engine import EFFECT
from watchkeeper.loop.incidents.incidents import Incidents
from watchkeeper.loop.incidents.runbooks import Runbooks
from watchkeeper.loop.records.kinds import ALERT
from watchkeeper.loop.records.records import Records
from watchkeeper.testing.clock import FakeClock

pytest.importorskip("sqlalchemy", reason="the server extra is not installed")

T0 = datetime(2026, 3, 10, 12, tzinfo=UTC)


class Project:
    """What rebaseline and backfill are asked of; keeps what it was asked."""

    def __init__(self):
        self.asked, self.broken = [], False

    def rebaseline(self, name, start, end, *, actor):
        self.asked.append(("rebaseline", name, start, end, actor))
        return SimpleNamespace(profile=SimpleNamespace(rows=1234))

    def backfill(self, name, start, end):
        if self.broken:
            raise StoreUnavailable("The lake is away.")
        self.asked.append(("backfill", name, start, end))


@pytest.fixture
def world(tmp_path):
    from watchkeeper.adapters.ledgers.sql import open_ledger

    ledger = open_ledger(tmp_path / "ledger.db")
    clock = FakeClock(T0)
    incidents = Incidents(ledger.facts, clock=clock)
    project = Project()
    books = Runbooks(
        ledger.facts, incidents, folder=tmp_path / "runbooks", watch=project, channels=["chat"], clock=clock
    )
    yield SimpleNamespace(
        ledger=ledger,
        clock=clock,
        incidents=incidents,
        project=project,
        books=books,
        folder=tmp_path / "runbooks",
    )
    ledger.close()


def write(world, name, *commands, head="# Mine\n\n## One\n"):
    world.folder.mkdir(exist_ok=True)
    text = head + "\n".join(f"\n## Step {i}\n\n```watchkeeper\n{c}\n```" for i, c in enumerate(commands, 2))
    (world.folder / f"{name}.md").write_text(text)


def alert(world, column="age; rm -rf /"):
    labels = {"model": "churn", "rule": "drift", "category": "rule", "measure": "psi", "column": column}
    made = Alert(
        fingerprint=fingerprint(labels),
        labels=labels,
        severity=Severity.WARNING,
        state=AlertState.FIRING,
        model="churn",
        rule="drift",
        sentence="PSI moved",
    )
    Records(world.ledger.facts, ALERT).put_new(made, now=T0)
    return made.fingerprint


class TestReading:
    def test_there_is_one_for_each_kind_of_alert(self):
        known = default_runbooks()
        for kind in KINDS:
            assert runbook_for(kind=kind) in known
        for family in Family:
            assert runbook_for(family=family.value) in known
        for category in Category:
            assert runbook_for(category=category.value) in known

    @pytest.mark.parametrize("name", sorted(default_runbooks()))
    def test_ours_have_steps_commands_and_a_title(self, name):
        book = default_runbooks()[name]
        assert len(book.steps) >= 3
        assert any(s.commands for s in book.steps)
        assert book.title != name
        assert all("```" not in s.text for s in book.steps)

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("# x", "no step"),
            ("## a\n```watchkeeper\nsilense model=x\n```", "Did you mean 'silence'"),
            ("## a\n```watchkeeper\nnote {colum}\n```", "Did you mean 'column'"),
            ("## a\n```watchkeeper\nnote 'open\n```", "line 3"),
            ("## a\n```watchkeeper\nnote x", "line 2: this fence is never closed"),
            ("```watchkeeper\nnote x\n```\n## a", "commands stand in a step"),
            ("## a\n```watchkeeper\nwatchkeeper note x\n```", "without 'watchkeeper'"),
            ("## a\n```watchkeeper\nnotify\n```", "needs more words"),
        ],
    )
    def test_a_fault_is_found_when_it_is_read(self, text, said):
        with pytest.raises(BadInput, match=said):
            parse_runbook("mine", text)

    def test_other_code_stays_text(self):
        book = parse_runbook("mine", "# T\nHead\n## a\nSee:\n```sql\nselect 1\n```\nthen go on\n")
        assert book.text == "Head"
        assert book.steps[0].text == "See:\n```sql\nselect 1\n```\nthen go on"
        assert book.steps[0].commands == ()

    def test_every_broken_file_of_a_project_is_told_at_once(self, world):
        write(world, "a", "nonsense x")
        write(world, "b", "nonsense y")
        with pytest.raises(BadInput) as caught:
            world.books.own()
        assert "a, line" in str(caught.value)
        assert "b, line" in str(caught.value)

    def test_a_broken_file_keeps_nobody_from_using_the_others(self, world):
        write(world, "broken", "nonsense x")
        write(world, "mine", "note first")
        assert world.books.get("mine").steps[1].commands[0].verb == "note"
        assert world.books.get("drift").title == default_runbooks()["drift"].title
        with pytest.raises(BadInput, match="broken, line"):
            world.books.get("broken")

    def test_a_channel_that_is_not_there_is_found_before_the_first_step(self, world):
        world.incidents.open("x", actor="ann", model="churn")
        write(world, "mine", "note first", "notify chta 'look at {model}'")
        with pytest.raises(BadInput, match=r"mine, line 14: there is no channel 'chta'. Did you mean 'chat'"):
            world.books.run("mine", actor="ann", incident=1)
        assert world.ledger.facts.count("runbook_run") == 0
        assert len(world.incidents.get(1).timeline) == 1

    def test_a_new_one_begins_as_a_copy_and_takes_the_place_of_ours(self, world):
        file = world.books.new("drift", like="performance")
        assert file.read_text() == default_runbooks()["performance"].source
        assert world.books.get("drift").title == default_runbooks()["performance"].title
        with pytest.raises(Conflict):
            world.books.new("drift")

    @pytest.mark.parametrize("name", ["../x", "A", "", "a b", "x" * 65])
    def test_a_name_cannot_leave_the_folder(self, world, name):
        with pytest.raises(BadInput):
            world.books.new(name)


class TestRunning:
    def test_runs_every_command_and_records_who_when_and_what(self, world):
        name = alert(world)
        world.incidents.open("x", actor="ann", model="churn")
        write(
            world,
            "mine",
            "acknowledge --note 'on it'",
            "silence model={model} 'column={column}' --for 4h --reason 'known: {column}'",
            "rebaseline {model} --from 7d --to now",
            "backfill {model} --from 2026-03-01 --to 2026-03-02",
            "notify chat 'silenced {column}'",
            "note 'looked at {column}'\nlabel cause=join\ntask 'mend {column}' --follow-up --owner bob\nenter mitigation",
        )
        record = world.books.run("mine", actor="ann", alert=name, incident=1)
        assert record.state == "done"
        assert {c["state"] for c in record.commands} == {"done"}
        assert {c["by"] for c in record.commands} == {"ann"}
        (silence,) = silences_of(world.ledger.facts)
        # A column's name is one word, whatever is in it.
        assert silence.mutes({"model": "churn", "column": "age; rm -rf /"}, T0)
        assert world.project.asked == [
            ("rebaseline", "churn", T0 - timedelta(days=7), T0, "ann"),
            ("backfill", "churn", datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)),
        ]
        (message,) = Records(world.ledger.facts, EFFECT).all()
        assert (message.value.state, message.value.lane) == ("waiting", "chat")
        incident = world.incidents.get(1)
        assert (incident.phase, incident.labels["cause"]) == (Phase.MITIGATION, "join")
        assert incident.open_follow_ups[0].owner == "bob"
        assert "Runbook mine: 9 of 9 commands done" in incident.timeline[-1].text
        held = Records(world.ledger.facts, ALERT).of(name).value
        assert (held.acknowledged_by, held.acknowledged_note) == ("ann", "on it")
        kinds = [f.kind for f in world.ledger.facts.facts(kinds=["runbook.*"])]
        assert kinds == ["runbook.started", *["runbook.command_done"] * 9, "runbook.finished"]

    def test_one_that_fails_half_way_stops_says_where_and_goes_on_from_there(self, world):
        world.incidents.open("x", actor="ann", model="churn")
        write(world, "mine", "note first", "backfill churn --from 2d --to 1d", "note last")
        world.project.broken = True
        record = world.books.run("mine", actor="ann", incident=1)
        assert record.state == "failed"
        assert [c["state"] for c in record.commands] == ["done", "failed", "waiting"]
        assert record.commands[1]["result"] == "The lake is away."
        told = world.incidents.get(1).timeline[-1]
        assert told.pinned
        assert "stopped at step 3 (Step 3), backfill churn --from 2d --to 1d: The lake is away." in told.text

        world.project.broken = False
        (world.folder / "mine.md").unlink()
        again = world.books.resume(record.key, actor="bob")
        assert again.state == "done"
        assert [c["by"] for c in again.commands] == ["ann", "bob", "bob"]
        texts = [e.text for e in world.incidents.get(1).timeline]
        assert (texts.count("first"), texts.count("last")) == (1, 1)
        with pytest.raises(BadTransition):
            world.books.resume(record.key, actor="bob")

    def test_a_bug_in_a_command_is_a_failed_step_and_not_a_crash(self, world, monkeypatch):
        write(world, "mine", "backfill churn --from 2d --to 1d")

        def bug(*args):
            raise ZeroDivisionError("oh")

        monkeypatch.setattr(world.project, "backfill", bug)
        record = world.books.run("mine", actor="ann")
        assert record.commands[0]["result"] == "ZeroDivisionError: oh"

    def test_a_run_that_was_killed_goes_on_with_the_command_it_was_in(self, world, monkeypatch):
        write(world, "mine", "notify chat one", "backfill churn --from 2d --to 1d", "notify chat two")

        def killed(*args):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(world.project, "backfill", killed)
            with pytest.raises(KeyboardInterrupt):
                world.books.run("mine", actor="ann")
        (record,) = world.books.records()
        assert [c["state"] for c in record.commands] == ["done", "running", "waiting"]
        assert world.books.resume(record.key, actor="ann").state == "done"
        assert len(world.ledger.facts.documents("outbox")) == 2

    @pytest.mark.parametrize(
        ("command", "said"),
        [
            ("note hello", "needs an incident"),
            ("note {column}", "no column to fill in"),
            ("silence model=x --for 4h", "needs --for and --reason"),
            ("silence model=~( --for 4h --reason x", "regular expression"),
            ("silence model=x --fro 4h --reason x", "no option --fro"),
            ("notify {rule} hello", "no channel 'nobody'"),
            ("rebaseline churn --from then --to now", "'then' is not a time"),
            ("acknowledge 0000", "no alert"),
        ],
    )
    def test_what_cannot_be_done_is_told_plainly(self, world, command, said):
        write(world, "mine", command)
        record = world.books.run("mine", actor="ann", values={"rule": "nobody"})
        assert record.state == "failed"
        assert said in record.commands[0]["result"]

    def test_steps_can_be_chosen_and_commands_declined(self, world):
        write(world, "mine", "notify chat one", "notify chat two", "notify chat three")
        record = world.books.run(
            "mine", actor="ann", steps=[2, 4], confirm=lambda c, words: words[1] != "three"
        )
        assert [c["state"] for c in record.commands] == ["done", "skipped"]
        with pytest.raises(BadInput, match="no step 9"):
            world.books.run("mine", actor="ann", steps=[9])

    def test_values_can_be_given_by_hand(self, world):
        write(world, "mine", "notify chat {column}")
        assert world.books.run("mine", actor="ann", values={"column": "x"}).state == "done"

    def test_an_unknown_one_names_the_nearest(self, world):
        with pytest.raises(NotFound, match="Did you mean 'drift'"):
            world.books.run("drfit", actor="ann")

    @pytest.mark.parametrize("name", sorted(default_runbooks()))
    def test_ours_run_to_their_end_for_an_alert_with_an_incident(self, world, name):
        found = alert(world, column="age")
        world.incidents.open("x", actor="ann", model="churn")
        record = world.books.run(name, actor="ann", alert=found, incident=1)
        assert record.state == "done", record.commands
        again = world.books.run(name, actor="bob", alert=found, incident=1)
        assert again.state == "done", again.commands
