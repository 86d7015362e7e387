"""Many tests at once: which to believe, with a stated false discovery rate (the expected share of false findings)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.errors import BadInput

Floats = NDArray[np.float64]


def benjamini_hochberg(p_values: Any) -> Floats:
    r"""Return q-values ``(k,)`` in the order given: a finding with :math:`q \le \alpha` keeps the FDR at alpha.

    :math:`q_{(i)} = \min_{j \ge i} k\,p_{(j)} / j`, at most 1. Holds for independent tests and for positively
    dependent ones.

    Reference: Y. Benjamini and Y. Hochberg, *Controlling the False Discovery Rate*, JRSS B 57, 1995.

    >>> benjamini_hochberg([0.01, 0.04, 0.03, 0.5]).round(4).tolist()
    [0.04, 0.0533, 0.0533, 0.5]
    """
    p = _checked_p(p_values)
    order = np.argsort(p, kind="stable")
    raised = p[order] * p.size / np.arange(1, p.size + 1)
    out = np.empty_like(p)
    out[order] = np.minimum(1.0, np.minimum.accumulate(raised[::-1])[::-1])
    return out


def _checked_p(p_values: Any) -> Floats:
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise BadInput(
            "p-values lie between 0 and 1, in one dimension.", "Leave out tests that gave no p-value."
        )
    return p
