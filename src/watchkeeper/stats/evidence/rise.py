r"""Has a windowed loss risen? e-SR with one bet a window, a level that is estimated, and an alarm that can end.

The ever-valid evidence of ranks promises never to fire falsely, and pays for it: where days differ as much as they do
in the world (a bad day is followed by another), it may need a year to be sure of a loss that rose by a quarter. This
promises less, a mean time between false alarms, and sees the same change within weeks. Both may be looked at after
every window.

Formula
-------
Losses are clipped at :math:`c = 1.25 \max_b x_b` over the baseline's windows and divided by it: a betting bound on the
mean of 60 windows is three times as tight on :math:`[0, c]` as on :math:`[0, 1]`, and clipping can only make an
alarm rarer. The level :math:`m_0` is the upper bound of the baseline's mean at :math:`1-\delta` (`levels.upper_mean`).
Then :math:`R_t = (R_{t-1} + 1)(1 + f (x_t/m_0 - 1))`, averaged over the fractions f of `FRACTIONS`; an alarm at
:math:`T / (1-\delta)` gives a mean time between false alarms of at least T windows.

The alarm holds while the mean of the last `RECENT` windows stays above the baseline's by more than what matters; then
the bets begin anew.

Limits
------
The promise needs the mean of a window, given those before it, to stay at or below the level: where good and bad days
come in runs it is heuristic, which the caller says. c is taken from the baseline, as the level is.

References
----------
J. Shin, A. Ramdas, A. Rinaldo, *E-detectors*, New England Journal of Statistics in Data Science, 2023.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray

from watchkeeper.stats.evidence.levels import upper_mean

FRACTIONS: tuple[float, ...] = (0.1, 0.3, 0.6, 0.9)
RECENT = 14
DELTA = 0.05
HEADROOM = 1.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Rise:
    """What the last window leaves: ``since`` is how many windows ago the bets began to win (1: with the last).

    ``alarms`` are the places of all windows at which it fired.
    """

    active: bool
    since: int
    log_evidence: float
    log_threshold: float
    level: float
    usual: float
    recent: float
    alarms: tuple[int, ...] = ()


def rise_of(
    baseline: NDArray[np.float64], later: NDArray[np.float64], *, mean_time: float, matters: float = 0.0
) -> Rise:
    """Fold *later* losses ``(n,)`` against those of the *baseline*'s windows ``(b,)``, both in [0, 1].

    *mean_time* is in windows; *matters* is the rise that matters, in the unit of the loss.

    >>> rng = np.random.default_rng(0)
    >>> quiet, worse = 0.2 + 0.02 * rng.normal(size=60), 0.27 + 0.02 * rng.normal(size=60)
    >>> rise_of(quiet, quiet[:30], mean_time=365).active, rise_of(quiet, worse, mean_time=365).active
    (False, True)
    """
    usual = float(baseline.mean())
    ceiling = min(1.0, HEADROOM * float(baseline.max()))
    threshold = log(mean_time / (1 - DELTA))
    if not ceiling > 0:
        return Rise(
            active=False,
            since=0,
            log_evidence=0.0,
            log_threshold=threshold,
            level=0.0,
            usual=usual,
            recent=usual,
        )
    level = upper_mean(np.minimum(baseline / ceiling, 1.0), delta=DELTA)
    stakes = np.array(FRACTIONS) / level
    capital = np.zeros(len(stakes))
    active, began, value, excess = False, 0, 0.0, 0.0
    alarms: list[int] = []
    for i, x in enumerate(np.minimum(later / ceiling, 1.0).tolist()):
        capital = (capital + 1) * (1 + stakes * (x - level))
        value = log(max(float(capital.mean()), 1e-12))
        recent = float(later[max(0, i + 1 - RECENT) : i + 1].mean())
        # The change is dated by the last time that the sum of excesses over the level was nothing (Page's CUSUM).
        excess = max(0.0, excess + x - level)
        if not active:
            if excess == 0.0:
                began = i + 1
            active = value >= threshold and recent - usual > matters
            if active:
                alarms.append(i)
        elif recent - usual <= matters:
            active, began, excess = False, i + 1, 0.0
            capital[:] = 0.0
    tail = later[-RECENT:]
    return Rise(
        active=active,
        alarms=tuple(alarms),
        since=max(0, len(later) - began),
        log_evidence=value,
        log_threshold=threshold,
        level=level * ceiling,
        usual=usual,
        recent=float(tail.mean()) if len(tail) else usual,
    )
