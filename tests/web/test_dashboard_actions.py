"""Each button does what it says, leaves a fact, and does nothing for those who may not."""

from __future__ import annotations

import json
import re

import pytest

from watchkeeper.loop.records.kinds import ALERT
from watchkeeper.web.app import create_app, dashboard_app
from watchkeeper.web.dashboard.settings import redacted
from watchkeeper.web.security import Identity, Role


@pytest.fixture
def app(watch):
    return create_app(watch)


@pytest.fixture
def browser(app, connect):
    """A client that sends the word of its visit, as the pages' own forms do."""
    client = connect(app, follow_redirects=False)
    word = re.search(r'name="csrf" value="(\w+)"', client.get("/incidents").text)[1]

    def post(path, *, files=None, **fields):
        return client.post(path, data={"csrf": word, **fields}, files=files)

    client.press = post
    return client


BUTTONS = {
    "/alerts/{key}/acknowledge": Role.OPERATOR,
    "/alerts/{key}/silence": Role.OPERATOR,
    "/silences": Role.OPERATOR,
    "/silences/{id}/expire": Role.OPERATOR,
    "/incidents": Role.OPERATOR,
    "/incidents/{key}/runbook": Role.OPERATOR,
    "/incidents/{key}/{verb}": Role.OPERATOR,
    "/settings/tokens": Role.ADMIN,
    "/settings/tokens/{id}/revoke": Role.ADMIN,
    "/compare": Role.LABELLER,
    "/labels": Role.LABELLER,
    "/labels/next": Role.LABELLER,
}
"""Every action of the dashboard, and the smallest role that may."""


def as_role(watch, role, connect):
    return connect(
        dashboard_app(watch, authenticate=lambda request: Identity(name="ann", role=role)),
        follow_redirects=False,
    )


def firing(watch):
    return watch.ledger.facts.documents("alert", states=["firing"], order="-rank")[0]


def facts(watch, kind):
    return watch.ledger.facts.facts(kinds=[kind])


class TestForms:
    @pytest.mark.parametrize("word", ["", "0" * 40])
    def test_without_the_word_of_the_visit_nothing_is_done(self, app, watch, connect, word):
        client = connect(app)
        key = firing(watch).key
        answer = client.post(f"/alerts/{key}/acknowledge", data={"csrf": word})
        assert answer.status_code == 403
        assert not ALERT.read(firing(watch)).value.acknowledged_by

    def test_the_word_of_another_visit_is_no_good(self, app, watch, connect, browser):
        word = re.search(r'name="csrf" value="(\w+)"', connect(app).get("/incidents").text)[1]
        answer = browser.post(f"/alerts/{firing(watch).key}/acknowledge", data={"csrf": word})
        assert answer.status_code == 403

    def test_a_program_with_a_token_needs_no_word(self, app, watch, connect):
        from watchkeeper.web.security import create_token

        token = create_token(watch.ledger.facts, name="bot", role="operator", by="test", now=watch.clock())
        answer = connect(app).post(
            f"/alerts/{firing(watch).key}/acknowledge",
            json={"note": "on it"},
            headers={"authorization": f"Bearer {token}", "accept": "application/json"},
        )
        assert answer.json()["done"] is True
        assert facts(watch, "alert.acknowledged")[0].actor == "bot"

    def test_every_button_stands_in_the_list_below(self, app):
        from starlette.routing import Route

        there = {r.path for r in app.routes if isinstance(r, Route) and "POST" in (r.methods or ())}
        assert there - {"/sign-in", "/sign-out"} == set(BUTTONS)

    @pytest.mark.parametrize("role", Role)
    @pytest.mark.parametrize("path", BUTTONS)
    def test_each_button_is_for_its_role_and_those_above(self, watch, connect, path, role):
        client = as_role(watch, role, connect)
        at = path.format(key=firing(watch).key, id="none", verb="note")
        before = watch.ledger.facts.facts()
        fields = {"/compare": ("reference", "current"), "/labels": ("outcomes",)}.get(path, ())
        files = dict.fromkeys(fields, ("rows.csv", b"id,actual\n1,1\n")) or None
        answer = client.post(at, data={}, files=files, headers={"accept": "application/json"})
        assert answer.status_code == 403
        if role.may(BUTTONS[path]):
            assert "This form is too old" in answer.json()["what"], (
                "the role is enough, the form's word is missing"
            )
        else:
            assert BUTTONS[path].value in answer.json()["what"]
        assert watch.ledger.facts.facts() == before

    @pytest.mark.parametrize("path", BUTTONS)
    def test_nobody_presses_a_button(self, watch, connect, path):
        client = connect(dashboard_app(watch, authenticate=lambda request: None), follow_redirects=False)
        at = path.format(key=firing(watch).key, id="none", verb="note")
        before = watch.ledger.facts.facts()
        assert client.post(at, data={}).status_code == 401
        assert watch.ledger.facts.facts() == before

    def test_a_viewer_sees_no_buttons(self, watch, connect):
        client = as_role(watch, Role.VIEWER, connect)
        for path in (
            f"/alerts/{firing(watch).key}",
            "/silences",
            "/incidents",
            "/compare",
            "/labels",
            "/settings",
        ):
            assert 'method="post"' not in client.get(path).text, path


class TestAlerts:
    def test_taking_one_and_giving_it_back(self, browser, watch):
        key = firing(watch).key
        answer = browser.press(f"/alerts/{key}/acknowledge", note="looking")
        assert answer.headers["location"] == f"/alerts/{key}?did=taken"
        assert "local has it" in browser.get(f"/alerts/{key}").text
        browser.press(f"/alerts/{key}/acknowledge", back="1")
        assert [f.kind for f in facts(watch, "alert.*")][-2:] == [
            "alert.acknowledged",
            "alert.unacknowledged",
        ]

    def test_silencing_says_how_much_it_mutes_and_ends(self, browser, watch):
        key = firing(watch).key
        assert "1 open alert" in browser.get(f"/alerts/{key}").text
        browser.press(f"/alerts/{key}/silence", lasts="4h", reason="migration")
        assert browser.get(f"/alerts/{key}?format=json").json()["silenced"]
        row = browser.get("/silences?format=json").json()["silences"][0]
        assert (row["reason"], row["author"]) == ("migration", "local")
        browser.press(f"/silences/{row['id']}/expire")
        assert browser.get("/silences?format=json").json()["silences"] == []

    def test_a_silence_is_previewed_before_it_is_made(self, browser):
        data = browser.get("/silences?format=json&matchers=model%3Dchurn").json()
        assert 0 < data["preview"]["count"] <= data["preview"]["of"]
        assert browser.press("/silences", matchers="model=churn", lasts="1h", reason="x").status_code == 303

    def test_what_cannot_be_done_is_told_and_not_done(self, browser, watch):
        assert browser.press("/silences", matchers="model=churn", lasts="soon", reason="x").status_code == 400
        assert browser.press("/silences", matchers="nonsense", lasts="1h", reason="x").status_code == 400
        assert browser.press("/alerts/nothing/acknowledge").status_code == 404
        assert watch.ledger.facts.count("silence") == 0

    def test_lists_are_paged_and_by_state_and_model(self, browser, watch):
        data = browser.get("/alerts?format=json&state=resolved").json()
        assert len(data["alerts"]) == 50
        assert data["pager"]["pages"] == 2
        assert {a["state"] for a in data["alerts"]} == {"resolved"}
        one = browser.get("/alerts?format=json&state=all&model=churn").json()
        assert {a["model"] for a in one["alerts"]} == {"churn"}

    def test_the_story_comes_in_the_order_in_which_people_ask(self, browser, watch):
        page = browser.get(f"/alerts/{firing(watch).key}").text
        places = [
            page.index(w)
            for w in ("What changed", "Since when", "For whom", "What was done", "What you can do")
        ]
        assert places == sorted(places)


class TestIncidents:
    def opened(self, browser):
        answer = browser.press("/incidents", title="Scores fell", model="churn", severity="critical")
        return answer.headers["location"].partition("?")[0]

    def test_from_opening_to_closing(self, browser, watch):
        path = self.opened(browser)
        for to in ("assessment", "mitigation", "resolution", "post_mortem", "closed"):
            assert browser.press(f"{path}/phase", to=to, text="next").status_code == 303
        data = browser.get(path + "?format=json").json()
        assert data["phase"] == "closed"
        assert len(facts(watch, "incident.*")) == 6

    def test_a_step_that_is_not_there_is_told(self, browser):
        path = self.opened(browser)
        assert browser.press(f"{path}/phase", to="closed").status_code == 409
        assert browser.press(f"{path}/dance").status_code == 404
        assert browser.press(f"{path}/task-done", task="x").status_code == 400

    def test_notes_tasks_owner_and_lessons(self, browser):
        path = self.opened(browser)
        browser.press(f"{path}/note", text="The feed stopped", pin="1", at="2026-03-12T06:00")
        browser.press(f"{path}/task", text="Call the supplier", owner="ben", follow_up="1")
        browser.press(f"{path}/task-done", task="1")
        browser.press(f"{path}/assign", owner="ann", cause="an old file")
        browser.press(f"{path}/lesson", text="Watch freshness")
        data = browser.get(path + "?format=json&lines=pinned").json()
        assert data["owner"] == "ann"
        assert data["cause"] == "an old file"
        assert data["tasks"][0]["done_by"] == "local"
        assert data["lessons"] == ["Watch freshness"]
        assert any(e["text"] == "The feed stopped" for e in data["timeline"])

    def test_a_runbook_step_runs_and_its_result_is_kept(self, browser, watch):
        path = self.opened(browser)
        page = browser.get(path + "?runbook=drift").text
        assert "in your name" in page
        steps = browser.get(path + "?format=json&runbook=drift").json()["runbook"]["steps"]
        step = next(s for s in steps if any("acknowledge" in c or "enter" in c for c in s["commands"]))
        answer = browser.press(f"{path}/runbook", runbook="drift", step=str(step["number"]))
        assert answer.status_code == 303
        runs = browser.get(path + "?format=json&runbook=drift").json()["runs"]
        assert runs[0]["actor"] == "local"
        assert facts(watch, "runbook.*")

    def test_the_post_mortem_runs_nothing(self, browser):
        path = self.opened(browser)
        browser.press(f"{path}/phase", to="resolution")
        assert "post-mortem.html" in browser.get(path).text
        answer = browser.get(f"{path}/post-mortem.html")
        assert "script-src" not in answer.headers["content-security-policy"]
        assert "sandbox" in answer.headers["content-security-policy"]
        assert browser.get(f"{path}/post-mortem.md").text.startswith("# ")


CSV = b"age,plan\n" + b"".join(b"%d,%s\n" % (20 + i % 40, b"ab"[i % 2 : i % 2 + 1]) for i in range(500))
OTHER = b"age,plan\n" + b"".join(b"%d,a\n" % (50 + i % 40) for i in range(500))


class TestCompare:
    def test_two_files_become_a_report_and_are_gone(self, browser, watch, tmp_path, monkeypatch):
        import tempfile

        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "uploads"))
        (tmp_path / "uploads").mkdir()
        files = {"reference": ("january.csv", CSV), "current": ("february.csv", OTHER)}
        answer = browser.press("/compare", files=files)
        assert answer.status_code == 303
        assert list((tmp_path / "uploads").iterdir()) == []
        there = answer.headers["location"]
        data = browser.get(there + "?format=json").json()
        assert data["headline"].startswith("2 of 2 columns moved")
        assert (data["reference"], data["current"]) == ("january.csv", "february.csv")
        report = browser.get(there + "/report.html")
        assert "uploads" not in report.text
        policy = report.headers["content-security-policy"]
        assert "sandbox allow-scripts" in policy
        assert "script-src 'sha256-" in policy
        assert browser.get(there + "/report.json").json()["verdict"] == "fail"

    def test_too_large_is_refused_before_it_is_read(self, watch, connect, monkeypatch):
        small = watch.config.model_copy(
            update={"server": watch.config.server.model_copy(update={"max_request_mb": 1})}
        )
        watch.config = small
        client = as_role(watch, Role.LABELLER, connect)
        files = {"reference": ("a.csv", CSV), "current": ("b.csv", b"x\n" * 1_000_000)}
        answer = client.post("/compare", files=files, headers={"accept": "application/json"})
        assert answer.status_code == 400
        assert "larger than 1 MB" in answer.json()["what"]

    @pytest.mark.parametrize("name", ["rows.exe", "rows", "../../etc/passwd"])
    def test_only_files_of_rows(self, browser, name):
        files = {"reference": (name, CSV), "current": ("b.csv", CSV)}
        assert browser.press("/compare", files=files).status_code == 400

    def test_a_file_that_cannot_be_read_is_told(self, browser):
        files = {"reference": ("a.parquet", b"not parquet"), "current": ("b.csv", CSV)}
        assert browser.press("/compare", files=files).status_code == 400

    def test_a_report_that_is_not_there(self, browser):
        assert browser.get("/compare/nothing").status_code == 404
        assert browser.get("/compare/..%2F..%2Fx/report.html").status_code == 404


class TestOutcomes:
    def test_a_file_goes_to_the_journal_and_is_a_fact(self, browser, watch):
        file = b"id,actual\np-1,1\np-2,0\n"
        answer = browser.press("/labels", files={"outcomes": ("labels.csv", file)}, model="churn")
        assert answer.status_code == 303
        assert "2 outcomes were taken" in browser.get(answer.headers["location"]).text
        assert facts(watch, "outcomes.uploaded")[0].body == {"rows": 2}
        from watchkeeper.capture.journal import journals

        assert journals(watch.data, "churn")

    def test_a_missing_column_is_told_with_the_nearest(self, browser):
        answer = browser.press("/labels", files={"outcomes": ("l.csv", b"id,actuals\n1,2\n")}, model="churn")
        assert answer.status_code == 400
        assert "Did you mean &#39;actuals&#39;" in answer.text or "actuals" in answer.text


class TestSettings:
    def test_the_file_is_judged_as_it_is_now(self, browser, watch):
        assert "watchkeeper.toml is right" in browser.get("/settings").text
        file = watch.path / "watchkeeper.toml"
        file.write_text(file.read_text() + "\n[server]\nprot = 8000\n")
        page = browser.get("/settings").text
        assert "has faults" in page
        assert "Did you mean &#39;port&#39;" in page
        file.write_text(file.read_text().replace("prot", "port"))
        assert "has changed" in browser.get("/settings").text

    @pytest.mark.parametrize(
        ("text", "secret"),
        [
            ('[channels.a]\nurl = "https://hooks.example/T00/hunter2"', "hunter2"),
            ("[channels]\na = { url = 'slack://hunter2/x' }", "hunter2"),
            ('[channels.a]\nurl = """mailto://me:hunter2@mail"""', "hunter2"),
            ('[ledger]\nurl = "postgresql://me:hunter2@db/x"', "hunter2"),
            ('[lake.options]\naws_secret_access_key = "hunter2"', "hunter2"),
            ('[lake]\noptions = { access_key_id = "hunter2" }', "hunter2"),
            ('[models.m.table]\nlocation = "postgresql://me:hunter2@db/x"', "hunter2"),
            ('lake.options.azure_storage_sas_token = "hunter2"', "hunter2"),
            ('channels.a.url = "https://hunter2.example"', "hunter2"),
        ],
    )
    def test_no_secret_is_ever_shown(self, text, secret):
        assert secret not in redacted(text)

    def test_references_to_secrets_are_shown(self):
        assert "env:CHAT_URL" in redacted('[channels.a]\nurl = "env:CHAT_URL"')

    def test_the_first_token_must_be_an_admins_and_is_shown_once(self, browser, app, watch, connect):
        assert browser.press("/settings/tokens", name="bot", role="viewer").status_code == 400
        page = browser.press("/settings/tokens", name="ann", role="admin").text
        token = re.search(r"wk_[\w-]{43}", page)[0]
        client = connect(app, headers={"authorization": f"Bearer {token}"})
        again = client.get("/settings")
        assert again.status_code == 200
        assert token not in again.text
        listed = client.get("/settings?format=json").json()["tokens"]
        assert [t["role"] for t in listed] == ["admin"]
        assert "hash" not in json.dumps(listed)
        client.post(f"/settings/tokens/{listed[0]['id']}/revoke")
        assert client.get("/settings?format=json").status_code == 401


class TestWhatToLabelNext:
    @pytest.fixture
    def recorded(self, watch):
        """Predictions of the last days, without outcomes."""
        from datetime import timedelta

        from watchkeeper.capture.recorder import Recorder

        with Recorder("churn", "1", path=watch.data, flush_interval_s=60) as recorder:
            for i in range(120):
                recorder.record(
                    {"age": i},
                    prediction=i % 2,
                    score=i / 120,
                    id=f"r-{i}",
                    at=watch.clock() - timedelta(hours=30),
                )
            assert recorder.flush()
        watch.tick(models=["churn"])

    def test_the_file_to_label_comes_back_and_says_how_the_model_does(self, browser, watch, recorded):
        answer = browser.press("/labels/next", model="churn", budget="30")
        assert answer.status_code == 200
        lines = answer.text.splitlines()
        assert len(lines) == 31
        assert lines[0].startswith("id,outcome")
        filled = "\n".join(
            [lines[0], *(",".join([i, "1", *rest]) for i, _, *rest in (x.split(",") for x in lines[1:]))]
        )
        browser.press("/labels", files={"outcomes": ("done.csv", filled.encode())}, model="churn")
        watch.tick(models=["churn"])
        data = browser.get("/labels?format=json&model=churn").json()
        assert data["requests"][0]["rows"] == 30
        assert data["estimates"]
        assert "told from 30 labels" in browser.get("/labels?model=churn").text

    def test_a_budget_that_is_none_is_told(self, browser):
        assert browser.press("/labels/next", model="churn", budget="many").status_code == 400


def scored(wrong: float) -> bytes:
    """Rows of a model that errs in a share of *wrong*."""
    lines = ["id,amount,p(churn),Churn?"]
    for i in range(600):
        truth = i % 2
        says = truth if (i * 7919) % 1000 >= 1000 * wrong else 1 - truth
        lines.append(f"r{i},{i % 50},{0.8 if says else 0.2},{'yes' if truth else 'no'}")
    return ("\n".join(lines) + "\n").encode()


class TestRolesOfACompare:
    """Outcomes and scores are found as `init` finds them, shown, and may be said otherwise."""

    def test_a_worse_model_is_called_worse_without_a_word_about_roles(self, browser):
        files = {"reference": ("before.csv", scored(0.1)), "current": ("after.csv", scored(0.45))}
        there = browser.press("/compare", files=files).headers["location"]
        data = browser.get(there + "?format=json").json()
        assert data["roles"] == {"id": "id", "p(churn)": "score", "Churn?": "outcome"}
        assert "worse" in data["headline"]
        page = browser.get(there).text
        assert "Churn? (outcome)" in page
        assert "roles=id+%3D+id" in page

    def test_roles_that_are_written_win(self, browser):
        files = {"reference": ("before.csv", scored(0.1)), "current": ("after.csv", scored(0.45))}
        there = browser.press("/compare", files=files, roles="id = id\nChurn? = outcome").headers["location"]
        assert browser.get(there + "?format=json").json()["roles"] == {"id": "id", "Churn?": "outcome"}
        answer = browser.press("/compare", files=files, roles="Churn?")
        assert answer.status_code == 400
        assert "column = role" in answer.text


def test_an_alert_is_taken_from_the_first_screen(browser, watch):
    """Each thing that needs a person has its button there; what somebody has has none."""
    todo = browser.get("/?format=json").json()["todo"]
    free = [a for a in todo if not a["acknowledged_by"]]
    assert free
    page = browser.get("/").text
    assert page.count("/acknowledge") == len(free)
    browser.press(f"/alerts/{free[0]['key']}/acknowledge")
    after = browser.get("/?format=json").json()["todo"]
    assert next(a for a in after if a["key"] == free[0]["key"])["acknowledged_by"]
