r"""Whether outcomes that have arrived contradict the calibration behind an estimate.

Method
------
In ten groups of the score with about as many labelled rows each, the positives found are compared with those
expected. Their differences :math:`d` have the covariance

.. math:: V = \mathrm{diag}\Big(\sum w q (1 - q)\Big) + \mathrm{cov}(\text{calibration}) + \tau^2 n n^T

with the calibration's own uncertainty from its bootstrap, and :math:`\tau^2` the variation that the baseline's
windows showed. Then :math:`d^T V^{-1} d` is compared with chi-square. Because the comparison is made at equal
scores, it does not matter that some scores get their outcomes earlier than others.

References
----------
D. Hosmer, S. Lemeshow, *Goodness of fit tests for the multiple logistic regression model*, 1980.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from watchkeeper.stats.estimation.calibrated import Calibrated
from watchkeeper.stats.states.score_table import NEGATIVE, POSITIVE, ScoreTable

LEVEL_OF_DOUBT = 0.01
"""How often arrived outcomes may contradict a sound estimate."""

GROUPS = 10
FEWEST_ROWS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Contradiction:
    """How surprising the arrived outcomes are if the calibration still holds."""

    p_value: float
    rows: float
    expected: float
    """Share of positives that was expected of these rows."""
    found: float

    @property
    def sentence(self) -> str:
        """What is said where it is too surprising."""
        return (
            f"{self.rows:g} outcomes have arrived and contradict it: {self.found:.3f} of them positive, "
            f"{self.expected:.3f} expected (p = {self.p_value:.2g} over ten groups of the score)."
        )


def contradiction(
    fitted: Calibrated, tables: Sequence[ScoreTable], *, tolerance: float = 0.0
) -> Contradiction | None:
    """Compare the outcomes in *tables* with *fitted*; None with fewer than 50 of them.

    Parameters
    ----------
    tolerance : variance of the share of positives between windows, beyond chance.
    """
    from scipy.special import chdtrc

    rows, sums, hits = np.zeros(len(fitted.baseline.counts[0])), 0.0, 0.0
    for table in tables:
        rows = rows + table.counts[NEGATIVE] + table.counts[POSITIVE]
        sums = sums + table.sums[NEGATIVE] + table.sums[POSITIVE]
        hits = hits + table.counts[POSITIVE]
    total = float(rows.sum())
    if total < FEWEST_ROWS:
        return None
    n, scores = fitted.group_scores(rows, np.asarray(sums))
    found = fitted.grouped(np.asarray(hits, float))
    q = fitted.curve(scores)
    upto = np.cumsum(n)
    place = np.minimum(((upto - n / 2) * GROUPS / total).astype(int), GROUPS - 1)
    groups = (place == np.arange(GROUPS)[:, None]).astype(float)
    gap = groups @ (found - n * q)
    drawn = (fitted.drawn_probabilities(scores) * n) @ groups.T
    size = groups @ n
    held = size > 0
    # Where nothing positive was expected one positive must not be impossible: half a row of variance.
    spread = (
        np.diag(groups @ (n * q * (1 - q)) + 0.5)
        + fitted.widening * np.cov(drawn.T)
        + tolerance * np.outer(size, size)
    )
    d, v = gap[held], spread[np.ix_(held, held)]
    statistic = float(d @ np.linalg.solve(v, d))
    return Contradiction(
        p_value=float(chdtrc(int(held.sum()), statistic)),
        rows=total,
        expected=float((n * q).sum() / total),
        found=float(found.sum() / total),
    )
