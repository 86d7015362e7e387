"""Threads that work off a common pile of tasks, one for each column."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Any


class Call:
    """A call to be made by some thread."""

    __slots__ = ("args", "do")

    def __init__(self, do: Callable[..., Any], *args: Any) -> None:
        self.do, self.args = do, args

    def __call__(self) -> None:
        self.do(*self.args)


Named = tuple[str, Callable[[], None]]


class Crew:
    """Threads that take tasks from a common pile, so that a slow column holds up nobody."""

    def __init__(self, workers: int | None = None) -> None:
        if workers is None:
            import pyarrow as pa

            workers = pa.cpu_count()
        self._workers = max(1, workers)
        self._pool: ThreadPoolExecutor | None = None

    def run(self, tasks: Iterable[Named]) -> list[tuple[str, Exception]]:
        """Do all *tasks*; return the names and reasons of those that failed, in the order of the tasks."""
        pile = list(tasks)
        if self._workers == 1 or len(pile) < 2:
            return [failure for name, task in pile for failure in _tried(name, task)]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="watchkeeper-profile")
        shared: SimpleQueue[Named] = SimpleQueue()
        for task in pile:
            shared.put(task)
        failures: list[tuple[str, Exception]] = []
        for done in [self._pool.submit(_work_off, shared) for _ in range(min(self._workers, len(pile)))]:
            failures += done.result()
        order = {name: i for i, (name, _) in enumerate(pile)}
        return sorted(failures, key=lambda failed: order[failed[0]])

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


def _work_off(pile: SimpleQueue[Named]) -> list[tuple[str, Exception]]:
    failures: list[tuple[str, Exception]] = []
    while True:
        try:
            name, task = pile.get_nowait()
        except Empty:
            return failures
        failures += _tried(name, task)


def _tried(name: str, task: Callable[[], None]) -> list[tuple[str, Exception]]:
    try:
        task()
    except Exception as failure:
        return [(name, failure)]
    return []
