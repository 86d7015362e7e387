"""Real servers with four workers, loaded from another process: what was answered is what was recorded."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from watchkeeper.capture.events import Counters, Prediction
from watchkeeper.capture.journal import journals, read_after

ROOT = Path(__file__).parents[2]

LOADER = """
import json, sys, threading, urllib.error, urllib.request
url, each = sys.argv[1], int(sys.argv[2])
told, lock = {"ids": [], "errors": 0}, threading.Lock()
def load(thread):
    for i in range(each):
        broken = i % 20 == 7
        body = json.dumps({"distance": -1 if broken else thread * 100 + i, "carrier": "UA"}).encode()
        request = urllib.request.Request(url, body, {"content-type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                assert json.load(answer)["score"] > 0 and not broken
                with lock: told["ids"].append(answer.headers["x-prediction-id"])
        except urllib.error.HTTPError as error:
            assert error.code == 500 and broken, (error.code, broken)
            with lock: told["errors"] += 1
threads = [threading.Thread(target=load, args=(n,)) for n in range(8)]
for t in threads: t.start()
for t in threads: t.join()
print(json.dumps(told))
"""

# uvicorn kills (SIGKILL) a worker that does not answer it within 5 s; on a busy machine that is no hung worker,
# and what it had not yet written would be gone.
PATIENT = ["--timeout-worker-healthcheck", "120"]

SERVERS = {
    "uvicorn alone": ["uvicorn", "examples.fastapi_app:app", "--log-level", "error", "--port"],
    "uvicorn": ["uvicorn", "examples.fastapi_app:app", "--workers", "4", *PATIENT, "--log-level", "error", "--port"],
    "gunicorn": ["gunicorn", "examples.flask_app:app", "--workers", "4", "--log-level", "error", "--no-control-socket", "--bind"],
    "gunicorn with FastAPI": [
        "gunicorn", "examples.fastapi_app:app", "--worker-class", "asgi", "--workers", "4", "--log-level", "error", "--no-control-socket", "--bind",
    ],
    "gunicorn with a preloaded application": [
        "gunicorn", "examples.flask_app:app", "--workers", "4", "--preload", "--log-level", "error", "--no-control-socket", "--bind",
    ],
}  # fmt: skip


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.parametrize("server", SERVERS)
def test_every_answer_is_recorded_once(tmp_path, server):
    port = free_port()
    address = str(port) if server.startswith("uvicorn") else f"127.0.0.1:{port}"
    log = (tmp_path / "log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", *SERVERS[server], address],
        cwd=ROOT,
        env={**os.environ, "WATCHKEEPER_PATH": str(tmp_path / "data")},
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/health", process, tmp_path / "log")
        loaded = subprocess.run(
            [sys.executable, "-c", LOADER, f"http://127.0.0.1:{port}/predict", "100"],
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert loaded.returncode == 0, loaded.stderr
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            log.close()
    told = json.loads(loaded.stdout)
    assert (len(told["ids"]), told["errors"]) == (760, 40)
    events = [e for j in journals(tmp_path / "data") for _, es in read_after(j) for e in es]
    predictions = [e for e in events if isinstance(e, Prediction)]
    assert sorted(e.id for e in predictions if e.error is None) == sorted(told["ids"])
    assert sum(e.error is not None for e in predictions) == 40
    assert all(e.features["carrier"] == "UA" for e in predictions)
    counted = [e for e in events if isinstance(e, Counters)]
    assert sum(c.recorded for c in counted) == 800
    assert sum(c.dropped for c in counted) == 0
    most = 1 if server == "uvicorn alone" else 4
    assert 1 <= len(journals(tmp_path / "data")) <= most, "a journal for each worker that answered"


def wait_for(url, process, log, patience_s=60):
    end = time.monotonic() + patience_s
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.1)
