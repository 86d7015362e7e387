"""The same act on an incident is the same fact, whichever door it comes through: command line, API or page."""

from __future__ import annotations

import re

import pytest

from watchkeeper.cli import main
from watchkeeper.loop.incidents.follow import incidents_of
from watchkeeper.loop.incidents.incidents import FACTS
from watchkeeper.web.api.app import guarded_api
from watchkeeper.web.api.intake import Intake
from watchkeeper.web.app import create_app
from watchkeeper.wiring import open_project

OPEN = {"title": "Rates fell", "severity": "critical", "model": "churn"}
VERBS = {
    "opened": (["open", "Rates fell", "--severity", "critical", "--model", "churn"], ("", OPEN), ("", OPEN)),
    "noted": (
        ["note", "{n}", "looked at it", "--pin"],
        ("/{n}/notes", {"text": "looked at it", "pin": True}),
        ("/{n}/note", {"text": "looked at it", "pin": "1"}),
    ),
    "learnt": (
        ["note", "{n}", "count rows", "--lesson"],
        ("/{n}/notes", {"text": "count rows", "kind": "lesson"}),
        ("/{n}/lesson", {"text": "count rows"}),
    ),
    "cause_found": (
        ["note", "{n}", "a join", "--cause"],
        ("/{n}/notes", {"text": "a join", "kind": "cause"}),
        ("/{n}/assign", {"cause": "a join"}),
    ),
    "pinned": (
        ["assign", "{n}", "--pin", "1"],
        ("/{n}/pins", {"line": 1}),
        ("/{n}/pin", {"line": "1"}),
    ),
    "assigned": (
        ["assign", "{n}", "--owner", "bob", "--severity", "notice"],
        ("PATCH /{n}", {"owner": "bob", "severity": "notice"}),
        ("/{n}/assign", {"owner": "bob", "severity": "notice"}),
    ),
    "task_added": (
        ["task", "{n}", "ask upstream", "--owner", "bob", "--follow-up"],
        ("/{n}/tasks", {"text": "ask upstream", "owner": "bob", "follow_up": True}),
        ("/{n}/task", {"text": "ask upstream", "owner": "bob", "follow_up": "1"}),
    ),
    "task_done": (
        ["task", "{n}", "--done", "1"],
        ("/{n}/tasks/1/done", {}),
        ("/{n}/task-done", {"task": "1"}),
    ),
    **{
        verb: (
            [*word, "{n}"],
            ("/{n}/phase", {"phase": phase, "text": text}),
            ("/{n}/phase", {"to": phase, "text": text}),
        )
        for verb, word, phase, text in (
            ("assessed", ["assess"], "assessment", ""),
            ("mitigated", ["mitigate"], "mitigation", ""),
            ("resolved", ["resolve"], "resolution", ""),
            ("reviewed", ["postmortem", "--begin"], "post_mortem", ""),
            ("closed", ["close"], "closed", ""),
        )
    },
    "merged": (["merge", "{n}", "{other}"], ("/{n}/merge", {"other": "{other}"}), None),
}
"""Verb -> words of the command, path and body of the API, path and form of the page (None: no button)."""
BEFORE = {"closed": ("resolution",), "reviewed": ("resolution",)}
WITHOUT_A_DOOR = {
    "fed": "alerts do it",
    "moved": "every phase has its name",
    "labelled": "runbooks do it",
    "runbook_run": "runbooks do it",
    "merged_away": "the other half of merged",
}


@pytest.fixture
def doors(tmp_path, monkeypatch, connect):
    (tmp_path / "watchkeeper.toml").write_text('[models.churn]\ntask = "binary"\nowner = "ann"\n')
    monkeypatch.chdir(tmp_path)
    with open_project(tmp_path) as watch:
        intake = Intake(watch.data)
        api, pages = (
            connect(guarded_api(watch, intake=intake)),
            connect(create_app(watch), follow_redirects=False),
        )
        word = re.search(r'name="csrf" value="(\w+)"', pages.get("/incidents").text)[1]

        def by_command(words):
            with pytest.raises(SystemExit) as end:
                main(["incidents", *words])
            assert end.value.code == 0

        def by_api(path, body):
            method, _, path = path.rpartition(" ")
            answer = api.request(method or "POST", f"/v1/incidents{path}", json=body)
            assert answer.status_code < 300, answer.text

        def by_page(path, form):
            answer = pages.post(f"/incidents{path}", data={"csrf": word, **form})
            assert answer.status_code == 303, answer.text

        yield watch, {"command": by_command, "api": by_api, "page": by_page}
        intake.close()


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_is_the_same_fact_through_every_door(doors, verb):
    from watchkeeper.decisions.incidents.incidents import phase_of

    watch, by = doors
    held = incidents_of(watch)
    words, call, button = VERBS[verb]
    written = {}
    for door, do in by.items():
        if door == "page" and button is None:
            continue
        n, other = (held.open("Rates fell", actor="ann", model="churn").number for _ in range(2))
        held.add_task(n, "first", actor="ann")
        for phase in BEFORE.get(verb, ()):
            held.enter(n, phase_of(phase), actor="ann")
        filled = {"n": n, "other": other}
        last = watch.ledger.facts.facts(newest_first=True, limit=1)[0].sequence
        if door == "command":
            do([word.format(**filled) for word in words])
        else:
            path, body = call if door == "api" else button
            given = {k: v.format(**filled) if isinstance(v, str) else v for k, v in body.items()}
            do(path.format(**filled), given)
        facts = watch.ledger.facts.facts(after=last, kinds=["incident.*"])
        # Which incident it was differs from door to door, and nothing else may.
        names = {str(n): "this", str(other): "other"}
        written[door] = []
        for fact in facts:
            body = {k: names.get(str(v), v) for k, v in fact.body.items()}
            body["lines"] = [re.sub(r"ncident \d+", "ncident N", line) for line in fact.body.get("lines", ())]
            written[door].append((fact.kind, fact.model, names.get(fact.subject, "new"), body))
    assert f"incident.{verb}" in [kind for kind, *_ in written["command"]]
    for door, facts in written.items():
        assert facts == written["command"], door


def test_every_verb_is_tried():
    assert {*VERBS, *WITHOUT_A_DOOR} == set(FACTS)
