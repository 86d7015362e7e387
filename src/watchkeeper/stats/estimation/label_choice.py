r"""Which rows to label next, on a budget, so that the labels say most about the whole window.

Method
------
Every row gets a chance of being chosen, and the choice is drawn by these chances: labels then need no model to
be put together again (weights 1/chance, see `ppi_mean_of_chosen`). The chance mixes three wishes:

- *uncertainty*: in proportion to :math:`\sqrt{q(1-q)}`, what is not known of a row's outcome (Neyman's optimal
  allocation for means of outcomes);
- *importance*: times a weight of the row, where one is given (what an error there costs);
- *diversity*: rows are drawn systematically along an order in which neighbours are alike (a tree that halves the
  rows along their widest column, or the score alone), so that the choice spreads over all kinds of rows.

A share of the chance is equal for all, so that no kind of row is left out and no weight becomes huge.

References
----------
J. Neyman, *On the two different aspects of the representative method*, JRSS 97, 1934.
W. Madow, *On the theory of systematic sampling, II*, Ann. Math. Stat. 20, 1949.
A. Grafström, N. Lundström, L. Schelin, *Spatially balanced sampling through the pivotal method*, Biometrics 68,
2012 (why spreading pays).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.errors import BadInput

Floats = NDArray[np.float64]

EQUAL_SHARE = 0.25
_LEAF = 8


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """``rows`` are places ``(budget,)``, ascending; ``probabilities`` ``(budget,)`` is each one's chance."""

    rows: NDArray[np.intp]
    probabilities: Floats


def choose_rows(
    scores: Any,
    budget: int,
    *,
    features: Any = None,
    importance: Any = None,
    hashes: Any = None,
    equal_share: float = EQUAL_SHARE,
    seed: int = 0,
) -> Choice:
    """Choose *budget* rows to label.

    Parameters
    ----------
    scores : calibrated probabilities ``(rows,)``; NaN counts as wholly uncertain.
    features : columns as finite numbers ``(rows, d)``, by which the choice is spread.
    importance : weights ``(rows,)``, not negative.
    hashes : uint64 ``(rows,)``, of the rows' ids: the same rows in another order give the same choice.
    equal_share : the part of the budget that is shared out equally, in (0, 1].

    Raises
    ------
    BadInput
        the budget is not positive, lengths differ, or an option is out of its range.

    >>> chosen = choose_rows(np.linspace(0, 1, 1001), 100)
    >>> len(chosen.rows), round(float((1 / chosen.probabilities).sum()), -2)
    (100, 1000.0)
    """
    if hashes is not None:
        order = np.argsort(np.asarray(hashes), kind="stable")
        ranked = [None if a is None else np.asarray(a, float)[order] for a in (scores, features, importance)]
        found = choose_rows(
            ranked[0], budget, features=ranked[1], importance=ranked[2], equal_share=equal_share, seed=seed
        )
        back = np.argsort(order[found.rows])
        return Choice(order[found.rows][back], found.probabilities[back])
    q = np.asarray(scores, float)
    rows = len(q)
    if budget < 1 or not 0.0 < equal_share <= 1.0:
        raise BadInput("The budget is at least one row, and the equal share in (0, 1].")
    if budget >= rows:
        return Choice(np.arange(rows), np.ones(rows))
    weight = np.ones(rows) if importance is None else np.asarray(importance, float)
    if len(weight) != rows or not (weight >= 0).all():
        raise BadInput("Importance is one number for each score, and never negative.")
    q = np.clip(np.where(np.isfinite(q), q, 0.5), 0.0, 1.0)
    wish = np.sqrt(q * (1 - q)) * weight
    if not wish.sum() > 0:
        wish = np.ones(rows)
    chance = _chances(equal_share / rows + (1 - equal_share) * wish / wish.sum(), budget)
    order = _alike(q, features)
    start = np.random.default_rng(seed).random()
    # One step past each whole number along the summed chances: each row is taken exactly as often as it should.
    upto = np.cumsum(chance[order])
    upto *= budget / upto[-1]
    marks = np.floor(upto - start + 1.0)
    taken = order[np.diff(marks, prepend=np.floor(1.0 - start)) > 0]
    taken = np.sort(taken)
    return Choice(taken, chance[taken])


def _chances(shares: Floats, budget: int) -> Floats:
    """In proportion to *shares*, none above one, summing to *budget*."""
    chance, sure = shares * budget / shares.sum(), np.zeros(len(shares), bool)
    while (chance[~sure] > 1.0).any():
        sure |= chance >= 1.0
        rest = shares[~sure]
        chance[sure] = 1.0
        chance[~sure] = rest * (budget - int(sure.sum())) / rest.sum()
    return chance


def _alike(scores: Floats, features: Any) -> NDArray[np.intp]:
    """An order in which neighbours are alike."""
    if features is None:
        return np.argsort(scores, kind="stable")
    x = np.asarray(features, float)
    if len(x) != len(scores):
        raise BadInput(f"There are {len(scores)} scores, but features of {len(x)} rows.")
    sd = x.std(axis=0)
    z = np.column_stack([(x - x.mean(axis=0)) / np.where(sd > 0, sd, 1.0), scores * 2.0])
    z = np.clip(z, -4.0, 4.0)
    done: list[NDArray[np.intp]] = []
    waiting = [np.arange(len(z))]
    while waiting:
        part = waiting.pop()
        if len(part) <= _LEAF:
            done.append(part)
            continue
        inside = z[part]
        widest = int(np.argmax(inside.var(axis=0)))
        ranked = part[np.argsort(inside[:, widest], kind="stable")]
        half = len(ranked) // 2
        waiting += [ranked[half:], ranked[:half]]
    return np.concatenate(done)
