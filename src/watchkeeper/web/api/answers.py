"""What the API answers with, and how failures are told."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError

from watchkeeper.errors import (
    BadInput,
    Conflict,
    MissingExtra,
    NotFound,
    NotPermitted,
    StoreUnavailable,
    WatchkeeperError,
)


class TooLarge(WatchkeeperError):
    """The body is larger than this server takes."""


_STATUS: tuple[tuple[type[WatchkeeperError], int], ...] = (
    (TooLarge, 413),
    (NotFound, 404),
    (NotPermitted, 403),
    (Conflict, 409),
    (StoreUnavailable, 503),
    (MissingExtra, 501),
    (BadInput, 400),
)
encoded = msgspec.json.Encoder().encode


def answer(content: Any, status: int = 200, **headers: str) -> Response:
    """*content* as JSON."""
    return Response(encoded(content), status, media_type="application/json", headers=headers)


def tell_failures(app: FastAPI) -> None:
    """Answer every failure of ours with its words, what to do next, and the status that it stands for."""

    @app.exception_handler(WatchkeeperError)
    async def _told(_request: Request, failure: WatchkeeperError) -> Response:
        status = next((code for kind, code in _STATUS if isinstance(failure, kind)), 500)
        if isinstance(failure, NotPermitted) and failure.what.startswith("Nobody"):
            status = 401
        headers = {"Retry-After": "5"} if status == 503 else {}
        if status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return answer({"error": failure.what, "next": list(failure.next_steps)}, status, **headers)

    @app.exception_handler(RequestValidationError)
    async def _misread(_request: Request, failure: RequestValidationError) -> Response:
        faults = [f"{'.'.join(str(p) for p in e['loc'][1:]) or 'body'}: {e['msg']}" for e in failure.errors()]
        return answer({"error": "The request has faults.", "next": faults}, 400)
