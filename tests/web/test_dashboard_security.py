"""Who may come in, and what a page of another site cannot do."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from watchkeeper.errors import BadInput, NotFound
from watchkeeper.web.app import create_app, dashboard_app
from watchkeeper.web.security import Identity, Role, create_token, revoke_token, tokens


@pytest.fixture
def app(watch):
    return create_app(watch)


def token(watch, role="viewer", **more):
    return create_token(watch.ledger.facts, name="ann", role=role, by="test", now=watch.clock(), **more)


def signed_in(app, word, connect):
    client = connect(app, follow_redirects=False)
    assert client.post("/sign-in", data={"token": word}).status_code == 303
    return client


class TestBeforeThereIsAToken:
    def test_this_machine_may_come_in(self, app, connect):
        assert connect(app).get("/").status_code == 200

    def test_another_machine_may_not(self, app, connect):
        answer = connect(app, client=("192.0.2.7", 4000)).get("/", headers={"accept": "application/json"})
        assert answer.status_code == 401

    def test_a_name_that_is_not_loopback_may_not_so_that_a_page_cannot_rebind_its_own(self, app, connect):
        answer = connect(app, base_url="http://evil.example").get("/?format=json")
        assert answer.status_code == 401

    @pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded", "x-real-ip"])
    def test_who_comes_through_a_proxy_on_this_machine_may_not(self, app, connect, header):
        answer = connect(app).get("/?format=json", headers={header: "192.0.2.7"})
        assert answer.status_code == 401


class TestTokens:
    def test_the_first_token_ends_the_open_door(self, app, watch, connect):
        token(watch)
        assert connect(app).get("/?format=json").status_code == 401

    def test_it_stays_ended_when_every_token_is_revoked(self, app, watch, connect):
        token(watch)
        revoke_token(watch.ledger.facts, tokens(watch.ledger.facts)[0]["id"], by="test", now=watch.clock())
        assert connect(create_app(watch)).get("/?format=json").status_code == 401

    def test_a_bearer_token_opens_and_a_wrong_one_does_not(self, app, watch, connect):
        word = token(watch)
        client = connect(app, client=("192.0.2.7", 4000))
        assert client.get("/?format=json", headers={"authorization": f"Bearer {word}"}).status_code == 200
        assert client.get("/?format=json", headers={"authorization": f"Bearer {word}x"}).status_code == 401

    def test_a_token_ends_when_its_time_is_over(self, app, watch, connect, clock):
        word = token(watch, lasts=timedelta(days=1))
        client = connect(app)
        assert client.get("/?format=json", headers={"authorization": f"Bearer {word}"}).status_code == 200
        clock.pass_(timedelta(days=2))
        assert client.get("/?format=json", headers={"authorization": f"Bearer {word}"}).status_code == 401

    def test_the_ledger_never_holds_the_word_itself(self, watch):
        word = token(watch)
        kept = watch.ledger.facts.documents("token")
        assert word not in str(kept) + str(tokens(watch.ledger.facts))
        assert word not in str(watch.ledger.facts.facts(kinds=["token.*"]))
        assert word[3:] not in (watch.path / ".watchkeeper" / "ledger.db").read_bytes().decode("latin-1")

    def test_an_unknown_role_is_told_with_the_nearest(self, watch):
        with pytest.raises(BadInput, match="Did you mean 'viewer'"):
            token(watch, role="viewr")

    def test_revoking_what_is_not_there(self, watch):
        with pytest.raises(NotFound):
            revoke_token(watch.ledger.facts, "nothing", by="test", now=watch.clock())


class TestSessions:
    def test_a_page_leads_to_the_sign_in_page_and_back(self, app, watch, connect):
        word = token(watch)
        client = connect(app, follow_redirects=False)
        answer = client.get("/models/churn?period=7d", headers={"accept": "text/html"})
        assert answer.headers["location"] == "/sign-in?back=%2Fmodels%2Fchurn%3Fperiod%3D7d"
        answer = client.post("/sign-in", data={"token": word, "back": "/models/churn?period=7d"})
        assert answer.headers["location"] == "/models/churn?period=7d"
        assert client.get("/models/churn").status_code == 200

    @pytest.mark.parametrize(
        "back", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"]
    )
    def test_signing_in_never_leads_to_another_site(self, app, watch, connect, back):
        client = connect(app, follow_redirects=False)
        answer = client.post("/sign-in", data={"token": token(watch), "back": back})
        assert answer.headers["location"] == "/"

    def test_the_cookie_is_closed_to_scripts_and_other_sites(self, app, watch, connect):
        answer = connect(app, follow_redirects=False).post("/sign-in", data={"token": token(watch)})
        line = answer.headers["set-cookie"]
        assert "HttpOnly" in line
        assert "SameSite=Lax" in line

    def test_signing_out_ends_the_session_in_the_ledger(self, app, watch, connect):
        client = signed_in(app, token(watch), connect)
        kept = dict(client.cookies)
        client.post("/sign-out")
        again = connect(app, cookies=kept)
        assert again.get("/?format=json").status_code == 401

    def test_revoking_the_token_ends_its_sessions(self, app, watch, connect):
        client = signed_in(app, token(watch), connect)
        revoke_token(watch.ledger.facts, tokens(watch.ledger.facts)[0]["id"], by="test", now=watch.clock())
        assert client.get("/?format=json").status_code == 401

    def test_a_one_time_link_lets_one_browser_in(self, app, watch, connect, clock):
        word = token(watch, role="admin", once=True, lasts=timedelta(hours=1))
        client = connect(app, follow_redirects=False)
        answer = client.get(f"/sign-in?token={word}")
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        clock.pass_(timedelta(hours=2))
        assert client.get("/settings?format=json").status_code == 200, "the session outlasts its link"
        assert client.get(f"/sign-in?token={word}").status_code == 303, "the same browser may follow it again"
        other = connect(app, follow_redirects=False)
        refused = other.get(f"/sign-in?token={word}")
        assert refused.status_code == 401
        assert "This link has been used, or has ended." in refused.text
        assert word not in refused.text

    def test_a_one_time_token_is_good_for_nothing_else(self, app, watch, connect, clock):
        word = token(watch, once=True, lasts=timedelta(hours=1))
        assert (
            connect(app).get("/?format=json", headers={"authorization": f"Bearer {word}"}).status_code == 401
        )
        clock.pass_(timedelta(hours=2))
        assert connect(app, follow_redirects=False).get(f"/sign-in?token={word}").status_code == 401

    def test_of_two_browsers_at_once_one_comes_in(self, app, watch, monkeypatch):
        from watchkeeper.web.security import Keys

        word = token(watch, once=True)
        first, second = (Keys(watch.ledger.facts, watch.clock) for _ in range(2))
        sweep = second._sweep

        def overtaken(now):
            assert first.open_session(word)
            sweep(now)

        monkeypatch.setattr(second, "_sweep", overtaken)
        assert second.open_session(word) is None

    def test_revoking_a_used_link_ends_its_session(self, app, watch, connect):
        client = connect(app)
        client.get(f"/sign-in?token={token(watch, once=True)}")
        assert client.get("/?format=json").status_code == 200
        revoke_token(watch.ledger.facts, tokens(watch.ledger.facts)[0]["id"], by="test", now=watch.clock())
        assert client.get("/?format=json").status_code == 401

    def test_guessing_links_is_limited_as_guessing_tokens_is(self, app, watch, connect):
        token(watch)
        client = connect(app, follow_redirects=False)
        codes = [client.get("/sign-in?token=wk_wrong").status_code for _ in range(6)]
        assert codes == [401] * 5 + [429]

    def test_a_session_ends_after_half_a_day(self, app, watch, connect, clock):
        client = signed_in(app, token(watch), connect)
        clock.pass_(timedelta(hours=13))
        assert client.get("/?format=json").status_code == 401

    def test_five_wrong_tries_a_minute_from_one_address(self, app, watch, connect, clock):
        word = token(watch)
        client = connect(app, follow_redirects=False)
        codes = [client.post("/sign-in", data={"token": "wk_wrong"}).status_code for _ in range(6)]
        assert codes == [401] * 5 + [429]
        answer = client.post("/sign-in", data={"token": word})
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) == 60
        clock.pass_(timedelta(seconds=61))
        assert client.post("/sign-in", data={"token": word}).status_code == 303

    def test_signing_in_out_and_failing_are_facts(self, app, watch, connect):
        client = signed_in(app, token(watch), connect)
        client.post("/sign-out")
        client.post("/sign-in", data={"token": "wk_wrong"})
        kinds = [f.kind for f in watch.ledger.facts.facts(kinds=["session.*"])]
        assert kinds == ["session.opened", "session.closed", "session.refused"]


class TestOtherSites:
    def test_a_form_of_another_site_is_refused(self, app, connect):
        for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}):
            assert connect(app).post("/sign-out", headers=headers).status_code == 403

    def test_every_answer_carries_a_policy_without_inline_script(self, client):
        for path in ("/", "/models/churn", "/static/dashboard.js", "/search?q=a", "/nothing", "/sign-in"):
            headers = client.get(path).headers
            policy = headers["content-security-policy"]
            assert "unsafe" not in policy, path
            assert "script-src 'self'" in policy
            assert headers["x-content-type-options"] == "nosniff"

    def test_pages_hold_no_inline_script_or_style(self, client):
        for path in ("/", "/models/churn", "/facts"):
            page = client.get(path).text
            assert " style=" not in page
            assert "<style" not in page
            assert "onclick" not in page
            assert page.count("<script") == page.count('<script type="module" src=')

    def test_names_are_shown_and_never_run(self, client):
        page = client.get("/models/churn").text
        assert "<script>alert(1)</script>" not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


class TestInsideAnotherApplication:
    def mounted(self, watch, authenticate):
        from starlette.applications import Starlette
        from starlette.routing import Mount

        return Starlette(routes=[Mount("/watch", app=dashboard_app(watch, authenticate=authenticate))])

    def test_its_own_authentication_decides(self, watch, connect):
        def authenticate(request):
            name = request.headers.get("x-user")
            return Identity(name=name, role=Role.VIEWER) if name else None

        client = connect(self.mounted(watch, authenticate), base_url="http://ml.example")
        assert client.get("/watch/?format=json").status_code == 401
        assert client.get("/watch/?format=json", headers={"x-user": "ann"}).status_code == 200

    @pytest.mark.parametrize(
        "path",
        ["/", "/models/churn", "/models/churn/columns/age", "/alerts", "/alerts/{alert}", "/silences", "/incidents",
         "/labels", "/compare", "/facts", "/settings", "/nothing", "/models/nothing"],
    )  # fmt: skip
    def test_it_may_be_a_coroutine_and_every_address_keeps_the_mount(self, watch, connect, path):
        async def authenticate(request):
            return Identity(name="ann", role=Role.ADMIN)

        alert = watch.ledger.facts.documents("alert", states=["firing"])[0].key
        page = connect(self.mounted(watch, authenticate)).get("/watch" + path.format(alert=alert)).text
        words = ("href", "src", "action", "data-chart", "data-library")
        found = [part for word in words for part in re.findall(rf'\s{word}="([^"]*)"', page)]
        assert len(found) >= 2
        assert all(f.startswith(("/watch/", "#")) for f in found), found

    def test_scripts_styles_charts_search_and_live_updates_answer_there(self, watch, connect):
        client = connect(self.mounted(watch, lambda request: Identity(name="ann", role=Role.VIEWER)))
        page = client.get("/watch/models/churn").text
        for kind in ("href", "src", "data-library"):
            for at in re.findall(rf'\s{kind}="(/watch/static/[^"]+)"', page):
                assert client.get(at.replace("&amp;", "&")).status_code == 200, at
        chart = re.search(r'data-chart="([^"]+)" data-query="([^"]+)"', page)
        assert client.get(f"{chart[1]}.vega?{chart[2].replace('&amp;', '&')}").status_code == 200
        assert client.get("/watch/search?q=churn").json()["found"][0]["path"] == "/models/churn"
        assert "/watch/" in page.split("data-root=")[1][:20] or 'data-root="/watch"' in page

    def test_a_button_leads_back_below_the_mount_also_for_programs(self, watch, connect):
        client = connect(
            self.mounted(watch, lambda request: Identity(name="ann", role=Role.OPERATOR)),
            follow_redirects=False,
        )
        word = re.search(r'name="csrf" value="(\w+)"', client.get("/watch/incidents").text)[1]
        answer = client.post("/watch/incidents", data={"csrf": word, "title": "Late"})
        assert answer.headers["location"].startswith("/watch/incidents/")
        told = client.post(
            "/watch/incidents", data={"csrf": word, "title": "Late"}, headers={"accept": "application/json"}
        )
        assert told.json()["see"].startswith("/watch/incidents/")
        assert "Path=/watch" in client.get("/watch/").headers.get("set-cookie", "Path=/watch")
