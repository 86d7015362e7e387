r"""Principal components: do columns still move together as they did?

Formula
-------
With :math:`\hat z` a row rebuilt from the baseline's main components (65% of the variance), :math:`e = \|z - \hat z\|`,

.. math:: \Big|\frac{\bar e_{window}}{\bar e_{baseline}} - 1\Big|

The components are learnt on one half of the baseline's sampled rows, its mean error on the other half.

Reads: two `Sample` states, the features together (see `sample_matrix`). Cost: linear in the sampled rows.

Limits
------
Sees linear ties only, and not a change along the main components themselves. With a value for each column alone
unchanged, a broken correlation shows here.

References
----------
I. Jolliffe, *Principal Component Analysis*, 2002; NannyML, data reconstruction with PCA.
"""

from __future__ import annotations

import math

from watchkeeper.domain.measurement import Measurement
from watchkeeper.domain.schema import Schema
from watchkeeper.errors import BadInput, Incompatible
from watchkeeper.measures.drift.sample_matrix import joint_rows
from watchkeeper.stats import multivariate
from watchkeeper.stats.states.sample import Sample


def pca_reconstruction(baseline: Sample, window: Sample, schema: Schema) -> float:
    """Return the relative change of the mean error; 0 when nothing moved.

    >>> import numpy as np
    >>> from watchkeeper.domain.schema import Column, Kind
    >>> schema = Schema(columns=tuple(Column(name=n, kind=Kind.NUMERIC) for n in "ab"))
    >>> ids, x = np.arange(100, dtype=np.uint64), np.linspace(-1, 1, 100)
    >>> tied = Sample.of(ids, {"a": x, "b": x + 0.01 * np.sin(50 * x)}, 100)
    >>> turned = Sample.of(ids, {"a": x, "b": -x}, 100)
    >>> pca_reconstruction(tied, turned, schema) > 10
    True
    """
    rows = joint_rows(baseline, window, schema)
    return abs(multivariate.pca_reconstruction(rows.baseline, rows.window).ratio - 1)


def measure_pca_reconstruction(
    baseline: Sample, window: Sample, schema: Schema, *, seed: int = 0
) -> Measurement:
    """The measurement; ``details`` holds both errors and their ratio."""
    try:
        rows = joint_rows(baseline, window, schema)
        if len(set(rows.columns)) < 2:
            raise BadInput("One column alone has nothing to move together with.")
        found = multivariate.pca_reconstruction(rows.baseline, rows.window, seed=seed)
    except (BadInput, Incompatible) as problem:
        return Measurement.missing(
            "pca_reconstruction", problem.what, rows=window.size, baseline_rows=baseline.size
        )
    return Measurement(
        measure="pca_reconstruction",
        value=abs(found.ratio - 1),
        rows=len(rows.window),
        baseline_rows=len(rows.baseline),
        margin=multivariate.ratio_margin(found),
        p_value=found.p_value,
        bound=0.0 if rows.complete else None,
        details={
            "expected": math.sqrt(2 / math.pi) * found.ratio_sd,
            "ratio": found.ratio,
            "baseline_error": found.baseline_error,
            "error": found.window_error,
            "components": found.components,
        },
    )
