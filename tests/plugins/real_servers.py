"""Real servers for tests: PostgreSQL, Alertmanager, Prometheus, an S3 endpoint, Chromium.

Each starts on loopback when the first test asks for it and is stopped when its scope ends; should
this process be killed, the kernel stops them (``PR_SET_PDEATHSIG``). ``scripts/install_debian.sh``
installs what they need. Where one is absent its tests skip with the reason, but fail when ``CI=true``.
"""

from __future__ import annotations

import ctypes
import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

START_LIMIT_S = 60
STOP_LIMIT_S = 20
PR_SET_PDEATHSIG = 1


class DidNotStart(Exception):
    """A server ended, or did not answer in time; the text holds its log."""


@dataclass(frozen=True)
class Server:
    """A server that a test may talk to: ``url`` is its address, ``folder`` holds its files."""

    url: str
    folder: Path
    log: Path


# Finding them


def find_binary(*names: str) -> str | None:
    """Return the first of *names* that exists; a name may be a glob of paths, the newest version wins."""
    for name in names:
        if "/" in name:
            found = sorted(glob.glob(name), key=lambda path: [int(p) for p in path.split("/") if p.isdigit()])
            if found:
                return found[-1]
        elif path := shutil.which(name):
            return path
    return None


def require(server: str, *names: str) -> str:
    """Return the path of *server*'s binary; where it is missing skip the test, or fail it when CI=true."""
    if path := find_binary(*names):
        return path
    reason = f"{server} is not installed here (looked for {', '.join(names)}); run scripts/install_debian.sh"
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def require_server() -> Callable[..., str]:
    """``require_server("Alertmanager", "prometheus-alertmanager", "alertmanager")`` -> path of the binary."""
    return require


# Running them


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-4000:]


@contextmanager
def running(
    command: list[str],
    *,
    log: Path,
    is_ready: Callable[[], bool],
    stop_with: signal.Signals = signal.SIGTERM,
    user: pwd.struct_passwd | None = None,
    env: dict[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run *command* until the block ends; entered when *is_ready* says so. Raises DidNotStart."""
    as_user: dict[str, Any] = {}
    if user is not None:
        as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            cwd=log.parent,
            env=env,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            **as_user,
        )
    try:
        deadline = time.monotonic() + START_LIMIT_S
        while not is_ready():
            if process.poll() is not None:
                raise DidNotStart(f"{command[0]} ended with status {process.returncode}:\n{_tail(log)}")
            if time.monotonic() > deadline:
                raise DidNotStart(f"{command[0]} did not answer within {START_LIMIT_S} s:\n{_tail(log)}")
            time.sleep(0.02)
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(stop_with)
            try:
                process.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def answers(url: str) -> bool:
    """Return whether *url* is served without a server error."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return response.status < 500
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False


# PostgreSQL


def _unprivileged_user() -> pwd.struct_passwd | None:
    """The account to run PostgreSQL under, since it refuses root; None when we are not root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    pytest.fail("PostgreSQL refuses to run as root, and there is neither a 'postgres' nor a 'nobody' user.")


@dataclass(frozen=True)
class PostgresServer:
    """A PostgreSQL server of this test session, with a superuser ``watchkeeper`` who needs no password."""

    host: str
    port: int

    def url(self, database: str) -> str:
        """The address of *database*, as SQLAlchemy takes it."""
        return f"postgresql+psycopg://watchkeeper@{self.host}:{self.port}/{database}"

    def execute(self, statement: str) -> None:
        import psycopg

        address = f"host={self.host} port={self.port} user=watchkeeper dbname=postgres"
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(statement)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A real PostgreSQL, started once a session in a folder of its own."""
    initdb = require("PostgreSQL", "/usr/lib/postgresql/*/bin/initdb", "initdb")
    user = _unprivileged_user()
    # Not under tmp_path: that folder is closed to every other user, and a socket's path must be short.
    folder = Path(tempfile.mkdtemp(prefix="wk-pg-"))
    try:
        as_user: dict[str, Any] = {}
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
            as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        data = folder / "data"
        subprocess.run(
            [initdb, "-D", data, "-U", "watchkeeper", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"],
            check=True,
            capture_output=True,
            cwd=folder,
            **as_user,
        )
        port = free_port()
        command = [str(Path(initdb).with_name("postgres")), "-D", str(data), "-k", str(folder)]
        command += ["-h", "127.0.0.1", "-p", str(port), "-F", "-c", "max_connections=50"]
        server = PostgresServer(host="127.0.0.1", port=port)

        def is_ready() -> bool:
            import psycopg

            try:
                server.execute("select 1")
            except psycopg.OperationalError:
                return False
            return True

        # SIGINT is PostgreSQL's fast shutdown: it does not wait for clients to leave.
        log = folder / "server.log"
        with running(command, log=log, is_ready=is_ready, stop_with=signal.SIGINT, user=user):
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The address of an empty PostgreSQL database that only this test sees."""
    database = f"test_{uuid.uuid4().hex}"
    postgres_server.execute(f"create database {database}")
    try:
        yield postgres_server.url(database)
    finally:
        postgres_server.execute(f"drop database {database} with (force)")


# Prometheus and Alertmanager

QUIET_ALERTMANAGER = """
route: {receiver: nobody}
receivers: [{name: nobody}]
"""

QUIET_PROMETHEUS = """
global: {scrape_interval: 1s, evaluation_interval: 1s}
"""


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """``alertmanager(config) -> Server``: start a real one with this YAML; stopped after the test."""
    binary = require("Alertmanager", "prometheus-alertmanager", "alertmanager")
    started = []

    def start(config: str = QUIET_ALERTMANAGER) -> Server:
        folder = tmp_path / f"alertmanager-{len(started)}"
        folder.mkdir()
        (folder / "alertmanager.yml").write_text(config)
        port = free_port()
        server = Server(f"http://127.0.0.1:{port}", folder, folder / "server.log")
        command = [binary, f"--config.file={folder}/alertmanager.yml", f"--storage.path={folder}/data"]
        # An empty cluster address: it must neither gossip nor look for a public address of this machine.
        command += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
        block = running(command, log=server.log, is_ready=lambda: answers(server.url + "/-/ready"))
        block.__enter__()
        started.append(block)
        return server

    try:
        yield start
    finally:
        for block in reversed(started):
            block.__exit__(None, None, None)


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """``prometheus(config, rules={"file.yml": text}) -> Server``: start a real one; stopped after the test.

    *rules* are written beside the configuration, which may name them in ``rule_files``.
    """
    binary = require("Prometheus", "prometheus")
    started = []

    def start(config: str = QUIET_PROMETHEUS, *, rules: dict[str, str] | None = None) -> Server:
        folder = tmp_path / f"prometheus-{len(started)}"
        folder.mkdir()
        for name, text in {"prometheus.yml": config, **(rules or {})}.items():
            (folder / name).write_text(text)
        port = free_port()
        server = Server(f"http://127.0.0.1:{port}", folder, folder / "server.log")
        command = [binary, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
        command += [f"--web.listen-address=127.0.0.1:{port}"]
        block = running(command, log=server.log, is_ready=lambda: answers(server.url + "/-/ready"))
        block.__enter__()
        started.append(block)
        return server

    try:
        yield start
    finally:
        for block in reversed(started):
            block.__exit__(None, None, None)


# An S3 endpoint


@dataclass(frozen=True)
class S3Server:
    """An S3 endpoint (moto, in a process of its own) that takes the credentials given here."""

    url: str
    access_key: str = "test"
    secret_key: str = "test"
    region: str = "us-east-1"

    def client(self) -> Any:
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=self.region,
        )

    def new_bucket(self) -> str:
        name = f"test-{uuid.uuid4().hex}"
        self.client().create_bucket(Bucket=name)
        return name


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 endpoint on loopback; take ``s3_server.new_bucket()`` for each test."""
    pytest.importorskip("moto.server", reason="moto[server] is not installed; see requirements/dev.in")
    port = free_port()
    server = S3Server(f"http://127.0.0.1:{port}")
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    log = tmp_path_factory.mktemp("s3") / "server.log"
    with running(command, log=log, is_ready=lambda: answers(server.url + "/moto-api/data.json")):
        yield server


# Chromium

CHROMIUM_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A page that needs the outside world is broken: nothing but loopback has an address here.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A Playwright ``Browser`` driving the system's Chromium; take ``chromium.new_page()``.

    One for each test file: Playwright's synchronous API holds an event loop for as long as it runs,
    and another file's ``asyncio.run`` must not meet it.
    """
    binary = require("Chromium", "chromium", "chromium-browser", "google-chrome")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=binary, args=CHROMIUM_FLAGS)
        try:
            yield browser
        finally:
            browser.close()
