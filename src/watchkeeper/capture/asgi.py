"""Watch an ASGI application (FastAPI, Starlette, Litestar, Quart, Django) with one line.

app.add_middleware(WatchASGI, recorder=Recorder("churn", "3"))
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any

from watchkeeper.capture.exchange import HEADER, Exchange, Extract, is_json
from watchkeeper.capture.recorder import Recorder
from watchkeeper.capture.wrapping import describe_error

Message = MutableMapping[str, Any]

_SHUTDOWN_PATIENCE_S = 5.0


class WatchASGI:
    """Records each prediction that *app* answers over HTTP, and adds its id to the response.

    A JSON request with a JSON answer of known length is a prediction (see `exchange` for how bodies are read);
    its answer waits only for its own last byte. A status of 500 and above, and an exception, are recorded as
    errors; 400 to 499 are the caller's own and are not. Everything else (streams, files, websockets) passes
    untouched. When the application shuts down, what was recorded is flushed.

    Parameters
    ----------
    app, recorder
        The application, and where its predictions go.
    routes
        Paths to watch, ``*`` allowed (``["/predict", "/v1/*"]``); all when not given.
    extract
        Reads the decoded bodies, see `exchange.Extract`.
    methods
        HTTP methods to watch.
    max_body_bytes
        A larger request is recorded without features; a larger answer is not held and not recorded.
    """

    def __init__(
        self,
        app: Callable[..., Awaitable[None]],
        recorder: Recorder,
        *,
        routes: Collection[str] | None = None,
        extract: Extract | None = None,
        methods: Collection[str] = ("POST",),
        max_body_bytes: int = 1 << 20,
    ) -> None:
        self.app = app
        self.exchange = Exchange(
            recorder, routes=routes, extract=extract, methods=methods, max_body_bytes=max_body_bytes
        )

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, self._flushing(send))
            return
        if scope["type"] != "http" or not self.exchange.watches(scope["method"], scope["path"]):
            await self.app(scope, receive, send)
            return
        if not is_json(_header(scope.get("headers", ()), b"content-type")):
            await self.app(scope, receive, send)
            return
        conversation = _Conversation(self.exchange, receive, send)
        try:
            await self.app(scope, conversation.receive, conversation.send)
        except Exception as trouble:
            text = describe_error(trouble, self.exchange.recorder)
            conversation.failed(text)
            raise
        if conversation.status >= 500:
            conversation.failed(f"HTTP {conversation.status}")

    def _flushing(self, send: Callable[[Message], Awaitable[None]]) -> Callable[[Message], Awaitable[None]]:
        """Flush when the application shuts down: uvicorn then ends by a signal, without Python's own exit."""

        async def forward(message: Message) -> None:
            if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
                flush = self.exchange.recorder.flush
                await asyncio.get_running_loop().run_in_executor(None, flush, _SHUTDOWN_PATIENCE_S)
            await send(message)

        return forward


class _Conversation:
    """One request: its bodies as far as they are kept, and the held start of its answer."""

    def __init__(self, exchange: Exchange, receive: Any, send: Any) -> None:
        self._exchange, self._receive, self._send = exchange, receive, send
        self._began = time.perf_counter()
        self._asked: bytearray | None = bytearray()
        self._start: Message | None = None
        self._answer = bytearray()
        self._told = False
        self.status = 0

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request" and self._asked is not None:
            self._asked += message.get("body", b"")
            if len(self._asked) > self._exchange.max_body_bytes:
                self._asked = None
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            # An error is told when the application has ended: its exception says more than its status.
            self.status = message["status"]
            if self._is_prediction(message):
                self._start = message
                return
        elif message["type"] == "http.response.body" and self._start is not None:
            self._answer += message.get("body", b"")
            if message.get("more_body", False) and len(self._answer) <= self._exchange.max_body_bytes:
                return
            await self._finish(message)
            return
        await self._send(message)

    def _is_prediction(self, start: Message) -> bool:
        headers = start.get("headers", ())
        length = _header(headers, b"content-length")
        return (
            200 <= start["status"] < 300
            and is_json(_header(headers, b"content-type"))
            and not _header(headers, b"content-encoding")
            and length.isdecimal()
            and int(length) <= self._exchange.max_body_bytes
        )

    async def _finish(self, last: Message) -> None:
        start, self._start = self._start, None
        assert start is not None
        if not last.get("more_body", False):
            ids = await self._tell()
            if ids:
                start["headers"] = [*start.get("headers", ()), (HEADER.encode(), ids.encode())]
        await self._send(start)
        await self._send({**last, "body": bytes(self._answer)})

    async def _tell(self) -> str | None:
        self._told = True
        asked = None if self._asked is None else bytes(self._asked)
        arguments = (asked, bytes(self._answer), time.perf_counter() - self._began)
        if self._exchange.recorder._strict_s is None:
            return self._exchange.answered(*arguments)
        # Strict waits for the disk, which must not hold up the other requests of this loop.
        return await asyncio.get_running_loop().run_in_executor(None, self._exchange.answered, *arguments)

    def failed(self, text: str) -> None:
        if not self._told:
            self._told = True
            asked = None if self._asked is None else bytes(self._asked)
            self._exchange.failed(asked, text, time.perf_counter() - self._began)


def _header(headers: Any, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in headers if key.lower() == name), "")
