"""What the URL says: period, segment, version, page. Every filter lives there, so that a link shows the same page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from watchkeeper.errors import BadInput

PERIODS = {"1d": 1, "7d": 7, "30d": 30, "90d": 90, "1y": 365}
"""Names of usual periods, in days."""


@dataclass(frozen=True, slots=True)
class Period:
    """``[start, end)``; *name* is "7d" or the like, or empty where start and end were given."""

    start: datetime
    end: datetime
    name: str = ""

    @property
    def query(self) -> dict[str, str]:
        """The same period as the URL says it."""
        if self.name:
            return {"period": self.name}
        return {"start": _text(self.start), "end": _text(self.end)}

    def to_dict(self) -> dict[str, str]:
        """Plain JSON."""
        return {"start": self.start.isoformat(), "end": self.end.isoformat(), "name": self.name}


def period(query: Mapping[str, str], *, newest: datetime, usual: str = "30d") -> Period:
    """The period that the URL asks for; without one, *usual* up to the newest window.

    Raises
    ------
    BadInput
        a date cannot be read, or the end is before the start.
    """
    if query.get("start") or query.get("end"):
        try:
            return _from_to(query, newest)
        except OverflowError:
            raise BadInput(
                "The period leaves the calendar.", "Give a start and an end between the years 1 and 9999."
            ) from None
    name = query.get("period", usual)
    if name not in PERIODS:
        raise BadInput(
            f"There is no period {name!r}.", f"Known: {', '.join(PERIODS)}, or give start and end."
        )
    return Period(newest - timedelta(days=PERIODS[name]), newest, name)


def _from_to(query: Mapping[str, str], newest: datetime) -> Period:
    end = _moment(query["end"], "end") if query.get("end") else newest
    start = _moment(query["start"], "start") if query.get("start") else end - timedelta(days=30)
    if "T" not in query.get("end", "T"):
        end += timedelta(days=1)  # a day's name means all of it
    if end <= start:
        raise BadInput("The period ends before it starts.", "Give a start before the end.")
    return Period(start, end)


def _moment(text: str, what: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(
            f"The {what} {text!r} is not a date.", "Write 2026-03-01 or 2026-03-01T06:00Z."
        ) from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%MZ")


def whole(query: Mapping[str, str], name: str, *, usual: int, least: int = 1, most: int = 10**6) -> int:
    """A whole number of the URL, between *least* and *most*.

    Raises
    ------
    BadInput
        it is not one.
    """
    text = query.get(name, "")
    if not text:
        return usual
    try:
        return min(most, max(least, int(text)))
    except ValueError:
        raise BadInput(f"{name}={text!r} is not a whole number.") from None


@dataclass(frozen=True, slots=True)
class Pager:
    """Which part of a long list is shown. *total* may be None where counting would be slower than reading."""

    page: int
    size: int
    total: int

    @property
    def offset(self) -> int:
        """Entries before this page."""
        return (self.page - 1) * self.size

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        pages = max(1, -(-self.total // self.size))
        return {"page": self.page, "pages": pages, "size": self.size, "total": self.total}


def pager(query: Mapping[str, str], *, total: int, size: int) -> Pager:
    """The page that the URL asks for; one past the end is the last.

    >>> pager({"page": "9"}, total=120, size=50).to_dict()
    {'page': 3, 'pages': 3, 'size': 50, 'total': 120}
    """
    last = max(1, -(-total // size))
    return Pager(whole(query, "page", usual=1, most=last), size, total)
