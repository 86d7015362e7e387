"""In step with Alertmanager: firing alerts sent again and again, ends told, silences mirrored both ways.

Alertmanager forgets an alert that is not sent again, so this runs at every tick beside the outbox. A silence made on
one side appears on the other; ended on one, it ends on the other; given another end there, it gets it here (and in
other Alertmanagers); lost there (a restart without its data), it is made there again. Which belongs to which is kept
in the silence (``details.alertmanager``, and the end seen there in ``details.until``), so that nothing is made twice, and
none is sent back to where it came from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from watchkeeper.domain.alert import Alert
from watchkeeper.domain.silence import Silence
from watchkeeper.errors import WatchkeeperError
from watchkeeper.loop.alerting.alert_actions import silence_created, silence_expired
from watchkeeper.loop.records.kinds import ALERT, SILENCE, SILENCE_CHANGED, SILENCE_MIRRORED
from watchkeeper.loop.records.records import Kept, Records, write
from watchkeeper.ports.ledger import FactStore

ACTOR = "alertmanager"
TELL_END_FOR = timedelta(minutes=5)
"""How long the end of an alert is sent again, as Prometheus does not trust one delivery either."""
MOMENT = timedelta(seconds=1)
LIVES = ("active", "pending")


class AlertmanagerClient(Protocol):
    """What is asked of the adapter."""

    name: str
    resend_every: timedelta

    def push(self, alerts: Sequence[Mapping[str, Any]], *, now: datetime) -> int:
        """Send alerts."""
        ...

    def silences(self) -> list[tuple[Silence, str]]:
        """Every silence with its state."""
        ...

    def put_silence(self, silence: Silence, *, id: str = "") -> str:
        """Create or replace one."""
        ...

    def expire_silence(self, id: str) -> None:
        """End one."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Synced:
    """What one pass did. ``problem`` says why it stopped early; the next pass goes on."""

    sent: int = 0
    pushed: int = 0
    pulled: int = 0
    ended: int = 0
    problem: str = ""


class AlertmanagerSync:
    """Keeps one Alertmanager in step with the ledger. Call it at every tick; it knows when it is time."""

    def __init__(
        self,
        facts: FactStore,
        client: AlertmanagerClient,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._facts, self._client, self._clock = facts, client, clock
        self._sent_at: datetime | None = None
        self._known: set[str] = set()
        """Fingerprints that were sent as firing."""
        self._ending: dict[str, datetime] = {}

    def __call__(self) -> Synced:
        """One pass; a fault of the other side is in ``problem``, not raised."""
        try:
            sent = self.send()
            pushed, pulled, ended = self.mirror()
        except WatchkeeperError as fault:
            return Synced(problem=str(fault))
        return Synced(sent=sent, pushed=pushed, pulled=pulled, ended=ended)

    def send(self) -> int:
        """Send all that fires and all that has just ended, when it is time; return how many."""
        now = self._clock()
        due = self._sent_at is None or now - self._sent_at >= self._client.resend_every
        firing = self._alerts(("firing",))
        fresh = [k for k in firing if k not in self._known]
        gone = [k for k in self._known if k not in firing]
        if not due and not fresh and not gone:
            return 0
        first = self._sent_at is None
        for key in gone:
            self._ending.setdefault(key, now)
        for key in firing:
            self._ending.pop(key, None)
        if first:
            # After a restart: what ended meanwhile is told too.
            for key, alert in self._alerts(("resolved",)).items():
                if alert.changed_at is not None and now - alert.changed_at <= TELL_END_FOR:
                    self._ending.setdefault(key, now)
        ended = []
        for key, since in list(self._ending.items()):
            kept = Records(self._facts, ALERT).get(key)
            if kept is None or now - since > TELL_END_FOR:
                del self._ending[key]
            else:
                ended.append({**ALERT.body(kept.value), "state": "resolved"})
        batch = [*map(ALERT.body, firing.values()), *ended]
        if batch:
            self._client.push(batch, now=now)
        self._sent_at, self._known = now, set(firing)
        return len(batch)

    def _alerts(self, states: tuple[str, ...]) -> dict[str, Alert]:
        found = Records(self._facts, ALERT).all(states=states)
        return {kept.key: kept.value for kept in found if not kept.value.retrospective}

    def mirror(self) -> tuple[int, int, int]:
        """Bring silences into step; return how many were pushed there, pulled here, and ended on either side."""
        now = self._clock()
        theirs = {s.id: (s, state) for s, state in self._client.silences()}
        pushed = pulled = ended = 0
        linked: set[str] = set()
        for kept in list(Records(self._facts, SILENCE).all()):
            silence = kept.value
            other = str((silence.details.get("alertmanager") or {}).get(self._client.name, ""))
            if other:
                linked.add(other)
            live_here = silence.state == "active" and silence.ends_at > now
            there = theirs.get(other) if other else None
            if live_here and there is None:
                linked.add(self._push(kept, "", now))
                pushed += 1
            elif live_here and there is not None and there[1] == "expired":
                over = replace(silence, ends_at=max(now, silence.starts_at + MOMENT), state="expired")
                write(
                    self._facts, [silence_expired(kept.key, actor=ACTOR, now=now)], [kept.to(over)], now=now
                )
                ended += 1
            elif live_here and there is not None:
                seen = (silence.details.get("until") or {}).get(self._client.name)
                if seen is None or _differ(there[0].ends_at, datetime.fromisoformat(seen)):
                    pulled += self._take_end(kept, there[0].ends_at, now)
                elif _differ(there[0].ends_at, silence.ends_at):
                    linked.add(self._push(kept, other, now))
                    pushed += 1
            elif not live_here and there is not None and there[1] in LIVES:
                self._client.expire_silence(other)
                ended += 1
        for name, (silence, state) in theirs.items():
            if state in LIVES and name not in linked and self._take(silence, now):
                pulled += 1
        return pushed, pulled, ended

    def _push(self, kept: Kept[Silence], other: str, now: datetime) -> str:
        """Make it there, or give it our end; return its name there."""
        silence = kept.value
        name = self._client.put_silence(silence, id=other)
        fact = SILENCE_MIRRORED({"to": self._client.name}, at=now, actor="watchkeeper", subject=kept.key)
        write(self._facts, [fact], [kept.to(self._linked(silence, name, silence.ends_at))], now=now)
        return name

    def _take_end(self, kept: Kept[Silence], end: datetime, now: datetime) -> bool:
        """It was given another *end* there (or we see that end for the first time)."""
        silence = kept.value
        after = self._linked(silence, silence.details["alertmanager"][self._client.name], end)
        if not _differ(end, silence.ends_at):
            write(self._facts, [], [kept.to(after)], now=now)
            return False
        said = {"from": silence.ends_at.isoformat(), "to": end.isoformat()}
        fact = SILENCE_CHANGED(said, at=now, actor=ACTOR, subject=kept.key)  # type: ignore[arg-type]
        write(self._facts, [fact], [kept.to(replace(after, ends_at=end))], now=now)
        return True

    def _linked(self, silence: Silence, name: str, end: datetime) -> Silence:
        details = dict(silence.details)
        details["alertmanager"] = {**(details.get("alertmanager") or {}), self._client.name: name}
        details["until"] = {**(details.get("until") or {}), self._client.name: end.isoformat()}
        return replace(silence, details=details)

    def _take(self, silence: Silence, now: datetime) -> bool:
        key = f"am-{silence.id}"[:60]
        details = {
            "from": "alertmanager",
            "alertmanager": {self._client.name: silence.id},
            "until": {self._client.name: silence.ends_at.isoformat()},
        }
        mirrored = replace(silence, id=key, details=details, created_at=now, state="active")
        fact = silence_created(mirrored, actor=ACTOR, now=now)
        return Records(self._facts, SILENCE).put_new(mirrored, fact, now=now)


def _differ(one: datetime, other: datetime) -> bool:
    """Whether two ends are not the same; Alertmanager rounds to milliseconds."""
    return abs(one - other) >= timedelta(seconds=1)
