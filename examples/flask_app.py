"""A Flask service whose predictions are watched. The line that does it is marked.

    gunicorn --workers 4 examples.flask_app:app

Try it:

    curl -s -i localhost:8000/predict -H 'content-type: application/json' -d '{"distance": 500, "carrier": "UA"}'
"""

import os

from flask import Flask, jsonify, request

from watchkeeper.capture.recorder import Recorder
from watchkeeper.capture.wsgi import WatchWSGI

recorder = Recorder("late-flights", "1", path=os.environ.get("WATCHKEEPER_PATH", "./watchkeeper-data"))
app = Flask(__name__)
app.wsgi_app = WatchWSGI(app.wsgi_app, recorder, routes=["/predict"])  # <- watched


@app.post("/predict")
def predict():
    """Answer for one flight. A negative distance stands for the day on which the model breaks."""
    flight = request.get_json()
    if flight["distance"] < 0:
        raise RuntimeError("no model can be that wrong")
    score = min(0.95, 0.2 + flight["distance"] / 5000)
    return jsonify(prediction=score > 0.5, score=score)


@app.get("/health")
def health():
    """Not a prediction, so not recorded."""
    return jsonify(status="ok")
