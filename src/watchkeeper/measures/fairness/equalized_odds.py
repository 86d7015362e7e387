r"""Equalized odds: do groups have the same true and false positive rates?

Formula
-------
.. math:: \max_{c \in \{0, 1\}} \left[\max_g P(\hat y = 1 \mid y = c, g) - \min_g P(\hat y = 1 \mid y = c, g)\right]

Reads: groups of one window (segments or versions), each with its decisions and outcomes. Interval: the larger ends of
those of both differences, which hold together at the level asked for (each at its square root).

Limits
------
The two rates rest on different rows, so a group may be compared by one and left out of the other.

References
----------
M. Hardt, E. Price, N. Srebro, *Equality of opportunity in supervised learning*, NeurIPS 2016.
"""

from __future__ import annotations

from watchkeeper.domain.measurement import Interval, Measurement
from watchkeeper.measures.fairness.group_rates import compared, falsely_selected, found
from watchkeeper.measures.groups import Groups


def equalized_odds_difference(
    groups: Groups, *, threshold: float = 0.5, positive: str | None = None, level: float = 0.95
) -> Measurement:
    """Return the larger difference of the two rates; 0 is equal.

    >>> from watchkeeper.measures.fairness.group_rates import example
    >>> round(equalized_odds_difference(example(f=(30, 10, 20, 40), m=(40, 30, 10, 20))).value, 4)
    0.4
    """
    both = [
        compared(
            "equalized_odds_difference", groups, rate,
            threshold=threshold, positive=positive, level=level**0.5,
        )
        for rate in (found, falsely_selected)
    ]  # fmt: skip
    for one in both:
        if one.value is None or one.interval is None:
            return one
    true, false = both
    larger = true if (true.value or 0) >= (false.value or 0) else false
    assert true.interval is not None
    assert false.interval is not None
    return Measurement(
        measure=larger.measure,
        subject=larger.subject,
        value=larger.value,
        rows=true.rows + false.rows,
        interval=Interval(
            max(true.interval.low, false.interval.low), max(true.interval.high, false.interval.high), level
        ),
        details={"true_positive_rates": dict(true.details), "false_positive_rates": dict(false.details)},
    )
