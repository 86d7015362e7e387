"""whylogs' profile of one Parquet file (the current rows only), run in its own environment."""

from __future__ import annotations

import logging
import sys

from measured import report


def main() -> None:
    import pandas as pd
    import whylogs

    logging.disable(logging.CRITICAL)
    report(lambda: whylogs.log(pd.read_parquet(sys.argv[2])).view(), version=whylogs.__version__)


main()
