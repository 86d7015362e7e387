"""The HTTP API as one ASGI application.

What is posted is acknowledged (202) only when it is committed to a journal on the disk. The hot path is decoded by
msgspec; FastAPI writes the OpenAPI description.
"""

from __future__ import annotations

import io
import time
import zlib
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from watchkeeper.errors import (
    BadInput,
    Conflict,
    MissingExtra,
    NotFound,
    NotPermitted,
    StoreUnavailable,
    WatchkeeperError,
)
from watchkeeper.web.api.bodies import ARROW, Parcels, arrow_events, json_events
from watchkeeper.web.api.intake import Intake
from watchkeeper.web.security import Authenticate, Guard, Keys, Role, require

try:
    from fastapi import FastAPI, Query, Request, Response
    from fastapi.exceptions import RequestValidationError
    from starlette.concurrency import run_in_threadpool
except ImportError as cause:
    raise MissingExtra(adapter="HTTP API", library="fastapi", extra="server") from cause

if TYPE_CHECKING:
    from watchkeeper.loop.serve import Ticker
    from watchkeeper.loop.watch import Watch

__all__ = ["PATHS", "create_api", "guarded_api"]

PATHS = ("/v1/", "/healthz", "/readyz", "/metrics", "/openapi.json")
"""What the API answers; every other path is the dashboard's."""
NDJSON = ("application/x-ndjson", "application/ndjson", "application/jsonlines", "application/x-jsonlines")
MOST_ROWS = 100_000
MOST_ACTION_BYTES = 8 << 20
"""A body that is no rows: a note, a silence, the webhook of another system."""

_STATUS: tuple[tuple[type[WatchkeeperError], int], ...] = (
    (NotFound, 404),
    (NotPermitted, 403),
    (Conflict, 409),
    (StoreUnavailable, 503),
    (MissingExtra, 501),
    (BadInput, 400),
)
_encode = msgspec.json.Encoder().encode

_ROW_SCHEMA: dict[str, dict[str, Any]] = {
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


class _TooLarge(WatchkeeperError):
    """The body is larger than this server takes."""


class _Actions:
    """ASGI, before what is not rows: nobody's body is read, and none of more than `MOST_ACTION_BYTES`."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """See the ASGI specification."""
        rows = scope.get("path") in ("/v1/predictions", "/v1/outcomes")
        if scope["type"] != "http" or rows or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self.app(scope, receive, send)
            return
        status, said = 0, ""
        if scope.get("state", {}).get("who") is None:
            status, said = 401, "Nobody is signed in."
        elif not await self._fits(Request(scope)):
            status, said = 413, f"The body must say its length, of at most {MOST_ACTION_BYTES >> 20} MiB."
        if not status:
            await self.app(scope, receive, send)
            return
        headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
        content = _encode({"error": said, "next": []})
        await Response(content, status, headers, "application/json")(scope, receive, send)

    async def _fits(self, request: Request) -> bool:
        if "transfer-encoding" in request.headers:
            return False
        length = request.headers.get("content-length", "0")
        return length.isdigit() and int(length) <= MOST_ACTION_BYTES


def guarded_api(watch: Watch, *, intake: Intake, ticker: Ticker | None = None, metrics: Any = None,
                authenticate: Authenticate | None = None) -> Any:  # fmt: skip
    """The API behind the guard: tokens of the ledger, or, while there is none, only this machine."""
    api = create_api(watch, intake=intake, ticker=ticker, metrics=metrics)
    return Guard(api, keys=Keys(watch.ledger.facts, watch.clock), authenticate=authenticate)


def create_api(watch: Watch, *, intake: Intake, ticker: Ticker | None = None, metrics: Any = None) -> FastAPI:
    """The API alone; `guarded_api` adds who may come in."""
    from watchkeeper import __version__
    from watchkeeper.web.api.metrics import OwnMetrics, measurement_registry

    app = FastAPI(
        title="Watchkeeper",
        version=__version__,
        description="Predictions and outcomes in; measurements, alerts and incidents out.",
        docs_url=None,  # its pages fetch scripts from outside
        redoc_url=None,
    )
    own = metrics or OwnMetrics()
    limit = (watch.config.server.max_request_mb if watch.config is not None else 64) << 20

    def answer(content: Any, status: int = 200, **headers: str) -> Response:
        return Response(_encode(content), status, media_type="application/json", headers=headers)

    @app.exception_handler(WatchkeeperError)
    async def _told(_request: Request, failure: WatchkeeperError) -> Response:
        status = next((code for kind, code in _STATUS if isinstance(failure, kind)), 500)
        if isinstance(failure, _TooLarge):
            status = 413
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

    # ---- in ------------------------------------------------------------------------------------------

    async def take(what: str, request: Request) -> Response:
        require(getattr(request.state, "who", None), Role.LABELLER)
        body = await _body(request, limit)
        begun = time.perf_counter()
        given = request.query_params
        model, version = given.get("model"), given.get("version")
        kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        key = request.headers.get("idempotency-key")

        def commit() -> Parcels:
            if kind in (ARROW, "application/octet-stream"):
                if not model or (what == "predictions" and not version):
                    raise BadInput(
                        "Which model and version are these rows of?",
                        f"POST /v1/{what}?model=NAME" + ("&version=NAME" if what == "predictions" else ""),
                    )
                _known(watch, model)
                parcels = arrow_events(
                    what, body, model=model, version=version or "", ids=intake.ids, key=key
                )
            else:
                parcels = json_events(
                    what, body, lines=kind in NDJSON, model=model, version=version, ids=intake.ids, key=key
                )
            for name, _ in parcels.events:
                _known(watch, name)
            for (name, which), events in parcels.events.items():
                intake.commit(name, which, events)
                own.accepted.labels(name, what).inc(sum(rows for _, rows in events))
            return parcels

        try:
            done = await run_in_threadpool(commit)
        except StoreUnavailable:
            own.unavailable.inc()
            raise
        own.commit_s.observe(time.perf_counter() - begun)
        if done.refused_count:
            own.refused.labels(what).inc(done.refused_count)
        content: dict[str, Any] = {"accepted": done.accepted, "refused": done.refused_count}
        if done.refused:
            content["errors"] = done.refused
        if done.made:
            content["ids"] = done.made
        if not done.accepted:
            content.setdefault("errors", [{"line": 0, "error": "the body holds no rows"}])
            return answer(content, 422)
        return answer(content, 202)

    def described(what: str) -> dict[str, Any]:
        row = _ROW_SCHEMA[what]
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

    @app.post(
        "/v1/predictions",
        openapi_extra=described("predictions"),
        status_code=202,
        summary="Record predictions",
    )
    async def predictions(request: Request) -> Response:
        return await take("predictions", request)

    @app.post("/v1/outcomes", openapi_extra=described("outcomes"), status_code=202, summary="Record outcomes")
    async def outcomes(request: Request) -> Response:
        return await take("outcomes", request)

    # ---- out -----------------------------------------------------------------------------------------

    def reader(request: Request) -> None:
        require(getattr(request.state, "who", None), Role.VIEWER)

    @app.get("/v1/models", summary="What is watched")
    def models(request: Request) -> Response:
        reader(request)
        from watchkeeper.loop.status import model_status

        now = watch.clock()
        return answer({"models": [model_status(watch, name, now) for name in watch.models]})

    @app.get("/v1/status", summary="The whole project in one look")
    def status(request: Request) -> Response:
        reader(request)
        from watchkeeper.loop.status import status as look

        found = look(watch)
        found["problems"] += intake.problems
        found["healthy"] = found["healthy"] and not intake.problems
        return answer(found)

    @app.get("/v1/models/{model}/measurements", summary="Measurements of a model")
    def measurements(
        request: Request,
        model: str,
        measure: Annotated[list[str], Query(description="Only these measures.")] = [],  # noqa: B006 - never changed
        subject: Annotated[list[str], Query(description="Only of these columns.")] = [],  # noqa: B006 - never changed
        segment: Annotated[list[str], Query(description="Only of these segments; empty is all rows.")] = [],  # noqa: B006 - never changed
        version: Annotated[list[str], Query(description="Only of these versions; empty is all.")] = [],  # noqa: B006 - never changed
        start: str | None = Query(default=None, alias="from", description="First day or moment."),
        end: str | None = Query(default=None, alias="to", description="Day or moment that is left out."),
        format: str = Query(default="json", pattern="^(json|arrow|csv)$"),
        limit: int = Query(default=10_000, ge=1, le=MOST_ROWS),
    ) -> Response:
        reader(request)
        from watchkeeper.loop.explain import instant

        zone = watch.model(model).timezone
        table = watch.measurements(
            model,
            start=instant(start, zone) if start else None,
            end=instant(end, zone) if end else None,
            measures=measure,
            subjects=subject,
            segments=segment,
            versions=version,
        )
        more = table.num_rows > limit
        table = table.slice(0, limit)
        headers = {"X-More-Rows": "true"} if more else {}
        if format == "arrow":
            return Response(_arrow(table), media_type=ARROW, headers=headers)
        if format == "csv":
            return Response(_csv(table), media_type="text/csv", headers=headers)
        return answer({"measurements": table.to_pylist(), "more": more}, 200, **headers)

    @app.get("/v1/models/{model}/windows/{window:path}", summary="Why a window's numbers are what they are")
    def explained(request: Request, model: str, window: str, column: str | None = None) -> Response:
        reader(request)
        from watchkeeper.loop.explain import explain

        return answer(explain(watch, model, window, subject=column))

    # ---- alerts, incidents, runbooks -----------------------------------------------------------------

    from watchkeeper.web.api.alerts import alert_routes
    from watchkeeper.web.api.incidents import incident_routes

    app.add_middleware(_Actions)
    app.include_router(alert_routes(watch))
    app.include_router(incident_routes(watch))

    # ---- about this process --------------------------------------------------------------------------

    @app.get("/healthz", summary="Whether this process is alive")
    async def healthz() -> Response:
        return answer({"status": "ok"})

    @app.get("/readyz", summary="Whether this process can do its work")
    def readyz() -> Response:
        problems = list(intake.problems)
        try:
            watch.ledger.facts.document("tick", "last")
        except WatchkeeperError as problem:
            problems.append(problem.what)
        if ticker is not None and ticker.trouble:
            problems.append(f"The last tick failed: {ticker.trouble}")
        return answer(
            {"status": "ready" if not problems else "not ready", "problems": problems},
            503 if problems else 200,
        )

    @app.get("/metrics", summary="For Prometheus")
    def metrics_page(
        request: Request, segments: str = Query(default="none", pattern="^(none|all)$")
    ) -> Response:
        reader(request)
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        text = generate_latest(own.registry)
        text += generate_latest(measurement_registry(watch, segments=segments == "all"))
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    return app


def _known(watch: Watch, model: str) -> None:
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


def _too_large(limit: int) -> _TooLarge:
    return _TooLarge(
        f"The body is larger than {limit >> 20} MB.",
        "Send it in parts, or raise server.max_request_mb in watchkeeper.toml.",
    )


def _arrow(table: Any) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def _csv(table: Any) -> bytes:
    from pyarrow import csv

    out = io.BytesIO()
    csv.write_csv(table, out)
    return out.getvalue()
