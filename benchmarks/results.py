"""What a benchmark found: printed as a table, kept as JSON with the machine that it ran on."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

__all__ = ["keep", "machine", "show"]

RESULTS = Path(__file__).resolve().parent / "results"


def machine() -> dict[str, Any]:
    """The processor, its cores, the memory and the libraries that decide the numbers."""
    cpu, memory_gb = platform.processor() or platform.machine(), None
    info, total = Path("/proc/cpuinfo"), Path("/proc/meminfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip()
            for line in info.read_text().splitlines()
            if line.startswith("model name")
        ]
        cpu = names[0] if names else cpu
    if total.exists():
        memory_gb = round(int(total.read_text().split()[1]) / 1e6, 1)
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": memory_gb,
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "pyarrow", "scipy")},
    }


def show(title: str, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print *rows* under *head*, columns aligned."""
    table = [[str(cell) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[i]) for row in table) for i in range(len(head))]
    print(f"\n{title}")
    for n, row in enumerate(table):
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        if n == 0:
            print("  " + "  ".join("-" * width for width in widths))


def keep(name: str, found: dict[str, Any], *, on: dict[str, Any] | None = None) -> Path:
    """Write ``results/<name>.json`` and return its path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    document = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": on or machine(), **found}
    path.write_text(json.dumps(document, indent=1) + "\n")
    return path
