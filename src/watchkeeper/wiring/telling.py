"""An open project's incidents, runbooks, channels and Alertmanagers, as objects."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from watchkeeper.errors import BadConfig, NotFound, WatchkeeperError, nearest

if TYPE_CHECKING:
    from watchkeeper.adapters.notifiers.dead_man import DeadMansSwitch
    from watchkeeper.loop.alerting.alertmanager_sync import AlertmanagerSync
    from watchkeeper.loop.effects.engine import Effects
    from watchkeeper.loop.incidents.runbooks import Runbooks
    from watchkeeper.loop.watch.watch import Watch
    from watchkeeper.ports.performer import Performer


_log = logging.getLogger("watchkeeper.wiring")


def runbooks_of(watch: Watch) -> Runbooks:
    """The project's runbooks: those in its folder ``runbooks``, and ours."""
    from watchkeeper.loop.incidents.follow import incidents_of
    from watchkeeper.loop.incidents.runbooks import Runbooks

    return Runbooks(
        watch.ledger.facts,
        incidents_of(watch),
        folder=watch.path / "runbooks",
        watch=watch,
        channels=tuple(watch.config.channels),
        clock=watch.clock,
    )


def performers_of(watch: Watch, channels: Mapping[str, Sequence[Any]] | None = None) -> dict[str, Performer]:
    """What performs each kind of effect. *channels*: the notifiers where they were made already.

    A channel that cannot be used (its secret cannot be read) does not keep the others from being served: what is for
    it becomes a dead letter with the reason, of which the others are told.
    """
    from watchkeeper.loop.effects.notifications import Notifications
    from watchkeeper.loop.incidents.follow import enrichment

    project, templates = watch.config.project, watch.path / "templates"
    unusable: dict[str, str] = {}
    if channels is None:
        channels = notifiers_of(watch, unusable.__setitem__)
    for name, problem in unusable.items():
        _log.warning("the channel %s is out of use: %s", name, problem)
    return {
        "notify": Notifications(
            channels,
            unusable=unusable,
            silent=[name for name, channel in watch.config.channels.items() if not channel.enabled],
            project=project.name,
            url=project.url,
            templates=str(templates) if templates.is_dir() else None,
            enrich=enrichment(watch),
        )
    }


def effects_of(watch: Watch) -> Effects:
    """What performs the effects of a project; also where no channel is configured (to look at what waits)."""
    from watchkeeper.loop.effects.engine import Effects

    return Effects(watch.ledger.facts, performers_of(watch), clock=watch.clock)


def outbox_of(watch: Watch) -> Effects | None:
    """What brings messages to the configured channels; None where there is no channel."""
    return effects_of(watch) if watch.config is not None and watch.config.channels else None


def notifiers_of(watch: Watch, problem: Callable[[str, str], None]) -> dict[str, Sequence[Any]]:
    """The notifiers of every enabled channel; *problem* hears of each that cannot be used."""
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


@dataclass(frozen=True, slots=True)
class AfterTick:
    """One step of what follows a tick. ``do`` returns what went wrong, or ""."""

    name: str
    do: Callable[[], str]


def after_tick(watch: Watch, *, serving: bool, timeout_s: float = 60.0) -> list[AfterTick]:
    """What follows every tick, in this order.

    A server (*serving*) performs effects in the background and comes back for groups that gather. Who ticks without one
    (cron) sends groups that would still gather (``group_wait``) at once, and performs what is due: nobody comes back so
    soon.

    Raises
    ------
    BadConfig
        the secret of the dead man's switch cannot be read (while serving; else it is a problem of its step).
    """
    steps = (
        []
        if serving
        else [
            AfterTick("queue", lambda: _queue(watch)),
            AfterTick("effects", lambda: _perform(watch, timeout_s)),
        ]
    )
    steps += [AfterTick("alertmanager", partial(_in_step, sync)) for sync in syncs_of(watch)]
    switch = dead_mans_switch_of(watch) if serving else None
    if serving and switch is not None:
        steps.append(AfterTick("dead man's switch", InBackground(partial(_pinged, switch))))
    elif not serving:
        steps.append(AfterTick("dead man's switch", lambda: _ping(watch)))
    return steps


def follow(steps: Sequence[AfterTick]) -> list[str]:
    """Take the steps that follow a tick; return what went wrong. A step that fails holds up no other."""
    problems = []
    for step in steps:
        try:
            problem = step.do()
        except WatchkeeperError as fault:
            problem = str(fault)
        if problem:
            problems.append(problem)
    return problems


def _queue(watch: Watch) -> str:
    from watchkeeper.loop.alerting.notifying import notify

    plan = watch.config.alerting()
    wait = max((r.group_wait for r in plan.routes), default=timedelta(0))
    notify(watch.ledger, plan, now=watch.clock(), ahead=wait)
    return ""


def _perform(watch: Watch, timeout_s: float) -> str:
    if (effects := outbox_of(watch)) is not None:
        effects.deliver(timeout_s=timeout_s)
        effects.stop(timeout_s=1.0)
    return ""


def _in_step(sync: AlertmanagerSync) -> str:
    problem = sync().problem
    return f"Alertmanager could not be kept in step: {problem}" if problem else ""


def _ping(watch: Watch) -> str:
    try:
        switch = dead_mans_switch_of(watch)
    except WatchkeeperError as fault:
        return f"The dead man's switch cannot be used: {fault}"
    return "" if switch is None else _pinged(switch)


def _pinged(switch: DeadMansSwitch) -> str:
    if switch.ping() or not switch.last_error:
        return ""
    return f"The dead man's switch was not pinged: {switch.last_error}"


class InBackground:
    """Takes a step in a thread of its own, one at a time: what hangs must not hold up the next tick. Problems are logged."""

    def __init__(self, step: Callable[[], str]) -> None:
        self._step = step
        self._thread: threading.Thread | None = None

    def __call__(self) -> str:
        """Begin it, unless it is still at it."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="watchkeeper-after-tick", daemon=True)
            self._thread.start()
        return ""

    def _run(self) -> None:
        if problem := self._step():
            _log.warning("%s", problem)


def tell(watch: Watch, *, timeout_s: float = 60.0) -> list[str]:
    """Everything that follows a tick, once: for those who tick without a server (cron). Returns what went wrong."""
    return follow(after_tick(watch, serving=False, timeout_s=timeout_s))


def check_channels(watch: Watch) -> list[str]:
    """What is wrong with channels, templates and runbooks, found before anybody must be told; empty: nothing."""
    from watchkeeper.documents.message import check_templates

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
