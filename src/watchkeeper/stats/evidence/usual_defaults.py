"""What others fire on by default, over many columns and windows at once: to stand beside our own rules.

Each looks at every window by itself, and at every column by itself, with no budget for looking often:

- ``ks``: two-sample Kolmogorov-Smirnov test, p < .05 (categories: chi-square test);
- ``psi``: population stability index over 10 bins above .1;
- ``chunks``: Jensen-Shannon distance above the mean plus three standard deviations of the baseline's own chunks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.stats.distances import jensen_shannon_of_shares, psi_of_shares

Floats = NDArray[np.float64]

KS_LEVEL, PSI_LEVEL, DEVIATIONS = 0.05, 0.1, 3.0


def usual_defaults(baseline: Any, windows: Any, *, ordered: bool = True) -> dict[str, NDArray[np.bool_]]:
    """Return by name where each fires ``(C, T)``, for counts ``(C, B, K)`` and ``(C, T, K)``."""
    before, after = np.asarray(baseline, float), np.asarray(windows, float)
    total = before.sum(1)
    usual, now = chunk_distances(before, after)
    limit = usual.mean(1) + DEVIATIONS * usual.std(1, ddof=1)
    return {
        "ks": ks_p_values(total, after, ordered=ordered) < KS_LEVEL,
        "psi": psi_values(total, after, ordered=ordered) > PSI_LEVEL,
        "chunks": now > limit[:, None],
    }


def ks_p_values(total: Any, windows: Any, *, ordered: bool = True) -> Floats:
    """Asymptotic p-values ``(C, T)`` of windows ``(C, T, K)`` against a baseline's rows ``(C, K)``.

    >>> p = ks_p_values(np.array([[500, 500]]), np.array([[[50, 50], [70, 30]]]))
    >>> p.round(4).tolist()
    [[1.0, 0.0014]]
    """
    from scipy.special import chdtrc, kolmogorov

    q, y = np.asarray(total, float)[:, None, :], np.asarray(windows, float)
    n, m = q.sum(-1), np.maximum(y.sum(-1), 1)
    if ordered:
        gap = np.abs(np.cumsum(q / n[..., None] - y / m[..., None], axis=-1)).max(-1)
        return np.asarray(kolmogorov(gap * np.sqrt(n * m / (n + m))))
    both = q + y
    expected = both * (m / (n + m))[..., None]
    with np.errstate(invalid="ignore", divide="ignore"):
        off = np.where(both > 0, (y - expected) ** 2 / expected * ((n + m) / n)[..., None], 0.0).sum(-1)
    return np.asarray(chdtrc(np.maximum((both > 0).sum(-1) - 1, 1), off))


def psi_values(total: Any, windows: Any, *, ordered: bool = True) -> Floats:
    """The index ``(C, T)``, over 10 bins of an ordered column, with half a row in each bin."""
    q, y = np.asarray(total, float)[:, None, :], np.asarray(windows, float)
    if ordered and y.shape[-1] > 10:
        at = np.linspace(0, y.shape[-1], 11).astype(int)[:-1]
        q, y = np.add.reduceat(q, at, axis=-1), np.add.reduceat(y, at, axis=-1)
    q, y = q + 0.5, y + 0.5
    return np.asarray(psi_of_shares(q / q.sum(-1, keepdims=True), y / y.sum(-1, keepdims=True)))


def chunk_distances(baseline: Any, windows: Any) -> tuple[Floats, Floats]:
    """Jensen-Shannon distances to the whole baseline of its own windows ``(C, B)`` and of others ``(C, T)``."""
    before, after = np.asarray(baseline, float), np.asarray(windows, float)
    total = before.sum(1, keepdims=True)
    q = total / total.sum(-1, keepdims=True)

    def distance(y: Floats) -> Floats:
        p = y / np.maximum(y.sum(-1, keepdims=True), 1)
        return np.asarray(np.sqrt(jensen_shannon_of_shares(np.broadcast_to(q, p.shape), p) / np.log(2)))

    return distance(before), distance(after)
