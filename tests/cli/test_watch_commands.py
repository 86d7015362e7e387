"""A newcomer's path through the watch, as typed: every command, in words and in JSON."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from watchkeeper.cli import cli, main
from watchkeeper.wiring.config import load_config

NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
START = NOW.replace(hour=0) - timedelta(days=2)


def frame(n, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    p = 1 / (1 + np.exp(-x))
    return pd.DataFrame(
        {
            "id": [f"c{seed}-{i}" for i in range(n)],
            "at": pd.Timestamp(START) + pd.to_timedelta(np.sort(rng.uniform(0, 86400, n)), unit="s"),
            "x": x,
            "region": rng.choice(["north", "south"], n),
            "score": p,
            "prediction": (p > 0.5).astype(int),
            "outcome": (rng.random(n) < p).astype(int),
        }
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    frame(3000, 1).to_parquet(folder / "january.parquet")
    rows = frame(800, 2)
    rows.drop(columns="outcome").to_parquet(folder / "scored.parquet")
    rows[["id", "outcome"]].to_csv(folder / "labels.csv", index=False)
    return folder


def run(*words, status=0, input=None):
    result = CliRunner().invoke(cli, [str(w) for w in words], input=input, standalone_mode=False)
    if result.exception is not None and status == 0:
        raise result.exception
    assert status is None or (result.return_value or 0) == status, result.output
    return result.output


def told(*words, status=0):
    return json.loads(run(*words, "--json", status=status))


def test_the_path_of_a_newcomer(project):
    where = ("--project", project)
    made = told(
        "init", project, "--model", "churn", "--baseline", project / "january.parquet", "--segments", "region"
    )
    assert made["baseline"]["task"] == "binary"
    assert made["problems"] == []
    text = (project / "watchkeeper.toml").read_text()
    assert text.startswith("#:schema ./watchkeeper.schema.json")
    assert json.loads((project / "watchkeeper.schema.json").read_text())["title"] == "watchkeeper.toml"
    assert load_config(project).models["churn"].segments == ["region"]
    assert "is good: 1 models" in run("config", "check", *where)

    out = run("record", project / "scored.parquet", "--model", "churn", "--version", "1", *where)
    assert "800 rows" in out
    assert "watchkeeper tick" in out, "it says the next command"
    ticked = told("tick", *where)
    assert (ticked["predictions"], ticked["judged_windows"], ticked["problems"]) == (800, 1, [])
    assert told("outcomes", project / "labels.csv", "--model", "churn", *where)["rows"] == 800
    assert told("tick", *where)["outcomes"] == 800

    status = told("status", *where, status=None)
    model = status["models"][0]
    assert (model["model"], model["freshest"]["rows"], model["freshest"]["coverage"]) == ("churn", 800, 1.0)
    shown = run("status", *where)
    assert "1 model, last tick" in shown
    assert START.date().isoformat() in shown

    day = START.date().isoformat()
    why = told("explain", "churn", day, "--column", "x", *where)
    assert (why["rows"], why["mature"], why["baseline"]["rows"]) == (800, True, 3000)
    assert sum(b["window"] for b in why["column"]["bins"]) == pytest.approx(1)
    shown = run("explain", "churn", "latest", *where)
    assert "800 rows, 800 outcomes (100.0%). Mature" in shown
    assert "It is the merge of 24 windows of 1h; 24 have rows." in shown
    assert "measured again (the 2. time): 800 rows, 800 outcomes" in shown

    done = told("backfill", "churn", "--from", day, "--to", f"{day}T06:00", *where)
    assert (done["stored_windows"], done["judged_windows"]) == (6, 1)


@pytest.fixture(scope="module")
def watched(project):
    """The project once the newcomer has been there, also when another process runs that test."""
    if not (project / "watchkeeper.toml").exists():
        where = ("--project", project)
        run(
            "init",
            project,
            "--model",
            "churn",
            "--baseline",
            project / "january.parquet",
            "--segments",
            "region",
        )
        run("record", project / "scored.parquet", "--model", "churn", "--version", "1", *where)
        run("outcomes", project / "labels.csv", "--model", "churn", *where)
        run("tick", *where)
    return project


def test_forgetting_asks_first_and_then_leaves_nothing(watched):
    where, project = ("--project", watched), watched
    kept = CliRunner().invoke(cli, ["forget", "churn", "--id", "c2-7", *map(str, where)], input="n\n")
    assert kept.exit_code == 1
    assert "Remove them for good?" in kept.output
    assert told("explain", "churn", "latest", *where)["rows"] == 800
    done = told("forget", "churn", "--id", "c2-7", "--where", "x > 2.0", "--yes", *where)
    assert done["predictions"] == done["ids"] > 1
    assert done["not_rebuildable"] == []
    assert len(done["rebuilt_windows"]) >= 1
    assert told("explain", "churn", "latest", *where)["rows"] == 800 - done["ids"]
    for path in project.rglob("*"):
        if path.is_file() and ".watchkeeper" in path.parts:
            assert b"c2-7\x00" not in path.read_bytes()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tick", "--model", "chrun"], "Did you mean 'churn'?"),
        (["explain", "churn", "last week"], "is no date or time"),
        (["explain", "churn", "2001-01-01"], "There is no window"),
        (["explain", "churn", "latest", "--column", "xx"], "no column 'xx'"),
        (["backfill", "churn", "--from", "2026-03-02", "--to", "2026-03-01"], "ends"),
        (["forget", "churn"], "Nothing was named"),
        (["forget", "churn", "--where", "no sql at all", "--yes"], "cannot be used"),
        (["record", "nowhere.parquet", "--model", "churn", "--version", "1"], "nowhere.parquet"),
        (["init"], "There is a project already"),
    ],
)
def test_mistakes_are_told_with_what_to_do(watched, monkeypatch, capsys, words, said):
    monkeypatch.chdir(watched)
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    assert said in capsys.readouterr().err


def test_outside_a_project_it_says_how_to_make_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["status"])
    assert "watchkeeper init" in capsys.readouterr().err


def test_a_project_without_a_model_teaches_by_its_comments(tmp_path):
    made = told("init", tmp_path / "empty")
    assert made["model"] is None
    text = (tmp_path / "empty" / "watchkeeper.toml").read_text()
    assert "# [models.churn]" in text
    assert "# [models.churn.table]" in text


def test_tokens_are_made_listed_and_ended(tmp_path):
    run("init", tmp_path)
    where = ("--project", tmp_path)
    assert "only this machine may come in" in run("token", "list", *where)
    made = told("token", "create", "ann", "--role", "admin", "--for", "90d", *where)
    once = told("token", "create", "bob", "--role", "viewer", "--once", *where)
    assert made["token"].startswith("wk_")
    listed = {t["name"]: t for t in told("token", "list", *where)}
    assert [listed[n]["state"] for n in ("ann", "bob")] == ["active", "once"]
    assert made["token"] not in str(listed)
    assert once["token"] not in str(listed)
    run("token", "revoke", listed["ann"]["id"], *where)
    assert "revoked" in run("token", "list", *where)


def test_a_port_in_use_is_said_before_anything_starts_with_who_has_it(tmp_path):
    import os
    import socket

    (tmp_path / "watchkeeper.toml").write_text("[models.churn]\n")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = CliRunner().invoke(
            cli, ["serve", "--port", str(port), "--project", str(tmp_path)], standalone_mode=False
        )
    failure = result.exception
    assert f"Port {port} of 127.0.0.1 is in use by" in failure.what
    assert f"process {os.getpid()}" in failure.what
    assert f"--port {port + 1}" in failure.next_steps[0]
