r"""Broken window: does this one window plainly differ from what the baseline's own windows do?

Evidence over time (`column_evidence`) asks whether a change lasts. This asks about one window, and answers in it.

Formula
-------
A *contrast* is one statistic: :math:`\delta`, a window's deviation from the whole baseline; :math:`\delta_i`, that
of each of the baseline's B windows from the others; their sampling variances :math:`v` and :math:`v_i`; and
:math:`G`, half the likelihood ratio of the window against the baseline. A window is broken where both hold, at a
chance :math:`\alpha` a test (the share of the budget over the tests of a year):

1. *Rows*: :math:`\sqrt{2G} > z_\alpha`.
2. *Windows*:

.. math:: |\delta| > \max\Big(\text{matters},\; f\sqrt{\max\big(k^2 L^2,\; t_\alpha^2 s^2 (1 + \tfrac1B)\big)
   + z_\alpha^2 \max(0, v - \operatorname{med} v_i)}\Big)

:math:`L = \max_i |\delta_i|`, :math:`s` the standard deviation of the baseline's windows, :math:`t_\alpha` Student's
quantile with :math:`B - 1` degrees, :math:`k = 2 + 10/B` for how few they are (at least 4 where their tails are heavy).
The last term is how unequal sizes enter; a limit is never lowered for a larger window, since a small baseline window
hides how much windows vary. Windows that hang together (lag-1 correlation r) show less of that, so
:math:`f^2 = \frac{1 + 1/B'}{1 - 1/B'} \cdot \frac{1 - 1/B}{1 + 1/B}` with :math:`B' = B\,\frac{1 - r}{1 + r}`.

Statistics
----------
- `location`: :math:`\sqrt2\,\Phi^{-1}(\text{mean rank})`, in standard deviations of a normal column; .2 matters;
- `distribution`: :math:`2\Phi^{-1}\big(\tfrac{1 + D}2\big)` with D the Kolmogorov-Smirnov distance; .25;
- `share`: :math:`\arcsin\sqrt p`, and where it moved by 15 points the signed root of the likelihood ratio too; 1 point;
- `rate`: that root alone, for accuracy and rates of error; 1 point;
- `measured`: any value with a standard error, or its logarithm; what matters is the caller's.

What is promised
----------------
About one window a year, on average, is said to be broken that is not. That is an average of simulated deployments
(`tests/laws/test_null_replay_broken_window.py`), not a bound: it holds where days vary without heavy tails and hang
together no more than .6. `promise` says so, or that nothing is promised.

References
----------
R. DerSimonian, N. Laird, *Meta-analysis in clinical trials*, Controlled Clinical Trials 7, 1986.
S. S. Wilks, *The large-sample distribution of the likelihood ratio*, Annals of Mathematical Statistics 9, 1938.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.domain.rule import NO_GUARANTEE
from watchkeeper.errors import BadInput

Floats = NDArray[np.float64]

FEWEST_WINDOWS = 10
"""Baseline windows that the rule needs. With fewer the limit is too wide to find anything, or a guess."""
MOST_CORRELATED = 0.65
"""The largest lag-1 correlation between windows for which the promise was confirmed: .6, and the error of its estimate."""
MOST_GROWTH = 4.0
"""Rows of a window, in median baseline windows, up to which the promise was confirmed: small ones hide heavy tails."""
HEAVY, LIGHT = 0.25, 0.2
"""Mean log ratio of the largest to the second largest deviation: from here tails are heavy, and for normal days."""
BIG_SHARE = 0.15
SMALL_SHARE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contrast:
    """One statistic of T windows, beside that of the baseline's B windows. Leading dimensions are free (columns)."""

    deviation: Floats
    """Of each window from the whole baseline ``(..., T)``."""
    usual: Floats
    """Of each baseline window from the others ``(..., B)``."""
    noise: Floats
    """Sampling variance of ``deviation`` ``(..., T)``."""
    usual_noise: Floats
    """Sampling variance of ``usual`` ``(..., B)``."""
    surprise: Floats
    """Half the likelihood ratio of each window against the baseline ``(..., T)``, natural units."""
    matters: float
    """Smallest deviation that matters, on this statistic's scale."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Verdicts:
    """What the rule says of each window ``(..., T)``."""

    broken: NDArray[np.bool_]
    limit: Floats
    """The deviation that would have been broken."""
    sampling: Floats
    """How many standard errors the rows alone would be off: the root of the likelihood ratio."""


def judged(
    contrast: Contrast,
    *,
    chance: float,
    correlation: float = 0.0,
    heavy: bool = False,
    worse: int = 0,
) -> Verdicts:
    """Apply the rule.

    Parameters
    ----------
    chance : that one test is wrong, if windows differ by their rows alone.
    correlation : of neighbouring baseline windows (see `lag_one_of`).
    heavy : whether the baseline's windows show heavy tails (see `heavy_tails`).
    worse : 1 if only a higher value is worse, -1 if only a lower one, 0 for either.

    Raises
    ------
    BadInput
        fewer than ten baseline windows, or a chance that is none.

    >>> rng = np.random.default_rng(0)
    >>> days = rng.multinomial(500, np.full(20, 0.05), size=20)
    >>> window = rng.multinomial(500, np.linspace(0.4, 1.6, 20) / 20, size=1)
    >>> bool(judged(location(window, days), chance=1e-5).broken[0])
    True
    """
    usual = contrast.usual
    windows = usual.shape[-1]
    if windows < FEWEST_WINDOWS:
        raise BadInput(
            f"To judge one window takes at least {FEWEST_WINDOWS} baseline windows, not {windows}.",
            "Cut the baseline into shorter windows, or give a longer one.",
        )
    if not 0 < chance < 1:
        raise BadInput(f"A chance lies between 0 and 1, not at {chance}.")
    from scipy.special import ndtri, stdtrit

    one_sided = chance if worse else chance / 2
    z = float(-ndtri(one_sided / 2))
    student = float(-stdtrit(windows - 1, one_sided))
    k = 2 + 10 / windows
    if heavy:
        k = max(k, 4.0)
    widest = np.abs(usual).max(-1, keepdims=True)
    # A deviation from the others, times (B - 1) / B, is the residual of the mean of all.
    variance = ((usual * (windows - 1) / windows) ** 2).sum(-1, keepdims=True) / (windows - 1)
    more_noise = np.maximum(0.0, contrast.noise - np.median(contrast.usual_noise, axis=-1, keepdims=True))
    limit = _hidden(windows, correlation) * np.sqrt(
        np.maximum(k**2 * widest**2, student**2 * variance * (1 + 1 / windows)) + z**2 * more_noise
    )
    limit = np.maximum(contrast.matters, limit)
    sampling = np.sqrt(2 * np.maximum(contrast.surprise, 0.0))
    broken = (sampling > z) & (np.abs(contrast.deviation) > limit)
    if worse:
        broken &= np.sign(contrast.deviation) == worse
    return Verdicts(broken=broken, limit=limit, sampling=sampling)


def _hidden(windows: int, correlation: float) -> float:
    """How much wider new windows spread around the baseline's mean than dependent baseline windows show."""
    worth = max(windows * (1 - correlation) / (1 + correlation), 2.5)
    return float(np.sqrt((1 + 1 / worth) / (1 - 1 / worth) * (1 - 1 / windows) / (1 + 1 / windows)))


def lag_one_of(usual: Floats, noise: Floats) -> float:
    """Return the lag-1 correlation of what days do to the baseline's windows, pooled over columns ``(..., B)``.

    Sampling errors *noise* are independent, so their share of the variance is taken off (at most three quarters of
    it), and so is the bias of a short series: :math:`(r B + 1)/(B - 3)`, held within 0 and .9.
    """
    left = usual - usual.mean(-1, keepdims=True)
    power = (left**2).sum(-1)
    windows, known = usual.shape[-1], power > 0
    if not known.any():
        return 0.0
    products = ((left[..., 1:] * left[..., :-1]).sum(-1)[known] / power[known]).sum()
    of_days = np.maximum(1 - (noise.sum(-1)[known] / power[known]).mean(), 0.25) * known.sum()
    return float(np.clip((products / of_days * windows + 1) / (windows - 3), 0.0, 0.9))


def tail_of(usual: Floats, noise: Floats) -> float:
    """Return the mean log ratio of the largest to the second largest deviation, over columns ``(..., B)``.

    Deviations are brought to one variance first, by their sampling *noise* and the variance between days (DerSimonian
    and Laird's estimate). It is about .2 for normal days and .35 for Student's t with 3 degrees.
    """
    weight = 1 / np.maximum(noise, 1e-12)
    all_weight = weight.sum(-1, keepdims=True)
    mean = (weight * usual).sum(-1, keepdims=True) / all_weight
    q = (weight * (usual - mean) ** 2).sum(-1, keepdims=True) - (usual.shape[-1] - 1)
    of_days = np.maximum(0.0, q) / (all_weight - (weight**2).sum(-1, keepdims=True) / all_weight)
    ordered = np.sort(np.abs(usual) / np.sqrt(noise + of_days + 1e-12), axis=-1).reshape(-1, usual.shape[-1])
    known = ordered[:, -2] > 0
    return float(np.log(ordered[known, -1] / ordered[known, -2]).mean()) if known.any() else 0.0


def heavy_tails(usual: Floats, noise: Floats) -> bool:
    """Whether the baseline's windows show days with heavy tails; few columns must show it more clearly."""
    columns = usual.reshape(-1, usual.shape[-1]).shape[0]
    return tail_of(usual, noise) > max(HEAVY, LIGHT * (1 + 1.645 / np.sqrt(columns)))


def promise(*, a_year: float, correlation: float, heavy: bool, growth: float = 1.0) -> tuple[str, str]:
    """Return what the rule promises and what that assumes; the first says so where nothing is promised.

    *growth* is how many times as many rows as the baseline's median window has the window that is judged.

    >>> promise(a_year=1, correlation=0.1, heavy=False)[0]
    'on average about 1 window a year is called broken in this deployment that is not'
    """
    if correlation > MOST_CORRELATED:
        return NO_GUARANTEE, (
            f"neighbouring baseline windows hang together (correlation {correlation:.2f}), so they show too little of how "
            "much windows differ"
        )
    if heavy:
        return NO_GUARANTEE, (
            "some baseline windows are far from the others, so more such days, about one a month, will be called broken"
        )
    if growth > MOST_GROWTH:
        return NO_GUARANTEE, (
            f"this window has {growth:.0f} times the rows of the baseline's windows, which show little of how much such large "
            "windows differ; a new baseline would help"
        )
    windows = "window a year is" if a_year == 1 else "windows a year are"
    return (
        f"on average about {a_year:g} {windows} called broken in this deployment that {windows[-3:].strip()} not",
        (
            "if days vary without heavy tails and hang together no more than 0.6: an average from simulation, not a bound"
        ),
    )


# -- statistics --------------------------------------------------------------------------------------------


def location(windows: NDArray[Any], baseline: NDArray[Any]) -> Contrast:
    """Contrast the typical value of an ordered column: counts ``(..., T, K)`` beside ``(..., B, K)``."""
    y, b, m, n, total, rows = _ordered(windows, baseline)
    share = total / np.maximum(rows, 1)[..., None]
    middle = np.cumsum(share, -1) - share / 2
    centre = (middle * share).sum(-1)[..., None]
    variance = (middle**2 * share).sum(-1)[..., None] - centre**2
    others = total[..., None, :] - b

    def mean_rank(counts: Floats, of: Floats) -> Floats:
        return np.where(of > 0, (counts * middle[..., None, :]).sum(-1) / np.maximum(of, 1), centre)

    rank = mean_rank(y, m)
    rest = rows[..., None] - n
    noise, usual_noise = _variances(m, n, rows)
    raw = variance * noise
    return Contrast(
        deviation=_probit(rank) - _probit(centre),
        usual=_probit(mean_rank(b, n)) - _probit(mean_rank(others, rest)),
        noise=4 * np.pi * raw,
        usual_noise=4 * np.pi * variance * usual_noise,
        surprise=np.divide((rank - centre) ** 2, 2 * raw, out=np.zeros_like(raw), where=raw > 0),
        matters=0.2,
    )


def distribution(windows: NDArray[Any], baseline: NDArray[Any]) -> Contrast:
    """Contrast the whole distribution of an ordered column: counts ``(..., T, K)`` beside ``(..., B, K)``."""
    y, b, m, n, total, rows = _ordered(windows, baseline)
    others = total[..., None, :] - b

    def gap(left: Floats, right: Floats) -> Floats:
        f = np.cumsum(left, -1) / np.maximum(left.sum(-1, keepdims=True), 1)
        g = np.cumsum(right, -1) / np.maximum(right.sum(-1, keepdims=True), 1)
        return np.abs(f - g).max(-1)

    d = np.where(m > 0, gap(y, total[..., None, :]), 0.0)
    noise, usual_noise = _variances(m, n, rows)
    return Contrast(
        deviation=_probit_of_gap(d),
        usual=_probit_of_gap(gap(b, others)),
        noise=2 * np.pi * 0.25 * noise,
        usual_noise=2 * np.pi * 0.25 * usual_noise,
        surprise=2 * d**2 / noise,
        matters=0.25,
    )


def share(hits: Any, rows: Any, baseline_hits: Any, baseline_rows: Any) -> tuple[Contrast, Contrast]:
    """Contrast a share of rows (missing, one category): counts ``(..., T)`` beside ``(..., B)``.

    Two contrasts, and either is enough: on the arcsine scale, and where the share moved by 15 points also the
    root of the likelihood ratio, which sees a rare share in small windows.
    """
    x, m, xb, n = (np.asarray(a, dtype=float) for a in (hits, rows, baseline_hits, baseline_rows))
    plain = rate(x, m, xb, n)
    all_hits, all_rows = xb.sum(-1, keepdims=True), n.sum(-1, keepdims=True)
    moved = _over(x, m) - _over(all_hits, all_rows)
    noise, usual_noise = _variances(m, n, all_rows[..., 0])
    arcs = Contrast(
        deviation=np.where(
            np.abs(moved) <= SMALL_SHARE, 0.0, _arc(_over(x, m)) - _arc(_over(all_hits, all_rows))
        ),
        usual=_arc(_over(xb, n)) - _arc(_over(all_hits - xb, all_rows - n)),
        noise=0.25 * noise,
        usual_noise=0.25 * usual_noise,
        surprise=plain.surprise,
        matters=1e-9,
    )
    big = Contrast(
        deviation=np.where(np.abs(moved) < BIG_SHARE, 0.0, plain.deviation),
        usual=plain.usual,
        noise=plain.noise,
        usual_noise=plain.usual_noise,
        surprise=plain.surprise,
        matters=1e-9,
    )
    return arcs, big


def rate(hits: Any, rows: Any, baseline_hits: Any, baseline_rows: Any) -> Contrast:
    """Contrast a rate (accuracy, errors among requests): counts ``(..., T)`` beside ``(..., B)``.

    Its scale is the signed root of the likelihood ratio for each root of a row, so that it grows with the
    distance in information and not in points.
    """
    x, m, xb, n = (np.asarray(a, dtype=float) for a in (hits, rows, baseline_hits, baseline_rows))
    all_hits, all_rows = xb.sum(-1, keepdims=True), n.sum(-1, keepdims=True)
    moved = _over(x, m) - _over(all_hits, all_rows)
    own = _over(xb, n) - _over(all_hits - xb, all_rows - n)
    surprise = _surprise(x, m, all_hits, all_rows)
    noise, usual_noise = _variances(m, n, all_rows[..., 0])
    root = np.sign(moved) * np.sqrt(2 * surprise * noise)
    return Contrast(
        deviation=np.where(np.abs(moved) <= SMALL_SHARE, 0.0, root),
        usual=np.sign(own) * np.sqrt(2 * _surprise(xb, n, all_hits - xb, all_rows - n) * usual_noise),
        noise=noise,
        usual_noise=usual_noise,
        surprise=surprise,
        matters=1e-9,
    )


def measured(
    values: Any,
    errors: Any,
    baseline_values: Any,
    baseline_errors: Any,
    *,
    matters: float,
    logarithm: bool = False,
) -> Contrast:
    """Contrast a measured value with its standard error: ``(..., T)`` beside ``(..., B)``.

    With *logarithm* the logarithm of a positive value (a mean error, a latency, a count of rows) is judged, and
    *matters* is on that scale: 0.1 is ten percent. The error of a new window is the larger of its own and the usual
    one, since an error that is estimated from a lucky window is too small.
    """
    v, e, vb, eb = (np.asarray(a, dtype=float) for a in (values, errors, baseline_values, baseline_errors))
    if logarithm:
        small = np.finfo(float).tiny
        e, eb = e / np.maximum(v, small), eb / np.maximum(vb, small)
        v, vb = np.log(np.maximum(v, small)), np.log(np.maximum(vb, small))
    windows = vb.shape[-1]
    mean = vb.mean(-1, keepdims=True)
    usual = (eb**2).mean(-1, keepdims=True)
    noise = np.maximum(e**2, usual) + usual / windows
    deviation = v - mean
    return Contrast(
        deviation=deviation,
        usual=(vb - mean) * windows / (windows - 1),
        noise=noise,
        usual_noise=eb**2 + usual / (windows - 1),
        surprise=np.divide(deviation**2, 2 * noise, out=np.full_like(deviation, np.inf), where=noise > 0),
        matters=matters,
    )


def any_broken(verdicts: Sequence[Verdicts]) -> NDArray[np.bool_]:
    """Whether one of several verdicts on the same windows says so."""
    return np.any([v.broken for v in verdicts], axis=0)


# -- arithmetic --------------------------------------------------------------------------------------------


def _ordered(windows: NDArray[Any], baseline: NDArray[Any]) -> tuple[Floats, ...]:
    y, b = np.asarray(windows, dtype=float), np.asarray(baseline, dtype=float)
    total = b.sum(-2)
    return y, b, y.sum(-1), b.sum(-1), total, total.sum(-1)


def _variances(rows: Floats, baseline_rows: Floats, all_rows: Floats) -> tuple[Floats, Floats]:
    """1/m + 1/N of windows against the baseline, and of its own windows against the others."""
    n = all_rows[..., None]
    return (
        1 / np.maximum(rows, 1) + 1 / np.maximum(n, 1),
        1 / np.maximum(baseline_rows, 1) + 1 / np.maximum(n - baseline_rows, 1),
    )


def _over(hits: Floats, rows: Floats) -> Floats:
    return np.divide(hits, rows, out=np.zeros(np.broadcast_shapes(hits.shape, rows.shape)), where=rows > 0)


def _arc(p: Floats) -> Floats:
    return np.arcsin(np.sqrt(np.clip(p, 0.0, 1.0)))


def _probit(mean_rank: Floats) -> Floats:
    from scipy.special import ndtri

    return np.sqrt(2) * ndtri(np.clip(mean_rank, 1e-4, 1 - 1e-4))


def _probit_of_gap(gap: Floats) -> Floats:
    from scipy.special import ndtri

    return 2 * ndtri(np.minimum((1 + gap) / 2, 1 - 1e-4))


def _surprise(x: Floats, m: Floats, x0: Floats, n0: Floats) -> Floats:
    """Half the likelihood ratio of two shares: m kl(p, pooled) + n0 kl(p0, pooled)."""
    pooled = np.clip(_over(x + x0, m + n0), 1e-12, 1 - 1e-12)
    return np.maximum(m * _kl(_over(x, m), pooled) + n0 * _kl(_over(x0, n0), pooled), 0.0)


def _kl(p: Floats, q: Floats) -> Floats:
    from scipy.special import xlogy

    return xlogy(p, p / q) + xlogy(1 - p, (1 - p) / (1 - q))
