"""The tick over one large window, beside merely reading the two tables' files; and the memory of a larger one.

Promises: a window of 1,000,000 joined predictions (10 features, score, outcome) takes at most 3 times reading the
two tables' files; 10,000,000 predictions joined with 10,000,000 outcomes stay under 2 GB.

Run:  python -m benchmarks.bench_watch [--quick]
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from benchmarks.jobs.measured import peak_mb
from benchmarks.results import keep, machine, show

T0 = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
CHUNK = 500_000


def ids(first: int, at_us: np.ndarray) -> list[str]:
    """Ids as recorders make them: they hold the time."""
    return [
        str(uuid.UUID(int=((int(us) // 1000) << 80) | (7 << 76) | (2 << 62) | (first + i)))
        for i, us in enumerate(at_us)
    ]


def rows_of(first: int, count: int, total: int, seed: int) -> tuple[pa.Table, pa.Table]:
    """Predictions and outcomes number *first* to *first + count* of *total*, as the lake keeps them."""
    dice = np.random.default_rng(seed)
    start_us = int(T0.timestamp() * 1e6)
    at = start_us + (np.arange(first, first + count) * (86_400_000_000 // total)).astype(np.int64)
    names = ids(first, at)
    score = dice.beta(2, 3, count)
    instant = pa.timestamp("us", tz="UTC")
    columns: dict[str, Any] = {
        "wk_id": names,
        "wk_at": pa.array(at).cast(instant),
        "wk_version": pa.repeat("1", count),
        "wk_rate": pa.repeat(1.0, count),
        "wk_latency_s": dice.exponential(0.01, count),
        "wk_prediction": (score > 0.5).astype(float),
        "wk_score": score,
        **{f"x{i}": dice.normal(size=count) for i in range(8)},
        **{f"c{i}": dice.choice([f"category {k}" for k in range(20)], count) for i in range(2)},
        "wk_day": pa.repeat("2026-03-01", count),
    }
    order = dice.permutation(count)
    outcomes = {
        "wk_id": pa.array(names).take(pa.array(order)),
        "wk_at": pa.array(at + 3_600_000_000).cast(instant),
        "wk_order": np.arange(count),
        "wk_revision": np.zeros(count, bool),
        "wk_actual": (dice.random(count) < score[order]).astype(float),
        "wk_day": pa.repeat("2026-03-01", count),
    }
    return pa.table(columns), pa.table(outcomes)


def project(folder: Path, total: int) -> Any:
    """A project with one day of *total* joined predictions in its lake, and a baseline."""
    from watchkeeper.domain.series import WindowKey
    from watchkeeper.domain.window import Window
    from watchkeeper.loop.batch.profiling import baseline, save_baseline
    from watchkeeper.ports.lake import Origin
    from watchkeeper.testing.clock import FakeClock
    from watchkeeper.wiring import open_project

    (folder / "watchkeeper.toml").write_text(
        '[models.m]\ntask = "binary"\nbaseline = "m.wkb"\ncadence = "1d"\njudge_every = "1d"\n'
    )
    first, told = rows_of(0, 200_000, 200_000, 99)
    names = {"wk_prediction": "prediction", "wk_score": "score"}
    kept = [n for n in first.column_names if n[0] in "xc" or n in names]
    made = first.select(kept).rename_columns([names.get(n, n) for n in kept])
    made = made.append_column("outcome", told.sort_by("wk_id")["wk_actual"])
    save_baseline(baseline(made), folder / "m.wkb")
    watch = open_project(folder, clock=FakeClock(T0 + 2 * DAY))
    watch.judges = ()
    for number, start in enumerate(range(0, total, CHUNK), 1):
        predictions, outcomes = rows_of(start, min(CHUNK, total - start), total, number)
        origin = Origin(source="bench", first=number, last=number, token=1)
        watch.lake.append("m", "predictions", predictions, origin=origin)
        watch.lake.append("m", "outcomes", outcomes, origin=origin)
    watch.ledger.windows.mark_dirty([WindowKey(model="m", window=Window(T0, T0 + DAY))], reason="bench")
    return watch


def read_files(folder: Path) -> tuple[float, float]:
    """Wall and CPU seconds to read every row and column of both tables with pyarrow."""
    begun = time.perf_counter(), time.process_time()
    for table in ("predictions", "outcomes"):
        path = folder / ".watchkeeper" / "lake" / "m" / table
        files = [str(p) for p in path.rglob("*.parquet")]
        ds.dataset(files, format="parquet").to_table()
    return time.perf_counter() - begun[0], time.process_time() - begun[1]


def timed(total: int, times: int) -> dict[str, Any]:
    """Median seconds of a tick over *total* rows, and of reading the files."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with project(folder, total) as watch:
            ticks, reads = [], []
            for _ in range(times):
                reads.append(read_files(folder))
                begun = time.perf_counter(), time.process_time()
                done = watch.tick()
                ticks.append((time.perf_counter() - begun[0], time.process_time() - begun[1]))
                assert (done.stored_windows, done.problems) == (1, []), done
                watch.ledger.windows.mark_dirty(
                    [s.key for s in watch.ledger.windows.windows("m")], reason="again"
                )
            (tick_s, tick_cpu_s), (read_s, read_cpu_s) = (
                [statistics.median(part) for part in zip(*times, strict=True)] for times in (ticks, reads)
            )
            return {"tick_s": tick_s, "tick_cpu_s": tick_cpu_s, "read_s": read_s, "read_cpu_s": read_cpu_s}


def peak(total: int) -> dict[str, Any]:
    """Peak memory of one process that only ticks."""
    with tempfile.TemporaryDirectory() as name:
        project(Path(name), total).close()
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.bench_watch", "--tick", name], capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(done.stderr)
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def tick_only(folder: str) -> None:
    """One tick in this process; print seconds and peak memory."""
    from watchkeeper.testing.clock import FakeClock
    from watchkeeper.wiring import open_project

    with open_project(folder, clock=FakeClock(T0 + 2 * DAY)) as watch:
        watch.judges = ()
        begun = time.perf_counter()
        done = watch.tick()
        spent = time.perf_counter() - begun
    assert (done.stored_windows, done.problems) == (1, []), done
    print(json.dumps({"tick_s": spent, "peak_mb": peak_mb()}))


def main() -> None:
    """Time a window, then weigh a larger one."""
    quick, on = "--quick" in sys.argv, machine()
    small, large = (100_000, 500_000) if quick else (1_000_000, 10_000_000)
    one = timed(small, 2 if quick else 5)
    ratio = one["tick_s"] / one["read_s"]
    show(
        "One window",
        ["what", "wall s", "CPU s", "times reading", "promised"],
        [
            [
                f"reading both tables' files, {small:,} rows each",
                f"{one['read_s']:.2f}",
                f"{one['read_cpu_s']:.2f}",
                "1",
                "",
            ],
            ["tick", f"{one['tick_s']:.2f}", f"{one['tick_cpu_s']:.2f}", f"{ratio:.2f}", "at most 3"],
        ],
    )
    many = peak(large)
    show(
        "A large window",
        ["rows", "tick s", "peak MB", "promised"],
        [[f"{large:,} x {large:,}", f"{many['tick_s']:.1f}", f"{many['peak_mb']:,.0f}", "under 2,000"]],
    )
    if not quick:
        keep("watch", {"window": one, "ratio": ratio, "large": many}, on=on)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--tick"]:
        tick_only(sys.argv[2])
    else:
        main()
