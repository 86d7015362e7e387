"""Rows over HTTP: acknowledged when committed, good rows kept, bad ones told by line, a repeat counts once."""

import gzip
import io
import json
import re
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest

from watchkeeper.domain.window import Window
from watchkeeper.errors import NotFound
from watchkeeper.loop.watch.lease import LEASE, LEASE_FOR
from watchkeeper.testing.clock import FakeClock
from watchkeeper.web.api.app import create_api, guarded_api
from watchkeeper.web.api.bodies import ARROW
from watchkeeper.web.api.intake import Intake
from watchkeeper.web.security import create_token
from watchkeeper.wiring import open_project

testclient = pytest.importorskip("starlette.testclient")

T0 = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
NDJSON = {"content-type": "application/x-ndjson"}


@pytest.fixture
def watch(tmp_path):
    (tmp_path / "watchkeeper.toml").write_text("[models.m]\n[models.other]\n[server]\nmax_request_mb = 1\n")
    with open_project(tmp_path, clock=FakeClock(T0 + DAY)) as watch:
        yield watch


@pytest.fixture
def client(watch):
    intake = Intake(watch.data)
    with testclient.TestClient(guarded_api(watch, intake=intake), base_url="http://127.0.0.1") as client:
        yield client
    intake.close()


def rows_of(watch, model="m", start=T0 - DAY, days=3):
    done = watch.drain(watch.model(model), watch.lease(LEASE, LEASE_FOR))
    assert done.problems == []
    batches = list(watch.lake.joined(model, Window(start, start + days * DAY)))
    return sorted(pa.Table.from_batches(batches).to_pylist(), key=lambda r: r["wk_id"]) if batches else []


def lines(*rows):
    return "\n".join(json.dumps(r) if isinstance(r, dict) else r for r in rows).encode()


def test_lines_arrive_and_their_outcomes_find_them(client, watch):
    body = lines(
        {
            "id": "a",
            "at": "2026-03-01T05:00:00Z",
            "features": {"x": 1.5, "plan": "pro"},
            "prediction": 1,
            "score": 0.9,
        },
        {
            "id": "b",
            "at": 1772341200.5,
            "features": {"x": 2},
            "prediction": 0,
            "latency_s": 0.01,
            "tags": {"k": "v"},
        },
    )
    answer = client.post("/v1/predictions?model=m&version=3", content=body, headers=NDJSON)
    assert (answer.status_code, answer.json()) == (202, {"accepted": 2, "refused": 0})
    answer = client.post("/v1/outcomes?model=m", content=lines({"id": "a", "actual": 1}), headers=NDJSON)
    assert answer.status_code == 202
    a, b = rows_of(watch)
    assert (a["wk_version"], a["x"], a["plan"], a["wk_score"], a["wk_actual"]) == ("3", 1.5, "pro", 0.9, 1.0)
    assert a["wk_at"] == T0 + timedelta(hours=5)
    assert b["wk_at"] == T0 + timedelta(hours=5, microseconds=500_000)
    assert (b["wk_latency_s"], json.loads(b["wk_tags"])) == (0.01, {"k": "v"})


@pytest.mark.parametrize(
    "body",
    [
        {
            "model": "m",
            "version": 3,
            "predictions": [{"id": "a", "at": "2026-03-01T05:00:00Z", "features": {"x": 1}}],
        },
        [{"id": "a", "at": "2026-03-01T05:00:00Z", "features": {"x": 1}, "model": "m", "version": "3"}],
        {"id": "a", "at": "2026-03-01T05:00:00Z", "features": {"x": 1}, "model": "m", "version": "3"},
    ],
    ids=["wrapped", "list", "one row"],
)
def test_every_form_of_json_is_read(client, watch, body):
    answer = client.post("/v1/predictions", json=body)
    assert (answer.status_code, answer.json()["accepted"]) == (202, 1)
    assert [(r["wk_id"], r["wk_version"], r["x"]) for r in rows_of(watch)] == [("a", "3", 1.0)]


def test_bad_lines_are_told_by_number_and_good_ones_kept(client, watch):
    at = "2026-03-01T05:00:00Z"
    body = lines(
        {"id": "a", "at": at, "features": {"x": 1}},
        "{not json",
        {"id": "b", "at": at, "features": [1, 2]},
        "",
        {"id": "", "at": at, "features": {}},
        {"id": "c", "at": "2226-03-01T05:00:00Z", "features": {"x": 1}},
        {"id": "d", "at": 1772341200000, "features": {"x": 1}},
        {"id": "e", "at": at},
        {"id": "f", "at": "1965-01-01", "features": {"x": 1}},
        {"id": "z", "at": at, "features": {"x": 1}},
    )
    answer = client.post("/v1/predictions?model=m&version=1", content=body, headers=NDJSON)
    assert answer.status_code == 202
    said = answer.json()
    assert (said["accepted"], said["refused"]) == (2, 7)
    told = {e["line"]: e["error"] for e in said["errors"]}
    assert sorted(told) == [2, 3, 5, 6, 7, 8, 9]
    assert "ahead of this server's clock" in told[6]
    assert "milliseconds" in told[7]
    assert [r["wk_id"] for r in rows_of(watch)] == ["a", "z"]


def test_a_repeat_counts_once_also_on_the_next_day_and_without_an_id(client, watch):
    rows = [{"id": "order-1", "features": {"x": 1}}, {"id": "order-2", "features": {"x": 2}}]
    for _ in range(2):
        assert client.post("/v1/predictions?model=m&version=1", json=rows).status_code == 202
    key = {"Idempotency-Key": "k1"}
    made = [
        client.post("/v1/predictions?model=m&version=1", json=[{"features": {"x": 3}}], headers=key).json()[
            "ids"
        ]
        for _ in range(2)
    ]
    assert made[0] == made[1] == ["k1:1"]
    now = datetime.now(UTC)
    found = rows_of(watch, start=now - DAY, days=2)
    assert [r["wk_id"] for r in found] == ["k1:1", "order-1", "order-2"]


def test_ids_are_made_where_there_are_none_and_hold_the_time(client, watch):
    answer = client.post(
        "/v1/predictions?model=m&version=1", json=[{"at": "2026-03-01T05:00:00Z", "features": {"x": 3}}]
    )
    (made,) = answer.json()["ids"]
    assert client.post("/v1/outcomes?model=m", json={"id": made, "actual": 1}).status_code == 202
    (row,) = rows_of(watch)
    assert (row["wk_id"], row["wk_actual"]) == (made, 1.0)
    assert watch.lake.columns("m", "places") == {}, "its time is in the id"


def arrow(**columns):
    table = pa.table(columns)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def test_arrow_arrives_with_bad_rows_told(client, watch):
    times = pa.array([T0, T0, T0 + timedelta(days=40_000), T0], pa.timestamp("ms", tz="UTC"))
    body = arrow(
        id=["a", None, "c", "d"], at=times, prediction=[1, 0, 1, 0], score=[0.9, 0.1, 0.8, 0.2],
        x=[1.0, 2.0, 3.0, 4.0], latency_s=[0.1, 0.2, 0.3, 0.4], error=[None, None, None, "boom"],
    )  # fmt: skip
    answer = client.post("/v1/predictions?model=m&version=1", content=body, headers={"content-type": ARROW})
    assert answer.status_code == 202
    said = answer.json()
    assert (said["accepted"], [e["line"] for e in said["errors"]]) == (2, [2, 3])
    answer = client.post(
        "/v1/outcomes?model=m", content=arrow(id=["a", "d"], actual=[1, 1]), headers={"content-type": ARROW}
    )
    assert answer.json()["accepted"] == 2
    a, d = rows_of(watch)
    assert (a["x"], a["wk_score"], a["wk_actual"], a["wk_latency_s"], a["wk_error"]) == (
        1.0,
        0.9,
        1.0,
        0.1,
        None,
    )
    assert (d["x"], d["wk_error"], d["wk_latency_s"]) == (4.0, "boom", 0.4)


@pytest.mark.parametrize("how", ["json", "arrow"])
def test_ids_of_any_number_type_meet(client, watch, how):
    at, rows = "2026-03-01T05:00:00Z", [2**63 + 1, 10_000, 7]
    predictions = [{"id": i, "at": at, "prediction": 1} for i in rows]
    assert client.post("/v1/predictions?model=m&version=1", json=predictions).json()["accepted"] == 3
    if how == "json":
        outcomes = [{"id": i, "actual": 1} for i in (str(2**63 + 1), 10_000.0, 7.0, 12.5, 1e300)]
        answer = client.post("/v1/outcomes?model=m", json=outcomes)
    else:
        ids = pa.array(
            [Decimal(2**63 + 1), Decimal(10_000), Decimal(7), Decimal("12.5"), None], pa.decimal128(38, 2)
        )
        body = arrow(id=ids, actual=[1] * 5)
        answer = client.post("/v1/outcomes?model=m", content=body, headers={"content-type": ARROW})
    assert (answer.json()["accepted"], [e["line"] for e in answer.json()["errors"]]) == (3, [4, 5])
    assert re.search(r"12\.50? is no whole number", answer.json()["errors"][0]["error"])
    assert [(r["wk_id"], r["wk_actual"]) for r in rows_of(watch)] == [
        (str(i), 1.0) for i in sorted(map(str, rows))
    ]


def test_arrow_times_are_read_in_any_unit_or_refused(client, watch):
    at = pa.array(
        [1772341200, 1772341200_000, 1772341200_000_000, 1772341200_000_000_000, 5, None], pa.int64()
    )
    body = arrow(id=list("abcdef"), at=at, prediction=[1] * 6)
    answer = client.post("/v1/predictions?model=m&version=1", content=body, headers={"content-type": ARROW})
    told = {e["line"]: e["error"] for e in answer.json()["errors"]}
    assert (answer.json()["accepted"], told[6]) == (4, "it has no time")
    assert "time 5 lies before" in told[5]
    assert {r["wk_at"] for r in rows_of(watch)} == {datetime.fromtimestamp(1772341200, UTC)}


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "said"),
    [
        ("/v1/predictions?model=mm&version=1", b'{"features":{}}', {}, 404, "Did you mean 'm'?"),
        ("/v1/predictions?version=1", b'{"features":{}}', {}, 422, "which model?"),
        ("/v1/predictions?model=m", b'{"features":{}}', {}, 422, "which version?"),
        ("/v1/predictions?model=m&version=1", b"{", {}, 400, "no list of predictions"),
        ("/v1/predictions?model=m&version=1", b"[]", {}, 422, "no rows"),
        ("/v1/predictions?model=m&version=1", b"", NDJSON, 422, "no rows"),
        ("/v1/predictions?model=m&version=1", b"junk", {"content-type": ARROW}, 400, "no Arrow IPC stream"),
        ("/v1/predictions?model=m", b"junk", {"content-type": ARROW}, 400, "Which model and version"),
        ("/v1/predictions?model=m&version=1", b" " * (2 << 20), {}, 413, "larger than 1 MB"),
        ("/v1/predictions?model=m&version=1", gzip.compress(b" " * (2 << 20)), {"content-encoding": "gzip"}, 413, "larger"),
        ("/v1/predictions?model=m&version=1", b"x", {"content-encoding": "gzip"}, 400, "no gzip"),
        ("/v1/predictions?model=m&version=1", b"x", {"content-encoding": "br"}, 400, "cannot be read"),
        ("/v1/outcomes?model=m", arrow(id=["a"]), {"content-type": ARROW}, 400, "no column 'actual'"),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_says_what_to_do(client, watch, path, body, headers, status, said):
    answer = client.post(path, content=body, headers=headers)
    assert (answer.status_code, said in answer.text) == (status, True), answer.text
    assert rows_of(watch) == []


def test_a_packed_body_is_read(client, watch):
    body = gzip.compress(lines({"id": "a", "at": "2026-03-01T05:00:00Z", "features": {"x": 1}}))
    headers = {**NDJSON, "content-encoding": "gzip"}
    assert client.post("/v1/predictions?model=m&version=1", content=body, headers=headers).status_code == 202
    assert len(rows_of(watch)) == 1


def test_nothing_is_acknowledged_that_could_not_be_committed(watch):
    (watch.data / "journals").write_text("a file where a folder must be")
    intake = Intake(watch.data, patience_s=0.3)
    with testclient.TestClient(guarded_api(watch, intake=intake), base_url="http://127.0.0.1") as client:
        answer = client.post("/v1/predictions?model=m&version=1", json={"id": "a", "features": {"x": 1}})
        assert answer.status_code == 503
        assert "Send the same rows again" in answer.text
        assert answer.headers["retry-after"]
        assert client.get("/readyz").status_code == 503
        (watch.data / "journals").unlink()
        deadline = time.monotonic() + 20
        while client.get("/readyz").status_code != 200 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert client.get("/readyz").status_code == 200
        answer = client.post("/v1/predictions?model=m&version=1", json={"id": "a", "features": {"x": 1}})
        assert answer.status_code == 202
    intake.close()
    now = datetime.now(UTC)
    assert [r["wk_id"] for r in rows_of(watch, start=now - DAY, days=2)] == ["a"]


def test_tokens_say_who_may_do_what(client, watch):
    row = {"features": {"x": 1}, "model": "m", "version": "1"}
    assert client.post("/v1/predictions", json=row).status_code == 202, (
        "no token yet: this machine is the admin"
    )
    token = {
        role: create_token(watch.ledger.facts, name=role, role=role, by="test", now=watch.clock())
        for role in ("viewer", "labeller")
    }

    def status(method, path, role=None, **rest):
        headers = {"Authorization": f"Bearer {token[role]}"} if role else {}
        return client.request(method, path, headers=headers, **rest).status_code

    assert status("POST", "/v1/predictions", json=row) == 401
    assert status("POST", "/v1/predictions", "viewer", json=row) == 403
    assert status("POST", "/v1/predictions", "labeller", json=row) == 202
    assert status("GET", "/v1/status") == 401
    assert status("GET", "/metrics") == 401
    assert status("GET", "/v1/status", "viewer") == 200
    assert status("GET", "/healthz") == 200


def test_the_description_names_every_way_in(watch):
    intake = Intake(watch.data)
    paths = create_api(watch, intake=intake).openapi()["paths"]
    assert {
        "/v1/predictions",
        "/v1/outcomes",
        "/v1/models/{model}/measurements",
        "/v1/status",
        "/metrics",
    } <= set(paths)
    kinds = paths["/v1/predictions"]["post"]["requestBody"]["content"]
    assert set(kinds) == {"application/json", "application/x-ndjson", ARROW}
    intake.close()


def test_unknown_models_are_refused_before_anything_is_written(client, watch):
    rows = [
        {"features": {"x": 1}, "model": "m", "version": "1"},
        {"features": {"x": 1}, "model": "nosuch", "version": "1"},
    ]
    assert client.post("/v1/predictions", json=rows).status_code == 404
    assert rows_of(watch) == []
    with pytest.raises(NotFound):
        watch.model("nosuch")


def test_a_line_that_names_an_unknown_model_refuses_no_other_line(client):
    rows = [{"model": name, "features": {"x": 1}, "prediction": True} for name in ("m", "nobody", "m")]
    body = "\n".join(json.dumps(row) for row in rows)
    answer = client.post(
        "/v1/predictions?version=1", content=body, headers={"Content-Type": "application/x-ndjson"}
    )
    assert (answer.status_code, answer.json()["accepted"], answer.json()["refused"]) == (202, 2, 1)
    (error,) = answer.json()["errors"]
    assert error["line"] == 2
    assert "no model 'nobody'" in error["error"]
