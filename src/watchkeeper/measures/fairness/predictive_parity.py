r"""Predictive parity: is a positive prediction right equally often in all groups?

Formula
-------
.. math:: \max_g P(y = 1 \mid \hat y = 1, g) - \min_g P(y = 1 \mid \hat y = 1, g)

Reads: groups of one window (segments or versions), each with its decisions and outcomes. Interval: simultaneous over
all groups, see `group_rates`.

Limits
------
Where groups differ in how many positives they have, it cannot hold together with equalized odds.

References
----------
A. Chouldechova, *Fair prediction with disparate impact*, Big Data 5, 2017.
"""

from __future__ import annotations

from watchkeeper.domain.measurement import Measurement
from watchkeeper.measures.fairness.group_rates import compared, confirmed
from watchkeeper.measures.groups import Groups


def predictive_parity_difference(
    groups: Groups, *, threshold: float = 0.5, positive: str | None = None, level: float = 0.95
) -> Measurement:
    """Return the largest difference of precision; 0 is parity.

    >>> from watchkeeper.measures.fairness.group_rates import example
    >>> round(predictive_parity_difference(example(f=(30, 10, 20, 40), m=(40, 20, 10, 30))).value, 4)
    0.0833
    """
    return compared(
        "predictive_parity_difference", groups, confirmed, threshold=threshold, positive=positive, level=level
    )
