"""Ctrl-C ends what waits for a query, whatever DuckDB makes of it (where it looks for signals: between its tasks)."""

from __future__ import annotations

import subprocess
import sys

import pytest

SETUP = """
import os, signal, threading
from datetime import UTC, datetime, timedelta
import duckdb
import pyarrow as pa
from watchkeeper.adapters.lakes.delta import open_lake
from watchkeeper.domain.window import Window
from watchkeeper.rows.interrupts import interruptible

ENDLESS = "SELECT count(*) FROM range(100000000000) WHERE range % 7 = 8"
at = datetime(2026, 3, 1, tzinfo=UTC)
lake = open_lake("lake")
rows = {"wk_id": ["a"], "wk_at": pa.array([at], pa.timestamp("us", "UTC")), "wk_version": ["1"]}
lake.append("m", "predictions", pa.table({**rows, "wk_day": ["2026-03-01"]}), source="s", sequence=1)

def endless():
    return duckdb.connect().execute(ENDLESS).fetchall()

def translated():
    with interruptible():
        endless()

def searching():
    lake.matching("m", where=f"({ENDLESS}) = 1")

threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    DO()
except BaseException as raised:
    print(type(raised).__name__, raised)
print(sum(b.num_rows for b in lake.joined("m", Window(at, at + timedelta(days=1)))), "row")
"""


@pytest.mark.parametrize(
    ("what", "raised"),
    [
        ("endless", "RuntimeError Query interrupted"),  # should this change, `interruptible` can go
        ("translated", "KeyboardInterrupt "),
        ("searching", "KeyboardInterrupt "),
    ],
)
def test_ctrl_c_ends_a_query_and_the_next_one_works(what, raised, tmp_path):
    """In a process of its own: Ctrl-C comes to its main thread."""
    done = subprocess.run(
        [sys.executable, "-c", SETUP.replace("DO()", f"{what}()")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [raised, "1 row"]
