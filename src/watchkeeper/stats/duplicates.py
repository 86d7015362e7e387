"""Rows that were seen before, counted from the hashes of ids (or of whole rows) in bounded memory.

All hashes are kept while they fit. After that either sorted runs are handed to whoever asked to *spill* them, and
the count stays exact; or only the hashes below a falling threshold are kept, and the count becomes an estimate:
equal rows have equal hashes, so what is kept is every copy of a random share of the distinct rows. The result
says which of the three it was.

References
----------
P. Gibbons, *Distinct sampling for highly-accurate answers to distinct values queries*, VLDB 2001.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

SLICES = 64
"""The range of hashes is cut into this many slices to join spilled runs: each slice of all runs is in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicates:
    """How many of ``rows`` were copies of an earlier row.

    ``copies`` is rows minus distinct rows; ``how`` is ``"exact"``, ``"spilled"`` (exact too) or ``"sampled"``, an
    estimate from ``kept_share`` of the distinct rows, with its ``standard_error``.
    """

    rows: int
    copies: float
    how: str = "exact"
    kept_share: float = 1.0
    standard_error: float = 0.0

    @property
    def exact(self) -> bool:
        """Whether the count is no estimate."""
        return self.how != "sampled"

    @property
    def share(self) -> float:
        """Copies as a share of rows; 0 with no rows."""
        return self.copies / self.rows if self.rows else 0.0


class DuplicateCounter:
    """Counts copies in a stream of hashes.

    Parameters
    ----------
    limit : hashes that are held in memory (8 bytes each, up to three times that while sorting).
    spill : takes a sorted run of uint64 and returns something that slices like it (a memory map of a file);
        None makes the count an estimate past *limit*.

    >>> counter = DuplicateCounter()
    >>> counter.add(np.array([1, 2, 2], np.uint64))
    >>> counter.add(np.array([1, 9], np.uint64))
    >>> counter.result().copies
    2
    """

    def __init__(
        self,
        *,
        limit: int = 4_000_000,
        spill: Callable[[np.ndarray], Sequence[Any] | np.ndarray] | None = None,
    ) -> None:
        self._limit = limit
        self._spill = spill
        self._fresh: list[np.ndarray] = []
        self._held = 0
        self._runs: list[Any] = []
        self._rows = 0
        self._shift = 0
        """Hashes below 2**(64 - shift) are kept: each step halves them."""

    def add(self, hashes: Any) -> None:
        """Count a batch of hashes ``(rows,)`` uint64."""
        batch = np.asarray(hashes, dtype=np.uint64)
        self._rows += batch.size
        if self._shift:
            batch = batch[self._below(batch)]
        if batch.size:
            self._fresh.append(batch.copy())
            self._held += batch.size
        if self._held > self._limit:
            self._make_room()

    def result(self) -> Duplicates:
        """What was counted so far."""
        if self._runs:
            return Duplicates(rows=self._rows, copies=self._rows - self._distinct_in_runs(), how="spilled")
        ordered = self._ordered()
        copies = ordered.size - _distinct(ordered)
        if not self._shift:
            return Duplicates(rows=self._rows, copies=copies)
        # Each distinct row was kept with probability p; a row's weight is its number of further copies.
        p = 0.5**self._shift
        weights = _run_lengths(ordered) - 1.0
        return Duplicates(
            rows=self._rows,
            copies=copies / p,
            how="sampled",
            kept_share=p,
            standard_error=sqrt((1 - p) * float(weights @ weights)) / p,
        )

    def _make_room(self) -> None:
        if self._spill is not None:
            self._runs.append(self._spill(self._ordered()))
            self._fresh, self._held = [], 0
            return
        ordered = self._ordered()
        while ordered.size > self._limit // 2:
            self._shift += 1
            less = ordered[self._below(ordered)]
            if less.size == ordered.size or self._shift > 60:
                # One row, copied without end: sorting it away is all that is left to do.
                break
            ordered = less
        self._fresh, self._held = [ordered], int(ordered.size)
        self._limit = max(self._limit, 2 * self._held)

    def _below(self, hashes: np.ndarray) -> np.ndarray:
        return (hashes >> np.uint64(64 - self._shift)) == 0

    def _ordered(self) -> np.ndarray:
        joined = np.concatenate(self._fresh) if self._fresh else np.empty(0, np.uint64)
        joined.sort()
        return joined

    def _distinct_in_runs(self) -> int:
        runs = [*self._runs, self._ordered()]
        cuts = [np.uint64(i * (2**64 // SLICES)) for i in range(1, SLICES)]
        ends = [np.concatenate([[0], np.searchsorted(run, cuts), [len(run)]]) for run in runs]
        distinct = 0
        for i in range(SLICES):
            parts = [np.asarray(run[end[i] : end[i + 1]]) for run, end in zip(runs, ends, strict=True)]
            together = np.concatenate(parts)
            together.sort()
            distinct += _distinct(together)
        return distinct


def _distinct(ordered: np.ndarray) -> int:
    return int(np.count_nonzero(ordered[1:] != ordered[:-1])) + 1 if ordered.size else 0


def _run_lengths(ordered: np.ndarray) -> np.ndarray:
    if not ordered.size:
        return np.empty(0)
    starts = np.concatenate([[0], np.flatnonzero(ordered[1:] != ordered[:-1]) + 1, [ordered.size]])
    return np.diff(starts).astype(float)
