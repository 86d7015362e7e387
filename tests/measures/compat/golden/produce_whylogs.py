"""Run the real whylogs on every case and keep its numbers in ``whylogs.json``.

Run by hand, in the peer's own environment (``benchmarks/requirements/whylogs.txt``):

    WHYLOGS_NO_ANALYTICS=True .venvs/whylogs/bin/python tests/measures/compat/golden/produce_whylogs.py

Past 1,024 finite rows on either side its quantile sketch is random: those cases are run five times, and the
least and the greatest statistic are kept.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from pathlib import Path


def main() -> None:
    os.environ["WHYLOGS_NO_ANALYTICS"] = "True"
    sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]
    import numpy as np
    import pandas as pd
    import whylogs
    from cases import cases
    from keep import keep, number
    from whylogs.viz.drift.column_drift_algorithms import KS, ChiSquare, Hellinger, calculate_drift_scores

    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")

    def once(case, method):
        algorithm = {"ks": KS, "hellinger": Hellinger, "chi-square": ChiSquare}.get(method)
        reference = whylogs.log(pd.DataFrame({"x": case.reference})).view()
        current = whylogs.log(pd.DataFrame({"x": case.current})).view()
        try:
            score = calculate_drift_scores(
                target_view=current,
                reference_view=reference,
                drift_map={"x": algorithm()} if algorithm else None,
                with_thresholds=True,
            )["x"]
        except Exception as error:  # what the peer cannot do is part of its definition
            return {"error": f"{type(error).__name__}: {error}"}
        if score is None:
            return {"error": "None"}
        return {
            "score": number(score["statistic"]),
            "p_value": number(score["pvalue"]),
            "category": score["drift_category"],
            "name": score["algorithm"],
        }

    def run(case, method):
        first = once(case, method)
        if (
            case.kind == "categorical"
            or max(len(case.reference), len(case.current)) <= 1024
            or "error" in first
        ):
            return first
        scores = [once(case, method)["score"] for _ in range(5)]
        if all(isinstance(s, float) for s in scores):
            first["low"], first["high"] = float(np.min(scores)), float(np.max(scores))
        return first

    results = {}
    for case in cases():
        methods = (
            ["default", "ks", "hellinger", "chi-square"]
            if case.kind == "numeric"
            else ["default", "chi-square"]
        )
        results[case.name] = {method: run(case, method) for method in methods}
    keep("whylogs", results, also=["whylogs-sketching", "scipy"])


if __name__ == "__main__":
    main()
