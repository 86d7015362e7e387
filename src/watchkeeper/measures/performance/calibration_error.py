r"""Expected calibration error: how far scores are from the shares of positives they announce.

Formula
-------
With bins b of the score, of :math:`n_b` rows, mean score :math:`\bar s_b` and share of positives
:math:`\bar y_b`,

.. math:: \mathrm{ECE} = \sum_b \frac{n_b}{n}\,|\bar s_b - \bar y_b|

Reads: a `ScoreTable`; exact for numbers of bins that divide 1,000. Interval: bootstrap of the bins' counts.

Limits
------
A perfectly calibrated model does not measure 0, since every bin errs by chance: ``margin`` is what it stays
under 95 times in 100 with these rows, and ``p_value`` how often it would measure as much as this.

References
----------
M. Naeini, G. Cooper, M. Hauskrecht, *Obtaining well calibrated probabilities using Bayesian binning*, AAAI 2015.
J. Bröcker, L. Smith, *Increasing the reliability of reliability diagrams*, Weather and Forecasting 22, 2007.
"""

from __future__ import annotations

import numpy as np

from watchkeeper.domain.measurement import Measurement
from watchkeeper.measures.performance.decided import UNLABELLED
from watchkeeper.stats.intervals import bootstrap_interval
from watchkeeper.stats.states.score_table import ScoreTable

DRAWS = 1_000


def expected_calibration_error(
    table: ScoreTable, *, bins: int = 10, level: float = 0.95, seed: int = 20240229
) -> Measurement:
    """Return the error in units of probability; the bins are in ``details``.

    >>> scores, outcomes = np.repeat([0.25, 0.75], 100), np.arange(200) % 4 == 0
    >>> found = expected_calibration_error(ScoreTable.of(scores, outcomes))
    >>> found.value, found.value > found.margin
    (0.25, True)
    """
    name = "expected_calibration_error"
    if not table.labelled:
        return Measurement.missing(name, UNLABELLED)
    if (reason := table.no_probabilities) is not None:
        return Measurement.missing(name, reason, rows=table.labelled)
    found = table.calibration(bins)
    held = found.counts > 0
    n, score = found.counts[held], np.clip(found.mean_score[held], 0.0, 1.0)
    positives, rows = found.positives[held], float(found.counts.sum())

    def error(hits: np.ndarray, counts: np.ndarray) -> np.ndarray:
        return np.abs(hits - score * counts).sum(axis=-1) / counts.sum(axis=-1)

    value = float(error(positives, n))
    by_chance = np.random.default_rng(seed).binomial(np.round(n).astype(np.int64), score, (DRAWS, n.size))
    null = error(by_chance, np.round(n))
    k = n.size
    interval = bootstrap_interval(
        np.concatenate([positives, n - positives]),
        lambda c: error(c[:, :k], c[:, :k] + c[:, k:]),
        draws=DRAWS,
        level=level,
        seed=seed,
    )
    return Measurement(
        measure=name,
        value=value,
        rows=rows,
        interval=interval,
        margin=float(np.quantile(null, 0.95)),
        p_value=(1 + int(np.count_nonzero(null >= value))) / (DRAWS + 1),
        bound=0.0 if found.exact else None,
        details={
            "bins": [
                {"mean_score": float(s), "positive_share": float(y / c), "rows": float(c)}
                for s, y, c in zip(score, positives, n, strict=True)
            ]
        },
    )
