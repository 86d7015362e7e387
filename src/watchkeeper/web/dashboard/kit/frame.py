"""The frame around every page: how a page is answered (HTML, or JSON at the same path), and what a form must carry.

A page is a function that returns a `Page`: a template's name and plain JSON data. The template is given that data
and nothing else, so the twin cannot say less than the page does.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from watchkeeper.errors import (
    BadInput,
    Conflict,
    NotFound,
    NotPermitted,
    StoreUnavailable,
    WatchkeeperError,
)
from watchkeeper.web.dashboard.kit import words
from watchkeeper.web.dashboard.kit.kept import Kept
from watchkeeper.web.security import Identity, Role, csrf_token, require

if TYPE_CHECKING:
    from jinja2 import Environment

    from watchkeeper.domain.fact import Document
    from watchkeeper.loop.watch.watch import Watch
    from watchkeeper.ports.page_reads import PageReads, SeriesName, VersionSeen


FEW_ALERTS = 1_000
STATIC = Path(__file__).parents[1] / "static"
MEDIA = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What one page says: *data* is its JSON twin, *title* is what a browser's tab shows."""

    template: str
    title: str
    data: Mapping[str, Any]
    status: int = 200
    here: str = ""
    """Which entry of the navigation it belongs to."""


@dataclass(slots=True)
class Room:
    """What every page needs: the watch, questions to its ledger, and which pages there are."""

    watch: Watch
    reads: PageReads
    kept: Kept = field(default_factory=Kept)
    navigation: list[tuple[str, str, str]] = field(default_factory=list)
    """(key, path, title)"""

    def now(self) -> datetime:
        """The watch's clock."""
        return self.watch.clock()

    @property
    def name(self) -> str:
        """The project's name."""
        config = self.watch.config
        return str(config.project.name) if config is not None else "watch"

    def models(self) -> list[str]:
        """Configured models, then those that only the ledger still knows."""
        seen = self.kept("models", self.reads.models_seen, seconds=10)
        return list(dict.fromkeys([*self.watch.models, *seen]))

    def known_model(self, name: str) -> str:
        """*name*, if there is such a model; raises `NotFound` with the nearest name."""
        if name not in self.watch.models and name not in self.models():
            self.watch.model(name)
        return name

    def alert_tally(self) -> dict[str, dict[str, tuple[int, float]]]:
        """Open alerts by model and state: how many, and the highest rank among them."""
        return self.kept("tally", self.reads.alert_tally)

    def last_window(self, model: str) -> datetime | None:
        """The end of the model's newest window with rows."""
        return self.kept(("last", model), lambda: self.reads.last_windows([model])).get(model)

    def first_window(self, model: str) -> datetime | None:
        """The start of the model's oldest window."""
        return self.kept(("first", model), lambda: self.reads.first_window(model), seconds=60)

    def series_of(self, model: str) -> list[SeriesName]:
        """Which series the model has."""
        return self.kept(("series", model), lambda: self.reads.series_of(model), seconds=15)

    def versions(self, model: str) -> list[VersionSeen]:
        """The versions of the model that answered, oldest first."""
        return self.kept(("versions", model), lambda: self.reads.versions(model), seconds=30)

    def open_alerts(
        self,
        *,
        states: Sequence[str] = ("firing", "pending"),
        model: str | None = None,
        limit: int = 200,
        offset: int = 0,
    ) -> list[Document]:
        """Documents of open alerts, gravest first.

        While they are few, all of them are read by their state and sorted here: by rank, the database would walk
        past every alert that is over to find that there is no further one.
        """
        tally = self.alert_tally()
        asked = [tally.get(model, {})] if model is not None else list(tally.values())
        there = sum(counts.get(state, (0, 0.0))[0] for counts in asked for state in states)
        read = self.watch.ledger.facts.documents
        if there > FEW_ALERTS:
            return list(read("alert", states=states, model=model, limit=limit, offset=offset, order="-rank"))
        found = [d for s in states for d in read("alert", states=[s], model=model, limit=FEW_ALERTS)]
        return sorted(found, key=lambda d: (-d.rank, d.key))[offset : offset + limit]


Handler = Callable[[Room, Request], Page]


def page(
    room: Room, handler: Handler, *, needs: Role = Role.VIEWER
) -> Callable[[Request], Awaitable[Response]]:
    """The route of a page. It reads in a thread, so that a slow ledger never stops live updates."""

    async def answer(request: Request) -> Response:
        who: Identity | None = request.scope.get("state", {}).get("who")
        try:
            if who is None and not wants_json(request):
                back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
                return RedirectResponse(
                    root(request) + "/sign-in?" + urlencode({"back": back}), status_code=303
                )
            require(who, needs)
            found = await run_in_threadpool(handler, room, request)
            return await run_in_threadpool(_respond, room, request, found, who)
        except WatchkeeperError as failure:
            return await run_in_threadpool(told, room, request, failure, who)

    return answer


def plain(
    room: Room, handler: Callable[[Room, Request], Response], *, needs: Role = Role.VIEWER
) -> Callable[[Request], Awaitable[Response]]:
    """The route of something that is no page: a chart, a file, an answer to a search."""

    async def answer(request: Request) -> Response:
        who = request.scope.get("state", {}).get("who")
        try:
            require(who, needs)
            return await run_in_threadpool(handler, room, request)
        except WatchkeeperError as failure:
            return JSONResponse(_failure_of(failure), status_code=_status(failure, who))

    return answer


Doing = Callable[[Room, Request, Mapping[str, str], Identity], str]


def action(
    room: Room, handler: Doing, *, needs: Role = Role.OPERATOR
) -> Callable[[Request], Awaitable[Response]]:
    """The route of a button: a POST that does something, then leads back to a page that says so.

    *handler* returns the path to go to. A browser's form must carry the word of its visit. A program that asks for
    JSON is told in JSON.
    """

    async def answer(request: Request) -> Response:
        who = request.scope.get("state", {}).get("who")
        try:
            form = await small_form(request)
            doer = require(who, needs)
            check_form(doer, form.get("csrf", "") or request.headers.get("x-csrf", ""))
            there = await run_in_threadpool(handler, room, request, form, doer)
        except WatchkeeperError as failure:
            return await run_in_threadpool(told, room, request, failure, who)
        if wants_json(request):
            return JSONResponse({"done": True, "see": root(request) + there})
        return RedirectResponse(root(request) + there, status_code=303)

    return answer


def shown_once(
    room: Room, handler: Callable[[Room, Request, Mapping[str, str], Identity], Page], *, needs: Role
) -> Callable[[Request], Awaitable[Response]]:
    """The route of a button whose answer must be in no URL (a new token): the page comes with the answer itself."""

    async def answer(request: Request) -> Response:
        who = request.scope.get("state", {}).get("who")
        try:
            form = await small_form(request)
            doer = require(who, needs)
            check_form(doer, form.get("csrf", "") or request.headers.get("x-csrf", ""))
            found = await run_in_threadpool(handler, room, request, form, doer)
            return await run_in_threadpool(_respond, room, request, found, who)
        except WatchkeeperError as failure:
            return await run_in_threadpool(told, room, request, failure, who)

    return answer


def check_form(who: Identity, word: str) -> None:
    """A form of a browser's visit must carry the word that only its own pages know."""
    import hmac

    if who.secret and not hmac.compare_digest(word, csrf_token(who.secret)):
        raise NotPermitted(
            "This form is too old, or did not come from a page of this dashboard, so nothing was done.",
            "Open the page again and repeat the action.",
        )


async def small_form(request: Request, *, most: int = 200_000) -> dict[str, str]:
    """The fields of a form or a JSON object, at most *most* bytes."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > most:
            raise BadInput(f"This form is larger than {most:,} bytes, so nothing was done.")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        try:
            given = json.loads(body or b"{}")
        except ValueError as cause:
            raise BadInput(f"The body is not valid JSON: {cause}.") from None
        if not isinstance(given, dict):
            raise BadInput("The body must be a JSON object.")
        return {str(k): "" if v is None else str(v) for k, v in given.items()}
    from urllib.parse import parse_qsl

    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


# ---- HTML or JSON -----------------------------------------------------------------------------------


def wants_json(request: Request) -> bool:
    """Whether the twin is asked for: ``?format=json``, or an Accept header that prefers JSON to HTML."""
    if request.query_params.get("format") == "json":
        return True
    accept = request.headers.get("accept", "")
    return "application/json" in accept and "text/html" not in accept


def root(request: Request) -> str:
    """Where the dashboard is mounted: "" or "/watch"."""
    return str(request.scope.get("root_path", "")).rstrip("/")


def _respond(room: Room, request: Request, found: Page, who: Identity | None) -> Response:
    if wants_json(request):
        return JSONResponse(dict(found.data), status_code=found.status, headers={"Vary": "Accept, Cookie"})
    return _html(room, request, found, who)


def _html(room: Room, request: Request, found: Page, who: Identity | None) -> Response:
    # A link that keeps every filter of this page, with some changed: ``self(page=2)``.
    # A token that came in the address is not repeated.
    given = {k: v for k, v in request.query_params.items() if k != "token"}

    def self_link(**changes: Any) -> str:
        merged = {**given, **changes}
        query = urlencode({k: v for k, v in merged.items() if v not in (None, "")})
        return request.url.path + (f"?{query}" if query else "")

    theme = request.cookies.get("wk_theme", "")
    text = (
        environment()
        .get_template(found.template)
        .render(
            d=found.data,
            title=found.title,
            here=found.here,
            project=room.name,
            navigation=room.navigation,
            root=root(request),
            path=request.url.path,
            link=self_link,
            query=given,
            who=who,
            may=lambda role: who is not None and who.role.may(Role(role)),
            csrf=who.csrf if who is not None else "",
            theme=theme if theme in ("light", "dark") else "",
            now=room.now().astimezone(UTC),
            stamp=room.kept("newest", room.reads.newest, seconds=1) if who is not None else 0,
            asset=_asset,
        )
    )
    return Response(
        text, status_code=found.status, media_type="text/html", headers={"Vary": "Accept, Cookie"}
    )


def told(room: Room, request: Request, failure: WatchkeeperError, who: Identity | None) -> Response:
    """A deliberate failure, as a page or as JSON."""
    status = _status(failure, who)
    if wants_json(request) or who is None:
        return JSONResponse(_failure_of(failure), status_code=status)
    title = {404: "There is no such page", 403: "Not permitted", 409: "Somebody was faster"}.get(
        status, "That did not work"
    )
    data = _failure_of(failure)
    return _html(room, request, Page(template="trouble.html.j2", title=title, data=data, status=status), who)


def _failure_of(failure: WatchkeeperError) -> dict[str, Any]:
    return {"error": type(failure).__name__, "what": failure.what, "next_steps": list(failure.next_steps)}


def _status(failure: WatchkeeperError, who: Identity | None) -> int:
    if isinstance(failure, NotPermitted):
        return 401 if who is None else 403
    for kind, status in ((NotFound, 404), (Conflict, 409), (BadInput, 400), (StoreUnavailable, 503)):
        if isinstance(failure, kind):
            return status
    return 400


# ---- templates and static files ---------------------------------------------------------------------


@cache
def environment() -> Environment:
    """Jinja2 with everything escaped, and our words for numbers and times."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("watchkeeper.web.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(words.FILTERS)
    made.globals |= {"spark": words.spark, "whisker": words.whisker}
    return made


@cache
def _digest(name: str) -> str:
    return sha256((STATIC / name).read_bytes()).hexdigest()[:12]


def _asset(name: str) -> str:
    """The address of a static file; it changes with the content, so browsers may keep it for ever."""
    if name == "vega.js":
        # Its digest is known once it has been taken out of its package; that happens when it is first asked for.
        import vl_convert

        return f"/static/vega.js?v={vl_convert.get_vega_version()}"
    return f"/static/{name}?v={_digest(name)}"


def static_file(request: Request) -> Response:
    """Our own scripts and styles, and the chart library."""
    name = request.path_params["name"]
    kept = {"Cache-Control": "public, max-age=31536000, immutable"}
    if name == "vega.js":
        from watchkeeper.web.vega_bundle import vega_bundle

        bundle = vega_bundle()
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(
                bundle.gzipped,
                media_type=MEDIA[".js"],
                headers={**kept, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"},
            )
        return Response(bundle.script, media_type=MEDIA[".js"], headers={**kept, "Vary": "Accept-Encoding"})
    file = STATIC / name
    if "/" in name or file.suffix not in MEDIA or not file.is_file():
        return Response("There is no such file.", status_code=404, media_type="text/plain")
    tag = _digest(name)
    if request.query_params.get("v") != tag:  # a module that another one imports: asked for by its plain name
        kept = {"Cache-Control": "no-cache", "ETag": f'"{tag}"'}
        if request.headers.get("if-none-match") == f'"{tag}"':
            return Response(status_code=304, headers=kept)
    return Response(file.read_bytes(), media_type=MEDIA[file.suffix], headers=kept)


async def no_such_page(request: Request, _failure: Exception) -> Response:
    """What is said where no route matches."""
    failure = NotFound(
        "There is nothing at this address.", "Begin at the first page, or search with the / key."
    )
    if wants_json(request):
        return JSONResponse(_failure_of(failure), status_code=404)
    text = (
        environment()
        .get_template("nowhere.html.j2")
        .render(root=root(request), what=failure.what, asset=_asset)
    )
    return Response(text, status_code=404, media_type="text/html")
