"""What people do with alerts: acknowledge, silence. Each is a fact with its actor, and takes effect at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from watchkeeper.decisions.alerting.state_machine import acknowledge, unacknowledge
from watchkeeper.domain.alert import Alert, AlertState, fingerprint
from watchkeeper.domain.fact import Document, Fact, Lease
from watchkeeper.domain.silence import Silence, parse_matchers
from watchkeeper.errors import BadInput, BadTransition, NotFound
from watchkeeper.ports.ledger import FactStore

_ACTOR = "watchkeeper"
_ALL = 1_000_000


def alert_document(facts: FactStore, name: str) -> Document:
    """An alert's document by its fingerprint, or the beginning of one.

    Raises
    ------
    NotFound
        there is none, or there are several.
    """
    found = facts.document("alert", name)
    if found is not None:
        return found
    starting = [d for d in facts.documents("alert", limit=_ALL, order="key") if d.key.startswith(name)]
    if len(starting) == 1 and name:
        return starting[0]
    many = "several alerts begin" if len(starting) > 1 else "no alert begins"
    raise NotFound(f"There is no alert {name!r}: {many} so.", "List them:  watchkeeper alerts list")


def acknowledge_alert(
    facts: FactStore, name: str, *, actor: str, now: datetime, note: str = "", back: bool = False
) -> Alert:
    """Acknowledge an alert, or take that *back*."""
    document = alert_document(facts, name)
    before = Alert.of_body(document.body)
    after = (
        unacknowledge(before, actor=actor, now=now)
        if back
        else acknowledge(before, actor=actor, now=now, note=note)
    )
    kind = "alert.unacknowledged" if back else "alert.acknowledged"
    fact = Fact(
        kind=kind, at=now, actor=actor, model=after.model, subject=after.fingerprint, body={"note": note}
    )
    facts.append([fact], [document_of(after, document.revision, now)])
    return after


def silences_of(facts: FactStore, *, states: Sequence[str] = ("active",)) -> list[Silence]:
    """Silences in the ledger."""
    return [Silence.of_body(d.key, d.body) for d in facts.documents("silence", states=states, limit=_ALL)]


def add_silence(
    facts: FactStore,
    matchers: Mapping[str, str] | Iterable[str],
    *,
    author: str,
    reason: str,
    now: datetime,
    lasts: timedelta | None = None,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
) -> Silence:
    """Add a silence; it must end.

    Raises
    ------
    BadInput
        it has no end, no author, no reason, or would mute everything.
    """
    start = starts_at or now
    end = ends_at or (start + lasts if lasts is not None else None)
    if end is None:
        raise BadInput("A silence needs an end.", "Say how long it lasts, such as 4h.")
    if end <= now:
        raise BadInput(f"The silence would have ended at {end:%Y-%m-%d %H:%M} UTC already.")
    parsed = parse_matchers(matchers)
    name = fingerprint({"at": now.isoformat(), "author": author, "matchers": " ".join(map(str, parsed))})[:10]
    silence = Silence(
        id=name, matchers=parsed, author=author, reason=reason, starts_at=start, ends_at=end, created_at=now
    )
    fact = Fact(kind="silence.created", at=now, actor=author, subject=name, body=silence.to_body())
    document = Document(
        kind="silence", key=name, body=silence.to_body(), state="active", due=end, updated_at=now
    )
    facts.append([fact], [document])
    return silence


def expire_silence(facts: FactStore, name: str, *, actor: str, now: datetime) -> Silence:
    """End a silence now.

    Raises
    ------
    NotFound
        there is no such silence.
    BadTransition
        it has ended already.
    """
    document = facts.document("silence", name)
    if document is None:
        raise NotFound(f"There is no silence {name!r}.", "List them:  watchkeeper silences list")
    if document.state != "active":
        raise BadTransition(f"The silence {name!r} has ended already.")
    body = {**document.body, "ends_at": max(now, _after(document.body["starts_at"])).isoformat()}
    fact = Fact(kind="silence.expired", at=now, actor=actor, subject=name, key=f"silence.expired:{name}")
    facts.append([fact], [replace(document, body=body, state="expired", due=None, updated_at=now)])
    return Silence.of_body(name, body)


def expire_silences(facts: FactStore, *, now: datetime, lease: Lease | None = None) -> int:
    """Write down which silences have ended by themselves."""
    ended = facts.documents("silence", states=["active"], due_before=now, limit=_ALL)
    for document in ended:
        fact = Fact(
            kind="silence.expired",
            at=now,
            actor=_ACTOR,
            subject=document.key,
            key=f"silence.expired:{document.key}",
        )
        facts.append([fact], [replace(document, state="expired", due=None, updated_at=now)], lease=lease)
    return len(ended)


def document_of(alert: Alert, revision: int, now: datetime) -> Document:
    """The alert as the ledger keeps it; its rank puts what fires, and the grave, on top."""
    live = alert.state in (AlertState.FIRING, AlertState.PENDING)
    return Document(
        kind="alert",
        key=alert.fingerprint,
        body=alert.to_body(),
        state=alert.state.value,
        model=alert.model,
        rank=alert.severity.rank + (10 if live and not alert.retrospective else 0),
        updated_at=now,
        revision=revision,
    )


def _after(moment: str) -> datetime:
    return datetime.fromisoformat(moment) + timedelta(seconds=1)
