r"""Rank e-process: has a sequence of windows stopped looking like the windows before it?

Each window is one number (a score). If windows are exchangeable, the rank of a new one among all before it is
uniform and independent of the past, whatever the distribution of scores and whatever happens within a window.
Betting on those ranks is a fair game, so the capital :math:`M_t` is at least :math:`c` *ever* with
probability at most :math:`1/c` (Ville): it may be looked at after every window.

Formula
-------
The alternative is Lehmann's: from window :math:`s` on, scores follow :math:`F^\theta`. With
:math:`r_1 < \dots < r_l` the ranks of the last :math:`l = t - s + 1` windows among all :math:`N`, and
:math:`r_{l+1} = N + 1`,

.. math:: \ln E(\theta, s) = l \ln\theta - \sum_{i=1}^{l}
   \Big[\ln\frac{\Gamma(r_{i+1} + (\theta-1) i)}{\Gamma(r_i + (\theta-1) i)}
        - \ln\frac{\Gamma(r_{i+1})}{\Gamma(r_i)}\Big],

.. math:: M_t = \sum_s w_s \operatorname{mean}_\theta E(\theta, s),\qquad
   w_s = \frac{\ln 9.5}{(s+9)\ln^2(s+9)},\quad \sum_s w_s \le 1 .

For fixed :math:`s` the likelihood ratio is a martingale in the filtration of the ranks, and 1 before
:math:`s`; the mixture over :math:`s` is one too. Only some :math:`s` are computed at a time (`LENGTHS`), and of
those only terms above 1e-4: less than the mixture, so still valid.

Seasons: ranks are taken within strata. If windows are exchangeable within each stratum, the ranks of different
strata are independent, so the likelihood ratios of one :math:`s` multiply.

Cost: O(N log N) a series and window; nothing but the scores is stored.

References
----------
E. L. Lehmann, *The power of rank tests*, Annals of Mathematical Statistics 24, 1953.
I. R. Savage, *Contributions to the theory of rank order statistics*, 1956 (the likelihood of ranks).
G. Shafer, V. Vovk, *Game-Theoretic Foundations for Probability and Finance*, 2019.
"""

from __future__ import annotations

from functools import lru_cache
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_FLOOR = log(1e-4)
"""Terms smaller than this are left out of M, which must grow past 25 to matter."""

_TOPS = np.r_[0.5 ** np.arange(10, 3, -1), np.arange(3, 32) / 32, 1 - 0.5 ** np.arange(4, 11), 1.0]

THETAS: tuple[int, ...] = (4, 15, 60, 250)
LENGTHS: tuple[int, ...] = (
    *range(1, 11),
    12,
    14,
    16,
    20,
    24,
    32,
    40,
    48,
    64,
    80,
    96,
    128,
    192,
    256,
    384,
    512,
    768,
)


def change_weight(s: float | NDArray[Any]) -> Any:
    """Return the share of belief that the change came with window *s* = 1, 2, ...: they sum to less than 1.

    >>> bool(change_weight(np.arange(1.0, 1e6)).sum() < 1)
    True
    """
    shifted = np.asarray(s, dtype=float) + 9
    return log(9.5) / (shifted * np.log(shifted) ** 2)


def log_lehmann(ranks: NDArray[np.integer[Any]], n: int, theta: int) -> Floats:
    """Return ln E ``(...)`` of the sorted *ranks* ``(..., l)`` (1 to n) of the last l among *n* scores.

    >>> E = np.exp([log_lehmann(np.array([[r]]), 50, 15)[0] for r in range(1, 51)])
    >>> round(float(E.mean()), 9)
    1.0
    """
    length = ranks.shape[-1]
    step = theta - 1
    table = _log_gamma(n + 2 + step * length)
    at = ranks + step * np.arange(1, length + 1)
    total: Floats = (table[at] - table[at - step]).sum(-1)
    return total + length * log(theta) - (table[n + 1 + step * length] - table[n + 1])


def log_evidence(
    scores: Floats,
    *,
    reference: int,
    first: int = 1,
    strata: NDArray[np.integer[Any]] | None = None,
) -> tuple[Floats, Ints]:
    """Return the evidence after the last window, for both tails of every series.

    Parameters
    ----------
    scores : ``(S, N)``, oldest first, without ties; the first *reference* of them (the baseline, and windows
        of earlier epochs) are not suspected.
    reference : how many windows come before the first suspect.
    first : the number of the first suspect among all production windows (1 unless an epoch was begun).
    strata : the season of each window ``(N,)``, or None.

    Returns
    -------
    ln M ``(S, 2)`` for high and low scores, and the number of suspect windows in the largest term ``(S, 2)``.
    With no suspect window ln M is -inf and the number 0; otherwise ln M is at least ln 1e-4.
    """
    scores = np.atleast_2d(scores)
    many, n = scores.shape
    suspects = n - reference
    if suspects <= 0:
        return np.full((many, 2), -np.inf), np.zeros((many, 2), np.int64)
    seasons = np.zeros(n, int) if strata is None else np.asarray(strata)
    sizes = np.bincount(seasons)
    return log_evidence_of_ranks(ranks_of_last(scores, suspects, strata), sizes, seasons[-suspects:], first)


def log_evidence_of_ranks(
    ranks: NDArray[np.integer[Any]], sizes: NDArray[Any], seasons: NDArray[Any], first: int
) -> tuple[Floats, Ints]:
    """As `log_evidence`, of the *ranks* ``(S, suspects)``, each within its season of *sizes* windows."""
    many, suspects = ranks.shape
    lengths = np.array([length for length in LENGTHS if length <= suspects], np.int64)
    weights = np.log(change_weight(first + suspects - lengths))
    terms = np.full((len(lengths), many, 2), -np.inf)
    for row, length in enumerate(lengths):
        terms[row] = weights[row] + _mean_over_theta(
            ranks[:, suspects - length :], sizes, seasons[suspects - length :], _FLOOR - weights[row]
        )
    return np.maximum(_log_sum_exp(terms, 0), _FLOOR), lengths[terms.argmax(0)]


def evidence_bound(ranks: NDArray[np.integer[Any]], n: int, first: int) -> Floats:
    """Return a quick upper bound of ln M ``(S,)`` for high scores, of the *ranks* ``(S, suspects)`` among *n*.

    E rises with every rank, so ranks are rounded up to a few values, dense at both ends; a run of equal ranks
    then costs two look-ups. For replays, where almost no column is worth the exact sum.
    """
    many, suspects = ranks.shape
    lengths = np.array([length for length in LENGTHS if length <= suspects], np.int64)
    tops = np.unique(np.ceil(n * _TOPS).astype(np.int64))
    cell = np.searchsorted(tops, ranks[:, suspects - lengths[-1] :][:, ::-1])
    counts = np.empty((many, len(tops), len(lengths)), np.int64)
    for k in range(len(tops)):
        counts[:, k] = np.add.reduceat(cell == k, np.r_[0, lengths[:-1]], axis=1, dtype=np.int64)
    counts = counts.cumsum(2).cumsum(1)  # windows at or below each top, for each length
    before = np.concatenate([np.zeros_like(counts[:, :1]), counts[:, :-1]], axis=1)
    best = []
    for theta in THETAS:
        step = theta - 1
        table = _log_gamma(n + 2 + step * int(lengths[-1]))
        total = (table[tops[:, None] + step * counts] - table[tops[:, None] + step * before]).sum(1)
        total += lengths * log(theta) - (table[n + 1 + step * lengths] - table[n + 1])
        best.append(total)
    terms = (
        _log_sum_exp(np.stack(best), 0) - log(len(THETAS)) + np.log(change_weight(first + suspects - lengths))
    )
    return np.maximum(_log_sum_exp(terms, 1), _FLOOR)


def ranks_of_last(scores: Floats, tail: int, strata: NDArray[Any] | None = None) -> NDArray[np.int32]:
    """Return the ranks ``(S, tail)`` of the last windows of *scores* ``(S, N)``, each within its stratum."""
    n = scores.shape[1]
    if strata is None:
        return _ranks(scores)[:, n - tail :]
    ranks = np.empty((len(scores), tail), np.int32)
    for g in np.unique(strata[-tail:]):
        members = np.flatnonzero(strata == g)
        recent = members[members >= n - tail] - (n - tail)
        ranks[:, recent] = _ranks(scores[:, members])[:, len(members) - len(recent) :]
    return ranks


def _ranks(scores: Floats) -> NDArray[np.int32]:
    many, n = scores.shape
    ranks = np.empty((many, n), np.int32)
    np.put_along_axis(ranks, np.argsort(scores, axis=1), np.arange(1, n + 1, dtype=np.int32)[None, :], axis=1)
    return ranks


def _mean_over_theta(
    ranks: NDArray[np.integer[Any]], sizes: NDArray[Any], seasons: NDArray[Any], floor: float
) -> Floats:
    """Return ln of the mean over theta of E, both tails ``(S, 2)``; terms below *floor* are left out.

    Almost all of them are, by a bound that costs one multiplication (see `_bound`): that is what makes it
    cheap to look at every column after every window.
    """
    many = len(ranks)
    groups = np.unique(seasons) if len(sizes) > 1 else np.zeros(1, int)
    inside = [(ranks if len(groups) == 1 else ranks[:, seasons == g], int(sizes[g])) for g in groups]
    bound = np.zeros((len(THETAS), many, 2))
    for part, size in inside:
        constant, slope = _bound(part.shape[1], size)
        high = part.sum(1)
        sums = np.stack([high, part.shape[1] * (size + 1) - high], axis=1)
        bound += constant[:, None, None] + slope[:, None, None] * sums
    need = bound >= floor
    total = np.full(bound.shape, -np.inf)
    for side in (0, 1):
        rows = np.flatnonzero(need[:, :, side].any(0))
        if not len(rows):
            continue
        ordered = [(np.sort(part[rows], axis=1), size) for part, size in inside]
        if side:
            ordered = [(size + 1 - part[:, ::-1], size) for part, size in ordered]
        for k, theta in enumerate(THETAS):
            chosen = np.flatnonzero(need[k, rows, side])
            if len(chosen):
                total[k, rows[chosen], side] = sum(log_lehmann(part[chosen], n, theta) for part, n in ordered)
    return _log_sum_exp(total, 0) - log(len(THETAS))


@lru_cache(maxsize=32768)
def _bound(length: int, n: int) -> tuple[Floats, Floats]:
    r"""Return a, b ``(thetas,)`` with :math:`\ln E \le a + b \sum_i r_i` for any ranks.

    ln E is a sum of concave functions of the sorted ranks, so each is below its tangent at the rank that is
    usual under the null. The slopes fall with i and the ranks rise, so their mean may stand for each of them
    (Chebyshev's sum inequality).
    """
    i = np.arange(1, length + 1)
    usual = np.maximum(1, (i * (n + 1)) // (length + 1))
    step = np.array(THETAS)[:, None] - 1
    tangents = np.log1p(step / (usual + step * (i - 1)))
    at_usual = np.array([log_lehmann(usual, n, theta) for theta in THETAS])
    return at_usual - (tangents * usual).sum(1), tangents.mean(1)


def _log_sum_exp(terms: Floats, axis: int) -> Floats:
    top = terms.max(axis)
    safe = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        out: Floats = safe + np.log(np.exp(terms - np.expand_dims(safe, axis)).sum(axis))
    return out


_table: Floats = np.zeros(0)


def _log_gamma(size: int) -> Floats:
    """Return ln Gamma of 0, 1, ..., at least *size* (at 0 it stands for nothing), from a table that grows."""
    global _table
    if len(_table) <= size:
        grown = max(size + 1, 2 * len(_table), 4096)
        fresh = np.zeros(grown)
        np.cumsum(np.log(np.arange(1.0, grown - 1)), out=fresh[2:])
        _table = fresh  # assigned whole, so that threads see either table
    return _table
