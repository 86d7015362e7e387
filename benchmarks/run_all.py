"""Run every benchmark of this folder, one after the other, each in a process of its own.

Run:  python -m benchmarks.run_all [--quick] [--only NAME ...]

``--quick`` takes smaller tables and fewer repeats: it shows that everything runs, not what we promise.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> int:
    """Run them all; return how many failed."""
    words = sys.argv[1:]
    only = words[words.index("--only") + 1 :] if "--only" in words else []
    quick = ["--quick"] if "--quick" in words else []
    names = sorted(path.stem for path in HERE.glob("bench_*.py"))
    failed = []
    for name in names:
        if only and name.removeprefix("bench_") not in only:
            continue
        print(f"\n== {name}", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *quick], cwd=HERE.parent).returncode:
            failed.append(name)
    if failed:
        print(f"\nFailed: {', '.join(failed)}")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
