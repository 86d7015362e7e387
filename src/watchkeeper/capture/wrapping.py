"""`wrap` a fitted model: it answers as before, and its predictions are recorded."""

from __future__ import annotations

import contextvars
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from watchkeeper.capture.recorder import Recorder

_FEW_ROWS = 16
"""Up to here rows are recorded one by one: building an Arrow table costs more than they do."""

_SPECIAL = ("__len__", "__getitem__", "__iter__", "__contains__", "__call__")
"""Python looks these up on the class, so a proxy has to have exactly those that its model has."""


def wrap(
    model: Any,
    name: str | None = None,
    version: str | int = "1",
    *,
    recorder: Recorder | None = None,
    methods: Sequence[str] = ("predict", "predict_proba"),
    feature_names: Sequence[str] | None = None,
    scores: bool = False,
    **options: Any,
) -> WatchedModel:
    """Return a stand-in for *model* that records what `predict` and `predict_proba` are given and answer.

    *model* is anything with one of these *methods* (scikit-learn and whatever follows it). Everything else of it
    is reached through the stand-in, which may be pickled. `predict` records the prediction, `predict_proba` the
    likeliest class and the scores. With *scores*, `predict` asks the model for its probabilities too, which
    doubles its work. A program that calls both on the same rows should name one of them in *methods*.

    *name* (default: the model's class) and *version*, with further *options*, go to `Recorder`; or give a
    *recorder*. The ids of the last call in this thread or task are in ``last_ids``; or hand over your own with
    ``predict(X, watch_ids=[...])``.

    >>> class Mean:
    ...     def predict(self, rows): return [sum(row) / len(row) for row in rows]
    >>> from tempfile import mkdtemp
    >>> model = wrap(Mean(), path=mkdtemp())
    >>> model.predict([[1, 2], [3, 5]]), len(model.last_ids)
    ([1.5, 4.0], 2)
    >>> model.watch_recorder.stats().recorded
    2
    """
    if recorder is None:
        recorder = Recorder(name or type(model).__name__, version, **options)
    # Not hasattr: every class has a __call__, that of its own type.
    special = {m: _forwarder(m) for m in _SPECIAL if any(m in vars(k) for k in type(model).__mro__)}
    kind = (
        type("WatchedModel", (WatchedModel,), {**special, "__module__": __name__})
        if special
        else WatchedModel
    )
    return kind(model, recorder, tuple(methods), feature_names, scores)


def _forwarder(name: str) -> Callable[..., Any]:
    def forward(self: WatchedModel, *args: Any, **kwargs: Any) -> Any:
        return getattr(self.__wrapped__, name)(*args, **kwargs)

    forward.__name__ = name
    return forward


class WatchedModel:
    """What `wrap` returns. ``__wrapped__`` is the model itself, ``watch_recorder`` its recorder."""

    _OWN = ("__wrapped__", "watch_recorder", "_watch_methods", "_watch_names", "_watch_scores", "_watch_ids")

    def __init__(
        self,
        model: Any,
        recorder: Recorder,
        methods: tuple[str, ...],
        names: Sequence[str] | None,
        scores: bool,
    ) -> None:
        self.__wrapped__ = model
        self.watch_recorder = recorder
        self._watch_methods = methods
        self._watch_names = None if names is None else [str(name) for name in names]
        self._watch_scores = scores
        self._watch_ids: contextvars.ContextVar[tuple[str, ...]] = contextvars.ContextVar("ids", default=())

    @property
    def last_ids(self) -> tuple[str, ...]:
        """The ids of the rows of the last call in this thread or task."""
        return self._watch_ids.get()

    def __getattr__(self, name: str) -> Any:
        if name in WatchedModel._OWN:  # while being unpickled
            raise AttributeError(name)
        found = getattr(self.__wrapped__, name)
        if name in self._watch_methods and callable(found):
            return _Watched(self, name, found)
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        if name in WatchedModel._OWN:
            object.__setattr__(self, name, value)
        else:
            setattr(self.__wrapped__, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self.__wrapped__, name)

    def __dir__(self) -> list[str]:
        return sorted({*dir(self.__wrapped__), "last_ids", "watch_recorder"})

    def __repr__(self) -> str:
        return f"wrap({self.__wrapped__!r}, recorder={self.watch_recorder!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        parts = (
            self.__wrapped__,
            self.watch_recorder,
            self._watch_methods,
            self._watch_names,
            self._watch_scores,
        )
        return _unpickle, parts


def _unpickle(
    model: Any, recorder: Recorder, methods: tuple[str, ...], names: Sequence[str] | None, scores: bool
) -> WatchedModel:
    return wrap(model, recorder=recorder, methods=methods, feature_names=names, scores=scores)


class _Watched:
    """One method of a watched model."""

    def __init__(self, owner: WatchedModel, name: str, method: Callable[..., Any]) -> None:
        self._owner, self._name, self.__wrapped__ = owner, name, method
        self.__doc__, self.__name__ = method.__doc__, name

    def __call__(self, *args: Any, watch_ids: Sequence[str] | None = None, **kwargs: Any) -> Any:
        rows = args[0] if args else next(iter(kwargs.values()), None)
        owner = self._owner
        began = time.perf_counter()
        try:
            answer = self.__wrapped__(*args, **kwargs)
        except Exception as trouble:
            latency_s = time.perf_counter() - began
            text = describe_error(trouble, owner.watch_recorder)
            self._record(rows, None, latency_s, watch_ids, error=text)
            raise
        self._record(rows, answer, time.perf_counter() - began, watch_ids)
        return answer

    def _record(
        self, rows: Any, answer: Any, latency_s: float, ids: Sequence[str] | None, error: str | None = None
    ) -> None:
        owner = self._owner
        try:
            columns = _columns(rows, _feature_names(owner))
            count = len(next(iter(columns.values()), ()))
            predictions, scores = self._read(rows, answer, error)
            if count <= _FEW_ROWS:
                made = self._record_rows(columns, count, predictions, scores, latency_s, ids, error)
            else:
                made = self._record_batch(columns, predictions, scores, latency_s, ids, error)
            owner._watch_ids.set(tuple(made))
        except Exception as trouble:
            owner.watch_recorder._refused(trouble)

    def _read(self, rows: Any, answer: Any, error: str | None) -> tuple[Any, dict[str, Any] | Any]:
        """Return predictions and scores of *answer*: scores as a column, or a dict of class to column."""
        if error is not None:
            return None, None
        model = self._owner.__wrapped__
        if self._name == "predict_proba":
            return _of_probabilities(answer, getattr(model, "classes_", None))
        if self._owner._watch_scores and callable(ask := getattr(model, "predict_proba", None)):
            return answer, _of_probabilities(ask(rows), getattr(model, "classes_", None))[1]
        return answer, None

    def _record_rows(
        self, columns: Mapping[str, Any], count: int, predictions: Any, scores: Any,
        latency_s: float, ids: Sequence[str] | None, error: str | None,
    ) -> list[str]:  # fmt: skip
        record = self._owner.watch_recorder.record
        rows = [dict(zip(columns, values, strict=False)) for values in zip(*map(_items, columns.values()))]
        answers = [None] * count if predictions is None else _items(predictions)
        sure: list[Any]
        if isinstance(scores, dict):
            sure = [dict(zip(scores, v, strict=True)) for v in zip(*map(_items, scores.values()))]
        else:
            sure = [None] * count if scores is None else _items(scores)
        return [
            record(
                row, answers[i], score=sure[i], latency_s=latency_s / count, error=error,
                id=None if ids is None else ids[i],
            )
            for i, row in enumerate(rows)
        ]  # fmt: skip

    def _record_batch(
        self, columns: Mapping[str, Any], predictions: Any, scores: Any,
        latency_s: float, ids: Sequence[str] | None, error: str | None,
    ) -> list[str]:  # fmt: skip
        frame = dict(columns)
        # Names that no feature has, since a feature may well be called "score".
        names: dict[str, Any] = {"id": "", "at": "", "prediction": "", "score": ""}
        for role, values in (("id", ids), ("prediction", predictions)):
            if values is not None:
                names[role] = _free(role, frame)
                frame[names[role]] = list(values) if role == "id" else _flat(values)
        if isinstance(scores, dict):
            names["score"] = {name: _free(f"score:{name}", frame) for name in scores}
            frame |= {names["score"][name]: column for name, column in scores.items()}
        elif scores is not None:
            names["score"] = _free("score", frame)
            frame[names["score"]] = scores
        return self._owner.watch_recorder.record_batch(frame, **names, latency_s=latency_s, error=error)


def _free(role: str, frame: Mapping[str, Any]) -> str:
    return f"watchkeeper_{role}" if role in frame else role


def _feature_names(owner: WatchedModel) -> Sequence[str] | None:
    if owner._watch_names is not None:
        return owner._watch_names
    found = getattr(owner.__wrapped__, "feature_names_in_", None)
    return None if found is None else [str(name) for name in found]


def _columns(rows: Any, names: Sequence[str] | None) -> dict[str, Any]:
    """Return the columns of a frame, matrix, dict of columns or list of rows."""
    if isinstance(rows, Mapping):
        return {str(name): values for name, values in rows.items()}
    if hasattr(rows, "columns") and hasattr(rows, "iloc"):
        return {str(name): rows.iloc[:, i] for i, name in enumerate(rows.columns)}
    if hasattr(rows, "columns") and hasattr(rows, "__getitem__"):  # polars, Arrow
        listed = rows.column_names if hasattr(rows, "column_names") else rows.columns
        return {str(name): rows[name] for name in listed}
    if hasattr(rows, "toarray"):  # a sparse matrix
        rows = rows.toarray()
    if len(getattr(rows, "shape", ())) == 2:
        return {_name(names, i): rows[:, i] for i in range(rows.shape[1])}
    if len(getattr(rows, "shape", ())) == 1 or (len(rows) and not isinstance(rows[0], (list, tuple, dict))):
        return {_name(names, 0) if names else "input": rows}
    if len(rows) and isinstance(rows[0], dict):
        return {
            str(name): [row.get(name) for row in rows] for name in dict.fromkeys(n for r in rows for n in r)
        }
    return {_name(names, i): list(values) for i, values in enumerate(zip(*rows, strict=True))}


def _name(names: Sequence[str] | None, position: int) -> str:
    return names[position] if names is not None and position < len(names) else f"x{position}"


def _items(values: Any) -> list[Any]:
    if hasattr(values, "tolist"):
        return values.tolist()
    return values.to_list() if hasattr(values, "to_list") else list(values)


def _flat(values: Any) -> Any:
    """A matrix of predictions (several outputs) as a list of lists, which Arrow takes as one column."""
    return values.tolist() if len(getattr(values, "shape", ())) > 1 else values


def _of_probabilities(answer: Any, classes: Any) -> tuple[Any, Any]:
    """Return the likeliest class of each row, and the score: of the positive class when there are two."""
    rows = _items(answer)
    if not rows or not isinstance(rows[0], (list, tuple)):
        return None, answer
    names = list(range(len(rows[0]))) if classes is None else _items(classes)
    likeliest = [names[max(range(len(row)), key=row.__getitem__)] for row in rows]
    columns = list(zip(*rows, strict=True))
    if len(names) == 2:
        return likeliest, list(columns[1])
    return likeliest, {str(name): list(column) for name, column in zip(names, columns, strict=True)}


def describe_error(trouble: BaseException, recorder: Recorder) -> str:
    """Return an exception as text; only its type where columns are redacted, since the message may quote them."""
    name = type(trouble).__name__
    try:
        return name if recorder.redaction else f"{name}: {trouble}"[:500]
    except Exception:
        return name
