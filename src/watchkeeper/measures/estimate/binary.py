r"""Performance of a binary model before its outcomes arrive, from its scores alone.

Formula
-------
With :math:`w_c` the window's rows and :math:`q_c` the calibrated probability of a positive in cell :math:`c` of
the score,

.. math:: \widehat{TP} = \sum_{c \ge t} w_c q_c,\quad \widehat{FP} = \sum_{c \ge t} w_c (1 - q_c),\quad
          \widehat{FN} = \sum_{c < t} w_c q_c,\quad \widehat{TN} = \sum_{c < t} w_c (1 - q_c)

and every metric follows from such counts. The calibration is learnt from the baseline's outcomes, where it helps.

Reads: the `ScoreTable` of baseline and window; under covariate shift also their sampled rows. Cost: about 30 ms,
200 draws included. The interval is for the value that the window's own outcomes will show; it holds the sampling of
outcomes, the calibration's uncertainty, that of weights where rows are weighted, and, given the baseline's windows,
how much further days differ.

Limits
------
A change of what a score means cannot be seen before outcomes arrive. ``reliable`` in the details is false, and
``reasons`` say why, when scores leave the region that the baseline knows, when rows can hardly be compared, when
the baseline has too few outcomes, and when outcomes that did arrive contradict the calibration.

References
----------
J. Białek et al., *Estimating model performance under covariate shift without labels*, arXiv:2401.08348.
J. Kivimäki et al., *Confidence-based estimators for predictive performance in model monitoring*, JAIR 82, 2025.
"""

from __future__ import annotations

from collections.abc import Sequence

from watchkeeper.domain.measurement import Measurement
from watchkeeper.measures.estimate.told import told
from watchkeeper.stats.estimation.cbpe import estimate
from watchkeeper.stats.states.score_table import ScoreTable


def estimated_binary(
    metric: str,
    baseline: ScoreTable,
    window: ScoreTable,
    *,
    threshold: float = 0.5,
    level: float = 0.95,
    windows: Sequence[ScoreTable] = (),
    arrived: Sequence[ScoreTable] = (),
) -> Measurement:
    """Return the estimate of one metric (`measure_estimates` takes all of them in one go).

    Parameters
    ----------
    metric : the name of a performance measure of binary models.
    baseline, window : scores, the baseline's with outcomes.
    threshold : where a score becomes a decision.
    windows : the baseline's own windows; how much they differ widens the interval.
    arrived : recent windows whose outcomes have arrived; they may contradict the calibration.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> s = rng.random(30_000)
    >>> table = ScoreTable.of(s[:20_000], rng.random(20_000) < s[:20_000])
    >>> found = estimated_binary("accuracy", table, ScoreTable.of(s[20_000:]))
    >>> found.measure, round(found.value, 2), found.details["reliable"]
    ('estimated_accuracy', 0.75, True)
    """
    found = estimate(
        baseline,
        window,
        names=[metric],
        threshold=threshold,
        level=level,
        windows=windows,
        arrived=arrived,
    )
    return told(found[metric])
