r"""Accuracy by group: is the model right equally often?

Formula
-------
.. math:: \max_g P(\hat y = y \mid g) - \min_g P(\hat y = y \mid g)

Reads: groups of one window (segments or versions), each with its decisions and outcomes. Interval: simultaneous over
all groups, see `group_rates`.

Limits
------
Where 99 of 100 rows are negative, accuracy hides whom the model misses: look at the true positive rates.

References
----------
R. Berk et al., *Fairness in criminal justice risk assessments*, Sociological Methods & Research 50, 2021.
"""

from __future__ import annotations

from watchkeeper.domain.measurement import Measurement
from watchkeeper.measures.fairness.group_rates import compared, right
from watchkeeper.measures.groups import Groups


def accuracy_difference(
    groups: Groups, *, threshold: float = 0.5, positive: str | None = None, level: float = 0.95
) -> Measurement:
    """Return the largest difference of accuracy; 0 is equal.

    >>> from watchkeeper.measures.fairness.group_rates import example
    >>> round(accuracy_difference(example(f=(30, 10, 20, 40), m=(40, 20, 10, 30))).value, 4)
    0.0
    """
    return compared("accuracy_difference", groups, right, threshold=threshold, positive=positive, level=level)
