"""Real receivers for notifications: an HTTP server that answers as it is told, the same behind TLS, and a mailbox.

``chat_world`` lets the unchanged client libraries reach ``hooks.slack.com``, ``api.twilio.com`` or
``events.pagerduty.com``: a proxy on loopback ends their TLS with a certificate of this test session and hands the
requests to the receiver. Nothing leaves the machine.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Received:
    """One request as it arrived."""

    method: str
    host: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """What to answer. ``hang_s`` waits first (or until the test ends); ``reset`` tears the connection down."""

    status: int = 200
    body: str = "ok"
    headers: dict[str, str] = field(default_factory=dict)
    hang_s: float = 0.0
    reset: bool = False


class Receiver:
    """Answers each request with the next of ``replies``, then with ``default``; keeps what it received."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.replies: deque[Reply] = deque()
        self.default = Reply()
        self.url = ""
        self.released = threading.Event()
        self._lock = threading.Condition()

    def take(self, request: Received) -> Reply:
        with self._lock:
            self.received.append(request)
            self._lock.notify_all()
            return self.replies.popleft() if self.replies else self.default

    def wait_for(self, count: int, timeout_s: float = 20) -> list[Received]:
        """The first *count* requests; fails the test when they do not come."""
        with self._lock:
            if not self._lock.wait_for(lambda: len(self.received) >= count, timeout_s):
                pytest.fail(f"{len(self.received)} requests came instead of {count}")
            return list(self.received[:count])


def _handler(
    receiver: Receiver, certificates: Callable[[str], ssl.SSLContext] | None
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 60
        target = ""

        def log_message(self, *args: Any) -> None:
            pass

        def do_CONNECT(self) -> None:
            """Be the proxy: end TLS here, then read the requests of the tunnel."""
            self.target = self.path.partition(":")[0]
            self.send_response_only(200)
            self.end_headers()
            assert certificates is not None
            self.connection = certificates(self.target).wrap_socket(self.connection, server_side=True)
            self.rfile = self.connection.makefile("rb", -1)
            self.wfile = self.connection.makefile("wb", 0)
            self.close_connection = False

        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            host = self.target or self.headers.get("Host", "")
            reply = receiver.take(Received(self.command, host, self.path, dict(self.headers), body))
            if reply.hang_s:
                receiver.released.wait(reply.hang_s)
            if reply.reset:
                linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.connection.close()
                self.close_connection = True
                return
            data = reply.body.encode()
            try:
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            except OSError:
                self.close_connection = True

        do_GET = do_POST = do_PUT = answer

        def finish(self) -> None:
            with contextlib.suppress(OSError, ValueError):
                super().finish()

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is what some tests are about."""


def _serve(receiver: Receiver, certificates: Callable[[str], ssl.SSLContext] | None = None) -> _Server:
    server = _Server(("127.0.0.1", 0), _handler(receiver, certificates))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}"
    return server


@pytest.fixture
def new_receiver() -> Iterator[Callable[[], Receiver]]:
    """``new_receiver() -> Receiver``: an HTTP server on loopback, as many as a test wants."""
    started: list[tuple[Receiver, _Server]] = []

    def start() -> Receiver:
        receiver = Receiver()
        started.append((receiver, _serve(receiver)))
        return receiver

    yield start
    for receiver, server in started:
        receiver.released.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def receiver(new_receiver: Callable[[], Receiver]) -> Receiver:
    """One HTTP server that answers as it is told."""
    return new_receiver()


@pytest.fixture(scope="session")
def _authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Callable[[str], ssl.SSLContext]]:
    """A certificate authority of this session, and a maker of certificates for host names."""
    pytest.importorskip("cryptography", reason="cryptography is not installed; see requirements/dev.in")
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder = tmp_path_factory.mktemp("authority")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Test authority")])
    now = datetime.now(UTC)

    def signed(subject: x509.Name, public: Any, *extensions: tuple[Any, bool]) -> x509.Certificate:
        builder = x509.CertificateBuilder(
            issuer_name=name,
            subject_name=subject,
            public_key=public,
            serial_number=x509.random_serial_number(),
            not_valid_before=now - timedelta(days=1),
            not_valid_after=now + timedelta(days=2),
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(key, hashes.SHA256())

    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    root = signed(
        name,
        key.public_key(),
        (x509.BasicConstraints(ca=True, path_length=None), True),
        (usage, True),
        (identifier, False),
    )
    bundle = folder / "authority.pem"
    bundle.write_bytes(root.public_bytes(serialization.Encoding.PEM))
    made: dict[str, ssl.SSLContext] = {}
    lock = threading.Lock()

    def certificate(host: str) -> ssl.SSLContext:
        with lock:
            if host not in made:
                own = ec.generate_private_key(ec.SECP256R1())
                subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
                issuer = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
                leaf = signed(
                    subject,
                    own.public_key(),
                    (x509.SubjectAlternativeName([x509.DNSName(host)]), False),
                    (issuer, False),
                )
                file = folder / f"{host}.pem"
                file.write_bytes(
                    own.private_bytes(
                        serialization.Encoding.PEM,
                        serialization.PrivateFormat.PKCS8,
                        serialization.NoEncryption(),
                    )
                    + leaf.public_bytes(serialization.Encoding.PEM)
                )
                made[host] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                made[host].load_cert_chain(file)
            return made[host]

    return bundle, certificate


@pytest.fixture
def chat_world(
    _authority: tuple[Path, Callable[[str], ssl.SSLContext]], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Receiver]:
    """A receiver that stands for every https:// host, for clients that honour ``HTTPS_PROXY``."""
    bundle, certificates = _authority
    receiver = Receiver()
    server = _serve(receiver, certificates)
    monkeypatch.setenv("HTTPS_PROXY", receiver.url)
    monkeypatch.setenv("https_proxy", receiver.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    yield receiver
    receiver.released.set()
    server.shutdown()
    server.server_close()


class Mailbox:
    """An SMTP server on loopback; ``refuse`` is answered instead of 250 while it is set."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.refuse: str = ""
        self.host, self.port = "127.0.0.1", 0

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.refuse:
            return self.refuse
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 OK"


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    """A real SMTP server that keeps what it is given."""
    pytest.importorskip("aiosmtpd", reason="aiosmtpd is not installed; see requirements/demo.in")
    from aiosmtpd.controller import Controller

    box = Mailbox()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        box.port = probe.getsockname()[1]
    controller = Controller(box, hostname=box.host, port=box.port, ready_timeout=20)
    controller.start()
    yield box
    controller.stop()
