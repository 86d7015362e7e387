r"""Injected shifts: move rows of a window between its bins, by a stated effect.

What a rule would have found can only be told from windows whose shift is known. The window's own counts are
moved, so its day effect and its sampling error stay what they were.

Effects
-------
- ``location`` and ``scale`` act on normal scores: with :math:`F` the window's distribution function at the border
  of two bins, :math:`F' = \Phi(\Phi^{-1}(F) - \delta)` and :math:`F' = \Phi(\Phi^{-1}(F) / s)`. For a normal column
  :math:`\delta` is in standard deviations; for any other it is the same change in ranks, so that one effect means
  as much in every column, whatever its shape. Where a value holds many rows, a share of them moves on.
- ``missing``: this share of the rows that had a value loses it.
- ``moved`` (categories): this share of all rows leaves the most frequent category for the others, as they are.
- ``lost`` (categories): the rarest category that holds at least this share vanishes; its rows go to the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.errors import BadInput, nearest

Floats = NDArray[np.float64]

SHIFTS: dict[str, tuple[bool, bool]] = {
    "location": (True, False),
    "scale": (True, False),
    "missing": (True, True),
    "moved": (False, True),
    "lost": (False, True),
}
"""Kinds: whether they are for ordered columns, and whether for categories."""


@dataclass(frozen=True, slots=True)
class Shift:
    """One effect of one size.

    >>> Shift("location", 0.2).words
    'location +0.2 sd'
    >>> counts, missing = Shift("missing", 0.1).of(np.array([60.0, 40.0]), 0.0)
    >>> counts, float(missing)
    (array([54., 36.]), 10.0)
    """

    kind: str
    size: float

    def __post_init__(self) -> None:
        if self.kind not in SHIFTS:
            raise BadInput(
                f"There is no shift {self.kind!r}.{nearest(self.kind, SHIFTS)}",
                f"Known: {', '.join(SHIFTS)}.",
            )
        share = self.kind in ("missing", "moved", "lost")
        if not np.isfinite(self.size) or (share and not 0 < self.size <= 1):
            raise BadInput(f"A shift in {self.kind} cannot be of size {self.size}.")
        if self.kind == "scale" and self.size <= 0:
            raise BadInput("A scale is a factor above 0.")

    @property
    def words(self) -> str:
        """What happens, for people."""
        return {
            "location": f"location {self.size:+g} sd",
            "scale": f"spread x {self.size:g}",
            "missing": f"{self.size:.3g} more rows missing",
            "moved": f"{self.size:.3g} of rows leave the top category",
            "lost": f"a category of at least {self.size:.3g} vanishes",
        }[self.kind]

    def fits(self, *, ordered: bool) -> bool:
        """Whether a column of this sort can be shifted so."""
        return SHIFTS[self.kind][0 if ordered else 1]

    def of(self, counts: Any, missing: Any) -> tuple[Floats, Floats]:
        """Return the shifted counts ``(..., K)`` and missing rows ``(...)``; rows in all stay what they were."""
        y, gone = np.asarray(counts, float), np.asarray(missing, float)
        if self.kind == "missing":
            more = y * self.size
            return y - more, gone + more.sum(-1)
        if self.kind in ("location", "scale"):
            return self._transported(y), gone
        return self._emptied(y), gone

    def _transported(self, y: Floats) -> Floats:
        from scipy.special import ndtr, ndtri

        rows = y.sum(-1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            score = ndtri(np.clip(np.cumsum(y, axis=-1)[..., :-1] / rows, 0.0, 1.0))
            below = ndtr(score - self.size if self.kind == "location" else score / self.size)
        ends = np.zeros((*y.shape[:-1], 1))
        shares = np.diff(below, prepend=ends, append=ends + 1.0, axis=-1)
        return np.where(rows > 0, shares * rows, y)

    def _emptied(self, y: Floats) -> Floats:
        rows = y.sum(-1, keepdims=True)
        if self.kind == "moved":
            source = y.argmax(-1)[..., None]
            leave = np.minimum(np.take_along_axis(y, source, -1), self.size * rows)
        else:
            # Of a window without such a category the most frequent one goes.
            enough = np.where(y >= self.size * rows, y, np.inf)
            source = np.where(np.isfinite(enough).any(-1), enough.argmin(-1), y.argmax(-1))[..., None]
            leave = np.take_along_axis(y, source, -1)
        out = y.copy()
        np.put_along_axis(out, source, np.take_along_axis(y, source, -1) - leave, -1)
        others = y.copy()
        np.put_along_axis(others, source, 0.0, -1)
        weight = others.sum(-1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(weight > 0, out + leave * others / weight, y)
