"""Trouble behind the recorder: the lake's disk is full, a folder cannot be written, the ledger is locked or restarts.

Nothing acknowledged is lost, the state is told, and the next calm tick makes everything good. (What a recorder does
when its own journal is in trouble is in tests/capture/test_trouble.py.)
"""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from watchkeeper.capture.recorder import Recorder
from watchkeeper.domain.window import Window
from watchkeeper.errors import StoreUnavailable
from watchkeeper.loop.reports.status import status
from watchkeeper.testing.clock import FakeClock
from watchkeeper.wiring import open_project

T0 = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def project(tmp_path):
    (tmp_path / "watchkeeper.toml").write_text("[models.m]\n")
    return tmp_path


def opened(project):
    return open_project(project, clock=FakeClock(T0 + DAY))


def put(project, first, count=400):
    with Recorder("m", "1", path=project / ".watchkeeper", durability="strict") as recorder:
        rows = {
            "id": [f"r{first + i}" for i in range(count)],
            "at": [T0 + timedelta(seconds=30 * i) for i in range(count)],
            "note": [os.urandom(40).hex() for _ in range(count)],
            "prediction": [1] * count,
        }
        assert all(r.committed for r in recorder.record_batch(rows))


def ids_in_the_lake(watch):
    return sorted(
        i for b in watch.lake.joined("m", Window(T0, T0 + 2 * DAY)) for i in b.column("wk_id").to_pylist()
    )


TICK_WITH_A_SMALL_DISK = """
import resource, signal, sys, json
from datetime import datetime, timedelta, UTC
from watchkeeper.wiring import open_project
from watchkeeper.testing.clock import FakeClock
clock = FakeClock(datetime(2026, 3, 2, tzinfo=UTC))
with open_project(sys.argv[1], clock=clock) as watch:
    watch.tick()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
    try:
        print(json.dumps(watch.tick().to_dict()["problems"]))
    except Exception as problem:
        print(json.dumps([type(problem).__name__ + ": " + str(problem)]))
"""


@pytest.mark.parametrize("most_bytes", [500, 4_000, 20_000])
def test_a_full_disk_under_the_lake(project, most_bytes):
    put(project, 0, 10)
    with opened(project):
        pass
    put(project, 10, 2_000)
    command = [sys.executable, "-c", TICK_WITH_A_SMALL_DISK, str(project), str(most_bytes)]
    # The first tick of the program takes the first rows with it; then the disk is full for the others.
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    put(project, 2_010, 100)
    with opened(project) as watch:
        watch.clock.advance(timedelta(hours=1))
        assert watch.tick().to_dict()["problems"] == []
        assert ids_in_the_lake(watch) == sorted(f"r{i}" for i in range(2_110))


def test_a_lake_that_cannot_be_written_is_told_and_made_good(project):
    put(project, 0)
    lake = project / ".watchkeeper" / "lake"
    with opened(project) as watch:
        shutil.rmtree(lake, ignore_errors=True)
        lake.write_text("a file where the lake must be")
        (problem,) = watch.tick().to_dict()["problems"][:1]
        assert "stays in the journal" in problem or "lake" in problem
        found = status(watch)
        assert not found["healthy"]
        assert any("The last tick met" in p for p in found["problems"])
        assert found["models"][0]["journal_bytes"] > 0
        lake.unlink()
    with opened(project) as watch:
        assert watch.tick().to_dict()["problems"] == []
        assert len(ids_in_the_lake(watch)) == 400


def test_a_ledger_that_is_locked_for_a_while_only_waits(project):
    put(project, 0)
    with opened(project) as watch:
        other = sqlite3.connect(
            project / ".watchkeeper" / "ledger.db", isolation_level=None, check_same_thread=False
        )
        other.execute("BEGIN IMMEDIATE")
        release = threading.Timer(1.0, lambda: other.execute("ROLLBACK"))
        release.start()
        assert watch.tick().to_dict()["problems"] == []
        release.join()
        other.close()
        assert len(ids_in_the_lake(watch)) == 400


class OwnPostgres:
    """A PostgreSQL that this test may kill."""

    def __init__(self):
        import real_servers

        self.tools = real_servers
        initdb = real_servers.require("PostgreSQL", "/usr/lib/postgresql/*/bin/initdb", "initdb")
        self.user = real_servers._unprivileged_user()
        self.folder = Path(tempfile.mkdtemp(prefix="wk-pg-kill-"))
        rest = {}
        if self.user is not None:
            os.chown(self.folder, self.user.pw_uid, self.user.pw_gid)
            rest = {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}
        words = [
            initdb,
            "-D",
            self.folder / "data",
            "-U",
            "watchkeeper",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
        ]
        subprocess.run(words, check=True, capture_output=True, cwd=self.folder, **rest)
        self.binary, self.port, self.block = (
            str(Path(initdb).with_name("postgres")),
            real_servers.free_port(),
            None,
        )

    @property
    def url(self):
        return f"postgresql://watchkeeper@127.0.0.1:{self.port}/postgres"

    def start(self):
        import psycopg

        def is_ready():
            try:
                psycopg.connect(self.url, connect_timeout=2).close()
            except psycopg.OperationalError:
                return False
            return True

        command = [self.binary, "-D", str(self.folder / "data"), "-k", str(self.folder)]
        command += ["-h", "127.0.0.1", "-p", str(self.port)]
        self.block = self.tools.running(command, log=self.folder / "log", is_ready=is_ready, user=self.user)
        self.process = self.block.__enter__()

    def crash(self):
        """SIGQUIT: an immediate shutdown, as a crash; the next start recovers from the log."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(30)
        self.block.__exit__(None, None, None)
        self.block = None

    def close(self):
        if self.block is not None:
            self.crash()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.server
def test_a_postgresql_ledger_that_restarts_in_the_middle_of_ticks(project):
    server = OwnPostgres()
    try:
        server.start()
        (project / "watchkeeper.toml").write_text(f'[ledger]\nurl = "{server.url}"\n[models.m]\n')
        put(project, 0)
        told, first = [], 0
        with opened(project) as watch:
            for round in range(4):
                put(project, first := first + 400)
                stop = threading.Timer(0.05 + 0.35 * round, server.crash)
                stop.start()
                deadline = time.monotonic() + 30
                while time.monotonic() < deadline:
                    try:
                        told += watch.tick().to_dict()["problems"]
                    except StoreUnavailable as problem:
                        told.append(problem.what)
                    if not stop.is_alive():
                        break
                    put(project, first := first + 400, 40)
                stop.join()
                with pytest.raises(StoreUnavailable):
                    watch.tick()
                server.start()
                watch.clock.advance(timedelta(minutes=6))
                assert watch.tick().to_dict()["problems"] == []
            rows = ids_in_the_lake(watch)
            assert len(rows) == len(set(rows))
            states = [
                s for s in watch.ledger.windows.windows("m") if s.key.window.length == timedelta(hours=1)
            ]
            assert sum(s.rows for s in states) == len(rows)
            assert {f"r{i}" for i in range(400)} <= set(rows)
            assert told, "it was told that the ledger was away"
            assert not any("watchkeeper@" in t and "password" in t for t in told)
    finally:
        server.close()
