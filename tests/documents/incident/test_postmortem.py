"""The post-mortem says what happened, in order, and asks for what nobody has written yet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest

from watchkeeper.decisions.incidents.incidents import (
    assigned,
    enter,
    noted,
    opened,
    task_added,
    task_done,
    with_lesson,
)
from watchkeeper.documents.incident.incident_page import incident_view, timeline_lines
from watchkeeper.documents.incident.postmortem import postmortem_html, postmortem_markdown
from watchkeeper.domain.incident import Phase
from watchkeeper.domain.rule import Severity

T0 = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
EVIL = "<script>alert(1)</script> **bold** | [x](http://y)"


@pytest.fixture
def incident():
    new = opened(
        7,
        title=f"Scores fell {EVIL}",
        severity=Severity.CRITICAL,
        at=T0,
        actor="watchkeeper",
        model="churn",
        started_at=T0 - HOUR,
    )
    new = noted(new, "ann looked at the join", now=T0 + HOUR / 2, actor="ann", pin=True)
    for i, phase in enumerate((Phase.ASSESSMENT, Phase.MITIGATION, Phase.RESOLUTION), 1):
        new = enter(new, phase, now=T0 + i * HOUR, actor="bob")
    new = assigned(
        new,
        now=T0 + 4 * HOUR,
        actor="ann",
        owner="ann",
        role="scribe",
        person="bob",
        cause=f"A join lost rows {EVIL}",
    )
    new = with_lesson(new, f"Check row counts {EVIL}", now=T0 + 4 * HOUR, actor="ann")
    new = task_added(
        new,
        "add a row count check",
        now=T0 + 4 * HOUR,
        actor="ann",
        follow_up=True,
        owner="bob",
        due=T0 + 90 * HOUR,
    )
    new = task_added(new, "tell the team", now=T0 + 4 * HOUR, actor="ann", follow_up=True)
    return task_done(new, 2, now=T0 + 5 * HOUR, actor="ann")


def test_holds_times_cause_timeline_lessons_and_follow_ups(incident):
    for text in (postmortem_markdown(incident, project="shop"), postmortem_html(incident, project="shop")):
        for part in (
            "after 1 h",
            "after 30 min",
            "after 3 h",
            "A join lost rows",
            "ann looked at the join",
            "Check row counts",
            "add a row count check",
            "scribe",
        ):
            assert part in text
        order = [text.index(h) for h in ("What happened", "Cause", "Timeline", "Lessons", "Follow-ups")]
        assert order == sorted(order)
    assert "- [ ] 1. add a row count check (bob), due 2026-03-04 18:00 UTC" in postmortem_markdown(incident)
    assert "- [x] 2. tell the team, done by ann" in postmortem_markdown(incident)


def test_what_people_wrote_is_text_and_never_markup(incident):
    assert "<script" not in postmortem_html(incident)
    markdown = postmortem_markdown(incident)
    assert "<script" not in markdown
    assert "**bold**" not in markdown
    assert "[x](" not in markdown


def test_the_page_needs_nothing_from_outside(incident):
    class Links(HTMLParser):
        found = []

        def handle_starttag(self, tag, attrs):
            self.found += [v for k, v in attrs if k in ("src", "href")]

    parser = Links()
    parser.feed(postmortem_html(incident))
    assert parser.found == ["data:,"]


def test_a_draft_asks_for_what_is_missing():
    new = opened(1, title="x", severity=Severity.WARNING, at=T0, actor="ann")
    text = postmortem_markdown(new)
    assert "what made this possible?" in text
    assert "What should" in text or "what should" in text
    assert "not yet" in text


def test_automatic_lines_are_counted_and_pinned_ones_stay(incident):
    from dataclasses import replace

    for i in range(50):
        incident = noted(incident, f"auto {i}", now=T0 + 6 * HOUR, actor="watchkeeper", pin=i == 0)
    text = postmortem_markdown(incident)
    assert "auto 0" in text
    assert "auto 7" not in text
    assert "50 automatic lines are left out" in text
    lines = timeline_lines(replace(incident, timeline=tuple(reversed(incident.timeline))))
    assert [e.at for e in lines] == sorted(e.at for e in lines)


def test_the_view_is_plain_json(incident):
    import json

    view = json.loads(json.dumps(incident_view(incident)))
    assert [p["name"] for p in view["phases"] if p["now"]] == ["resolution"]
    assert view["durations"]["to_resolve_s"] == 10_800
