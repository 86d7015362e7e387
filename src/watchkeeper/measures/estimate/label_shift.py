r"""Label shift: the window's share of positives, if only the shares of classes have moved.

Formula
-------
With :math:`C_{ji} = P(\hat y = j, y = i)` of the baseline and :math:`\mu_j` the window's share of decisions,

.. math:: C w = \mu, \qquad P_\text{window}(y = 1) = w_1 P_\text{baseline}(y = 1)

Reads: the `ScoreTable` of baseline and window. ``check_p`` in the details is the p-value of the check that the
window's scores are a mixture of the baseline's two kinds: below 1% the number is not to be believed.

Limits
------
Where scores of a class look otherwise than they did (a change of the rows or of the concept), the share is wrong;
the check sees that only when the window has rows enough.

References
----------
Z. Lipton, Y. Wang, A. Smola, *Detecting and correcting for label shift with black box predictors*, ICML 2018.
L. Hansen, *Large sample properties of generalized method of moments estimators*, Econometrica 50, 1982.
"""

from __future__ import annotations

from watchkeeper.domain.measurement import Measurement
from watchkeeper.errors import BadInput
from watchkeeper.stats.estimation.bbse import score_shift
from watchkeeper.stats.states.score_table import ScoreTable


def estimated_positive_share(
    baseline: ScoreTable, window: ScoreTable, *, threshold: float = 0.5, level: float = 0.95
) -> Measurement:
    """Return the share of rows that will turn out positive, under label shift.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> s = rng.random(20_000)
    >>> y = rng.random(20_000) < s
    >>> kept = np.flatnonzero(y | (rng.random(20_000) < 0.5))        # half of the negatives are gone
    >>> found = estimated_positive_share(ScoreTable.of(s, y), ScoreTable.of(s[kept]))
    >>> round(found.value, 1), found.details["reliable"]
    (0.7, True)
    """
    name = "estimated_positive_share"
    rows = float(window.counts.sum())
    try:
        found = score_shift(baseline, window, threshold=threshold, level=level)
    except BadInput as refusal:
        return Measurement.missing(name, refusal.what, rows=rows, baseline_rows=baseline.labelled)
    reasons = []
    if not found.holds:
        reasons.append(
            "More than the share of classes has moved: the window's scores are no mixture of the baseline's "
            f"(p = {found.check_p:.2g})."
        )
    return Measurement(
        measure=name,
        value=found.share,
        rows=rows,
        baseline_rows=baseline.labelled,
        interval=found.interval,
        details={
            "reliable": found.holds,
            "reasons": reasons,
            "method": "bbse",
            "check_p": found.check_p,
            "baseline_share": found.baseline_share,
        },
    )
