"""Lengths of time as people write them: "15m", "36h", "7d"."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from watchkeeper.errors import BadInput

__all__ = ["duration_of", "duration_text", "duration_words", "moment_of"]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([smhdw])\s*")


def duration_of(text: object) -> timedelta:
    """Read a duration as people write it.

    Raises
    ------
    BadInput
        it is not a number with a unit.

    >>> duration_of("36h")
    datetime.timedelta(days=1, seconds=43200)
    """
    if isinstance(text, timedelta):
        return text
    found = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if not found:
        raise BadInput(
            f"{text!r} is not a duration.", 'Write a number and a unit: "30s", "15m", "1h", "7d" or "2w".'
        )
    return timedelta(seconds=float(found[1]) * _UNITS[found[2]])


def duration_text(length: timedelta) -> str:
    """Write a duration so that `duration_of` reads it.

    >>> duration_text(timedelta(minutes=90)), duration_text(timedelta(days=14))
    ('90m', '2w')
    """
    seconds = length.total_seconds()
    for unit, size in sorted(_UNITS.items(), key=lambda pair: -pair[1]):
        if seconds and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"


def moment_of(text: str, now: datetime, *, ahead: bool = False) -> datetime:
    """Read a time as people write it: ISO 8601 (UTC unless it says otherwise), ``now``, or how long before *now*.

    With *ahead*, a length of time is after *now*: for what will end or is due.

    Raises
    ------
    BadInput
        it is neither.

    >>> noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    >>> f"{moment_of('2h', noon):%H:%M} {moment_of('2h', noon, ahead=True):%H:%M} {moment_of('2026-02-28', noon):%d %b}"
    '10:00 14:00 28 Feb'
    """
    if text == "now":
        return now
    try:
        length = duration_of(text)
    except BadInput:
        pass
    else:
        try:
            return now + length if ahead else now - length
        except OverflowError:
            raise BadInput(f"{text!r} is too long.") from None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        when = "from now" if ahead else "ago"
        raise BadInput(
            f"{text!r} is not a time.", f'Write "2026-01-31", "2026-01-31T22:00Z" or "30d" ({when}).'
        ) from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def duration_words(length: timedelta) -> str:
    """Say a duration as a person would.

    >>> duration_words(timedelta(hours=36)), duration_words(timedelta(days=14)), duration_words(timedelta(0))
    ('36 hours', '14 days', 'no time')
    """
    seconds = length.total_seconds()
    for size, name in ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= size and (seconds % size == 0 or seconds >= 10 * size or size == 1):
            count = round(seconds / size)
            return f"{count} {name}" + ("s" if count != 1 else "")
    return "no time"
