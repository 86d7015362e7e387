"""One million rows against a saved baseline, beside the peers and beside merely reading the file.

Promises, in one run, on 2 cores: drift, quality and performance of 1,000,000 x (15 numeric + 5 categorical +
outcome, score, prediction) at least 100 times faster than Evidently's DataDriftPreset, 30 times faster than
NannyML's univariate drift and whylogs' profile, and at most 4 times ``pyarrow.parquet.read_table`` of the file.

Run:  python -m benchmarks.bench_compare [--quick] [--rows N] [--without evidently,nannyml,whylogs]

Everybody reads the same Parquet files inside the measured time, has every column, and is not charged for
starting Python. Ours reads a baseline that was saved before; the peers have no such thing and read both sides
(whylogs reads the current side only). The peers run once, ours several times: the median counts, and each peer
is held against our runs just before and just after it, so that a machine whose load moves does not decide.
"""

from __future__ import annotations

import argparse
import statistics
import sys

from benchmarks.peers import environment, run_job
from benchmarks.results import keep, machine, show
from benchmarks.tables import CACHE, model_table

PEERS = {
    "evidently": ("evidently_drift", "Evidently DataDriftPreset", 100),
    "nannyml": ("nannyml_drift", "NannyML univariate drift", 30),
    "whylogs": ("whylogs_profile", "whylogs profile", 30),
}


def main() -> None:
    """Measure us, ``read_table`` and each peer; print and keep the ratios."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--quick", action="store_true")
    words.add_argument("--rows", type=int)
    words.add_argument("--without", default="", help="peers to leave out, by comma")
    asked = words.parse_args()
    rows = asked.rows or (50_000 if asked.quick else 1_000_000)
    on = machine()
    reference, current = model_table(rows, drifted=False), model_table(rows, drifted=True)
    baseline = CACHE / f"model-{rows}.baseline"
    made = run_job(sys.executable, "watchkeeper_compare", "make", str(baseline), str(reference))
    memory = run_job(sys.executable, "watchkeeper_compare", "compare", str(baseline), str(current), "1")
    times = 3 if asked.quick else 7

    def beside(repeats: int) -> dict:
        return run_job(
            sys.executable, "watchkeeper_compare", "beside", str(baseline), str(current), str(repeats)
        )

    ours = beside(times)
    mine, read = statistics.median(ours["ours_s"]), statistics.median(ours["read_table_s"])
    last = ours["ours_s"]

    lines = [
        ["watchkeeper compare (saved baseline)", f"{mine:.2f}", "1", f"{memory['peak_mb']:.0f}", ""],
        [
            "watchkeeper compare, first call",
            f"{memory['first_s']:.2f}",
            f"{memory['first_s'] / mine:.1f}",
            "",
            "",
        ],
        [
            "watchkeeper baseline, made and saved",
            f"{made['first_s']:.2f}",
            f"{made['first_s'] / mine:.1f}",
            f"{made['peak_mb']:.0f}",
            "",
        ],
        [
            "pyarrow read_table",
            f"{read:.2f}",
            f"{read / mine:.2f}",
            "",
            f"ours <= 4 of it: {mine / read:.2f}",
        ],
    ]
    found = {"rows": rows, "baseline": made, "first": memory, "beside_read_table": ours, "peers": {}}
    for peer, (job, title, promise) in PEERS.items():
        if peer in asked.without.split(","):
            continue
        theirs = run_job(environment(peer), job, str(reference), str(current))
        after = beside(3)["ours_s"]
        ratio = theirs["first_s"] / statistics.median([*last[-3:], *after])
        last = after
        found["peers"][peer] = {**theirs, "ratio": ratio}
        lines.append(
            [
                f"{title} {theirs['version']}",
                f"{theirs['first_s']:.1f}",
                f"{ratio:.0f}",
                f"{theirs['peak_mb']:.0f}",
                f">= {promise}",
            ]
        )
    show(f"{rows:,} rows x 23 columns", ["what", "seconds", "of ours", "peak MB", "promised"], lines)
    print(f"  kept in {keep('compare', found, on=on).name}")


if __name__ == "__main__":
    main()
