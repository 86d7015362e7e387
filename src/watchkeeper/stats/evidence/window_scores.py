r"""Window scores: a handful of numbers that say how one window of a column differs from the baseline.

The window is the unit of evidence, because rows of one day are not independent. So a window's counts over a
few bins become *scores*, and a new window's scores are ranked among those of the baseline's own windows.

Scores
------
With :math:`u_k` the baseline's mid-rank of bin :math:`k`, :math:`y_k` the window's counts, :math:`m` its rows:

- ``location`` :math:`\sum_k y_k u_k / m`; ``spread`` :math:`\sum_k y_k |2u_k - 1| / m`;
- ``missing`` :math:`\arcsin\sqrt{\text{share of missing rows}}`;
- ``omnibus`` :math:`\ln(1 + \chi^2)`, the two-sample chi-square of the window against the baseline (for the
  baseline's own windows: against the others), missing rows being a bin of their own;
- a column of categories has :math:`\arcsin\sqrt{\text{share}}` of each category in place of the first two.

Two refinements keep windows of unequal size comparable. A window smaller than the baseline's usual one
(:math:`m_0`, the median) has noisier scores, so its deviation is shrunk to the usual noise,
:math:`\sqrt{v(m_0)/v(m)}` with :math:`v(m) = s_b^2 + c/m`; a larger one has a larger chi-square for the same
deviation, which is scaled back by :math:`m_0/m`. Where all windows have one size neither does anything.

A window with more than four times the rows of the baseline's usual one is scored on so many of its rows, drawn without
replacement: beside a much larger window the error of a small baseline would look like a change. Effects are measured on
all rows. The draw is seeded by the counts themselves, so the same window always gets the same score.

Ties are broken by a jitter of 1e-9 that is a stable hash of (column, window, score): folding the same windows
again gives the same scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.errors import BadInput
from watchkeeper.stats.evidence.payload import pack, unpack
from watchkeeper.stats.hashing import hash_texts, mix

Floats = NDArray[np.float64]

_JITTER = 1e-9
MOST_ROWS = 4
"""How many usual windows of the baseline a window is scored on at most. One is exact by construction and slow; with four no
deployment of 94 with growing traffic fired, and most changes are found as soon as without."""


def group_bins(counts: NDArray[Any], bins: int = 20) -> NDArray[np.intp]:
    """Assign *k* fine bins to at most *bins* groups that hold about equal shares of *counts* ``(k,)``.

    Returns the group of each fine bin ``(k,)``, non-decreasing from 0, so that
    ``np.add.at(out, groups, window_counts)`` coarsens a window. A bin is never split: a value that holds much
    of the column keeps a group of its own.

    >>> group_bins(np.array([1, 1, 1, 1, 4, 0, 2, 2]), bins=4)
    array([0, 0, 0, 1, 2, 2, 3, 3])
    """
    counts = np.asarray(counts, dtype=float)
    total = counts.sum()
    if counts.ndim != 1 or total <= 0:
        raise BadInput("Bins can only be grouped by counts of one dimension with at least one row.")
    middle = (np.cumsum(counts) - counts / 2) / total
    raw = np.minimum((middle * bins).astype(int), bins - 1)
    return np.unique(raw, return_inverse=True)[1].astype(np.intp)


def jitter(column: str, windows: NDArray[np.integer[Any]], series: int) -> Floats:
    """Return the tie breakers ``(len(windows), series)`` in [0, 1e-9): a stable hash of what they stand for.

    >>> bool((jitter("age", np.array([3, 4]), 2)[1] == jitter("age", np.array([4]), 2)[0]).all())
    True
    """
    seed = hash_texts([column])[0]
    cell = (np.asarray(windows, dtype=np.int64)[:, None] << 12) + np.arange(series)
    words = mix((cell.astype(np.uint64) ^ seed).reshape(-1)).reshape(cell.shape)
    return (words >> np.uint64(11)).astype(float) * (_JITTER / 2**53)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WindowScorer:
    """What is needed of the baseline in order to score a window, for one column or many of one shape.

    Arrays may have leading dimensions (columns), written ``...``. ``K`` is the number of bins, one more for
    missing rows; ``J`` the number of scores; ``G`` the number of strata (seasons; 1 if none).
    """

    ordered: bool
    totals: Floats
    """Baseline rows by bin, missing last ``(..., K + 1)``."""
    usual_rows: Floats
    """Median rows of a baseline window ``(...)``."""
    score_mean: Floats
    """Mean score of the baseline's windows, by stratum ``(..., G, J)``."""
    score_excess: Floats
    """Variation of scores between windows beyond sampling, standard deviation ``(..., J)``."""
    effect_mean: Floats
    """As ``score_mean``, of effects (location and spread in mean rank, shares, phi-square) ``(..., G, J)``."""
    effect_excess: Floats
    """As ``score_excess``, of effects ``(..., J)``."""
    widest_gap: Floats
    """Largest distance of one baseline window from the others (see `break_rule`) ``(...)``."""

    @classmethod
    def of(
        cls,
        counts: NDArray[Any],
        missing: NDArray[Any] | None = None,
        *,
        ordered: bool = True,
        strata: NDArray[np.integer[Any]] | None = None,
    ) -> tuple[WindowScorer, Floats, Floats]:
        """Learn from a baseline's windows; return the scorer and the scores and effects ``(..., B, J)``.

        Parameters
        ----------
        counts : rows by bin of each baseline window ``(..., B, K)``.
        missing : missing rows of each window ``(..., B)``; None: no window has any.
        ordered : whether the bins have an order (a numeric column) or are categories.
        strata : the stratum of each window, 0 to G - 1 ``(B,)``; None: all are alike.

        Raises
        ------
        BadInput
            fewer than two windows, an empty window, or a stratum with a single window.
        """
        y = _with_missing(counts, missing)
        if y.ndim < 2 or y.shape[-2] < 2:
            raise BadInput("A baseline needs at least two windows to show how windows differ.")
        rows = y.sum(-1)
        if (rows <= 0).any() or (ordered and (rows <= y[..., -1]).any()):
            raise BadInput("A baseline window has no rows.", "Leave empty windows out of the baseline.")
        groups = np.zeros(y.shape[-2], int) if strata is None else np.asarray(strata)
        per_group = np.bincount(groups)
        if strata is not None and per_group[per_group > 0].min() < 2:
            raise BadInput(
                "A season has only one window in the baseline, so there is nothing to rank against.",
                "Keep a longer baseline, or use coarser seasons.",
            )
        totals = y.sum(-2)
        blank = cls(
            ordered=ordered,
            totals=totals,
            usual_rows=np.median(rows, axis=-1),
            score_mean=np.zeros(0),
            score_excess=np.zeros(0),
            effect_mean=np.zeros(0),
            effect_excess=np.zeros(0),
            widest_gap=np.zeros(0),
        )
        scores, effects = blank._raw(y, totals[..., None, :] - y)
        score_mean, score_excess = _between(scores, blank._score_noise(rows), groups)
        effect_mean, effect_excess = _between(effects, blank._effect_noise(rows), groups)
        gap = blank.distance(y, totals[..., None, :] - y).max(-1)
        scorer = cls(
            ordered=ordered,
            totals=totals,
            usual_rows=blank.usual_rows,
            score_mean=score_mean,
            score_excess=score_excess,
            effect_mean=effect_mean,
            effect_excess=effect_excess,
            widest_gap=gap,
        )
        return scorer, scorer._steadied(scores, rows, groups), effects

    @property
    def bins(self) -> int:
        """K, without the bin of missing rows."""
        return self.totals.shape[-1] - 1

    @property
    def names(self) -> tuple[str, ...]:
        """The scores' names, J of them, in order; a category's name is its bin: ``share:3``."""
        if self.ordered:
            return ("location", "spread", "missing", "omnibus")
        return (*(f"share:{k}" for k in range(self.bins)), "missing", "omnibus")

    @property
    def baseline_rows(self) -> Floats:
        """All rows of the baseline ``(...)``."""
        return self.totals.sum(-1)

    def score(
        self,
        counts: NDArray[Any],
        missing: NDArray[Any] | None = None,
        *,
        strata: NDArray[np.integer[Any]] | None = None,
    ) -> tuple[Floats, Floats]:
        """Return the scores and effects ``(..., T, J)`` of T new windows with *counts* ``(..., T, K)``.

        A window without rows gets NaN.
        """
        y = _with_missing(counts, missing)
        scores, effects = self._raw(y, self.totals[..., None, :])
        thin = _thinned(y, np.floor(MOST_ROWS * self.usual_rows))
        if thin is not y:
            scores, _ = self._raw(thin, self.totals[..., None, :])
        groups = np.zeros(y.shape[-2], int) if strata is None else np.asarray(strata)
        return self._steadied(scores, thin.sum(-1), groups), effects

    def distance(self, y: Floats, reference: Floats) -> Floats:
        """Return the largest gap of the distribution functions (ordered), or of one share (categories).

        Both arguments count missing rows in their last bin ``(..., K + 1)``; missing is lowest in the order.
        """
        p = y / np.maximum(y.sum(-1, keepdims=True), 1)
        q = reference / np.maximum(reference.sum(-1, keepdims=True), 1)
        gap = p - q
        if self.ordered:
            gap = np.cumsum(np.concatenate([gap[..., -1:], gap[..., :-1]], axis=-1), axis=-1)
        return np.abs(gap).max(-1)

    def sampling_noise(self, rows: Floats) -> Floats:
        """Return the standard deviation ``(..., J)`` of effects from sampling alone, *rows* ``(...)``."""
        return np.sqrt(self._effect_noise(rows))

    def to_payload(self) -> dict[str, Any]:
        """Plain values; `of_payload` reads them back bit for bit."""
        out: dict[str, Any] = {"ordered": self.ordered}
        for name in _ARRAYS:
            out[name] = pack(getattr(self, name))
        return out

    @classmethod
    def of_payload(cls, payload: dict[str, Any]) -> WindowScorer:
        """Read what `to_payload` wrote."""
        return cls(ordered=bool(payload["ordered"]), **{name: unpack(payload[name]) for name in _ARRAYS})

    # ---------------------------------------------------------------------------------------- inside

    def _raw(self, y: Floats, reference: Floats) -> tuple[Floats, Floats]:
        n = y.sum(-1)
        with np.errstate(invalid="ignore", divide="ignore"):
            shares = y / n[..., None]
            chi2 = _chi_square(y, reference, n)
            cells = np.maximum((self.totals > 0).sum(-1) - 1, 1)[..., None]
            phi2 = (chi2 - cells) / n
            # A larger window shows the same deviation with a larger chi-square: brought to the usual size.
            scale = np.minimum(1.0, self.usual_rows[..., None] / n)
            chi2 = np.where(chi2 > cells, cells + (chi2 - cells) * scale, chi2)
            tests = np.log1p(chi2)
            if not self.ordered:
                return (
                    np.concatenate([np.arcsin(np.sqrt(shares)), tests[..., None]], axis=-1),
                    np.concatenate([shares, phi2[..., None]], axis=-1),
                )
            seen = self.totals[..., :-1]
            total = np.maximum(seen.sum(-1, keepdims=True), 1)
            u = (np.cumsum(seen, axis=-1) - seen / 2) / total
            inner, m = y[..., :-1], n - y[..., -1]
            # All rows missing: location and spread say nothing, so they sit where the baseline does.
            m_safe = np.maximum(m, 1)
            location = np.where(m > 0, np.einsum("...tk,...k->...t", inner, u) / m_safe, 0.5)
            spread = np.einsum("...tk,...k->...t", inner, np.abs(2 * u - 1)) / m_safe
            usual_spread = (seen / total * np.abs(2 * u - 1)).sum(-1)[..., None]
            spread = np.where(m > 0, spread, usual_spread)
            empty = np.where(n > 0, 0.0, np.nan)
            location, spread = location + empty, spread + empty
            gone = shares[..., -1]
            return (
                np.stack([location, spread, np.arcsin(np.sqrt(gone)), tests], axis=-1),
                np.stack([location, spread, gone, phi2], axis=-1),
            )

    def _score_noise(self, rows: Floats) -> Floats:
        """Variance of scores from sampling ``(..., J)``; the last, omnibus, has its own remedy (infinity)."""
        inverse = 1 / np.maximum(rows, 1)[..., None]
        one = np.ones(self.bins + 1) / 4
        c = np.array([1 / 12, 1 / 12, 1 / 4]) if self.ordered else one
        return np.concatenate([inverse * c, np.full_like(inverse, np.inf)], axis=-1)

    def _effect_noise(self, rows: Floats) -> Floats:
        inverse = 1 / np.maximum(rows, 1)[..., None]
        share = self.totals / np.maximum(self.totals.sum(-1, keepdims=True), 1)
        variance = share * (1 - share)
        extra = inverse.ndim - variance.ndim
        if self.ordered:
            gone = variance[..., -1:].reshape(*variance.shape[:-1], *([1] * extra), 1)
            first = [inverse / 12, inverse / 12, inverse * gone]
        else:
            first = [inverse * variance.reshape(*variance.shape[:-1], *([1] * extra), -1)]
        cells = np.maximum((self.totals > 0).sum(-1) - 1, 1)
        phi2 = 2.0 * cells.reshape(*cells.shape, *([1] * (inverse.ndim - cells.ndim)))
        return np.concatenate([*first, phi2 * inverse**2], axis=-1)

    def _steadied(self, scores: Floats, rows: Floats, groups: NDArray[Any]) -> Floats:
        noise = self._score_noise(rows)
        usual = self._score_noise(self.usual_rows)[..., None, :]
        excess = self.score_excess[..., None, :] ** 2
        with np.errstate(invalid="ignore"):
            factor = np.sqrt((excess + usual) / (excess + noise))
        factor[..., -1] = 1.0
        if (factor >= 1).all():
            return scores
        mean = self.score_mean[..., groups, :]
        return np.where(factor < 1, mean + (scores - mean) * factor, scores)


_ARRAYS = (
    "totals",
    "usual_rows",
    "score_mean",
    "score_excess",
    "effect_mean",
    "effect_excess",
    "widest_gap",
)


def _with_missing(counts: NDArray[Any], missing: NDArray[Any] | None) -> Floats:
    y = np.asarray(counts, dtype=float)
    gone = np.zeros(y.shape[:-1]) if missing is None else np.asarray(missing, dtype=float)
    return np.concatenate([y, np.broadcast_to(gone, y.shape[:-1])[..., None]], axis=-1)


def _thinned(y: Floats, most: Floats) -> Floats:
    """At most *most* ``(...)`` rows of each window ``(..., T, K)``, drawn without replacement."""
    rows = np.rint(y.sum(-1))
    many = np.argwhere(rows > most[..., None])
    if not len(many):
        return y
    out = y.copy()
    whole = np.rint(y[tuple(many.T)]).astype(np.int64)
    keep = np.minimum(
        np.maximum(np.broadcast_to(most[..., None], rows.shape)[tuple(many.T)], 1), whole.sum(-1)
    )
    seeds = hash_texts([counts.tobytes() for counts in whole])
    out[tuple(many.T)] = [
        np.random.default_rng(int(seed)).multivariate_hypergeometric(counts, int(n), method="marginals")
        for seed, counts, n in zip(seeds, whole, keep, strict=True)
    ]
    return out


def _chi_square(y: Floats, reference: Floats, n: Floats) -> Floats:
    n0 = reference.sum(-1)
    both = y + reference
    a, b = np.sqrt(n0 / n)[..., None], np.sqrt(n / n0)[..., None]
    return (np.square(y * a - reference * b) / np.where(both > 0, both, 1)).sum(-1)


def _between(values: Floats, noise: Floats, groups: NDArray[Any]) -> tuple[Floats, Floats]:
    """Means by stratum ``(..., G, J)`` and the variation within strata that sampling does not explain."""
    means = np.stack(
        [
            values[..., groups == g, :].mean(-2)
            if (groups == g).any()
            else np.full_like(values[..., 0, :], np.nan)
            for g in range(groups.max() + 1)
        ],
        axis=-2,
    )
    left = values - means[..., groups, :]
    degrees = max(values.shape[-2] - len(np.unique(groups)), 1)
    variance = (left**2).sum(-2) / degrees
    return means, np.sqrt(np.maximum(0.0, variance - np.where(np.isfinite(noise), noise, 0).mean(-2)))
