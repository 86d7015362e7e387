r"""Errors of a regression before its outcomes arrive (direct loss estimation).

Formula
-------
A regression of the baseline's losses :math:`\ell_i` (absolute, squared, ... errors) on its rows gives the expected
loss of every row of the window; their mean is

.. math:: \hat\theta = \sum_i a_i\,\ell_i, \qquad a = Z\,(Z^T Z + \lambda I)^{-1}\,\bar z_{\text{window}}

with :math:`Z` the baseline's rows as quantile bins, squares and products of columns.

Reads: sampled rows of baseline (with outcomes) and window. Cost: about 50 ms for 5,000 rows. The interval holds
the sampling of outcomes, the model's uncertainty and that of sampled rows, in closed form.

Limits
------
Holds as long as errors, given the columns, are what they were. Percentage errors have heavy tails: their 95%
interval covered 91% in simulation.

References
----------
NannyML, *Direct Loss Estimation*, https://nannyml.readthedocs.io/en/stable/how_it_works/performance_estimation.html
D. Hirshberg, S. Wager, *Augmented minimax linear estimation*, Ann. Stat. 49, 2021.
"""

from __future__ import annotations

from typing import Any

from watchkeeper.domain.measurement import Measurement
from watchkeeper.measures.estimate.told import told
from watchkeeper.stats.estimation.dle import estimate_losses


def estimated_error(
    metric: str,
    predicted: Any,
    actual: Any,
    baseline_rows: Any,
    window_predicted: Any,
    window_rows: Any,
    *,
    rows: float | None = None,
    level: float = 0.95,
    model: str = "ridge",
) -> Measurement:
    """Return the estimate of one error.

    Parameters
    ----------
    metric : the name of a performance measure of regressions.
    predicted, actual, baseline_rows : of sampled baseline rows, ``(n,)``, ``(n,)`` and ``(n, d)``.
    window_predicted, window_rows : of sampled window rows, ``(m,)`` and ``(m, d)``.
    rows : all rows of the window.
    model : ``"ridge"``, or ``"boosted"`` with scikit-learn.

    >>> import numpy as np
    >>> x = np.linspace(0, 1, 1_000)[:, None]
    >>> found = estimated_error("mae", np.zeros(1_000), 1 + x[:, 0], x, np.zeros(500), x[500:])
    >>> found.measure, round(found.value, 2)
    ('estimated_mae', 1.75)
    """
    found = estimate_losses(
        predicted,
        actual,
        baseline_rows,
        window_predicted,
        window_rows,
        rows=rows,
        names=[metric],
        level=level,
        model=model,
    )
    return told(found[metric])
