"""Flap score: how often an alert changed its mind in the last 21 windows, newer changes counting more.

With the weights of Nagios, from .8 for the oldest change to 1.2 for the newest,
:math:`s = \\frac{1}{20} \\sum_i w_i c_i`. It begins to flap at .3 and calms at .15; meanwhile it
counts as firing once, and comings and goings are not told.

References
----------
E. Galstad, *Nagios Core: detection and handling of state flapping*.
"""

from __future__ import annotations

WINDOWS = 21
FLAPPING = 0.3
CALM = 0.15


def flap_score(flips: str) -> float:
    """Return the score of *flips*, a letter a window, oldest first; 0 steady, 1 changes every time.

    >>> flap_score("0" * 21), round(flap_score("01" * 10 + "0"), 6)
    (0.0, 1.0)
    """
    recent = flips[-WINDOWS:]
    if "0" not in recent or "1" not in recent:
        return 0.0
    changes = WINDOWS - 1
    offset = changes - (len(recent) - 1)
    score = 0.0
    for i in range(1, len(recent)):
        if recent[i] != recent[i - 1]:
            score += 0.8 + 0.4 * (offset + i - 1) / (changes - 1)
    return score / changes


def is_flapping(flips: str, *, before: bool) -> bool:
    """Whether an alert flaps now, given whether it did *before* (with a lower level for calming down)."""
    return flap_score(flips) >= (CALM if before else FLAPPING)
