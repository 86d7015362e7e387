r"""Domain classifier: how well can a model tell which side a row is from?

Formula
-------
The area under the ROC curve of a classifier that was trained to tell the window's rows from the baseline's, on
rows that it has not seen (5 folds): the probability that it gives a row of the window the higher score.

Reads: two `Sample` states, the features together (see `sample_matrix`). Cost: linear in the sampled rows.

Limits
------
The classifier is a ridge regression over the columns, their squares and (up to 20 dimensions) products: shifts of
means, spreads and correlations. What only a forest would find it does not see; `mmd` may. It is ours, so that the
number is the same wherever it is taken; no library is needed. The p-value is by 200 relabellings, each of them
trained anew.

References
----------
D. Lopez-Paz and M. Oquab, *Revisiting Classifier Two-Sample Tests*, ICLR 2017.
"""

from __future__ import annotations

from watchkeeper.domain.measurement import Measurement
from watchkeeper.domain.schema import Schema
from watchkeeper.errors import BadInput, Incompatible
from watchkeeper.measures.drift.sample_matrix import joint_rows
from watchkeeper.stats import multivariate
from watchkeeper.stats.states.sample import Sample


def domain_classifier(baseline: Sample, window: Sample, schema: Schema) -> float:
    """Return the held-out AUC; 0.5 when nothing moved, 1 when every row tells its side.

    >>> import numpy as np
    >>> from watchkeeper.domain.schema import Column, Kind
    >>> schema = Schema(columns=(Column(name="x", kind=Kind.NUMERIC),))
    >>> ids, values = np.arange(100, dtype=np.uint64), np.linspace(0, 1, 100)
    >>> still, moved = (Sample.of(ids, {"x": values + shift}, 100) for shift in (0, 2))
    >>> domain_classifier(still, moved, schema)
    1.0
    """
    rows = joint_rows(baseline, window, schema)
    return multivariate.domain_classifier_auc(rows.baseline, rows.window, permutations=0).auc


def measure_domain_classifier(
    baseline: Sample, window: Sample, schema: Schema, *, permutations: int = 200, seed: int = 0
) -> Measurement:
    """The measurement; ``details["columns"]`` tells which columns give the sides away, the strongest first."""
    try:
        rows = joint_rows(baseline, window, schema)
        found = multivariate.domain_classifier_auc(
            rows.baseline, rows.window, permutations=permutations, seed=seed
        )
    except (BadInput, Incompatible) as problem:
        return Measurement.missing(
            "domain_classifier", problem.what, rows=window.size, baseline_rows=baseline.size
        )
    weights: dict[str, float] = {}
    for name, weight in zip(rows.columns, found.weights.tolist()):
        weights[name] = weights.get(name, 0.0) + weight
    strongest = sorted(weights.items(), key=lambda item: -item[1])[:10]
    return Measurement(
        measure="domain_classifier",
        value=found.auc,
        rows=len(rows.window),
        baseline_rows=len(rows.baseline),
        margin=found.threshold,
        p_value=found.p_value,
        bound=0.0 if rows.complete else None,
        details={
            "expected": 0.5,
            "permutations": permutations,
            "columns": {name: round(weight, 4) for name, weight in strongest},
        },
    )
