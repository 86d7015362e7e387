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
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from http.cookies import SimpleCookie
from typing import Any, TypedDict
from urllib.parse import urlsplit

from watchkeeper.errors import BadInput, Conflict, NotFound, NotPermitted, nearest
from watchkeeper.loop.records.facts import FactKind
from watchkeeper.loop.records.records import Kept, Kind, Records, plain, write
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token as the ledger knows it: by its digest, never itself."""

    key: str
    """The digest."""
    id: str
    """The first 12 letters of the digest: how people name it."""
    name: str
    role: str
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    state: str = "active"
    """``active``, ``once`` (opens one session), ``used`` or ``revoked``."""

    def live(self, now: datetime, state: str = "active") -> bool:
        """Whether it is good at *now*."""
        return self.state == state and (self.expires_at is None or self.expires_at > now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A browser that is signed in."""

    key: str
    """The digest of its cookie."""
    token: str
    name: str
    until: datetime
    state: str = "active"


TOKEN = Kind("token", Token, key="key", state="state", due=lambda token: token.expires_at)
SESSION = Kind(
    "session",
    Session,
    key="key",
    state="state",
    due=lambda session: session.until,
    upgrade=lambda document: {"until": document.due, **document.body},
)


class TokenCreated(TypedDict):
    name: str
    role: str
    expires_at: str | None


class TokenRevoked(TypedDict):
    name: str


class SessionOpened(TypedDict):
    role: str


TOKEN_CREATED = FactKind("token.created", TokenCreated)
TOKEN_REVOKED = FactKind("token.revoked", TokenRevoked)
SESSION_OPENED = FactKind("session.opened", SessionOpened)
SESSION_CLOSED = FactKind[None]("session.closed")
SESSION_REFUSED = FactKind[None]("session.refused")


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
    made = Token(
        key=key,
        id=key[:12],
        name=name.strip(),
        role=role,
        created_at=now,
        created_by=by,
        expires_at=None if lasts is None else now + lasts,
        state="once" if once else "active",
    )
    said: TokenCreated = {
        "name": made.name,
        "role": role,
        "expires_at": None if made.expires_at is None else made.expires_at.isoformat(),
    }
    write(facts, [TOKEN_CREATED(said, at=now, actor=by, subject=made.id)], [TOKEN.new(made)], now=now)
    return token


def tokens(facts: FactStore) -> list[dict[str, Any]]:
    """All tokens as they may be shown: name, role, id, dates, state. Never the token or its digest."""
    found = [plain(kept.value) for kept in Records(facts, TOKEN).some(limit=1000)]
    return [{k: v for k, v in token.items() if k != "key"} for token in found]


def revoke_token(facts: FactStore, token_id: str, *, by: str, now: datetime) -> None:
    """End the token with this id (the first 12 letters of its digest), and every session made with it.

    Raises
    ------
    NotFound
        no token has this id.
    """
    held = Records(facts, TOKEN)
    found = next((kept for kept in held.all() if kept.value.id == token_id), None)
    if found is None:
        raise NotFound(f"There is no token {token_id!r}.", "List them:  watchkeeper token list")
    fact = TOKEN_REVOKED({"name": found.value.name}, at=now, actor=by, subject=token_id)
    held.change(found.key, lambda t: replace(t, state="revoked"), lambda *_: fact, now=now)


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
        held = self._token(token)
        if held is None or not held.value.live(self.clock()):
            return None
        return Identity(name=held.value.name, role=Role(held.value.role), how="token")

    def _token(self, token: str) -> Kept[Token] | None:
        return Records(self.facts, TOKEN).get(_digest(token)) if token.startswith(PREFIX) else None

    def of_session(self, session: str) -> Identity | None:
        """Who is signed in with this cookie, or None."""
        now, held = self.clock(), Records(self.facts, SESSION).get(_digest(session))
        if held is None or held.value.state != "active" or held.value.until <= now:
            return None
        token = Records(self.facts, TOKEN).get(held.value.token)
        if token is None or not (token.value.state == "used" or token.value.live(now)):
            return None
        return Identity(name=token.value.name, role=Role(token.value.role), how="session", secret=session)

    def open_session(self, token: str) -> str | None:
        """Sign in: a new session's cookie, or None where the token is not good. A one-time token is used up."""
        now, held = self.clock(), self._token(token)
        if held is None or not (held.value.live(now) or held.value.live(now, "once")):
            return None
        session, name = secrets.token_urlsafe(32), held.value.name
        self._sweep(now)
        new = Session(key=_digest(session), token=held.key, name=name, until=now + SESSION_LENGTH)
        fact = SESSION_OPENED({"role": held.value.role}, at=now, actor=name, subject=name)
        used = [held.to(replace(held.value, state="used"))] if held.value.state == "once" else []
        if not Records(self.facts, SESSION).put_new(new, fact, now=now, also=used):
            return None  # another browser was first
        return session

    def close_session(self, session: str) -> None:
        """Sign out."""
        held = Records(self.facts, SESSION).get(_digest(session))
        if held is not None:
            now, name = self.clock(), held.value.name
            fact = SESSION_CLOSED(at=now, actor=name, subject=name)
            with suppress(Conflict):
                write(self.facts, [fact], [held.to(replace(held.value, state="closed"))], now=now)

    def refused(self, address: str) -> None:
        """Record that somebody tried a token that is not good."""
        write(self.facts, [SESSION_REFUSED(at=self.clock(), actor="somebody", subject=address)])

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
