"""The post-mortem, written from the timeline: what happened, what it cost, what was learnt, what is still to do.

It blames nobody: it names what people did, not what they should have known. What nobody has written yet (the cause,
a lesson) is asked for in its place, so that a draft shows what is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from watchkeeper.documents.incident.incident_page import incident_view, timeline_lines
from watchkeeper.domain.incident import Incident, Similar

if TYPE_CHECKING:
    from jinja2 import Environment


_SPECIAL = str.maketrans({"<": "&lt;", ">": "&gt;", "&": "&amp;", **{c: f"\\{c}" for c in "\\`*_{}[]#|~"}})


def postmortem_markdown(incident: Incident, *, project: str = "", similar: Sequence[Similar] = ()) -> str:
    """The document as Markdown. What people wrote is text in it, never markup."""
    return _render("postmortem.md.j2", incident, project, similar)


def postmortem_html(incident: Incident, *, project: str = "", similar: Sequence[Similar] = ()) -> str:
    """The document as one HTML page that needs nothing else."""
    return _render("postmortem.html.j2", incident, project, similar)


def _render(template: str, incident: Incident, project: str, similar: Sequence[Similar]) -> str:
    view = incident_view(incident, similar)
    told = timeline_lines(incident, without_automatic=True)
    numbers = {e.number for e in told}
    automatic = len(incident.timeline) - len(told)
    if len(told) < 3:
        numbers, automatic = {e.number for e in incident.timeline}, 0
    view["timeline"] = [e for e in view["timeline"] if e["number"] in numbers]
    return (
        _environment()
        .get_template(template)
        .render(i=view, project=project, automatic=automatic, style=_style())
        .strip()
        + "\n"
    )


@cache
def _style() -> str:
    return Path(__file__).with_name("templates").joinpath("postmortem.css").read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=select_autoescape(("html", "html.j2"), default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["md"] = lambda text: " ".join(str(text).split()).translate(_SPECIAL)
    environment.filters["style"] = Markup  # our own style sheet, the only thing that is not escaped
    return environment
