"""Messages out of alerts: groups that are due become entries of the outbox, in one transaction with what was told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from watchkeeper.decisions.alerting.grouping import Group, Message, compose
from watchkeeper.decisions.alerting.silences import Muting
from watchkeeper.decisions.alerting.state_machine import with_log
from watchkeeper.domain.alert import Alert
from watchkeeper.domain.fact import Document, Fact, Lease
from watchkeeper.errors import Conflict
from watchkeeper.loop.alerting.alert_actions import document_of, expire_silences, silences_of
from watchkeeper.loop.alerting.plan import AlertingPlan, with_spans
from watchkeeper.ports.ledger import FactStore

_ACTOR = "watchkeeper"
_ALL = 1_000_000


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
    due = ledger.facts.documents("group", due_before=now + ahead, limit=_ALL, order="key")
    if not due:
        return 0
    groups = {d.key: Group.of_body(d.key, d.body) for d in due}
    wanted = {name for g in groups.values() for name in g.members}
    documents = ledger.facts.documents("alert", states=["firing"], limit=_ALL, order="key")
    held = {d.key: (Alert.of_body(d.body), d.revision) for d in documents}
    firing = [alert for alert, _ in held.values()]
    held |= _alerts_by_name(ledger.facts, wanted - set(held))
    alerts = {name: alert for name, (alert, _) in held.items()}
    muting = muting_at(ledger.facts, plan, now, firing)
    written = 0
    for document in due:
        message, group = compose(groups[document.key], alerts, muting.why, now=now)
        facts: list[Fact] = []
        written_down = [
            replace(
                document,
                body=group.to_body(),
                due=group.due,
                state="open" if group.members else "quiet",
                updated_at=now,
            )
        ]
        if message is not None:
            model = str(message.labels.get("model", ""))
            for channel in message.channels:
                written_down.append(
                    Document(
                        kind="outbox",
                        key=f"{message.key}:{channel}",
                        state="waiting",
                        model=model,
                        due=now,
                        updated_at=now,
                        body={"channel": channel, "created_at": now.isoformat(), **message.to_body()},
                    )
                )
            body = {
                "group": message.group,
                "channels": list(message.channels),
                "status": message.status,
                "urgency": message.urgency,
                "can_wait": message.can_wait,
                "firing": message.firing,
                "resolved": message.resolved,
                "alerts": [a["fingerprint"] for a in message.alerts],
            }
            facts.append(
                Fact(
                    kind="notification.queued",
                    at=now,
                    actor=_ACTOR,
                    model=model,
                    body=body,
                    key=f"notification:{message.key}",
                )
            )
            written += len(message.channels)
            written_down += _told(held, message, now)
        try:
            ledger.facts.append(facts, written_down, lease=lease)
        except Conflict as conflict:
            if type(conflict) is not Conflict:
                raise
            written -= 0 if message is None else len(message.channels)  # the next call tells it
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


def _alerts_by_name(facts: FactStore, names: set[str]) -> dict[str, tuple[Alert, int]]:
    if len(names) <= 300:
        found = [d for name in sorted(names) if (d := facts.document("alert", name)) is not None]
    else:
        found = [d for d in facts.documents("alert", limit=_ALL, order="key") if d.key in names]
    return {d.key: (Alert.of_body(d.body), d.revision) for d in found}


def _told(held: dict[str, tuple[Alert, int]], message: Message, now: datetime) -> list[Document]:
    """The alerts with a line that says who was told."""
    out = []
    how = " (it can wait, so nobody is woken)" if message.can_wait else ""
    for name in message.new[:100]:
        alert, revision = held[name]
        told = with_log(alert, now, _ACTOR, f"Told {', '.join(message.channels)}{how}.")
        held[name] = (told, revision + 1)
        out.append(document_of(told, revision, now))
    return out
