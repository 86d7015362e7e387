r"""Equal opportunity: are the positives of all groups found equally often?

Formula
-------
.. math:: \max_g P(\hat y = 1 \mid y = 1, g) - \min_g P(\hat y = 1 \mid y = 1, g)

Reads: groups of one window (segments or versions), each with its decisions and outcomes. Interval: simultaneous over
all groups, see `group_rates`.

Limits
------
It looks at positives only; `equalized_odds_difference` looks at both.

References
----------
M. Hardt, E. Price, N. Srebro, *Equality of opportunity in supervised learning*, NeurIPS 2016.
"""

from __future__ import annotations

from watchkeeper.domain.measurement import Measurement
from watchkeeper.measures.fairness.group_rates import compared, found
from watchkeeper.measures.groups import Groups


def equal_opportunity_difference(
    groups: Groups, *, threshold: float = 0.5, positive: str | None = None, level: float = 0.95
) -> Measurement:
    """Return the largest difference of true positive rates; 0 is equal.

    >>> from watchkeeper.measures.fairness.group_rates import example
    >>> round(equal_opportunity_difference(example(f=(30, 10, 20, 40), m=(40, 20, 10, 30))).value, 4)
    0.2
    """
    return compared(
        "equal_opportunity_difference", groups, found, threshold=threshold, positive=positive, level=level
    )
