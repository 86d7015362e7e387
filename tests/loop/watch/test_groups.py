"""Under watch, the segments and the versions of a window are compared with each other, once a judged window."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from watchkeeper.capture.recorder import Recorder
from watchkeeper.testing.clock import FakeClock
from watchkeeper.wiring import open_project

T0 = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def test_segments_and_versions_are_compared(tmp_path):
    (tmp_path / "watchkeeper.toml").write_text(
        '[models.m]\ntask = "binary"\npositive = "1"\nsegments = ["region"]\n'
    )
    dice = np.random.default_rng(2)
    wanted = {"north": [], "south": []}
    by_version = {"1": [], "2": []}
    with open_project(tmp_path, clock=FakeClock(T0 + 2 * DAY)) as watch:
        for version in ("1", "2"):
            with Recorder("m", version, path=watch.data) as recorder:
                for i in range(300):
                    region = "north" if i % 2 else "south"
                    said = int(dice.random() < (0.7 if region == "north" else 0.4))
                    wanted[region].append(said)
                    by_version[version].append(said)
                    at = T0 + timedelta(minutes=4 * i)
                    recorder.record({"region": region}, said, id=f"{version}-{i}", at=at)
                    recorder.outcome(f"{version}-{i}", int(dice.random() < 0.5))
        assert watch.tick().to_dict()["problems"] == []
        rows = watch.measurements("m", measures=["demographic_parity_difference"]).to_pylist()
        found = {r["subject"]: r for r in rows}
        assert set(found) == {"region", "version"}
        assert len(rows) == 2  # of the judged day, not of its hours
        rates = {g: np.mean(v) for g, v in wanted.items()}
        assert found["region"]["value"] == pytest.approx(rates["north"] - rates["south"])
        assert found["region"]["low"] > 0
        v = {g: np.mean(x) for g, x in by_version.items()}
        assert found["version"]["value"] == pytest.approx(abs(v["1"] - v["2"]))
        assert found["version"]["low"] == 0
