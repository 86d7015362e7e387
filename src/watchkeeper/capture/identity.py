"""Time-ordered ids (UUID version 7), made fast.

An outcome that arrives days later names only the prediction's id. Because the id holds the millisecond of the
prediction, the window that it belongs to is read from the id, without a search through history.

`uuid.uuid4` asks the kernel for 16 bytes at every call; here the random part is drawn once a millisecond, and
a counter runs inside it. The ids are unique and hard to collide, but they are not secrets.

References
----------
RFC 9562, *Universally Unique IDentifiers*, 2024, sections 5.7 and 6.2 (method 1: fixed-length counter).
"""

from __future__ import annotations

import os
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from itertools import count, islice

_BACKWARDS_US = 10_000_000
"""A clock that steps back by less than this is a small correction, and ids wait for it; more is a new time."""

_sources: weakref.WeakSet[IdSource] = weakref.WeakSet()


class IdSource:
    """Makes ids that only grow within one process, each with the microsecond that it stands for.

    >>> ids = IdSource(clock=lambda: 1_700_000_000.25)
    >>> (first, at_us), (second, _) = ids.next(), ids.next()
    >>> first < second, at_us, millisecond_of(first)
    (True, 1700000000250000, 1700000000250)
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """*clock* gives seconds since 1970 UTC."""
        self._now_us = _system_us if clock is time.time else lambda: int(clock() * 1e6)
        self._reset()
        _sources.add(self)

    def _reset(self) -> None:
        self._turning = threading.RLock()
        # A generator of our own: the user's random.seed() must not repeat our ids, nor must a forked child.
        self._random = random.Random(os.urandom(32)).getrandbits  # noqa: S311 - an id is no secret
        self._now: tuple[int, int, str, Iterator[int]] = (0, 0, "", count())
        """The current millisecond: its first microsecond, the one after its last, what its ids begin with, and
        what they go on with. Replaced as a whole, and counting is atomic, so `next` needs no lock."""

    def next(self) -> tuple[str, int]:
        """Return a new id, and the microseconds since 1970 that belong to it."""
        now = self._now_us()
        start, end, block, counter = self._now
        if not start <= now < end:
            now, block, counter = self._turn(now)
        return f"{block}{next(counter):012x}", now

    def now_us(self) -> int:
        """Return microseconds since 1970 UTC by this source's clock."""
        return self._now_us()

    def at(self, at_us: int) -> str:
        """Return a new id for a given time; between such ids no order is promised."""
        return f"{_block(at_us // 1000, self._random(26))}{self._random(48):012x}"

    def take(self, number: int) -> tuple[list[str], int]:
        """Return *number* new ids in order, and the microseconds that belong to all of them."""
        now = self._now_us()
        start, end, block, counter = self._now
        if not start <= now < end:
            now, block, counter = self._turn(now)
        return [f"{block}{n:012x}" for n in islice(counter, number)], now

    def _turn(self, now: int) -> tuple[int, str, Iterator[int]]:
        """The clock left the millisecond, or went back: return the time to use, and its ids."""
        with self._turning:
            start, end, block, counter = self._now
            if end - _BACKWARDS_US < now < end:
                return end - 1 if now < start else now, block, counter
            start = now // 1000 * 1000
            block = _block(now // 1000, self._random(26))
            counter = count(self._random(47))  # the upper half is left for counting
            self._now = (start, start + 1000, block, counter)
            return now, block, counter


def _system_us() -> int:
    return time.time_ns() // 1000


def _block(millisecond: int, bits: int) -> str:
    if not 0 <= millisecond < 1 << 48:
        millisecond = 0
    a, b = bits >> 14, bits & 0x3FFF
    return f"{millisecond >> 16:08x}-{millisecond & 0xFFFF:04x}-7{a:03x}-{b | 0x8000:04x}-"


def millisecond_of(id: str) -> int | None:
    """Return the millisecond since 1970 that an id of version 7 holds; None for any other id.

    >>> millisecond_of("018bcfe5-68fa-7abc-8def-0123456789ab")
    1700000000250
    >>> millisecond_of("order-17") is None
    True
    """
    if len(id) != 36 or id[14] != "7" or id[8] != "-" or id[13] != "-" or id[19] not in "89abAB":
        return None
    try:
        return int(id[:8] + id[9:13], 16)
    except ValueError:
        return None


def _after_fork() -> None:
    for source in list(_sources):
        source._reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
