"""Memory does not grow with the rows: 10,000,000 rows under 700 MB and at most 1.25 times 1,000,000 rows.

Run:  python -m benchmarks.bench_memory [--quick]

Each comparison runs in a process of its own, which reports its own peak resident memory.
"""

from __future__ import annotations

import sys

from benchmarks.peers import run_job
from benchmarks.results import keep, machine, show
from benchmarks.tables import CACHE, model_table


def main() -> None:
    """Compare a small and a ten times larger table with the same baseline."""
    small, on = (100_000 if "--quick" in sys.argv else 1_000_000), machine()
    baseline = CACHE / f"model-{small}.baseline"
    made = run_job(
        sys.executable, "watchkeeper_compare", "make", str(baseline), str(model_table(small, drifted=False))
    )
    runs = {
        rows: run_job(
            sys.executable,
            "watchkeeper_compare",
            "compare",
            str(baseline),
            str(model_table(rows, drifted=True)),
            "1",
        )
        for rows in (small, 10 * small)
    }
    of_small = runs[10 * small]["peak_mb"] / runs[small]["peak_mb"]
    show(
        "Peak memory of a comparison",
        ["rows", "seconds", "peak MB", "promised"],
        [
            [f"{small:,}", f"{runs[small]['first_s']:.2f}", f"{runs[small]['peak_mb']:.0f}", ""],
            [
                f"{10 * small:,}",
                f"{runs[10 * small]['first_s']:.2f}",
                f"{runs[10 * small]['peak_mb']:.0f}",
                f"<= 700 MB; {of_small:.2f} times the row above, <= 1.25",
            ],
        ],
    )
    keep("memory", {"baseline": made, "runs": {str(n): r for n, r in runs.items()}, "ratio": of_small}, on=on)


if __name__ == "__main__":
    main()
