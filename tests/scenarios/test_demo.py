"""The demo's story, held against the flights themselves: nothing staged, nothing hard-coded."""

import json
import subprocess
import sys
from datetime import UTC, datetime

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("deltalake")
pytest.importorskip("aiosmtpd")

from sklearn.metrics import brier_score_loss

from watchkeeper.cli.demo.flights import load_flights
from watchkeeper.cli.demo.model import out_of_fold_scores, train
from watchkeeper.cli.demo.replay import Episode, baseline_rows, day_start
from watchkeeper.cli.demo.story import run_demo
from watchkeeper.errors import BadInput
from watchkeeper.wiring import open_project

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def flights():
    return load_flights()


def test_all_flights_of_the_year_are_read(flights):
    assert len(flights) == 336_776
    assert len(set(flights.rows["id"].to_pylist())) == 336_776
    assert int((flights.late < 0).sum()) == 9_430, "cancelled and diverted flights have no outcome"


def test_the_baseline_is_scored_by_models_that_had_not_seen_the_day(flights):
    past = flights.between(day_start(1), day_start(2))
    rows = baseline_rows(past, out_of_fold_scores(past))
    assert rows.num_rows == len(past)
    known = past.late >= 0
    fitted = brier_score_loss(past.late[known], train(past).scores(past.rows)[known])
    unseen = brier_score_loss(past.late[known], np.array(rows["score"])[known])
    assert unseen > fitted


def test_the_episode_breaks_its_week_and_no_other():
    week = Episode(start=day_start(10, 14), end=day_start(10, 21))
    row = {"carrier": "UA", "distance": 1000.0, "hour": 9}
    assert week.breaks(row, day_start(10, 13)) == row
    broken = week.breaks(row, day_start(10, 15))
    assert broken["carrier"] is None
    assert broken["distance"] == pytest.approx(1609.0)


def test_a_week_of_the_story_is_what_the_flights_say(flights, tmp_path):
    """Eight days over real HTTP: counts and daily Brier scores equal those of the flights."""
    summary = run_demo(tmp_path / "a demo", until=day_start(3, 9), headless=True, quiet=True)
    json.dumps(summary, allow_nan=False)
    days = flights.between(day_start(3), day_start(3, 9))
    assert summary["predictions"] == len(days)
    past = flights.between(day_start(1), day_start(3))
    model = train(past)
    with open_project(tmp_path / "a demo") as watch:
        table = watch.ledger.measurements.series("late-flights", "brier")
        start = datetime(2013, 3, 4, tzinfo=UTC)
        measured = dict(zip(table["start"].to_pylist(), table["value"].to_pylist(), strict=True))[start]
        day = flights.between(start, start.replace(day=5))
        known = day.late >= 0
        assert measured == pytest.approx(
            brier_score_loss(day.late[known], model.scores(day.rows)[known]), abs=1e-9
        )
        rows = watch.ledger.measurements.series(
            "late-flights", "row_count", start=start, end=start.replace(day=5)
        )
        assert rows["value"].to_pylist() == [len(day)]
    for name in ("drift_report", "model_card"):
        assert name in summary["files"]
    independent = (
        summary["quiet"][0]["independent"] if summary["quiet"] else summary["alarms"][0]["independent"]
    )
    assert 0.1 < independent["brier"] < 0.3


def test_a_folder_that_is_not_a_demo_is_left_alone(tmp_path):
    (tmp_path / "work.txt").write_text("precious")
    with pytest.raises(BadInput, match="is not an earlier demo"):
        run_demo(tmp_path, headless=True, quiet=True)
    assert (tmp_path / "work.txt").read_text() == "precious"


def test_the_command_explains_itself():
    done = subprocess.run(
        [sys.executable, "-m", "watchkeeper", "demo", "--help"], capture_output=True, text=True, check=True
    )
    assert "--headless" in done.stdout
