"""Time and peak memory of a piece of work, measured in the process that does it. Standard library only."""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def peak_mb() -> float:
    """The most resident memory that this process has had so far, in MB.

    Linux hands a parent's ``ru_maxrss`` down through fork and exec, so the high-water mark of this very address
    space is read there.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return (
            next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))
            / 1e3
        )
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def report(work: Callable[[], Any], *, times: int = 1, **more: Any) -> None:
    """Do *work* and print the line of JSON that the caller reads: first and median seconds, peak memory."""
    before, cpu, spent = peak_mb(), time.process_time(), []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        spent.append(time.perf_counter() - begun)
    print(
        json.dumps(
            {
                "first_s": round(spent[0], 4),
                "median_s": round(statistics.median(spent), 4),
                "times": times,
                "cpu_s": round((time.process_time() - cpu) / times, 3),
                "before_mb": round(before, 1),
                "peak_mb": round(peak_mb(), 1),
                **more,
            }
        )
    )
