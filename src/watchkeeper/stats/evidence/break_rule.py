r"""Break rule: a window so far from the baseline that its rows alone are the evidence.

Formula
-------
With :math:`F_0, F_t` the distribution functions of the baseline (:math:`n_0` rows) and of window :math:`t`
(:math:`m` rows), :math:`C` columns, a share :math:`\beta` of the budget and :math:`w_t` of `change_weight`,

.. math:: \sup|F_t - F_0| > \max\Big(.1 + \sqrt{\tfrac{\ln(4C/(\beta w_t))}{2m}}
   + \sqrt{\tfrac{\ln(4C/\beta)}{2n_0}},\; 3 \max_i \sup|F_i - F_{-i}|\Big)

where :math:`F_i` is a window of the baseline and :math:`F_{-i}` the others. The first term is Massart's bound
on both sides, spent over windows with :math:`\sum_t w_t \le 1`: no horizon has to be named. Missing rows are
the lowest value. For categories the distance is the largest gap of one share among K, and C becomes CK.

Assumes: rows are independent. The second term guards against rows that are not, without a guarantee; so
unless they are declared to be, the rule asks for three such windows in a row (`column_evidence`).

References
----------
P. Massart, *The tight constant in the Dvoretzky-Kiefer-Wolfowitz inequality*, Annals of Probability 18, 1990.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.stats.evidence.rank_e_process import change_weight


def break_threshold(
    *,
    window: Any,
    rows: Any,
    baseline_rows: Any,
    widest_gap: Any,
    columns: float,
    budget: float = 0.005,
    margin: float = 0.1,
    cells: int = 1,
) -> NDArray[np.float64]:
    """Return the distance that window number *window* (1, 2, ...) must pass, broadcast over all arguments.

    *cells* is 1 for ordered values and the number of shares for categories.

    >>> float(break_threshold(window=1, rows=500, baseline_rows=10_000, widest_gap=0.03, columns=100).round(3))
    0.244
    """
    per_column = 4 * columns * cells / budget
    rows, baseline_rows = np.maximum(rows, 1), np.maximum(baseline_rows, 1)
    of_window = np.sqrt(np.log(per_column / change_weight(window)) / (2 * rows))
    of_baseline = np.sqrt(np.log(per_column) / (2 * baseline_rows))
    return np.maximum(margin + of_window + of_baseline, 3 * np.asarray(widest_gap, dtype=float))
