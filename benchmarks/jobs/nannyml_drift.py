"""NannyML's univariate drift over two Parquet files, run in its own environment."""

from __future__ import annotations

import logging
import sys

from measured import report


def main() -> None:
    import nannyml
    import pandas as pd

    logging.disable(logging.CRITICAL)

    def work() -> None:
        reference, current = (pd.read_parquet(path) for path in sys.argv[1:3])
        calculator = nannyml.UnivariateDriftCalculator(column_names=list(reference.columns))
        calculator.fit(reference).calculate(current)

    report(work, version=nannyml.__version__)


main()
