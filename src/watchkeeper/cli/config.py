"""``watchkeeper config``: check the project's file, or print its JSON schema."""

from __future__ import annotations

import json
from pathlib import Path

import click

from watchkeeper.cli.project import project_option
from watchkeeper.cli.terminal import json_option, print_json


@click.group()
def config() -> None:
    """Check watchkeeper.toml, or print its JSON schema for editors."""


@config.command(
    epilog="""\b
Examples:
  watchkeeper config check
  watchkeeper config check --json

Exit status: 0 it is good, 2 it has faults; each is told with its line and the nearest known key."""
)
@project_option
@json_option
def check(project: Path, as_json: bool) -> None:
    """Check watchkeeper.toml and what it names: baselines, secrets, files."""
    from watchkeeper.errors import WatchkeeperError
    from watchkeeper.wiring.config import find_project, load_config, secret

    folder = find_project(project)
    found = load_config(folder)
    notes = []
    for name, model in found.models.items():
        if model.baseline and not (folder / model.baseline).is_file():
            notes.append(f"models.{name}.baseline: {folder / model.baseline} is not there yet.")
    for name, channel in found.channels.items():
        try:
            secret(channel.url)
        except WatchkeeperError as problem:
            notes.append(f"channels.{name}.url: {problem.what}")
    if as_json:
        print_json({"path": str(folder / "watchkeeper.toml"), "models": list(found.models), "notes": notes})
        return
    click.echo(
        f"{folder / 'watchkeeper.toml'} is good: {len(found.models)} models, {len(found.channels)} channels."
    )
    for note in notes:
        click.echo(f"note: {note}")


@config.command(
    epilog="""\b
Example:
  watchkeeper config schema > watchkeeper.schema.json
  and as the first line of watchkeeper.toml:   #:schema ./watchkeeper.schema.json"""
)
def schema() -> None:
    """Print the JSON schema of watchkeeper.toml; editors complete and check with it."""
    from watchkeeper.wiring.config import json_schema

    click.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
