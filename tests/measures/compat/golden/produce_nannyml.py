"""Run the real NannyML on every case and keep its numbers in ``nannyml.json``.

Run by hand, in the peer's own environment (``benchmarks/requirements/nannyml.txt``):

    NML_DISABLE_USAGE_LOGGING=1 .venvs/nannyml/bin/python tests/measures/compat/golden/produce_nannyml.py

``whole`` is one call with all of the current rows as one chunk; ``chunks`` is what the calculator reports with
its default chunks of the current rows.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from pathlib import Path

CONTINUOUS = ["jensen_shannon", "kolmogorov_smirnov", "wasserstein", "hellinger"]
CATEGORICAL = ["jensen_shannon", "chi2", "l_infinity", "hellinger"]


def main() -> None:
    os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"
    sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]
    import nannyml
    import pandas as pd
    from cases import cases
    from keep import keep, number

    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")

    def run(case, method):
        numeric = case.kind == "numeric"
        reference, current = pd.DataFrame({"x": case.reference}), pd.DataFrame({"x": case.current})
        calculator = nannyml.UnivariateDriftCalculator(
            column_names=["x"],
            treat_as_numerical=["x"] if numeric else None,
            treat_as_categorical=None if numeric else ["x"],
            continuous_methods=[method] if numeric else None,
            categorical_methods=None if numeric else [method],
        )
        try:
            calculator.fit(reference)
            frame = calculator.calculate(current).filter(period="analysis").to_df()
            one = calculator._column_to_models_mapping["x"][0]
            value = one.calculate(current["x"])
            whole = {
                "score": number(value),
                "drifted": bool(one.alert(value)),
                "threshold": number(one.upper_threshold_value),
            }
            if method == "chi2":
                whole["p_value"] = number(one._p_value)
        except Exception as error:  # what the peer cannot do is part of its definition
            return {"error": f"{type(error).__name__}: {error}"}
        chunks = [number(v) for v in frame[("x", method, "value")]]
        return {"whole": whole, "chunks": chunks, "alerts": [bool(a) for a in frame[("x", method, "alert")]]}

    results = {}
    for case in cases():
        methods = CONTINUOUS if case.kind == "numeric" else CATEGORICAL
        results[case.name] = {method: run(case, method) for method in methods}
    keep("nannyml", results, also=["scipy"])


if __name__ == "__main__":
    main()
