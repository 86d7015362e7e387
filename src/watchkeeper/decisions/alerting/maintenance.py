"""Maintenance windows: known beforehand, once or every week, in the clock of the people who do the work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from watchkeeper.decisions.tables import Duration, Matchers, Table, Zone, fault_of
from watchkeeper.domain.silence import Matcher
from watchkeeper.errors import BadInput, nearest

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def _days(raw: object) -> object:
    names = [raw] if isinstance(raw, str) else raw
    if not isinstance(names, list) or not names:
        return raw
    out = set()
    for day in names:
        word = str(day).lower()
        known = [i for i, name in enumerate(DAYS) if word in (name, name[:3])]
        if not known:
            raise fault_of(BadInput(f"{day!r} is not a day.{nearest(word, DAYS)}"))
        out.update(known)
    return tuple(sorted(out))


Days = Annotated[tuple[int, ...], BeforeValidator(_days, json_schema_input_type=str | list[str])]
"""Days of the week by name: "sunday", "sun"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance:
    """Alerts that match are not told while it lasts.

    Either one-off, ``start`` to ``end``; or weekly, on ``days`` at ``at`` in ``timezone`` for ``duration``, until
    ``expires`` if that is set; or ``spans`` that the shell worked out from a cron line.

    >>> from watchkeeper.domain.silence import parse_matchers
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


class MaintenanceTable(Table):
    """What every maintenance window says, whenever it is."""

    name: str = Field(min_length=1)
    """What the work is called."""
    match: Matchers = ()
    """Label -> value of the alerts that are muted; by default all of them."""
    reason: str = ""
    """Why."""
    timezone: Zone = "UTC"
    """The zone of its times."""
    expires: datetime | None = None
    """From then on it is over for good."""

    def window(self) -> Maintenance:
        """The decisions' word for it."""
        given = {f: getattr(self, f) for f in type(self).model_fields if f != "match"}
        zone = ZoneInfo(self.timezone)
        for key, value in given.items():
            if isinstance(value, datetime):
                local = value.replace(tzinfo=zone) if value.tzinfo is None else value
                given[key] = local.astimezone(UTC)
        return Maintenance(matchers=self.match, **given)


class OnceTable(MaintenanceTable):
    """Maintenance once, from its start to its end."""

    start: datetime
    """When it begins."""
    end: datetime
    """When it ends: a window that never ends hides what breaks."""

    @model_validator(mode="after")
    def _ends(self) -> OnceTable:
        made = self.window()
        if made.start is not None and made.end is not None and made.end <= made.start:
            raise PydanticCustomError("maintenance", "the end must come after the start")
        return self


class WeeklyTable(MaintenanceTable):
    """Maintenance every week, on some days at a time of day."""

    days: Days = tuple(range(7))
    """Days of the week; by default every day."""
    at: time
    """The time of day at which it begins."""
    duration: Duration = Field(gt=timedelta(0), le=timedelta(days=7))
    """How long it lasts: at most the week after which it comes again."""


class CronTable(MaintenanceTable):
    """Maintenance whenever a cron line says so."""

    cron: str
    """For example "0 2 * * SUN"."""
    duration: Duration = Field(gt=timedelta(0))
    """How long it lasts."""


_KINDS = {"once": ("start", "end"), "weekly": ("days", "at"), "cron": ("cron",)}


def _when(raw: Any) -> str:
    if isinstance(raw, MaintenanceTable):
        return f"{type(raw).__name__.removesuffix('Table').lower()}-table"
    said = [kind for kind, keys in _KINDS.items() if any(k in raw for k in keys)]
    return f"{said[0]}-table" if said else ""


def _says_when(raw: Any) -> Any:
    if isinstance(raw, Mapping) and sum(any(k in raw for k in keys) for keys in _KINDS.values()) != 1:
        raise PydanticCustomError(
            "maintenance",
            "must say when: start and end, or days, at and duration, or cron and duration; for example "
            'days = ["sunday"], at = "02:00", duration = "3h"',
        )
    return raw


AnyMaintenanceTable = Annotated[
    Annotated[OnceTable, Tag("once-table")]
    | Annotated[WeeklyTable, Tag("weekly-table")]
    | Annotated[CronTable, Tag("cron-table")],
    Discriminator(_when),
    BeforeValidator(_says_when),
]
"""A maintenance window of any kind, told apart by what it says of when.

>>> from watchkeeper.decisions.tables import read
>>> read(AnyMaintenanceTable, {"name": "x", "days": ["sunday"], "at": "02:00", "duration": "3h"}, "x").window().days
(6,)
"""
