"""Copies of ids, of a column's values and of whole rows, counted while the batches stream by.

The arithmetic is `stats.duplicates`; this lends it a folder on disk, so that the count stays exact in bounded
memory. Where nothing can be written there, the counter keeps its hashes in memory instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import numpy as np

from watchkeeper.domain.schema import Kind
from watchkeeper.domain.values import Values
from watchkeeper.stats.duplicates import DuplicateCounter, Duplicates
from watchkeeper.stats.hashing import combine, hash_values

LIMIT = 2_000_000
"""Hashes that each counter holds before it spills: 16 MB, and up to three times that while it sorts."""


class CopyCount:
    """Counts copies; use it as a context, so that its files go away.

    Parameters
    ----------
    columns : whose values are counted; rows without a value are left out.
    rows : whether whole rows are counted too, under the name ``""``.
    limit : hashes that each counter holds in memory.

    >>> with CopyCount(["id"]) as copies:
    ...     copies.add({"id": Values(kind=Kind.INTEGER, rows=3, data=np.array([7, 8, 7]))})
    ...     copies.result()["id"].copies
    1
    """

    def __init__(self, columns: Iterable[str], *, rows: bool = False, limit: int = LIMIT) -> None:
        self._folder: TemporaryDirectory[str] | None = None
        self._runs = 0
        self._limit = limit
        self._counters = {name: self._counter() for name in dict.fromkeys(columns)}
        if rows:
            self._counters[""] = self._counter()
        self._unreadable: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # The memory maps must be gone before their files are, or Windows would keep both.
        self._counters.clear()
        if self._folder is not None:
            self._folder.cleanup()

    def add(self, batch: Mapping[str, Values]) -> None:
        """Count one batch: values of the same rows, by column name."""
        for name, counter in self._counters.items():
            values = batch.get(name)
            if name == "":
                self._add_rows(counter, batch)
            elif values is None or values.kind is Kind.UNKNOWN:
                self._unreadable.add(name)
            else:
                hashes = hash_values(values)
                counter.add(hashes if values.valid is None else hashes[values.valid])

    def result(self) -> dict[str, Duplicates]:
        """What was counted, by column; ``""`` stands for whole rows."""
        return {
            name: counter.result() for name, counter in self._counters.items() if name not in self._unreadable
        }

    def _add_rows(self, counter: DuplicateCounter, batch: Mapping[str, Values]) -> None:
        whole: np.ndarray | None = None
        for values in batch.values():
            if values.kind is not Kind.UNKNOWN:
                # A dictionary with entries that no row uses costs time, and nothing else.
                hashes = hash_values(values)
                whole = hashes if whole is None else combine(whole, hashes)
        if whole is not None:
            counter.add(whole)

    def _counter(self) -> DuplicateCounter:
        return DuplicateCounter(limit=self._limit, spill=self._spill)

    def _spill(self, run: np.ndarray) -> np.ndarray:
        try:
            if self._folder is None:
                self._folder = TemporaryDirectory(prefix="watchkeeper-")
            self._runs += 1
            path = Path(self._folder.name) / f"{self._runs}.run"
            run.tofile(path)
            return np.memmap(path, dtype=np.uint64, mode="r")
        except OSError:  # a full disk, or none that may be written: exact is worth the memory
            return run
