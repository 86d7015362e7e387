"""Predictions and outcomes that are posted: acknowledged only when they are committed to a journal on the disk."""

from __future__ import annotations

import time
import zlib
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from watchkeeper.errors import BadInput, Conflict, NotFound, StoreUnavailable
from watchkeeper.web.api.answers import TooLarge, answer
from watchkeeper.web.api.bodies import ARROW, Parcels, arrow_events, json_events
from watchkeeper.web.security import Role, require

if TYPE_CHECKING:
    from watchkeeper.loop.watch.watch import Watch
    from watchkeeper.web.api.intake import Intake
    from watchkeeper.web.api.metrics import OwnMetrics


NDJSON = ("application/x-ndjson", "application/ndjson", "application/jsonlines", "application/x-jsonlines")

_ROW: dict[str, dict[str, Any]] = {
    "predictions": {
        "type": "object",
        "properties": {
            "id": {
                "type": "string",
                "description": "Its name, for the outcome later; one is made if there is none.",
            },
            "at": {
                "type": "string",
                "format": "date-time",
                "description": "When it was made; now otherwise.",
            },
            "features": {"type": "object", "description": "Column -> value."},
            "prediction": {"description": "What the model answered."},
            "score": {"description": "Probability of the positive class, or class -> probability."},
            "latency_s": {"type": "number", "description": "Seconds that the model took."},
            "error": {"type": "string", "description": "What went wrong, if it failed."},
            "tags": {"type": "object"},
            "model": {"type": "string"},
            "version": {"type": "string"},
        },
    },
    "outcomes": {
        "type": "object",
        "required": ["id", "actual"],
        "properties": {
            "id": {"type": "string", "description": "The prediction's."},
            "actual": {"description": "What really happened."},
            "at": {
                "type": "string",
                "format": "date-time",
                "description": "When it was known; now otherwise.",
            },
            "model": {"type": "string"},
        },
    },
}


def row_routes(watch: Watch, intake: Intake, own: OwnMetrics) -> APIRouter:
    """The routes that take rows; what they took and refused is counted in *own*."""
    router = APIRouter(prefix="/v1")
    limit = (watch.config.server.max_request_mb if watch.config is not None else 64) << 20

    async def take(what: str, request: Request) -> Response:
        require(getattr(request.state, "who", None), Role.LABELLER)
        body = await _body(request, limit)
        begun = time.perf_counter()
        try:
            done = await run_in_threadpool(_commit, what, request, body, watch, intake, own)
        except StoreUnavailable:
            own.unavailable.inc()
            raise
        own.commit_s.observe(time.perf_counter() - begun)
        if done.refused_count:
            own.refused.labels(what).inc(done.refused_count)
        return _told(done)

    @router.post(
        "/predictions", openapi_extra=_described("predictions"), status_code=202, summary="Record predictions"
    )
    async def predictions(request: Request) -> Response:
        return await take("predictions", request)

    @router.post(
        "/outcomes", openapi_extra=_described("outcomes"), status_code=202, summary="Record outcomes"
    )
    async def outcomes(request: Request) -> Response:
        return await take("outcomes", request)

    return router


def _commit(
    what: str, request: Request, body: bytes, watch: Watch, intake: Intake, own: OwnMetrics
) -> Parcels:
    """Read the rows of *body* and commit those that can be taken."""
    given = request.query_params
    model, version = given.get("model"), given.get("version")
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    key = request.headers.get("idempotency-key")
    if kind in (ARROW, "application/octet-stream"):
        if not model or (what == "predictions" and not version):
            raise BadInput(
                "Which model and version are these rows of?",
                f"POST /v1/{what}?model=NAME" + ("&version=NAME" if what == "predictions" else ""),
            )
        _recorded(watch, model)
        parcels = arrow_events(what, body, model=model, version=version or "", ids=intake.ids, key=key)
    else:
        if model:
            _recorded(watch, model)

        def refusal(name: str) -> str | None:
            try:
                _recorded(watch, name)
            except (NotFound, Conflict) as problem:
                return problem.what
            return None

        parcels = json_events(
            what,
            body,
            lines=kind in NDJSON,
            model=model,
            version=version,
            ids=intake.ids,
            key=key,
            refusal=refusal,
        )
    for name, _ in parcels.events:
        _recorded(watch, name)
    for (name, which), events in parcels.events.items():
        intake.commit(name, which, events)
        own.accepted.labels(name, what).inc(sum(rows for _, rows in events))
    return parcels


def _told(done: Parcels) -> Response:
    content: dict[str, Any] = {"accepted": done.accepted, "refused": done.refused_count}
    if done.refused:
        content["errors"] = done.refused
    if done.made:
        content["ids"] = done.made
    if not done.accepted:
        content.setdefault("errors", [{"line": 0, "error": "the body holds no rows"}])
        return answer(content, 422)
    return answer(content, 202)


def _recorded(watch: Watch, model: str) -> None:
    known = watch.model(model)
    if known.table is not None:
        raise Conflict(
            f"{model!r} is watched in a table of your own, so nothing is recorded for it.",
            "Take [models.*.table] out of watchkeeper.toml to record it.",
        )


async def _body(request: Any, limit: int) -> bytes:
    """The body, unpacked; refused as soon as it is known to be too large."""
    said = request.headers.get("content-length", "")
    if said.isdigit() and int(said) > limit:
        raise _too_large(limit)
    packing = request.headers.get("content-encoding", "identity").strip().lower()
    if packing not in ("identity", "gzip", ""):
        raise BadInput(f"A body in {packing!r} cannot be read here.", "Send it plain, or in gzip.")
    inflate = zlib.decompressobj(31) if packing == "gzip" else None
    parts, size = [], 0
    async for chunk in request.stream():
        if inflate is not None:
            try:
                chunk = inflate.decompress(chunk, limit - size + 1)
            except zlib.error as problem:
                raise BadInput(f"The body is no gzip: {problem}.") from problem
        size += len(chunk)
        if size > limit or (inflate is not None and inflate.unconsumed_tail):
            raise _too_large(limit)
        parts.append(chunk)
    if inflate is not None and not inflate.eof:
        raise BadInput("The body is no gzip, or was cut short.")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(
        f"The body is larger than {limit >> 20} MB.",
        "Send it in parts, or raise server.max_request_mb in watchkeeper.toml.",
    )


def _described(what: str) -> dict[str, Any]:
    """The body that *what* may be posted in, and what is answered, for OpenAPI."""
    row = _ROW[what]
    rows = {"type": "object", "required": [what], "properties": {what: {"type": "array", "items": row}}}
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"oneOf": [row, {"type": "array", "items": row}, rows]}},
                NDJSON[0]: {"schema": row},
                ARROW: {"schema": {"type": "string", "format": "binary"}},
            },
        },
        "parameters": [
            {
                "name": "model",
                "in": "query",
                "schema": {"type": "string"},
                "description": "Of all rows that name none.",
            },
            *(
                [{"name": "version", "in": "query", "schema": {"type": "string"}}]
                if what == "predictions"
                else []
            ),
            {
                "name": "Idempotency-Key",
                "in": "header",
                "schema": {"type": "string"},
                "description": "Rows without an id get one made of it, so that the request may be repeated.",
            },
        ],
        "responses": {
            "202": {
                "description": "Committed. Rows that were refused are told by line; the others are kept."
            },
            "401": {"description": "A token is needed."},
            "404": {"description": "There is no such model."},
            "413": {"description": "The body is too large."},
            "422": {"description": "No row could be taken."},
            "503": {"description": "Not committed; send the same rows again."},
        },
    }
