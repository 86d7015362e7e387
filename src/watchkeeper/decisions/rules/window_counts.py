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
from watchkeeper.stats.states.histogram import Histogram, common_coarsening
from watchkeeper.stats.states.profile import ColumnProfile

__all__ = ["Binning"]

_CATEGORIES = 19


@dataclass(frozen=True, slots=True, kw_only=True)
class Binning:
    """How one column's windows are counted, as its baseline says.

    A numeric column has groups of its baseline's bins with equal shares, infinities in the outer ones; a column of
    categories its 19 most frequent ones and the rest.
    """

    column: str
    baseline: Histogram | None = None
    categories: tuple[str, ...] = ()

    @classmethod
    def of(cls, baseline: ColumnProfile) -> Binning | None:
        """From the baseline's column; None if there is nothing that could be counted."""
        state = baseline.distribution
        if isinstance(state, Histogram):
            return cls(column=baseline.name, baseline=state) if state.n > 0 else None
        if isinstance(state, Frequencies) and state.n > 0:
            top = tuple(name for name, _ in state.top(_CATEGORIES))
            return cls(column=baseline.name, categories=top)
        return None

    @property
    def ordered(self) -> bool:
        """Whether the bins have an order."""
        return self.baseline is not None

    def counts(self, window: ColumnProfile) -> tuple[NDArray[Any], float]:
        """Return the rows by bin ``(K,)``, and the missing ones.

        Raises
        ------
        Incompatible
            the window's column has another kind, or was counted between other edges.
        """
        state = window.distribution
        if self.baseline is None:
            if not isinstance(state, Frequencies):
                raise Incompatible(
                    f"The column {self.column!r} was categories in the baseline, and is not now."
                )
            named = np.array([float(state.counts.get(c, 0)) for c in self.categories])
            rest = float(state.n) - named.sum()
            return np.append(named, max(rest, 0.0)), float(state.nulls)
        if not isinstance(state, Histogram):
            raise Incompatible(f"The column {self.column!r} was numeric in the baseline, and is not now.")
        left, right = self.baseline, state
        if left.edges != right.edges:
            left, right = common_coarsening(left, right)
        groups = group_bins(left.counts)
        out = np.zeros(int(groups[-1]) + 1)
        np.add.at(out, groups, right.counts)
        out[0] += right.neg_inf
        out[-1] += right.pos_inf
        return out, float(right.missing)

    def many(self, windows: Sequence[ColumnProfile]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Counts ``(B, K)`` and missing ``(B,)`` of several windows."""
        pairs = [self.counts(w) for w in windows]
        return np.array([c for c, _ in pairs]), np.array([m for _, m in pairs])
