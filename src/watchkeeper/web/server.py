"""Everything in one process: the API, the dashboard, the tick and the outbox, with a clean end."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from watchkeeper.loop.watch.serve import Ticker
from watchkeeper.web.api.app import PATHS, guarded_api
from watchkeeper.web.api.intake import Intake
from watchkeeper.web.api.metrics import OwnMetrics
from watchkeeper.wiring.telling import after_tick, follow

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

        self.watch, self.metrics = watch, OwnMetrics()
        self.intake = Intake(watch.data)
        self.outbox = outbox
        self.ticker = Ticker(watch, every or watch.config.server.tick_every, after=self._ticked)
        self._ticking = ticking
        wired = ticking and watch.config is not None
        self._after = after_tick(watch, serving=True) if wired else []
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
        for problem in follow(self._after if not done.held_by_another else ()):
            _log.warning("%s", problem)
