"""One HTTP request and its response, read as predictions. What `asgi` and `wsgi` share.

Defaults, when no *extract* function is given, for a JSON request and a JSON response:

- request: an object is the features, or holds them under ``features``, ``instance``, ``inputs``, ``instances``,
  ``data`` or ``rows``; a list (there or as the whole body) is many rows;
- response: an object holds ``prediction`` (or ``predictions``, ``output``, ``outputs``, ``result``, ``label``),
  ``score`` (or ``scores``, ``probability``, ``probabilities``, ``confidence``) and ``id`` (or ``ids``,
  ``prediction_id``); anything else is the prediction itself;
- an ``id`` in the request is used where the response has none.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from watchkeeper.capture.recorder import Recorder
from watchkeeper.domain.row_id import id_text

HEADER = "x-prediction-id"
_MOST_IDS_IN_HEADER = 50

Extract = Callable[[Any, Any], Mapping[str, Any] | Sequence[Mapping[str, Any]] | None]
"""Request and response body (decoded JSON) -> keyword arguments of `Recorder.record`, a list of them, or None."""

_ROWS = ("features", "instance", "inputs", "instances", "data", "rows")
_PREDICTION = ("prediction", "predictions", "output", "outputs", "result", "label")
_SCORE = ("score", "scores", "probability", "probabilities", "confidence")
_ID = ("id", "ids", "prediction_id")
_decode = msgspec.json.Decoder().decode


class Exchange:
    """What is watched of an application, and how its bodies are read."""

    def __init__(
        self,
        recorder: Recorder,
        *,
        routes: Collection[str] | None = None,
        extract: Extract | None = None,
        methods: Collection[str] = ("POST",),
        max_body_bytes: int = 1 << 20,
    ) -> None:
        self.recorder, self.max_body_bytes = recorder, max_body_bytes
        self._routes = None if routes is None else ([routes] if isinstance(routes, str) else list(routes))
        self._methods = frozenset(method.upper() for method in methods)
        self._extract = extract or read_bodies

    def watches(self, method: str, path: str) -> bool:
        """Whether this request is a prediction; routes may hold ``*``."""
        if method not in self._methods:
            return False
        return self._routes is None or any(fnmatchcase(path, route) for route in self._routes)

    def answered(self, request: bytes | None, response: bytes, latency_s: float) -> str | None:
        """Record an answered request; return the value of the response's header. Never raises.

        *request* is None when the body was too large to keep.
        """
        try:
            asked = None if request is None else _json(request)
            answer = _json(response)
            if answer is _NO_JSON or asked is _NO_JSON:
                return None
            if request is None:
                self.recorder._outbox.count("oversized")
            told = self._extract(asked, answer)
            if told is None:
                return None
            rows = [told] if isinstance(told, Mapping) else list(told)
            share_s = latency_s / max(1, len(rows))
            ids = self.recorder.record_all({"features": {}, "latency_s": share_s, **row} for row in rows)
            return ",".join(ids) if len(ids) <= _MOST_IDS_IN_HEADER and all(map(_fits_header, ids)) else None
        except Exception as trouble:
            self.recorder._refused(trouble)
            return None

    def failed(self, request: bytes | None, error: str, latency_s: float) -> None:
        """Record a request that ended in an exception or a status of 500 and above. Never raises."""
        try:
            asked = None if request is None else _json(request)
            rows, ids = _rows_of(None if asked is _NO_JSON else asked)
            for row, id in zip(rows, ids, strict=True):
                self.recorder.record(row, id=id, latency_s=latency_s, error=error)
        except Exception as trouble:
            self.recorder._refused(trouble)


_NO_JSON = object()


def _json(body: bytes) -> Any:
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _NO_JSON


def is_json(content_type: str) -> bool:
    """Whether a content type is JSON; NDJSON and event streams are not."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _fits_header(id: str) -> bool:
    return id.isascii() and id.isprintable() and "," not in id and len(id) <= 200


def read_bodies(request: Any, response: Any) -> list[dict[str, Any]]:
    """Read decoded bodies by the defaults above.

    >>> read_bodies({"age": 41}, {"prediction": True, "score": 0.8, "id": "a"})
    [{'features': {'age': 41}, 'prediction': True, 'score': 0.8, 'id': 'a'}]
    >>> [row["prediction"] for row in read_bodies({"instances": [[1, 2], [3, 4]]}, {"predictions": [0, 1]})]
    [0, 1]
    """
    rows, ids = _rows_of(request)
    is_many = _holds_many(request)
    if isinstance(response, Mapping):
        predictions, scores, answered = (_first(response, names) for names in (_PREDICTION, _SCORE, _ID))
        if predictions is None and scores is None:
            predictions = {key: value for key, value in response.items() if key not in _ID}
    else:
        predictions, scores, answered = response, None, None
    count = len(rows)
    return [
        {"features": row, "prediction": prediction, "score": score, "id": id if given is None else _id(given)}
        for row, id, prediction, score, given in zip(
            rows, ids, _each(predictions, count, is_many), _each(scores, count, is_many),
            _each(answered, count, is_many), strict=True,
        )
    ]  # fmt: skip


def _holds_many(request: Any) -> bool:
    if isinstance(request, Mapping):
        request = _first(request, _ROWS)
    return isinstance(request, list) and bool(request) and isinstance(request[0], (Mapping, list))


def _rows_of(request: Any) -> tuple[list[Any], list[str | None]]:
    """Return the rows of a request's body, and the id that each has in it."""
    id = None
    body = request
    if isinstance(request, Mapping):
        id = _first(request, _ID)
        body = _first(request, _ROWS)
        if body is None or not isinstance(body, (Mapping, list)):
            body = {key: value for key, value in request.items() if key not in _ID}
    if isinstance(body, list) and body and isinstance(body[0], (Mapping, list)):
        own = [_first(row, _ID) if isinstance(row, Mapping) else None for row in body]
        given = id if isinstance(id, list) and len(id) == len(body) else own
        rows = [{k: v for k, v in r.items() if k not in _ID} if isinstance(r, Mapping) else r for r in body]
        return rows, [_id(one) for one in given]
    return [{} if body is None else body], [None if isinstance(id, list) else _id(id)]


def _id(value: Any) -> str | None:
    """A body's id as text; what can be none is left out, and an id is made."""
    try:
        return id_text(value)
    except ValueError:
        return None


def _first(mapping: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((mapping[name] for name in names if mapping.get(name) is not None), None)


def _each(values: Any, count: int, is_many: bool) -> list[Any]:
    if is_many:
        return values if isinstance(values, list) and len(values) == count else [values] * count
    return [values[0] if isinstance(values, list) and len(values) == 1 else values]
