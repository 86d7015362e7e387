"""One window, version and segment as it is stored.

A profile is stored in parts, one for each column and one for the rest, so that a chart of one column over a year
reads that column alone. The part of rows that were captured at a rate below 1 carries the rate in its name: counts
stay whole numbers, and are scaled when they are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pyarrow as pa

from watchkeeper.domain.schema import Schema
from watchkeeper.domain.series import WindowKey
from watchkeeper.domain.window import Window
from watchkeeper.errors import Incompatible, WatchkeeperError
from watchkeeper.profiles.segment_names import Entry, other_of
from watchkeeper.stats.states.baseline import Baseline
from watchkeeper.stats.states.by_rate import ByRate
from watchkeeper.stats.states.codec import decode, encode
from watchkeeper.stats.states.edges import Edges
from watchkeeper.stats.states.profile import ColumnProfile, Profile
from watchkeeper.stats.states.service import ServiceState

OLD_BINS = 64
"""Bins of profiles that are older than the full ones are kept."""
COLUMN = "column:"
REST = "rest"
SERVICE = "service"


@dataclass(frozen=True, eq=False, kw_only=True)
class StoredWindow:
    """What is known of one window, version and segment: the profile by sampling rate, and how it was served."""

    key: WindowKey
    profile: ByRate[Profile]
    service: ByRate[ServiceState]
    outcomes: int = 0

    @property
    def rows(self) -> int:
        """Captured rows."""
        return int(sum(p.rows for p in self.profile.states.values()))

    def coarsen(self, bins: int) -> StoredWindow:
        """The same with histograms of at most *bins* bins: how older days are kept."""
        return replace(
            self,
            profile=ByRate(states={rate: p.coarsen(bins) for rate, p in self.profile.states.items()}),
        )

    def merge(self, other: StoredWindow) -> StoredWindow:
        """Two windows of the same version and segment as one; the key stays that of the first.

        A full profile and one that was made coarse because of its age become a coarse one.
        """
        try:
            profile = self.profile.merge(other.profile)
        except Incompatible:
            profile = self.coarsen(OLD_BINS).profile.merge(other.coarsen(OLD_BINS).profile)
        return replace(
            self,
            profile=profile,
            service=self.service.merge(other.service),
            outcomes=self.outcomes + other.outcomes,
        )


def merged_column(one: ColumnProfile, other: ColumnProfile) -> ColumnProfile:
    """Two profiles of a column as one; a full one and one that was made coarse become a coarse one.

    Raises
    ------
    Incompatible
        their bins are those of different baselines.
    """
    try:
        return one.merge(other)
    except Incompatible:
        return one.coarsen(OLD_BINS).merge(other.coarsen(OLD_BINS))


def column_and_rate(part: str) -> tuple[str, float]:
    """The column and the sampling rate that a part's name says.

    >>> column_and_rate("column:age"), column_and_rate("column:age@0.1"), column_and_rate("column:x@2@1")
    (('age', 1.0), ('age', 0.1), ('x@2', 1.0))
    """
    name, rate = _name_and_rate(part)
    return name.removeprefix(COLUMN), rate


def _name_and_rate(part: str) -> tuple[str, float]:
    name, _, suffix = part.rpartition("@")
    return (name, float(suffix)) if name and _is_number(suffix) else (part, 1.0)


def _part_name(name: str, rate: float) -> str:
    """A name whose own end reads as a rate always carries one."""
    return name if rate == 1.0 and _name_and_rate(name)[0] == name else f"{name}@{rate:g}"


def known_edges(baseline: Baseline | None) -> dict[str, Edges]:
    """Edges that are not stored with each profile: the baseline's, and what they become when they get old."""
    if baseline is None:
        return {}
    coarse = (edges.coarsen(OLD_BINS) for edges in baseline.edges.values())
    return baseline.known | {edges.digest: edges for edges in coarse}


def cut_notes(windows: Iterable[StoredWindow]) -> list[str]:
    """What a reader must know of segments that have no name of their own."""
    return [
        f"{w.rows:,} rows are in segments of {' x '.join(_columns_of(w.key.segment))} beyond those kept by name"
        for w in windows
        if w.key.segment and w.key.segment == other_of(_columns_of(w.key.segment)) and w.rows
    ]


def _columns_of(segment: str) -> Entry:
    return tuple(part.partition("=")[0] for part in segment.split(" & "))


def parts_of(stored: StoredWindow, generation: int, known: Mapping[str, Edges]) -> list[dict[str, Any]]:
    """The rows that the lake keeps of one window, version and segment."""
    key = stored.key
    place = {
        "start": key.window.start,
        "end": key.window.end,
        "version": key.version,
        "segment": key.segment,
        "generation": generation,
    }
    out = []
    for rate, profile in stored.profile.states.items():
        for name, column in profile.columns.items():
            part = _part_name(f"{COLUMN}{name}", rate)
            out.append({**place, "part": part, "payload": encode(column, known=known)})
        rest = replace(profile, columns={}, sample=None)
        out.append({**place, "part": _part_name(REST, rate), "payload": encode(rest, known=known)})
    out.append({**place, "part": SERVICE, "payload": encode(stored.service)})
    return out


def profiles_of(table: pa.Table, known: Mapping[str, Edges]) -> dict[WindowKey, StoredWindow]:
    """Read back what `parts_of` wrote; the model's name is not stored and stays empty."""
    columns: dict[tuple[WindowKey, float], dict[str, ColumnProfile]] = {}
    rests: dict[tuple[WindowKey, float], Profile] = {}
    services: dict[WindowKey, ByRate[ServiceState]] = {}
    for row in table.to_pylist():
        key = WindowKey(
            model="", window=Window(row["start"], row["end"]), version=row["version"], segment=row["segment"]
        )
        name, rate = _name_and_rate(row["part"])
        thing = decode(row["payload"], known=known)
        if name == SERVICE:
            services[key] = thing
        elif name == REST:
            rests[key, rate] = thing
        else:
            columns.setdefault((key, rate), {})[name.removeprefix(COLUMN)] = thing
    out: dict[WindowKey, StoredWindow] = {}
    by_key: dict[WindowKey, dict[float, Profile]] = {}
    for place in dict.fromkeys([*rests, *columns]):
        key, rate = place
        held = columns.get(place, {})
        rest = rests.get(place) or Profile(schema=Schema(columns=tuple(c.column for c in held.values())))
        by_key.setdefault(key, {})[rate] = replace(rest, columns=held)
    for key in dict.fromkeys([*by_key, *services]):
        out[key] = StoredWindow(
            key=key,
            profile=ByRate(states=by_key.get(key, {})),
            service=services.get(key, ByRate.empty()),
        )
    return out


def judged_profiles(
    table: pa.Table, known: Mapping[str, Edges], whole: WindowKey, cadence: timedelta
) -> tuple[dict[tuple[str, str], StoredWindow], list[str]]:
    """A judged window *whole*, by version and segment: the merge of its stored windows in *table*; and what went wrong."""
    merged: dict[tuple[str, str], StoredWindow] = {}
    problems = []
    for key, stored in profiles_of(table, known).items():
        if key.window.length != cadence:
            continue
        place = (key.version, key.segment)
        moved = replace(stored, key=replace(whole, version=key.version, segment=key.segment))
        try:
            merged[place] = merged[place].merge(moved) if place in merged else moved
        except WatchkeeperError as problem:
            problems.append(problem.what)
    return merged, problems


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
