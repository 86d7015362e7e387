r"""A few labels and many guesses: prediction-powered means (PPI++).

Formula
-------
With :math:`f` a guess for every row (what CBPE expects of it, say) and :math:`y` known for :math:`n` of them,

.. math:: \hat\theta_\lambda = \bar y_n + \lambda\,(\bar f_N - \bar f_n), \qquad
          \lambda^* = \frac{\mathrm{cov}_n(y, f)}{(1 + n/N)\,\mathrm{var}(f)}

which is never less precise than the labels alone, however bad the guesses are, and as precise as
:math:`n / (1 - r^2)` labels where the guess correlates with the truth by :math:`r`. It is the only estimate here
that a change of concept cannot fool: its bias is measured on labels.

Rows that were chosen with unequal probabilities :math:`\pi_i` (see `label_choice`) are weighted by
:math:`1/\pi_i`.

References
----------
A. Angelopoulos, J. Duchi, T. Zrnic, *PPI++: efficient prediction-powered inference*, arXiv:2311.01453.
C.-E. Särndal, B. Swensson, J. Wretman, *Model Assisted Survey Sampling*, 1992 (difference estimator).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from watchkeeper.domain.measurement import Interval
from watchkeeper.errors import BadInput
from watchkeeper.stats.intervals import mean_interval


@dataclass(frozen=True, slots=True, kw_only=True)
class PoweredMean:
    """A mean, its interval, and how much the guesses helped."""

    value: float
    interval: Interval
    strength: float
    """The weight of the guesses: 0 leaves the labels alone."""
    labels: int
    rows: int
    worth: float
    """How many labels alone would be as precise."""


def ppi_mean(
    labels: Any, guesses_of_labelled: Any, guesses_of_others: Any, *, level: float = 0.95
) -> PoweredMean:
    """The mean of what the rows were drawn from, when rows to label were drawn at random.

    Parameters
    ----------
    labels, guesses_of_labelled : of the labelled rows ``(n,)``.
    guesses_of_others : of the rows without a label ``(N,)``.

    Raises
    ------
    BadInput
        fewer than two labels, or lengths differ.

    >>> rng = np.random.default_rng(0)
    >>> q = rng.random(10_000)
    >>> right = rng.random(10_000) < q
    >>> found = ppi_mean(right[:200], q[:200], q[200:])
    >>> bool(found.interval.low < right.mean() < found.interval.high), found.worth > 200
    (True, True)
    """
    y, f, g = (np.asarray(a, float) for a in (labels, guesses_of_labelled, guesses_of_others))
    if len(y) != len(f) or len(y) < 2:
        raise BadInput(
            f"There are {len(y)} labels and {len(f)} guesses of them; at least two of each are needed."
        )
    n, many = len(y), len(g)
    both = np.concatenate([f, g])
    spread = float(both.var(ddof=1))
    strength = 0.0
    if spread > 0 and many:
        strength = float(np.clip(np.cov(y, f)[0, 1] / ((1 + n / many) * spread), 0.0, 1.0))
    value = float(y.mean() + (strength * (g.mean() - f.mean()) if many else 0.0))
    rest = float((y - strength * f).var(ddof=1))
    variance = rest / n + (strength**2 * float(g.var(ddof=1)) / many if many > 1 else 0.0)
    alone = float(y.var(ddof=1))
    return PoweredMean(
        value=value,
        interval=mean_interval(value, variance * n, n, level=level),
        strength=strength,
        labels=n,
        rows=n + many,
        worth=alone / variance if variance > 0 else float(n),
    )


def ppi_mean_of_chosen(
    labels: Any, probabilities: Any, guesses: Any, labelled: Any, *, level: float = 0.95
) -> PoweredMean:
    r"""The window's own mean, when rows to label were chosen with known probabilities.

    .. math:: \hat\theta = \frac1N\Big[\sum_i \lambda f_i + \sum_{i \in s} \frac{y_i - \lambda f_i}{\pi_i}\Big]

    Parameters
    ----------
    labels, probabilities : of the labelled rows ``(n,)``; each row's chance of having been chosen.
    guesses : of all rows ``(N,)``.
    labelled : places of the labelled rows among them ``(n,)``.

    Raises
    ------
    BadInput
        fewer than two labels, lengths differ, or a probability is not in (0, 1].

    >>> found = ppi_mean_of_chosen([1, 0, 1], [1.0, 1.0, 1.0], [0.9, 0.2, 0.7], [0, 1, 2])
    >>> round(found.value, 3)
    0.667
    """
    y, pi, f = (np.asarray(a, float) for a in (labels, probabilities, guesses))
    at = np.asarray(labelled, np.intp)
    if not len(y) == len(pi) == len(at) or len(y) < 2:
        raise BadInput(
            f"There are {len(y)} labels, {len(pi)} probabilities and {len(at)} places; two are needed."
        )
    if not ((pi > 0) & (pi <= 1)).all():
        raise BadInput("Each chosen row's probability lies between 0 and 1, and is not 0.")
    n, total, own = len(y), len(f), f[at]
    loads = (1 - pi) / pi**2

    def variance_of(r: Any) -> float:
        # Poisson sampling about the weighted mean: what the fixed size of the choice takes away is left out.
        centre = float((r / pi).sum() / (1 / pi).sum())
        return float((loads * (r - centre) ** 2).sum()) / total**2 * n / (n - 1)

    centred = own - float((own / pi).sum() / (1 / pi).sum())
    scale = float((loads * centred**2).sum())
    strength = float(np.clip((loads * centred * y).sum() / scale, 0.0, 1.0)) if scale > 0 else 0.0
    rest = y - strength * own
    # Hajek's ratio for the rest: the sum of weights is known to be the number of rows.
    value = float(strength * f.mean() + (rest / pi).sum() / (1 / pi).sum())
    variance = variance_of(rest)
    alone = variance_of(y)
    return PoweredMean(
        value=value,
        interval=mean_interval(value, variance * n, n, level=level),
        strength=strength,
        labels=n,
        rows=total,
        worth=n * alone / variance if variance > 0 else float(n),
    )
