r"""Where the baseline's outcomes reach: scores that lie beyond have a calibration that nobody has seen.

Method
------
For each cell of the score, the distance (in cells of the lattice, which are finer near 0 and 1) to its 10th
nearest labelled baseline row. A window's row is outside when that distance is more than twice what 99% of
the baseline's own rows have, and more than 20 cells.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from watchkeeper.stats.states.score_table import NEGATIVE, POSITIVE, ScoreTable

MOST_OUTSIDE = 0.1
NEIGHBOURS = 10
_FEWEST_CELLS = 20


def share_outside(baseline: ScoreTable, window: ScoreTable) -> float:
    """The share of *window*'s rows whose score lies where *baseline* has hardly any outcome.

    >>> low = ScoreTable.of(np.linspace(0.1, 0.4, 500), np.arange(500) % 3 == 0)
    >>> share_outside(low, ScoreTable.of(np.array([0.2, 0.3, 0.7, 0.9])))
    0.5
    """
    rows = (baseline.counts[NEGATIVE] + baseline.counts[POSITIVE]).astype(float)
    seen = window.counts.sum(axis=0).astype(float)
    if not rows.sum() or not seen.sum():
        return 0.0
    distance = _distances(rows)
    own = np.argsort(distance)
    upto = np.cumsum(rows[own])
    usual = distance[own][int(np.searchsorted(upto, 0.99 * upto[-1]))]
    return float(seen[distance > max(2.0 * usual, _FEWEST_CELLS)].sum() / seen.sum())


def _distances(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cells from each cell to its 10th nearest row."""
    upto = np.concatenate([[0.0], np.cumsum(rows)])
    k = min(NEIGHBOURS, upto[-1])
    places = np.arange(rows.size)
    # The reach at which enough rows lie on both sides together: found by halving, for all cells at once.
    low, high = np.full(rows.size, -1), np.full(rows.size, rows.size)
    while (high - low > 1).any():
        middle = (low + high) // 2
        left, right = np.maximum(places - middle, 0), np.minimum(places + middle + 1, rows.size)
        enough = upto[right] - upto[left] >= k
        high, low = np.where(enough, middle, high), np.where(enough, low, middle)
    return high.astype(float)
