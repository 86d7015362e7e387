r"""Maximum mean discrepancy: has the joint distribution of many columns, or of an embedding, moved?

Formula
-------
With a Gaussian kernel :math:`k(u,v) = \exp(-\|u-v\|^2/2\sigma^2)`, :math:`2\sigma^2` the median squared distance of
baseline rows,

.. math:: \mathrm{MMD}^2 = \overline{k(x_i,x_j)}_{i\ne j} + \overline{k(y_i,y_j)}_{i\ne j} - 2\,\overline{k(x_i,y_j)}

Reads: two `Sample` states: the features together (see `sample_matrix`), or one vector column. Cost: the square
of the sampled rows; half a second for 5,000 against 5,000.

Limits
------
Sees any change, but weakly in many dimensions: a change of one column among fifty is found sooner in that column.
Its size says little (0 is no change, 2 the most): read the p-value, by 200 permutations, so never below 0.005.

References
----------
A. Gretton et al., *A Kernel Two-Sample Test*, JMLR 13, 2012.
"""

from __future__ import annotations

from watchkeeper.domain.measurement import Measurement
from watchkeeper.domain.schema import Column, Schema
from watchkeeper.errors import BadInput, Incompatible
from watchkeeper.measures.drift.sample_matrix import JointRows, joint_rows, vector_rows
from watchkeeper.stats import mmd as kernel
from watchkeeper.stats.states.sample import Sample


def mmd(baseline: Sample, window: Sample, schema: Schema) -> float:
    """Return the unbiased squared discrepancy of the features; about 0 when nothing moved.

    >>> import numpy as np
    >>> from watchkeeper.domain.schema import Kind
    >>> schema = Schema(columns=(Column(name="x", kind=Kind.NUMERIC),))
    >>> ids, values = np.arange(100, dtype=np.uint64), np.linspace(0, 1, 100)
    >>> still, moved = (Sample.of(ids, {"x": values + shift}, 100) for shift in (0, 2))
    >>> mmd(still, still, schema) < 0.01 < 0.5 < mmd(still, moved, schema)
    True
    """
    rows = joint_rows(baseline, window, schema)
    return kernel.mmd(rows.baseline, rows.window, permutations=0).statistic


def measure_mmd(
    baseline: Sample, window: Sample, schema: Schema, *, permutations: int = 200, seed: int = 0
) -> Measurement:
    """The measurement over all features, with the 99% point of the permuted values as margin."""
    try:
        return _measured(joint_rows(baseline, window, schema), permutations, seed)
    except (BadInput, Incompatible) as problem:
        return Measurement.missing("mmd", problem.what, rows=window.size, baseline_rows=baseline.size)


def measure_vector_mmd(
    baseline: Sample, window: Sample, column: Column, *, permutations: int = 200, seed: int = 0
) -> Measurement:
    """The same over one column of vectors; the subject is its name."""
    try:
        return _measured(vector_rows(baseline, window, column), permutations, seed, subject=column.name)
    except (BadInput, Incompatible) as problem:
        return Measurement.missing(
            "mmd", problem.what, subject=column.name, rows=window.size, baseline_rows=baseline.size
        )


def _measured(rows: JointRows, permutations: int, seed: int, *, subject: str = "") -> Measurement:
    found = kernel.mmd(rows.baseline, rows.window, permutations=permutations, seed=seed)
    return Measurement(
        measure="mmd",
        subject=subject,
        value=found.statistic,
        rows=len(rows.window),
        baseline_rows=len(rows.baseline),
        margin=found.threshold,
        p_value=found.p_value,
        bound=0.0 if rows.complete else None,
        details={
            "expected": 0.0,
            "bandwidth": found.bandwidth,
            "permutations": permutations,
            "columns": len(set(rows.columns)),
        },
    )
