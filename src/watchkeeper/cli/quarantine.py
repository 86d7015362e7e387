"""``watchkeeper quarantine``: what was acknowledged and could not be stored, and how it is tried again."""

from __future__ import annotations

from pathlib import Path

import click

from watchkeeper.cli.project import opened, project_option
from watchkeeper.cli.terminal import json_option, print_json, print_table


@click.group()
def quarantine() -> None:
    """Events that could not be stored: list, replay, drop."""


@quarantine.command("list")
@click.argument("model")
@project_option
@json_option
def list_letters(model: str, project: Path, as_json: bool) -> int:
    """List what of MODEL could not be stored, and why. Exit status 1: there is something."""
    with opened(project) as watch:
        watch.model(model)
        letters = watch.lake.dead_letters(model)
    if as_json:
        keep = ("source", "sequence", "place", "at", "version", "rows", "reason")
        print_json([{name: getattr(x, name) for name in keep} | {"bytes": len(x.event)} for x in letters])
    elif not letters:
        click.echo("Everything was stored.")
    else:
        rows = [(x.at.isoformat(), x.version, x.rows, len(x.event), x.reason) for x in letters]
        print_table(("recorded", "version", "rows", "bytes", "why"), rows, right=(2, 3), below=4)
    return 1 if letters else 0


@quarantine.command()
@click.argument("model")
@project_option
@json_option
def replay(model: str, project: Path, as_json: bool) -> None:
    """Put the quarantined events of MODEL back into a journal; the next tick tries them again."""
    _replay(model, project, as_json, drop=False)


@quarantine.command()
@click.argument("model")
@project_option
@json_option
def drop(model: str, project: Path, as_json: bool) -> None:
    """Remove the quarantined events of MODEL for good."""
    _replay(model, project, as_json, drop=True)


def _replay(model: str, project: Path, as_json: bool, *, drop: bool) -> None:
    from watchkeeper.loop.watch.dead_letters import replay

    with opened(project) as watch:
        rows = replay(watch, model, drop=drop)
    if as_json:
        print_json({"rows": rows})
    elif drop:
        click.echo(f"{rows:,} rows are removed.")
    else:
        click.echo(f"{rows:,} rows are in a journal again. Next:  watchkeeper tick")
