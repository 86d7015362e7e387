"""``watchkeeper runbooks``: what to do about an alert, and doing it step by step."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from watchkeeper.cli.project import opened, project_option
from watchkeeper.cli.terminal import json_option, pairs, print_json, print_table

if TYPE_CHECKING:
    from watchkeeper.documents.incident.runbook import RunbookCommand
    from watchkeeper.loop.incidents.runbooks import RunbookRun


@click.group()
def runbooks() -> None:
    """Runbooks: Markdown with steps, some of which Watchkeeper can do."""


@runbooks.command("list")
@project_option
@json_option
def list_runbooks(project: Path, as_json: bool) -> None:
    """List runbooks: the project's own (folder runbooks/) and those that ship with the package."""
    from watchkeeper.wiring.telling import runbooks_of

    with opened(project) as watch:
        books = runbooks_of(watch)
        own = books.own()
        every = books.all()
    if as_json:
        print_json(
            [
                {"name": n, "title": b.title, "own": n in own, "steps": len(b.steps)}
                for n, b in sorted(every.items())
            ]
        )
        return
    print_table(
        ("runbook", "title", "steps", ""),
        [(n, b.title, len(b.steps), "your own" if n in own else "") for n, b in sorted(every.items())],
        right=(2,),
    )


@runbooks.command()
@click.argument("name")
@project_option
@json_option
def show(name: str, project: Path, as_json: bool) -> None:
    """Show the runbook NAME as it is written."""
    from watchkeeper.wiring.telling import runbooks_of

    with opened(project) as watch:
        book = runbooks_of(watch).get(name)
    if as_json:
        steps = [
            {"step": s.number, "title": s.title, "text": s.text, "commands": [c.text for c in s.commands]}
            for s in book.steps
        ]
        print_json({"name": book.name, "title": book.title, "text": book.text, "steps": steps})
    else:
        click.echo(book.source, nl=False)


@runbooks.command()
@click.argument("name")
@click.option("--like", default="drift", show_default=True, help="Begin with a copy of this one.")
@project_option
@json_option
def new(name: str, like: str, project: Path, as_json: bool) -> None:
    """Write a runbook of your own, NAME, into the folder runbooks/ of the project."""
    from watchkeeper.wiring.telling import runbooks_of

    with opened(project) as watch:
        file = runbooks_of(watch).new(name, like=like)
    if as_json:
        print_json({"name": name, "file": str(file)})
    else:
        click.echo(f"{file} is yours to change.")


@runbooks.command()
@click.argument("name")
@click.option("--alert", default="", help="The alert that it is run for, or the beginning of its name.")
@click.option("--incident", help="The number of the incident that it is run for.")
@click.option("--step", "steps", multiple=True, type=int, help="Only this step; may be given several times.")
@click.option("--set", "values", multiple=True, metavar="NAME=VALUE", help="Fill in a placeholder by hand.")
@click.option("--yes", is_flag=True, help="Do not ask before each command.")
@click.option("--as", "actor", default="", help="Your name (default: the login name).")
@project_option
@json_option
def run(
    name: str,
    alert: str,
    incident: str | None,
    steps: tuple[int, ...],
    values: tuple[str, ...],
    yes: bool,
    actor: str,
    project: Path,
    as_json: bool,
) -> int:
    """Run the commands of the runbook NAME, step by step. Exit status 1: it stopped half-way."""
    from watchkeeper.wiring.telling import runbooks_of

    with opened(project) as watch:
        record = runbooks_of(watch).run(
            name,
            actor=actor or getpass.getuser(),
            alert=alert,
            incident=incident,
            values=pairs(values, "set"),
            steps=steps,
            confirm=_confirm(yes),
        )
    return _say(record, as_json)


@runbooks.command()
@click.argument("run")
@click.option("--yes", is_flag=True, help="Do not ask before each command.")
@click.option("--as", "actor", default="", help="Your name (default: the login name).")
@project_option
@json_option
def resume(run: str, yes: bool, actor: str, project: Path, as_json: bool) -> int:
    """Go on with the RUN of a runbook that stopped, from the command where it did."""
    from watchkeeper.wiring.telling import runbooks_of

    with opened(project) as watch:
        record = runbooks_of(watch).resume(run, actor=actor or getpass.getuser(), confirm=_confirm(yes))
    return _say(record, as_json)


@runbooks.command()
@click.option("--limit", default=50, show_default=True, type=click.IntRange(min=1), help="At most this many.")
@project_option
@json_option
def runs(limit: int, project: Path, as_json: bool) -> None:
    """List runs: which runbook, who, when, and what came of it."""
    from watchkeeper.wiring.telling import runbooks_of

    with opened(project) as watch:
        records = runbooks_of(watch).records(limit=limit)
    if as_json:
        print_json([r.view() for r in records])
        return
    if not records:
        click.echo("There are none.")
        return
    rows = [
        (
            r.key,
            r.runbook,
            r.state,
            r.incident,
            f"{r.started_at:%Y-%m-%d %H:%M}",
            r.actor,
        )
        for r in records
    ]
    print_table(("run", "runbook", "state", "incident", "started (UTC)", "by"), rows)


def _confirm(yes: bool):  # type: ignore[no-untyped-def]
    """Ask on a terminal; elsewhere nobody can answer, so ``--yes`` must have been said."""
    if not yes and not sys.stdin.isatty():
        from watchkeeper.errors import BadInput

        raise BadInput("Nobody is here to be asked before each command.", "Say --yes to run them all.")

    def ask(command: RunbookCommand, words: Sequence[str]) -> bool:
        import shlex

        return yes or click.confirm(f"Run  {shlex.join((command.verb, *words))} ?", default=True)

    return ask


def _say(record: RunbookRun, as_json: bool) -> int:
    if as_json:
        print_json(record.view())
    else:
        for c in record.commands:
            said = f": {c['result']}" if c.get("result") else ""
            click.echo(f"  {c['state']:<8} step {c['step']}, {c['command']}{said}")
        if not record.commands:
            click.echo("It has no commands: its steps are for people.")
        if record.state != "done":
            click.echo(f"It stopped. Go on when it is mended:  watchkeeper runbooks resume {record.key}")
            failed = next((c["step"] for c in record.commands if c["state"] == "failed"), None)
            if failed is not None:
                whom = "".join(f" --{k} {v}" for k in ("incident", "alert") if (v := getattr(record, k)))
                click.echo(
                    "It goes on with the text as it was. With a changed one, run that step anew:\n"
                    f"  watchkeeper runbooks run {record.runbook} --step {failed}{whom}"
                )
    return 0 if record.state == "done" else 1
