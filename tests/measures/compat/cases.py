"""The columns on which the real peers were run, made anew from fixed seeds.

Only `numpy.random.RandomState` is used: its streams are frozen by NumPy's policy, and values are rounded, so
that the peers' environments (NumPy 1.26) and ours (NumPy 2) see the same numbers to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Case:
    """One column on both sides. ``kind`` is ``"numeric"`` or ``"categorical"``."""

    name: str
    kind: str
    reference: np.ndarray
    current: np.ndarray


def _normal(seed: int, n: int, mean: float = 0.0, sd: float = 1.0) -> np.ndarray:
    return np.round(np.random.RandomState(seed).standard_normal(n) * sd + mean, 6)


def _choice(seed: int, n: int, values: list, shares: list[float]) -> np.ndarray:
    uniform = np.random.RandomState(seed).random_sample(n)
    index = np.searchsorted(np.cumsum(shares)[:-1], uniform, side="right")
    return np.array(values, dtype=object)[index]


def _numbers(seed: int, n: int, values: list, shares: list[float]) -> np.ndarray:
    return np.array(_choice(seed, n, values, shares).tolist())


def _spoilt(values: np.ndarray, *, nans: int, infs: int) -> np.ndarray:
    out = values.copy()
    out[3 :: max(1, len(out) // nans)] = np.nan
    if infs:
        out[7 :: len(out) // infs] = np.inf
        out[11 :: len(out) // infs] = -np.inf
    return out


def _with_nulls(values: np.ndarray, every: int) -> np.ndarray:
    out = values.copy()
    out[::every] = None
    return out


def cases() -> list[Case]:
    """Every case, in a fixed order."""
    cities, shares = ["Bern", "Lima", "Oslo", "Pune"], [0.4, 0.3, 0.2, 0.1]
    few, many = [0, 1, 2, 3], list(range(15))
    rising = (np.arange(1, 16) / 120).tolist()
    return [
        Case("normal_shift_small", "numeric", _normal(1, 500), _normal(2, 400, 0.3)),
        Case("normal_same_small", "numeric", _normal(3, 512), _normal(4, 512)),
        Case("normal_shift_large", "numeric", _normal(5, 5000), _normal(6, 4000, 0.2, 1.1)),
        Case("normal_over_10000", "numeric", _normal(7, 12000, 5, 2), _normal(8, 5000, 5.4, 2.5)),
        Case("normal_tiny", "numeric", _normal(9, 10), _normal(10, 12, 1)),
        Case(
            "four_integers_small", "numeric", _numbers(11, 400, few, shares), _numbers(12, 300, few, shares)
        ),
        Case(
            "four_integers_large",
            "numeric",
            _numbers(13, 3000, few, shares),
            _numbers(14, 2500, few, [0.3, 0.3, 0.25, 0.15]),
        ),
        Case(
            "fifteen_integers_large",
            "numeric",
            _numbers(15, 3000, many, rising),
            _numbers(16, 2000, many, rising[::-1]),
        ),
        Case(
            "integers_over_10000",
            "numeric",
            np.random.RandomState(17).poisson(40, 12000),
            np.random.RandomState(18).poisson(42, 6000),
        ),
        Case(
            "heavy_ties_small",
            "numeric",
            np.round(np.random.RandomState(19).standard_exponential(600), 1),
            np.round(np.random.RandomState(20).standard_exponential(700) * 1.2, 1),
        ),
        Case(
            "zero_inflated_large",
            "numeric",
            np.maximum(_normal(21, 3000), 0),
            np.maximum(_normal(22, 3000, 0.1), 0),
        ),
        Case(
            "nans_and_infs_small",
            "numeric",
            _spoilt(_normal(23, 600), nans=30, infs=0),
            _spoilt(_normal(24, 500, 0.2), nans=50, infs=5),
        ),
        Case(
            "infs_both_large",
            "numeric",
            _spoilt(_normal(25, 2000), nans=60, infs=4),
            _spoilt(_normal(26, 1800, 0.2), nans=90, infs=6),
        ),
        Case("constant_small", "numeric", np.full(100, 3.5), np.full(80, 3.5)),
        Case("constant_large", "numeric", np.full(1500, 3.5), np.full(1200, 3.5)),
        Case("constant_moved_large", "numeric", np.full(1500, 3.5), np.full(1200, 4.5)),
        Case(
            "category_same_small",
            "categorical",
            _choice(27, 512, cities, shares),
            _choice(28, 512, cities, shares),
        ),
        Case(
            "category_new_small",
            "categorical",
            _choice(29, 800, cities, shares),
            _choice(30, 700, [*cities, "Rome"], [0.35, 0.3, 0.2, 0.1, 0.05]),
        ),
        Case(
            "category_gone_large",
            "categorical",
            _choice(31, 4000, cities, shares),
            _choice(32, 3000, cities[:3], [0.5, 0.3, 0.2]),
        ),
        Case(
            "category_nulls_large",
            "categorical",
            _with_nulls(_choice(33, 2000, cities, shares), 10),
            _with_nulls(_choice(34, 2000, cities, [0.3, 0.3, 0.2, 0.2]), 7),
        ),
        Case(
            "binary_small",
            "categorical",
            _choice(35, 256, ["no", "yes"], [0.7, 0.3]),
            _choice(36, 256, ["no", "yes"], [0.6, 0.4]),
        ),
        Case(
            "binary_integers_small",
            "categorical",
            _numbers(37, 200, [0, 1], [0.5, 0.5]),
            _numbers(38, 200, [0, 1], [0.35, 0.65]),
        ),
        Case(
            "booleans_large",
            "categorical",
            _numbers(39, 2000, [False, True], [0.5, 0.5]),
            _numbers(40, 1500, [False, True], [0.55, 0.45]),
        ),
        Case(
            "one_category_small",
            "categorical",
            np.array(["a"] * 60, dtype=object),
            np.array(["a"] * 60, dtype=object),
        ),
    ]


def vectors() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Rows of vectors for the multivariate tests."""
    return {
        "vectors_shift": (_normal(41, 180).reshape(60, 3), _normal(42, 150, 0.8).reshape(50, 3)),
        "vectors_same": (_normal(43, 400).reshape(80, 5), _normal(44, 400).reshape(80, 5)),
    }
