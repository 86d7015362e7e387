"""``import watchkeeper`` costs at most 1.3 times ``import numpy``; ``watchkeeper --help`` under twice that.

Run:  python -m benchmarks.bench_import
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from benchmarks.results import keep, machine, show

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import numpy": ["-c", "import numpy"],
    "import watchkeeper": ["-c", "import watchkeeper"],
    "watchkeeper --help": ["-m", "watchkeeper", "--help"],
}


def main() -> None:
    """Start fresh interpreters in turn, many times, and compare the medians."""
    rounds, on = (7 if "--quick" in sys.argv else 25), machine()
    spent: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds + 1):  # in turn, so that a busy moment hits all of them; the first round warms up
        for name, words in COMMANDS.items():
            begun = time.perf_counter()
            subprocess.run([sys.executable, *words], check=True, capture_output=True)
            spent[name].append(time.perf_counter() - begun)
    median = {name: statistics.median(times[1:]) for name, times in spent.items()}
    numpy = median["import numpy"]
    promised = {"import watchkeeper": 1.3, "watchkeeper --help": 2.6}
    show(
        f"Starting up, median of {rounds} fresh processes",
        ["what", "ms", "of import numpy", "promised"],
        [
            [name, f"{s * 1000:.0f}", f"{s / numpy:.2f}", f"<= {promised[name]}" if name in promised else ""]
            for name, s in median.items()
        ],
    )
    keep("import", {"seconds": median, "ratio_to_numpy": {n: s / numpy for n, s in median.items()}}, on=on)


if __name__ == "__main__":
    main()
