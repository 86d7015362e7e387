"""Windows of time: UTC, half-open, so that neighbours neither overlap nor leave a gap."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from watchkeeper.errors import BadInput, nearest

__all__ = ["Window", "day_of", "day_step", "floor_to"]

_ZONE_YEARS = range(2010, 2038)
"""Years whose days a zone's windows must fit: those of which anybody still has rows, and those to come."""


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """``[start, end)`` in UTC.

    >>> Window(datetime(2013, 3, 1, tzinfo=UTC), datetime(2013, 3, 2, tzinfo=UTC)).label
    '2013-03-01T00:00Z/P1D'
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        for name in ("start", "end"):
            at: datetime = getattr(self, name)
            if at.tzinfo is None:
                raise BadInput(f"A window's {name} has no time zone: {at}.", "Give an aware datetime.")
            object.__setattr__(self, name, at.astimezone(UTC))
        if self.end <= self.start:
            raise BadInput(f"A window ends ({self.end}) before it starts ({self.start}).")

    @property
    def length(self) -> timedelta:
        """End minus start."""
        return self.end - self.start

    def __contains__(self, at: object) -> bool:
        return isinstance(at, datetime) and self.start <= at < self.end

    @property
    def label(self) -> str:
        """Start and length in ISO 8601, the name of the window everywhere."""
        seconds = int(self.length.total_seconds())
        if seconds % 86400 == 0:
            size = f"P{seconds // 86400}D"
        elif seconds % 3600 == 0:
            size = f"PT{seconds // 3600}H"
        elif seconds % 60 == 0:
            size = f"PT{seconds // 60}M"
        else:
            size = f"PT{seconds}S"
        return f"{self.start:%Y-%m-%dT%H:%MZ}/{size}"


def floor_to(at: datetime, length: timedelta) -> datetime:
    """The start of the window of *length* that holds *at*; windows are counted from 1970 UTC.

    >>> floor_to(datetime(2013, 3, 1, 7, 59, tzinfo=UTC), timedelta(hours=6))
    datetime.datetime(2013, 3, 1, 6, 0, tzinfo=datetime.timezone.utc)
    """
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return at.astimezone(UTC) - (at - epoch) % length


def day_of(at: datetime, timezone: str) -> Window:
    """The day of *timezone* that holds *at*, as a window in UTC: 23 or 25 hours long when clocks change.

    >>> day_of(datetime(2026, 3, 29, 12, tzinfo=UTC), "Europe/Berlin").length
    datetime.timedelta(seconds=82800)
    """
    zone = ZoneInfo(timezone)
    day = at.astimezone(zone).date()
    start, end = (datetime.combine(d, time.min, tzinfo=zone) for d in (day, day + timedelta(days=1)))
    return Window(start, end)


@cache
def day_step(timezone: str) -> timedelta:
    """The longest window of UTC of which every day of *timezone* is a whole number.

    >>> day_step("Europe/Berlin"), day_step("Asia/Kolkata"), day_step("UTC")
    (datetime.timedelta(seconds=3600), datetime.timedelta(seconds=1800), datetime.timedelta(days=1))

    Raises
    ------
    BadInput
        there is no such zone.
    """
    try:
        zone = ZoneInfo(timezone)
    except (KeyError, ValueError, OSError):
        hint = nearest(timezone, available_timezones())
        raise BadInput(f"There is no time zone {timezone!r}.{hint}", 'Write it as "Europe/Berlin".') from None
    moments = (datetime(year, month, 1, tzinfo=UTC) for year in _ZONE_YEARS for month in range(1, 13))
    offsets = {int((at.astimezone(zone).utcoffset() or timedelta()).total_seconds()) for at in moments}
    return timedelta(seconds=math.gcd(86_400, *offsets))
