"""What people do with alerts: acknowledge, silence. Each is a fact with its actor, and takes effect at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from watchkeeper.decisions.alerting.state_machine import acknowledge, unacknowledge
from watchkeeper.domain.alert import Alert, fingerprint
from watchkeeper.domain.fact import Fact, Lease
from watchkeeper.domain.silence import Silence, parse_matchers
from watchkeeper.errors import BadInput, BadTransition, NotFound
from watchkeeper.loop.records.kinds import ALERT, ALERT_FACTS, SILENCE, SILENCE_CREATED, SILENCE_EXPIRED
from watchkeeper.loop.records.records import Kept, Records, plain, write
from watchkeeper.ports.ledger import FactStore

_ACTOR = "watchkeeper"


def alert_record(facts: FactStore, name: str) -> Kept[Alert]:
    """An alert by its fingerprint, or the beginning of one.

    Raises
    ------
    NotFound
        there is none, or there are several.
    """
    alerts = Records(facts, ALERT)
    if (found := alerts.get(name)) is not None:
        return found
    starting = [kept for kept in alerts.all() if kept.key.startswith(name)] if name else []
    if len(starting) == 1:
        return starting[0]
    many = "several alerts begin" if starting else "no alert begins"
    raise NotFound(f"There is no alert {name!r}: {many} so.", "List them:  watchkeeper alerts list")


def acknowledge_alert(
    facts: FactStore, name: str, *, actor: str, now: datetime, note: str = "", back: bool = False
) -> Alert:
    """Acknowledge an alert, or take that *back*."""

    def step(alert: Alert) -> Alert:
        if back:
            return unacknowledge(alert, actor=actor, now=now)
        return acknowledge(alert, actor=actor, now=now, note=note)

    def fact(before: Alert, after: Alert) -> Fact:
        kind = ALERT_FACTS["unacknowledged" if back else "acknowledged"]
        return kind({"note": note}, at=now, actor=actor, model=after.model, subject=after.fingerprint)

    return Records(facts, ALERT).change(alert_record(facts, name).key, step, fact, now=now)


def alerts_by_weight(facts: FactStore) -> list[Alert]:
    """Every alert there is, what fires and is grave first."""
    return [k.value for k in sorted(Records(facts, ALERT).all(), key=lambda k: -ALERT.rank(k.value))]


def silences_of(facts: FactStore, *, states: Sequence[str] = ("active",)) -> list[Silence]:
    """Silences in the ledger."""
    return [kept.value for kept in Records(facts, SILENCE).all(states=states)]


def silence_view(silence: Silence) -> dict[str, Any]:
    """A silence as plain JSON values; a matcher is its label, operator and value."""
    times = {k: getattr(silence, k) for k in ("starts_at", "ends_at", "created_at")}
    return {
        **plain(silence),
        **{k: None if at is None else at.isoformat() for k, at in times.items()},
        "matchers": [[m.label, m.operator, m.value] for m in silence.matchers],
    }


def silence_created(silence: Silence, *, actor: str, now: datetime) -> Fact:
    """The fact that *silence* was added."""
    view = silence_view(silence)
    said = {
        k: view[k] for k in ("matchers", "author", "reason", "starts_at", "ends_at", "created_at", "details")
    }
    return SILENCE_CREATED(said, at=now, actor=actor, subject=silence.id)  # type: ignore[arg-type]


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
    write(facts, [silence_created(silence, actor=author, now=now)], [SILENCE.new(silence)], now=now)
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

    def step(silence: Silence) -> Silence:
        if silence.state != "active":
            raise BadTransition(f"The silence {name!r} has ended already.")
        end = max(now, silence.starts_at + timedelta(seconds=1))
        return replace(silence, ends_at=end, state="expired")

    fact = silence_expired(name, actor=actor, now=now)
    return Records(facts, SILENCE).change(name, step, lambda *_: fact, now=now)


def expire_silences(facts: FactStore, *, now: datetime, lease: Lease | None = None) -> int:
    """Write down which silences have ended by themselves."""
    ended = list(Records(facts, SILENCE).all(states=["active"], due_before=now))
    for kept in ended:
        fact = silence_expired(kept.key, actor=_ACTOR, now=now)
        write(facts, [fact], [kept.to(replace(kept.value, state="expired"))], now=now, lease=lease)
    return len(ended)


def silence_expired(name: str, *, actor: str, now: datetime) -> Fact:
    """The fact that a silence is over; the same however often it is found out."""
    return SILENCE_EXPIRED(at=now, actor=actor, subject=name, key=f"silence.expired:{name}")
