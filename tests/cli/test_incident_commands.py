"""Incidents, runbooks and the outbox from a shell: a whole story, and what is told when something is wrong."""

from __future__ import annotations

import json

import pytest

from watchkeeper.cli import main

pytest.importorskip("deltalake", reason="the server extra is not installed")
pytest.importorskip("apprise", reason="the server extra is not installed")

CONFIG = """
[project]
name = "shop"

[models.churn]
task = "binary"
owner = "ann"

[channels.hook]
kind = "webhook"
url = "env:HOOK_URL"

[channels.page]
url = "env:PAGE_URL"
"""


@pytest.fixture
def run(tmp_path, capsys, monkeypatch, receiver):
    (tmp_path / "watchkeeper.toml").write_text(CONFIG)
    monkeypatch.setenv("HOOK_URL", receiver.url)
    monkeypatch.setenv("PAGE_URL", receiver.url.replace("http", "json"))
    monkeypatch.chdir(tmp_path)

    def call(*words):
        with pytest.raises(SystemExit) as end:
            main(list(words))
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return call


def test_an_incident_from_its_opening_to_its_post_mortem(run, tmp_path):
    assert run("incidents", "list")[:2] == (0, "None is open.\n")
    status, out, _ = run(
        "incidents",
        "open",
        "Scores fell",
        "--model",
        "churn",
        "--severity",
        "critical",
        "--since",
        "2h",
        "--as",
        "ann",
    )
    assert (status, out) == (0, "Incident 1 is open.\n")
    assert run("incidents", "list")[0] == 1
    status, out, _ = run("incidents", "assess", "1", "--as", "ann")
    assert "Incident 1: assessment." in out
    assert "no measurements" in out
    run("incidents", "note", "1", "the join lost rows", "--pin", "--as", "bob")
    run("incidents", "note", "1", "an upstream join lost rows", "--cause", "--as", "ann")
    run("incidents", "note", "1", "check row counts first", "--lesson", "--as", "ann")
    run("incidents", "assign", "1", "--role", "scribe", "bob", "--as", "ann")
    run("incidents", "task", "1", "add a row count check", "--follow-up", "--owner", "bob", "--as", "ann")
    for verb in ("mitigate", "resolve"):
        assert run("incidents", verb, "1", "--as", "ann")[0] == 0
    status, out, _ = run(
        "incidents", "postmortem", "1", "--begin", "--html", "pm.html", "--md", "pm.md", "--as", "ann"
    )
    assert status == 0
    text = (tmp_path / "pm.md").read_text()
    assert "an upstream join lost rows" in text
    assert "check row counts first" in text
    assert "<!doctype html>" in (tmp_path / "pm.html").read_text()
    assert run("incidents", "close", "1", "--as", "ann")[0] == 0
    status, out, _ = run("incidents", "list", "--follow-ups")
    assert status == 1
    assert "add a row count check" in out
    assert run("incidents", "task", "1", "--done", "1", "--as", "bob")[:2] == (0, "Done.\n")
    assert run("incidents", "list", "--follow-ups")[0] == 0
    status, out, _ = run("incidents", "show", "1")
    assert "owner ann" in out
    assert "[x] 1. add a row count check (bob)" in out
    shown = json.loads(run("incidents", "show", "1", "--json")[1])
    assert shown["phase"] == "closed"
    assert shown["durations"]["to_detect_s"] == pytest.approx(7200, abs=60)
    assert "of 1 incident" in run("incidents", "list", "--figures")[1]


def test_a_wrong_step_and_an_unknown_number_are_told(run):
    run("incidents", "open", "x")
    status, _, err = run("incidents", "close", "1")
    assert (status, "cannot go to closed" in err) == (2, True)
    status, _, err = run("incidents", "show", "9")
    assert (status, "There is no incident 9" in err) == (2, True)
    assert run("incidents", "open", "x", "--model", "chrun")[2].count("Did you mean 'churn'") == 1


def test_one_thing_may_be_said_in_the_singular(run, tmp_path):
    assert run("runbook", "new", "our-own", "--like", "performance")[0] == 0
    assert (tmp_path / "runbooks" / "our-own.md").read_text().startswith("# The model does worse")
    assert run("incident", "list")[1] == run("incidents", "list")[1]
    assert "Did you mean 'alerts'?" in run("alrts", "list")[2]


def test_two_incidents_become_one(run):
    run("incidents", "open", "a")
    run("incidents", "open", "b")
    assert "part of incident 1" in run("incidents", "merge", "1", "2")[1]
    assert "It goes on as incident 1." in run("incidents", "show", "2")[1]


def test_a_runbook_is_copied_run_stopped_and_resumed(run, tmp_path):
    assert "evaluation-failed" in run("runbooks", "list")[1]
    assert run("runbooks", "show", "drift")[1].startswith("# A column has moved")
    assert "mine.md is yours" in run("runbooks", "new", "mine", "--like", "cost")[1]
    (tmp_path / "runbooks" / "mine.md").write_text(
        "# M\n\n## Tell\n\n```watchkeeper\nnotify hook 'we are on {model}'\nnote 'told them'\n```\n"
    )
    assert "your own" in run("runbooks", "list")[1]
    status, _, err = run("runbooks", "run", "mine", "--set", "model=churn")
    assert (status, "--yes" in err) == (2, True)
    status, out, _ = run("runbooks", "run", "mine", "--set", "model=churn", "--yes", "--as", "ann")
    assert status == 1
    assert "needs an incident" in out
    (record,) = json.loads(run("runbooks", "runs", "--json")[1])
    assert [c["state"] for c in record["commands"]] == ["done", "failed"]
    assert run("runbooks", "resume", record["run"], "--yes")[0] == 1
    run("incidents", "open", "x", "--model", "churn")
    status, out, _ = run("runbooks", "run", "mine", "--incident", "1", "--yes", "--as", "ann")
    assert (status, out.count("done")) == (0, 2)
    assert "Runbook mine: 2 of 2" in run("incidents", "show", "1")[1]


def test_what_waits_is_sent_what_cannot_be_is_dead_and_is_sent_again(run, receiver, monkeypatch):
    from receivers import Reply

    write = "# M\n\n## Tell\n\n```watchkeeper\nnotify hook 'hello'\n```\n"
    import pathlib

    pathlib.Path("runbooks").mkdir()
    pathlib.Path("runbooks/mine.md").write_text(write)
    run("runbooks", "run", "mine", "--yes")
    assert "waiting" in run("outbox", "list")[1]
    receiver.replies.append(Reply(403, "no"))
    status, out, _ = run("outbox", "send")
    assert status == 1
    status, out, _ = run("outbox", "dead")
    assert status == 1
    assert "refused it with 403" in out
    # The other channel was told that this one is dead.
    assert any("The channel hook could not be told" in r.body.decode() for r in receiver.received)
    assert run("outbox", "retry", "--all")[1] == "1 waits to be sent again.\n"
    assert run("outbox", "send")[0] == 0
    assert run("outbox", "dead")[:2] == (0, "There are none.\n")
    assert run("outbox", "retry")[0] == 2


def test_channels_templates_and_runbooks_are_checked_before_anybody_must_be_told(
    run, monkeypatch, tmp_path, receiver
):
    status, out, _ = run("outbox", "check")
    assert (status, "nothing wrong" in out) == (0, True)
    assert "took it" in run("outbox", "test", "hook")[1]
    assert receiver.received[-1].json["title"].startswith("shop: A test")
    assert "Did you mean 'hook'" in run("outbox", "test", "hok")[2]
    monkeypatch.delenv("HOOK_URL")
    monkeypatch.setenv("PAGE_URL", "pgaerduty://topsecretkey@x")
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "message_chat.txt.j2").write_text("{% if %}")
    (tmp_path / "runbooks").mkdir()
    (tmp_path / "runbooks" / "mine.md").write_text("nothing")
    status, _, err = run("outbox", "check")
    assert status == 1
    for part in ("HOOK_URL is not set", "channel page", "message_chat.txt.j2, line 1", "no step"):
        assert part in err
    assert "topsecretkey" not in err
