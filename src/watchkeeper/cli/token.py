"""``watchkeeper token``: who may come in over HTTP, and as what."""

from __future__ import annotations

import getpass
from pathlib import Path

import click

from watchkeeper.cli.project import opened, project_option
from watchkeeper.cli.terminal import json_option, print_json, print_table

ROLES = ("viewer", "labeller", "operator", "admin")


@click.group()
def token() -> None:
    """Make, list and end tokens. From the first one on, nobody comes in without one."""


@token.command(
    epilog="""\b
Examples:
  watchkeeper token create ann --role admin
  watchkeeper token create ci --role viewer --for 90d
  watchkeeper token create bob --role operator --once       for a link: /sign-in?token=TOKEN"""
)
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(ROLES),
    required=True,
    help="What it may do; each may do what those before it may.",
)
@click.option("--for", "lasts", help='How long it is good, such as "90d" (default: until it is revoked).')
@click.option("--once", is_flag=True, help="For one sign-in of one browser, by a link.")
@project_option
@json_option
def create(name: str, role: str, lasts: str | None, once: bool, project: Path, as_json: bool) -> None:
    """Make a token for NAME, a person or a program, and print it: this once, since only its digest is kept."""
    from watchkeeper.domain.duration import duration_of
    from watchkeeper.web.security import create_token

    with opened(project) as watch:
        made = create_token(
            watch.ledger.facts,
            name=name,
            role=role,
            by=getpass.getuser(),
            now=watch.clock(),
            lasts=None if lasts is None else duration_of(lasts),
            once=once,
        )
    if as_json:
        print_json({"token": made, "name": name, "role": role})
        return
    click.echo(made)
    if once:
        click.echo(f"One browser signs in with it, by the link  /sign-in?token={made}", err=True)
    else:
        click.echo(
            "Shown this once. A browser signs in with it; a program sends it as a bearer token.", err=True
        )


@token.command("list")
@project_option
@json_option
def list_tokens(project: Path, as_json: bool) -> None:
    """List tokens, the newest on top: whose, as what, until when. Never the token itself."""
    from watchkeeper.web.security import tokens

    with opened(project) as watch:
        found = tokens(watch.ledger.facts)
    if as_json:
        print_json(found)
        return
    if not found:
        click.echo("There are none, so only this machine may come in.")
        return
    rows = [
        (t["id"], t["name"], t["role"], t["state"], t["created_at"][:16], (t["expires_at"] or "never")[:16])
        for t in found
    ]
    print_table(("token", "whose", "role", "state", "made (UTC)", "ends (UTC)"), rows)


@token.command()
@click.argument("token_id", metavar="TOKEN")
@project_option
def revoke(token_id: str, project: Path) -> None:
    """End TOKEN (its id in the list) and every session that was opened with it, at once."""
    from watchkeeper.web.security import revoke_token

    with opened(project) as watch:
        revoke_token(watch.ledger.facts, token_id, by=getpass.getuser(), now=watch.clock())
    click.echo(f"Token {token_id} and its sessions have ended.")
