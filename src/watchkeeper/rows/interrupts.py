"""Ctrl-C while a query runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

_SAID = "Query interrupted"


@contextmanager
def interruptible() -> Iterator[None]:
    """Make Ctrl-C a `KeyboardInterrupt` again: DuckDB takes the signal and raises a plain `RuntimeError` instead.

    Without this a catch-all for what goes wrong in one model would take it for such a fault, and go on.

    >>> try:
    ...     with interruptible():
    ...         raise RuntimeError("Query interrupted")
    ... except KeyboardInterrupt:
    ...     print("stopped")
    stopped
    """
    try:
        yield
    except RuntimeError as failure:
        if str(failure) == _SAID:
            raise KeyboardInterrupt from None
        raise
