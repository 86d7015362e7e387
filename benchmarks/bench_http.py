"""Rows over HTTP into the committed journal: one server process, the client in another.

Promises: at least 50,000 NDJSON rows a second, at least 300,000 Arrow rows a second (10 features; every request is
answered 202 only after its commit).

Run:  python -m benchmarks.bench_http [--quick]
"""

from __future__ import annotations

import http.client
import io
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pyarrow as pa

from benchmarks.results import keep, machine, show

NDJSON = "application/x-ndjson"
ARROW = "application/vnd.apache.arrow.stream"


def bodies(kind: str, count: int, rows: int) -> list[bytes]:
    """Make *count* request bodies of *rows* rows each, before any clock runs."""
    dice, out = random.Random(0), []
    for number in range(count):
        ids = [f"{kind}-{number}-{i}" for i in range(rows)]
        columns = {f"x{c}": [dice.random() for _ in range(rows)] for c in range(8)}
        columns |= {f"c{c}": [f"category {dice.randrange(20)}" for _ in range(rows)] for c in range(2)}
        score = [dice.random() for _ in range(rows)]
        if kind == ARROW:
            table = pa.table(
                {"id": ids, "prediction": [int(s > 0.5) for s in score], "score": score, **columns}
            )
            sink = io.BytesIO()
            with pa.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table)
            out.append(sink.getvalue())
        else:
            lines = (
                json.dumps(
                    {
                        "id": ids[i],
                        "features": {n: v[i] for n, v in columns.items()},
                        "prediction": int(score[i] > 0.5),
                        "score": score[i],
                    }
                )
                for i in range(rows)
            )
            out.append("\n".join(lines).encode())
    return out


def client(kind: str, port: int, count: int, rows: int, threads: int) -> None:
    """Post everything over *threads* connections; print rows a second. Runs in a process of its own."""
    work = bodies(kind, count, rows)
    lock = threading.Lock()

    def post() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        while True:
            with lock:
                if not work:
                    break
                body = work.pop()
            connection.request(
                "POST",
                "/v1/predictions?model=m&version=1",
                body,
                {"Content-Type": kind, "Content-Length": str(len(body))},
            )
            answer = connection.getresponse()
            said = json.loads(answer.read())
            if answer.status != 202 or said["accepted"] != rows:
                raise SystemExit(f"{answer.status}: {said}")
        connection.close()

    begun = time.perf_counter()
    crew = [threading.Thread(target=post) for _ in range(threads)]
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()
    print(json.dumps({"rows_per_s": count * rows / (time.perf_counter() - begun)}))


def main() -> None:
    """Start the server, run the clients, and print what came out."""
    quick, on = "--quick" in sys.argv, machine()
    found = {}
    plans = {
        "NDJSON, 5,000 rows a request": (NDJSON, 8 if quick else 80, 5_000, 50_000),
        "Arrow, 50,000 rows a request": (ARROW, 4 if quick else 40, 50_000, 300_000),
    }
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "watchkeeper.toml").write_text("[models.m]\n")
        command = [
            sys.executable,
            "-m",
            "watchkeeper",
            "serve",
            "--no-tick",
            "--port",
            "0",
            "--project",
            folder,
        ]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline().rstrip().rstrip("/").rpartition(":")[2])
            for name, (kind, count, rows, promised) in plans.items():
                rates = []
                for _ in range(1 if quick else 3):
                    words = ["--client", kind, str(port), str(count), str(rows), "2"]
                    done = subprocess.run(
                        [sys.executable, "-m", "benchmarks.bench_http", *words],
                        capture_output=True,
                        text=True,
                    )
                    if done.returncode:
                        raise SystemExit(done.stderr)
                    rates.append(json.loads(done.stdout)["rows_per_s"])
                found[name] = rates
                lines.append([name, f"{sorted(rates)[len(rates) // 2]:,.0f}", f">= {promised:,}"])
        finally:
            server.terminate()
            server.wait(30)
    show("HTTP into the committed journal", ["what", "rows a second", "promised"], lines)
    if not quick:
        keep("http", found, on=on)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--client"]:
        kind, *numbers = sys.argv[2:]
        client(kind, *map(int, numbers))
    else:
        main()
