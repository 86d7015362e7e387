"""Numbers, times and states as words: one way to say each thing on every page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any


def figure(value: float | None) -> str:
    """A number as short as it may be said.

    >>> figure(0.81349), figure(12345.6), figure(3), figure(None), figure(0.00001234)
    ('0.813', '12,346', '3', '–', '1.23e-05')
    """
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def per_cent(share: float | None) -> str:
    """A share as a percentage.

    >>> per_cent(0.1234), per_cent(0.0), per_cent(0.00004), per_cent(1)
    ('12.3%', '0%', '0.004%', '100%')
    """
    if share is None:
        return "–"
    return f"{100 * share:.3g}%"


def with_unit(value: float | None, unit: str) -> str:
    """A value in its measure's unit.

    >>> with_unit(0.042, "s"), with_unit(0.02, "share of rows"), with_unit(3.2, "1/s"), with_unit(0.8, "")
    ('42 ms', '2%', '3.2 a second', '0.8')
    """
    if value is None:
        return "–"
    if unit.startswith("share of"):
        return per_cent(value)
    if unit == "s":
        return seconds(value)
    if unit == "1/s":
        return rate(value)
    return figure(value) + (f" {unit}" if unit in ("rows", "sd", "bit", "nat", "nats", "values") else "")


def seconds(value: float) -> str:
    """A duration in the unit that fits it.

    >>> seconds(0.0031), seconds(0.25), seconds(75), seconds(7200), seconds(200_000)
    ('3.1 ms', '250 ms', '75 s', '2 h', '2.31 days')
    """
    if value < 1:
        return f"{1000 * value:.3g} ms"
    if value < 100:
        return f"{value:.3g} s"
    if value < 5400:
        return f"{value / 60:.3g} min"
    if value < 2 * 86400:
        return f"{value / 3600:.3g} h"
    return f"{value / 86400:.3g} days"


def rate(value: float) -> str:
    """A rate in the unit in which it is more than one.

    >>> rate(12.5), rate(0.25), rate(0.002)
    ('12.5 a second', '15 a minute', '7.2 an hour')
    """
    if value >= 1 or value == 0:
        return f"{figure(value)} a second"
    if value * 60 >= 1:
        return f"{60 * value:.3g} a minute"
    return f"{3600 * value:.3g} an hour"


def plural(n: int, word: str) -> str:
    """A count and its noun.

    >>> plural(1, "model"), plural(2000, "model")
    ('1 model', '2,000 models')
    """
    return f"{n:,} {word}" if n == 1 else f"{n:,} {word}s"


def listed(words: Sequence[str]) -> str:
    """Words joined as in a sentence.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def _time(at: datetime | str | None) -> datetime | None:
    if at is None or at == "":
        return None
    found = datetime.fromisoformat(at) if isinstance(at, str) else at
    return found.astimezone(UTC)


def moment(at: datetime | str | None, *, now: datetime | None = None) -> str:
    """A time in UTC; the year is left out when it is this one.

    >>> moment("2026-03-01T07:05:00+00:00")
    '1 Mar 2026, 07:05'
    """
    found = _time(at)
    if found is None:
        return "–"
    day = (
        f"{found.day} {found:%b}"
        if now is not None and found.year == now.year
        else f"{found.day} {found:%b %Y}"
    )
    return day if (found.hour, found.minute) == (0, 0) else f"{day}, {found:%H:%M}"


def span_of_days(start: datetime, end: datetime, *, now: datetime) -> str:
    """A window in words: whole days by their first and last, others by both of their times.

    >>> now, day = datetime(2026, 3, 9, tzinfo=UTC), timedelta(days=1)
    >>> span_of_days(now, now + 3 * day, now=now), span_of_days(now, now + day, now=now)
    ('9 to 11 Mar', '9 Mar')
    >>> span_of_days(now, now + day / 4, now=now)
    '9 Mar to 9 Mar, 06:00'
    """
    first, last = start.astimezone(UTC), end.astimezone(UTC)
    if (first.hour, first.minute, last.hour, last.minute) != (0, 0, 0, 0):
        return f"{moment(first, now=now)} to {moment(last, now=now)}"
    last -= timedelta(days=1)
    if last <= first:
        return moment(first, now=now)
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day} to {moment(last, now=now)}"
    return f"{moment(first, now=now)} to {moment(last, now=now)}"


def ago(at: datetime | str | None, now: datetime) -> str:
    """How long before *now*.

    >>> now = datetime(2026, 3, 2, tzinfo=UTC)
    >>> ago("2026-03-01T22:00:00+00:00", now), ago("2026-02-01T00:00:00+00:00", now), ago(now, now)
    ('2 hours ago', '29 days ago', 'just now')
    """
    found = _time(at)
    if found is None:
        return "never"
    gone = now - found
    if gone < timedelta(0):
        return f"in {_span(-gone)}"
    return "just now" if gone < timedelta(minutes=1) else f"{_span(gone)} ago"


def _span(length: timedelta) -> str:
    for size, word in ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        n = int(length.total_seconds() // size)
        if n >= (2 if size == 86400 else 1):
            return plural(n, word)
    return "0 seconds"


def span(text: timedelta | float) -> str:
    """A length of time in words.

    >>> span(3600), span(86400), span(timedelta(days=7)), span(900)
    ('hour', 'day', 'week', '15 minutes')
    """
    length = text if isinstance(text, timedelta) else timedelta(seconds=float(text))
    known = {3600: "hour", 86400: "day", 604800: "week", 60: "minute"}
    return known.get(int(length.total_seconds())) or _span(length)


def spark(points: Sequence[Sequence[float]], *, width: int = 120, height: int = 28) -> str:
    """A line of (x, mean, least, largest) with its band, as SVG of a few hundred bytes; words beside it say the rest.

    >>> spark([])
    ''
    """
    from markupsafe import Markup

    if len(points) < 2:
        return ""
    x0, x1 = points[0][0], points[-1][0]
    low, high = min(p[2] for p in points), max(p[3] for p in points)
    room = (high - low) or 1.0

    def x(p: Sequence[float]) -> str:
        return f"{width * (p[0] - x0) / (x1 - x0):.4g}"

    def y(value: float) -> str:
        return f"{height - 2 - (height - 4) * (value - low) / room:.3g}"

    above = "L".join(f"{x(p)} {y(p[3])}" for p in points)
    below = "L".join(f"{x(p)} {y(p[2])}" for p in reversed(points))
    line = "L".join(f"{x(p)} {y(p[1])}" for p in points)
    return Markup(  # noqa: S704 - numbers only
        f'<svg class="spark" viewBox="0 0 {width} {height}" preserveAspectRatio="none" aria-hidden="true" '
        f'focusable="false"><path class="sb" d="M{above}L{below}Z"/><path class="sl" d="M{line}"/></svg>'
    )


def whisker(
    row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], level: float | None = None, *, width: int = 160
) -> str:
    """A value with its interval as a dot on a line, on the scale that *rows* share; *level* is a thin line.

    >>> whisker({"value": None}, [])
    ''
    """
    from markupsafe import Markup

    known = [v for r in rows for k in ("low", "value", "high") if (v := r.get(k)) is not None]
    known += [level] if level is not None else []
    if row.get("value") is None or not known:
        return ""
    least, room = min(known), (max(known) - min(known)) or 1.0

    def x(value: float) -> str:
        return f"{4 + (width - 8) * (value - least) / room:.4g}"

    low, high = (row["value"] if row.get(k) is None else row[k] for k in ("low", "high"))
    at = "" if level is None else f'<path class="wb" d="M{x(level)} 0V16"/>'
    return Markup(  # noqa: S704 - numbers only
        f'<svg class="whisker" viewBox="0 0 {width} 16" width="{width}" height="16" aria-hidden="true" '
        f'focusable="false">{at}<path class="wl" d="M{x(low)} 8H{x(high)}"/>'
        f'<circle class="wd" cx="{x(row["value"])}" cy="8" r="3.2"/></svg>'
    )


FILTERS: dict[str, Any] = {
    "figure": figure,
    "per_cent": per_cent,
    "with_unit": with_unit,
    "plural": plural,
    "listed": listed,
    "moment": moment,
    "ago": ago,
    "span": span,
    "count": lambda n: f"{n:,.0f}",
}
