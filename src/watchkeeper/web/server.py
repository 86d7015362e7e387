"""Everything in one process: the API, the dashboard, the tick and the outbox, with a clean end."""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from watchkeeper.errors import WatchkeeperError
from watchkeeper.loop.watch.serve import Ticker
from watchkeeper.web.api.app import PATHS, guarded_api
from watchkeeper.web.api.intake import Intake
from watchkeeper.web.api.metrics import OwnMetrics

if TYPE_CHECKING:
    from watchkeeper.loop.watch.watch import Watch


_log = logging.getLogger("watchkeeper.server")


class Server:
    """ASGI: the API on its paths, the dashboard on all others; ticks while it is up.

    Several may run over one project, on one machine or many: a lease lets one of them tick, all of them take rows.
    """

    def __init__(
        self, watch: Watch, *, ticking: bool = True, every: timedelta | None = None, outbox: Any = None
    ) -> None:
        from watchkeeper.web.app import create_app
        from watchkeeper.wiring.telling import dead_mans_switch_of, syncs_of

        self.watch, self.metrics = watch, OwnMetrics()
        self.intake = Intake(watch.data)
        self.outbox = outbox
        self.ticker = Ticker(watch, every or watch.config.server.tick_every, after=self._ticked)
        self._ticking = ticking
        wired = ticking and watch.config is not None
        self._syncs = syncs_of(watch) if wired else []
        self._switch = dead_mans_switch_of(watch) if wired else None
        self._pinging: threading.Thread | None = None
        self._api = guarded_api(
            watch, intake=self.intake, ticker=self.ticker if ticking else None, metrics=self.metrics
        )
        self._pages = create_app(watch)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """See the ASGI specification."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http" and scope["path"].startswith(PATHS):
            await self._api(scope, receive, send)
        else:
            await self._pages(scope, receive, send)

    async def _live(self, receive: Any, send: Any) -> None:
        await receive()
        async with self.alive():
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    @asynccontextmanager
    async def alive(self) -> AsyncIterator[None]:
        """Tick and send until the block ends; then commit what is held and give everything back."""
        from starlette.concurrency import run_in_threadpool

        if self._ticking:
            self.ticker.start()
        if self.outbox is not None:
            self.outbox.start()
        try:
            yield
        finally:
            await run_in_threadpool(self.close)

    def close(self) -> None:
        """Stop ticking and sending, and commit what is held."""
        self.ticker.stop()
        if self.outbox is not None:
            self.outbox.stop()
        self.intake.close()

    def _ticked(self, done: Any, seconds: float) -> None:
        self.metrics.ticked(done, seconds, self.watch.clock().timestamp())
        for sync in self._syncs:
            try:
                sync()
            except WatchkeeperError as problem:
                _log.warning("Alertmanager could not be kept in step: %s", problem.what)
        if self._switch is not None and not done.held_by_another and not _is_alive(self._pinging):
            # In a thread of its own: a switch that hangs must not hold up the next tick.
            self._pinging = threading.Thread(target=self._ping, name="watchkeeper-ping", daemon=True)
            self._pinging.start()

    def _ping(self) -> None:
        assert self._switch is not None
        if not self._switch.ping() and self._switch.last_error:
            _log.warning("the dead man's switch was not pinged: %s", self._switch.last_error)


def _is_alive(thread: threading.Thread | None) -> bool:
    return thread is not None and thread.is_alive()
