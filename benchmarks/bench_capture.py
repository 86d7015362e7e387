"""What recording a prediction costs, beside what people pay today.

Promises, on 2 cores: ``record()`` of a 20-feature dict costs at most 2 times prometheus_client's ``Counter.inc``
+ ``Histogram.observe`` pair, and at least 50 times less than whylogs' row logging and ``mlflow.log_metric``; one
process sustains at least 100,000 recorded events a second into the committed journal.

Run:  python -m benchmarks.bench_capture [--quick]

Ours and Prometheus are measured in turn, many times, and the median ratio counts. The flusher is running all the
while and shares the interpreter. The peers run in environments of their own, right after.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time

from prometheus_client import CollectorRegistry, Counter, Histogram

from benchmarks.peers import environment, run_job
from benchmarks.results import keep, machine, show
from watchkeeper.capture.journal import journals, read_flushes
from watchkeeper.capture.recorder import Recorder

PEERS = {"whylogs": "whylogs_row", "mlflow": "mlflow_metric"}
"""Each peer's environment and the job that times its calls."""


def rows(count: int, seed: int = 0) -> list[dict[str, object]]:
    """Return *count* different predictions' features: 15 numbers and 5 categories."""
    dice = random.Random(seed)
    return [
        {f"feature_{i}": dice.gauss(0, 1) if i % 4 else f"category {dice.randrange(30)}" for i in range(20)}
        for _ in range(count)
    ]


def beside_prometheus(rounds: int) -> dict[str, list[float]]:
    """Seconds of one call, each round's, for us and for the pair."""
    registry = CollectorRegistry()
    counter = Counter("predictions", "n", registry=registry)
    histogram = Histogram("latency", "s", registry=registry)
    features, calls = rows(2_000), 10_000
    found: dict[str, list[float]] = {"record": [], "prometheus": []}
    with tempfile.TemporaryDirectory() as folder, Recorder("m", 1, path=folder) as recorder:
        record, inc, observe = recorder.record, counter.inc, histogram.observe
        for _ in range(rounds):
            if recorder.stats().buffered > 100_000:  # calls without a pause come faster than any disk writes
                recorder.flush()
            begun = time.perf_counter()
            for i in range(calls):
                record(features[i % 2_000], True, score=0.7)
            found["record"].append((time.perf_counter() - begun) / calls)
            begun = time.perf_counter()
            for i in range(calls):
                _ = features[i % 2_000]
                inc()
                observe(0.02)
            found["prometheus"].append((time.perf_counter() - begun) / calls)
    stats = recorder.stats()
    assert stats.dropped == 0, stats
    assert stats.flushed == rounds * calls, stats
    return found


def sustained(events: int) -> dict[str, float]:
    """Record as fast as the journal takes it, wait for the last commit, and count what is in the file."""
    features = rows(5_000, seed=1)
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder("m", 1, path=folder)
        begun, cpu = time.perf_counter(), time.process_time()
        for _ in range(0, events, 5_000):
            while recorder.stats().buffered > 150_000:
                time.sleep(0.005)
            for row in features:
                recorder.record(row, True, score=0.7)
        recorder.close(60)
        spent, cpu = time.perf_counter() - begun, time.process_time() - cpu
        written = sum(flush.rows for path in journals(folder) for flush in read_flushes(path))
        size = sum(path.stat().st_size for path in journals(folder))
    stats = recorder.stats()
    assert (stats.dropped, written) == (0, events), (stats, written)
    return {
        "events_per_s": events / spent,
        "cpu_us_per_event": cpu / events * 1e6,
        "events": events,
        "bytes_per_event_on_disk": size / events,
    }


def strict(seconds: float, threads: int) -> float:
    """Commits told to the caller per second, with *threads* recording at once."""
    import threading

    done = [0] * threads
    with (
        tempfile.TemporaryDirectory() as folder,
        Recorder("m", 1, path=folder, durability="strict") as recorder,
    ):
        row, end = rows(1)[0], time.perf_counter() + seconds

        def work(n: int) -> None:
            while time.perf_counter() < end:
                assert recorder.record(row, True).committed
                done[n] += 1

        workers = [threading.Thread(target=work, args=(n,)) for n in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    return sum(done) / seconds


def main() -> None:
    """Measure, print and keep the ratios."""
    quick, on = "--quick" in sys.argv, machine()
    beside = beside_prometheus(15 if quick else 75)
    mine, pair = statistics.median(beside["record"]), statistics.median(beside["prometheus"])
    ratio = statistics.median(a / b for a, b in zip(beside["record"], beside["prometheus"], strict=True))
    lines = [
        ["record(), 20 features", f"{mine * 1e6:.2f}", "1", ""],
        [
            "prometheus_client inc + observe",
            f"{pair * 1e6:.2f}",
            f"{pair / mine:.2f}",
            f"ours <= 2 of it: {ratio:.2f}",
        ],
    ]
    found: dict[str, object] = {"record_s": mine, "prometheus_pair_s": pair, "ratio": ratio, "peers": {}}
    for peer, job in PEERS.items():
        theirs = run_job(environment(peer), job)
        found["peers"] = {**found["peers"], peer: theirs}  # type: ignore[dict-item]
        for call, spent in theirs["s"].items():
            lines.append(
                [
                    f"{call}, {peer} {theirs['version']}",
                    f"{spent * 1e6:,.0f}",
                    f"{spent / mine:,.0f}",
                    ">= 50",
                ]
            )
    show("One recorded prediction", ["what", "us", "of ours", "promised"], lines)

    rate = sustained(200_000 if quick else 2_000_000)
    commits = {n: strict(1.0 if quick else 3.0, n) for n in (1, 16)}
    found |= {"sustained": rate, "strict_commits_per_s": commits}
    show(
        "Into the committed journal",
        ["what", "events a second", "promised"],
        [
            [f"one process, {rate['events']:,} events", f"{rate['events_per_s']:,.0f}", ">= 100,000"],
            ["strict, 1 thread", f"{commits[1]:,.0f}", ""],
            ["strict, 16 threads (group commit)", f"{commits[16]:,.0f}", ""],
        ],
    )
    print(
        f"  {rate['cpu_us_per_event']:.1f} us of CPU an event, both threads together; "
        f"{rate['bytes_per_event_on_disk']:.0f} bytes on disk; kept in {keep('capture', found, on=on).name}"
    )


if __name__ == "__main__":
    main()
