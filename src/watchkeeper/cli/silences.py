"""``watchkeeper silences``: mute what is known, for a while, with a name and a reason."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from watchkeeper.cli.alerts import moment
from watchkeeper.cli.project import opened, project_option
from watchkeeper.cli.terminal import json_option, print_json, print_table

if TYPE_CHECKING:
    from watchkeeper.decisions.alerting.silences import Preview
    from watchkeeper.loop.watch.watch import Watch


@click.group()
def silences() -> None:
    """Mute alerts for a while: they still fire and resolve, and nobody is told."""


@silences.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those that have ended.")
@project_option
@json_option
def list_silences(everything: bool, project: Path, as_json: bool) -> None:
    """List silences, those that end first on top."""
    from watchkeeper.loop.alerting.alert_actions import silence_view, silences_of

    with opened(project) as watch:
        now = watch.clock()
        found = silences_of(watch.ledger.facts, states=("active", "expired") if everything else ("active",))
    found = sorted((s for s in found if everything or s.ends_at > now), key=lambda s: s.ends_at)
    if as_json:
        print_json([silence_view(s) for s in found])
        return
    if not found:
        click.echo("There are none.")
        return
    rows = [
        (
            s.id,
            f"{s.ends_at:%Y-%m-%d %H:%M}",
            s.author,
            f"{' '.join(map(str, s.matchers))}: {s.reason}",
        )
        for s in found
    ]
    print_table(("silence", "until (UTC)", "author", "mutes, and why"), rows, below=3)


@silences.command("add")
@click.argument("matchers", nargs=-1, required=True)
@click.option("--reason", required=True, help="Why; whoever finds it later will want to know.")
@click.option("--for", "lasts", help='How long, such as "4h".')
@click.option("--until", help="A time at which it ends.")
@click.option("--from", "start", help="A time at which it begins (default: now).")
@click.option("--as", "author", default="", help="Your name (default: the login name).")
@project_option
@json_option
def add(
    matchers: tuple[str, ...],
    reason: str,
    lasts: str | None,
    until: str | None,
    start: str | None,
    author: str,
    project: Path,
    as_json: bool,
) -> None:
    """Add a silence for alerts that match all MATCHERS.

    A matcher is label=value, label!=value, label=~regex or label!~regex.
    """
    from watchkeeper.domain.duration import duration_of
    from watchkeeper.loop.alerting.alert_actions import add_silence, silence_view

    with opened(project) as watch:
        silence = add_silence(
            watch.ledger.facts,
            matchers,
            author=author or getpass.getuser(),
            reason=reason,
            now=watch.clock(),
            lasts=None if lasts is None else duration_of(lasts),
            starts_at=None if start is None else moment(start, ahead=True),
            ends_at=None if until is None else moment(until, ahead=True),
        )
        found = _preview(watch, matchers)
    if as_json:
        print_json(silence_view(silence))
        return
    click.echo(f"Silence {silence.id} holds until {silence.ends_at:%Y-%m-%d %H:%M} UTC.")
    _say(found)


@silences.command("expire")
@click.argument("silence")
@click.option("--as", "actor", default="", help="Your name (default: the login name).")
@project_option
@json_option
def expire(silence: str, actor: str, project: Path, as_json: bool) -> None:
    """End SILENCE now: alerts that it muted and that still fire are told."""
    from watchkeeper.loop.alerting.alert_actions import expire_silence, silence_view

    with opened(project) as watch:
        ended = expire_silence(
            watch.ledger.facts, silence, actor=actor or getpass.getuser(), now=watch.clock()
        )
    if as_json:
        print_json(silence_view(ended))
    else:
        click.echo(f"Silence {silence} has ended.")


@silences.command("preview")
@click.argument("matchers", nargs=-1, required=True)
@project_option
@json_option
def show_preview(matchers: tuple[str, ...], project: Path, as_json: bool) -> None:
    """Show what a silence with MATCHERS would mute now, without adding it."""
    from watchkeeper.loop.records.kinds import ALERT

    with opened(project) as watch:
        found = _preview(watch, matchers)
    if as_json:
        print_json(
            {
                "firing": [ALERT.body(a) for a in found.firing],
                "pending": [ALERT.body(a) for a in found.pending],
                "quiet": found.quiet,
                "hints": list(found.hints),
            }
        )
        return
    _say(found)


def _preview(watch: Watch, matchers: Sequence[str]) -> Preview:
    from watchkeeper.decisions.alerting.silences import preview
    from watchkeeper.domain.silence import parse_matchers
    from watchkeeper.loop.alerting.alert_actions import alerts_by_weight

    return preview(parse_matchers(matchers), alerts_by_weight(watch.ledger.facts))


def _say(found: Preview) -> None:
    from watchkeeper.decisions.alerting.story import alert_story

    click.echo(
        f"It mutes {len(found.firing)} firing and {len(found.pending)} pending alerts, "
        f"and {found.quiet} that are quiet now."
    )
    for alert in (*found.firing, *found.pending)[:20]:
        click.echo(f"  {alert.fingerprint}  {alert_story(alert).headline}")
    for hint in found.hints:
        click.echo(f"Note: {hint}")
