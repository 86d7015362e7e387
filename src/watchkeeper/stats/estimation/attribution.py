r"""What moved, and what it cost: a change of performance split into rows and concept, and into columns.

Method
------
With baseline rows weighted by :math:`w_S` to look like the window's in the columns :math:`S`, and :math:`\ell`
the loss of a row,

.. math:: v(S) = \sum_i w_{S,i}\,\ell_i \Big/ \sum_i w_{S,i}, \qquad
          R_w - R_b = \underbrace{v(\text{all}) - R_b}_{\text{covariate}} + \underbrace{R_w - v(\text{all})}_{\text{conditional}}

The covariate part is what other *rows* would have cost with the old relation of rows to outcomes; the conditional
part is that relation's own change (concept), together with what no column shows. The covariate part is shared out
among columns by Shapley's value of :math:`v`: exact for up to 8 columns (or groups of columns), else over sampled
orders and their reverses. The columns' shares sum to the covariate part.

Intervals come from influence: every quantity here is a smooth function of means over rows and of the weights'
coefficients, so each row's effect on it is known, and their squares sum to its variance.

Limits
------
Two columns that move together share what they cost. Where weights are few (see ``effective_rows``) nothing holds.

References
----------
H. Zhang, H. Singh, M. Ghassemi, S. Joshi, *"Why did the model fail?": attributing model performance changes to
distribution shifts*, ICML 2023 (arXiv:2210.10769).
T. Cai, H. Namkoong, S. Yadlowsky, *Diagnosing model performance under distribution shift* (DISDE), 2023.
L. Shapley, *A value for n-person games*, 1953.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import factorial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.domain.measurement import Interval
from watchkeeper.errors import BadInput
from watchkeeper.stats.estimation.importance_weights import DensityRatio, density_ratio, weight_doubts
from watchkeeper.stats.intervals import normal_quantile

Floats = NDArray[np.float64]

EXACT_UP_TO = 8
MOST_ROWS = 2_000


@dataclass(frozen=True, slots=True)
class Part:
    """A share of a change, in the unit of the loss."""

    value: float
    interval: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """How a mean loss changed from baseline to window, and by what.

    ``total`` and ``conditional`` are None while the window has no outcomes.
    """

    baseline: float
    window: float | None
    total: Part | None
    covariate: Part
    conditional: Part | None
    columns: Mapping[str, Part]
    effective_rows: float
    domain_auc: float
    reliable: bool
    reasons: tuple[str, ...]
    exact: bool
    """Whether Shapley's values were summed over all orders of columns."""


def attribute_change(
    baseline_losses: Any,
    baseline_rows: Any,
    window_rows: Any,
    columns: Sequence[str],
    *,
    window_losses: Any = None,
    window_known: Any = None,
    level: float = 0.95,
    orders: int = 10,
    seed: int = 0,
) -> Change:
    """Split the change of a mean loss, and share its covariate part out among columns.

    Parameters
    ----------
    baseline_losses : each baseline row's loss ``(n,)``.
    baseline_rows, window_rows : columns as finite numbers ``(n, d)`` and ``(m, d)``.
    columns : the name behind each of the ``d`` dimensions; dimensions of one name move together.
    window_losses : losses of window rows with an outcome; None where none has arrived.
    window_known : bool ``(m,)``, which window rows these are; None means all.
    orders : sampled orders of columns where there are more than 8 (each is also taken in reverse).

    Raises
    ------
    BadInput
        lengths differ.

    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(size=(2000, 2)), rng.normal([0.7, 0.0], 1, size=(2000, 2))
    >>> loss = lambda rows: rows[:, 0] + rng.normal(0, 0.1, len(rows))
    >>> found = attribute_change(loss(x), x, y, ["a", "b"], window_losses=loss(y) + 0.3)
    >>> [round(part.value, 1) + 0.0 for part in (found.covariate, found.conditional, *found.columns.values())]
    [0.7, 0.3, 0.7, 0.0]
    """
    losses = np.asarray(baseline_losses, float)
    x, y = np.asarray(baseline_rows, float), np.asarray(window_rows, float)
    if len(losses) != len(x) or x.shape[1] != len(columns) or y.shape[1] != len(columns):
        raise BadInput(
            f"There are {len(losses)} losses, {len(x)} baseline rows of {x.shape[1]} columns, "
            f"{y.shape[1]} columns in the window, and {len(columns)} names."
        )
    full = density_ratio(x, y, columns=columns)
    z = normal_quantile(level)
    n, m = len(x), len(y)

    def part(value: float, influence: Floats) -> Part:
        half = z * float(np.sqrt(influence @ influence))
        return Part(value, Interval(value - half, value + half, level))

    base, of_base = _mean(losses, n, m, first=0)
    shifted, of_shifted = _shifted(losses, full)
    total = conditional = window = None
    if window_losses is not None:
        known = np.arange(m) if window_known is None else np.flatnonzero(np.asarray(window_known, bool))
        came = np.asarray(window_losses, float)
        if len(came) != len(known):
            raise BadInput(f"There are {len(came)} losses for {len(known)} window rows with an outcome.")
        if len(came) >= 2:
            window = float(came.mean())
            of_window = np.zeros(n + m)
            of_window[n + known] = (came - window) / len(came)
            total = part(window - base, of_window - of_base)
            conditional = part(window - shifted, of_window - of_shifted)
    rng = np.random.default_rng(seed)
    few = [rng.permutation(size)[: min(size, MOST_ROWS)] for size in (n, m)]
    game = _Game(losses[few[0]], x[few[0]], y[few[1]], tuple(columns))
    shares, exact = game.shapley(orders, rng)
    # The game may be played on fewer rows: the little that this changes is shared out equally, so that sums agree.
    gap = (shifted - base - sum(value for value, _ in shares.values())) / max(len(shares), 1)
    doubts = weight_doubts(full)
    return Change(
        baseline=base,
        window=window,
        total=total,
        covariate=part(shifted - base, of_shifted - of_base),
        conditional=conditional,
        columns={name: part(value + gap, influence) for name, (value, influence) in shares.items()},
        effective_rows=full.effective,
        domain_auc=full.auc,
        reliable=not doubts,
        reasons=tuple(doubts),
        exact=exact,
    )


class _Game:
    """The value of every set of columns, and each row's influence on it, remembered."""

    def __init__(self, losses: Floats, x: Floats, y: Floats, columns: tuple[str, ...]) -> None:
        self._losses, self._x, self._y = losses, x, y
        self._players = tuple(dict.fromkeys(columns))
        self._dimensions = {p: [i for i, c in enumerate(columns) if c == p] for p in self._players}
        self._known: dict[frozenset[str], tuple[float, Floats]] = {
            frozenset(): _mean(losses, len(x), len(y), first=0)
        }

    def value(self, members: frozenset[str]) -> tuple[float, Floats]:
        if members not in self._known:
            at = [i for p in self._players if p in members for i in self._dimensions[p]]
            ratio = density_ratio(self._x[:, at], self._y[:, at], judge=False)
            self._known[members] = _shifted(self._losses, ratio)
        return self._known[members]

    def shapley(self, orders: int, rng: np.random.Generator) -> tuple[dict[str, tuple[float, Floats]], bool]:
        k = len(self._players)
        zero = np.zeros(len(self._x) + len(self._y))
        out = dict.fromkeys(self._players, (0.0, zero))

        def add(player: str, before: frozenset[str], weight: float) -> None:
            (v0, i0), (v1, i1) = self.value(before), self.value(before | {player})
            value, influence = out[player]
            out[player] = (value + weight * (v1 - v0), influence + weight * (i1 - i0))

        if k <= EXACT_UP_TO:
            for player in self._players:
                others = [p for p in self._players if p != player]
                for size in range(k):
                    weight = factorial(size) * factorial(k - size - 1) / factorial(k)
                    for coalition in combinations(others, size):
                        add(player, frozenset(coalition), weight)
            return out, True
        drawn = [rng.permutation(k) for _ in range(orders)]
        for order in [*drawn, *(d[::-1] for d in drawn)]:
            before: frozenset[str] = frozenset()
            for place in order.tolist():
                add(self._players[place], before, 1.0 / (2 * len(drawn)))
                before = before | {self._players[place]}
        return out, False


def _mean(losses: Floats, n: int, m: int, *, first: int) -> tuple[float, Floats]:
    influence = np.zeros(n + m)
    value = float(losses.mean())
    influence[first : first + len(losses)] = (losses - value) / len(losses)
    return value, influence


def _shifted(losses: Floats, ratio: DensityRatio) -> tuple[float, Floats]:
    """The weighted mean loss, and every row's influence on it, also through the weights."""
    total = ratio.weights.sum()
    value = float(ratio.weights @ losses / total)
    # A row that carries much weight pulls the mean to itself: its residual is put back (as in HC3).
    own = ratio.weights * (losses - value) / (total - ratio.weights)
    influence = ratio.influence @ (ratio.features.T @ own)
    influence[: len(losses)] += own
    return value, influence
