r"""Distance of means: how far has the centre of an embedding moved?

Formula
-------
With :math:`\bar x, \bar y` the mean vectors and :math:`s_j^2` the baseline's variance of dimension j,

.. math:: \frac{\|\bar y - \bar x\|}{\sqrt{\sum_j s_j^2}}

so 1 is a shift as large as the typical distance of a baseline vector from its mean.

Reads: two `VectorState` states; never rows. Cost: O(dimensions).

Limits
------
Sees the centre only: spreads and shapes may change unseen (`mmd` sees them). The margin and the p-value hold
whatever the correlations of the dimensions, which the state does not keep: they are bounds, and cautious.

References
----------
G. Szekely and N. Bakirov, *Extremal Probabilities for Gaussian Quadratic Forms*, Probab. Theory Relat. Fields
126, 2003.
"""

from __future__ import annotations

from watchkeeper.domain.measurement import Measurement
from watchkeeper.errors import BadInput, Incompatible
from watchkeeper.measures.drift.share_measurement import MARGIN_LEVEL
from watchkeeper.stats import multivariate
from watchkeeper.stats.states.vector import VectorState


def mean_distance(baseline: VectorState, window: VectorState) -> float:
    """Return the distance, in units of the baseline's spread.

    >>> still = VectorState.of_vectors([[1.0, 0.0], [-1.0, 0.0]])
    >>> mean_distance(still, VectorState.of_vectors([[1.0, 3.0], [-1.0, 3.0]]))
    3.0
    """
    return _found(baseline, window, None).distance


def measure_mean_distance(
    baseline: VectorState, window: VectorState, *, rows: tuple[float, float] | None = None
) -> Measurement:
    """The measurement, with a margin and a p-value that hold for any correlation."""
    n, m = rows if rows is not None else (baseline.n, window.n)
    try:
        found = _found(baseline, window, rows)
    except (BadInput, Incompatible) as problem:
        return Measurement.missing("mean_distance", problem.what, rows=m, baseline_rows=n)
    return Measurement(
        measure="mean_distance",
        value=found.distance,
        rows=m,
        baseline_rows=n,
        margin=found.margin,
        p_value=found.p_value,
        bound=0.0,
        details={"expected": found.expected, "dimensions": baseline.dimensions},
    )


def _found(
    baseline: VectorState, window: VectorState, rows: tuple[float, float] | None
) -> multivariate.MeanDistance:
    for name, side in (("baseline", baseline), ("window", window)):
        if not side.n:
            raise BadInput(f"The {name} has no finite vectors.")
    if baseline.dimensions != window.dimensions:
        raise Incompatible(
            f"Vectors of {baseline.dimensions} and of {window.dimensions} dimensions cannot be compared."
        )
    n, m = rows if rows is not None else (baseline.n, window.n)
    return multivariate.mean_distance(
        baseline.mean, baseline.variance(), n, window.mean, window.variance(), m, level=MARGIN_LEVEL
    )
