"""`watch` a function: a decorator for whatever predicts, also for coroutines."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from watchkeeper.capture.recorder import Recorder
from watchkeeper.capture.wrapping import describe_error
from watchkeeper.errors import BadInput

F = TypeVar("F", bound=Callable[..., Any])


def watch(
    model: str | Recorder,
    version: str | int = "1",
    *,
    features: Callable[..., Any] | None = None,
    extract: Callable[[Any], Mapping[str, Any]] | None = None,
    **options: Any,
) -> Callable[[F], F]:
    """Decorate a function so that each call is recorded as one prediction.

    The features are the arguments by name; a single argument that is a mapping is taken as the features
    themselves. *features* may compute them from the arguments instead. The result is the prediction; of a
    mapping with a ``prediction`` key, that key and ``score``, ``id`` and ``tags`` are used. *extract* may read
    any other result: it returns a mapping of these keys.

    *model* is a name (*version* and *options* go to `Recorder`) or a recorder. The decorated function has it as
    ``watch_recorder``. An exception is recorded and goes on to the caller.

    >>> from tempfile import mkdtemp
    >>> @watch("price", 2, path=mkdtemp())
    ... def price(area, rooms=2):
    ...     return 3000 * area + 500 * rooms
    >>> price(70), price.watch_recorder.stats().recorded
    (211000, 1)

    Raises
    ------
    BadInput
        the function is a generator, which has no single result.
    """
    recorder = model if isinstance(model, Recorder) else Recorder(model, version, **options)

    def decorate(function: F) -> F:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise BadInput(
                f"{function.__qualname__} is a generator: it has no single result to record.",
                "Call record() of a Recorder inside it.",
            )
        name_arguments = features or _namer(function)

        def tell(
            args: tuple[Any, ...], kwargs: dict[str, Any], result: Any, began: float, trouble: Any
        ) -> None:
            latency_s = time.perf_counter() - began
            try:
                row = name_arguments(*args, **kwargs)
                if trouble is not None:
                    recorder.record(row, latency_s=latency_s, error=describe_error(trouble, recorder))
                    return
                told = extract(result) if extract else _read(result)
                recorder.record(row, **{"latency_s": latency_s, **told})
            except Exception as inner:
                recorder._refused(inner)

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def watched(*args: Any, **kwargs: Any) -> Any:
                began = time.perf_counter()
                try:
                    result = await function(*args, **kwargs)
                except Exception as trouble:
                    tell(args, kwargs, None, began, trouble)
                    raise
                tell(args, kwargs, result, began, None)
                return result

        else:

            @functools.wraps(function)
            def watched(*args: Any, **kwargs: Any) -> Any:
                began = time.perf_counter()
                try:
                    result = function(*args, **kwargs)
                except Exception as trouble:
                    tell(args, kwargs, None, began, trouble)
                    raise
                tell(args, kwargs, result, began, None)
                return result

        watched.watch_recorder = recorder  # type: ignore[attr-defined]
        return watched  # type: ignore[return-value]

    return decorate


def _read(result: Any) -> dict[str, Any]:
    if isinstance(result, Mapping) and "prediction" in result:
        return {key: result[key] for key in ("prediction", "score", "id", "tags") if key in result}
    return {"prediction": result}


def _namer(function: Callable[..., Any]) -> Callable[..., Mapping[str, Any]]:
    """Return a function that names the arguments of a call of *function*."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return lambda *args, **kwargs: {**{f"x{i}": a for i, a in enumerate(args)}, **kwargs}
    kinds = {p.name: p.kind for p in signature.parameters.values()}

    def name(*args: Any, **kwargs: Any) -> Mapping[str, Any]:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        row: dict[str, Any] = {}
        for key, value in bound.arguments.items():
            if kinds[key] is inspect.Parameter.VAR_KEYWORD:
                row |= value
            elif kinds[key] is inspect.Parameter.VAR_POSITIONAL:
                row |= {f"{key}{i}": item for i, item in enumerate(value)}
            elif not (key in ("self", "cls") and next(iter(kinds)) == key):
                row[key] = value
        only = next(iter(row.values())) if len(row) == 1 else None
        return only if isinstance(only, Mapping) else row

    return name
