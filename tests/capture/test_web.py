"""Web applications are watched with one line, and what is no prediction passes untouched."""

import asyncio
import json

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from watchkeeper.capture.asgi import WatchASGI
from watchkeeper.capture.events import Prediction
from watchkeeper.capture.exchange import read_bodies
from watchkeeper.capture.journal import journals, read_after
from watchkeeper.capture.recorder import Recorder
from watchkeeper.capture.wsgi import WatchWSGI


def told_in(path):
    return [e for j in journals(path) for _, es in read_after(j) for e in es if isinstance(e, Prediction)]


async def answer_asgi(request):
    return JSONResponse(handle(request.url.path, await request.body()), headers={"x-own": "1"})


async def stream_asgi(request):
    async def parts():
        for i in range(3):
            yield json.dumps({"prediction": i}).encode()

    return StreamingResponse(parts(), media_type="application/json")


async def error_asgi(request):
    return JSONResponse({"detail": "no"}, status_code=int(request.path_params["status"]))


def handle(path, body):
    asked = json.loads(body)
    if path == "/boom":
        raise RuntimeError("the model broke")
    if path == "/rows":
        return {"predictions": [len(row) for row in asked["instances"]]}
    return {
        "prediction": asked["age"] > 40,
        "score": 0.75,
        **({"id": asked["want"]} if "want" in asked else {}),
    }


def asgi_app():
    return Starlette(
        routes=[
            Route("/stream", stream_asgi, methods=["POST"]),
            Route("/status/{status}", error_asgi, methods=["POST"]),
            Route("/{rest:path}", answer_asgi, methods=["POST", "GET"]),
        ]
    )


def wsgi_app(environ, start_response):
    """A plain WSGI application with every way to answer."""
    path = environ["PATH_INFO"]
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    if path == "/stream":
        start_response("200 OK", [("Content-Type", "application/json")])
        return (json.dumps({"prediction": i}).encode() for i in range(3))
    if path.startswith("/status/"):
        answer = b'{"detail": "no"}'
        start_response(
            f"{path[8:]} No", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))]
        )
        return [answer]
    answer = json.dumps(handle(path, body)).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(answer))), ("X-Own", "1")]
    if path == "/lazy":
        return lazily(start_response, headers, answer)
    if path == "/write":
        start_response("200 OK", headers)(answer)
        return []
    start_response("200 OK", headers)
    return [answer[:5], answer[5:]]


def lazily(start_response, headers, answer):
    start_response("200 OK", headers)
    yield answer[:5]
    yield answer[5:]


class Client:
    """Posts to a watched application of either kind, without a server."""

    def __init__(self, kind, recorder, **options):
        self.kind = kind
        self.app = (
            WatchASGI(asgi_app(), recorder, **options)
            if kind == "asgi"
            else WatchWSGI(wsgi_app, recorder, **options)
        )

    def post(self, path, *, method="POST", **what):
        if self.kind == "wsgi":
            with httpx.Client(transport=httpx.WSGITransport(self.app), base_url="http://t") as client:
                return client.request(method, path, **what)

        async def go():
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
                return await client.request(method, path, **what)

        return asyncio.run(go())


@pytest.fixture(params=["asgi", "wsgi"])
def kind(request):
    return request.param


@pytest.fixture
def recorder(tmp_path):
    with Recorder("m", 1, path=tmp_path) as recorder:
        yield recorder


class TestPredictions:
    def test_features_answer_latency_and_id(self, kind, recorder, tmp_path):
        response = Client(kind, recorder).post("/predict", json={"age": 41, "plan": "basic"})
        assert response.json() == {"prediction": True, "score": 0.75}
        assert response.headers["x-own"] == "1"
        recorder.close()
        (event,) = told_in(tmp_path)
        assert (event.features, event.prediction, event.score) == ({"age": 41, "plan": "basic"}, True, 0.75)
        assert response.headers["x-prediction-id"] == event.id
        assert event.latency_s > 0

    def test_an_id_in_the_answer_is_the_id(self, kind, recorder, tmp_path):
        response = Client(kind, recorder).post("/predict", json={"age": 1, "want": "order-9"})
        recorder.close()
        assert response.headers["x-prediction-id"] == "order-9" == told_in(tmp_path)[0].id

    def test_many_rows_in_one_request(self, kind, recorder, tmp_path):
        response = Client(kind, recorder).post("/rows", json={"instances": [[1, 2], [3]]})
        recorder.close()
        events = told_in(tmp_path)
        assert [(e.features, e.prediction) for e in events] == [({"x0": 1, "x1": 2}, 2), ({"x0": 3}, 1)]
        assert response.headers["x-prediction-id"] == ",".join(e.id for e in events)

    def test_a_strict_recorder_has_committed_when_the_answer_leaves(self, kind, tmp_path):
        recorder = Recorder("m", 1, path=tmp_path, durability="strict", flush_interval_s=1000)
        response = Client(kind, recorder).post("/predict", json={"age": 41})
        assert [e.id for e in told_in(tmp_path)] == [response.headers["x-prediction-id"]]
        recorder.close()

    def test_extract_decides_what_is_read(self, kind, recorder, tmp_path):
        client = Client(
            kind, recorder, extract=lambda asked, answer: {"features": {"a": asked["age"]}, "prediction": 5}
        )
        client.post("/predict", json={"age": 41})
        recorder.close()
        assert [(e.features, e.prediction) for e in told_in(tmp_path)] == [({"a": 41}, 5)]

    def test_an_extract_that_fails_does_not_harm_the_answer(self, kind, recorder):
        response = Client(kind, recorder, extract=lambda asked, answer: 1 / 0).post(
            "/predict", json={"age": 41}
        )
        assert response.status_code == 200
        assert recorder.stats().dropped == 1


class TestErrors:
    def test_an_exception_is_recorded_and_goes_on(self, kind, recorder, tmp_path):
        with pytest.raises(RuntimeError, match="broke"):
            Client(kind, recorder).post("/boom", json={"age": 41})
        recorder.close()
        (event,) = told_in(tmp_path)
        assert (event.features, event.error) == ({"age": 41}, "RuntimeError: the model broke")

    def test_a_server_error_is_recorded_and_a_client_error_is_not(self, kind, recorder, tmp_path):
        client = Client(kind, recorder)
        assert [client.post(f"/status/{s}", json={"age": 1}).status_code for s in (503, 422, 404)] == [
            503,
            422,
            404,
        ]
        recorder.close()
        assert [e.error for e in told_in(tmp_path)] == ["HTTP 503"]


class TestUntouched:
    def test_streams_pass(self, kind, recorder):
        response = Client(kind, recorder).post("/stream", json={"age": 1})
        assert response.content == b'{"prediction": 0}{"prediction": 1}{"prediction": 2}'
        assert "x-prediction-id" not in response.headers
        assert recorder.stats().recorded == 0

    def test_other_routes_methods_and_content_types_pass(self, kind, recorder):
        client = Client(kind, recorder, routes=["/v1/*", "/predict"])
        client.post("/other", json={"age": 1})
        client.post("/predict", method="GET", json={"age": 1})
        client.post("/predict", content='{"age": 1}', headers={"content-type": "text/plain"})
        assert recorder.stats().recorded == 0
        client.post("/v1/models/m", json={"age": 1})
        assert recorder.stats().recorded == 1

    def test_a_large_request_is_recorded_without_features_and_passes_whole(self, kind, recorder, tmp_path):
        body = {"age": 41, "image": "x" * 3_000}
        response = Client(kind, recorder, max_body_bytes=1_000).post("/predict", json=body)
        assert response.json()["prediction"] is True
        recorder.close()
        (event,) = told_in(tmp_path)
        assert (event.features, event.prediction) == ({}, True)
        assert recorder.stats().oversized == 1

    def test_a_large_answer_passes_and_is_not_held(self, kind, recorder):
        response = Client(kind, recorder, max_body_bytes=10).post("/predict", json={"age": 41})
        assert response.json() == {"prediction": True, "score": 0.75}
        assert recorder.stats().recorded == 0

    def test_a_body_that_is_no_json_passes(self, recorder):
        async def app(scope, receive, send):
            await receive()
            await send({"type": "http.response.start", "status": 200,
                        "headers": [(b"content-type", b"application/json"), (b"content-length", b"3")]})  # fmt: skip
            await send({"type": "http.response.body", "body": b"{{{"})

        client = Client("asgi", recorder)
        client.app.app = app
        assert (
            client.post("/predict", content="[[[", headers={"content-type": "application/json"}).text == "{{{"
        )
        assert recorder.stats().recorded == 0

    def test_websockets_pass(self, recorder):
        seen = []

        async def app(scope, receive, send):
            seen.append((scope["type"], receive, send))

        asyncio.run(WatchASGI(app, recorder)({"type": "websocket"}, "receive", "send"))
        assert seen == [("websocket", "receive", "send")]

    def test_the_shutdown_of_the_application_waits_for_the_disk(self, tmp_path):
        recorder = Recorder("m", 1, path=tmp_path, flush_interval_s=1000)
        messages = iter(["lifespan.startup", "lifespan.shutdown"])
        sent = []

        async def receive():
            return {"type": next(messages)}

        async def send(message):
            sent.append((message["type"], len(told_in(tmp_path))))

        recorder.record({}, 1)
        asyncio.run(WatchASGI(asgi_app(), recorder)({"type": "lifespan", "state": {}}, receive, send))
        assert sent == [("lifespan.startup.complete", 0), ("lifespan.shutdown.complete", 1)]
        recorder.close()


class TestServersManners:
    @pytest.mark.parametrize("path", ["/lazy", "/predict"])
    def test_generators_that_start_late_are_watched_too(self, recorder, path):
        response = Client("wsgi", recorder).post(path, json={"age": 41})
        assert response.json() == {"prediction": True, "score": 0.75}
        assert "x-prediction-id" in response.headers
        assert recorder.stats().recorded == 1

    def test_the_old_write_function_still_writes(self, recorder):
        written, started = [], []

        def start_response(status, headers, exc_info=None):
            started.append(status)
            return written.append

        body = json.dumps({"age": 41}).encode()
        environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/write", "CONTENT_TYPE": "application/json",
                   "CONTENT_LENGTH": str(len(body)), "wsgi.input": __import__("io").BytesIO(body)}  # fmt: skip
        rest = list(WatchWSGI(wsgi_app, recorder)(environ, start_response))
        assert started == ["200 OK"]
        assert json.loads(b"".join([*written, *rest])) == {"prediction": True, "score": 0.75}

    def test_an_answer_in_many_parts_is_joined(self, recorder):
        class Between(BaseHTTPMiddleware):
            async def dispatch(self, request, call_next):
                return await call_next(request)

        client = Client("asgi", recorder)
        client.app.app = Between(client.app.app)
        assert client.post("/predict", json={"age": 41}).json()["score"] == 0.75
        assert recorder.stats().recorded == 1


class TestReadingBodies:
    @pytest.mark.parametrize(
        ("asked", "answer", "expected"),
        [
            ({"a": 1}, 5, [({"a": 1}, 5, None)]),
            ({"features": {"a": 1}, "id": "x"}, {"result": "yes"}, [({"a": 1}, "yes", None)]),
            ([1, 2], [7], [([1, 2], 7, None)]),
            ([{"a": 1}, {"a": 2}], [7, 8], [({"a": 1}, 7, None), ({"a": 2}, 8, None)]),
            ({"data": [[1], [2]]}, {"outputs": [7, 8], "scores": [0.1, 0.2]}, [([1], 7, 0.1), ([2], 8, 0.2)]),
            ({"a": 1}, {"probability": 0.9, "label": "b"}, [({"a": 1}, "b", 0.9)]),
            ({"a": 1}, {"late": True, "why": "snow"}, [({"a": 1}, {"late": True, "why": "snow"}, None)]),
            ({"a": 1}, {"prediction": False, "score": 0.0}, [({"a": 1}, False, 0.0)]),
            (None, {"prediction": 1}, [({}, 1, None)]),
        ],
    )
    def test_common_forms(self, asked, answer, expected):
        read = read_bodies(asked, answer)
        assert [(r["features"], r["prediction"], r["score"]) for r in read] == expected

    def test_ids_of_the_request_are_used(self):
        assert [r["id"] for r in read_bodies([{"id": 7, "a": 1}, {"id": 8, "a": 1}], [0, 1])] == ["7", "8"]
        assert read_bodies({"a": 1, "prediction_id": "p"}, 1)[0]["id"] == "p"
