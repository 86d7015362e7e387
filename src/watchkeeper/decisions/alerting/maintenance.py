"""Maintenance windows: known beforehand, once or every week, in the clock of the people who do the work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from watchkeeper.domain.duration import duration_of
from watchkeeper.domain.silence import Matcher, parse_matchers
from watchkeeper.errors import BadInput, nearest

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance:
    """Alerts that match are not told while it lasts.

    Either one-off, ``start`` to ``end``; or weekly, on ``days`` at ``at`` in ``timezone`` for ``duration``, until
    ``expires`` if that is set; or ``spans`` that the shell worked out from a cron line.

    >>> weekly = Maintenance(name="reload", days=(6,), at=time(2, 0), duration=timedelta(hours=3),
    ...                      timezone="Europe/Berlin", matchers=parse_matchers({"model": "churn"}))
    >>> weekly.until(datetime(2026, 3, 29, 1, 30, tzinfo=UTC))
    datetime.datetime(2026, 3, 29, 4, 0, tzinfo=datetime.timezone.utc)
    """

    name: str
    matchers: tuple[Matcher, ...] = ()
    reason: str = ""
    start: datetime | None = None
    end: datetime | None = None
    days: tuple[int, ...] = ()
    at: time | None = None
    duration: timedelta = timedelta(0)
    timezone: str = "UTC"
    expires: datetime | None = None
    cron: str = ""
    spans: tuple[tuple[datetime, datetime], ...] = ()

    def until(self, now: datetime) -> datetime | None:
        """When the window that holds *now* ends; None: none does."""
        if self.start is not None and self.end is not None:
            return self.end if self.start <= now < self.end else None
        if self.expires is not None and now >= self.expires:
            return None
        for start, end in self.spans:
            if start <= now < end:
                return end
        if self.at is None:
            return None
        zone = ZoneInfo(self.timezone)
        today = now.astimezone(zone).date()
        for back in range(self.duration.days + 2):
            day: date = today - timedelta(days=back)
            if day.weekday() not in self.days:
                continue
            begins = datetime.combine(day, self.at, tzinfo=zone).astimezone(UTC)
            if begins <= now < begins + self.duration:
                return begins + self.duration
        return None


_KEYS = ("name", "match", "reason", "start", "end", "days", "at", "duration", "timezone", "expires", "cron")


def parse_maintenance(raw: Mapping[str, Any]) -> Maintenance:
    """Read one maintenance window.

    Raises
    ------
    BadInput
        with the key at fault.

    >>> parse_maintenance({"name": "x", "days": ["sunday"], "at": "02:00", "duration": "3h"}).days
    (6,)
    """
    name = raw.get("name")
    if not isinstance(name, str) or not name:
        raise BadInput("A maintenance window needs a name.")
    where = f"The maintenance window {name!r}"
    for key in raw:
        if key not in _KEYS:
            raise BadInput(f"{where} has no key {key!r}.{nearest(key, _KEYS)}", f"Known: {', '.join(_KEYS)}.")
    timezone = str(raw.get("timezone", "UTC"))
    try:
        zone = ZoneInfo(timezone)
    except (KeyError, ValueError, OSError):
        raise BadInput(f"{where}: {timezone!r} is not a time zone.") from None
    expires = _moment(raw.get("expires"), zone, where, "expires")
    shared: dict[str, Any] = {
        "name": name,
        "matchers": parse_matchers(raw.get("match", {})),
        "reason": str(raw.get("reason", "")),
        "timezone": timezone,
        "expires": expires,
    }
    once = "start" in raw or "end" in raw
    weekly = "days" in raw or "at" in raw
    cron = "cron" in raw
    if once + weekly + cron != 1:
        raise BadInput(
            f"{where} must say when: start and end, or days, at and duration, or cron and duration.",
            'For example days = ["sunday"], at = "02:00", duration = "3h".',
        )
    if once:
        start, end = (_moment(raw.get(k), zone, where, k) for k in ("start", "end"))
        if start is None or end is None or end <= start:
            raise BadInput(
                f"{where} needs a start, and an end after it.", "A window that never ends hides what breaks."
            )
        return Maintenance(**shared, start=start, end=end)
    if "duration" not in raw:
        raise BadInput(f"{where} needs its duration.", 'Say duration = "3h".')
    duration = duration_of(raw["duration"])
    if duration <= timedelta(0):
        raise BadInput(f"{where} lasts no time at all.")
    if cron:
        return Maintenance(**shared, cron=str(raw["cron"]), duration=duration)
    if duration > timedelta(days=7):
        raise BadInput(f"{where} lasts longer than the week in which it comes again.")
    return Maintenance(
        **shared, days=_days(raw.get("days", DAYS), where), at=_time(raw.get("at"), where), duration=duration
    )


def _days(raw: Any, where: str) -> tuple[int, ...]:
    names: Sequence[Any] = (raw,) if isinstance(raw, str) else raw
    out = []
    for day in names:
        word = str(day).lower()
        found = [i for i, known in enumerate(DAYS) if known == word or known[:3] == word]
        if not found:
            raise BadInput(f"{where}: {day!r} is not a day.{nearest(word, DAYS)}")
        out += found
    return tuple(sorted(set(out)))


def _time(raw: Any, where: str) -> time:
    try:
        return raw if isinstance(raw, time) else time.fromisoformat(str(raw))
    except ValueError:
        raise BadInput(f"{where}: at is {raw!r}, and must be a time of day.", 'Say at = "02:00".') from None


def _moment(raw: Any, zone: ZoneInfo, where: str, key: str) -> datetime | None:
    if raw is None:
        return None
    try:
        at = raw if isinstance(raw, datetime) else datetime.fromisoformat(str(raw))
    except ValueError:
        raise BadInput(
            f"{where}: {key} is {raw!r}, and must be a time.", 'Say "2026-01-31T22:00Z".'
        ) from None
    return (at.replace(tzinfo=zone) if at.tzinfo is None else at).astimezone(UTC)
