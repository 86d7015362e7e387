"""Run the real alibi-detect on every case and keep its numbers in ``alibi.json``.

Run by hand, in the peer's own environment (``benchmarks/requirements/alibi.txt``):

    .venvs/alibi/bin/python tests/measures/compat/golden/produce_alibi.py
"""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path


def main() -> None:
    sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]
    import numpy as np
    import torch
    from alibi_detect.cd import ChiSquareDrift, CVMDrift, FETDrift, KSDrift, MMDDrift
    from cases import cases, vectors
    from keep import keep, number

    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")

    def run(detector, reference, current):
        try:
            found = detector(reference).predict(current)["data"]
        except Exception as error:  # what the peer cannot do is part of its definition
            return {"error": f"{type(error).__name__}: {error}"}
        return {
            "score": number(np.ravel(found["distance"])[0]),
            "p_value": number(np.ravel(found["p_val"])[0]),
            "threshold": number(found["threshold"]),
            "drifted": bool(found["is_drift"]),
        }

    def column(values):
        return values.reshape(-1, 1)

    results = {}
    for case in cases():
        reference, current = column(case.reference), column(case.current)
        if case.kind == "numeric":
            detectors = {"ks": KSDrift, "cvm": CVMDrift}
        else:
            detectors = {"chi2": ChiSquareDrift}
            if set(map(str, np.unique(case.reference.astype(str)))) <= {"0", "1", "True", "False"}:
                detectors["fet"] = FETDrift
        results[case.name] = {name: run(d, reference, current) for name, d in detectors.items()}
    for name, (reference, current) in vectors().items():
        torch.manual_seed(0)
        results[name] = {
            "mmd": run(lambda x: MMDDrift(x, backend="pytorch", n_permutations=2000), reference, current)
        }
    keep("alibi-detect", results, also=["torch", "scipy"])


if __name__ == "__main__":
    main()
