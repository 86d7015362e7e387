"""Measurements over HTTP say what the ledger says, in JSON, CSV, Arrow and for Prometheus."""

import io
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from watchkeeper.capture.recorder import Recorder
from watchkeeper.testing.clock import FakeClock
from watchkeeper.web.api.app import guarded_api
from watchkeeper.web.api.intake import Intake
from watchkeeper.wiring import open_project

testclient = pytest.importorskip("starlette.testclient")
T0 = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reads")
    (folder / "watchkeeper.toml").write_text('[models.m]\nsegments = ["plan"]\n')
    watch = open_project(folder, clock=FakeClock(T0 + timedelta(days=1)))
    with Recorder("m", "1", path=watch.data) as recorder:
        for i in range(200):
            plan = "pro" if i % 2 else "basic"
            at = T0 + timedelta(minutes=7 * i)
            recorder.record(
                {"x": float(i), "plan": plan}, i % 2, score=i / 200, id=f"p{i}", at=at, latency_s=0.01
            )
            recorder.outcome(f"p{i}", i % 2)
    assert watch.tick().to_dict()["problems"] == []
    intake = Intake(watch.data)
    with testclient.TestClient(guarded_api(watch, intake=intake), base_url="http://127.0.0.1") as client:
        client.watch = watch
        yield client
    intake.close()
    watch.close()


def test_measurements_are_filtered_and_come_in_three_forms(client):
    path = "/v1/models/m/measurements?measure=error_rate&segment=&version="
    found = client.get(path).json()["measurements"]
    table = client.watch.measurements("m", measures=["error_rate"], segments=[""], versions=[""])
    assert len(found) == table.num_rows == 25
    arrow = pa.ipc.open_stream(client.get(path + "&format=arrow").content).read_all()
    assert arrow.equals(table)
    assert len(client.get(path + "&format=csv").text.splitlines()) == 26
    day = client.get(path + "&from=2026-03-01T05:00Z&to=2026-03-01T07:00Z").json()["measurements"]
    assert [m["start"][:13] for m in day] == ["2026-03-01T05", "2026-03-01T06"]
    assert client.get(path + "&limit=3").json()["more"] is True


def test_what_is_asked_wrongly_is_told(client):
    assert client.get("/v1/models/mm/measurements").status_code == 404
    assert client.get("/v1/models/m/measurements?from=yesterday").status_code == 400
    assert client.get("/v1/models/m/measurements?format=xml").status_code == 400
    assert client.get("/v1/models/m/windows/2026-05-05").status_code == 404


def test_status_and_windows_explain_themselves(client):
    status = client.get("/v1/status").json()
    assert status["models"][0]["freshest"]["window"] == "2026-03-01T00:00Z/P1D"
    assert client.get("/v1/models").json()["models"][0]["model"] == "m"
    told = client.get("/v1/models/m/windows/2026-03-01T00:00Z/P1D").json()
    assert (told["rows"], told["outcomes"], told["mature"], told["stored_windows"]["with_rows"]) == (
        200,
        200,
        True,
        24,
    )


def test_prometheus_reads_the_newest_values(client):
    from prometheus_client.parser import text_string_to_metric_families

    text = client.get("/metrics").text
    families = {f.name: f for f in text_string_to_metric_families(text)}
    values = {
        (s.labels["measure"], s.labels["subject"], s.labels["version"], s.labels["window"]): s.value
        for s in families["watchkeeper_measurement"].samples
    }
    assert values["error_rate", "", "", "P1D"] == 0.0
    assert "watchkeeper_windows_waiting" in families
    assert not any(s.labels["segment"] for s in families["watchkeeper_measurement"].samples)
    both = client.get("/metrics?segments=all").text
    assert 'segment="plan=pro"' in both


def test_a_body_for_the_metrics_of_this_process(client):
    row = {"features": {"x": 1}, "model": "m", "version": "1"}
    assert client.post("/v1/predictions", json=row).status_code == 202
    assert 'watchkeeper_rows_accepted_total{model="m",what="predictions"} 1.0' in client.get("/metrics").text
    assert io.StringIO(client.get("/openapi.json").text).read(1) == "{"
