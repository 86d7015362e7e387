"""Effects are recorded, then performed, then recorded as done: whatever crashes, and whoever takes over.

Promises
--------
- *At least once.* An effect is in the ledger before it is performed and stays there until its performer is done, so a
  crash at any moment can only repeat it, under the same key.
- *One at a time.* Who performs an effect holds a claim on it and renews it meanwhile; a claim that runs out belonged to
  a process that died, and another takes over.
- *No lane delays another.* Each has a worker, a queue and a back-off of its own.
- *Bounded.* Queues hold ``queue_size`` effects, the ledger holds the rest. Tries are limited; then the effect is a dead
  letter, and `Effects.retry` brings it back.

A kind of effect is a `Performer` in the table that `Effects` is given.
"""

from __future__ import annotations

import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from queue import Empty, Full, Queue
from typing import Any, TypedDict

from watchkeeper.domain.effect import Effect, EffectState, Performed
from watchkeeper.domain.fact import Document, Fact
from watchkeeper.errors import BadConfig, BadInput, Conflict, StoreUnavailable, WatchkeeperError, nearest
from watchkeeper.loop.records.facts import kinds_of
from watchkeeper.loop.records.records import Kept, Kind, Records, write
from watchkeeper.ports.ledger import FactStore
from watchkeeper.ports.performer import Performer

ACTOR = "watchkeeper"
Lane = tuple[str, str]
"""The kind of an effect, and its lane."""


def _of_message(document: Document) -> Mapping[str, Any]:
    """Version 0.1.0 stored a message's own values beside those of its sending."""
    if "lane" in document.body:
        return {"due": document.due, **document.body}
    body = dict(document.body)
    own = {"lane": body.pop("channel", ""), "progress": body.pop("targets", None) or {}, "due": document.due}
    own["created_at"] = body.pop("created_at", None) or document.updated_at
    own |= {k: body.pop(k) for k in ("tries", "rounds", "retried_at", "last_error") if k in body}
    return {**own, "body": body}


EFFECT = Kind(
    "outbox",
    Effect,
    key="key",
    state="state",
    model="model",
    due=lambda effect: effect.due or (effect.created_at if effect.state is EffectState.WAITING else None),
    upgrade=_of_message,
    find_them="watchkeeper outbox list",
)


class EffectTried(TypedDict, total=False):
    """Of which kind and lane it was, how often it was tried, and what went wrong."""

    kind: str
    channel: str
    tries: int
    errors: dict[str, str]
    round: int


FACTS = kinds_of("outbox", ("sent", "failed", "dead", "retried", "dropped"), EffectTried)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How long to keep trying, and how patiently."""

    tries: int = 30
    first_wait: timedelta = timedelta(seconds=5)
    longest_wait: timedelta = timedelta(hours=1)
    lifetime: timedelta = timedelta(days=1)
    """An effect older than this that fails again is given up, however few its tries."""
    jitter: float = 0.2
    """Share of a wait that is drawn at random, so that many effects do not come back together."""

    def wait(self, tried: int, retry_after_s: float | None = None, draw: float = 0.5) -> timedelta:
        """How long to wait after try number *tried* (from 1); never less than the receiver asked for.

        >>> policy = RetryPolicy(jitter=0)
        >>> [policy.wait(n).total_seconds() for n in (1, 2, 3, 20)]
        [5.0, 10.0, 20.0, 3600.0]
        >>> policy.wait(1, retry_after_s=90).total_seconds()
        90.0
        """
        plain = min(self.longest_wait, self.first_wait * 2 ** min(tried - 1, 40))
        spread = plain * (1 + self.jitter * (2 * draw - 1))
        return max(spread, timedelta(seconds=retry_after_s or 0))


class Effects:
    """Performs what waits in the ledger, one worker a lane.

    Parameters
    ----------
    facts : the ledger's store of facts and documents.
    performers : by kind of effect.
    claim_for : how long a process that died keeps others from taking over.
    """

    def __init__(
        self,
        facts: FactStore,
        performers: Mapping[str, Performer],
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        policy: RetryPolicy | None = None,
        claim_for: timedelta = timedelta(minutes=2),
        queue_size: int = 100,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._facts, self._clock, self._policy = facts, clock, policy or RetryPolicy()
        self._records, self._performers = Records(facts, EFFECT), dict(performers)
        self._claim_for, self._queue_size, self._draw = claim_for, queue_size, draw
        self._queues: dict[Lane, Queue[Kept[Effect]]] = {}
        self._lock = threading.Condition()
        self._busy: dict[Lane, set[str]] = defaultdict(set)
        self._until: dict[Lane, datetime] = {}
        self._stopping = threading.Event()
        self._runner: threading.Thread | None = None

    # ---- running

    def deliver(self, timeout_s: float = 60.0) -> int:
        """Perform everything that is due now; return how many effects were handed to their workers.

        Comes back when all of them have a result, or after *timeout_s*: a lane that hangs goes on by itself.
        """
        deadline = time.monotonic() + timeout_s
        handed = self._hand_out()
        while (left := deadline - time.monotonic()) > 0:
            self._wait_for_a_lane(min(left, 1.0))
            more = self._hand_out()
            handed += more
            if not more and not any(self._busy.values()):
                break
        return handed

    def start(self, every: timedelta = timedelta(seconds=1)) -> None:
        """Perform in the background until `stop`."""
        if self._runner is not None:
            return
        self._stopping.clear()
        self._runner = threading.Thread(target=self._run, args=(every,), name="wk-effects", daemon=True)
        self._runner.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Stop handing out; wait at most *timeout_s* for what is being done. What is not done stays in the ledger."""
        self._stopping.set()
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.join(timeout_s)
        with self._lock:
            self._lock.wait_for(lambda: not any(self._busy.values()), timeout_s)

    def _run(self, every: timedelta) -> None:
        while not self._stopping.is_set():
            started = time.monotonic()
            with suppress(StoreUnavailable):  # the ledger is away for a moment; all of it is in there
                self._hand_out()
            # Where a dead lane has thousands waiting, looking at them takes time: look less often then.
            self._stopping.wait(max(every.total_seconds(), 5 * (time.monotonic() - started)))

    def _wait_for_a_lane(self, timeout_s: float) -> None:
        """Wait until a lane that works is done: it may have more to do, whatever the others are still at."""
        with self._lock:
            working = {lane for lane, keys in self._busy.items() if keys}
            if working:
                self._lock.wait_for(lambda: any(not self._busy[lane] for lane in working), timeout_s)

    def _hand_out(self) -> int:
        """Give due effects to the workers of their lanes, as many as their queues take."""
        now, handed, full = self._clock(), 0, set[Lane]()
        offset, page = 0, 500
        while not self._stopping.is_set():
            due = self._facts.documents(
                EFFECT.name,
                states=("waiting", "sending"),
                due_before=now,
                order="due",
                limit=page,
                offset=offset,
            )
            for kept in map(EFFECT.read, due):
                lane = (kept.value.kind, kept.value.lane)
                if lane in full or self._until.get(lane, now) > now:
                    continue
                with self._lock:
                    if kept.key in self._busy[lane]:
                        continue
                    try:
                        self._queue(lane).put_nowait(kept)
                    except Full:
                        full.add(lane)
                        continue
                    self._busy[lane].add(kept.key)
                    handed += 1
            if len(due) < page:
                break
            offset += page
        return handed

    def _queue(self, lane: Lane) -> Queue[Kept[Effect]]:
        """The queue of a lane; its worker starts with the first effect. Called under the lock."""
        if lane not in self._queues:
            self._queues[lane] = Queue(self._queue_size)
            threading.Thread(
                target=self._work, args=(lane,), name=f"wk-{lane[0]}-{lane[1]}", daemon=True
            ).start()
        return self._queues[lane]

    def _work(self, lane: Lane) -> None:
        queue = self._queues[lane]
        while True:
            try:
                kept = queue.get(timeout=1.0)
            except Empty:
                with self._lock:
                    # Idle: give the thread back. The lock keeps an effect from being put into a queue without worker.
                    if queue.empty():
                        del self._queues[lane]
                        return
                continue
            try:
                if not self._stopping.is_set() and self._until.get(lane, self._clock()) <= self._clock():
                    self._perform(lane, kept)
            except (Conflict, StoreUnavailable):
                pass  # somebody else has it, or the ledger is away: the effect is looked at again when it is due
            finally:
                with self._lock:
                    self._busy[lane].discard(kept.key)
                    self._lock.notify_all()

    # ---- one effect

    def _perform(self, lane: Lane, kept: Kept[Effect]) -> None:
        with self._claimed(kept) as claim:
            effect = replace(claim.kept.value, tries=claim.kept.value.tries + 1)
            try:
                result = self._performer(effect.kind).perform(effect) or Performed(progress=effect.progress)
            except StoreUnavailable as fault:
                result = Performed(
                    progress=effect.progress,
                    errors={"": str(fault)[:500]},
                    again=True,
                    wait_s=getattr(fault, "retry_after_s", None),
                )
            except WatchkeeperError as fault:
                result = Performed(progress=effect.progress, errors={"": str(fault)[:500]})
            except Exception as fault:
                # A performer must not end the worker; and its text may hold a secret, so only its kind is kept.
                said = f"a fault in the performer itself: {type(fault).__name__}"
                result = Performed(progress=effect.progress, errors={"": said}, again=True)
        self._record(lane, claim.kept.to(replace(effect, progress=result.progress)), result)

    def _performer(self, kind: str) -> Performer:
        if kind not in self._performers:
            raise BadConfig(
                f"Nothing here performs effects of the kind {kind!r}.{nearest(kind, self._performers)}"
            )
        return self._performers[kind]

    @contextmanager
    def _claimed(self, kept: Kept[Effect]) -> Iterator[_Claim]:
        """Claim an effect, and keep the claim from running out while the block does it."""
        claim, over = _Claim(self._claim(kept)), threading.Event()

        def renew() -> None:
            while not over.wait(self._claim_for.total_seconds() / 3):
                try:
                    claim.kept = self._claim(claim.kept)
                except Conflict:
                    return  # taken over: what this one records will be refused
                except StoreUnavailable:
                    continue

        renewing = threading.Thread(target=renew, name="wk-effect-claim", daemon=True)
        renewing.start()
        try:
            yield claim
        finally:
            over.set()
            renewing.join()

    def _claim(self, kept: Kept[Effect]) -> Kept[Effect]:
        now = self._clock()
        claimed = kept.to(replace(kept.value, state=EffectState.PERFORMING, due=now + self._claim_for))
        write(self._facts, [], [claimed], now=now)
        return claimed.written()

    def _record(self, lane: Lane, kept: Kept[Effect], result: Performed) -> None:
        now, effect = self._clock(), kept.value
        age = now - (effect.retried_at or effect.created_at)
        error = next(iter(result.errors.values()), "")
        if error and result.again and effect.tries < self._policy.tries and age < self._policy.lifetime:
            wait = self._policy.wait(effect.tries, result.wait_s, self._draw())
            verb, after = "failed", replace(effect, state=EffectState.WAITING, due=now + wait)
            # The others of this lane need not all run into the same wall.
            self._until[lane] = max(self._until.get(lane, now), now + min(wait, timedelta(minutes=1)))
        elif error:
            verb, after = "dead", replace(effect, state=EffectState.DEAD, due=None)
        else:
            verb, after = "sent", replace(effect, state=EffectState.DONE, due=None)
            self._until.pop(lane, None)
        after = replace(after, last_error=error)
        said: EffectTried = {"kind": effect.kind, "channel": effect.lane, "tries": effect.tries}
        if result.errors:
            said["errors"] = dict(result.errors)
        fact = self._fact(
            verb, after, said, ACTOR, now, key=f"{verb}:{kept.key}:{effect.rounds}:{effect.tries}"
        )
        write(self._facts, [fact], [kept.to(after)], now=now)
        if verb == "dead" and effect.kind in self._performers:
            for follows in self._performers[effect.kind].given_up(after, now=now):
                self._records.put_new(follows, now=now)

    def _fact(
        self,
        verb: str,
        effect: Effect,
        said: EffectTried,
        actor: str,
        now: datetime,
        *,
        key: str | None = None,
    ) -> Fact:
        name = None if key is None else f"outbox.{key}"
        return FACTS[verb](said, at=now, actor=actor, model=effect.model, subject=effect.key, key=name)

    # ---- looking and repairing

    def entries(self, *states: str, limit: int = 1000) -> list[Effect]:
        """Effects in these states (all without any), newest first."""
        return [kept.value for kept in self._records.some(states=states, limit=limit)]

    def retry(self, *keys: str, actor: str) -> int:
        """Perform dead letters again (all of them without *keys*), what is left of them.

        Raises
        ------
        NotFound
            there is no such effect.
        BadInput
            it is not dead.
        """
        now = self._clock()
        found = self._dead_letters(keys)
        for kept in found:
            again = replace(
                kept.value,
                state=EffectState.WAITING,
                due=now,
                tries=0,
                rounds=kept.value.rounds + 1,
                retried_at=now,
            )
            fact = self._fact("retried", again, {"round": again.rounds}, actor, now)
            write(self._facts, [fact], [kept.to(again)], now=now)
        return len(found)

    def drop(self, *keys: str, actor: str) -> int:
        """Give dead letters up for good (all of them without *keys*): they are kept, and are no problem any more.

        Raises
        ------
        NotFound, BadInput
            as for `retry`.
        """
        now = self._clock()
        found = self._dead_letters(keys)
        for kept in found:
            dropped = replace(kept.value, state=EffectState.DROPPED, due=None)
            write(self._facts, [self._fact("dropped", dropped, {}, actor, now)], [kept.to(dropped)], now=now)
        return len(found)

    def _dead_letters(self, keys: Sequence[str]) -> list[Kept[Effect]]:
        found = [self._records.of(key) for key in keys]
        for kept in found:
            if kept.value.state is not EffectState.DEAD:
                raise BadInput(f"The notification {kept.key!r} is not dead but {kept.value.state}.")
        return found if keys else list(self._records.all(states=("dead",)))

    def prune(self, *, older_than: timedelta = timedelta(days=30)) -> int:
        """Delete effects that were done long ago; facts of them stay."""
        before = self._clock() - older_than
        gone = 0
        while True:
            old = self._records.some(states=("sent",), limit=500, order="updated_at")
            keys = [kept.key for kept in old if kept.updated_at is not None and kept.updated_at < before]
            if not keys:
                return gone
            gone += self._records.forget(keys)


@dataclass(slots=True)
class _Claim:
    """The effect that somebody performs, as it stands in the ledger now."""

    kept: Kept[Effect]
