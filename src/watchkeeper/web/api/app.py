"""The HTTP API as one ASGI application.

What is posted is acknowledged (202) only when it is committed to a journal on the disk. The hot path is decoded by
msgspec; FastAPI writes the OpenAPI description.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from watchkeeper.errors import MissingExtra, WatchkeeperError
from watchkeeper.web.security import Authenticate, Guard, Keys, Role, require

try:
    from fastapi import FastAPI, Query, Request, Response
except ImportError as cause:
    raise MissingExtra(adapter="HTTP API", library="fastapi", extra="server") from cause

from watchkeeper.web.api.alerts import alert_routes
from watchkeeper.web.api.answers import answer, encoded, tell_failures
from watchkeeper.web.api.incidents import incident_routes
from watchkeeper.web.api.measured import reading_routes
from watchkeeper.web.api.rows_in import row_routes
from watchkeeper.web.api.runbooks import hook_routes, runbook_routes

if TYPE_CHECKING:
    from watchkeeper.loop.watch.serve import Ticker
    from watchkeeper.loop.watch.watch import Watch
    from watchkeeper.web.api.intake import Intake


PATHS = ("/v1/", "/healthz", "/readyz", "/metrics", "/openapi.json")
"""What the API answers; every other path is the dashboard's."""
MOST_ACTION_BYTES = 8 << 20
"""A body that is no rows: a note, a silence, the webhook of another system."""


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
        content = encoded({"error": said, "next": []})
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
    from watchkeeper.web.api.metrics import OwnMetrics

    app = FastAPI(
        title="Watchkeeper",
        version=__version__,
        description="Predictions and outcomes in; measurements, alerts and incidents out.",
        docs_url=None,  # its pages fetch scripts from outside
        redoc_url=None,
    )
    own = metrics or OwnMetrics()
    tell_failures(app)
    app.add_middleware(_Actions)
    for routes in (
        row_routes(watch, intake, own),
        reading_routes(watch, intake),
        alert_routes(watch),
        incident_routes(watch),
        runbook_routes(watch),
        hook_routes(watch),
    ):
        app.include_router(routes)
    _about_this_process(app, watch, intake, ticker, own)
    return app


def _about_this_process(app: FastAPI, watch: Watch, intake: Intake, ticker: Ticker | None, own: Any) -> None:
    """Add the routes that say how this process does."""

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
        require(getattr(request.state, "who", None), Role.VIEWER)
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        from watchkeeper.web.api.metrics import measurement_registry

        text = generate_latest(own.registry)
        text += generate_latest(measurement_registry(watch, segments=segments == "all"))
        return Response(text, media_type=CONTENT_TYPE_LATEST)
