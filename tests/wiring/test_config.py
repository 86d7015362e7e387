"""A configuration either means what it says, or names the place where it does not."""

from datetime import timedelta

import pytest

from watchkeeper.domain.schema import Task
from watchkeeper.errors import BadConfig
from watchkeeper.wiring.config import find_project, json_schema, load_config, parse_config, secret

FAULTS = {
    "[models.churn.maturity]\nshar = 1": "line 2, models.churn.maturity.shar: there is no such key. Did you mean 'share'?",
    '[models.a]\ntask = "binry"': "line 2, models.a.task: must be 'binary', 'multiclass' or 'regression'. Did you mean 'binary'?",
    "[models.a]\ncadence = 5": 'line 2, models.a.cadence: needs a unit: write "30s", "15m", "1h" or "7d".',
    '[models.a]\ntimezone = "Europe/Berln"': "Did you mean 'Europe/Berlin'?",
    '[[routes]]\nchannels = ["mial"]\n[channels.mail]\nurl = "env:X"': "Did you mean 'mail'?",
    "[sever]\nport = 1": "line 1, sever: there is no such key. Did you mean 'server'?",
    '[models.a.table]\nlocation = "x"': "models.a.table.time: this key is needed.",
    '[[routes]]\nchannels = []\ngrup_wait = "1s"': "line 3, routes.0.grup_wait: there is no such key. Did you mean 'group_wait'?",
    '[models."a b"]\ntask = "binary"': "the model name 'a b' must be letters",
    '[models.a]\ncadence = "7h"': "a whole number of windows must make a day",
    '[models.a]\ntimezone = "Asia/Kolkata"': 'days of Asia/Kolkata are merges of windows of UTC, so its windows must be shorter: cadence = "30m"',
    '[models.a]\ntimezone = "Asia/Kathmandu"\ncadence = "30m"': 'cadence = "15m"',
    '[models.a]\ntimezone = "Europe/Berlin"\ncadence = "6h"': 'cadence = "1h"',
    "[models.a\n": "is not valid TOML",
}


@pytest.mark.parametrize(("text", "said"), FAULTS.items())
def test_a_fault_is_told_with_its_place_and_the_nearest_known_key(text, said):
    with pytest.raises(BadConfig) as failure:
        parse_config(text)
    assert said in str(failure.value)


def test_every_fault_is_told_at_once():
    with pytest.raises(BadConfig, match="2 faults"):
        parse_config('[server]\nport = "x"\nhots = "a"')


def test_a_model_reaches_the_domain_as_it_was_written():
    config = parse_config(
        """
        [models.late]
        task = "binary"
        cadence = "6h"
        judge_every = "1d"
        segments = ["origin", ["origin", "carrier"]]
        checks = { psi = 0.2, "psi:age" = 0.5, brier = false }
        [models.late.maturity]
        share = 0.9
        after = "2w"
        """
    )
    model = config.watched()["late"]
    assert model.task is Task.BINARY
    assert model.cadence == timedelta(hours=6)
    assert model.segments == (("origin",), ("origin", "carrier"))
    assert model.checks == {"psi": 0.2, "psi:age": 0.5, "brier": None}
    assert (model.maturity.share, model.maturity.after) == (0.9, timedelta(weeks=2))


def test_the_project_is_found_from_a_folder_below_it(tmp_path):
    (tmp_path / "watchkeeper.toml").write_text('[project]\nname = "x"\n')
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert find_project(below) == tmp_path
    assert load_config(tmp_path).project.name == "x"


def test_a_secret_that_is_not_there_is_told_by_its_name(monkeypatch, tmp_path):
    monkeypatch.setenv("WK_TEST_SECRET", "s3cret")
    (tmp_path / "token").write_text("t0ken\n")
    assert secret("env:WK_TEST_SECRET") == "s3cret"
    assert secret(f"file:{tmp_path / 'token'}") == "t0ken"
    assert secret("plain") == "plain"
    with pytest.raises(BadConfig, match="WK_NOT_SET is not set"):
        secret("env:WK_NOT_SET")


def test_editors_get_a_schema_that_explains_every_key():
    schema = json_schema()
    maturity = schema["$defs"]["MaturityTable"]["properties"]
    assert set(maturity) == {"share", "after"}
    assert all(p["description"] for p in maturity.values())
