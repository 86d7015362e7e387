r"""Worlds: windows of columns whose drift is known, for replays of rules.

A world draws the counts of windows over equal bins of a standard normal column. What differs between worlds
is what makes windows differ although nothing has drifted:

============================ =====================================================================
``iid``                      independent rows, all windows alike
``day_normal``, ``day_t3``   each window is moved by a day effect, normal or Student's t with 3 degrees
``ar1_rows``                 the rows of a window follow an AR(1) process (0.9), windows are independent
``correlated_columns``       day effects that columns share (correlation 0.8), and columns in twos are copies
``correlated_windows``       day effects that follow an AR(1) process from window to window (*correlation*)
============================ =====================================================================

In the first five windows are exchangeable, so a guarantee under exchangeability must hold; the last is what
breaks it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.errors import BadInput, nearest

__all__ = ["EXCHANGEABLE", "WORLDS", "World"]

EXCHANGEABLE: tuple[str, ...] = ("iid", "day_normal", "day_t3", "ar1_rows", "correlated_columns")
WORLDS: tuple[str, ...] = (*EXCHANGEABLE, "correlated_windows")

_AR_ROWS = 0.9
_BANK = 40_000


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A kind of world and its sizes.

    >>> world = World(kind="iid", rows=100, bins=4)
    >>> world.counts(np.random.default_rng(0), columns=2, windows=3).sum(-1).tolist()
    [[100, 100, 100], [100, 100, 100]]
    """

    kind: str = "iid"
    rows: int = 500
    """Rows of a window."""
    bins: int = 20
    day_sd: float = 0.1
    """Standard deviation of day effects, in standard deviations of the column."""
    correlation: float = 0.6
    """Between neighbouring windows, in ``correlated_windows``."""

    def __post_init__(self) -> None:
        if self.kind not in WORLDS:
            raise BadInput(
                f"There is no world {self.kind!r}.{nearest(self.kind, WORLDS)}",
                f"Known: {', '.join(WORLDS)}.",
            )

    @property
    def exchangeable(self) -> bool:
        """Whether windows are exchangeable while nothing drifts."""
        return self.kind in EXCHANGEABLE

    def counts(
        self,
        rng: np.random.Generator,
        *,
        columns: int,
        windows: int,
        shift: Any = 0.0,
        scale: Any = 1.0,
    ) -> NDArray[np.int32]:
        """Draw the counts ``(columns, windows, bins)``.

        *shift* (in standard deviations) and *scale* are the injected drift, broadcast to
        ``(columns, windows)``. Baseline and production must come from one call where windows are dependent:
        draw both together and cut.
        """
        shape = (columns, windows)
        still = not np.any(shift) and np.all(np.asarray(scale) == 1)
        if still and self.kind in ("iid", "day_normal", "day_t3", "ar1_rows") and columns * windows > _BANK:
            # Windows drawn from a large bank of windows are as exchangeable as windows drawn afresh.
            bank = _bank(self)
            return bank[rng.integers(0, len(bank), shape)]
        if self.kind == "ar1_rows":
            return self._of_ar1_rows(rng, shape, shift, scale)
        days = self._days(rng, shape)
        at, width = np.broadcast_to(days + shift, shape), np.broadcast_to(scale, shape)
        out = np.empty((*shape, self.bins), np.int32)
        for start in range(0, columns, 100):
            part = slice(start, start + 100)
            out[part] = rng.multinomial(self.rows, self._shares(at[part], width[part]))
        if self.kind == "correlated_columns" and np.ndim(shift) < 2 and np.ndim(scale) < 2:
            out[1::2] = out[0 : 2 * (columns // 2) : 2]
        return out

    def _days(self, rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
        if self.kind == "iid":
            return np.zeros(shape)
        if self.kind == "day_t3":
            return rng.standard_t(3, shape) * (self.day_sd / sqrt(3))
        if self.kind == "correlated_columns":
            return self.day_sd * (
                sqrt(0.8) * rng.normal(size=(1, shape[1])) + sqrt(0.2) * rng.normal(size=shape)
            )
        days = rng.normal(size=shape)
        if self.kind == "correlated_windows":
            fresh = sqrt(1 - self.correlation**2)
            for t in range(1, shape[1]):
                days[:, t] = self.correlation * days[:, t - 1] + fresh * days[:, t]
        return days * self.day_sd

    def _shares(self, at: NDArray[np.float64], width: NDArray[np.float64]) -> NDArray[np.float64]:
        from scipy.special import ndtr, ndtri

        if not at.any() and (width == 1).all():
            return np.full((*at.shape, self.bins), 1 / self.bins)
        cuts = ndtri(np.arange(1, self.bins) / self.bins)
        below = ndtr((cuts - at[..., None]) / width[..., None])
        edge = np.zeros((*at.shape, 1))
        shares: NDArray[np.float64] = np.maximum(np.diff(below, prepend=edge, append=edge + 1, axis=-1), 0)
        return shares / shares.sum(-1, keepdims=True)

    def _of_ar1_rows(
        self, rng: np.random.Generator, shape: tuple[int, int], shift: Any, scale: Any
    ) -> NDArray[np.int32]:
        at = np.broadcast_to(shift, shape).reshape(-1).astype(float)
        width = np.broadcast_to(scale, shape).reshape(-1).astype(float)
        return _ar1_counts(rng, at, width, self.rows, self.bins).reshape(*shape, self.bins)


@lru_cache(maxsize=4)
def _bank(world: World) -> NDArray[np.int32]:
    """40,000 windows of *world* in which nothing drifts."""
    rng = np.random.default_rng(20130301)
    return world.counts(rng, columns=_BANK // 100, windows=100).reshape(_BANK, world.bins)


def _ar1_counts(
    rng: np.random.Generator, at: NDArray[np.float64], width: NDArray[np.float64], rows: int, bins: int
) -> NDArray[np.int32]:
    from scipy.special import ndtri

    cuts = ndtri(np.arange(1, bins) / bins)
    many = np.arange(len(at))
    counts = np.zeros((len(at), bins), np.int32)
    x = rng.normal(size=len(at))
    for _ in range(rows):
        counts[many, np.searchsorted(cuts, at + width * x)] += 1
        x = _AR_ROWS * x + sqrt(1 - _AR_ROWS**2) * rng.normal(size=len(at))
    return counts
