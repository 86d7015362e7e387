"""Where the API puts what it takes: the journals, as recorders do, with an answer only after the commit."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from watchkeeper.capture.identity import IdSource
from watchkeeper.capture.outbox import Outbox
from watchkeeper.errors import StoreUnavailable

MOST_OPEN = 64
"""Versions whose journals are open at one time; the one that was quiet longest is closed for another."""


class Intake:
    """Commits events of many models and versions. Requests that come together share one commit."""

    def __init__(
        self,
        path: Path,
        *,
        patience_s: float = 10.0,
        most_events: int = 500_000,
        most_bytes: int = 256 << 20,
    ) -> None:
        self.ids = IdSource()
        self._path, self._patience_s = path, patience_s
        self._most_events, self._most_bytes = most_events, most_bytes
        self._boxes: OrderedDict[tuple[str, str], Outbox] = OrderedDict()
        self._lock = threading.Lock()

    def commit(self, model: str, version: str, events: Sequence[tuple[bytes, int]]) -> None:
        """Return when all *events*, each with its number of rows, are on the disk.

        Raises
        ------
        StoreUnavailable
            they are not: the disk is full, read-only or slow. Some may be written later; sent again under the
            same ids they count once.
        """
        box, parcel = self._box(model, version), None
        for event, rows in events:
            parcel = box.put(event) if rows == 1 else box.put_batch(event, rows)
            if parcel is None:
                raise StoreUnavailable(
                    f"The journal of {model!r} cannot keep up: {box.totals()['last_error'] or 'its buffer is full'}.",
                    "Send the same rows again a little later.",
                )
        if parcel is not None and not box.wait(parcel, self._patience_s):
            raise StoreUnavailable(
                f"The journal of {model!r} cannot be written just now: {box.totals()['last_error'] or 'the disk is slow'}.",
                "Nothing was acknowledged. Send the same rows again; under the same ids they count once.",
            )

    def _box(self, model: str, version: str) -> Outbox:
        with self._lock:
            box = self._boxes.get((model, version))
            if box is None:
                box = Outbox(
                    self._path,
                    model=model,
                    version=version,
                    flush_interval_s=0.2,
                    most_events=self._most_events,
                    most_bytes=self._most_bytes,
                )
                self._boxes[model, version] = box
            self._boxes.move_to_end((model, version))
            quiet = [self._boxes.popitem(last=False)[1]] if len(self._boxes) > MOST_OPEN else []
        for old in quiet:
            old.close()
        return box

    @property
    def problems(self) -> list[str]:
        """What keeps journals from being written, now."""
        with self._lock:
            boxes = list(self._boxes.items())
        return [
            f"{model}: {totals['last_error']}"
            for (model, _), box in boxes
            if (totals := box.totals())["buffered"] and totals["last_error"]
        ]

    def close(self) -> None:
        """Commit what is held and give the journals back."""
        with self._lock:
            boxes = list(self._boxes.values())
            self._boxes.clear()
        for box in boxes:
            box.close()
