"""From a window's profile to the counts that evidence is folded from: about 20 bins a column, missing apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.errors import Incompatible
from watchkeeper.stats.evidence.window_scores import group_bins
from watchkeeper.stats.states.frequencies import Frequencies
from watchkeeper.stats.states.histogram import Histogram
from watchkeeper.stats.states.profile import ColumnProfile

_CATEGORIES = 19
_COARSEST = 64
"""Bins that stored windows keep at least: the baseline's own windows and old ones are kept that coarse."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Binning:
    """How one column's windows are counted, as its baseline says.

    A numeric column has about 20 groups of its baseline's bins with equal shares, infinities in the outer ones; a
    column of categories its 19 most frequent ones and the rest. The groups' cuts are cuts of the coarsest histogram
    that is kept, so a window is counted the same whatever its resolution: otherwise a fine window would look
    drifted beside a coarse baseline.
    """

    column: str
    cuts: NDArray[Any] | None = None
    """Between the groups of a numeric column; None for categories."""
    categories: tuple[str, ...] = ()

    @classmethod
    def of(cls, baseline: ColumnProfile) -> Binning | None:
        """From the baseline's column; None if there is nothing that could be counted."""
        state = baseline.distribution
        if isinstance(state, Histogram) and state.n > 0:
            coarse = state.coarsen(_COARSEST)
            groups = group_bins(coarse.counts)
            return cls(column=baseline.name, cuts=coarse.edges.cuts[np.flatnonzero(np.diff(groups))])
        if isinstance(state, Frequencies) and state.n > 0:
            top = tuple(name for name, _ in state.top(_CATEGORIES))
            return cls(column=baseline.name, categories=top)
        return None

    @property
    def ordered(self) -> bool:
        """Whether the bins have an order."""
        return self.cuts is not None

    def counts(self, window: ColumnProfile) -> tuple[NDArray[Any], float]:
        """Return the rows by bin ``(K,)``, and the missing ones.

        Raises
        ------
        Incompatible
            the window's column has another kind, or was counted between other edges.
        """
        state = window.distribution
        if self.cuts is None:
            if not isinstance(state, Frequencies):
                raise Incompatible(
                    f"The column {self.column!r} was categories in the baseline, and is not now."
                )
            named = np.array([float(state.counts.get(c, 0)) for c in self.categories])
            rest = float(state.n) - named.sum()
            return np.append(named, max(rest, 0.0)), float(state.nulls)
        if not isinstance(state, Histogram):
            raise Incompatible(f"The column {self.column!r} was numeric in the baseline, and is not now.")
        own = state.edges.cuts
        at = np.searchsorted(own, self.cuts)
        if len(self.cuts) and (at[-1] >= len(own) or (own[at] != self.cuts).any()):
            raise Incompatible(
                f"The column {self.column!r} was counted between other edges than the baseline's.",
                "Measure the window again:  watchkeeper backfill",
            )
        out = np.add.reduceat(state.counts.astype(float), np.concatenate([[0], at + 1]))
        out[0] += state.neg_inf
        out[-1] += state.pos_inf
        return out, float(state.missing)

    def many(self, windows: Sequence[ColumnProfile]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Counts ``(B, K)`` and missing ``(B,)`` of several windows."""
        pairs = [self.counts(w) for w in windows]
        return np.array([c for c, _ in pairs]), np.array([m for _, m in pairs])
