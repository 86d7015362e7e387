"""What the kill tests kill: each is a program of its own, run as ``python kill_targets.py NAME FOLDER ...``."""

import sys
import time
from datetime import UTC, datetime
from pathlib import Path


def record(folder: str, first: str) -> None:
    """Record strictly; an id is printed when it was acknowledged, and not before."""
    from watchkeeper.capture.recorder import Recorder

    recorder = Recorder("m", "1", path=folder, durability="strict")
    number = int(first)
    while True:
        receipt = recorder.record({"x": float(number)}, 1, id=f"r{number}", at=datetime.now(UTC))
        if receipt.committed:
            sys.stdout.write(f"r{number}\n")
            sys.stdout.flush()
        number += 1


def drain(project: str) -> None:
    """Drain and tick without a pause."""
    from datetime import timedelta

    from watchkeeper.loop.watch import tick as ticking
    from watchkeeper.wiring import open_project

    ticking.LEASE_FOR = timedelta(milliseconds=1)  # the one that was killed does not give its lease back
    with open_project(Path(project)) as watch:
        print("ready", flush=True)
        while True:
            watch.tick()
            time.sleep(0.001)


if __name__ == "__main__":
    {"record": record, "drain": drain}[sys.argv[1]](*sys.argv[2:])
