"""Our comparison of one Parquet file with a saved baseline: drift, quality and performance.

watchkeeper_compare.py make BASELINE REFERENCE            make and save the baseline
watchkeeper_compare.py compare BASELINE CURRENT TIMES     compare; the report is asked for its verdict
watchkeeper_compare.py beside BASELINE CURRENT TIMES      the same, in turn with pyarrow's read_table
watchkeeper_compare.py page BASELINE CURRENT PAGE         compare and write the HTML page
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from measured import report

import watchkeeper as wk

ROLES = {"outcome": "outcome", "score": "score", "prediction": "prediction"}


def _roles(path: str) -> dict[str, str]:
    import pyarrow.parquet as pq

    return {name: role for name, role in ROLES.items() if name in pq.read_schema(path).names}


def _seconds(work: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def main() -> None:
    verb, baseline, rows = sys.argv[1:4]

    def compare() -> Any:
        found = wk.compare(baseline, rows)
        found.to_dict()
        return found

    if verb == "make":
        from watchkeeper.loop.batch.profiling import save_baseline

        report(lambda: save_baseline(wk.baseline(rows, roles=_roles(rows)), baseline))
    elif verb == "compare":
        report(compare, times=int(sys.argv[4]))
    elif verb == "page":
        report(lambda: wk.compare(baseline, rows).to_html(sys.argv[4]))
    else:
        import pyarrow.parquet as pq

        ours, theirs = [], []
        for _ in range(int(sys.argv[4])):
            theirs.append(_seconds(lambda: pq.read_table(rows)))
            ours.append(_seconds(compare))
        found = compare().to_dict()
        report(
            compare,
            ours_s=ours,
            read_table_s=theirs,
            ratio=statistics.median(ours) / statistics.median(theirs),
            keys=sorted(found),
        )


main()
