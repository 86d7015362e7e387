"""The year, day by day: predictions over HTTP, outcomes as late as the flights were, and a tick each night."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from watchkeeper.capture.identity import IdSource
from watchkeeper.capture.recorder import Recorder
from watchkeeper.cli.demo.flights import NEW_YORK, Flights
from watchkeeper.cli.demo.model import LateModel
from watchkeeper.cli.demo.service import DATA, MODEL_FILE
from watchkeeper.errors import WatchkeeperError

MODEL = "late-flights"
VERSION = "2013-02"
OUTCOME_DELAY = timedelta(hours=20)
"""How long after a flight has landed its outcome is told: no flight's on the day on which it leaves."""
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Episode:
    """A week in which an upstream column breaks. It is injected by the demo, and labelled so wherever it shows."""

    start: datetime
    end: datetime

    def sent(self, flights: Flights) -> pa.Table:
        """The features of *flights* as the model is given them."""
        rows = flights.rows.drop_columns(["id"])
        times = [
            datetime.fromtimestamp(us // 3_600_000_000 * 3600, tz=UTC) for us in flights.departs_us.tolist()
        ]
        broken = [self.breaks(row, at) for row, at in zip(rows.to_pylist(), times, strict=True)]
        return pa.Table.from_pylist(broken, schema=rows.schema)

    def breaks(self, row: dict[str, Any], at: datetime) -> dict[str, Any]:
        """The feed loses the carrier of every other flight, and sends kilometres where miles belong.

        >>> week = Episode(start=day_start(10, 14), end=day_start(10, 21))
        >>> week.breaks({"carrier": "UA", "distance": 1000.0}, day_start(10, 15))
        {'carrier': None, 'distance': 1609.0}
        """
        if not self.start <= at < self.end:
            return row
        lost = int(row["distance"]) % 2 == 0
        return {**row, "carrier": None if lost else row["carrier"], "distance": row["distance"] * 1.609}


def day_start(month: int, day: int = 1, year: int = 2013) -> datetime:
    """Midnight in New York, as UTC."""
    return datetime(year, month, day, tzinfo=NEW_YORK).astimezone(UTC)


def next_day(start: datetime) -> datetime:
    """The midnight in New York after *start*: 23, 24 or 25 hours later.

    >>> (next_day(day_start(3, 10)) - day_start(3, 10)).total_seconds() / 3600
    23.0
    """
    tomorrow = start.astimezone(NEW_YORK).date() + DAY
    return day_start(tomorrow.month, tomorrow.day, tomorrow.year)


def baseline_rows(flights: Flights, scores: NDArray[np.float64]) -> pa.Table:
    """The rows that the baseline is taken of, with the scores of models that had not seen the day."""
    late = [None if y < 0 else int(y) for y in flights.late.tolist()]
    return (
        flights.rows.drop_columns(["id"])
        .append_column("at", pa.array(flights.departs_us, pa.timestamp("us", tz="UTC")))
        .append_column("score", pa.array(scores))
        .append_column("prediction", pa.array((scores >= 0.5).astype(np.int64)))
        .append_column("outcome", pa.array(late, pa.int64()))
    )


@contextmanager
def serving(model: LateModel, folder: Path, data: Path) -> Iterator[str]:
    """The model server in a process of its own; yields its address. It ends with the block, whatever happens."""
    import httpx

    from watchkeeper.cli.demo.receivers import free_port

    file = folder / "model.pickle"
    file.write_bytes(pickle.dumps(model))
    port = free_port()
    command = [
        sys.executable, "-m", "uvicorn", "watchkeeper.cli.demo.service:create", "--factory",
        "--host", "127.0.0.1", "--port", str(port), "--log-level", "warning", "--no-access-log",
    ]  # fmt: skip
    environment = {**os.environ, MODEL_FILE: str(file), DATA: str(data), "OMP_NUM_THREADS": "1"}
    log = (folder / "server.log").open("w")
    server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)  # noqa: S603 - our own words
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            if server.poll() is not None:
                said = (folder / "server.log").read_text()[-800:]
                raise WatchkeeperError(f"The demo's model server did not start.\n{said}")
            try:
                if httpx.get(f"{address}/healthz", timeout=1).status_code == 200:
                    break
            except httpx.HTTPError:
                time.sleep(0.1)
        yield address
    finally:
        server.terminate()
        try:
            server.wait(timeout=10)
        except subprocess.TimeoutExpired:
            server.kill()
        log.close()


@dataclass(slots=True)
class Replay:
    """Sends one day after the other. ``told`` outcomes wait in a queue until their time has come."""

    flights: Flights
    address: str
    data: Path
    episode: Episode | None = None
    last: datetime | None = None
    """No flight is sent that leaves at this time or later."""
    predictions: int = 0
    outcomes: int = 0
    _waiting: list[tuple[int, str, int]] = field(default_factory=list)
    _now: float = 0.0
    _client: Any = None
    _recorder: Recorder | None = None
    _ids: IdSource | None = None

    def __enter__(self) -> Replay:
        import httpx

        self._client = httpx.Client(base_url=self.address, timeout=30)
        self._ids = IdSource(clock=lambda: self._now)
        # Outcomes come from another process than predictions, as they do in life.
        self._recorder = Recorder(
            MODEL, VERSION, path=self.data, durability="strict", clock=lambda: self._now
        )
        return self

    def __exit__(self, *_: object) -> None:
        if self._recorder is not None:
            self._recorder.close()
        if self._client is not None:
            self._client.close()

    def day(self, start: datetime, end: datetime) -> None:
        """One day: each hour's flights in one request, then the outcomes that have become known by its end."""
        flights = self.flights.between(start, min(end, self.last or end))
        hours = flights.departs_us // 3_600_000_000
        rows = flights.rows.drop_columns(["id"]).to_pylist()
        for hour in np.unique(hours).tolist():
            self._hour(hour, np.flatnonzero(hours == hour).tolist(), rows, flights)
        self.tell(end)

    def _hour(self, hour: int, places: list[int], rows: list[dict[str, Any]], flights: Flights) -> None:
        assert self._ids is not None
        self._now = hour * 3600.0
        at = datetime.fromtimestamp(self._now, tz=UTC)
        instances = [rows[i] for i in places]
        if self.episode is not None:
            instances = [self.episode.breaks(row, at) for row in instances]
        ids = [self._ids.next()[0] for _ in places]
        answer = self._client.post("/predict", json={"now": self._now, "ids": ids, "instances": instances})
        answer.raise_for_status()
        self.predictions += len(ids)
        for id, i in zip(ids, places, strict=True):
            if flights.late[i] >= 0:
                self._waiting.append((int(flights.arrived_us[i]), id, int(flights.late[i])))

    def tell(self, until: datetime) -> None:
        """Tell the outcomes of flights that landed long enough before *until*."""
        assert self._recorder is not None
        limit = int((until - OUTCOME_DELAY).timestamp() * 1e6)
        ripe = [w for w in self._waiting if w[0] <= limit]
        self._waiting = [w for w in self._waiting if w[0] > limit]
        self._now = until.timestamp()
        if ripe:
            self._recorder.outcomes(
                {
                    "id": [id for _, id, _ in ripe],
                    "actual": [late for _, _, late in ripe],
                    "at": pa.array(
                        [us + OUTCOME_DELAY // timedelta(microseconds=1) for us, _, _ in ripe],
                        pa.timestamp("us", tz="UTC"),
                    ),
                },
                id="id",
                actual="actual",
                at="at",
            )
            self._recorder.flush()
            self.outcomes += len(ripe)
