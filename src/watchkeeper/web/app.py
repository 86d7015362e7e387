"""The whole server as one ASGI application, alone or inside another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from watchkeeper.errors import MissingExtra
from watchkeeper.web.security import Authenticate, Guard, Keys

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from watchkeeper.loop.watch.watch import Watch


def create_app(watch: Watch, *, authenticate: Authenticate | None = None) -> Starlette:
    """The dashboard and the API over *watch*, as an ASGI application.

    Without *authenticate*, tokens and sessions of the ledger say who may come in; while there is no token, only
    this machine may.
    """
    try:
        from starlette.applications import Starlette
        from starlette.middleware import Middleware
        from starlette.middleware.gzip import GZipMiddleware
    except ImportError as cause:
        raise MissingExtra(adapter="dashboard", library="fastapi", extra="server") from cause
    from watchkeeper.web.dashboard.kit.frame import no_such_page
    from watchkeeper.web.dashboard.site import site_of

    keys = Keys(watch.ledger.facts, watch.clock)
    app = Starlette(
        routes=list(site_of(watch, keys)),
        middleware=[
            Middleware(GZipMiddleware, minimum_size=1024, compresslevel=5),
            Middleware(Guard, keys=keys, authenticate=authenticate, hosts=_hosts(watch)),
        ],
        exception_handlers={404: no_such_page},
    )
    app.state.watch = watch
    return app


def dashboard_app(project: Any = ".", *, authenticate: Authenticate | None = None) -> Starlette:
    """The dashboard of a project (a path or an open `Watch`), to be mounted into an existing ASGI application.

    *authenticate* is given each request and returns an `Identity` (a name and a `Role`), or None for nobody; it may
    be a coroutine. Then no token is asked for: the application's own sign-in is the only one::

        app.mount("/watch", dashboard_app("ml/", authenticate=lambda request: identity_of(request.user)))
    """
    if isinstance(project, (str, Path)):
        from watchkeeper.wiring import open_project

        project = open_project(project)
    return create_app(project, authenticate=authenticate)


def _hosts(watch: Watch) -> frozenset[str]:
    """The name under which people reach it, where the configuration says so."""
    url = watch.config.project.url if watch.config is not None else ""
    name = urlsplit(url).hostname if url else None
    return frozenset({name} if name else ())
