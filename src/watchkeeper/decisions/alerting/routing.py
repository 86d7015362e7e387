"""Routing: which channels hear of an alert, by its labels; the first route that matches, unless it goes on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from watchkeeper.decisions.tables import Duration, Matchers, Table
from watchkeeper.domain.silence import Matcher, all_match
from watchkeeper.errors import BadInput, nearest

LABELS = (
    "rule",
    "model",
    "severity",
    "category",
    "measure",
    "column",
    "segment",
    "version",
    "window",
    "source",
)
"""Labels that every alert may have; models and rules bring their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Alerts that match go to ``channels``; those with equal ``group_by`` labels become one message."""

    channels: tuple[str, ...]
    matchers: tuple[Matcher, ...] = ()
    group_by: tuple[str, ...] = ("model",)
    group_wait: timedelta = timedelta(seconds=30)
    group_interval: timedelta = timedelta(minutes=5)
    repeat_interval: timedelta = timedelta(hours=12)
    go_on: bool = False

    @property
    def name(self) -> str:
        """What tells its groups apart from other routes'."""
        return "|".join((",".join(self.channels), *map(str, self.matchers), ",".join(self.group_by)))


class RouteTable(Table):
    """Which alerts go to which channels; the first route that matches wins, unless it says to continue."""

    match: Matchers = ()
    """Label -> value, or "~regex"."""
    channels: tuple[str, ...]
    """Names of channels."""
    group_by: tuple[str, ...] = ("model",)
    """Alerts with the same values of these labels become one message."""
    group_wait: Duration = timedelta(seconds=30)
    """Wait this long for more of the same group before the first message."""
    group_interval: Duration = timedelta(minutes=5)
    """Wait this long before reporting changes in a group."""
    repeat_interval: Duration = timedelta(hours=12)
    """Repeat the message after this long while it goes on."""
    go_on: bool = False
    """Also try the routes after this one."""

    def route(self) -> Route:
        """The decisions' word for it."""
        return Route(
            matchers=self.match, **{f: getattr(self, f) for f in type(self).model_fields if f != "match"}
        )


def route_faults(
    routes: Sequence[Route], *, channels: Iterable[str], labels: Iterable[str] = ()
) -> Iterator[tuple[int, BadInput]]:
    """Routes to nowhere, or that group or match by a label that no alert has: which, and what is wrong.

    *labels* are those that models and rules bring.
    """
    places, known = list(channels), [*LABELS, *labels]
    for n, route in enumerate(routes):
        for channel in route.channels:
            if channel not in places:
                hint = nearest(channel, places)
                yield (
                    n,
                    BadInput(f"A route names the channel {channel!r}, which is not configured.{hint}"),
                )
        for label in (*route.group_by, *(m.label for m in route.matchers)):
            if label not in known:
                yield (
                    n,
                    BadInput(
                        f"A route uses the label {label!r}, which no alert has.{nearest(label, known)}",
                        f"Known: {', '.join(known)}.",
                    ),
                )


def routes_of(labels: Mapping[str, str], routes: Sequence[Route]) -> list[Route]:
    """The routes that an alert with *labels* takes.

    >>> from watchkeeper.domain.silence import parse_matchers
    >>> ops = Route(channels=("ops",), matchers=parse_matchers({"category": "~no_data|error"}))
    >>> rest = Route(channels=("ml",))
    >>> [r.channels for r in routes_of({"category": "error"}, [ops, rest])]
    [('ops',)]
    """
    out = []
    for route in routes:
        if all_match(route.matchers, labels):
            out.append(route)
            if not route.go_on:
                break
    return out
