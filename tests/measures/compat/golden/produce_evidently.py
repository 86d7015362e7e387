"""Run the real Evidently on every case and keep its numbers in ``evidently.json``.

Run by hand, in the peer's own environment (``benchmarks/requirements/evidently.txt``):

    PYTHONHASHSEED=0 .venvs/evidently/bin/python tests/measures/compat/golden/produce_evidently.py
"""

from __future__ import annotations

import sys
from pathlib import Path

NUMERIC = [
    "ks",
    "wasserstein",
    "jensenshannon",
    "psi",
    "kl_div",
    "hellinger",
    "anderson",
    "cramer_von_mises",
    "mannw",
    "ed",
    "es",
    "t_test",
]
CATEGORICAL = [
    "chisquare",
    "z",
    "jensenshannon",
    "psi",
    "kl_div",
    "hellinger",
    "TVD",
    "g_test",
    "fisher_exact",
]


def main() -> None:
    sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]
    import pandas as pd
    from cases import cases
    from evidently import Report
    from evidently.legacy.calculations.data_drift import get_one_column_drift
    from evidently.legacy.core import ColumnType
    from evidently.legacy.metric_results import DatasetColumns, DatasetUtilityColumns
    from evidently.legacy.options.data_drift import DataDriftOptions
    from evidently.presets import DataDriftPreset
    from keep import keep, number

    def run(case, method):
        of_type = ColumnType.Numerical if case.kind == "numeric" else ColumnType.Categorical
        nothing = DatasetUtilityColumns(date=None, id=None, target=None, prediction=None)
        try:
            drift = get_one_column_drift(
                current_data=pd.DataFrame({"x": case.current}),
                reference_data=pd.DataFrame({"x": case.reference}),
                column_name="x",
                options=DataDriftOptions(all_features_stattest=method),
                dataset_columns=DatasetColumns(
                    utility_columns=nothing,
                    target_type=None,
                    task=None,
                    num_feature_names=["x"] if case.kind == "numeric" else [],
                    cat_feature_names=["x"] if case.kind == "categorical" else [],
                    text_feature_names=[],
                    datetime_feature_names=[],
                    target_names=None,
                ),
                column_type=of_type,
                agg_data=True,
            )
        except Exception as error:  # what the peer cannot do is part of its definition
            return {"error": f"{type(error).__name__}: {error}"}
        return {
            "score": number(drift.drift_score),
            "drifted": bool(drift.drift_detected),
            "threshold": number(drift.stattest_threshold),
            "name": drift.stattest_name,
        }

    results = {}
    for case in cases():
        methods = NUMERIC if case.kind == "numeric" else CATEGORICAL
        results[case.name] = {method: run(case, method) for method in methods}
        results[case.name]["default"] = run(case, None)

    small = {c.name: c for c in cases() if len(c.reference) in (512, 800, 500) and "nan" not in c.name}
    reference = pd.DataFrame({n: c.reference[:500] for n, c in small.items()})
    current = pd.DataFrame({n: c.current[:400] for n, c in small.items()})
    report = Report([DataDriftPreset()]).run(current, reference).dict()
    share = next(m["value"] for m in report["metrics"] if "DriftedColumnsCount" in str(m))
    results["_preset"] = {"columns": sorted(small), "count": share["count"], "share": share["share"]}
    keep("evidently", results, also=["scipy"])


if __name__ == "__main__":
    main()
