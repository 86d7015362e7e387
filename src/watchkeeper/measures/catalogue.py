"""Every measure of every room, by name."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from watchkeeper.domain.measurement import Measure
from watchkeeper.errors import NotFound, nearest
from watchkeeper.measures.entry import Entry

ROOMS = ("drift", "quality", "performance", "fairness", "estimate", "service")


@cache
def entries(rooms: tuple[str, ...] = ROOMS) -> tuple[Entry, ...]:
    """The catalogues of all *rooms*, one after the other. A room is loaded when it is first asked for."""
    out: list[Entry] = []
    for room in rooms:
        out += import_module(f"watchkeeper.measures.{room}.catalogue").CATALOGUE
    return tuple(out)


@cache
def described_measures(rooms: tuple[str, ...] = ROOMS) -> dict[str, Measure]:
    """What decisions and pages know of each measure, by name."""
    return {e.name: e.measure for e in entries(rooms)}


def entry(name: str) -> Entry:
    """One line of the catalogues.

    Raises
    ------
    NotFound
        with the nearest name.
    """
    for e in entries():
        if e.name == name:
            return e
    raise NotFound(f"There is no measure {name!r}.{nearest(name, (e.name for e in entries()))}")
