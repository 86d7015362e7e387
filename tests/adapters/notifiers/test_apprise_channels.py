"""Apprise's own plugins against receivers that speak Slack's, Twilio's, PagerDuty's and a mail server's replies."""

from __future__ import annotations

import logging
import socket
import time

import pytest

from receivers import Reply
from watchkeeper.adapters.notifiers.apprise import AppriseNotifier, split_targets
from watchkeeper.adapters.notifiers.exchange import Refused, TryAgain
from watchkeeper.documents.drawing.charts import series_line
from watchkeeper.documents.message import compose
from watchkeeper.errors import BadConfig

apprise = pytest.importorskip("apprise", reason="the server extra is not installed")

SLACK = "slack://TabcdefghT/BabcdefghB/cabcdefghijklmnopqrstuvw"
TWILIO = "twilio://AC735c307c62944b5a:e29dfbcebf390dee9@12345678901/15551234567"
PAGER = "pagerduty://A1BRTD4JDkeykey@TIiajkdnlazkcEv78S/watch/churn"
SECRETS = {
    "slack": ("TabcdefghT", "BabcdefghB", "cabcdefghijklmnopqrstuvw"),
    "twilio": ("AC735c307c62944b5a", "e29dfbcebf390dee9"),
    "pager": ("A1BRTD4JDkeykey", "TIiajkdnlazkcEv78S"),
}

OK = {
    "slack": Reply(200, "ok"),
    "twilio": Reply(
        201, '{"sid": "SM1", "status": "queued", "error_code": null}', {"Content-Type": "application/json"}
    ),
    "pager": Reply(202, '{"status": "success", "message": "Event processed", "dedup_key": "g1"}'),
}
URLS = {"slack": SLACK, "twilio": TWILIO, "pager": PAGER}
HOSTS = {"slack": "hooks.slack.com", "twilio": "api.twilio.com", "pager": "events.pagerduty.com"}


def message(status="firing", **rest):
    alert = {
        "headline": "PSI of <!channel> is 0.31",
        "what": "PSI of <!channel> went from 0.02 to 0.31 [0.28, 0.34]",
        "since": "2026-03-01",
        "whom": "all rows",
        "done": "nothing yet",
        "labels": {"model": "churn"},
        "severity": "critical",
        "state": status,
    }
    body = {"status": status, "severity": "critical", "group": "g1", "alerts": [alert], **rest}
    return compose({**body, "reference": "k1"}, project="churn", url="http://watch.example").to_dict()


@pytest.fixture(params=list(URLS))
def service(request):
    return request.param


def test_a_message_arrives_at_the_real_address_of_the_service(chat_world, service):
    chat_world.default = OK[service]
    AppriseNotifier("c", URLS[service]).send(message(), key="k1")
    (request,) = chat_world.received
    assert request.host == HOSTS[service]
    text = request.body.decode()
    assert "0.31" in text


def test_slack_gets_the_four_answers_in_order_and_nobody_is_pinged_by_a_column(chat_world):
    AppriseNotifier("c", SLACK).send(message(), key="k1")
    body = chat_world.received[0].body.decode()
    order = [body.index(q) for q in ("What changed", "Since when", "For whom", "What was done")]
    assert order == sorted(order)
    assert "<!channel>" not in body
    assert "reference k1" in body


EVIL = (
    "@everyone <@123> [click](http://evil.example) **b** `c` <script>x</script>\r\nWhat was done: all is well"
)
CHATS = {
    "slack": SLACK,
    "discord": "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js",
    "teams": "workflows://prod-42.westeurope.logic.azure.com:443/a1b2c3d4e5f60718293a4b5c6d7e8f90/"
    "Xy9zSIGNATUREabcdefghijklmnopqrstuvwxyz01",
    "plain": "json://hooks.example.org/watch",
}


@pytest.fixture(params=list(CHATS))
def sent_to(request, chat_world):
    """Send a message to one kind of chat; return the text that it would show."""

    def send(message):
        chat_world.default = Reply(204, "") if request.param == "discord" else Reply(200, "ok")
        plain = request.param == "plain"
        if plain:
            chat_world_url = chat_world.url.replace("http://", "json://")
            AppriseNotifier("c", chat_world_url).send(message, key="k1")
        else:
            AppriseNotifier("c", CHATS[request.param]).send(message, key="k1")
        assert all("apprise" not in r.body.decode().lower() for r in chat_world.received if not plain)
        return request.param, "\n".join(strings(chat_world.received[0].json)), len(chat_world.received)

    return send


def strings(value):
    """Every text in a JSON value."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [s for v in value for s in strings(v)]
    return [value] if isinstance(value, str) else []


def evil_message(count=1):
    alerts = [
        {
            "fingerprint": f"{i:016x}",
            "headline": f"churn: PSI of {EVIL} is 0.31",
            "what": f"PSI of {EVIL} went from 0.02 to 0.31 [0.28, 0.34]. 12,480 rows. Guarantee: 1 in 20.",
            "since": "2026-03-01 00:00 UTC; fired with the window that ended 2026-03-02 00:00 UTC.",
            "whom": "Segment region=EU. Most in plan=pro, plan=trial and plan=basic.",
            "done": "Nothing yet.",
            "labels": {"model": "churn"},
            "severity": "critical",
            "runbook": "drift",
        }
        for i in range(count)
    ]
    body = {"status": "firing", "severity": "critical", "group": "g1", "alerts": alerts, "reference": "k1"}
    return compose(body, project="shop", url="http://watch.example").to_dict()


def test_every_chat_gets_the_four_answers_in_order_and_a_link(sent_to):
    _, text, _ = sent_to(message())
    order = [text.index(q) for q in ("What changed", "Since when", "For whom", "What was done")]
    assert order == sorted(order)
    assert "http://watch.example/alerts" in text


def test_a_columns_name_is_text_in_every_chat_and_mentions_nobody(sent_to):
    kind, text, _ = sent_to(evil_message())
    assert not [line for line in text.splitlines() if line.startswith("What was done: all")]
    if kind == "discord":  # there plain text is Markdown, and @everyone rings for everyone
        assert "@everyone" not in text
        assert "[click](" not in text
        assert "<@" not in text.replace("\\<", "")
    if kind == "teams":
        assert "[click](" not in text
    if kind == "slack":
        assert "<@" not in text
        assert "<script" not in text


def test_a_storm_fits_into_one_message_of_every_chat(sent_to):
    kind, text, requests = sent_to(evil_message(count=20))
    assert requests == 1
    longest = {"slack": 35_000, "discord": 2_000, "teams": 25_000, "plain": 40_000}[kind]
    assert len(text) <= longest
    assert "http://watch.example/alerts" in text


@pytest.mark.parametrize(
    ("url", "wakes"),
    [(SLACK, False), (CHATS["discord"], False), ("mailto://u:p@example.org", False), (TWILIO, True), (PAGER, True)],
)  # fmt: skip
def test_pagers_and_telephones_wake_people_and_the_owner_may_say_otherwise(url, wakes):
    assert AppriseNotifier("c", url).wakes is wakes
    assert AppriseNotifier("c", url, wakes=not wakes).wakes is not wakes


def test_what_has_low_urgency_is_information_to_a_pager(chat_world):
    chat_world.default = OK["pager"]
    AppriseNotifier("c", PAGER, wakes=False).send(message(urgency="low"), key="k1")
    assert chat_world.received[0].json["payload"]["severity"] == "info"


def test_twilio_gets_one_short_line(chat_world):
    chat_world.default = OK["twilio"]
    AppriseNotifier("c", TWILIO).send(message(), key="k1")
    from urllib.parse import parse_qs

    sent = parse_qs(chat_world.received[0].body.decode())
    assert sent["To"] == ["+15551234567"]
    assert "\n" not in sent["Body"][0]
    assert sent["Body"][0].startswith("churn CRITICAL: PSI")


def test_pagerduty_folds_repeats_into_one_incident_and_resolves_it(chat_world):
    chat_world.default = OK["pager"]
    notifier = AppriseNotifier("c", PAGER)
    notifier.send(message(), key="k1")
    notifier.send(message(), key="k2")
    notifier.send(message("resolved"), key="k3")
    sent = [r.json for r in chat_world.received]
    assert [s["event_action"] for s in sent] == ["trigger", "trigger", "resolve"]
    assert {s["dedup_key"] for s in sent} == {"g1"}
    assert sent[0]["payload"]["severity"] == "critical"
    assert sent[0]["payload"]["custom_details"]["key"] == "k1"
    assert sent[0]["links"] == [{"href": "http://watch.example/alerts"}]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_refusal_is_not_tried_again(chat_world, service, status):
    chat_world.default = Reply(status, "invalid_token")
    with pytest.raises(Refused, match=str(status)):
        AppriseNotifier("c", URLS[service]).send(message(), key="k1")
    assert len(chat_world.received) == 1


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_broken_service_is_tried_again(chat_world, service, status):
    chat_world.default = Reply(status, "sorry")
    with pytest.raises(TryAgain, match=str(status)):
        AppriseNotifier("c", URLS[service]).send(message(), key="k1")


def test_a_busy_service_says_when_to_come_back(chat_world, service):
    chat_world.default = Reply(429, "slow down", {"Retry-After": "42"})
    with pytest.raises(TryAgain) as caught:
        AppriseNotifier("c", URLS[service]).send(message(), key="k1")
    assert caught.value.retry_after_s == 42


def test_a_torn_connection_is_tried_again(chat_world, service):
    chat_world.default = Reply(reset=True)
    with pytest.raises(TryAgain):
        AppriseNotifier("c", URLS[service]).send(message(), key="k1")


def test_a_service_that_hangs_is_given_up_after_its_time_limit(chat_world, service):
    chat_world.default = Reply(hang_s=60)
    started = time.monotonic()
    with pytest.raises(TryAgain):
        AppriseNotifier("c", URLS[service] + "?rto=0.3").send(message(), key="k1")
    assert time.monotonic() - started < 30  # of the 60 that it would have hung


def test_no_secret_is_in_an_error_or_in_the_logs(chat_world, service, caplog):
    caplog.set_level(logging.DEBUG)
    notifier = AppriseNotifier("c", URLS[service])
    said = []
    for reply in (
        Reply(403, f"the token {SECRETS[service]} is wrong"),
        Reply(500),
        Reply(reset=True),
        OK[service],
    ):
        chat_world.replies.append(reply)
        try:
            notifier.send(message(), key="k1")
        except (Refused, TryAgain) as fault:
            said.append(str(fault))
    assert len(said) == 3
    everything = "\n".join(said) + caplog.text + repr(notifier)
    assert [s for s in SECRETS[service] if s in everything] == []
    logging.getLogger("apprise").warning("other uses of the library still log")
    assert "other uses" in caplog.text


def test_an_unreachable_host_is_tried_again(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(TryAgain):
        AppriseNotifier("c", f"json://127.0.0.1:{port}/").send(message(), key="k1")


def test_a_json_receiver_gets_the_key_in_a_header(receiver):
    AppriseNotifier("c", receiver.url.replace("http", "json")).send(message(), key="k1")
    (request,) = receiver.received
    assert request.headers["Idempotency-Key"] == "k1"
    assert request.json["type"] == "failure"


def test_a_mail_has_html_and_text_the_chart_and_the_key(mailbox):
    url = f"mailto://{mailbox.host}:{mailbox.port}?from=watch@example.org&to=ann@example.org&mode=insecure"
    chart = series_line(
        [{"at": "2026-03-01T00:00:00Z", "value": 0.1}, {"at": "2026-03-02T00:00:00Z", "value": 0.3}],
        title="PSI",
    )
    AppriseNotifier("c", url).send(message(chart=chart), key="k1")
    (mail,) = mailbox.mails
    assert mail["Subject"] == "[critical] churn: PSI of <!channel> is 0.31"
    assert mail["X-Watchkeeper-Key"] == "k1"
    html = mail.get_body(("html",)).get_content()
    text = mail.get_body(("plain",)).get_content()
    assert "&lt;!channel&gt;" in html
    assert "Since when" in html
    assert "Since when" in text
    (picture,) = [part for part in mail.walk() if part.get_content_type() == "image/png"]
    assert picture.get_content()[:4] == b"\x89PNG"
    assert f'src="cid:{picture["Content-ID"].strip("<>")}"' in html
    assert mail.get_content_type() == "multipart/related"


def test_a_columns_name_adds_no_header_and_no_markup_to_a_mail(mailbox):
    url = f"mailto://{mailbox.host}:{mailbox.port}?from=watch@example.org&to=ann@example.org&mode=insecure"
    forged = evil_message()
    AppriseNotifier("c", url).send(
        {**forged, "title": forged["title"] + "\r\nBcc: eve@example.org"}, key="k1"
    )
    (mail,) = mailbox.mails
    assert (mail["Bcc"], mail["To"]) == (None, "ann@example.org")
    html = mail.get_body(("html",)).get_content()
    assert "<script" not in html
    assert "&lt;script&gt;x&lt;/script&gt; What was done: all is well" in html


def test_a_mail_in_plain_text_uses_our_own_text(mailbox):
    url = f"mailto://{mailbox.host}:{mailbox.port}?from=watch@example.org&to=ann@example.org&mode=insecure&format=text"
    AppriseNotifier("c", url).send(message(), key="k1")
    text = mailbox.mails[0].get_body(("plain",)).get_content()
    assert "What changed: PSI of <!channel> went from 0.02" in text


@pytest.mark.parametrize(("reply", "fault"), [("550 no such user", Refused), ("451 try later", TryAgain)])
def test_a_mail_server_says_whether_to_try_again(mailbox, reply, fault):
    mailbox.refuse = reply
    url = f"mailto://{mailbox.host}:{mailbox.port}?from=watch@example.org&to=ann@example.org&mode=insecure"
    with pytest.raises(fault):
        AppriseNotifier("c", url).send(message(), key="k1")


def test_a_url_that_apprise_does_not_know_fails_at_load_without_telling_the_secret():
    with pytest.raises(BadConfig) as caught:
        AppriseNotifier("oncall", "slakc://verysecrettoken/abc")
    assert "oncall" in str(caught.value)
    assert "verysecrettoken" not in str(caught.value)


def test_targets_are_one_a_line():
    assert split_targets(f"{SLACK}\n\n# nights\n{PAGER} {TWILIO}") == [SLACK, PAGER, TWILIO]
