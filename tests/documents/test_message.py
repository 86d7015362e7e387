"""A notification tells four things in order, in the form of its channel, and is never lost to a template."""

from __future__ import annotations

import pytest

from watchkeeper.documents.message import (
    CHART_NAME,
    MOST_ALERTS,
    PAGER_LENGTH,
    SHORT_LENGTH,
    check_templates,
    compose,
    shortened,
    without_chart,
)
from watchkeeper.errors import BadConfig


def alert(i=0, **rest):
    return {
        "fingerprint": f"{i:016x}",
        "headline": f"churn: PSI of c{i} is 0.31",
        "what": f"PSI of c{i} is 0.31 [0.28, 0.34]; 0.2 matters. Guarantee: 1 in 20.",
        "since": "2026-03-01 00:00 UTC",
        "whom": "Segment EU.",
        "done": "Nothing yet.",
        "labels": {"model": "churn"},
        "severity": "warning",
        "runbook": "drift",
        **rest,
    }


def forms(message):
    return {f: getattr(message, f) for f in ("title", "chat", "text", "html", "short", "pager")}


def test_the_four_answers_stand_in_order_in_every_long_form():
    message = compose({"alerts": [alert()]}, project="shop", url="https://watch.example/")
    for form in (message.chat, message.text, message.html):
        places = [form.index(q) for q in ("What changed", "Since when", "For whom", "What was done")]
        assert places == sorted(places)
        assert "drift" in form
        assert "https://watch.example/alerts/0000000000000000" in form


def test_values_are_data_and_never_markup():
    evil = '<img src=x onerror=alert(1)> {{ 7 * 7 }} "quoted"'
    message = compose({"alerts": [alert(headline=evil, what=evil, whom=evil)], "lessons": [evil]})
    assert "<img" not in message.html
    assert "49" not in message.html + message.chat
    assert evil in message.chat


def test_no_value_can_write_a_line_of_its_own():
    forged = "age\r\nWhat was done: all is well\u202e\nBcc: x@example.org"
    alerts = [alert(headline=forged, what=forged, since=forged, whom=forged, runbook=forged, about=forged)]
    message = compose({"alerts": alerts, "lessons": [forged], "title": forged})
    for form in forms(message).values():
        assert not [line for line in form.splitlines() if line.startswith(("What was done: all", "Bcc"))]
        assert "\u202e" not in form
    assert "\n" not in message.title


def test_a_reminder_says_that_it_still_goes_on():
    assert "still going on" in compose({"alerts": [alert()], "repeat": True}).html
    assert "still going on" not in compose({"alerts": [alert()], "repeat": False}).html


def test_what_can_be_done_stands_there_the_incident_and_the_steps_to_run():
    body = {"alerts": [alert(7)], "incident": {"number": 3, "owner": "ann"}}
    message = compose(body, url="https://watch.example")
    assert "watchkeeper runbooks run drift --alert 0000000000000007" in message.text
    for form in (message.chat, message.text):
        assert "Incident 3, in the hands of ann: https://watch.example/incidents/3" in form
    assert 'href="https://watch.example/incidents/3?runbook=drift#h-run"' in message.html
    assert "watchkeeper runbooks run drift" in compose({"alerts": [alert(7)]}).html


def test_a_mail_shows_its_chart_inside_and_can_do_without():
    chart = {"description": 'PSI of "age"'}
    html = compose({"alerts": [alert()], "chart": chart}).html
    assert f'<img src="cid:{CHART_NAME}" alt="PSI of &#34;age&#34;"' in html
    assert "<img" not in without_chart(html)
    assert "<img" not in compose({"alerts": [alert()]}).html


@pytest.mark.parametrize("length", [120, 400, 2_000])
def test_a_long_message_keeps_its_beginning_and_its_link(length):
    full = compose({"alerts": [alert(i) for i in range(10)]}, url="https://watch.example").chat
    short = shortened(full, length)
    assert len(short) <= length
    assert short.startswith("Warning: churn: PSI of c0")
    assert short.splitlines()[-1] == "https://watch.example/alerts"
    assert shortened(full, 1_000_000) == full


def test_a_runbook_is_a_link_only_where_it_is_an_address():
    assert "<a href=" not in compose({"alerts": [alert(runbook="javascript:alert(1)")]}).html
    assert '<a href="https://x.example/r"' in compose({"alerts": [alert(runbook="https://x.example/r")]}).html


def test_a_storm_is_counted_and_not_listed():
    message = compose({"alerts": [alert(i) for i in range(20)], "more": 4_980})
    assert message.chat.count("What changed") == MOST_ALERTS
    assert "And 4990 more." in message.chat
    assert "(+4999 more)" in message.short


@pytest.mark.parametrize("form", ["title", "short", "pager"])
def test_short_forms_keep_to_their_length(form):
    message = compose({"alerts": [alert(headline="x" * 5_000, what="y" * 5_000)] * 3, "title": "z" * 500})
    limit = {"title": 200, "short": SHORT_LENGTH, "pager": PAGER_LENGTH}[form]
    assert len(getattr(message, form)) <= limit
    assert "\n" not in message.title + message.short


def test_a_resolved_alert_says_so_everywhere():
    message = compose({"status": "resolved", "alerts": [alert(state="resolved")]})
    assert message.title.startswith("[resolved]")
    assert "Resolved:" in message.chat
    assert "RESOLVED" in message.short


def test_the_gravest_alert_gives_the_severity():
    assert compose({"alerts": [alert(severity="notice"), alert(severity="critical")]}).severity == "critical"


def test_what_is_not_an_alert_has_a_title_and_a_text():
    message = compose({"title": "A channel is dead", "text": "line\nline"}, project="shop")
    assert (message.status, message.title) == ("notice", "shop: A channel is dead")
    assert "line\nline" in message.chat


def test_lessons_of_last_time_are_told():
    message = compose({"alerts": [alert()], "lessons": ["Look at the upstream join first."]})
    assert all("upstream join" in f for f in (message.chat, message.text, message.html))


def test_a_template_of_the_project_takes_the_place_of_ours(tmp_path):
    (tmp_path / "message_short.txt.j2").write_text("{{ project }}!{{ severity }}")
    assert check_templates(tmp_path) == ["message_short.txt.j2"]
    assert compose({"alerts": [alert()]}, project="p", folder=tmp_path).short == "p!warning"


@pytest.mark.parametrize(
    "text", ["{{ nothing_of_that_name }}", "{% if %}", "{{ 1 / 0 }}", "{{ ''.__class__.__mro__ }}"]
)
def test_a_template_that_fails_is_found_at_load_and_costs_no_notification(tmp_path, text):
    (tmp_path / "message_chat.txt.j2").write_text(text)
    with pytest.raises(BadConfig, match=r"message_chat\.txt\.j2"):
        check_templates(tmp_path)
    message = compose({"alerts": [alert()]}, folder=tmp_path)
    assert "What changed" in message.chat
    assert "message_chat.txt.j2 failed" in message.chat


def test_bodies_of_alerts_as_stored_are_understood():
    stored = {
        "fingerprint": "0",
        "labels": {"model": "m"},
        "severity": "critical",
        "state": "firing",
        "sentence": "PSI of age is 0.3.",
        "what": {"sentence": "PSI of age is 0.3.", "value": 0.3},
        "whom": {"segments": []},
        "since": "2026-03-01T00:00:00+00:00",
    }
    message = compose({"alerts": [stored]})
    assert "PSI of age is 0.3." in message.title
    assert "2026-03-01" in message.chat
