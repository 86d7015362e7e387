r"""Performance of a model with several classes before its outcomes arrive.

Formula
-------
With :math:`q_{ik}` the calibrated probability that row :math:`i` is of class :math:`k`, made to sum to one over
classes, the expected confusion is

.. math:: \widehat{C}_{kj} = \sum_{i:\,\hat y_i = j} q_{ik}

and averages of precision, recall and F1 follow. Areas under the curve come from each class's score against the rest.

Reads: a `ScoreTable` of each class for baseline and window; for what needs decisions, also sampled rows of the
window (scores and prediction). Cost: about 30 ms a class.

Limits
------
Each class is calibrated by its own score alone; see also the limits of the binary estimates.

References
----------
J. Białek et al., *Estimating model performance under covariate shift without labels*, arXiv:2401.08348.
B. Zadrozny, C. Elkan, *Transforming classifier scores into accurate multiclass probability estimates*, KDD 2002.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from watchkeeper.domain.measurement import Measurement
from watchkeeper.measures.estimate.told import told
from watchkeeper.stats.estimation.multiclass import estimate_classes
from watchkeeper.stats.states.score_table import ScoreTable


def estimated_classes(
    metric: str,
    baseline: Mapping[str, ScoreTable],
    window: Mapping[str, ScoreTable],
    *,
    scores: Any = None,
    predicted: Any = None,
    level: float = 0.95,
) -> list[Measurement]:
    """Return the estimates of one metric; one for each class where the metric has one (``subject``).

    Parameters
    ----------
    metric : the name of a performance measure of models with several classes.
    baseline, window : score tables by class, the baseline's with outcomes.
    scores, predicted : of sampled window rows: ``(m, k)`` in the order of *baseline*, and places ``(m,)`` in it.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> s = rng.random(20_000)
    >>> y = rng.random(20_000) < s
    >>> known = {"yes": ScoreTable.of(s[:9_999], y[:9_999]), "no": ScoreTable.of(1 - s[:9_999], ~y[:9_999])}
    >>> later = {"yes": ScoreTable.of(s[9_999:]), "no": ScoreTable.of(1 - s[9_999:])}
    >>> [(m.subject, round(m.value, 1)) for m in estimated_classes("roc_auc_per_class", known, later)]
    [('yes', 0.8), ('no', 0.8)]
    """
    found = estimate_classes(
        baseline, window, scores=scores, predicted=predicted, names=[metric], level=level
    )
    return [told(e, subject=subject) for (_, subject), e in found.items()]
