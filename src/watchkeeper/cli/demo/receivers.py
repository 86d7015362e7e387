"""A mail server and a webhook on loopback, so that the demo can show the messages that Watchkeeper sends."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from watchkeeper.errors import MissingExtra


@dataclass(frozen=True, slots=True)
class Received:
    """One message as it arrived."""

    channel: str
    subject: str
    text: str


@dataclass(slots=True)
class Receivers:
    """Both servers; use as a context. ``messages`` grows as they arrive."""

    messages: list[Received] = field(default_factory=list)
    smtp_port: int = 0
    webhook_port: int = 0
    _stop: list[Any] = field(default_factory=list)

    def __enter__(self) -> Receivers:
        self._start_mail()
        self._start_webhook()
        return self

    def __exit__(self, *_: object) -> None:
        for stop in reversed(self._stop):
            stop()

    def _start_mail(self) -> None:
        try:
            from aiosmtpd.controller import Controller
        except ImportError as cause:
            raise MissingExtra(adapter="demo's mail server", library="aiosmtpd", extra="demo") from cause
        messages = self.messages

        class Handler:
            async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
                mail = message_from_bytes(envelope.content, policy=default)
                messages.append(Received("mail", str(mail["subject"]), _text(mail)))
                return "250 OK"

        controller = Controller(Handler(), hostname="127.0.0.1", port=free_port())
        controller.start()
        self.smtp_port = controller.port
        self._stop.append(controller.stop)

    def _start_webhook(self) -> None:
        messages = self.messages

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(min(int(self.headers.get("content-length", 0)), 1 << 20))
                try:
                    said = json.loads(body)
                except ValueError:
                    said = {"message": body.decode("utf-8", "replace")}
                subject = str(said.get("title") or said.get("subject") or "webhook")
                messages.append(Received("webhook", subject, str(said.get("message") or said)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Silence."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.webhook_port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self._stop.append(server.server_close)
        self._stop.append(server.shutdown)


def _text(mail: Any) -> str:
    part = mail.get_body(preferencelist=("plain", "html"))
    return "" if part is None else str(part.get_content())


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
