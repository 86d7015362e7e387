"""A clock that stands still until it is told to go on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

__all__ = ["FakeClock"]


class FakeClock:
    """Call it for the time; `advance` it by hand.

    >>> clock = FakeClock(datetime(2026, 3, 1, tzinfo=UTC))
    >>> clock.advance(timedelta(hours=1))
    >>> clock().hour
    1
    """

    def __init__(self, now: datetime) -> None:
        self.now = now.astimezone(UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, by: timedelta) -> None:
        """Go on by *by*; a clock does not run backwards."""
        if by < timedelta(0):
            raise ValueError("a clock does not run backwards; set .now if that is what you test")
        self.now += by
