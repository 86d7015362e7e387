"""``watchkeeper incidents``: from the first sign to the last follow-up."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from watchkeeper.cli.alerts import moment
from watchkeeper.cli.project import opened, project_option
from watchkeeper.cli.terminal import json_option, print_json, print_table, print_wrapped

if TYPE_CHECKING:
    from watchkeeper.domain.incident import Incident, Phase


def actor_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--as``: who does it."""
    return click.option("--as", "actor", default="", help="Your name (default: the login name).")(command)


def at_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--at``: when it happened, for what is told afterwards."""
    return click.option(
        "--at", help='When it happened, such as "2026-01-31T22:00Z" or "2h" ago (default: now).'
    )(command)


@click.group()
def incidents() -> None:
    """Incidents: what happened, who does what, and what was learnt."""


@incidents.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those that are over.")
@click.option("--model", help="Only of this model.")
@click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(min=1), help="At most this many."
)
@click.option("--follow-ups", is_flag=True, help="Follow-ups that nobody has done yet, instead.")
@click.option("--figures", is_flag=True, help="Mean times to detect, acknowledge and resolve, instead.")
@project_option
@json_option
def list_incidents(
    everything: bool,
    model: str | None,
    limit: int,
    follow_ups: bool,
    figures: bool,
    project: Path,
    as_json: bool,
) -> int:
    """List incidents, what is open and grave first. Exit status 1: at least one is open."""
    from watchkeeper.documents.incident.incident_page import duration_said, incident_view
    from watchkeeper.loop.incidents.follow import incidents_of
    from watchkeeper.loop.incidents.incidents import OPEN

    with opened(project) as watch:
        held = incidents_of(watch)
        if figures:
            found = held.figures(model=model)
            if as_json:
                print_json(found)
            else:
                for name, word in (("mttd", "detect"), ("mtta", "acknowledge"), ("mttr", "resolve")):
                    said, count = duration_said(found[f"{name}_s"]), found[f"{name}_of"]
                    click.echo(
                        f"Mean time to {word:<12}{said:>14}   of {count} incident{'s' if count != 1 else ''}"
                    )
            return 0
        if follow_ups:
            left = held.follow_ups()
            if as_json:
                print_json(
                    [
                        {
                            "incident": i.number,
                            "task": t.number,
                            "text": t.text,
                            "owner": t.owner,
                            "due": t.due,
                        }
                        for i, t in left
                    ]
                )
            elif left:
                rows = [
                    (
                        f"{i.number}.{t.number}",
                        t.owner,
                        f"{t.due:%Y-%m-%d}" if t.due else "",
                        i.number,
                        t.text,
                    )
                    for i, t in left
                ]
                print_table(("follow-up", "owner", "due", "incident", "to do"), rows, below=4)
            else:
                click.echo("There are none.")
            return 1 if left else 0
        listed = held.find(states=() if everything else OPEN, model=model, limit=limit)
    if as_json:
        print_json([incident_view(i) for i in listed])
    elif not listed:
        click.echo("There are none." if everything else "None is open.")
    else:
        table = [
            (
                i.number,
                i.severity.value,
                i.phase.value,
                i.model,
                i.owner,
                f"{i.detected_at:%Y-%m-%d %H:%M}",
                len(i.alerts),
                i.title,
            )
            for i in listed
        ]
        print_table(
            ("no.", "severity", "phase", "model", "owner", "detected (UTC)", "alerts", "title"),
            table,
            right=(0, 6),
            below=7,
        )
    return 1 if any(i.phase.is_open for i in listed) else 0


@incidents.command()
@click.argument("number")
@click.option("--pinned", is_flag=True, help="Only pinned lines of the timeline.")
@project_option
@json_option
def show(number: str, pinned: bool, project: Path, as_json: bool) -> None:
    """Show one incident: where it stands, its timeline, tasks, and similar ones of the past."""
    from watchkeeper.documents.incident.incident_page import incident_view
    from watchkeeper.loop.incidents.follow import incidents_of

    with opened(project) as watch:
        held = incidents_of(watch)
        incident = held.get(number)
        view = incident_view(incident, held.similar(number))
    if as_json:
        print_json(view)
        return
    print_wrapped(f"Incident {view['number']}: {view['title']}")
    parts = (
        view["severity"],
        view["phase"],
        view["model"] and f"model {view['model']}",
        view["owner"] and f"owner {view['owner']}",
    )
    click.echo(", ".join(p for p in parts if p))
    print_wrapped(
        f"Began {view['started_at']}, detected {view['detected_at']}; "
        f"to acknowledge: {view['to_acknowledge']}, to resolve: {view['to_resolve']}"
    )
    if view["merged_into"]:
        click.echo(f"It goes on as incident {view['merged_into']}.")
    for title, lines in (("Assessment", view["assessment"]), ("Learnt", view["lessons"])):
        if lines:
            click.echo(f"\n{title}")
            for line in lines:
                print_wrapped(line, indent="  ")
    click.echo("\nTimeline")
    for e in view["timeline"]:
        if e["pinned"] or not pinned:
            hang = f"{e['number']:>3}{'*' if e['pinned'] else ' '} {e['at']}  "
            print_wrapped(f"{e['actor']}: {e['text']}", indent="  ", hang=hang)
    for title, tasks in (("Tasks", view["tasks"]), ("Follow-ups", view["follow_ups"])):
        if tasks:
            click.echo(f"\n{title}")
            for t in tasks:
                owner = f" ({t['owner']})" if t["owner"] else ""
                hang = f"[{'x' if t['done'] else ' '}] {t['number']}. "
                print_wrapped(f"{t['text']}{owner}", indent="  ", hang=hang)
    if view["similar"]:
        click.echo("\nSimilar incidents")
        for s in view["similar"]:
            cause = f"; {s['cause']}" if s["cause"] else ""
            print_wrapped(
                f"{s['title']} ({s['likeness']:.0%} alike){cause}", indent="  ", hang=f"{s['number']}: "
            )


@incidents.command("open")
@click.argument("title")
@click.option("--model", default="", help="The model that it is about.")
@click.option(
    "--severity",
    type=click.Choice(["notice", "warning", "critical"]),
    default="warning",
    show_default=True,
    help="How grave it is.",
)
@click.option("--since", help='When the trouble began, such as "2h" ago.')
@actor_option
@project_option
@json_option
def open_incident(
    title: str, model: str, severity: str, since: str | None, actor: str, project: Path, as_json: bool
) -> None:
    """Open an incident by hand."""
    from watchkeeper.domain.rule import Severity
    from watchkeeper.loop.incidents.follow import incidents_of

    with opened(project) as watch:
        if model:
            watch.model(model)
        made = incidents_of(watch).open(
            title,
            actor=_actor(actor),
            severity=Severity(severity),
            model=model,
            started_at=None if since is None else moment(since),
        )
    _said(made, as_json, f"Incident {made.number} is open.")


def _phase_command(name: str, phase: str, sentence: str) -> click.Command:
    @incidents.command(name, help=sentence)
    @click.argument("number")
    @click.argument("text", required=False, default="")
    @at_option
    @actor_option
    @project_option
    @json_option
    def command(number: str, text: str, at: str | None, actor: str, project: Path, as_json: bool) -> None:
        from watchkeeper.decisions.incidents.incidents import phase_of
        from watchkeeper.loop.incidents.follow import incidents_of

        to: Phase = phase_of(phase)
        with opened(project) as watch:
            made = incidents_of(watch).enter(
                number, to, actor=_actor(actor), text=text, at=None if at is None else moment(at)
            )
        _said(made, as_json, f"Incident {made.number}: {to.value.replace('_', '-')}.")
        if not as_json and phase == "assessment":
            for line in made.assessment.get("sentences", ()):
                click.echo(f"  {line}")

    return command


_phase_command(
    "assess", "assessment", "Begin the assessment of incident NUMBER; its first draft writes itself."
)
_phase_command("mitigate", "mitigation", "The harm of incident NUMBER is being limited; TEXT says how.")
_phase_command("resolve", "resolution", "Incident NUMBER is resolved; TEXT says how.")
_phase_command("close", "closed", "Close incident NUMBER. Follow-ups stay open until they are done.")


@incidents.command()
@click.argument("number")
@click.argument("text")
@click.option("--pin", is_flag=True, help="Pin it: it stands in summaries.")
@click.option("--lesson", is_flag=True, help="It is something learnt: shown when a similar alert fires.")
@click.option("--cause", is_flag=True, help="It is the cause.")
@at_option
@actor_option
@project_option
@json_option
def note(
    number: str,
    text: str,
    pin: bool,
    lesson: bool,
    cause: bool,
    at: str | None,
    actor: str,
    project: Path,
    as_json: bool,
) -> None:
    """Add a line to the timeline of incident NUMBER, a lesson, or its cause."""
    from watchkeeper.loop.incidents.follow import incidents_of

    who = _actor(actor)
    when = None if at is None else moment(at)
    with opened(project) as watch:
        held = incidents_of(watch)
        if cause:
            made = held.find_cause(number, text, actor=who)
        elif lesson:
            made = held.learn(number, text, actor=who)
        else:
            made = held.note(number, text, actor=who, at=when, pin=pin)
    _said(made, as_json, "Noted.")


@incidents.command()
@click.argument("number")
@click.option("--owner", help="Who owns it.")
@click.option("--role", nargs=2, metavar="ROLE PERSON", help='Who does what, such as "scribe bob".')
@click.option("--severity", type=click.Choice(["notice", "warning", "critical"]), help="How grave it is.")
@click.option("--title", help="A better title.")
@click.option("--pin", type=int, help="Pin this line of the timeline.")
@click.option("--unpin", type=int, help="Take the pin off this line.")
@actor_option
@project_option
@json_option
def assign(
    number: str,
    owner: str | None,
    role: tuple[str, str] | None,
    severity: str | None,
    title: str | None,
    pin: int | None,
    unpin: int | None,
    actor: str,
    project: Path,
    as_json: bool,
) -> None:
    """Say who does what in incident NUMBER, how grave it is, what it is called."""
    from watchkeeper.domain.rule import Severity
    from watchkeeper.loop.incidents.follow import incidents_of

    who = _actor(actor)
    with opened(project) as watch:
        held = incidents_of(watch)
        made = held.get(number)
        if any(v is not None for v in (owner, role, severity, title)):
            made = held.assign(
                number,
                actor=who,
                owner=owner,
                roles=dict([role]) if role else None,
                severity=None if severity is None else Severity(severity),
                title=title,
            )
        for line, on in ((pin, True), (unpin, False)):
            if line is not None:
                made = held.pin(number, line, actor=who, on=on)
    _said(made, as_json, "Done.")


@incidents.command()
@click.argument("number")
@click.argument("text", required=False, default="")
@click.option("--follow-up", is_flag=True, help="It stays open after the incident, until it is done.")
@click.option("--owner", default="", help="Who does it.")
@click.option("--due", help='By when, such as "2026-02-28".')
@click.option("--done", type=int, help="This task is done, instead of adding one.")
@actor_option
@project_option
@json_option
def task(
    number: str,
    text: str,
    follow_up: bool,
    owner: str,
    due: str | None,
    done: int | None,
    actor: str,
    project: Path,
    as_json: bool,
) -> None:
    """Add a task TEXT to incident NUMBER, or say that one is done."""
    from watchkeeper.loop.incidents.follow import incidents_of

    who = _actor(actor)
    with opened(project) as watch:
        held = incidents_of(watch)
        if done is not None:
            made = held.finish_task(number, done, actor=who)
        else:
            until = None if due is None else moment(due, ahead=True)
            made = held.add_task(number, text, actor=who, owner=owner, due=until, follow_up=follow_up)
    _said(
        made, as_json, "Done." if done is not None else f"Task {len(made.tasks)} of incident {made.number}."
    )


@incidents.command()
@click.argument("into")
@click.argument("other")
@actor_option
@project_option
@json_option
def merge(into: str, other: str, actor: str, project: Path, as_json: bool) -> None:
    """Make incident OTHER part of incident INTO."""
    from watchkeeper.loop.incidents.follow import incidents_of

    with opened(project) as watch:
        made = incidents_of(watch).merge(into, other, actor=_actor(actor))
    _said(made, as_json, f"Incident {other} is part of incident {made.number} now.")


@incidents.command()
@click.argument("number")
@click.option(
    "--html", type=click.Path(path_type=Path, dir_okay=False), help="Write an HTML page to this file."
)
@click.option("--md", type=click.Path(path_type=Path, dir_okay=False), help="Write Markdown to this file.")
@click.option("--begin", is_flag=True, help="Begin the post-mortem of a resolved incident.")
@actor_option
@project_option
@json_option
def postmortem(
    number: str, html: Path | None, md: Path | None, begin: bool, actor: str, project: Path, as_json: bool
) -> None:
    """Write the post-mortem of incident NUMBER from its timeline: Markdown on stdout, or files."""
    from watchkeeper.documents.incident.postmortem import postmortem_html, postmortem_markdown
    from watchkeeper.domain.incident import Phase
    from watchkeeper.loop.incidents.follow import incidents_of

    with opened(project) as watch:
        held = incidents_of(watch)
        if begin:
            held.enter(number, Phase.POST_MORTEM, actor=_actor(actor))
        incident, similar = held.get(number), held.similar(number)
        name = watch.config.project.name
    if html is not None:
        html.write_text(postmortem_html(incident, project=name, similar=similar), encoding="utf-8")
    if md is not None:
        md.write_text(postmortem_markdown(incident, project=name, similar=similar), encoding="utf-8")
    if as_json:
        from watchkeeper.documents.incident.incident_page import incident_view

        print_json(incident_view(incident, similar))
    elif html is None and md is None:
        click.echo(postmortem_markdown(incident, project=name, similar=similar), nl=False)


def _actor(given: str) -> str:
    return given or getpass.getuser()


def _said(incident: Incident, as_json: bool, sentence: str) -> None:
    if as_json:
        from watchkeeper.documents.incident.incident_page import incident_view

        print_json(incident_view(incident))
    else:
        click.echo(sentence)
