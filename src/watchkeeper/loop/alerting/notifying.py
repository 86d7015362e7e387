"""Messages out of alerts: groups that are due become entries of the outbox, in one transaction with what was told."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, TypedDict

from watchkeeper.decisions.alerting.grouping import Message, compose
from watchkeeper.decisions.alerting.silences import Muting
from watchkeeper.decisions.alerting.state_machine import with_log
from watchkeeper.domain.alert import Alert
from watchkeeper.domain.fact import Fact, Lease
from watchkeeper.errors import Conflict
from watchkeeper.loop.alerting.alert_actions import expire_silences, silences_of
from watchkeeper.loop.alerting.plan import AlertingPlan, with_spans
from watchkeeper.loop.effects.notifications import notification
from watchkeeper.loop.records.facts import FactKind
from watchkeeper.loop.records.kinds import ALERT, GROUP
from watchkeeper.loop.records.records import Kept, Records, write
from watchkeeper.ports.ledger import FactStore

_ACTOR = "watchkeeper"


class NotificationQueued(TypedDict):
    """A message of a group of alerts, and whom it is for."""

    group: str
    channels: list[str]
    status: str
    urgency: str
    can_wait: bool
    firing: int
    resolved: int
    alerts: list[str]


NOTIFICATION_QUEUED = FactKind("notification.queued", NotificationQueued)


def notify(
    ledger: Any,
    plan: AlertingPlan,
    *,
    now: datetime,
    lease: Lease | None = None,
    ahead: timedelta = timedelta(0),
) -> int:
    """Queue the messages of every group that is due; return how many outbox entries were written.

    *ahead*: those that are due within this time are queued now as well, by one who will not be back so soon.
    """
    expire_silences(ledger.facts, now=now, lease=lease)
    due = list(Records(ledger.facts, GROUP).all(due_before=now + ahead))
    if not due:
        return 0
    alerts = Records(ledger.facts, ALERT)
    held = {kept.key: kept for kept in alerts.all(states=["firing"])}
    firing = [kept.value for kept in held.values()]
    held |= alerts.named({name for kept in due for name in kept.value.members} - set(held))
    muting = muting_at(ledger.facts, plan, now, firing)
    written = 0
    for kept in due:
        known = {name: alert.value for name, alert in held.items()}
        message, group = compose(kept.value, known, muting.why, now=now)
        facts: list[Fact] = []
        records: list[Kept[Any]] = [kept.to(group)]
        entries: list[Kept[Any]] = []
        if message is not None:
            model = str(message.labels.get("model", ""))
            entries = [
                notification(channel, f"{message.key}:{channel}", message.to_body(), now=now, model=model)
                for channel in message.channels
            ]
            body: NotificationQueued = {
                "group": message.group,
                "channels": list(message.channels),
                "status": message.status,
                "urgency": message.urgency,
                "can_wait": message.can_wait,
                "firing": message.firing,
                "resolved": message.resolved,
                "alerts": [a["fingerprint"] for a in message.alerts],
            }
            key = f"notification:{message.key}"
            facts.append(NOTIFICATION_QUEUED(body, at=now, actor=_ACTOR, model=model, key=key))
            records += _told(held, message, now)
        try:
            write(ledger.facts, facts, [*records, *entries], now=now, lease=lease)
        except Conflict as conflict:
            if type(conflict) is not Conflict:
                raise
            continue  # the next call tells it
        written += len(entries)
    return written


def muting_at(facts: FactStore, plan: AlertingPlan, now: datetime, firing: Iterable[Alert]) -> Muting:
    """All that mutes now."""
    return Muting(
        now,
        silences=silences_of(facts),
        maintenance=[with_spans(m, now) for m in plan.maintenance],
        inhibitions=plan.inhibitions,
        firing=firing,
    )


def _told(held: dict[str, Kept[Alert]], message: Message, now: datetime) -> list[Kept[Alert]]:
    """The alerts with a line that says who was told."""
    out = []
    how = " (it can wait, so nobody is woken)" if message.can_wait else ""
    for name in message.new[:100]:
        kept = held[name]
        told = kept.to(with_log(kept.value, now, _ACTOR, f"Told {', '.join(message.channels)}{how}."))
        held[name] = told.written()
        out.append(told)
    return out
