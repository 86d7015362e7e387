"""Measurements from outside are kept beside ours, replaced when sent again, and judged by rules."""

from datetime import UTC, datetime, timedelta

import pytest

from watchkeeper.capture.recorder import Recorder
from watchkeeper.domain.window import Window
from watchkeeper.testing.clock import FakeClock
from watchkeeper.web.api.app import guarded_api
from watchkeeper.web.api.intake import Intake
from watchkeeper.wiring import open_project

testclient = pytest.importorskip("starlette.testclient")
T0 = datetime(2026, 3, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
RULE = """
[models.m]
[[models.m.rules]]
name = "the GPU is full"
measure = "outside.gpu_use"
above = 0.9
min_rows = 0
severity = "critical"
"""


@pytest.fixture
def client(tmp_path):
    (tmp_path / "watchkeeper.toml").write_text(RULE)
    watch = open_project(tmp_path, clock=FakeClock(T0 + DAY + HOUR))
    intake = Intake(watch.data)
    with testclient.TestClient(guarded_api(watch, intake=intake), base_url="http://127.0.0.1") as client:
        client.watch = watch
        yield client
    intake.close()
    watch.close()


def hours(value, *, measure="outside.gpu_use"):
    return [
        {
            "measure": measure, "subject": "gpu0", "value": value,
            "start": (T0 + h * HOUR).isoformat(), "end": (T0 + (h + 1) * HOUR).isoformat(),
        }
        for h in range(24)
    ]  # fmt: skip


def send(client, rows):
    return client.post("/v1/models/m/measurements", json={"measurements": rows})


def test_they_are_kept_and_replaced_when_sent_again(client):
    assert send(client, hours(0.5)).json() == {"stored": 24, "refused": []}
    assert send(client, hours(0.6)).status_code == 202
    found = client.get("/v1/models/m/measurements?measure=outside.gpu_use").json()["measurements"]
    assert [(m["subject"], m["value"]) for m in found] == [("gpu0", 0.6)] * 24


@pytest.mark.parametrize(("use", "fires"), [(0.95, True), (0.85, False)])
def test_a_rule_judges_the_mean_of_the_day(client, use, fires):
    with Recorder("m", "1", path=client.watch.data) as recorder:
        for i in range(48):
            recorder.record({"x": float(i)}, 1, id=str(i), at=T0 + i * timedelta(minutes=30))
    send(client, hours(use))
    assert client.watch.tick().to_dict()["problems"] == []
    assert client.get("/v1/status").status_code == 200
    assert client.get("/v1/models/m/windows/2026-03-01").status_code == 200
    client.watch.backfill("m", T0, T0 + DAY)
    client.watch.ledger.measurements.drop_stale("m", [Window(T0, T0 + HOUR)], before=T0 + 9 * DAY)
    kept = client.get("/v1/models/m/measurements?measure=outside.gpu_use").json()["measurements"]
    assert len(kept) == 24
    alerts = client.get("/v1/alerts?state=firing").json()["alerts"]
    assert [a["rule"] == "the GPU is full" for a in alerts] == [True] * fires


def test_what_cannot_be_kept_is_one_row_s_error(client):
    naive = {**hours(0.5)[0], "start": "2026-03-01T00:00:00", "end": "2026-03-01T01:00:00"}
    back = {**hours(0.5)[1], "end": "2026-02-01T00:00:00Z"}
    done = send(client, [hours(0.5)[0], {**hours(0.5)[1], "measure": "psi"}, naive, back])
    assert done.status_code == 202
    refused = {r["row"]: r["error"] for r in done.json()["refused"]}
    assert set(refused) == {1, 2, 3}
    assert "Call it outside.NAME" in refused[1]
    assert "time zone" in refused[2]
    assert "must end after it starts" in refused[3]
    assert send(client, [{**hours(0.5)[1], "measure": "psi"}]).status_code == 400
    assert send(client, [{**hours(0.5)[1], "surprise": 1}]).status_code == 400
    assert client.post("/v1/models/mm/measurements", json={"measurements": []}).status_code == 404
