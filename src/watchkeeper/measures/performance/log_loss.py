r"""Logarithmic loss: how surprised the model was by what happened.

Formula
-------
.. math:: \mathrm{binary} = -\frac1n\sum_i y_i \ln s_i + (1 - y_i)\ln(1 - s_i), \qquad
          \mathrm{multiclass} = -\frac1n\sum_i \ln s_{i,y_i}

Reads: one `ScoreTable`, or one for each class; the losses in it were summed row by row, so this is exact. As in
scikit-learn, scores are kept 2.2e-16 from 0 and 1. Interval of two classes: of the mean of both classes' own means, so
that it holds for a rare event too (see `mixed_loss_interval`); of several: of a skewed mean (`skewed_mean_interval`).

Limits
------
One confident and wrong row costs up to 36: look at the Brier score beside it.

References
----------
I. J. Good, *Rational decisions*, JRSS B 14, 1952.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from watchkeeper.domain.measurement import Interval, Measurement
from watchkeeper.measures.performance.decided import UNLABELLED
from watchkeeper.stats.intervals import mixed_loss_interval, skewed_mean_interval
from watchkeeper.stats.states.moments import Moments
from watchkeeper.stats.states.score_table import CLIP, ScoreTable


def log_loss(table: ScoreTable, *, level: float = 0.95) -> Measurement:
    """Return the mean loss in nats; 0 is perfect, ln 2 = 0.693 what a constant score of 0.5 gives.

    >>> import numpy as np
    >>> scores, outcomes = np.array([0.1, 0.9, 0.8, 0.35]), np.array([False, True, True, False])
    >>> round(log_loss(ScoreTable.of(scores, outcomes)).value, 4)
    0.2162
    """
    losses = table.negative_log_loss.merge(table.positive_log_loss)
    if (reason := table.no_probabilities) is not None:
        return Measurement.missing("log_loss", reason, rows=table.labelled)
    if not losses.n:
        return Measurement.missing("log_loss", UNLABELLED)
    counts, scores = table.held_scores()
    kept = np.clip(scores, CLIP, 1.0 - CLIP)
    interval = mixed_loss_interval(counts, np.stack([-np.log1p(-kept), -np.log(kept)]), level=level)
    return _mean_loss("log_loss", losses, interval)


def multiclass_log_loss(tables: Mapping[str, ScoreTable], *, level: float = 0.95) -> Measurement:
    """Return the mean loss in nats of the score that the actual class was given.

    >>> import numpy as np
    >>> yes = ScoreTable.of(np.array([0.8, 0.3]), np.array([True, False]))
    >>> no = ScoreTable.of(np.array([0.2, 0.7]), np.array([False, True]))
    >>> round(multiclass_log_loss({"yes": yes, "no": no}).value, 4)
    0.2899
    """
    reasons = [reason for t in tables.values() if (reason := t.no_probabilities) is not None]
    if reasons:
        return Measurement.missing("multiclass_log_loss", reasons[0])
    losses = Moments.empty()
    for table in tables.values():
        losses = losses.merge(table.positive_log_loss)
    interval = skewed_mean_interval(losses.mean, losses.variance(ddof=1), losses.n, losses.max, level=level)
    found = _mean_loss("multiclass_log_loss", losses, interval)
    labelled = max((t.labelled for t in tables.values()), default=0)
    if found.value is not None and losses.n < labelled:
        # An outcome that is none of the scored classes has no score to be surprised by.
        return Measurement.missing(
            "multiclass_log_loss",
            f"{labelled - losses.n:g} of {labelled:g} outcomes are of a class that has no score.",
            rows=labelled,
        )
    return found


def _mean_loss(name: str, losses: Moments, interval: Interval) -> Measurement:
    if not losses.n:
        return Measurement.missing(name, UNLABELLED)
    return Measurement(
        measure=name,
        value=losses.mean,
        rows=losses.n,
        interval=Interval(min(interval.low, losses.mean), max(interval.high, losses.mean), interval.level),
        bound=0.0,
    )
