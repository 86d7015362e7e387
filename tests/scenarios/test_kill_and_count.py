"""``kill -9`` at random points, hundreds of times in the long tests: every acknowledged event is in the lake once.

Recorders, the drain and the server are killed in processes of their own while rows come in; afterwards one calm tick
brings in what is left, and the lake is counted. The points are random but drawn from a fixed seed; what the kernel
makes of them differs from run to run, the promise does not.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from sizes import sizes
from watchkeeper.capture.recorder import Recorder
from watchkeeper.domain.window import Window
from watchkeeper.loop.watch.lease import LEASE, LEASE_FOR
from watchkeeper.wiring import open_project

TARGETS = Path(__file__).with_name("kill_targets.py")
DAY = timedelta(days=1)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.fixture
def project(tmp_path):
    (tmp_path / "watchkeeper.toml").write_text(
        '[models.m]\ncadence = "1h"\n[models.m.maturity]\nafter = "30d"\n[server]\ntick_every = "1s"\n'
    )
    return tmp_path


def start(*words, **rest):
    command = [sys.executable, str(TARGETS), *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **rest)


def kill(process):
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
    process.wait()


def in_the_lake(project):
    """How often each id is in the predictions and in the outcomes, after a calm drain."""
    with open_project(project) as watch:
        done = watch.drain(watch.model("m"), watch.lease(LEASE, LEASE_FOR))
        assert done.problems == []
        now = datetime.now(UTC)
        span = Window(now - 3 * DAY, now + DAY)
        rows = [r for b in watch.lake.joined("m", span) for r in b.column("wk_id").to_pylist()]
        predictions = Counter(rows)
        scan = watch.lake.files.scan("m", "outcomes", None)
        outcomes: Counter[str] = Counter()
        if scan is not None:
            import duckdb

            connection = duckdb.connect()
            scan.register(connection, "o")
            outcomes = Counter(r[0] for r in connection.execute("SELECT wk_id FROM o").fetchall())
            connection.close()
        return predictions, outcomes


@sizes("kills", small=20, full=150)
def test_recorders_that_are_killed_lose_nothing_that_they_acknowledged(project, kills):
    """Several live at one time, so that one's death meets another's adoption of its journal."""
    dice, acknowledged = random.Random(1), []
    data = project / ".watchkeeper"
    living: list[tuple[subprocess.Popen, list[str], threading.Thread]] = []

    def listen(process, heard):
        for line in process.stdout:
            if line.endswith("\n"):
                heard.append(line.strip())

    def end(entry):
        process, heard, thread = entry
        kill(process)
        thread.join(10)
        process.stdout.close()
        acknowledged.extend(heard)

    for number in range(kills):
        process, heard = start("record", data, number * 1_000_000), []
        thread = threading.Thread(target=listen, args=(process, heard), daemon=True)
        thread.start()
        living.append((process, heard, thread))
        if len(living) == 3:
            deadline = time.monotonic() + 20
            if dice.random() < 0.7:  # mostly while it writes; sometimes while it still starts
                while not living[0][1] and time.monotonic() < deadline:
                    time.sleep(0.002)
            time.sleep(dice.random() * 0.05)
            end(living.pop(0))
    while living:
        end(living.pop(0))
    predictions, _ = in_the_lake(project)
    assert len(acknowledged) >= 7 * kills
    assert [i for i in acknowledged if predictions[i] != 1] == []
    assert max(predictions.values()) == 1


@sizes("kills", small=20, full=150)
def test_a_drain_that_is_killed_moves_everything_once(project, kills):
    dice, told = random.Random(2), []
    stop = threading.Event()

    def feed():
        number = 0
        with Recorder("m", "1", path=project / ".watchkeeper", durability="strict") as recorder:
            while not stop.is_set():
                batch = [f"r{number + i}" for i in range(50)]
                rows = {"id": batch, "x": [float(i) for i in range(50)], "prediction": [1] * 50}
                if all(r.committed for r in recorder.record_batch(rows)):
                    told.extend(batch)
                recorder.outcomes({"id": batch[::2], "actual": [1] * 25})
                number += 50
                time.sleep(0.03)

    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    # A child forked from a warm process starts draining at once: imports would take most of each life otherwise.
    server = subprocess.Popen(
        [sys.executable, "-c", FORKING, str(project)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    killed = 0
    try:
        for _ in range(kills):
            server.stdin.write("go\n")
            server.stdin.flush()
            pid = int(server.stdout.readline())
            time.sleep(0.05 + dice.random() * 0.4)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed += 1
            server.stdout.readline()
    finally:
        kill(server)
        stop.set()
        feeder.join(30)
    assert killed == kills
    predictions, outcomes = in_the_lake(project)
    assert len(told) > 1000
    assert [i for i in told if predictions[i] != 1] == []
    assert max(predictions.values()) == 1
    halves = [i for n, i in enumerate(told) if n % 50 % 2 == 0]
    assert [i for i in halves if outcomes[i] < 1] == []
    with open_project(project) as watch:
        now = datetime.now(UTC)
        joined = pa.Table.from_batches(watch.lake.joined("m", Window(now - DAY, now + DAY)))
        assert joined.num_rows == len(predictions), "an outcome told twice does not double its prediction"


FORKING = """
import os, sys, time
from pathlib import Path
from datetime import timedelta
import duckdb, deltalake, sqlalchemy, pyarrow.dataset  # what every drain needs, loaded once
from watchkeeper.loop.watch import tick as ticking
from watchkeeper.wiring import open_project
from watchkeeper.loop.alerting import judging
from watchkeeper.loop.batch import profiling
ticking.LEASE_FOR = timedelta(milliseconds=1)
for line in sys.stdin:
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.dup2(2, 1)
        with open_project(Path(sys.argv[1])) as watch:
            while True:
                watch.tick()
    print(pid, flush=True)
    os.waitpid(pid, 0)
    print("gone", flush=True)
"""


@sizes("kills", small=4, full=25)
def test_a_server_that_is_killed_keeps_what_it_answered_202_for(project, kills):
    from real_servers import free_port

    dice, told, port = random.Random(3), [], free_port()
    url = f"http://127.0.0.1:{port}"
    number = 0

    def post(count):
        ids = [f"r{number}-{i}" for i in range(count)]
        body = "\n".join(json.dumps({"id": i, "features": {"x": 1.0}, "prediction": 1}) for i in ids).encode()
        request = urllib.request.Request(
            f"{url}/v1/predictions?model=m&version=1", body, {"content-type": "application/x-ndjson"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 202
        return ids

    for _ in range(kills):
        command = [
            sys.executable,
            "-m",
            "watchkeeper",
            "serve",
            "--port",
            str(port),
            "--project",
            str(project),
        ]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        line = process.stdout.readline()
        assert "Watching at" in line, line + process.stdout.read()
        end = threading.Timer(0.3 + dice.random() * 1.5, kill, [process])
        end.start()
        while process.poll() is None:
            number += 1
            try:
                told += post(dice.choice([1, 20, 500]))
            except (OSError, urllib.error.URLError):
                break
        end.join()
        process.stdout.close()
    predictions, _ = in_the_lake(project)
    assert len(told) >= 40 * kills
    assert [i for i in told if predictions[i] != 1] == []
    assert max(predictions.values()) == 1
