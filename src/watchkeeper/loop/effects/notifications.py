"""Notifications: the effects that tell people, through channels of one or more targets.

- *Each target has its own result*: only those that failed are tried again.
- *Nobody is woken for what can wait.* A target that wakes people (``wakes``: pagers, telephones) is ``spared`` a message
  about windows of long ago or notices; the other targets and channels have it.
- *A dead channel is an alert about the alerting*: the other channels hear of it, at most once an hour.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from watchkeeper.documents.message import compose
from watchkeeper.domain.effect import Effect, EffectState, Performed
from watchkeeper.errors import BadConfig, NotFound, StoreUnavailable, WatchkeeperError, nearest
from watchkeeper.loop.effects.engine import EFFECT
from watchkeeper.loop.records.records import Kept, Records
from watchkeeper.ports.ledger import FactStore
from watchkeeper.ports.notifier import Notifier

TAKEN = ("sent", "spared")
"""States of a target that need no further try."""


def notification(
    channel: str, key: str, body: Mapping[str, Any], *, now: datetime, model: str = ""
) -> Kept[Effect]:
    """A record that asks for one notification. *key* is its idempotency key: the same key is one notification.

    Write it in the transaction of the facts that it tells of.
    """
    return EFFECT.new(Effect(key=key, lane=channel, created_at=now, due=now, model=model, body=dict(body)))


def outbox_problems(facts: FactStore) -> list[str]:
    """One sentence for each channel whose newest message could not be told: the alerting itself needs somebody."""
    newest: dict[str, Effect] = {}
    dead: Counter[str] = Counter()
    for kept in Records(facts, EFFECT).some(states=("dead", "sent", "dropped"), limit=1000):
        newest.setdefault(kept.value.lane, kept.value)
        dead[kept.value.lane] += kept.value.state is EffectState.DEAD
    return [
        f"The channel {channel} could not be told ({dead[channel]:,} dead letters): "
        f"{(effect.last_error or 'unknown').splitlines()[0]} See:  watchkeeper outbox dead"
        for channel, effect in sorted(newest.items())
        if effect.state is EffectState.DEAD
    ]


class Notifications:
    """Performs notifications.

    Parameters
    ----------
    channels : by name, the notifiers of its targets.
    unusable : configured channels that cannot be used, and why: what is for them is dead, with that reason.
    silent : channels that are switched off: what is for them is left out.
    enrich : adds to a body what is only known when it is sent (``chart``, ``lessons``); its failure costs nothing else.
    """

    def __init__(
        self,
        channels: Mapping[str, Sequence[Notifier]],
        *,
        project: str = "watch",
        url: str = "",
        templates: str | None = None,
        enrich: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,
        unusable: Mapping[str, str] | None = None,
        silent: Collection[str] = (),
    ) -> None:
        self._channels = {name: tuple(targets) for name, targets in channels.items()}
        self._project, self._url, self._templates, self._enrich = project, url, templates, enrich
        self._unusable, self._silent = dict(unusable or {}), frozenset(silent)

    def perform(self, effect: Effect) -> Performed | None:
        """Send the message to every target that does not have it yet."""
        channel = effect.lane
        if channel not in self._channels:
            if channel in self._silent:
                return None
            if channel in self._unusable:
                raise BadConfig(f"The channel {channel!r} cannot be used. {self._unusable[channel]}")
            raise NotFound(f"There is no channel {channel!r}.{nearest(channel, self._channels)}")
        results: dict[str, Any] = {k: dict(v) for k, v in effect.progress.items()}
        message = self._message(effect)
        waits: list[float] = []
        pending = False
        for target in self._channels[channel]:
            result = results.setdefault(target.name, {"state": "waiting"})
            if result["state"] in TAKEN:
                continue
            if effect.body.get("can_wait") and getattr(target, "wakes", False):
                result.update(state="spared")
                continue
            result["tries"] = int(result.get("tries") or 0) + 1
            try:
                target.send(message, key=effect.key)
            except StoreUnavailable as fault:
                pending = True
                result.update(state="waiting", error=str(fault)[:500])
                if (asked := getattr(fault, "retry_after_s", None)) is not None:
                    waits.append(float(asked))
            except WatchkeeperError as fault:
                result.update(state="refused", error=str(fault)[:500])
            except Exception as fault:
                # Its text may hold a secret, so only its kind is kept.
                pending = True
                result.update(state="waiting", error=f"a fault in the channel itself: {type(fault).__name__}")
            else:
                result.update(state="sent")
                result.pop("error", None)
        errors = {name: r["error"] for name, r in results.items() if r.get("error")}
        return Performed(progress=results, errors=errors, again=pending, wait_s=max(waits, default=None))

    def given_up(self, effect: Effect, *, now: datetime) -> list[Effect]:
        """Tell the other channels that this one is dead, unless it is that which could not be told."""
        if effect.body.get("about_channel"):
            return []
        channel = effect.lane
        notice = {
            "title": f"The channel {channel} could not be told",
            "text": f"{effect.last_error}\nWhat it missed waits as a dead letter:  watchkeeper outbox dead\n"
            "Send it again when the channel is mended:  watchkeeper outbox retry --all",
            "status": "notice",
            "severity": "critical",
            "group": f"channel:{channel}",
            "about_channel": channel,
        }
        hour = now.strftime("%Y-%m-%dT%H")
        return [
            notification(other, f"dead:{channel}:{hour}:{other}", notice, now=now).value
            for other in self._channels
            if other != channel
        ]

    def _message(self, effect: Effect) -> Mapping[str, Any]:
        full = dict(effect.body)
        if self._enrich is not None:
            try:
                full = {**full, **self._enrich(full)}
            except Exception:
                full = dict(effect.body)  # a chart that cannot be drawn is no reason to say nothing
        full["reference"] = effect.key
        return compose(full, project=self._project, url=self._url, folder=self._templates).to_dict()
