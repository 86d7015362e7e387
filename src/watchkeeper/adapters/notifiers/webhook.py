"""A plain webhook: the notification as JSON, for programs.

The body has ``version``, ``key`` (idempotency), ``status``, ``severity``, ``group``, ``title``, ``text``, ``link``
and ``alerts``. The key also stands in the header ``Idempotency-Key``, so that a receiver can drop a repeat.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from watchkeeper.adapters.notifiers.exchange import TIMEOUT_S, request_json


class WebhookNotifier:
    """Posts JSON to one address; ``user:password@`` in it becomes basic authentication.

    With *wakes*, whatever stands behind it wakes people, and it is spared what can wait.
    """

    def __init__(self, name: str, url: str, *, timeout_s: float = TIMEOUT_S, wakes: bool = False) -> None:
        self.name, self.wakes = name, wakes
        self._url, self._headers = _split(url)
        self._timeout_s = timeout_s

    def send(self, message: Mapping[str, Any], *, key: str) -> None:
        """See `watchkeeper.ports.notifier.Notifier`."""
        payload = {
            "version": "1",
            "key": key,
            **{k: message.get(k) for k in ("status", "severity", "group", "title", "text", "link", "alerts")},
        }
        request_json(
            "POST",
            self._url,
            payload,
            headers={**self._headers, "Idempotency-Key": key},
            timeout_s=self._timeout_s,
            whom=f"The webhook of channel {self.name!r}",
        )


def _split(url: str) -> tuple[str, dict[str, str]]:
    """The address without its user and password, and the header that carries them instead."""
    from base64 import b64encode

    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url, {}
    login, _, host = parts.netloc.rpartition("@")
    token = b64encode(unquote(login).encode()).decode()
    return urlunsplit(parts._replace(netloc=host)), {"Authorization": f"Basic {token}"}
