r"""Intervals: how far the truth may lie from a number that a finite window gave.

Proportions have Wilson's and Clopper and Pearson's interval, means Student's, the area under the ROC curve
DeLong's (from counts, so no rows are read again), ratios of counts (F1, MCC, average precision) the delta
method, and anything else of counts a bootstrap. All are two-sided and plain functions of numbers and arrays.

References
----------
E. B. Wilson, *Probable inference, the law of succession, and statistical inference*, JASA 22, 1927.
C. Clopper, E. Pearson, *The use of confidence or fiducial limits*, Biometrika 26, 1934.
E. DeLong, D. DeLong, D. Clarke-Pearson, *Comparing the areas under two or more correlated ROC curves*, 1988.
J. Hanley, B. McNeil, *The meaning and use of the area under a ROC curve*, Radiology 143, 1982.
R. Newcombe, *Confidence intervals for an effect size measure based on the Mann-Whitney statistic*, 2006.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp, isfinite, log, nan, sqrt

import numpy as np

from watchkeeper.domain.measurement import Interval
from watchkeeper.errors import BadInput


def normal_quantile(level: float) -> float:
    """How many standard errors to each side hold probability *level*.

    >>> round(normal_quantile(0.95), 4)
    1.96
    """
    from scipy.special import ndtri

    if not 0.0 < level < 1.0:
        raise BadInput(f"An interval's level lies between 0 and 1, not at {level!r}.", "Give 0.95, say.")
    return float(ndtri(0.5 + level / 2.0))


def wilson(successes: float, n: float, *, level: float = 0.95) -> Interval:
    """Wilson's score interval of a proportion; never leaves [0, 1], and holds for small *n*.

    Zero rows know nothing: the interval is then [0, 1].

    >>> i = wilson(8, 10)
    >>> round(i.low, 4), round(i.high, 4)
    (0.4902, 0.9433)
    """
    if n <= 0:
        return Interval(0.0, 1.0, level)
    z2 = normal_quantile(level) ** 2
    p = successes / n
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = sqrt(z2 * (max(p * (1 - p), 0.0) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    return Interval(
        0.0 if successes <= 0 else max(0.0, centre - half),
        1.0 if successes >= n else min(1.0, centre + half),
        level,
    )


def clopper_pearson(successes: float, n: float, *, level: float = 0.95) -> Interval:
    """The exact interval of a proportion: covers at least *level*, at the price of being wide.

    >>> i = clopper_pearson(0, 10)
    >>> i.low, round(i.high, 4)
    (0.0, 0.3085)
    """
    from scipy.special import betaincinv

    if n <= 0:
        return Interval(0.0, 1.0, level)
    tail = (1.0 - level) / 2.0
    low = 0.0 if successes <= 0 else float(betaincinv(successes, n - successes + 1, tail))
    high = 1.0 if successes >= n else float(betaincinv(successes + 1, n - successes, 1.0 - tail))
    return Interval(low, high, level)


def mean_interval(mean: float, variance: float, n: float, *, level: float = 0.95) -> Interval:
    """Student's interval of a mean; *variance* is the unbiased one (ddof 1) of single values.

    With fewer than two values nothing is known of the spread, and the interval is the whole line.

    >>> i = mean_interval(10.0, 4.0, 16)
    >>> round(i.low, 4), round(i.high, 4)
    (8.9343, 11.0657)
    """
    from scipy.special import stdtrit

    if n < 2 or not isfinite(variance):
        return Interval(-float("inf"), float("inf"), level)
    half = float(stdtrit(n - 1, 0.5 + level / 2)) * sqrt(max(variance, 0.0) / n)
    return Interval(mean - half, mean + half, level)


def skewed_mean_interval(
    mean: float, variance: float, n: float, largest: float, *, level: float = 0.95
) -> Interval:
    r"""An interval of the mean of numbers that are not negative and may be far from normal, such as squared errors.

    On the scale of the logarithm, with Student's quantile at :math:`n_e - 1` degrees of freedom, where
    :math:`n_e = n \bar x^2 / \overline{x^2}` is the number of equal values that would say as much; and above, room
    for values larger than any seen: :math:`k \max x / n` more, with :math:`k = n / (2 n_e)` between 1.5 and 4.
    Simulated 95% intervals of mean squares cover 96% for normal errors, 97% for exponential ones, 90 to 95% for
    Student's t3 (whose squares have no variance) and log-normal ones, with 30 to 1,000 rows.

    Parameters
    ----------
    variance : of single values, ddof 1.
    largest : the largest value.

    >>> i = skewed_mean_interval(1.0, 2.0, 100, 7.0)
    >>> round(i.low, 2), round(i.high, 2)
    (0.75, 1.47)
    """
    if n < 2 or not isfinite(variance) or not isfinite(mean):
        return Interval(0.0, float("inf"), level)
    if mean <= 0:
        return Interval(0.0, 0.0, level)
    quantile, unseen = tail_allowance(mean, variance, n, largest, level=level)
    reach = quantile * sqrt(max(variance, 0.0) / n) / mean
    if reach > 500:  # exp would leave the range of floats: nothing is known
        return Interval(0.0, float("inf"), level)
    return Interval(mean * exp(-reach), mean * (1 + unseen) * exp(reach), level)


def tail_allowance(
    mean: float, variance: float, n: float, largest: float, *, level: float = 0.95
) -> tuple[float, float]:
    """For `skewed_mean_interval`: how many standard errors to each side, and what share of the mean may be unseen.

    >>> quantile, unseen = tail_allowance(1.0, 2.0, 100, 7.0)
    >>> round(quantile, 2), round(unseen, 3)
    (2.04, 0.105)
    """
    from scipy.special import stdtrit

    alike = n * mean / (variance * (n - 1) / n + mean**2) * mean
    quantile = float(stdtrit(max(alike - 1, 1.0), 0.5 + level / 2))
    return quantile, min(max(n / alike / 2, 1.5), 4.0) * largest / (n * mean) if variance > 0 else 0.0


def mixed_loss_interval(counts: np.ndarray, losses: np.ndarray, *, level: float = 0.95) -> Interval:
    """An interval of the mean loss of scores, one class of which may be rare.

    The mean is :math:`(1 - p) L_0 + p L_1`. Where hardly a row of a class came, Student's interval of all losses
    together knows nothing of what its rows lose. So the share *p* has Clopper and Pearson's interval and each class's
    mean Student's own, within what the scores of all rows could lose at most and at least; with fewer than two rows of
    a class, up to what rows of it would lose on average if they were scored as all rows are. The parts are put
    together as in `sum_of_independent`.

    Parameters
    ----------
    counts : rows of each cell of the score by outcome 0 and 1, ``(2, cells)``.
    losses : what a row of the cell loses if its outcome is 0 or 1, ``(2, cells)``.

    >>> one = mixed_loss_interval(np.array([[90, 0], [0, 10]]), np.array([[0.01, 0.81], [0.81, 0.01]]))
    >>> round(one.low, 3), round(one.high, 3)
    (0.01, 0.01)
    """
    counts, losses = np.asarray(counts, float), np.asarray(losses, float)
    n = counts.sum(axis=1)
    total = float(n.sum())
    if total <= 0:
        return Interval(0.0, float("inf"), level)
    both = counts.sum(axis=0)
    held = both > 0
    means, low, high = np.zeros(2), np.zeros(2), np.zeros(2)
    for k in (0, 1):
        least, most = float(losses[k][held].min()), float(losses[k][held].max())
        as_all = float(both @ losses[k]) / total
        means[k] = float(counts[k] @ losses[k]) / n[k] if n[k] > 0 else as_all
        if n[k] >= 2:
            spread = float(counts[k] @ (losses[k] - means[k]) ** 2) / (n[k] - 1)
            own = mean_interval(float(means[k]), spread, float(n[k]), level=level)
            low[k], high[k] = max(own.low, least), min(own.high, most)
        else:
            low[k], high[k] = least, max(as_all, float(means[k]))
    p = float(n[1]) / total
    share = clopper_pearson(float(n[1]), total, level=level)
    mean = (1 - p) * float(means[0]) + p * float(means[1])

    # What more or fewer rows of the rare class would add, at the end of what its rows may lose.
    more = max((share.high - p) * float(high[1] - means[0]), (share.low - p) * float(means[1] - high[0]), 0.0)
    fewer = max(
        (p - share.low) * float(means[1] - means[0]), (p - share.high) * float(means[1] - means[0]), 0.0
    )
    up = ((1 - p) * (high[0] - means[0])) ** 2 + (p * (high[1] - means[1])) ** 2 + more**2
    down = ((1 - p) * (means[0] - low[0])) ** 2 + (p * (means[1] - low[1])) ** 2 + fewer**2
    # The scores of a few rows do not bound what others lose: never narrower than Student's interval of all losses.
    squares = float((counts * (losses - mean) ** 2).sum()) / (total - 1) if total > 1 else 0.0
    plain = mean_interval(mean, squares, total, level=level)
    return Interval(
        max(0.0, min(plain.low, mean - sqrt(float(down)))), max(plain.high, mean + sqrt(float(up))), level
    )


def hanley_mcneil_variance(auc: float, positives: float, negatives: float) -> float:
    """Variance of the area under the ROC curve when only the area is known (exponential scores assumed).

    >>> round(hanley_mcneil_variance(0.8, 50, 50) ** 0.5, 4)
    0.0445
    """
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = auc * (1 - auc) + (positives - 1) * (q1 - auc**2) + (negatives - 1) * (q2 - auc**2)
    return max(spread, 0.0) / (positives * negatives)


def delong_variance(positives: np.ndarray, negatives: np.ndarray) -> float:
    """Variance of the area under the ROC curve from counts in ascending cells of the score.

    It is DeLong's estimate on scores rounded to their cell, with rows of one cell taken as tied. NaN when a
    class has fewer than two rows.

    >>> round(delong_variance(np.array([1, 2, 3]), np.array([3, 2, 1])), 5)
    0.02284
    """
    pos, neg = np.asarray(positives, float), np.asarray(negatives, float)
    p, n = pos.sum(), neg.sum()
    if p < 2 or n < 2:
        return nan
    beaten = (np.cumsum(neg) - neg / 2) / n
    beating = 1.0 - (np.cumsum(pos) - pos / 2) / p
    auc = float(pos @ beaten) / p
    of_positives = float(pos @ (beaten - auc) ** 2) / (p - 1)
    of_negatives = float(neg @ (beating - auc) ** 2) / (n - 1)
    return float(of_positives / p + of_negatives / n)


def auc_interval(positives: np.ndarray, negatives: np.ndarray, *, level: float = 0.95) -> Interval:
    """DeLong's interval of the area under the ROC curve, on the logit scale so that it stays in [0, 1].

    DeLong's variance is too small for a nearly perfect score with few rows (simulated with 15 positives at an
    area of 0.96, a 95% interval covers 87%), and zero under full separation. Half a row of each class is
    therefore added at both ends of the score, as Agresti and Coull do for proportions; coverage then stays
    between 94% and 97%. Without rows of a class the interval is [0, 1].

    >>> i = auc_interval(np.array([10, 20, 30]), np.array([30, 20, 10]))
    >>> round(i.low, 3), round(i.high, 3)
    (0.621, 0.794)
    """
    pos, neg = np.asarray(positives, float), np.asarray(negatives, float)
    pairs = float(pos.sum()) * float(neg.sum())
    if pairs <= 0:
        return Interval(0.0, 1.0, level)
    auc = float(pos @ (np.cumsum(neg) - neg / 2)) / pairs
    pos, neg = (np.concatenate([[0.5], cells, [0.5]]) for cells in (pos, neg))
    padded = float(pos @ (np.cumsum(neg) - neg / 2)) / float(pos.sum() * neg.sum())
    found = delta_interval(padded, delong_variance(pos, neg), low=0.0, high=1.0, level=level)
    return Interval(min(found.low, auc), max(found.high, auc), level)


def delta_interval(
    value: float, variance: float, *, low: float | None = None, high: float | None = None, level: float = 0.95
) -> Interval:
    """A normal interval for *value* with sampling *variance*, on a scale where its limits are at infinity.

    With both limits the scale is the logit, with *low* only the logarithm, with none the value's own.

    >>> i = delta_interval(0.9, 0.0025, low=0.0, high=1.0)
    >>> round(i.low, 3), round(i.high, 3)
    (0.752, 0.964)
    """
    if not (isfinite(value) and isfinite(variance)):
        return Interval(-float("inf") if low is None else low, float("inf") if high is None else high, level)
    half = normal_quantile(level) * sqrt(max(variance, 0.0))
    if low is not None and high is not None and low < value < high:
        centre = log((value - low) / (high - value))
        reach = half * (high - low) / ((value - low) * (high - value))
        if reach > 500:  # exp would leave the range of floats: nothing is known
            return Interval(low, high, level)
        ends = [low + (high - low) / (1 + exp(-(centre + side * reach))) for side in (-1, 1)]
        return Interval(ends[0], ends[1], level)
    if low is not None and high is None and value > low:
        reach = half / (value - low)
        if reach > 500:
            return Interval(low, float("inf"), level)
        return Interval(low + (value - low) * exp(-reach), low + (value - low) * exp(reach), level)
    ends = [value - half, value + half]
    return Interval(
        ends[0] if low is None else max(low, ends[0]), ends[1] if high is None else min(high, ends[1]), level
    )


def variance_of_counts(function: Callable[[np.ndarray], float], counts: np.ndarray) -> float:
    """Sampling variance of a smooth *function* of multinomial *counts* ``(cells,)``, by the delta method.

    >>> share = lambda c: c[0] / c.sum()
    >>> round(variance_of_counts(share, np.array([20.0, 80.0])), 6)
    0.0016
    """
    counts = np.asarray(counts, float)
    n = counts.sum()
    step = 1e-5 * n
    slopes = np.empty(counts.size)
    for i in range(counts.size):
        bump = np.zeros(counts.size)
        bump[i] = step
        slopes[i] = (function(counts + bump) - function(counts - bump)) / (2 * step)
    return float(counts @ slopes**2 - (counts @ slopes) ** 2 / n)


def sum_of_independent(parts: list[tuple[float, float, Interval]]) -> Interval:
    r"""The interval of :math:`\sum_i w_i\theta_i` from each part's ``(weight, estimate, interval)``.

    "Square and add" (Zou and Donner's MOVER): it keeps the parts' asymmetry, which a normal interval loses.

    >>> parts = [(0.5, 0.9, wilson(90, 100)), (0.5, 0.8, wilson(40, 50))]
    >>> i = sum_of_independent(parts)
    >>> round(i.low, 3), round(i.high, 3)
    (0.775, 0.899)
    """
    total = sum(w * t for w, t, _ in parts)
    down = sum((w * (t - (i.low if w >= 0 else i.high))) ** 2 for w, t, i in parts)
    up = sum((w * ((i.high if w >= 0 else i.low) - t)) ** 2 for w, t, i in parts)
    return Interval(total - sqrt(down), total + sqrt(up), parts[0][2].level)


def bootstrap_interval(
    counts: np.ndarray,
    statistic: Callable[[np.ndarray], np.ndarray],
    *,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 20240229,
) -> Interval:
    """The percentile bootstrap from counts: rows are drawn again as a multinomial, so no row is needed.

    Parameters
    ----------
    counts : whole or scaled counts ``(cells,)``.
    statistic : takes resampled counts ``(draws, cells)``, gives values ``(draws,)``; NaN draws are left out.
    seed : the draws are the same every time, so that a number on a page does not flicker.

    >>> i = bootstrap_interval(np.array([80, 20]), lambda c: c[:, 0] / c.sum(axis=1))
    >>> 0.70 < i.low < 0.75 and 0.84 < i.high < 0.90
    True
    """
    counts = np.asarray(counts, float)
    total = counts.sum()
    if total < 1:
        return Interval(-float("inf"), float("inf"), level)
    drawn = np.random.default_rng(seed).multinomial(round(total), counts / total, size=draws)
    values = np.asarray(statistic(drawn.astype(float)), float)
    values = values[np.isfinite(values)]
    if values.size < draws / 2:
        return Interval(-float("inf"), float("inf"), level)
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), level)
