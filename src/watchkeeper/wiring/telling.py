"""An open project's incidents, runbooks, channels and Alertmanagers, as objects."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from watchkeeper.errors import BadConfig, NotFound, nearest

if TYPE_CHECKING:
    from watchkeeper.adapters.notifiers.dead_man import DeadMansSwitch
    from watchkeeper.loop.alerting.alertmanager_sync import AlertmanagerSync
    from watchkeeper.loop.effects.notifications import Outbox
    from watchkeeper.loop.incidents.incidents import Incidents
    from watchkeeper.loop.incidents.runbooks import Runbooks
    from watchkeeper.loop.watch.watch import Watch


_log = logging.getLogger("watchkeeper.wiring")


def incidents_of(watch: Watch) -> Incidents:
    """The project's incidents."""
    from watchkeeper.loop.incidents.follow import incidents_of as made

    return made(watch)


def runbooks_of(watch: Watch) -> Runbooks:
    """The project's runbooks: those in its folder ``runbooks``, and ours."""
    from watchkeeper.loop.incidents.runbooks import Runbooks

    return Runbooks(
        watch.ledger.facts,
        incidents_of(watch),
        folder=watch.path / "runbooks",
        watch=watch,
        channels=tuple(watch.config.channels),
        clock=watch.clock,
    )


def watching_outbox(
    watch: Watch,
    channels: dict[str, Sequence[Any]] | None = None,
    *,
    unusable: Mapping[str, str] | None = None,
) -> Outbox:
    """The outbox with charts and lessons, also where no channel is configured (to look at what waits)."""
    from watchkeeper.loop.effects.notifications import Outbox
    from watchkeeper.loop.incidents.follow import enrichment

    project = watch.config.project
    templates = watch.path / "templates"
    return Outbox(
        watch.ledger.facts,
        channels or {},
        unusable=unusable,
        silent=[name for name, channel in watch.config.channels.items() if not channel.enabled],
        clock=watch.clock,
        project=project.name,
        url=project.url,
        templates=str(templates) if templates.is_dir() else None,
        enrich=enrichment(watch),
    )


def outbox_of(watch: Watch) -> Outbox | None:
    """What brings messages to the configured channels; None where there is no channel.

    A channel that cannot be used (its secret cannot be read) does not keep the others from being served: what is for
    it becomes a dead letter with the reason, of which the others are told.
    """
    if watch.config is None or not watch.config.channels:
        return None
    unusable: dict[str, str] = {}
    channels = notifiers_of(watch, unusable.__setitem__)
    for name, problem in unusable.items():
        _log.warning("the channel %s is out of use: %s", name, problem)
    return watching_outbox(watch, channels, unusable=unusable)


def notifiers_of(watch: Watch, problem: Callable[[str, str], None]) -> dict[str, Sequence[Any]]:
    """The notifiers of every enabled channel; *problem* hears of each that cannot be used."""
    from watchkeeper.errors import WatchkeeperError
    from watchkeeper.wiring.config import secret

    found: dict[str, Sequence[Any]] = {}
    for name, channel in watch.config.channels.items():
        if channel.enabled:
            try:
                found[name] = _notifiers(name, channel, secret(channel.url))
            except WatchkeeperError as fault:
                problem(name, str(fault))
    return found


def _notifiers(name: str, channel: Any, url: str) -> list[Any]:
    from watchkeeper.adapters.notifiers.alertmanager import AlertmanagerNotifier
    from watchkeeper.adapters.notifiers.apprise import AppriseNotifier, split_targets
    from watchkeeper.adapters.notifiers.webhook import WebhookNotifier

    if channel.kind == "alertmanager":
        return [AlertmanagerNotifier(name, url)]
    if channel.kind == "webhook":
        return [WebhookNotifier(name, url, wakes=bool(channel.wakes))]
    targets = split_targets(url)
    names = [name] if len(targets) == 1 else [f"{name}-{i}" for i in range(1, len(targets) + 1)]
    return [
        AppriseNotifier(n, t, template=channel.template, wakes=channel.wakes) for n, t in zip(names, targets)
    ]


def dead_mans_switch_of(watch: Watch) -> DeadMansSwitch | None:
    """What is pinged while the watch does its work; None where none is configured.

    Raises
    ------
    BadConfig
        its secret cannot be read.
    """
    from watchkeeper.adapters.notifiers.dead_man import DeadMansSwitch
    from watchkeeper.wiring.config import secret

    table = watch.config.dead_mans_switch
    if table is None:
        return None
    return DeadMansSwitch(secret(table.url), every=table.every, clock=watch.clock)


def tell(watch: Watch, *, timeout_s: float = 60.0) -> list[str]:
    """Everything that a server does after a tick, once: for those who tick without one (cron). Returns what went wrong.

    Groups that would still gather (``group_wait``) are sent at once: nobody comes back so soon.
    """
    from watchkeeper.errors import WatchkeeperError
    from watchkeeper.loop.alerting.notifying import notify

    plan = watch.config.alerting()
    problems: list[str] = []
    wait = max((r.group_wait for r in plan.routes), default=timedelta(0))
    notify(watch.ledger, plan, now=watch.clock(), ahead=wait)
    if (sender := outbox_of(watch)) is not None:
        sender.deliver(timeout_s=timeout_s)
        sender.stop(timeout_s=1.0)
    for sync in syncs_of(watch):
        if problem := sync().problem:
            problems.append(f"Alertmanager could not be kept in step: {problem}")
    try:
        switch = dead_mans_switch_of(watch)
        if switch is not None and not switch.ping():
            problems.append(f"The dead man's switch was not pinged: {switch.last_error}")
    except WatchkeeperError as fault:
        problems.append(f"The dead man's switch cannot be used: {fault}")
    return problems


def check_channels(watch: Watch) -> list[str]:
    """What is wrong with channels, templates and runbooks, found before anybody must be told; empty: nothing."""
    from watchkeeper.documents.message import check_templates
    from watchkeeper.errors import WatchkeeperError

    faults: list[str] = []
    notifiers_of(watch, lambda name, said: faults.append(f"channel {name}: {said}"))
    for check in (
        lambda: check_templates(watch.path / "templates"),
        lambda: runbooks_of(watch).own(),
        lambda: dead_mans_switch_of(watch),
    ):
        try:
            check()
        except WatchkeeperError as fault:
            faults.append(str(fault))
    return faults


def try_channel(watch: Watch, name: str, *, actor: str) -> None:
    """Send a test message through one channel, now and past the outbox.

    Raises
    ------
    NotFound
        there is no such channel.
    BadConfig
        it cannot be used, or refused the message.
    StoreUnavailable
        it could not be reached.
    """
    from watchkeeper.documents.message import compose

    if name not in watch.config.channels:
        raise NotFound(f"There is no channel {name!r}.{nearest(name, watch.config.channels)}")
    faults: dict[str, str] = {}
    channels = notifiers_of(watch, faults.__setitem__)
    if name not in channels:
        raise BadConfig(faults.get(name, f"The channel {name!r} is switched off (enabled = false)."))
    now = watch.clock()
    project = watch.config.project
    body = {
        "title": f"A test, sent by {actor}",
        "text": "If you can read this, this channel works.",
        "group": "test",
    }
    message = compose(body, project=project.name, url=project.url).to_dict()
    for target in channels[name]:
        target.send(message, key=f"test:{name}:{now.isoformat()}")


def syncs_of(watch: Watch) -> list[AlertmanagerSync]:
    """One for each configured Alertmanager: call each after a tick."""
    from watchkeeper.adapters.notifiers.alertmanager import AlertmanagerNotifier
    from watchkeeper.loop.alerting.alertmanager_sync import AlertmanagerSync

    return [
        AlertmanagerSync(watch.ledger.facts, target, clock=watch.clock)
        for targets in notifiers_of(watch, lambda name, problem: None).values()
        for target in targets
        if isinstance(target, AlertmanagerNotifier)
    ]
