"""Run NannyML's own CBPE: on our made-up cases, whose numbers are kept, or on the data in its wheel.

In NannyML's environment (``benchmarks/requirements/nannyml.txt``):

    python tests/measures/compat/golden/produce_nannyml_cbpe.py             writes nannyml_cbpe.json
    python tests/measures/compat/golden/produce_nannyml_cbpe.py --bundled   prints its car-loan and employment numbers
"""

from __future__ import annotations

import json
import logging
import platform
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

METRICS = ["roc_auc", "average_precision", "f1", "precision", "recall", "specificity", "accuracy"]
FIELDS = {
    "value": "value",
    "sampling_error": "sampling_error",
    "low": "lower_confidence_boundary",
    "high": "upper_confidence_boundary",
    "lower_threshold": "lower_threshold",
    "upper_threshold": "upper_threshold",
}


def run(
    reference: pd.DataFrame, analysis: pd.DataFrame, names: tuple[str, str, str], chunk_rows: int | None
) -> dict:
    """Each metric's numbers of every analysed chunk."""
    import nannyml

    score, decision, outcome = names
    np.random.seed(0)  # the peer's bootstrap of average precision; its numbers are left out
    estimator = nannyml.CBPE(
        y_pred_proba=score,
        y_pred=decision,
        y_true=outcome,
        metrics=METRICS,
        problem_type="classification_binary",
        **({"chunk_size": chunk_rows} if chunk_rows else {}),
    )
    estimator.fit(reference[[score, decision, outcome]])
    frame = estimator.estimate(analysis[[score, decision]]).filter(period="analysis").to_df()
    out: dict = {"calibrated": bool(estimator.needs_calibration)}
    for metric in METRICS:
        kept = {ours: [_number(v) for v in frame[(metric, theirs)]] for ours, theirs in FIELDS.items()}
        if metric == "average_precision":
            kept = {name: kept[name] for name in ("value", "lower_threshold", "upper_threshold")}
        out[metric] = {**kept, "alert": [bool(a) for a in frame[(metric, "alert")]]}
    return out


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    if "--bundled" in sys.argv:
        print(json.dumps(bundled()))
        return
    sys.path.insert(0, str(Path(__file__).parent))
    from cbpe_cases import cbpe_cases

    results = {}
    for case in cbpe_cases():
        frames = [pd.DataFrame(side) for side in (case.reference, case.analysis)]
        results[case.name] = run(*frames, ("score", "decision", "outcome"), case.chunk_rows)
    versions = {name: version(name) for name in ("nannyml", "numpy", "pandas", "scikit-learn")}
    document = {
        "peer": "nannyml",
        "versions": {"python": platform.python_version(), **versions},
        "script": Path(__file__).name,
        "results": results,
    }
    path = Path(__file__).with_name("nannyml_cbpe.json")
    path.write_text(json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n")
    print(path.name, len(results), "cases")


def bundled() -> dict:
    """The two data sets in NannyML's wheel, chunked as its documentation does, and by default."""
    import nannyml

    loan = nannyml.load_synthetic_car_loan_dataset()
    work = nannyml.load_us_census_ma_employment_data()
    return {
        "car_loan": run(loan[0], loan[1], ("y_pred_proba", "y_pred", "repaid"), 5_000),
        "employment": run(work[0], work[1], ("predicted_probability", "prediction", "employed"), None),
    }


def _number(value) -> float | None:
    value = float(value)
    return value if np.isfinite(value) else None


if __name__ == "__main__":
    main()
