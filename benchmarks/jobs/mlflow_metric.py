"""What ``mlflow.log_metric`` costs with a local SQLite store, in its own environment: seconds a call."""

from __future__ import annotations

import json
import tempfile
import time


def main() -> None:
    import mlflow

    with tempfile.TemporaryDirectory() as folder:
        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        with mlflow.start_run():
            mlflow.log_metric("score", 0.5, step=0)
            begun = time.perf_counter()
            for step in range(1, 101):
                mlflow.log_metric("score", 0.5, step=step)
            spent = (time.perf_counter() - begun) / 100
    print(json.dumps({"version": mlflow.__version__, "s": {"mlflow.log_metric": spent}}))


main()
