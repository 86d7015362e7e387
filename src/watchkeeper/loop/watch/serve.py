"""Ticking while a server runs: every so often, one process at a time, and a clean end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watchkeeper.loop.watch.tick import Ticked
    from watchkeeper.loop.watch.watch import Watch


_log = logging.getLogger("watchkeeper.serve")


class Ticker:
    """A thread that ticks. Several servers may have one: the lease lets one of them work, the others wait.

    What goes wrong in one tick is logged and kept in `trouble`; the next tick tries again.
    """

    def __init__(
        self,
        watch: Watch,
        every: timedelta,
        *,
        after: Callable[[Ticked, float], None] | None = None,
        also: Callable[[], object] | None = None,
    ) -> None:
        """*after* is told what each tick did and how long it took; *also* runs after each (the outbox)."""
        self.watch, self.every = watch, every
        self.last: Ticked | None = None
        self.trouble: str | None = None
        self._after, self._also = after, also
        self._stop, self._now = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin; the first tick comes at once."""
        self._thread = threading.Thread(target=self._run, name="watchkeeper-tick", daemon=True)
        self._thread.start()

    def hurry(self) -> None:
        """Tick now."""
        self._now.set()

    def stop(self, timeout_s: float = 30.0) -> bool:
        """End after the step that is under way; False when that took longer than *timeout_s*.

        A tick that is cut off does no harm: whoever ticks next repeats what it had not finished.
        """
        self._stop.set()
        self._now.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
            return not self._thread.is_alive()
        return True

    def _run(self) -> None:
        while not self._stop.is_set():
            begun = time.monotonic()
            try:
                self.last = self.watch.tick()
                self.trouble = None
                if self._after:
                    self._after(self.last, time.monotonic() - begun)
                if self._also:
                    self._also()
            except Exception as trouble:
                _log.exception("a tick failed; it is tried again")
                self.trouble = f"{type(trouble).__name__}: {trouble}"
            self._now.wait(max(0.05, self.every.total_seconds() - (time.monotonic() - begun)))
            self._now.clear()
