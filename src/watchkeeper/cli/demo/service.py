"""The model behind HTTP, in a process of its own: a FastAPI application that is watched with one line.

Run by the demo as ``uvicorn watchkeeper.cli.demo.service:create --factory``; where things are comes from the
environment, as in any service.
"""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
from pathlib import Path
from typing import Any

from watchkeeper.capture.asgi import WatchASGI
from watchkeeper.capture.recorder import Recorder

MODEL_FILE = "WATCHKEEPER_DEMO_MODEL"
DATA = "WATCHKEEPER_DEMO_DATA"


class VirtualClock:
    """The time of the replay: each request says what time it is, in seconds since 1970 UTC."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def _end_with(parent: int) -> None:
    """Stop this server once the demo is gone, also when it was killed."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)


def create() -> Any:
    """Build the application."""
    import pyarrow as pa
    from fastapi import FastAPI

    # The demo itself wrote this file a moment ago; a model from elsewhere would not be unpickled.
    model = pickle.loads(Path(os.environ[MODEL_FILE]).read_bytes())  # noqa: S301
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    clock = VirtualClock()
    app = FastAPI(title="Will it be late?")

    @app.post("/predict")
    def predict(body: dict[str, Any]) -> dict[str, Any]:
        clock.seconds = float(body["now"])
        rows = pa.Table.from_pylist(body["instances"])
        scores = model.scores(rows)
        return {"predictions": [int(s >= 0.5) for s in scores], "scores": [float(s) for s in scores]}

    @app.get("/healthz")
    def healthz() -> dict[str, bool]:
        return {"ok": True}

    recorder = Recorder("late-flights", "2013-02", path=os.environ[DATA], durability="strict", clock=clock)
    app.add_middleware(WatchASGI, recorder=recorder, routes=["/predict"])  # <- watched
    return app
