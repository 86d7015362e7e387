"""What whylogs' ways of logging one row cost, in its own environment: seconds a row."""

from __future__ import annotations

import json
import logging
import random
import time


def main() -> None:
    import whylogs
    from whylogs.core import DatasetProfile

    logging.disable(logging.CRITICAL)
    dice = random.Random(0)
    rows = [
        {f"feature_{i}": dice.gauss(0, 1) if i % 4 else f"category {dice.randrange(30)}" for i in range(20)}
        for _ in range(100)
    ]
    profile = DatasetProfile()
    found = {}
    for name, log in (("whylogs.log(row)", whylogs.log), ("DatasetProfile.track(row)", profile.track)):
        log(rows[0])
        begun = time.perf_counter()
        for row in rows:
            log(row)
        found[name] = (time.perf_counter() - begun) / len(rows)
    print(json.dumps({"version": whylogs.__version__, "s": found}))


main()
