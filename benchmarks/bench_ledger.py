"""The ledger with a year of hourly windows x 50 columns x 5 segments: one chart under 20 ms, all latest under 100 ms.

Run:  python -m benchmarks.bench_ledger
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

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
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        ledger = open_ledger(path)
        begun = time.perf_counter()
        written = fill(ledger)
        spent = time.perf_counter() - begun
        print(f"written             {written:>12,} measurements, {written / spent:,.0f} a second")
        print(f"size                {path.stat().st_size / 1e6:>12,.0f} MB")
        chart = median_ms(
            lambda: ledger.measurements.series("m", "psi", subject="c7", segment="s3", buckets=400)
        )
        raw = median_ms(lambda: ledger.measurements.series("m", "psi", subject="c7", segment="s3"))
        latest = median_ms(lambda: ledger.measurements.latest(model="m"))
        print(f"a year, 400 buckets {chart:>12.1f} ms   (promise: under 20)")
        print(f"a year, raw         {raw:>12.1f} ms")
        print(f"latest of all       {latest:>12.1f} ms   (promise: under 100)")
        ledger.close()


if __name__ == "__main__":
    main()
