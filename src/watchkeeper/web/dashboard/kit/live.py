"""Live updates: one watcher of the ledger for all open pages, told by server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from watchkeeper.errors import StoreUnavailable
from watchkeeper.ports.page_reads import FleetReads

EVERY_S = 2.0
BEAT_S = 20.0
MOST_LISTENERS = 200


class Live:
    """Asks the ledger every two seconds for its newest fact while anybody listens, and tells all listeners."""

    def __init__(self, reads: FleetReads, *, every_s: float = EVERY_S) -> None:
        self.reads, self.every_s = reads, every_s
        self.listeners: set[asyncio.Queue[int]] = set()
        self._watcher: asyncio.Task[None] | None = None
        self._newest = 0

    async def stream(self, request: Request) -> Response:
        """``event: changed`` with the newest sequence, whenever it grows; a comment now and then keeps the line open."""
        if request.scope.get("state", {}).get("who") is None:
            return PlainTextResponse("Nobody is signed in.", status_code=401)
        if len(self.listeners) >= MOST_LISTENERS:
            return PlainTextResponse(
                "Too many pages listen; reload by hand.", status_code=503, headers={"Retry-After": "60"}
            )
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(self._tell(request), media_type="text/event-stream", headers=headers)

    async def _tell(self, request: Request) -> AsyncIterator[str]:
        queue: asyncio.Queue[int] = asyncio.Queue(maxsize=16)
        self.listeners.add(queue)
        if self._watcher is None or self._watcher.done():
            self._watcher = asyncio.create_task(self._watch())
        try:
            newest = await run_in_threadpool(self.reads.newest)
            yield f"retry: 5000\nevent: changed\ndata: {newest}\n\n"
            while not await request.is_disconnected():
                try:
                    newest = await asyncio.wait_for(queue.get(), BEAT_S)
                    yield f"event: changed\ndata: {newest}\n\n"
                except TimeoutError:
                    yield ": still here\n\n"
        finally:
            self.listeners.discard(queue)
            if not self.listeners and self._watcher is not None:
                self._watcher.cancel()
                self._watcher = None

    async def _watch(self) -> None:
        while True:
            with contextlib.suppress(
                StoreUnavailable
            ):  # a ledger that is away for a moment changes nothing here
                newest = await run_in_threadpool(self.reads.newest)
                if newest != self._newest:
                    self._newest = newest
                    for queue in list(self.listeners):
                        if not queue.full():
                            queue.put_nowait(newest)
            await asyncio.sleep(self.every_s)

    def describe(self) -> dict[str, Any]:
        """How many listen."""
        return {"listeners": len(self.listeners)}
