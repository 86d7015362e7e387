"""Evidently's DataDriftPreset over two Parquet files, run in its own environment."""

from __future__ import annotations

import sys

from measured import report


def main() -> None:
    import evidently
    import pandas as pd
    from evidently import Dataset, Report
    from evidently.presets import DataDriftPreset

    def work() -> None:
        reference, current = (Dataset.from_pandas(pd.read_parquet(path)) for path in sys.argv[1:3])
        Report([DataDriftPreset()]).run(current, reference).dict()

    report(work, version=evidently.__version__)


main()
