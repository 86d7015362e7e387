"""Watch a WSGI application (Flask, Django, Bottle, Pyramid) with one line.

app.wsgi_app = WatchWSGI(app.wsgi_app, Recorder("churn", "3"))
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import chain
from typing import Any

from watchkeeper.capture.exchange import HEADER, Exchange, Extract, is_json
from watchkeeper.capture.recorder import Recorder
from watchkeeper.capture.wrapping import describe_error


class WatchWSGI:
    """Records each prediction that *app* answers over HTTP, and adds its id to the response.

    What counts as a prediction, and the parameters, are those of `asgi.WatchASGI`.
    """

    def __init__(
        self,
        app: Callable[..., Iterable[bytes]],
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

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        exchange = self.exchange
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        if not exchange.watches(environ.get("REQUEST_METHOD", ""), path):
            return self.app(environ, start_response)
        if not is_json(environ.get("CONTENT_TYPE", "")):
            return self.app(environ, start_response)
        began = time.perf_counter()
        asked = _take_body(environ, exchange.max_body_bytes)
        answer = _Answer(start_response, exchange.max_body_bytes)
        try:
            body = self.app(environ, answer.start)
            if answer.status == 0:  # a generator calls start_response when its first part is asked for
                body = _Begun(body)
        except Exception as trouble:
            text = describe_error(trouble, exchange.recorder)
            exchange.failed(asked, text, time.perf_counter() - began)
            raise
        if not answer.is_held:
            if answer.status >= 500:
                exchange.failed(asked, f"HTTP {answer.status}", time.perf_counter() - began)
            return body
        try:
            whole = b"".join(body)
        except Exception as trouble:
            text = describe_error(trouble, exchange.recorder)
            exchange.failed(asked, text, time.perf_counter() - began)
            raise
        finally:
            if callable(close := getattr(body, "close", None)):
                close()
        answer.release(exchange.answered(asked, whole, time.perf_counter() - began))
        return [whole]


class _Begun:
    """An iterable body whose first part was already asked for; closing it closes the body."""

    def __init__(self, body: Iterable[bytes]) -> None:
        self._body = body
        parts = iter(body)
        self._parts = chain((first,) if (first := next(parts, None)) is not None else (), parts)

    def __iter__(self) -> Iterator[bytes]:
        return self._parts

    def close(self) -> None:
        if callable(close := getattr(self._body, "close", None)):
            close()


class _Answer:
    """Stands before the server's ``start_response``, and holds the start back while an id is to be added."""

    def __init__(self, start_response: Callable[..., Any], most_bytes: int) -> None:
        self._start_response, self._most_bytes = start_response, most_bytes
        self._held: tuple[str, list[tuple[str, str]]] | None = None
        self.status = 0

    @property
    def is_held(self) -> bool:
        return self._held is not None

    def start(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], Any]:
        self.status = int(status.split(" ", 1)[0])
        if exc_info is None and self._is_prediction(headers):
            self._held = (status, headers)
            return self._write
        self._held = None
        return self._start_response(status, headers, *(() if exc_info is None else (exc_info,)))

    def _is_prediction(self, headers: list[tuple[str, str]]) -> bool:
        named = {name.lower(): value for name, value in headers}
        length = named.get("content-length", "")
        return (
            200 <= self.status < 300
            and is_json(named.get("content-type", ""))
            and "content-encoding" not in named
            and length.isdecimal()
            and int(length) <= self._most_bytes
        )

    def _write(self, data: bytes) -> Any:
        """The old way to answer: from here on the answer passes untouched."""
        return self.release(None)(data)

    def release(self, ids: str | None) -> Callable[[bytes], Any]:
        if self._held is None:
            return lambda data: None
        (status, headers), self._held = self._held, None
        return self._start_response(status, [*headers, (HEADER, ids)] if ids else headers)


def _take_body(environ: dict[str, Any], most_bytes: int) -> bytes | None:
    """Read the request's body and put it back; None when it is too large or its length is not told."""
    length = environ.get("CONTENT_LENGTH", "")
    if not length.isdecimal() or int(length) > most_bytes:
        return None
    body = environ["wsgi.input"].read(int(length))
    environ["wsgi.input"] = io.BytesIO(body)
    return body
