"""The outbox: what must be told is written down first, then sent until somebody has it.

Promises
--------
- *At least once.* An entry is in the ledger before it is sent and stays ``waiting`` until its receiver has taken
  it, so a crash at any moment can only repeat it. A repeat carries the same key.
- *No channel delays another.* Each has a worker, a queue and a back-off of its own.
- *Bounded.* Queues hold ``queue_size`` entries, the ledger holds the rest. Tries are limited; then the entry is
  ``dead``, another channel is told of it once an hour, and `retry` sends it again.
- *Each target has its own result.* A channel may be several targets; only those that failed are tried again.
- *Nobody is woken for what can wait.* A target that wakes people (``wakes``: pagers, telephones) is ``spared`` a message
  about windows of long ago or notices; the other targets and channels have it.

States of an entry: ``waiting`` (due at ``due``), ``sending`` (claimed until ``due``: a claim that ran out belongs to
a process that died, and is taken over), ``sent``, ``dead``, ``dropped`` (dead, and given up by somebody).
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from queue import Empty, Full, Queue
from typing import Any

from watchkeeper.documents.message import compose
from watchkeeper.domain.fact import Document, Fact
from watchkeeper.errors import BadInput, Conflict, NotFound, StoreUnavailable, WatchkeeperError, nearest
from watchkeeper.ports.ledger import FactStore
from watchkeeper.ports.notifier import Notifier

KIND = "outbox"
ACTOR = "watchkeeper"
_NEVER = datetime.min.replace(tzinfo=UTC)
TAKEN = ("sent", "spared")
"""States of a target that need no further try."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How long to keep trying, and how patiently."""

    tries: int = 30
    first_wait: timedelta = timedelta(seconds=5)
    longest_wait: timedelta = timedelta(hours=1)
    lifetime: timedelta = timedelta(days=1)
    """An entry older than this that fails again is given up, however few its tries."""
    jitter: float = 0.2
    """Share of a wait that is drawn at random, so that many entries do not come back together."""

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


def outbox_entry(
    channel: str,
    key: str,
    body: Mapping[str, Any],
    *,
    now: datetime,
    model: str = "",
    due: datetime | None = None,
) -> Document:
    """A document that asks for one notification. *key* is its idempotency key: the same key is one notification.

    Write it in the transaction of the facts that it tells of.
    """
    full = {"channel": channel, "created_at": now.isoformat(), **body}
    return Document(
        kind=KIND, key=key, state="waiting", model=model, due=due or now, updated_at=now, body=full
    )


def outbox_problems(facts: FactStore) -> list[str]:
    """One sentence for each channel whose newest message could not be told: the alerting itself needs somebody."""
    newest: dict[str, Document] = {}
    dead: Counter[str] = Counter()
    for document in facts.documents(KIND, states=("dead", "sent", "dropped"), limit=1000):
        channel = str(document.body.get("channel", ""))
        dead[channel] += document.state == "dead"
        known = newest.get(channel)
        if known is None or (document.updated_at or _NEVER) > (known.updated_at or _NEVER):
            newest[channel] = document
    return [
        f"The channel {channel} could not be told ({dead[channel]:,} dead letters): "
        f"{str(document.body.get('last_error') or 'unknown').splitlines()[0]} See:  watchkeeper outbox dead"
        for channel, document in sorted(newest.items())
        if document.state == "dead"
    ]


class Outbox:
    """Sends what waits in the ledger, one worker a channel.

    Parameters
    ----------
    facts : the ledger's store of facts and documents.
    channels : by name, the notifiers of its targets.
    unusable : configured channels that cannot be used, and why: what is for them is dead, with that reason.
    silent : channels that are switched off: what is for them is left out.
    enrich : adds to a body what is only known when it is sent (``chart``, ``lessons``); its failure costs nothing else.
    claim_for : how long a send may take before another process believes that this one died.
    """

    def __init__(
        self,
        facts: FactStore,
        channels: Mapping[str, Sequence[Notifier]],
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        policy: RetryPolicy | None = None,
        project: str = "watch",
        url: str = "",
        templates: str | None = None,
        enrich: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,
        unusable: Mapping[str, str] | None = None,
        silent: Collection[str] = (),
        claim_for: timedelta = timedelta(minutes=2),
        queue_size: int = 100,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._facts, self._clock, self._policy = facts, clock, policy or RetryPolicy()
        self._channels = {name: tuple(targets) for name, targets in channels.items()}
        self._project, self._url, self._templates, self._enrich = project, url, templates, enrich
        self._unusable, self._silent = dict(unusable or {}), frozenset(silent)
        self._claim_for, self._queue_size, self._draw = claim_for, queue_size, draw
        self._queues: dict[str, Queue[Document]] = {}
        self._workers: dict[str, threading.Thread] = {}
        self._lock = threading.Condition()
        self._busy: dict[str, set[str]] = defaultdict(set)
        self._until: dict[str, datetime] = {}
        self._stopping = threading.Event()
        self._runner: threading.Thread | None = None

    # ---- running

    def deliver(self, timeout_s: float = 60.0) -> int:
        """Send everything that is due now; return how many entries were handed to their workers.

        Comes back when all of them have a result, or after *timeout_s*: a channel that hangs goes on by itself.
        """
        deadline = time.monotonic() + timeout_s
        handed = self._hand_out()
        while (left := deadline - time.monotonic()) > 0:
            self._wait_for_a_channel(min(left, 1.0))
            more = self._hand_out()
            handed += more
            if not more and not any(self._busy.values()):
                break
        return handed

    def start(self, every: timedelta = timedelta(seconds=1)) -> None:
        """Send in the background until `stop`."""
        if self._runner is not None:
            return
        self._stopping.clear()
        self._runner = threading.Thread(target=self._run, args=(every,), name="wk-outbox", daemon=True)
        self._runner.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Stop handing out; wait at most *timeout_s* for what is being sent. What is not done stays in the ledger."""
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
            # Where a dead channel has thousands waiting, looking at them takes time: look less often then.
            self._stopping.wait(max(every.total_seconds(), 5 * (time.monotonic() - started)))

    def _wait_for_a_channel(self, timeout_s: float) -> None:
        """Wait until a channel that works is done: it may have more to do, whatever the others are still at."""
        with self._lock:
            working = {name for name, keys in self._busy.items() if keys}
            if working:
                self._lock.wait_for(lambda: any(not self._busy[name] for name in working), timeout_s)

    def _hand_out(self) -> int:
        """Give due entries to the workers of their channels, as many as their queues take."""
        now, handed, full = self._clock(), 0, set()
        offset, page = 0, 500
        while not self._stopping.is_set():
            due = self._facts.documents(
                KIND, states=("waiting", "sending"), due_before=now, order="due", limit=page, offset=offset
            )
            for document in due:
                channel = str(document.body.get("channel", ""))
                if channel in full or self._until.get(channel, now) > now:
                    continue
                if channel not in self._channels:
                    if channel in self._silent:
                        self._leave_out(document, now)
                    else:
                        self._bury(document, channel, now)
                    continue
                with self._lock:
                    if document.key in self._busy[channel]:
                        continue
                    try:
                        self._queue(channel).put_nowait(document)
                    except Full:
                        full.add(channel)
                        continue
                    self._busy[channel].add(document.key)
                    handed += 1
            if len(due) < page or len(full) == max(1, len(self._channels)):
                break
            offset += page
        return handed

    def _queue(self, channel: str) -> Queue[Document]:
        """The queue of a channel; its worker starts with the first entry. Called under the lock."""
        if channel not in self._queues:
            self._queues[channel] = Queue(self._queue_size)
            worker = threading.Thread(
                target=self._work, args=(channel,), name=f"wk-outbox-{channel}", daemon=True
            )
            self._workers[channel] = worker
            worker.start()
        return self._queues[channel]

    def _work(self, channel: str) -> None:
        queue = self._queues[channel]
        while True:
            try:
                document = queue.get(timeout=1.0)
            except Empty:
                with self._lock:
                    # Idle: give the thread back. The lock keeps an entry from being put into a queue without worker.
                    if queue.empty():
                        del self._queues[channel], self._workers[channel]
                        return
                continue
            try:
                if not self._stopping.is_set() and self._until.get(channel, self._clock()) <= self._clock():
                    self._send(channel, document)
            except (Conflict, StoreUnavailable):
                pass  # somebody else has it, or the ledger is away: the entry is looked at again when it is due
            finally:
                with self._lock:
                    self._busy[channel].discard(document.key)
                    self._lock.notify_all()

    # ---- one entry

    def _send(self, channel: str, document: Document) -> None:
        now = self._clock()
        claimed = replace(document, state="sending", due=now + self._claim_for, updated_at=now)
        self._facts.append([], [claimed])
        document = replace(claimed, revision=document.revision + 1)
        body = dict(document.body)
        results: dict[str, Any] = {k: dict(v) for k, v in (body.get("targets") or {}).items()}
        tried = int(body.get("tries") or 0) + 1
        message = self._message(body, document.key)
        waits: list[float] = []
        pending = refused = False
        for target in self._channels[channel]:
            state = results.setdefault(target.name, {"state": "waiting"})
            if state["state"] in TAKEN:
                continue
            if body.get("can_wait") and getattr(target, "wakes", False):
                state.update(state="spared", at=now.isoformat())
                continue
            state["tries"] = int(state.get("tries") or 0) + 1
            try:
                target.send(message, key=document.key)
            except StoreUnavailable as fault:
                pending = True
                state.update(state="waiting", error=str(fault)[:500])
                if (asked := getattr(fault, "retry_after_s", None)) is not None:
                    waits.append(float(asked))
            except WatchkeeperError as fault:
                refused = True
                state.update(state="refused", error=str(fault)[:500])
            except Exception as fault:
                # An adapter must not end the worker; and its text may hold a secret, so only its kind is kept.
                pending = True
                state.update(state="waiting", error=f"a fault in the channel itself: {type(fault).__name__}")
            else:
                state.update(state="sent", at=self._clock().isoformat())
                state.pop("error", None)
        self._record(document, channel, body, results, tried, pending, refused, max(waits, default=None))

    def _message(self, body: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        full = dict(body)
        if self._enrich is not None:
            try:
                full = {**full, **self._enrich(full)}
            except Exception:
                full = dict(body)  # a chart that cannot be drawn is no reason to say nothing
        full["reference"] = key
        return compose(full, project=self._project, url=self._url, folder=self._templates).to_dict()

    def _record(
        self,
        document: Document,
        channel: str,
        body: dict[str, Any],
        results: dict[str, Any],
        tried: int,
        pending: bool,
        refused: bool,
        asked: float | None,
    ) -> None:
        now = self._clock()
        body.update(tries=tried, targets=results)
        errors = {name: r["error"] for name, r in results.items() if r.get("error")}
        about = {"channel": channel, "tries": tried, **({"errors": errors} if errors else {})}
        age = now - datetime.fromisoformat(
            body.get("retried_at") or body.get("created_at") or now.isoformat()
        )
        if pending and tried < self._policy.tries and age < self._policy.lifetime:
            wait = self._policy.wait(tried, asked, self._draw())
            body["last_error"] = next(iter(errors.values()), "")
            state, kind, due = "waiting", "outbox.failed", now + wait
            # The others of this channel need not all run into the same wall.
            self._until[channel] = max(self._until.get(channel, now), now + min(wait, timedelta(minutes=1)))
        elif pending or refused:
            body["last_error"] = next(iter(errors.values()), "")
            state, kind, due = "dead", "outbox.dead", None
        else:
            body.pop("last_error", None)
            state, kind, due = "sent", "outbox.sent", None
            self._until.pop(channel, None)
        fact = Fact(
            kind=kind,
            at=now,
            actor=ACTOR,
            model=document.model,
            subject=document.key,
            body=about,
            key=f"{kind}:{document.key}:{body.get('rounds', 0)}:{tried}",
        )
        self._facts.append([fact], [replace(document, state=state, body=body, due=due, updated_at=now)])
        if state == "dead":
            self._tell_of_dead(channel, body, now)

    def _leave_out(self, document: Document, now: datetime) -> None:
        body = {**document.body, "last_error": "The channel is switched off."}
        with suppress(Conflict):
            self._facts.append([], [replace(document, state="sent", body=body, due=None, updated_at=now)])

    def _bury(self, document: Document, channel: str, now: datetime) -> None:
        """There is nothing that could send it: the channel is not configured, or cannot be used."""
        if channel in self._unusable:
            said = f"The channel {channel!r} cannot be used. {self._unusable[channel]}"
        else:
            said = f"There is no channel {channel!r}.{nearest(channel, self._channels)}"
        body = {**document.body, "last_error": said}
        fact = Fact(
            kind="outbox.dead",
            at=now,
            actor=ACTOR,
            model=document.model,
            subject=document.key,
            body={"channel": channel, "errors": {"": said}},
            key=f"outbox.dead:{document.key}:{body.get('rounds', 0)}:0",
        )
        try:
            self._facts.append([fact], [replace(document, state="dead", body=body, due=None, updated_at=now)])
        except Conflict:
            return
        self._tell_of_dead(channel, body, now)

    def _tell_of_dead(self, channel: str, body: Mapping[str, Any], now: datetime) -> None:
        """An alert about the alerting: the other channels hear that this one is dead, at most once an hour."""
        if body.get("about_channel"):
            return
        hour = now.strftime("%Y-%m-%dT%H")
        for other in self._channels:
            if other == channel:
                continue
            notice = {
                "title": f"The channel {channel} could not be told",
                "text": f"{body.get('last_error', '')}\nWhat it missed waits as a dead letter:  watchkeeper outbox dead\n"
                "Send it again when the channel is mended:  watchkeeper outbox retry --all",
                "status": "notice",
                "severity": "critical",
                "group": f"channel:{channel}",
                "about_channel": channel,
            }
            key = f"dead:{channel}:{hour}:{other}"
            try:
                self._facts.append([], [outbox_entry(other, key, notice, now=now)])
            except Conflict:
                continue  # it has been told this hour

    # ---- looking and repairing

    def entries(self, *states: str, limit: int = 1000) -> list[Document]:
        """Entries in these states (all without any), newest first."""
        return self._facts.documents(KIND, states=states, limit=limit)

    def retry(self, *keys: str, actor: str) -> int:
        """Send dead letters again (all of them without *keys*); targets that have it are left out.

        Raises
        ------
        NotFound
            there is no such entry.
        BadInput
            it is not dead.
        """
        found = self._dead_letters(keys)
        now = self._clock()
        for document in found:
            rounds = int(document.body.get("rounds") or 0) + 1
            targets = {
                name: r if r["state"] in TAKEN else {"state": "waiting"}
                for name, r in (document.body.get("targets") or {}).items()
            }
            body = {
                **document.body,
                "tries": 0,
                "rounds": rounds,
                "targets": targets,
                "retried_at": now.isoformat(),
            }
            fact = Fact(
                kind="outbox.retried", at=now, actor=actor, subject=document.key, body={"round": rounds}
            )
            self._facts.append(
                [fact], [replace(document, state="waiting", body=body, due=now, updated_at=now)]
            )
        return len(found)

    def drop(self, *keys: str, actor: str) -> int:
        """Give dead letters up for good (all of them without *keys*): they are kept, and nobody is told of them any more.

        Raises
        ------
        NotFound, BadInput
            as for `retry`.
        """
        found = self._dead_letters(keys)
        now = self._clock()
        for document in found:
            fact = Fact(kind="outbox.dropped", at=now, actor=actor, subject=document.key)
            self._facts.append([fact], [replace(document, state="dropped", due=None, updated_at=now)])
        return len(found)

    def _dead_letters(self, keys: Sequence[str]) -> list[Document]:
        found = []
        for key in keys:
            document = self._facts.document(KIND, key)
            if document is None:
                raise NotFound(f"There is no notification {key!r}.", "List them:  watchkeeper outbox list")
            if document.state != "dead":
                raise BadInput(f"The notification {key!r} is not dead but {document.state}.")
            found.append(document)
        return found if keys else self._facts.documents(KIND, states=("dead",), limit=100_000)

    def prune(self, *, older_than: timedelta = timedelta(days=30)) -> int:
        """Delete entries that were sent long ago; facts of them stay."""
        before = self._clock() - older_than
        gone = 0
        while True:
            old = self._facts.documents(KIND, states=("sent",), limit=500, order="updated_at")
            keys = [(KIND, d.key) for d in old if d.updated_at is not None and d.updated_at < before]
            if not keys:
                return gone
            gone += self._facts.forget(keys)
