"""A notification in words: one content, and a form for each kind of channel.

Every alert answers four things in this order: what changed, since when, for whom, what was done about it. A chat
gets short lines, a mail HTML and text, a phone one line, a pager a summary with details. Values are data, never
markup: what looks like HTML in a column's name arrives as those characters.

A project may put templates of its own, with the names below, into a folder; one that fails is told of in the
message itself, which then comes in the form that ships with the package. A notification is never lost to a template.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from watchkeeper.errors import BadConfig

if TYPE_CHECKING:
    from jinja2 import Environment


TEMPLATES = {
    "title": "message_title.txt.j2",
    "chat": "message_chat.txt.j2",
    "text": "message_mail.txt.j2",
    "html": "message_mail.html.j2",
    "short": "message_short.txt.j2",
    "pager": "message_pager.txt.j2",
}
"""Form -> its template."""
CHART_NAME = "chart.png"
"""The picture's name as an attachment; the mail's HTML shows it as ``cid:chart.png``."""
MOST_ALERTS = 10
"""Alerts that a message tells of one by one; the others are counted."""
SHORT_LENGTH = 300
"""Characters of a text message: two segments of GSM 7-bit."""
TITLE_LENGTH = 200
PAGER_LENGTH = 1024
"""PagerDuty's limit of a summary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What a notifier is handed: every form of the same content; it takes the one that its channel shows."""

    title: str
    chat: str
    text: str
    html: str
    short: str
    pager: str
    severity: str = "notice"
    """``critical``, ``warning`` or ``notice``."""
    status: str = "firing"
    """``firing``, ``resolved``, or ``notice`` for what is not an alert."""
    urgency: str = ""
    """``high``, ``normal`` or ``low``; empty for what is not an alert."""
    group: str = ""
    """The same for all messages of one thing: where a resolve finds what it resolves."""
    link: str = ""
    chart: Mapping[str, Any] | None = None
    """A Vega-Lite spec (`documents.charts`); None where there is nothing to draw."""
    alerts: tuple[Mapping[str, Any], ...] = ()
    body: Mapping[str, Any] = field(default_factory=dict)
    """What was asked for, for receivers that are programs."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, as a `Notifier` takes them."""
        out = {name: getattr(self, name) for name in self.__slots__}
        out["alerts"] = [dict(a) for a in self.alerts]
        return out


def compose(
    body: Mapping[str, Any], *, project: str = "watch", url: str = "", folder: str | Path | None = None
) -> Message:
    """Put an outbox entry into words.

    Parameters
    ----------
    body : ``title`` and ``text``; or ``alerts`` with what each says (an `Alert` or the four answers of a
        `Story`), and ``status``, ``severity``, ``group``, ``more`` (how many are not listed), ``chart``, ``lessons``,
        ``incident`` (``number`` and ``owner`` of the one that the alerts belong to).
    project, url : the project's name, and where its pages are.
    folder : holds templates of the project's own.

    >>> body = {"status": "firing", "severity": "warning", "alerts": [{"headline": "PSI of age is 0.31", "labels": {}}]}
    >>> compose(body, project="churn").title
    '[warning] churn: PSI of age is 0.31'
    """
    view = _view(body, project, url)
    forms: dict[str, str] = {}
    faults: list[str] = []
    for form, name in TEMPLATES.items():
        try:
            forms[form] = _environment(folder and str(folder)).get_template(name).render(**view).strip()
        except Exception as fault:
            # A template is somebody's text: whatever it raises must not cost the notification.
            faults.append(f"The template {name} failed: {fault}")
            forms[form] = _environment(None).get_template(name).render(**view).strip()
    if faults:
        note = "\n\n(" + " ".join(faults) + ")"
        forms["chat"] += note
        forms["text"] += note
    return Message(
        title=_cut(" ".join(forms["title"].split()), TITLE_LENGTH),
        chat=forms["chat"],
        text=forms["text"],
        html=forms["html"],
        # Three dots and not "…", for which a telephone would take each letter twice as long.
        short=_cut(" ".join(forms["short"].split()), SHORT_LENGTH, "..."),
        pager=_cut(forms["pager"], PAGER_LENGTH),
        severity=view["severity"],
        status=view["status"],
        urgency=str(body.get("urgency") or ""),
        group=view["group"],
        link=view["link"],
        chart=body.get("chart"),
        alerts=tuple(body.get("alerts", ())),
        body={k: v for k, v in body.items() if k not in ("chart", "attempts")},
    )


def check_templates(folder: str | Path) -> list[str]:
    """Try every template of a project's *folder* on an example; return their names.

    Raises
    ------
    BadConfig
        one cannot be read, or fails; the file and line are named.
    """
    from jinja2 import TemplateError, TemplateSyntaxError

    example = _view(
        {
            "status": "firing",
            "severity": "warning",
            "alerts": [{"headline": "an example", "labels": {"model": "m"}}],
            "lessons": ["a lesson"],
        },
        "example",
        "http://127.0.0.1",
    )
    found = []
    for name in TEMPLATES.values():
        file = Path(folder) / name
        if not file.is_file():
            continue
        try:
            _environment(str(folder)).get_template(name).render(**example)
        except TemplateSyntaxError as cause:
            raise BadConfig(f"{file}, line {cause.lineno}: {cause.message}.") from cause
        except (TemplateError, TypeError, ValueError, ZeroDivisionError, UnicodeDecodeError) as cause:
            raise BadConfig(f"{file} fails on an example: {cause}.") from cause
        found.append(name)
    return found


def _view(body: Mapping[str, Any], project: str, url: str) -> dict[str, Any]:
    """What templates see."""
    alerts = [_alert(a) for a in body.get("alerts", ())]
    status = str(body.get("status") or ("firing" if alerts else "notice"))
    ranks = ("critical", "warning", "notice")
    severity = str(
        body.get("severity") or next((r for r in ranks if any(a["severity"] == r for a in alerts)), "notice")
    )
    shown, firing = alerts[:MOST_ALERTS], sum(a["state"] != "resolved" for a in alerts)
    more = len(alerts) - len(shown) + int(body.get("more") or 0)
    base = url.rstrip("/")
    link = str(body.get("link") or "")
    if not link and base:
        first = alerts[0]["fingerprint"] if len(alerts) == 1 else ""
        link = f"{base}/alerts/{first}" if first else f"{base}/alerts" if alerts else base
    elif link.startswith("/") and base:
        link = base + link
    return {
        "project": project,
        "url": base,
        "link": link,
        "status": status,
        "severity": severity,
        "group": str(body.get("group") or ""),
        "title": _one_line(body.get("title")),
        "text": str(body.get("text") or ""),
        "urgency": str(body.get("urgency") or ""),
        "incident": _incident(body.get("incident"), base),
        "chart_name": CHART_NAME,
        "chart_title": _one_line((body.get("chart") or {}).get("description", "")),
        "alerts": shown,
        "more": more,
        "count": len(alerts) + int(body.get("more") or 0),
        "firing": firing,
        "resolved": len(alerts) - firing,
        "lessons": [_one_line(x) for x in body.get("lessons", ())][:5],
        "reference": str(body.get("reference") or ""),
        "has_chart": bool(body.get("chart")),
        "reminder": bool(body.get("repeat")),
    }


def _alert(alert: Mapping[str, Any]) -> dict[str, Any]:
    """One alert in the words of the templates, whichever way it was written down."""
    told = alert.get("story")
    story: Mapping[str, Any] = told if isinstance(told, Mapping) else {}
    labels = {_one_line(k): _one_line(v) for k, v in (alert.get("labels") or {}).items()}
    what = alert.get("what")
    said = what.get("sentence", "") if isinstance(what, Mapping) else what
    words = {
        name: _one_line(
            story.get(name) or ("" if isinstance(alert.get(name), (Mapping, list)) else alert.get(name) or "")
        )
        for name in ("headline", "since", "whom", "done")
    }
    name = labels.get("alertname") or _one_line(alert.get("rule")) or "alert"
    words["what"] = _one_line(story.get("what") or said or alert.get("sentence"))
    words["headline"] = words["headline"] or _one_line(alert.get("sentence")) or words["what"] or name
    runbook, key = _one_line(alert.get("runbook")), str(alert.get("fingerprint") or "")
    run_it = f"watchkeeper runbooks run {runbook}" + (f" --alert {key}" if key else "")
    return {
        **words,
        "name": name,
        "labels": labels,
        "fingerprint": key,
        "severity": str(alert.get("severity") or labels.get("severity") or "notice"),
        "state": str(alert.get("state") or "firing"),
        "model": str(alert.get("model") or labels.get("model") or ""),
        "about": _one_line(alert.get("about")),
        "runbook": runbook,
        "run_it": run_it if runbook and "://" not in runbook else "",
    }


def _incident(incident: Mapping[str, Any] | None, base: str) -> dict[str, str] | None:
    if not incident or not incident.get("number"):
        return None
    number = str(incident["number"])
    return {
        "number": number,
        "owner": _one_line(incident.get("owner")),
        "link": f"{base}/incidents/{number}" if base else "",
    }


def _one_line(value: Any) -> str:
    """A value as one line of visible characters, so that no column's name can write a line of its own.

    >>> _one_line("age\\r\\nWhat was done: all is well")
    'age What was done: all is well'
    """
    text = "" if value is None else str(value)
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def shortened(text: str, length: int) -> str:
    """*text* in at most *length* characters, in whole lines: what is told first stays, and so does the link at its end.

    >>> shortened("Critical: a\\nSince when: today\\nFor whom: all\\nhttps://w.example/alerts/1", 60)
    'Critical: a\\nSince when: today\\n…\\nhttps://w.example/alerts/1'
    """
    if len(text) <= length:
        return text
    lines = text.splitlines()
    end: list[str] = []
    while lines and (not lines[-1] or lines[-1].startswith(("http://", "https://", "(reference "))):
        end.insert(0, lines.pop())
    end.insert(0, "…")
    left = length - sum(len(line) + 1 for line in end)
    kept: list[str] = []
    for line in lines:
        left -= len(line) + 1
        if left < 0:
            break
        kept.append(line)
    return _cut("\n".join((*kept, *end)) if kept else text, length)


def without_chart(html: str) -> str:
    """A mail's *html* without the place of the chart, for receivers that cannot show a picture inside."""
    return re.sub(rf'<img src="cid:{re.escape(CHART_NAME)}"[^>]*>', "", html)


def _cut(text: str, length: int, end: str = "…") -> str:
    return text if len(text) <= length else text[: length - len(end)] + end


@lru_cache(maxsize=8)
def _environment(folder: str | None) -> Environment:
    from jinja2 import FileSystemLoader, StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    shipped = str(Path(__file__).with_name("templates"))
    environment = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader([folder, shipped] if folder else [shipped]),
        autoescape=lambda name: bool(name and ".html" in name),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.clear()  # a template needs no range(10**9)
    return environment
