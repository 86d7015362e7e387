"""Signing in with a token, and out again."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from watchkeeper.errors import WatchkeeperError
from watchkeeper.web.dashboard.kit.frame import Page, Room, _html, root, small_form, told
from watchkeeper.web.security import (
    SESSION_COOKIE,
    SESSION_LENGTH,
    Keys,
    LoginLimit,
    cookie_line,
    from_elsewhere,
)


class SignIn:
    """The sign-in page. It says nothing about why a token is not good."""

    def __init__(self, room: Room, keys: Keys) -> None:
        self.room, self.keys, self.limit = room, keys, LoginLimit()

    async def show(self, request: Request) -> Response:
        """The form; or, where a link brings its token along, the session at once."""
        if token := request.query_params.get("token", ""):
            if getattr(request.state, "who", None) is not None:
                return self._there(request)  # the link was followed before, by this browser
            return await self._open(request, token, "This link has been used, or has ended.")
        return await run_in_threadpool(self._form, request, "", 200)

    async def enter(self, request: Request) -> Response:
        """A token becomes a session; failures are counted by address."""
        if from_elsewhere(request):
            return await run_in_threadpool(self._form, request, "Sign in from this page.", 403)
        try:
            form = await small_form(request, most=10_000)
        except WatchkeeperError as failure:
            return await run_in_threadpool(told, self.room, request, failure, None)
        return await self._open(
            request, form.get("token", ""), "This token is not known, or has ended.", form.get("back", "")
        )

    async def _open(self, request: Request, token: str, refusal: str, back: str = "") -> Response:
        address = request.client.host if request.client else "unknown"
        now = self.room.now()
        if wait := self.limit.wait_s(address, now):
            answer = await run_in_threadpool(
                self._form, request, f"Too many tries. Wait {wait} seconds, then try again.", 429
            )
            answer.headers["Retry-After"] = str(wait)
            return answer
        try:
            session = await run_in_threadpool(self.keys.open_session, token.strip())
        except WatchkeeperError as failure:
            return await run_in_threadpool(told, self.room, request, failure, None)
        if session is None:
            self.limit.failed(address, now)
            await run_in_threadpool(self.keys.refused, address)
            return await run_in_threadpool(self._form, request, refusal, 401)
        answer = self._there(request, back)
        line = cookie_line(SESSION_COOKIE, session, request, lasts=SESSION_LENGTH)
        answer.headers.append("Set-Cookie", line)
        return answer

    def _there(self, request: Request, back: str = "") -> Response:
        return RedirectResponse(back if _is_own(back) else root(request) + "/", status_code=303)

    async def leave(self, request: Request) -> Response:
        """The session ends, here and in the ledger."""
        session = request.cookies.get(SESSION_COOKIE, "")
        if session:
            await run_in_threadpool(self.keys.close_session, session)
        answer = RedirectResponse(root(request) + "/sign-in?" + urlencode({"left": "1"}), status_code=303)
        answer.delete_cookie(SESSION_COOKIE, path=root(request) or "/")
        return answer

    def _form(self, request: Request, trouble: str, status: int) -> Response:
        back = request.query_params.get("back", "")
        data = {
            "back": back if _is_own(back) else "",
            "trouble": trouble,
            "left": "left" in request.query_params,
        }
        page = Page(template="sign_in.html.j2", title="Sign in", data=data, status=status)
        return _html(self.room, request, page, None)


def _is_own(path: str) -> bool:
    """Whether *path* leads to a page of ours: never to another host."""
    return (
        path.startswith("/") and not path.startswith(("//", "/\\")) and "\n" not in path and "\r" not in path
    )
