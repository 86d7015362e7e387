r"""Demographic parity: are groups predicted positive equally often?

Formula
-------
.. math:: \max_g P(\hat y = 1 \mid g) - \min_g P(\hat y = 1 \mid g), \qquad
          \frac{\min_g P(\hat y = 1 \mid g)}{\max_g P(\hat y = 1 \mid g)}

Reads: groups of one window (segments or versions), each with its decisions and outcomes. Interval: simultaneous over
all groups, see `group_rates`.

Limits
------
Equal selection does not mean equal treatment where groups differ in what is predicted. The four-fifths rule asks for a
ratio of at least 0.8 and ignores chance: read it with its interval.

References
----------
C. Dwork et al., *Fairness through awareness*, ITCS 2012.
EEOC, *Uniform guidelines on employee selection procedures*, 29 CFR 1607.4(D), 1978.
"""

from __future__ import annotations

from watchkeeper.domain.measurement import Measurement
from watchkeeper.measures.fairness.group_rates import compared, selected
from watchkeeper.measures.groups import Groups


def demographic_parity_difference(
    groups: Groups, *, threshold: float = 0.5, positive: str | None = None, level: float = 0.95
) -> Measurement:
    """Return the largest difference of selection rates; 0 is parity.

    >>> from watchkeeper.measures.fairness.group_rates import example
    >>> round(demographic_parity_difference(example(f=(30, 10, 20, 40), m=(40, 20, 10, 30))).value, 4)
    0.2
    """
    return compared(
        "demographic_parity_difference", groups, selected, threshold=threshold, positive=positive, level=level
    )


def demographic_parity_ratio(
    groups: Groups, *, threshold: float = 0.5, positive: str | None = None, level: float = 0.95
) -> Measurement:
    """Return the smallest selection rate over the largest; 1 is parity.

    >>> from watchkeeper.measures.fairness.group_rates import example
    >>> round(demographic_parity_ratio(example(f=(30, 10, 20, 40), m=(40, 20, 10, 30))).value, 4)
    0.6667
    """
    return compared(
        "demographic_parity_ratio",
        groups,
        selected,
        ratio=True,
        threshold=threshold,
        positive=positive,
        level=level,
    )
