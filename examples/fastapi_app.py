"""A FastAPI service whose predictions are watched. The line that does it is marked.

    uvicorn examples.fastapi_app:app --workers 4

Try it:

    curl -s -i localhost:8000/predict -H 'content-type: application/json' -d '{"distance": 500, "carrier": "UA"}'
"""

import os

from fastapi import FastAPI
from pydantic import BaseModel

from watchkeeper.capture.asgi import WatchASGI
from watchkeeper.capture.recorder import Recorder


class Flight(BaseModel):
    """What the model is asked about."""

    distance: float
    carrier: str


class Answer(BaseModel):
    """What it answers: will the flight be late, and with which probability."""

    prediction: bool
    score: float


recorder = Recorder("late-flights", "1", path=os.environ.get("WATCHKEEPER_PATH", "./watchkeeper-data"))
app = FastAPI(title="Late flights")
app.add_middleware(WatchASGI, recorder=recorder, routes=["/predict"])  # <- watched


@app.post("/predict")
def predict(flight: Flight) -> Answer:
    """Answer for one flight. A negative distance stands for the day on which the model breaks."""
    if flight.distance < 0:
        raise RuntimeError("no model can be that wrong")
    score = min(0.95, 0.2 + flight.distance / 5000)
    return Answer(prediction=score > 0.5, score=score)


@app.get("/health")
def health() -> dict[str, str]:
    """Not a prediction, so not recorded."""
    return {"status": "ok"}
