"""The maximum mean discrepancy test, beside alibi-detect on torch.

Promise, in one run, on 2 cores: 5,000 x 50 against 5,000 x 50 with 200 permutations at least 50 times faster than
alibi-detect 0.13 on torch, with the same statistic and bandwidth, and a p-value within simulation error. Ours
computes the kernel once, in strips that are never kept, and all permutations as matrix products; no permutation
is left out.

Run:  python -m benchmarks.bench_mmd [--quick] [--rows N] [--without-peer]

The peer runs once (it takes minutes), ours several times: the median counts. A second, smaller pair of samples,
one of which was moved a little, is judged by both, to compare their answers where the p-value is not extreme.
"""

from __future__ import annotations

import argparse
import math
import sys

import numpy as np

from benchmarks.peers import environment, run_job
from benchmarks.results import keep, machine, show
from benchmarks.tables import CACHE

PROMISE = 50


def main() -> None:
    """Measure both; print and keep the ratio; fail when the answers differ."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--quick", action="store_true")
    words.add_argument("--rows", type=int)
    words.add_argument("--without-peer", action="store_true")
    asked = words.parse_args()
    on, rows, permutations = machine(), asked.rows or (1_000 if asked.quick else 5_000), 200
    large = _samples("still", rows, 50, shift=0.0)
    small = _samples("moved", min(rows, 1_000), 10, shift=0.07)
    ours = [
        run_job(sys.executable, "watchkeeper_mmd", str(path), str(permutations), times)
        for path, times in ((large, "7"), (small, "3"))
    ]
    lines = [["watchkeeper", f"{ours[0]['median_s']:.2f}", "1", f"{ours[0]['peak_mb']:.0f}", ""]]
    found = {"rows": rows, "permutations": permutations, "ours": ours}
    if not asked.without_peer:
        python = environment("alibi")
        theirs = [run_job(python, "alibi_mmd", str(path), str(permutations)) for path in (large, small)]
        ratio = theirs[0]["first_s"] / ours[0]["median_s"]
        found |= {"theirs": theirs, "ratio": ratio}
        lines.append(
            [
                f"alibi-detect {theirs[0]['version']} (torch)",
                f"{theirs[0]['first_s']:.1f}",
                f"{ratio:.0f}",
                f"{theirs[0]['peak_mb']:.0f}",
                f">= {PROMISE}",
            ]
        )
    show(f"{rows:,} x 50 against {rows:,} x 50", ["what", "seconds", "of ours", "peak MB", "promised"], lines)
    if not asked.without_peer:
        show(
            "The answers",
            ["samples", "statistic", "theirs", "p", "theirs", "sigma", "theirs"],
            [
                [name, *(f"{side[key]:.6g}" for key in _KEYS for side in (a["answer"], b["answer"]))]
                for name, a, b in zip(("nothing moved", "moved a little"), ours, theirs)
            ],
        )
        for a, b in zip(ours, theirs):
            _same(a["answer"], b["answer"], permutations)
    print(f"  kept in {keep('mmd', found, on=on).name}")


_KEYS = ("statistic", "p_value", "bandwidth")


def _samples(name: str, rows: int, columns: int, *, shift: float) -> str:
    path = CACHE / f"mmd-{name}-{rows}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(11)
        x, y = rng.normal(size=(rows, columns)), rng.normal(shift, 1, size=(rows, columns))
        np.savez(path, x=x.astype(np.float32), y=y.astype(np.float32))
    return str(path)


def _same(ours: dict, theirs: dict, permutations: int) -> None:
    """The same bandwidth and statistic up to the peer's single precision, p-values up to simulation error."""
    if abs(ours["bandwidth"] / theirs["bandwidth"] - 1) > 1e-4:
        raise SystemExit(f"The bandwidths differ: {ours} against {theirs}")
    if abs(ours["statistic"] - theirs["statistic"]) > 2e-6:
        raise SystemExit(f"The statistics differ: {ours} against {theirs}")
    p = max(ours["p_value"], 1 / permutations)
    if (
        abs(ours["p_value"] - theirs["p_value"])
        > 4 * math.sqrt(2 * p * (1 - p) / permutations) + 1 / permutations
    ):
        raise SystemExit(f"The p-values differ by more than simulation error: {ours} against {theirs}")


if __name__ == "__main__":
    main()
