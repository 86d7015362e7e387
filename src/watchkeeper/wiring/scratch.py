"""A ledger that is thrown away: windows are judged again in it, and nothing of the project is changed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def scratch_ledger() -> Iterator[Any]:
    """An empty ledger in a temporary folder."""
    from watchkeeper.adapters.ledgers.sql import open_ledger

    with tempfile.TemporaryDirectory(prefix="watchkeeper-scratch-") as folder:
        ledger = open_ledger(Path(folder) / "ledger.db")
        try:
            yield ledger
        finally:
            ledger.close()
