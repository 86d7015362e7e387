"""One HTTP request of a notifier, and what its answer means: done, try again (when?), or do not.

Redirects are not followed (a notification goes where its owner said), an answer is read up to 64 MiB, and no
message holds the address, since the addresses of chats are secrets.
"""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import Any

from watchkeeper.errors import BadConfig, StoreUnavailable

TIMEOUT_S = 10.0
MOST_BYTES = 64 * 1024 * 1024
LATER = frozenset({408, 423, 425, 429})
"""Client errors that pass by themselves; every server error does."""


class TryAgain(StoreUnavailable):
    """Not delivered, and worth another try; ``retry_after_s`` is when the receiver asked for it, or None."""

    def __init__(self, what: str, *next_steps: str, retry_after_s: float | None = None) -> None:
        super().__init__(what, *next_steps)
        self.retry_after_s = retry_after_s


class Refused(BadConfig):
    """Not delivered, and another try would end the same way (a wrong secret, an unknown channel)."""


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def request_json(
    method: str,
    url: str,
    payload: Any = None,
    *,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = TIMEOUT_S,
    whom: str = "The receiver",
) -> Any:
    """Send *payload* as JSON; return the decoded answer (None when it is empty or not JSON).

    Raises
    ------
    TryAgain
        the network failed, or the receiver is busy or broken.
    Refused
        the receiver will not have it, or the address cannot be read.
    """
    if not url.startswith(("http://", "https://")):
        raise Refused(f"{whom} has an address that is not http:// or https://.", "Check the channel's url.")
    data = None if payload is None else json.dumps(payload, allow_nan=False, default=str).encode()
    try:
        request = urllib.request.Request(url, data=data, method=method)  # noqa: S310 - checked above
        request.add_header("Content-Type", "application/json")
        request.add_header("User-Agent", "watchkeeper")
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        with urllib.request.build_opener(_Stay).open(request, timeout=timeout_s) as answer:
            said = answer.read(MOST_BYTES)
    except urllib.error.HTTPError as error:
        with error:
            said = _read(error)
        judge(error.code, error.headers.get("Retry-After"), whom=whom, said=said)
        raise AssertionError("judge raises for every error status") from None
    except (OSError, HTTPException, ssl.SSLError) as cause:
        reason = getattr(cause, "reason", cause)
        raise TryAgain(f"{whom} could not be reached: {_plain(reason)}.") from None
    except ValueError:
        raise Refused(f"{whom} has an address that cannot be read.", "Check the channel's url.") from None
    try:
        return json.loads(said) if said.strip() else None
    except ValueError:
        return None


def judge(
    status: int, retry_after: str | None = None, *, whom: str = "The receiver", said: bytes | str = b""
) -> None:
    """Return for a 2xx; else raise what *status* means.

    >>> judge(202)
    >>> judge(429, "30")
    Traceback (most recent call last):
        ...
    watchkeeper.adapters.notifiers.exchange.TryAgain: The receiver answered 429; it asks to wait 30 s.
    """
    if 200 <= status < 300:
        return
    wait = retry_after_s(retry_after)
    if status >= 500 or status in LATER:
        asks = "" if wait is None else f"; it asks to wait {wait:.0f} s"
        raise TryAgain(f"{whom} answered {status}{asks}.", retry_after_s=wait)
    steps = ["Check the channel's url and secret."] if status in (400, 401, 403, 404, 410) else []
    if words := _words(said):
        steps.insert(0, f"It says: {words}")
    raise Refused(f"{whom} refused it with {status}.", *steps)


def retry_after_s(header: str | None, now: datetime | None = None) -> float | None:
    """Seconds from a ``Retry-After``: a number or an HTTP date (RFC 9110); None where it says nothing usable.

    >>> retry_after_s("120"), retry_after_s("soon")
    (120.0, None)
    >>> retry_after_s("Sun, 01 Mar 2026 00:01:00 GMT", datetime(2026, 3, 1, tzinfo=UTC))
    60.0
    """
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            at = parsedate_to_datetime(header)
        except (ValueError, TypeError, IndexError):
            return None
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        seconds = (at - (now or datetime.now(UTC))).total_seconds()
    return min(max(seconds, 0.0), 86_400.0) if seconds == seconds else None


def _read(error: urllib.error.HTTPError) -> bytes:
    try:
        return error.read(2_000)
    except (OSError, HTTPException):
        return b""


def _words(said: bytes | str) -> str:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:200]


def _plain(reason: object) -> str:
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    return str(getattr(reason, "strerror", None) or type(reason).__name__)
