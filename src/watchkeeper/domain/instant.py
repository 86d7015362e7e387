"""A point in time as programs write it, and whether a prediction can have been made then.

A bare number counts from 1970 in UTC, in the unit that its size shows: below 1e11 seconds (until the year 5138),
below 1e14 milliseconds, below 1e17 microseconds, from there on nanoseconds. Each value is judged by itself, so
batches agree.
"""

from __future__ import annotations

__all__ = [
    "AHEAD_US",
    "EARLIEST_US",
    "EPOCH_LIMITS",
    "HOW_TO_WRITE",
    "LEAST_NUMBER",
    "implausible",
    "ticks_a_second",
]

EPOCH_LIMITS = ((1e11, 1_000_000.0), (1e14, 1_000.0), (1e17, 1.0))
"""(below, microseconds that one unit is); from the last one on a number counts nanoseconds."""
LEAST_NUMBER = 1e8
"""A smaller number (before March 1973) counts something else: days, a row's number, a date such as 20240131."""
EARLIEST_US = 86_400_000_000
"""2 January 1970: what lies before is no prediction's time, and 1970-01-01 stands for *none*."""
AHEAD_US = 3_653 * 86_400_000_000
"""Ten years: a time further ahead is a mistake, whatever our own clock says."""
HOW_TO_WRITE = "write times as 2024-12-25T13:45:00Z (ISO 8601) or as a number that counts since 1970"


def implausible(at_us: int, now_us: int, *, ahead_us: int = AHEAD_US) -> str | None:
    """Say why no prediction was made at *at_us* (microseconds since 1970 UTC); None where one can have been.

    >>> implausible(1_700_000_000_000_000, 1_700_000_000_000_000) is None
    True
    >>> implausible(0, 1_700_000_000_000_000), implausible(2**61, 1_700_000_000_000_000)
    ('lies before 2 January 1970', 'lies 73,014 years ahead of the clock')
    """
    if at_us < EARLIEST_US:
        return "lies before 2 January 1970"
    if at_us <= now_us + ahead_us:
        return None
    hours = (at_us - now_us) / 3.6e9
    return f"lies {hours:,.1f} hours ahead of the clock" if hours < 48 else (
        f"lies {hours / 24:,.0f} days ahead of the clock" if hours < 24 * 730 else
        f"lies {hours / 8766:,.0f} years ahead of the clock"
    )  # fmt: skip


def ticks_a_second(number: float) -> int:
    """How much a second counts in a time of this size.

    >>> ticks_a_second(1.7e9), ticks_a_second(1.7e12), ticks_a_second(1.7e18)
    (1, 1000, 1000000000)
    """
    for below, us in EPOCH_LIMITS:
        if abs(number) < below:
            return int(1_000_000 / us)
    return 1_000_000_000
