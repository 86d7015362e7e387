"""Estimates under watch: from sampled rows, doubted by outcomes that arrived, and scored once their own have."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from watchkeeper.capture.recorder import Recorder
from watchkeeper.loop.batch.profiling import baseline, save_baseline
from watchkeeper.testing.clock import FakeClock
from watchkeeper.wiring import open_project

T0 = datetime(2026, 3, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
CLASSES = ("cat", "dog", "owl")


def binary(rng, n, *, move=0.0, concept=0.0):
    """The model sees x and not z; both decide."""
    x, z = rng.normal(size=n), rng.normal(move, 1, size=n)
    score = 1 / (1 + np.exp(-x))
    chance = 1 / (1 + np.exp(-x - z - concept))
    return {
        "x": x,
        "z": z,
        "score": score,
        "prediction": (score >= 0.5).astype(int),
        "outcome": (rng.random(n) < chance).astype(int),
    }


def regression(rng, n, *, worse=1.0):
    x, z = rng.normal(size=n), rng.normal(size=n)
    said = 50 + 3 * x
    return {
        "x": x,
        "z": z,
        "prediction": said,
        "outcome": said + worse * (1 + 0.5 * np.abs(x)) * rng.normal(size=n),
    }


def several(rng, n):
    z = rng.normal(size=(n, 3))
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    y = (p.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(max=2)
    said = np.array(CLASSES)[p.argmax(axis=1)]
    return {
        "x": z[:, 0],
        **{f"score_{c}": p[:, i] for i, c in enumerate(CLASSES)},
        "prediction": said,
        "outcome": np.array(CLASSES)[y],
    }


def frame(world, seed, n, day, **options):
    rng = np.random.default_rng(seed)
    at = pd.to_datetime(T0 + day * DAY) + pd.to_timedelta(np.sort(rng.uniform(0, 86_400, n)), unit="s")
    return pd.DataFrame({"id": [f"{seed}-{i}" for i in range(n)], "at": at, **world(rng, n, **options)})


class Project:
    def __init__(self, folder, world, *, cadence="1d", task="", **options):
        (folder / "watchkeeper.toml").write_text(
            f"""
            [models.m]
            baseline = "m.wkb"
            cadence = "{cadence}"
            judge_every = "1d"
            {task}
            [models.m.maturity]
            share = 0.9
            after = "9d"
            """
        )
        rows = frame(world, 1, 6_000, -30)
        rows["at"] = pd.to_datetime(T0 - 30 * DAY) + pd.to_timedelta(np.arange(6_000) * 430, unit="s")
        save_baseline(baseline(rows), folder / "m.wkb")
        self.world, self.options, self.clock = world, options, FakeClock(T0)
        self.watch = open_project(folder, clock=self.clock)
        self.days = 0

    def day(self, n=1_500, *, known=True, **options):
        rows = frame(self.world, 100 + self.days, n, self.days, **options)
        with Recorder("m", "1", path=self.watch.data, flush_interval_s=60) as recorder:
            recorder.record_batch(
                rows.drop(columns=["outcome"]), id="id", at="at", prediction="prediction", **self.options
            )
            assert recorder.flush()
        self.days += 1
        self.clock.advance(DAY)
        self.tick()
        if known:
            self.tell(rows)
        return rows

    def tell(self, rows):
        with Recorder("m", "1", path=self.watch.data, flush_interval_s=60) as recorder:
            recorder.outcomes(rows[["id", "outcome"]], id="id", actual="outcome")
            assert recorder.flush()
        self.tick()

    def tick(self):
        assert self.watch.tick().to_dict()["problems"] == []

    def newest(self, measure, subject=""):
        found = [
            r
            for r in self.watch.measurements("m", measures=[measure], subjects=[subject]).to_pylist()
            if r["end"] - r["start"] == DAY and not r["version"]
        ]
        row = max(found, key=lambda r: r["start"])
        return row, json.loads(row["details"] or "{}")


@pytest.fixture
def project(tmp_path):
    made = []

    def make(world, **options):
        made.append(Project(tmp_path, world, **options))
        return made[-1]

    yield make
    for one in made:
        one.watch.close()


@pytest.mark.parametrize("cadence", ["1d", "6h"])
def test_a_regression_is_estimated_before_its_outcomes_and_scored_after(project, cadence):
    p = project(regression, cadence=cadence, task='task = "regression"')
    rows = p.day(known=False)
    row, details = p.newest("estimated_mae")
    real = np.abs(rows.prediction - rows.outcome).mean()
    assert row["low"] <= real <= row["high"]
    assert details["method"] == "dle (ridge)"
    assert details["reliable"]
    before = (row["value"], row["low"], row["high"])
    p.tell(rows)
    row, _ = p.newest("estimated_mae")
    assert (row["value"], row["low"], row["high"]) == pytest.approx(before)
    row, details = p.newest("estimate_error", "mae")
    assert row["value"] == pytest.approx(abs(before[0] - real), rel=1e-6)
    assert details["windows"] == 1
    assert p.newest("estimate_coverage", "mae")[0]["value"] == 1.0


def test_rows_that_moved_are_weighted(project):
    p = project(binary, score="score")
    p.day(known=False)
    assert p.newest("estimated_accuracy")[1]["method"] == "cbpe"
    rows = p.day(3_000, known=False, move=1.0)
    row, details = p.newest("estimated_accuracy")
    real = (rows.prediction == rows.outcome).mean()
    assert details["method"] == "pape"
    assert row["low"] <= real <= row["high"]


def test_decisions_among_several_classes_are_estimated(project):
    p = project(several, task='task = "multiclass"', score={c: f"score_{c}" for c in CLASSES})
    rows = p.day(known=False)
    row, _ = p.newest("estimated_f1_macro")
    assert row["value"] is not None, row["reason"]
    row, _ = p.newest("estimated_precision_per_class", "cat")
    cats = rows[rows.prediction == "cat"]
    assert row["low"] <= (cats.outcome == "cat").mean() <= row["high"]


def test_earlier_outcomes_cast_doubt_on_an_estimate_whose_own_are_not_there(project):
    p = project(binary, score="score")
    for _ in range(2):
        p.day()
    p.day(known=False)
    assert p.newest("estimated_accuracy")[1]["reliable"]
    for _ in range(2):
        p.day(concept=1.0)
    p.day(known=False)
    _, details = p.newest("estimated_accuracy")
    assert not details["reliable"]
    assert "outcomes have arrived and contradict it" in " ".join(details["reasons"])


def test_a_miss_is_not_left_out_of_the_record_because_its_outcomes_showed_it(project):
    p = project(binary, score="score")
    for _ in range(3):
        p.day()
    before, details = p.newest("estimate_coverage", "accuracy")
    assert details["windows"] == 3
    p.day(concept=1.5)
    _, told = p.newest("estimated_accuracy")
    assert not told["reliable"]
    assert told["reliable_beforehand"]
    row, details = p.newest("estimate_coverage", "accuracy")
    assert details["windows"] == 4
    assert row["value"] * 4 == pytest.approx(before["value"] * 3)
    p.day(concept=1.5)  # this one was doubted before its outcomes came: it does not count
    assert p.newest("estimate_coverage", "accuracy")[1]["windows"] == 4


def test_an_estimate_stays_when_the_rows_behind_it_are_gone(project, tmp_path):
    p = project(regression, task='task = "regression"\nretention = { rows = "5d" }')
    rows = p.day(known=False)
    told = p.newest("estimated_mae")[0]["value"]
    p.clock.advance(8 * DAY)
    p.tell(rows)
    assert p.newest("estimated_mae")[0]["value"] == told


def test_the_page_says_how_good_estimates_have_been_and_when_not_to_believe_one(project):
    pytest.importorskip("starlette")
    from starlette.testclient import TestClient

    from watchkeeper.web.app import create_app

    p = project(binary, score="score")
    for _ in range(3):
        p.day()
    for _ in range(2):
        p.day(concept=1.5)
    p.day(known=False)
    client = TestClient(create_app(p.watch), base_url="http://127.0.0.1:8471")
    said = " ".join(client.get("/models/m", headers={"accept": "application/json"}).json()["answer"])
    assert "unreliable" in said
    assert "outcomes have arrived and contradict it" in said
    assert "In the last 4 windows whose outcomes came, estimates were off by" in said
