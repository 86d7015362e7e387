"""``pyarrow.parquet.read_table`` of one file, every column, with its own threads."""

from __future__ import annotations

import sys

from measured import report


def main() -> None:
    import pyarrow
    import pyarrow.parquet as pq

    report(lambda: pq.read_table(sys.argv[1]), times=int(sys.argv[2]), version=pyarrow.__version__)


main()
