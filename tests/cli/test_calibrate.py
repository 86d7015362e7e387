"""``watchkeeper calibrate`` and ``label-next``, as a person types them."""

import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from watchkeeper.capture.recorder import Recorder
from watchkeeper.cli.calibrate import calibrate
from watchkeeper.cli.label import label_next
from watchkeeper.loop.batch.profiling import baseline, save_baseline
from watchkeeper.wiring import open_project


def run(command, *words):
    done = CliRunner().invoke(command, [str(w) for w in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    rng = np.random.default_rng(0)
    n = 30 * 100
    at = pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(np.arange(n) * 864, unit="s")
    frame = pd.DataFrame({"at": at, "x": rng.normal(size=n), "plan": rng.choice(list("abc"), n)})
    path = tmp_path_factory.mktemp("stored") / "m.wkb"
    return save_baseline(baseline(frame, roles={"at": "time"}, name="m"), path)


QUICK = ("--runs", 10, "--windows", 20, "--within", 12, "--shift", "location=0.5")


def test_a_baseline_file_alone_is_enough(stored, tmp_path):
    text = run(
        calibrate, "--baseline", stored, *QUICK,
        "--html", tmp_path / "c.html", "--picture", tmp_path / "c.svg", "--state", tmp_path / "state",
    )  # fmt: skip
    for words in (
        "your rules that page",
        "always fire",
        "never fire",
        "location +0.5 sd",
        "Cadence:",
        "Baseline:",
    ):
        assert words in text
    assert "<svg" in (tmp_path / "c.svg").read_text()
    assert "What to do" in (tmp_path / "c.html").read_text()
    assert not (tmp_path / "state").exists()


def test_interrupted_it_says_how_to_go_on_and_does(stored, tmp_path, monkeypatch):
    from watchkeeper.loop.backtest import calibration_replay as replaying

    words = ("--baseline", stored, *QUICK, "--state", tmp_path / "state")
    whole = run(calibrate, *words, "--json")
    replayed, times = replaying.Replayer._column_shift, [0]

    def once(self, *given, **options):
        times[0] += 1
        if times[0] == 1:
            raise KeyboardInterrupt
        return replayed(self, *given, **options)

    monkeypatch.setattr(replaying.Replayer, "_column_shift", once)
    done = CliRunner().invoke(calibrate, [str(w) for w in words])
    assert done.exit_code != 0
    assert "the same command goes on from here" in done.output
    assert (tmp_path / "state").exists()
    monkeypatch.undo()
    again = json.loads(run(calibrate, *words, "--json"))
    assert {**again, "created_at": ""} == {**json.loads(whole), "created_at": ""}


def test_json_says_the_same_and_more(stored, tmp_path):
    found = json.loads(run(calibrate, "--baseline", stored, *QUICK, "--json"))
    always = next(f for f in found["false_alarms"] if (f["how"], f["procedure"]) == ("by window", "always"))
    assert always["alarmed"] == always["deployments"] == 10
    assert found["options"]["seed"] == 0


def test_a_model_of_a_project_goes_by_its_own_rules_and_is_remembered(stored, tmp_path):
    (tmp_path / "watchkeeper.toml").write_text(
        f'[models.m]\nbaseline = "{stored}"\n[[models.m.rules]]\nname = "mine"\nkind = "threshold"\n'
        'measure = "psi"\nabove = 0.5\n'
    )
    text = run(calibrate, "m", "--project", tmp_path, *QUICK, "--json")
    assert "mine" in {r["name"] for r in json.loads(text)["rules"] if r["replayed"]}
    with open_project(tmp_path) as watch:
        assert watch.ledger.facts.document("calibration", "m").body["model"] == "m"
    assert list((tmp_path / ".watchkeeper").glob("calibration/*")) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "--baseline FILE"),
        (("m", "--baseline", "x.wkb"), "--baseline FILE"),
        (("m", "--shift", "location"), "KIND=SIZE"),
        (("m", "--picture", "c.gif"), ".svg or .png"),
    ],
)
def test_bad_words_are_answered_with_what_to_say(words, said):
    done = CliRunner().invoke(calibrate, list(words))
    assert done.exit_code == 2
    assert said in done.output


def test_labels_go_out_and_come_back(tmp_path):
    (tmp_path / "watchkeeper.toml").write_text('[models.m]\ntask = "binary"\n')
    rng = np.random.default_rng(0)
    with open_project(tmp_path) as watch, Recorder("m", "1", path=watch.data) as recorder:
        for score in rng.random(400):
            recorder.record({"x": float(score)}, bool(score > 0.5), score=float(score))
        assert recorder.flush()
        watch.tick()
    path = tmp_path / "rows.jsonl"
    text = run(label_next, "m", "--budget", 40, "-o", path, "--project", tmp_path)
    assert "40 of 400" in text
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("\n".join(json.dumps({**r, "outcome": r["prediction"]}) for r in rows))
    assert "40 outcomes" in run(label_next, "m", "--read", path, "--project", tmp_path)
    assert "Fewer than two" in run(label_next, "m", "--estimate", "--project", tmp_path)
    with open_project(tmp_path) as watch:
        watch.tick()
    found = json.loads(run(label_next, "m", "--estimate", "--json", "--project", tmp_path))
    accuracy = next(e for e in found["estimates"] if e["metric"] == "accuracy")
    assert accuracy["labels"] == 40
    assert accuracy["low"] <= 1.0 <= accuracy["high"] + 0.05
    assert CliRunner().invoke(label_next, ["m", "--project", str(tmp_path)]).exit_code == 2
