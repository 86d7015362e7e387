"""Routing: which channels hear of an alert, by its labels; the first route that matches, unless it goes on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from watchkeeper.domain.duration import duration_of
from watchkeeper.domain.silence import Matcher, all_match, parse_matchers
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


_KEYS = ("match", "channels", "group_by", "group_wait", "group_interval", "repeat_interval", "go_on")


def parse_route(raw: Mapping[str, Any]) -> Route:
    """Read one route.

    Raises
    ------
    BadInput
        with the key at fault.
    """
    for key in raw:
        if key not in _KEYS:
            raise BadInput(f"A route has no key {key!r}.{nearest(key, _KEYS)}", f"Known: {', '.join(_KEYS)}.")
    given: dict[str, Any] = {k: duration_of(raw[k]) for k in _KEYS[3:6] if k in raw}
    if "group_by" in raw:
        given["group_by"] = tuple(raw["group_by"])
    return Route(
        channels=tuple(raw.get("channels", ())),
        matchers=parse_matchers(raw.get("match", {})),
        go_on=bool(raw.get("go_on", False)),
        **given,
    )


def check_routes(routes: Sequence[Route], *, channels: Iterable[str], labels: Iterable[str] = ()) -> None:
    """Refuse a route to nowhere, or one that groups or matches by a label that no alert has.

    *labels* are those that models and rules bring.

    Raises
    ------
    BadInput
        with the nearest name that is known.
    """
    places, known = list(channels), [*LABELS, *labels]
    for route in routes:
        for channel in route.channels:
            if channel not in places:
                raise BadInput(
                    f"A route names the channel {channel!r}, which is not configured.{nearest(channel, places)}"
                )
        for label in (*route.group_by, *(m.label for m in route.matchers)):
            if label not in known:
                raise BadInput(
                    f"A route uses the label {label!r}, which no alert has.{nearest(label, known)}",
                    f"Known: {', '.join(known)}.",
                )


def routes_of(labels: Mapping[str, str], routes: Sequence[Route]) -> list[Route]:
    """The routes that an alert with *labels* takes.

    >>> ops, rest = parse_route({"channels": ["ops"], "match": {"category": "~no_data|error"}}), parse_route({"channels": ["ml"]})
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
