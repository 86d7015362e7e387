"""A few labels, chosen with known chances, say how the model does on all rows; out to a file and back."""

import csv
import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from watchkeeper.capture.recorder import Recorder
from watchkeeper.errors import BadInput, NotFound
from watchkeeper.loop.labels.labelling import (
    estimate_from_labels,
    export_request,
    label_next,
    read_labels,
    requests,
)
from watchkeeper.testing.clock import FakeClock
from watchkeeper.wiring import open_project

T0 = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def frame(n, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    score = 1 / (1 + np.exp(-1.5 * x))
    return pd.DataFrame(
        {
            "id": [f"r{i}" for i in range(n)],
            "at": pd.to_datetime(T0) + pd.to_timedelta(np.sort(rng.uniform(0, 86_000, n)), unit="s"),
            "x": x,
            "amount": rng.gamma(1.0, 100.0, n),
            "origin": rng.choice(["JFK", "LGA", "EWR"], n),
            "score": score,
            "prediction": (score > 0.5).astype(int),
        }
    )


@pytest.fixture
def project(tmp_path):
    (tmp_path / "watchkeeper.toml").write_text('[models.m]\ntask = "binary"\n')
    clock = FakeClock(T0)
    with open_project(tmp_path, clock=clock) as watch:
        yield watch, clock


def recorded(watch, clock, rows, known=None):
    """Record *rows* and a day later measure them; *known* are outcomes that came by themselves."""
    with Recorder("m", "1", path=watch.data) as recorder:
        recorder.record_batch(rows, id="id", at="at", prediction="prediction", score="score")
        for name, actual in known or ():
            recorder.outcome(name, actual)
        assert recorder.flush()
    clock.advance(DAY)
    assert watch.tick().to_dict()["problems"] == []


def filled_in(path, truth):
    """What a person does with the file: every row gets its outcome."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["outcome"] = truth[row["id"]]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def answered(watch, clock, request, path, truth):
    filled_in(export_request(request, path), truth)
    assert read_labels(watch, "m", path) == len(request.ids)
    clock.advance(timedelta(hours=1))
    watch.tick()
    return {e.metric: e for e in estimate_from_labels(watch, "m")[1]}


class TestEstimates:
    def test_where_scores_are_right_few_labels_are_worth_many(self, project, tmp_path):
        watch, clock = project
        rows = frame(4_000)
        rng = np.random.default_rng(1)
        outcome = (rng.random(len(rows)) < rows.score).astype(int)
        truth = dict(zip(rows.id, outcome))
        recorded(watch, clock, rows)
        request = label_next(watch, "m", budget=200, since=2 * DAY)
        assert request.population == 4_000
        found = answered(watch, clock, request, tmp_path / "to_label.csv", truth)
        for metric, real in (
            ("accuracy", (rows.prediction == outcome).mean()),
            ("positive_rate", outcome.mean()),
            ("brier", ((rows.score - outcome) ** 2).mean()),
        ):
            interval = found[metric].mean.interval
            assert interval.low < real < interval.high, metric
            assert interval.high - interval.low < 0.2
        assert found["positive_rate"].mean.worth > 200
        assert found["accuracy"].mean.rows == 4_000

    def test_where_the_concept_changed_the_labels_say_so_against_the_scores(self, project, tmp_path):
        watch, clock = project
        rows = frame(4_000)
        outcome = np.random.default_rng(2).integers(0, 2, len(rows))
        recorded(watch, clock, rows)
        request = label_next(watch, "m", budget=300, since=2 * DAY)
        claimed = request.guesses["accuracy"][0]
        found = answered(watch, clock, request, tmp_path / "to_label.csv", dict(zip(rows.id, outcome)))
        interval = found["accuracy"].mean.interval
        assert claimed > 0.7
        assert interval.low < (rows.prediction == outcome).mean() < interval.high < claimed

    def test_rows_that_nobody_labelled_are_told(self, project, tmp_path):
        watch, clock = project
        rows = frame(1_000)
        recorded(watch, clock, rows)
        request = label_next(watch, "m", budget=100, since=2 * DAY)
        assert estimate_from_labels(watch, "m")[1] == []
        some = set(request.ids[:60])
        truth = {i: (int(p) if i in some else "") for i, p in zip(rows.id, rows.prediction)}
        filled_in(export_request(request, tmp_path / "l.csv"), truth)
        assert read_labels(watch, "m", tmp_path / "l.csv") == 60
        clock.advance(timedelta(hours=1))
        watch.tick()
        found = {e.metric: e for e in estimate_from_labels(watch, "m")[1]}
        assert (found["accuracy"].mean.labels, found["accuracy"].asked) == (60, 100)
        assert found["accuracy"].mean.value == pytest.approx(1.0, abs=0.15)


class TestChoosing:
    def test_rows_with_an_outcome_or_asked_for_before_are_left_alone(self, project):
        watch, clock = project
        rows = frame(500)
        recorded(watch, clock, rows, known=[(f"r{i}", 1) for i in range(200)])
        first = label_next(watch, "m", budget=50, since=2 * DAY)
        second = label_next(watch, "m", budget=50, since=2 * DAY)
        assert (first.population, second.population) == (300, 250)
        assert not set(first.ids) & {f"r{i}" for i in range(200)}
        assert not set(first.ids) & set(second.ids)
        assert [r.key for r in requests(watch, "m")] == [second.key, first.key]

    def test_the_chances_add_up_to_the_rows_and_favour_what_is_uncertain(self, project):
        watch, clock = project
        rows = frame(3_000)
        recorded(watch, clock, rows)
        request = label_next(watch, "m", budget=300, since=2 * DAY)
        assert sum(1 / p for p in request.probabilities) == pytest.approx(3_000, rel=0.15)
        score = dict(zip(rows.id, rows.score))
        sure = [p for i, p in zip(request.ids, request.probabilities) if abs(score[i] - 0.5) > 0.45]
        unsure = [p for i, p in zip(request.ids, request.probabilities) if abs(score[i] - 0.5) < 0.1]
        assert np.mean(unsure) > 1.5 * np.mean(sure)

    def test_importance_is_a_column_that_can_be_named(self, project):
        watch, clock = project
        rows = frame(2_000)
        recorded(watch, clock, rows)
        amount = dict(zip(rows.id, rows.amount))
        heavy = label_next(watch, "m", budget=200, since=2 * DAY, importance="amount")
        assert np.mean([amount[i] for i in heavy.ids]) > 1.3 * rows.amount.mean()
        with pytest.raises(NotFound, match="amount"):
            label_next(watch, "m", budget=10, since=2 * DAY, importance="amout")
        with pytest.raises(BadInput, match="no number"):
            label_next(watch, "m", budget=10, since=2 * DAY, importance="origin")

    def test_nothing_to_label_says_so(self, project):
        watch, _ = project
        with pytest.raises(BadInput, match="no prediction without an outcome"):
            label_next(watch, "m", budget=10)
        with pytest.raises(NotFound, match="No labels were asked for"):
            estimate_from_labels(watch, "m")


class TestFiles:
    def test_json_lines_out_and_a_tools_own_columns_back(self, project, tmp_path):
        watch, clock = project
        recorded(watch, clock, frame(300))
        path = export_request(label_next(watch, "m", budget=20, since=2 * DAY), tmp_path / "rows.jsonl")
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        assert {"id", "outcome", "score", "prediction", "x", "origin", "wk_probability"} <= set(rows[0])
        assert all(row["outcome"] is None for row in rows)
        back = tmp_path / "done.jsonl"
        lines = [json.dumps({"task": r["id"], "choice": "true", "by": "ann"}) for r in rows[:5]]
        back.write_text("\n".join(lines))
        assert read_labels(watch, "m", back, id_column="task", outcome_column="choice") == 5
        with pytest.raises(NotFound, match="--outcome-column"):
            read_labels(watch, "m", back, id_column="task")

    def test_another_kind_of_file_is_refused_by_name(self, project, tmp_path):
        watch, clock = project
        recorded(watch, clock, frame(300))
        request = label_next(watch, "m", budget=20, since=2 * DAY)
        with pytest.raises(BadInput, match=r"to_label\.xlsx"):
            export_request(request, tmp_path / "to_label.xlsx")
