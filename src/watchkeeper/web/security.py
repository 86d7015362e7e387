"""Who may see and do what: tokens, sessions, roles, forms that cannot be forged, headers, and a record of it.

Ways to be somebody
-------------------
- *No token exists yet*: whoever sits at this machine is the admin "local". Both the address that asks and the
  name that was asked for must be loopback, so that a page on the internet cannot reach in by a name of its own.
- *A token*, as ``Authorization: Bearer wk_...``, for programs; or once on the sign-in page, which turns it into
  a session for a browser.
- *A one-time token*, in a link to the sign-in page: the first browser that follows it gets a session, the next one
  and every program are refused.
- *An existing application's own authentication*, where the dashboard is mounted into one.

Tokens are random (256 bits), so one round of SHA-256 is all that storing them needs: the ledger never holds a
token itself, and neither do facts or logs.
"""

from __future__ import annotations

import hashlib
import hmac
import inspect
import ipaddress
import secrets
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from watchkeeper.domain.fact import Document, Fact
from watchkeeper.errors import BadInput, Conflict, NotFound, NotPermitted, nearest
from watchkeeper.ports.ledger import FactStore

PREFIX = "wk_"
SESSION_COOKIE = "wk_session"
VISIT_COOKIE = "wk_visit"
SESSION_LENGTH = timedelta(hours=12)
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "font-src 'self'; manifest-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'self'"
)


class Role(StrEnum):
    """What somebody may do; each role may do all that the ones before it may.

    >>> Role.OPERATOR.may(Role.LABELLER), Role.VIEWER.may(Role.OPERATOR)
    (True, False)
    """

    VIEWER = "viewer"
    LABELLER = "labeller"
    OPERATOR = "operator"
    ADMIN = "admin"

    def may(self, needed: Role) -> bool:
        """Whether this role is at least *needed*."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who asks. ``how`` is "local", "session", "token" or "host"; the name becomes the actor of facts."""

    name: str
    role: Role
    how: str = "host"
    secret: str = ""
    """What forms are bound to; empty where no browser is involved."""

    @property
    def csrf(self) -> str:
        """The word that a form of this visit must carry."""
        return csrf_token(self.secret) if self.secret else ""


def csrf_token(secret: str) -> str:
    """The word that goes with a cookie: whoever cannot read the cookie cannot know it."""
    return hmac.new(secret.encode(), b"watchkeeper form", hashlib.sha256).hexdigest()[:40]


def require(identity: Identity | None, needed: Role) -> Identity:
    """Return *identity* if it may, else say who could.

    Raises
    ------
    NotPermitted
        nobody is signed in, or the role is too small.
    """
    if identity is None:
        raise NotPermitted("Nobody is signed in.", "Sign in with a token, or send it as a bearer token.")
    if not identity.role.may(needed):
        raise NotPermitted(
            f"{identity.name} is a {identity.role.value}, and this needs the role {needed.value}.",
            "Ask an admin for a token with that role.",
        )
    return identity


# ---- tokens -----------------------------------------------------------------------------------------


def create_token(
    facts: FactStore,
    *,
    name: str,
    role: str,
    by: str,
    now: datetime,
    lasts: timedelta | None = None,
    once: bool = False,
) -> str:
    """Make a token and return it; this is the only time that anybody sees it.

    With *once* it opens one browser's session and nothing else: put it into a link, ``/sign-in?token=...``.

    Raises
    ------
    BadInput
        the role is not known, or the name is empty.
    """
    known = [r.value for r in Role]
    if role not in known:
        raise BadInput(f"There is no role {role!r}.{nearest(role, known)}", f"Known: {', '.join(known)}.")
    if not name.strip() or len(name) > 100:
        raise BadInput("A token needs a name of at most 100 letters: whose it is, or what uses it.")
    token = PREFIX + secrets.token_urlsafe(32)
    key = _digest(token)
    body = {
        "name": name.strip(),
        "role": role,
        "id": key[:12],
        "created_at": now.isoformat(),
        "created_by": by,
        "expires_at": None if lasts is None else (now + lasts).isoformat(),
    }
    fact = Fact(
        kind="token.created",
        at=now,
        actor=by,
        subject=key[:12],
        body={k: body[k] for k in ("name", "role", "expires_at")},
    )
    document = Document(
        kind="token",
        key=key,
        state="once" if once else "active",
        body=body,
        due=None if lasts is None else now + lasts,
        updated_at=now,
    )
    facts.append([fact], [document])
    return token


def tokens(facts: FactStore) -> list[dict[str, Any]]:
    """All tokens as they may be shown: name, role, id, dates, state. Never the token or its digest."""
    return [{**d.body, "state": d.state} for d in facts.documents("token", limit=1000, order="-updated_at")]


def revoke_token(facts: FactStore, token_id: str, *, by: str, now: datetime) -> None:
    """End the token with this id (the first 12 letters of its digest), and every session made with it.

    Raises
    ------
    NotFound
        no token has this id.
    """
    found = [d for d in facts.documents("token", limit=1000) if d.body["id"] == token_id]
    if not found:
        raise NotFound(f"There is no token {token_id!r}.", "List them:  watchkeeper token list")
    document = found[0]
    fact = Fact(
        kind="token.revoked", at=now, actor=by, subject=token_id, body={"name": document.body["name"]}
    )
    facts.append([fact], [_changed(document, state="revoked", now=now)])


def _changed(document: Document, *, state: str, now: datetime) -> Document:
    return Document(
        kind=document.kind,
        key=document.key,
        body=document.body,
        state=state,
        model=document.model,
        rank=document.rank,
        due=document.due,
        updated_at=now,
        revision=document.revision,
    )


def _digest(word: str) -> str:
    return hashlib.sha256(word.encode()).hexdigest()


# ---- tokens and sessions of one ledger --------------------------------------------------------------


class Keys:
    """Tokens and sessions in the ledger, read afresh for each request: a revoked token ends at once."""

    def __init__(self, facts: FactStore, clock: Callable[[], datetime]) -> None:
        self.facts, self.clock = facts, clock
        self._any = False

    def exist(self) -> bool:
        """Whether any token was ever made. Then the local admin is gone, also when all are revoked."""
        self._any = self._any or self.facts.count("token") > 0
        return self._any

    def of_token(self, token: str) -> Identity | None:
        """Who holds this token, or None."""
        document = self._token(token)
        if document is None or not self._live(document):
            return None
        return Identity(name=document.body["name"], role=Role(document.body["role"]), how="token")

    def _token(self, token: str) -> Document | None:
        return self.facts.document("token", _digest(token)) if token.startswith(PREFIX) else None

    def of_session(self, session: str) -> Identity | None:
        """Who is signed in with this cookie, or None."""
        document = self.facts.document("session", _digest(session))
        if document is None or not self._live(document):
            return None
        token = self.facts.document("token", document.body["token"])
        if token is None or not (token.state == "used" or self._live(token)):
            return None
        return Identity(name=token.body["name"], role=Role(token.body["role"]), how="session", secret=session)

    def open_session(self, token: str) -> str | None:
        """Sign in: a new session's cookie, or None where the token is not good. A one-time token is used up."""
        held = self._token(token)
        if held is None or not (self._live(held) or self._live(held, "once")):
            return None
        session, now, name = secrets.token_urlsafe(32), self.clock(), held.body["name"]
        self._sweep(now)
        document = Document(
            kind="session",
            key=_digest(session),
            state="active",
            body={"token": held.key, "name": name},
            due=now + SESSION_LENGTH,
            updated_at=now,
        )
        fact = Fact(kind="session.opened", at=now, actor=name, subject=name, body={"role": held.body["role"]})
        used = [_changed(held, state="used", now=now)] if held.state == "once" else []
        try:
            self.facts.append([fact], [document, *used])
        except Conflict:
            return None  # another browser was first
        return session

    def close_session(self, session: str) -> None:
        """Sign out."""
        document = self.facts.document("session", _digest(session))
        if document is not None:
            now = self.clock()
            fact = Fact(
                kind="session.closed", at=now, actor=document.body["name"], subject=document.body["name"]
            )
            try:
                self.facts.append([fact], [_changed(document, state="closed", now=now)])
            except Conflict:
                return

    def refused(self, address: str) -> None:
        """Record that somebody tried a token that is not good."""
        self.facts.append([Fact(kind="session.refused", at=self.clock(), actor="somebody", subject=address)])

    def _live(self, document: Document, state: str = "active") -> bool:
        return document.state == state and (document.due is None or document.due > self.clock())

    def _sweep(self, now: datetime) -> None:
        """Sessions that have ended are of no use to anybody."""
        ended = self.facts.documents("session", due_before=now, limit=200, order="due")
        if ended:
            self.facts.forget((d.kind, d.key) for d in ended)


class LoginLimit:
    """At most *each* failures a minute from one address, and *all_together* from everywhere.

    >>> from datetime import UTC
    >>> limit = LoginLimit(each=2)
    >>> now = datetime(2026, 1, 1, tzinfo=UTC)
    >>> for _ in range(2): limit.failed("a", now)
    >>> limit.wait_s("a", now), limit.wait_s("b", now), limit.wait_s("a", now + timedelta(minutes=1))
    (60, 0, 0)
    """

    def __init__(self, *, each: int = 5, all_together: int = 60) -> None:
        self.each, self.all_together = each, all_together
        self._failures: OrderedDict[str, deque[datetime]] = OrderedDict()

    def failed(self, address: str, now: datetime) -> None:
        """Count one failure."""
        for name, most in ((address, self.each), ("", self.all_together)):
            self._failures.setdefault(name, deque(maxlen=most)).append(now)
            self._failures.move_to_end(name)
        while len(self._failures) > 10_000:
            self._failures.popitem(last=False)

    def wait_s(self, address: str, now: datetime) -> int:
        """Seconds to wait before the next try; 0 if none."""
        wait = 0.0
        for name, most in ((address, self.each), ("", self.all_together)):
            failures = self._failures.get(name)
            if failures is not None and len(failures) == most:
                wait = max(wait, 60 - (now - failures[0]).total_seconds())
        return int(-(-max(wait, 0) // 1))


# ---- at the door ------------------------------------------------------------------------------------

Somebody = Identity | None
Authenticate = Callable[[Any], Somebody | Awaitable[Somebody]]


class Guard:
    """ASGI: finds out who asks (``request.state.who``), refuses forged forms, and sets the headers of every answer.

    It does not decide what a path needs: each route says so with `require`. *authenticate* is an existing
    application's own: it is given the request, and returns an `Identity`, or None for nobody.
    """

    def __init__(
        self,
        app: Any,
        *,
        keys: Keys,
        authenticate: Authenticate | None = None,
        hosts: frozenset[str] = frozenset(),
    ) -> None:
        self.app, self.keys, self.authenticate = app, keys, authenticate
        self.hosts = hosts

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """See the ASGI specification."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        from starlette.requests import Request

        request = Request(scope)
        who, cookie = await self._who(request)
        scope.setdefault("state", {})
        scope["state"]["who"] = who
        if who is not None and scope["method"] not in SAFE and self._forged(request, who):
            from starlette.responses import PlainTextResponse

            refusal = PlainTextResponse(
                "This form did not come from a page of this dashboard, so nothing was done.\n"
                "Open the page again and repeat the action.",
                status_code=403,
            )
            await refusal(scope, receive, _with_headers(send, None, scope))
            return
        await self.app(scope, receive, _with_headers(send, cookie, scope))

    async def _who(self, request: Any) -> tuple[Identity | None, str | None]:
        from starlette.concurrency import run_in_threadpool

        if self.authenticate is not None:
            found = self.authenticate(request)
            who = await found if inspect.isawaitable(found) else found
            if who is None or who.secret:
                return who, None
            visit, cookie = _visit(request)
            return Identity(name=who.name, role=who.role, how=who.how, secret=visit), cookie
        authorization = request.headers.get("authorization", "")
        if authorization[:7].lower() == "bearer ":
            return await run_in_threadpool(self.keys.of_token, authorization[7:].strip()), None
        session = _cookies(request).get(SESSION_COOKIE)
        if session:
            who = await run_in_threadpool(self.keys.of_session, session)
            if who is not None:
                return who, None
        if self._is_local(request) and not await run_in_threadpool(self.keys.exist):
            visit, cookie = _visit(request)
            return Identity(name="local", role=Role.ADMIN, how="local", secret=visit), cookie
        return None, None

    def _is_local(self, request: Any) -> bool:
        if any(h in request.headers for h in ("forwarded", "x-forwarded-for", "x-real-ip")):
            return False  # somebody is behind a proxy on this machine
        if request.client is None or not _is_loopback(request.client.host):
            return False
        name = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
        return name == "localhost" or _is_loopback(name) or name in self.hosts

    def _forged(self, request: Any, who: Identity) -> bool:
        """Whether a browser sent this from another site. A form's own word is checked where the form is read."""
        return who.how != "token" and from_elsewhere(request)


def from_elsewhere(request: Any) -> bool:
    """Whether a page of another site made the browser send this."""
    site = request.headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        return True
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != request.headers.get("host", "")


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return name in ("testclient", "localhost")


def _cookies(request: Any) -> dict[str, str]:
    jar: SimpleCookie = SimpleCookie()
    for line in request.headers.getlist("cookie"):
        jar.load(line)
    return {k: v.value for k, v in jar.items()}


def _visit(request: Any) -> tuple[str, str | None]:
    """The visit's own secret, and the cookie to set when it is new."""
    visit = _cookies(request).get(VISIT_COOKIE, "")
    if len(visit) >= 32:
        return visit, None
    visit = secrets.token_urlsafe(32)
    return visit, cookie_line(VISIT_COOKIE, visit, request)


def cookie_line(name: str, value: str, request: Any, *, lasts: timedelta | None = None) -> str:
    """A Set-Cookie header: not readable by scripts, not sent along by other sites, only over TLS where there is TLS."""
    path = request.scope.get("root_path", "") or "/"
    secure = "; Secure" if request.url.scheme == "https" else ""
    age = "" if lasts is None else f"; Max-Age={int(lasts.total_seconds())}"
    return f"{name}={value}; Path={path}; HttpOnly; SameSite=Lax{secure}{age}"


def _with_headers(send: Any, cookie: str | None, scope: Any) -> Any:
    async def sending(message: Any) -> None:
        if message["type"] == "http.response.start":
            from starlette.datastructures import MutableHeaders

            headers = MutableHeaders(scope=message)
            headers.setdefault("Content-Security-Policy", CONTENT_POLICY)
            headers.setdefault("Cache-Control", "no-store")
            headers["X-Content-Type-Options"] = "nosniff"
            headers["Referrer-Policy"] = "same-origin"
            headers.setdefault("X-Frame-Options", "SAMEORIGIN")
            headers["Cross-Origin-Opener-Policy"] = "same-origin"
            headers["Cross-Origin-Resource-Policy"] = "same-origin"
            headers["Permissions-Policy"] = "camera=(), microphone=(), geolocation=()"
            if cookie:
                headers.append("Set-Cookie", cookie)
        await send(message)

    return sending
