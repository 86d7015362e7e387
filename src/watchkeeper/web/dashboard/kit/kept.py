"""Answers that several people ask for in the same moment are kept for a few seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

KEPT_S = 3.0
T = TypeVar("T")


class Kept:
    """Answers by key, each with the moment at which it was given."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, tuple[float, Any]] = {}
        self._lock = threading.Lock()

    def __call__(self, key: Hashable, ask: Callable[[], T], *, seconds: float = KEPT_S) -> T:
        """The answer to *ask*, at most *seconds* old."""
        now = time.monotonic()
        with self._lock:
            found = self._kept.get(key)
        if found is not None and now - found[0] < seconds:
            return found[1]  # type: ignore[no-any-return]
        answer = ask()
        with self._lock:
            if len(self._kept) > 2_000:
                self._kept.clear()
            self._kept[key] = (now, answer)
        return answer

    def knows(self, key: Hashable) -> bool:
        """Whether an answer to *key* was kept, however old it is by now."""
        with self._lock:
            return key in self._kept
