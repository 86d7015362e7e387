"""``watchkeeper outbox``: what waits to be told, what was told, and what could not be."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from watchkeeper.cli.project import opened, project_option
from watchkeeper.cli.terminal import json_option, print_json, print_table

if TYPE_CHECKING:
    from watchkeeper.domain.effect import Effect


@click.group()
def outbox() -> None:
    """Notifications: waiting, sent, and dead letters."""


@outbox.command("list")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(["waiting", "sending", "sent", "dead", "dropped"]),
    help="Which states (default: all).",
)
@click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(min=1), help="At most this many."
)
@project_option
@json_option
def list_entries(states: tuple[str, ...], limit: int, project: Path, as_json: bool) -> None:
    """List notifications, the newest first."""
    _list(project, states, limit, as_json)


@outbox.command()
@click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(min=1), help="At most this many."
)
@project_option
@json_option
def dead(limit: int, project: Path, as_json: bool) -> int:
    """List dead letters: what could not be told, and why. Exit status 1: there are some."""
    return 1 if _list(project, ("dead",), limit, as_json) else 0


def _letters(command: Callable[..., Any]) -> Callable[..., Any]:
    """What a command about dead letters may be told: which ones, and whose doing it is."""
    for option in (
        json_option,
        project_option,
        click.option("--as", "actor", default="", help="Your name (default: the login name)."),
        click.option("--all", "everything", is_flag=True, help="All dead letters."),
        click.argument("keys", nargs=-1),
    ):
        command = option(command)
    return command


def _act(
    verb: str, wanted: str, *, keys: tuple[str, ...], everything: bool, actor: str, project: Path
) -> int:
    """Do *verb* to dead letters; return how many there were."""
    from watchkeeper.wiring.telling import effects_of

    if bool(keys) == everything:
        raise click.UsageError(f"Name the letters to {wanted}, or say --all.")
    with opened(project) as watch:
        return int(getattr(effects_of(watch), verb)(*keys, actor=actor or getpass.getuser()))


@outbox.command()
@_letters
def retry(as_json: bool, **which: Any) -> None:
    """Send the dead letters KEYS again, or all of them. Targets that have one already are left out."""
    count = _act("retry", "send again", **which)
    if as_json:
        print_json({"waiting": count})
    else:
        click.echo(f"{count} {'waits' if count == 1 else 'wait'} to be sent again.")


@outbox.command()
@_letters
def drop(as_json: bool, **which: Any) -> None:
    """Give the dead letters KEYS up, or all of them: they are kept, and no problem any more."""
    count = _act("drop", "give up", **which)
    if as_json:
        print_json({"dropped": count})
    else:
        click.echo(f"{count} given up.")


@outbox.command()
@click.option("--timeout", default=60.0, show_default=True, help="Seconds to wait for slow channels.")
@project_option
@json_option
def send(timeout: float, project: Path, as_json: bool) -> int:
    """Send what is due now, for those who run no server. Exit status 1: something is dead."""
    from watchkeeper.wiring.telling import outbox_of

    with opened(project) as watch:
        sender = outbox_of(watch)
        count = sender.deliver(timeout_s=timeout) if sender is not None else 0
        letters = watch.ledger.facts.count("outbox", states=["dead"])
        waiting = watch.ledger.facts.count("outbox", states=["waiting", "sending"])
    if as_json:
        print_json({"handed": count, "waiting": waiting, "dead": letters})
    else:
        click.echo(f"{count} handed to their channels; {waiting} wait, {letters} are dead.")
    return 1 if letters else 0


@outbox.command("test")
@click.argument("channel")
@click.option("--as", "actor", default="", help="Your name (default: the login name).")
@project_option
@json_option
def try_one(channel: str, actor: str, project: Path, as_json: bool) -> None:
    """Send a test message through one CHANNEL now."""
    from watchkeeper.wiring.telling import try_channel

    with opened(project) as watch:
        try_channel(watch, channel, actor=actor or getpass.getuser())
    if as_json:
        print_json({"channel": channel, "sent": True})
    else:
        click.echo(f"{channel} took it.")


@outbox.command()
@project_option
@json_option
def check(project: Path, as_json: bool) -> int:
    """Check channels, secrets, templates and runbooks, without telling anybody. Exit status 1: faults."""
    from watchkeeper.wiring.telling import check_channels

    with opened(project) as watch:
        faults = check_channels(watch)
        count = len(watch.config.channels)
    if as_json:
        print_json({"channels": count, "faults": faults})
        return 1 if faults else 0
    for fault in faults:
        click.echo(fault, err=True)
    if not faults:
        click.echo(f"{count} channels, and the templates and runbooks: nothing wrong.")
    return 1 if faults else 0


def _about(effect: Effect) -> str:
    title, error = str(effect.body.get("title") or ""), effect.last_error
    return title + (f" [{error.splitlines()[0]}]" if error else "")


def _list(project: Path, states: tuple[str, ...], limit: int, as_json: bool) -> int:
    from watchkeeper.loop.effects.engine import EFFECT
    from watchkeeper.loop.records.records import Records

    with opened(project) as watch:
        found = [k.value for k in Records(watch.ledger.facts, EFFECT).some(states=states, limit=limit)]
    if as_json:
        print_json([_shown(effect) for effect in found])
    elif not found:
        click.echo("There are none.")
    else:
        rows = [(e.key, e.lane, e.state.value, e.tries, _about(e)) for e in found]
        print_table(
            ("key", "channel", "state", "tries", "about, and why it failed"), rows, right=(3,), below=4
        )
    return len(found)


def _shown(effect: Effect) -> dict[str, Any]:
    out: dict[str, Any] = {
        "key": effect.key,
        "kind": effect.kind,
        "state": effect.state.value,
        "due": effect.due,
    }
    out |= {"channel": effect.lane}
    out |= {k: effect.body[k] for k in ("status", "severity", "title") if k in effect.body}
    out |= {"tries": effect.tries, "targets": dict(effect.progress), "created_at": effect.created_at}
    return {**out, "last_error": effect.last_error} if effect.last_error else out
