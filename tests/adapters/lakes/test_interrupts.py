"""Ctrl-C ends what waits for a query, whatever DuckDB makes of it. It looks for signals between its tasks."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("deltalake")

SETUP = """
import os, signal, threading
from datetime import UTC, datetime, timedelta
import duckdb
import pyarrow as pa
from watchkeeper.adapters.lakes.delta import open_lake
from watchkeeper.domain.window import Window
from watchkeeper.rows.interrupts import interruptible

SHORT = "SELECT count(*) FROM range(3000000) WHERE range % 7 = 8"
at = datetime(2026, 3, 1, tzinfo=UTC)
from watchkeeper.testing.contracts.lake import origin
lake = open_lake("lake")
rows = {"wk_id": ["a"], "wk_at": pa.array([at], pa.timestamp("us", "UTC")), "wk_version": ["1"]}
lake.append("m", "predictions", pa.table({**rows, "wk_day": ["2026-03-01"]}), origin=origin("s"))

def querying():
    connection = duckdb.connect()
    while True:
        with interruptible():
            connection.execute(SHORT).fetchall()

def searching():
    while True:
        lake.matching("m", where=f"({SHORT}) = 1")

threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    DO()
except BaseException as raised:
    print(type(raised).__name__, raised)
print(sum(b.num_rows for b in lake.joined("m", Window(at, at + timedelta(days=1)))), "row")
"""


@pytest.mark.parametrize("what", ["querying", "searching"])
def test_ctrl_c_ends_a_query_and_the_next_one_works(what, tmp_path):
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
    assert done.stdout.splitlines() == ["KeyboardInterrupt ", "1 row"]
