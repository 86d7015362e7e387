"""Our maximum mean discrepancy test, permutations and all."""

from __future__ import annotations

import sys

from measured import report


def main() -> None:
    import numpy as np

    import watchkeeper
    from watchkeeper.stats.mmd import mmd

    tables, permutations, times = np.load(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    x, y = tables["x"], tables["y"]
    answer: dict = {}

    def work() -> None:
        found = mmd(x, y, permutations=permutations)
        answer.update(statistic=found.statistic, p_value=found.p_value, bandwidth=found.bandwidth)

    report(work, times=times, version=watchkeeper.__version__, answer=answer)


main()
