"""What a program calls to have its predictions watched."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from watchkeeper.capture.events import Encoder, micros, plain_features
from watchkeeper.capture.identity import IdSource
from watchkeeper.capture.outbox import Outbox
from watchkeeper.capture.redaction import Redaction, sampler
from watchkeeper.domain.instant import implausible
from watchkeeper.domain.row_id import id_text
from watchkeeper.errors import BadInput


class Receipt(str):
    """The id of a prediction recorded with ``durability="strict"``.

    ``committed`` is True when it is on the disk. False means that it was not within ``strict_timeout_s``: it is
    still held and tried again, unless the buffer was full.
    """

    committed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RecorderStats:
    """What became of everything recorded in this process; numbers of predictions and outcomes.

    ``recorded`` were taken, ``flushed`` of them are on the disk, and ``buffered`` entries wait (a batch is one).
    ``dropped`` found the buffer full, ``sampled_out`` were left out on purpose. ``unencodable`` counts *values*
    that became their repr, ``oversized`` predictions whose features were left out, ``errors`` predictions
    recorded with an error. ``failed`` counts flushes that failed (and were tried again), ``bytes`` encoded bytes
    on the disk before compression.
    """

    recorded: int
    flushed: int
    buffered: int
    dropped: int
    sampled_out: int
    unencodable: int
    oversized: int
    errors: int
    failed: int
    bytes: int
    last_error: str | None


class Recorder:
    """Records the predictions of one model version, and later what really happened.

    No method raises into the caller after construction, and none waits for the disk (`flush`, `close` and
    ``durability="strict"`` do, because that is what they are for). Safe from any thread, in asyncio, and after
    a fork.

    By default a prediction is on the disk at most *flush_interval_s* after it was recorded: that much is lost
    when the process is killed or the power fails, nothing when the program ends or `close` is called. With
    ``durability="strict"``, `record` returns after the commit; threads that record together share it.

    Parameters
    ----------
    model, version
        What is watched.
    path
        The data folder, or a project's folder; a local disk. Journals lie in ``journals/`` under it.
    durability
        ``"interval"`` or ``"strict"``.
    flush_interval_s
        Seconds between flushes.
    buffer_events, buffer_bytes
        How much is held in memory at most; past it, events are dropped and counted.
    max_event_bytes
        A prediction larger than this is recorded without its features.
    sample_rate
        The share of predictions to keep, by the hash of the id.
    drop, hash_columns, hash_key
        Columns (of features and of tags) that are left out or replaced by a hash with your secret key.
    label_below
        Predictions whose confidence is below this are marked as worth a label. The confidence of a score is its
        largest class probability; of one number it is ``max(score, 1 - score)``.
    strict_timeout_s
        How long ``record`` waits in strict mode.
    clock
        Seconds since 1970 UTC.

    Raises
    ------
    BadInput
        an option makes no sense.

    >>> from tempfile import mkdtemp
    >>> with Recorder("churn", "3", path=mkdtemp()) as recorder:
    ...     id = recorder.record({"age": 41, "plan": "basic"}, True, score=0.83)
    ...     _ = recorder.outcome(id, False)
    >>> recorder.stats().flushed
    2
    """

    def __init__(
        self,
        model: str,
        version: str | int,
        *,
        path: str | os.PathLike[str] = "./watchkeeper-data",
        durability: Literal["interval", "strict"] = "interval",
        flush_interval_s: float = 1.0,
        buffer_events: int = 200_000,
        buffer_bytes: int = 256 << 20,
        max_event_bytes: int = 1 << 20,
        sample_rate: float = 1.0,
        drop: Collection[str] = (),
        hash_columns: Collection[str] = (),
        hash_key: str | bytes | None = None,
        label_below: float | None = None,
        strict_timeout_s: float = 5.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._options = {k: v for k, v in locals().items() if k != "self"}
        if not isinstance(model, str) or not model.strip():
            raise BadInput(f"The model's name is {model!r}.", "Give a text, such as 'churn'.")
        if durability not in ("interval", "strict"):
            raise BadInput(f"durability is {durability!r}.", 'Give "interval" or "strict".')
        for name, number in (
            ("flush_interval_s", flush_interval_s), ("buffer_events", buffer_events),
            ("buffer_bytes", buffer_bytes), ("max_event_bytes", max_event_bytes),
            ("strict_timeout_s", strict_timeout_s),
        ):  # fmt: skip
            if not number > 0:
                raise BadInput(f"{name} is {number!r}.", "Give a number above 0.")
        self.model, self.version = model, str(version)
        self.sample_rate, self.label_below = sample_rate, label_below
        self._keep = sampler(sample_rate)
        self.redaction = Redaction(drop=drop, hash_columns=hash_columns, key=hash_key)
        self._redact = self.redaction if self.redaction else None
        self._strict_s = strict_timeout_s if durability == "strict" else None
        self._largest = min(max_event_bytes, buffer_bytes)
        self._ids = IdSource(clock)
        self._encoder = Encoder()
        self._outbox = Outbox(
            path, model=model, version=self.version, flush_interval_s=flush_interval_s,
            most_events=buffer_events, most_bytes=buffer_bytes, clock=clock,
        )  # fmt: skip
        self._simple = self._keep is None and self._redact is None and label_below is None
        # Bound once: this saves a tenth of a microsecond at every call of record().
        self._next, self._encode, self._put = self._ids.next, self._encoder._fast, self._outbox.put
        self._together = threading.local()
        self._retired = weakref.finalize(self, self._outbox.retire)
        self._retired.atexit = False

    def record(
        self,
        features: Any,
        prediction: Any = None,
        *,
        score: Any = None,
        id: str | None = None,
        at: Any = None,
        latency_s: float | None = None,
        error: str | None = None,
        tags: Mapping[str, Any] | None = None,
    ) -> str:
        """Record one prediction; return its id, under which the outcome will be told.

        *features* is a mapping of column to value (see `plain_features` for what else), *score* a probability
        (of the positive class) or a mapping of class to probability, *at* a datetime (naive: UTC), ISO text or
        a number since 1970 (seconds, or finer: its size shows it), *latency_s* the seconds that the model took, *error* a text when it failed.
        An id given twice is one prediction: the first one counts. A prediction whose id or time cannot be used (a
        fraction, a word, the year 57850) is dropped, counted and noted in `stats`, never recorded as made now.
        """
        try:
            if id is None and at is None:
                id, at_us = self._next()
            else:
                id, at_us = self._identify(id, at)
            if self._simple and latency_s is error is tags is None and type(features) is dict:
                try:
                    event = self._encode(("p", id, at_us, features, prediction, score))
                except Exception:
                    self._encoder.take_unencodable()  # counted by the attempt that failed
                    event = self._encoder.encode(("p", id, at_us, features, prediction, score))
            else:
                if self._keep is not None and not self._keep(id):
                    self._outbox.count("sampled_out")
                    return id
                event = self._full(id, at_us, features, prediction, score, latency_s, error, tags)
                if error is not None:
                    self._outbox.count("errors")
            if len(event) > self._largest:
                event = self._without_features(id, at_us, prediction, score, latency_s, error)
            parcel = self._put(event)
            if self._encoder.unencodable:
                self._outbox.count("unencodable", self._encoder.take_unencodable())
            return id if self._strict_s is None else self._receipt(id, parcel)
        except Exception as trouble:
            self._refused(trouble)
        return id if type(id) is str else self._next()[0]

    def record_all(self, rows: Iterable[Mapping[str, Any]]) -> list[str]:
        """Record predictions that were made together, each as the arguments of `record`; return their ids.

        In strict mode they wait together, for one commit.
        """
        if self._strict_s is None:
            return [self.record(**row) for row in rows]
        parcels: dict[str, Any] = {}
        self._together.parcels = parcels
        try:
            ids = [self.record(**row) for row in rows]
        finally:
            del self._together.parcels
        end = time.monotonic() + self._strict_s
        done = {
            parcel: parcel is not None and self._outbox.wait(parcel, max(0.0, end - time.monotonic()))
            for parcel in dict.fromkeys(parcels.values())
        }
        return [_receipt(id, done[parcels[id]]) if id in parcels else id for id in ids]

    def outcome(self, id: str, actual: Any, *, at: Any = None) -> str:
        """Tell what really happened to the prediction *id*; the last one told counts. Returns the id."""
        try:
            id = id_text(id) or ""
            if not id:
                raise BadInput(f"The outcome {actual!r} has no id.")
            if self._keep is not None and not self._keep(id):
                self._outbox.count("sampled_out")
                return id
            at_us = self._micros(at) if at is not None else self._next()[1]
            event = (
                ("o", id, at_us, actual) if self._keep is None else ("o", id, at_us, actual, self.sample_rate)
            )
            parcel = self._put(self._encoder.encode(event))
            if self._encoder.unencodable:
                self._outbox.count("unencodable", self._encoder.take_unencodable())
            return id if self._strict_s is None else self._receipt(id, parcel)
        except Exception as trouble:
            self._refused(trouble)
        return id if type(id) is str else ""

    def record_batch(
        self,
        frame: Any,
        *,
        id: str | None = None,
        at: str | None = None,
        prediction: str | None = None,
        score: str | Mapping[str, str] | None = None,
        latency_s: float | None = None,
        error: str | None = None,
        tags: Mapping[str, Any] | None = None,
    ) -> list[str]:
        """Record many predictions at once, as Arrow; return their ids, one for each row of *frame*.

        *frame* is anything that exports the Arrow C stream (pandas, polars, pyarrow, DuckDB), a dict of columns,
        a list of dicts or a matrix. *id*, *at*, *prediction* and *score* name its columns; where they are not
        given, columns of these very names are taken if there are any (``""``: there is none). Every other column is a feature. *score*
        may also map each class to its column. Rows whose time or id cannot be used are dropped, counted and noted.
        *latency_s* is the time of the whole batch.

        A frame that cannot be used is counted as dropped, and logged; the list is then empty.
        """
        named = {"id": id, "at": at, "prediction": prediction, "score": score}
        return self._batch("predictions", frame, named, latency_s=latency_s, error=error, tags=tags)

    def outcomes(
        self, frame: Any, *, id: str | None = None, actual: str | None = None, at: str | None = None
    ) -> int:
        """Tell many outcomes at once; return how many rows were taken. Columns as in `record_batch`."""
        return len(self._batch("outcomes", frame, {"id": id, "actual": actual, "at": at}))

    def _batch(self, what: str, frame: Any, named: dict[str, Any], **rest: Any) -> list[str]:
        try:
            from watchkeeper.capture.batches import BatchEncoding, encode_batches

            parcel, taken = None, True
            how = BatchEncoding(
                encoder=self._encoder,
                ids=self._ids,
                redaction=self.redaction,
                redact=self._redact,
                keep=self._keep,
                sample_rate=self.sample_rate,
                is_unsure=None if self.label_below is None else self.is_unsure,
            )
            ids, events, sampled_out, refused = encode_batches(how, what, frame, named, **rest)
            if refused.rows:
                self._refused(
                    BadInput(f"{len(refused.rows):,} of {len(ids):,} rows ({refused.first})"),
                    len(refused.rows),
                )
            if sampled_out:
                self._outbox.count("sampled_out", sampled_out)
            for event, rows in events:
                parcel = self._outbox.put_batch(event, rows)
                taken = taken and parcel is not None
                if rest.get("error") is not None:
                    self._outbox.count("errors", rows)
            if self._encoder.unencodable:
                self._outbox.count("unencodable", self._encoder.take_unencodable())
            if self._strict_s is not None:
                done = taken and (parcel is None or self._outbox.wait(parcel, self._strict_s))
                return [_receipt(id, done) for id in ids]
            return ids
        except Exception as trouble:
            try:
                rows = len(frame)
            except Exception:
                rows = 1
            self._refused(trouble, rows)
        return []

    def _receipt(self, id: str, parcel: Any) -> Receipt:
        assert self._strict_s is not None
        together = getattr(self._together, "parcels", None)
        if together is not None:
            together[id] = parcel
            return _receipt(id, False)
        return _receipt(id, parcel is not None and self._outbox.wait(parcel, self._strict_s))

    def flush(self, timeout_s: float | None = None) -> bool:
        """Commit everything recorded so far; True when it is on the disk. Waits for the disk."""
        try:
            return self._outbox.flush(timeout_s)
        except Exception as trouble:
            self._outbox.note(trouble)
            return False

    def close(self, timeout_s: float = 5.0) -> bool:
        """Flush and stop; what is recorded later is dropped and counted. True when everything is on the disk."""
        try:
            return self._outbox.close(timeout_s)
        except Exception as trouble:
            self._outbox.note(trouble)
            return False

    def stats(self) -> RecorderStats:
        """What became of everything recorded in this process so far."""
        totals = self._outbox.totals()
        totals["failed"] = totals.pop("failed_flushes")
        return RecorderStats(**totals)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy in another process is a recorder with the same options and a journal of its own."""
        return _rebuild, (self._options,)

    def __repr__(self) -> str:
        return f"Recorder({self.model!r}, {self.version!r})"

    def _identify(self, id: Any, at: Any) -> tuple[str, int]:
        name = None if id is None else id_text(id)
        if at is None:
            made, at_us = self._next()
            return name or made, at_us
        at_us = self._micros(at)
        return name or self._ids.at(at_us), at_us

    def _micros(self, at: Any) -> int:
        at_us = micros(at)
        wrong = implausible(at_us, self._ids.now_us())
        if wrong:
            raise ValueError(f"its time {at!r} {wrong}")
        return at_us

    def _full(
        self, id: str, at_us: int, features: Any, prediction: Any, score: Any,
        latency_s: Any, error: Any, tags: Any,
    ) -> bytes:  # fmt: skip
        row = plain_features(features)
        labels = None if tags is None else plain_features(tags)
        if self._redact is not None:
            row = self._redact(row)
            labels = None if labels is None else self._redact(labels)
        return self._encoder.encode(
            (
                "p", id, at_us, row, prediction, score,
                None if latency_s is None else float(latency_s),
                None if error is None else str(error),
                labels, self.sample_rate, self.is_unsure(score),
            )
        )  # fmt: skip

    def _without_features(
        self, id: str, at_us: int, prediction: Any, score: Any, latency_s: Any, error: Any
    ) -> bytes:
        self._outbox.count("oversized")
        rest = (None if latency_s is None else float(latency_s), None if error is None else str(error)[:2000])
        event = self._encoder.encode(("p", id, at_us, {}, prediction, score, *rest, None, self.sample_rate))
        if len(event) <= self._largest:
            return event
        return self._encoder.encode(("p", id, at_us, {}, None, None, *rest, None, self.sample_rate))

    def is_unsure(self, score: Any) -> bool:
        """Whether a prediction with this score should be marked for labelling."""
        if self.label_below is None or score is None:
            return False
        try:
            return confidence(score) < self.label_below
        except Exception:
            return False

    def _refused(self, trouble: Exception, rows: int = 1) -> None:
        try:
            self._outbox.count("dropped", rows)
            self._outbox.note(trouble)
        except Exception:
            return


def _rebuild(options: dict[str, Any]) -> Recorder:
    return Recorder(**options)


def _receipt(id: str, committed: bool) -> Receipt:
    receipt = Receipt(id)
    receipt.committed = committed
    return receipt


def confidence(score: Any) -> float:
    """Return how sure a score is: its largest class probability.

    >>> confidence(0.2), confidence({"a": 0.5, "b": 0.3, "c": 0.2}), confidence([0.1, 0.9])
    (0.8, 0.5, 0.9)
    """
    if isinstance(score, Mapping):
        return max(float(share) for share in score.values())
    if callable(getattr(score, "tolist", None)):
        score = score.tolist()
    if isinstance(score, (list, tuple)):
        return max(float(share) for share in score)
    share = float(score)
    return max(share, 1.0 - share)
