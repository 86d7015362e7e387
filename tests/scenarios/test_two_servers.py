"""Two servers over one project: one of them ticks, and when it is killed the other goes on at once."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from datetime import UTC, datetime, timedelta

import pytest

from watchkeeper.wiring import open_project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture
def servers(tmp_path):
    from real_servers import free_port

    (tmp_path / "watchkeeper.toml").write_text(
        '[models.m]\ncadence = "1h"\njudge_every = "1h"\n[server]\ntick_every = "1s"\n'
    )
    started = {}
    for _ in range(2):
        port = free_port()
        command = [
            sys.executable,
            "-m",
            "watchkeeper",
            "serve",
            "--port",
            str(port),
            "--project",
            str(tmp_path),
        ]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert "Watching at" in (line := process.stdout.readline()), line
        started[process.pid] = (process, port)
    yield started
    for process, _ in started.values():
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait(30)
        process.stdout.close()


def post(port, ids, at):
    rows = [{"id": i, "at": at.isoformat(), "features": {"x": 1.0}, "prediction": 1} for i in ids]
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/predictions?model=m&version=1",
        "\n".join(map(json.dumps, rows)).encode(),
        {"content-type": "application/x-ndjson"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 202


def measured(watch, rows):
    """Wait until so many rows are in measured windows."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        windows = [s for s in watch.ledger.windows.windows("m") if not s.dirty]
        if sum(s.rows for s in windows) == rows:
            return windows
        time.sleep(0.2)
    pytest.fail(f"{[(s.rows, s.dirty) for s in watch.ledger.windows.windows('m')]}")


def stopped_while_it_holds_the_lease(watch, servers):
    """Freeze a server in the middle of a tick; return its process id."""
    end = time.monotonic() + 90
    while time.monotonic() < end:
        for pid in servers:
            os.kill(pid, signal.SIGSTOP)
            lease = watch.ledger.leases.holder("tick")
            if lease is not None and lease.holder.split(":")[2] == str(pid):
                return pid
            os.kill(pid, signal.SIGCONT)
            time.sleep(0.013)
    pytest.fail("no server ever ticked")


def test_one_ticks_and_the_other_goes_on_when_it_is_killed(servers, tmp_path):
    at = datetime.now(UTC) - timedelta(hours=5)
    with open_project(tmp_path) as watch:
        for number, (_, port) in enumerate(servers.values()):
            post(port, [f"{number}-{i}" for i in range(100)], at)
        (window,) = measured(watch, 200)
        assert window.rows == 200, "both servers' rows are in one window"

        pid = stopped_while_it_holds_the_lease(watch, servers)
        (alive,) = (port for other, (_, port) in servers.items() if other != pid)
        post(alive, [f"waits-{i}" for i in range(100)], at + timedelta(hours=1))
        time.sleep(3)  # three ticks of the other one, which must leave the lease alone
        assert watch.ledger.leases.holder("tick").holder.split(":")[2] == str(pid)
        os.kill(pid, signal.SIGKILL)
        servers[pid][0].wait(30)
        assert sum(s.rows for s in measured(watch, 300)) == 300, "long before the lease would have run out"
