r"""Label shift: how much more frequent each class has become, when what a class looks like stays the same.

Formula
-------
With :math:`C_{ji} = P(\hat y = j, y = i)` of the baseline and :math:`\mu_j` the window's share of decisions,

.. math:: C w = \mu, \qquad w_i = P_\text{window}(y = i) / P_\text{baseline}(y = i)

(black box shift estimation). The check asks whether the whole distribution of scores, in 20 groups, is a mixture
of the baseline's two: Hansen's J statistic of the best mixture against chi-square. Where it is refused, rows of a
class do not look as they did, and :math:`w` means nothing.

References
----------
Z. Lipton, Y. Wang, A. Smola, *Detecting and correcting for label shift with black box predictors*, ICML 2018.
M. Saerens, P. Latinne, C. Decaestecker, *Adjusting the outputs of a classifier to new a priori probabilities*, 2002.
L. Hansen, *Large sample properties of generalized method of moments estimators*, Econometrica 50, 1982.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.domain.measurement import Interval
from watchkeeper.errors import BadInput
from watchkeeper.stats.estimation.calibrated import DRAWS, SEED, calibrate
from watchkeeper.stats.estimation.calibration import Curve
from watchkeeper.stats.estimation.cbpe import estimate, judged, wanted_metrics
from watchkeeper.stats.estimation.contradiction import contradiction
from watchkeeper.stats.estimation.estimate import Estimate
from watchkeeper.stats.intervals import normal_quantile
from watchkeeper.stats.states.score_table import NEGATIVE, POSITIVE, ScoreTable, lattice

Floats = NDArray[np.float64]

GROUPS = 20
_LEVEL = 0.01


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LabelShift:
    """``weights`` ``(k,)`` and the window's class ``shares`` ``(k,)``, each with its standard error."""

    weights: Floats
    shares: Floats
    share_sd: Floats
    condition: float
    """Smallest singular value of the confusion; near 0 the decisions say nothing of the classes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreShift:
    """The window's share of positives, and whether its scores are a mixture of the baseline's two kinds."""

    share: float
    interval: Interval
    baseline_share: float
    check_p: float

    @property
    def holds(self) -> bool:
        """Whether the check allows it (at 1%)."""
        return self.check_p >= _LEVEL


def bbse(confusion: Any, predicted: Any) -> LabelShift:
    """Estimate class weights from a baseline's *confusion* and the window's counts of *predicted* classes.

    Parameters
    ----------
    confusion : counts ``(k, k)``; row is the actual class, column the predicted one.
    predicted : counts ``(k,)`` in the window.

    Raises
    ------
    BadInput
        a class never occurred, or decisions are independent of classes, so that nothing can be solved.

    >>> found = bbse([[80, 20], [10, 90]], [60, 140])
    >>> found.shares.round(3).tolist()
    [0.286, 0.714]
    """
    counts, seen = np.asarray(confusion, float), np.asarray(predicted, float)
    n, m, k = counts.sum(), seen.sum(), len(seen)
    if n <= 0 or m <= 0 or (counts.sum(axis=1) <= 0).any():
        raise BadInput("A class of the confusion has no rows, so its share in the window cannot be known.")
    c, mu, prior = counts.T / n, seen / m, counts.sum(axis=1) / n
    condition = float(np.linalg.svd(c / prior, compute_uv=False)[-1])
    if condition < 1e-6:
        raise BadInput(
            "The model decides the same way whatever the class is: decisions tell no classes apart."
        )
    inverse = np.linalg.inv(c / prior)  # from decisions to classes: columns are P(decision | class)
    shares = inverse @ mu
    spread = inverse @ ((np.diag(mu) - np.outer(mu, mu)) / m) @ inverse.T
    for i in range(k):
        column = counts[i] / counts[i].sum()
        of_column = (np.diag(column) - np.outer(column, column)) / counts[i].sum()
        spread = spread + shares[i] ** 2 * inverse @ of_column @ inverse.T
    clipped = np.maximum(shares, 0.0)
    clipped = clipped / clipped.sum()
    return LabelShift(
        weights=clipped / prior,
        shares=clipped,
        share_sd=np.sqrt(np.maximum(np.diag(spread), 0.0)),
        condition=condition,
    )


def score_shift(
    baseline: ScoreTable, window: ScoreTable, *, threshold: float = 0.5, level: float = 0.95
) -> ScoreShift:
    """The share of positives in *window* if only class shares moved, and the check that only they did.

    Raises
    ------
    BadInput
        the baseline lacks outcomes of a class, the window has no scores, or decisions tell no classes apart.

    >>> rng = np.random.default_rng(0)
    >>> s = rng.random(20_000)
    >>> y = rng.random(20_000) < s
    >>> kept = y | (rng.random(20_000) < 0.5)            # half of the negatives are gone
    >>> found = score_shift(ScoreTable.of(s[:9_999], y[:9_999]), ScoreTable.of(s[9_999:][kept[9_999:]]))
    >>> round(found.share, 1), found.holds
    (0.7, True)
    """
    cuts = lattice()
    at = int(np.searchsorted(cuts, threshold, side="right"))
    neg, pos = baseline.counts[NEGATIVE].astype(float), baseline.counts[POSITIVE].astype(float)
    seen = window.counts.sum(axis=0).astype(float)
    if not seen.sum():
        raise BadInput("The window has no score between 0 and 1.")
    confusion = [[neg[:at].sum(), neg[at:].sum()], [pos[:at].sum(), pos[at:].sum()]]
    found = bbse(confusion, [seen[:at].sum(), seen[at:].sum()])
    half = normal_quantile(level) * float(found.share_sd[1])
    share = float(found.shares[1])
    return ScoreShift(
        share=share,
        interval=Interval(max(0.0, share - half), min(1.0, share + half), level),
        baseline_share=float(pos.sum() / (pos.sum() + neg.sum())),
        check_p=_mixture_p(neg, pos, seen),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Reweighted:
    """A curve for other class shares: the odds of each score times *odds*."""

    inner: Curve
    odds: float
    name: str = "label shift"

    def __call__(self, scores: Floats) -> Floats:
        q = self.inner(scores)
        return q * self.odds / (q * self.odds + 1 - q)


def estimate_label_shift(
    baseline: ScoreTable,
    window: ScoreTable,
    *,
    names: Iterable[str] | None = None,
    threshold: float = 0.5,
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = SEED,
) -> dict[str, Estimate]:
    """CBPE when class shares have moved: every calibrated probability is adjusted to the shares found.

    Unreliable where the check says that more than shares has moved.

    Raises
    ------
    NotFound
        a name is not a metric.

    >>> rng = np.random.default_rng(0)
    >>> s = rng.random(20_000)
    >>> y = rng.random(20_000) < s
    >>> kept = y | (rng.random(20_000) < 0.5)
    >>> first, then = slice(0, 9_999), np.flatnonzero(kept)[np.flatnonzero(kept) > 9_999]
    >>> found = estimate_label_shift(ScoreTable.of(s[first], y[first]), ScoreTable.of(s[then]))["precision"]
    >>> round(found.value, 1), round(float(y[then][s[then] >= 0.5].mean()), 1)
    (0.9, 0.9)
    """
    plain = estimate(baseline, window, names=names, threshold=threshold, level=level, draws=2, seed=seed)
    if all(e.value is None for e in plain.values()):
        return plain
    try:
        shift = score_shift(baseline, window, threshold=threshold)
    except BadInput as refusal:
        return {name: Estimate.impossible(name, refusal.what, method="bbse") for name in plain}
    metrics = wanted_metrics(names)
    fitted = calibrate(baseline, [window], threshold=threshold, draws=draws, seed=seed)
    prior = shift.baseline_share

    def odds_of(share: Any) -> Any:
        share = np.clip(share, 1e-6, 1 - 1e-6)
        return share / (1 - share) * (1 - prior) / prior

    sd = (shift.interval.high - shift.interval.low) / (2 * normal_quantile(shift.interval.level))
    rng = np.random.default_rng(seed + 3)
    odds = odds_of(shift.share + sd * rng.standard_normal(draws))[:, None]

    def drawn(scores: Floats, with_shares: bool = True) -> Floats:
        q = fitted.drawn_probabilities(scores)
        o = odds if with_shares else odds_of(shift.share)
        return np.asarray(q * o / (q * o + 1 - q), np.float64)

    curve = _Reweighted(fitted.curve, float(odds_of(shift.share)))
    moved = replace(fitted, curve=curve, drawn_probabilities=drawn)
    held = replace(moved, drawn_probabilities=lambda scores: drawn(scores, False))
    cells, sums = window.counts.sum(axis=0).astype(float), window.sums.sum(axis=0)
    found, without = moved.measure(cells, sums, metrics), held.measure(cells, sums, metrics)
    out = {}
    for name, metric in metrics.items():
        value, sampling, both = found[name]
        calibrating = min(without[name][2], both)
        out[name] = Estimate.of(
            name,
            value,
            {"sampling": sampling, "calibration": calibrating, "weights": both - calibrating},
            low=metric.low,
            high=metric.high,
            level=level,
            undefined=metric.undefined,
            rows=float(cells.sum()),
            baseline_rows=baseline.labelled,
            method="bbse",
            details={"threshold": threshold, "positive_share": shift.share, "check_p": shift.check_p},
        )
    out = judged(out, baseline=baseline, window=window, contradicted=contradiction(moved, [window]))
    if shift.holds:
        return out
    reason = (
        f"More than the share of classes has moved: the window's scores are no mixture of the baseline's "
        f"(p = {shift.check_p:.2g})."
    )
    return {name: e if e.value is None else e.doubted(reason) for name, e in out.items()}


def _mixture_p(neg: Floats, pos: Floats, seen: Floats) -> float:
    """p of the J statistic: the window's shares in groups against the best mixture of both classes'."""
    from scipy.optimize import minimize_scalar
    from scipy.special import chdtrc

    upto = np.cumsum(neg / neg.sum() + pos / pos.sum() + seen / seen.sum())
    starts = np.unique(
        np.concatenate([[0], np.searchsorted(upto, upto[-1] * np.arange(1, GROUPS) / GROUPS) + 1])
    )
    starts = starts[starts < seen.size]
    f0, f1, mu = (np.add.reduceat(a, starts) / a.sum() for a in (neg, pos, seen))
    kept = slice(0, len(starts) - 1)  # shares sum to one: the last follows from the others

    def spread(f: Floats, n: float) -> Floats:
        f = np.maximum(f, 0.5 / n)
        return ((np.diag(f) - np.outer(f, f)) / n)[kept, kept]

    of_window, of_0, of_1 = (spread(f, a.sum()) for f, a in ((mu, seen), (f0, neg), (f1, pos)))

    def statistic(share: float) -> float:
        gap = (mu - share * f1 - (1 - share) * f0)[kept]
        v = of_window + share**2 * of_1 + (1 - share) ** 2 * of_0
        return float(gap @ np.linalg.solve(v, gap))

    if len(starts) < 3:
        return 1.0
    best = minimize_scalar(statistic, bounds=(0.0, 1.0), method="bounded").fun
    return float(chdtrc(len(starts) - 2, best))
