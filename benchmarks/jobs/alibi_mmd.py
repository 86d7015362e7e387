"""alibi-detect's maximum mean discrepancy test on torch, run in its own environment."""

from __future__ import annotations

import sys

from measured import report


def main() -> None:
    import alibi_detect
    import numpy as np
    from alibi_detect.cd import MMDDrift

    tables, permutations = np.load(sys.argv[1]), int(sys.argv[2])
    x, y = tables["x"].astype(np.float32), tables["y"].astype(np.float32)
    answer: dict = {}

    def work() -> None:
        detector = MMDDrift(x, backend="pytorch", n_permutations=permutations, device="cpu")
        said = detector.predict(y)["data"]
        sigma = detector._detector.kernel.sigma.detach().numpy().ravel()[0]
        answer.update(statistic=float(said["distance"]), p_value=float(said["p_val"]), bandwidth=float(sigma))

    report(work, version=alibi_detect.__version__, answer=answer)


main()
