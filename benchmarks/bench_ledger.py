"""The ledger with a year of hourly windows x 50 columns x 5 segments: one chart under 20 ms, all latest under 100 ms.

Run:  python -m benchmarks.bench_ledger [--quick]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.results import keep, machine, show
from watchkeeper.adapters.ledgers.sql import open_ledger
from watchkeeper.domain.measurement import Measurement
from watchkeeper.domain.series import PlacedMeasurement, WindowKey
from watchkeeper.domain.window import Window

START = datetime(2025, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def fill(ledger: Any, *, hours: int = 8760, columns: int = 50, segments: int = 5) -> int:
    """Write one measure of every column and segment for every hour; return how many."""
    written = 0
    for first in range(0, hours, 73):
        rows = []
        for hour in range(first, min(first + 73, hours)):
            window = Window(START + hour * HOUR, START + (hour + 1) * HOUR)
            for s in range(segments):
                key = WindowKey(model="m", window=window, segment=f"s{s}" if s else "")
                rows += [
                    PlacedMeasurement(
                        key=key,
                        measurement=Measurement(
                            measure="psi", subject=f"c{c}", value=(hour * 7919 + c) % 997 / 997, rows=1000
                        ),
                    )
                    for c in range(columns)
                ]
        written += ledger.measurements.write(rows, at=START)
    return written


def median_ms(call: Callable[[], Any], times: int = 21) -> float:
    """Median wall time of *call* in milliseconds, after one warm-up."""
    call()
    spent = []
    for _ in range(times):
        begun = time.perf_counter()
        call()
        spent.append((time.perf_counter() - begun) * 1000)
    return statistics.median(spent)


def main() -> None:
    """Fill a SQLite ledger, then time the reads that pages make."""
    quick, on = "--quick" in sys.argv, machine()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        ledger = open_ledger(path)
        begun = time.perf_counter()
        written = fill(ledger, hours=730 if quick else 8760)
        spent = time.perf_counter() - begun
        size = path.stat().st_size
        store = ledger.measurements
        reads = {
            "one series over the year, 400 buckets": (
                lambda: store.series("m", "psi", subject="c7", segment="s3", buckets=400),
                "under 20",
            ),
            "one series over the year, every window": (
                lambda: store.series("m", "psi", subject="c7", segment="s3"),
                "",
            ),
            "the latest value of every series": (lambda: store.latest(model="m"), "under 100"),
        }
        found = {name: median_ms(call) for name, (call, _) in reads.items()}
        ledger.close()
    show(
        f"A ledger of {written:,} measurements ({size / 1e6:,.0f} MB, written at {written / spent:,.0f} a second)",
        ["read", "ms", "promised"],
        [[name, f"{found[name]:.1f}", promised] for name, (_, promised) in reads.items()],
    )
    if not quick:
        keep(
            "ledger",
            {"ms": found, "written": written, "written_per_s": written / spent, "bytes": size},
            on=on,
        )


if __name__ == "__main__":
    main()
