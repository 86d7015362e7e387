"""`watchkeeper init` on files as people have them: what is guessed, asked, missing, and refused with a way on."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from watchkeeper.cli import cli
from watchkeeper.errors import UnreadableSource, WatchkeeperError
from watchkeeper.wiring import open_project
from watchkeeper.wiring.config import load_config

pytest.importorskip("deltalake")


def people(rows=600, seed=3):
    random = np.random.default_rng(seed)
    score = random.random(rows)
    return pd.DataFrame(
        {
            "id": [f"c{i}" for i in range(rows)],
            "when": pd.date_range("2026-01-01", periods=rows, freq="1h"),
            "age": random.integers(18, 80, rows),
            "city": random.choice(["München", "Köln"], rows),
            "score": score,
            "outcome": (random.random(rows) < score).astype(int),
        }
    )


def init(*words, status=0):
    result = CliRunner().invoke(cli, ["init", *map(str, words)], standalone_mode=False)
    if result.exception is not None and status == 0:
        raise result.exception
    return result.output


def told(*words):
    return json.loads(init(*words, "--json"))


def roles(answer):
    return {n: role for n, (_, role) in answer["baseline"]["columns"].items() if role != "feature"}


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ({}, {"id": "id", "when": "time", "score": "score", "outcome": "outcome"}),
        (
            {"id": "Customer ID", "when": "Scored At", "score": "p(churn)", "outcome": "Churn?"},
            {"Customer ID": "id", "Scored At": "time", "p(churn)": "score", "Churn?": "outcome"},
        ),
        (
            {"score": "churnProbability", "outcome": "churn", "id": "nr"},
            {"when": "time", "churnProbability": "score", "churn": "outcome"},
        ),
        # Two columns that could be meant are left to the person.
        ({"age": "label_a", "outcome": "label_b"}, {"id": "id", "when": "time", "score": "score"}),
    ],
    ids=["plain", "odd", "camel", "two labels"],
)
def test_what_is_guessed_from_names(tmp_path, names, found):
    people().rename(columns=names).to_csv(tmp_path / "january.csv", index=False)
    answer = told(tmp_path / "shop", "--baseline", tmp_path / "january.csv")
    assert roles(answer) == found
    assert answer["model"] == "january"
    assert answer["problems"] == []


def test_a_regression_finds_what_its_prediction_is_of(tmp_path):
    random = np.random.default_rng(0)
    price = random.lognormal(12, 0.3, 300)
    frame = pd.DataFrame({"area": price / 4_000, "predicted_price": price * 1.02, "price": price})
    frame.to_parquet(tmp_path / "houses.parquet")
    answer = told(tmp_path / "shop", "--baseline", tmp_path / "houses.parquet")
    assert roles(answer) == {"predicted_price": "prediction", "price": "outcome"}
    assert answer["baseline"]["task"] == "regression"
    assert load_config(tmp_path / "shop").models["houses"].task == "regression"


def test_a_role_that_is_given_wins_over_a_guess(tmp_path):
    people().assign(answer=lambda f: f.outcome).to_csv(tmp_path / "rows.csv", index=False)
    answer = told(
        tmp_path / "shop",
        "--baseline",
        tmp_path / "rows.csv",
        "--role",
        "answer=outcome",
        "--role",
        "outcome=ignored",
    )
    assert roles(answer)["answer"] == "outcome"
    assert roles(answer)["outcome"] == "ignored"


def test_it_says_what_is_missing_and_how_to_give_it(tmp_path):
    people()[["age", "outcome"]].rename(columns={"outcome": "left"}).to_csv(tmp_path / "r.csv", index=False)
    out = init(tmp_path / "shop", "--baseline", tmp_path / "r.csv")
    assert "--role left=outcome" in out, "the one column that has two values"
    assert "--role COLUMN=score" in out
    assert "--role COLUMN=time" in out
    assert "watchkeeper serve --project" in out


def test_the_first_check_says_how_good_the_model_is_in_these_rows(tmp_path):
    from sklearn.metrics import roc_auc_score

    frame = people()
    frame.to_csv(tmp_path / "r.csv", index=False)
    out = init(tmp_path / "shop", "--baseline", tmp_path / "r.csv")
    assert f"roc_auc {roc_auc_score(frame.outcome, frame.score):.4g}" in out
    assert "25 windows of their own" in out


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"id,age\n", "no rows"),
        (bytes(range(256)) * 4, "not a text file"),
        ("id,city\n1,München\n".encode("latin-1"), "not UTF-8"),
    ],
    ids=["empty", "header only", "binary", "latin-1"],
)
def test_a_file_that_cannot_be_read_leaves_nothing_behind(tmp_path, content, said):
    (tmp_path / "rows.csv").write_bytes(content)
    result = CliRunner().invoke(
        cli, ["init", str(tmp_path / "shop"), "--baseline", str(tmp_path / "rows.csv")], standalone_mode=False
    )
    assert said in str(result.exception)
    assert not (tmp_path / "shop").exists()


def test_a_refused_replacement_leaves_everything_as_it_was(tmp_path):
    people().to_parquet(tmp_path / "a.parquet")
    people(300, seed=4).to_parquet(tmp_path / "b.parquet")
    init(tmp_path, "--model", "m", "--baseline", tmp_path / "a.parquet", "--json")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}
    for wrong in (["--cadence", "7h"], ["--timezone", "Europe/Berln"], ["--segments", "nowhere"]):
        result = CliRunner().invoke(
            cli,
            [
                "init",
                str(tmp_path),
                "--model",
                "m",
                "--baseline",
                str(tmp_path / "b.parquet"),
                "--replace",
                *wrong,
            ],
            standalone_mode=False,
        )
        assert isinstance(result.exception, WatchkeeperError), result.output
        assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()} == before


def test_other_encodings_are_an_option(tmp_path):
    people().to_csv(tmp_path / "rows.csv", index=False, encoding="latin-1")
    with pytest.raises(UnreadableSource):
        init(tmp_path / "shop", "--baseline", tmp_path / "rows.csv")
    init(tmp_path / "shop", "--baseline", tmp_path / "rows.csv", "--encoding", "latin-1")
    with open_project(tmp_path / "shop") as watch:
        assert "München" in watch.baseline("rows").profile.columns["city"].frequencies.counts


def test_a_column_of_nothing_and_a_name_that_comes_twice_are_told(tmp_path):
    text = "id,age,age,nothing,score,outcome\n" + "".join(
        f"{i},{i % 60},{i % 7},,0.{i % 9}1,{i % 2}\n" for i in range(200)
    )
    (tmp_path / "rows.csv").write_text(text)
    out = init(tmp_path / "shop", "--baseline", tmp_path / "rows.csv")
    assert "'nothing' holds nothing but nulls" in out
    assert "'age (2)'" in out


def test_segments_are_cut_in_the_baseline_too(tmp_path):
    people().to_csv(tmp_path / "rows.csv", index=False)
    init(tmp_path / "shop", "--baseline", tmp_path / "rows.csv", "--segments", "city")
    with open_project(tmp_path / "shop") as watch:
        assert any("city" in str(key) for key in watch.baseline("rows").profile.segments)


def converse(folder, answers):
    """Run `watchkeeper init` on a terminal of its own; answer each prompt that holds a word."""
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "watchkeeper", "init"],
        stdin=child, stdout=child, stderr=child, cwd=folder, close_fds=True,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80"},
    )  # fmt: skip
    os.close(child)
    said, seen, end = "", 0, time.monotonic() + 90
    waiting = list(answers)
    while time.monotonic() < end:
        if not select.select([parent], [], [], 0.2)[0]:
            if process.poll() is not None:
                break
            continue
        try:
            part = os.read(parent, 4096).decode("utf-8", "replace")
        except OSError:
            break
        said += part
        if waiting and waiting[0][0] in said[seen:]:
            seen = len(said)
            os.write(parent, (waiting.pop(0)[1] + "\n").encode())
    assert process.wait(10) == 0, said
    assert not waiting, (waiting, said)
    os.close(parent)
    return said


def test_it_asks_until_it_knows(tmp_path):
    frame = people().rename(columns={"outcome": "left"})
    frame.to_csv(tmp_path / "rows.csv", index=False, encoding="latin-1")
    said = converse(
        tmp_path,
        [
            ("Rows of a good time", "nowhere.csv"),
            ("Rows of a good time", "rows.csv"),
            ("Its encoding", "latin-1"),
            ("Name of the model", "churn"),
            ("What really happened", "lefft"),
            ("Did you mean 'left'?", "left"),
            ("The model's probability", ""),
            ("What the model decided", ""),
            ("When it was predicted", ""),
            ("What names a prediction", ""),
            ("Columns to measure apart", "city"),
        ],
    )
    assert said.count("nowhere.csv") == 2, "as it was typed, and in the refusal"
    with open_project(tmp_path) as watch:
        schema = watch.baseline("churn").schema
        assert {c.name: c.role.value for c in schema.columns if c.role.value != "feature"} == {
            "id": "id", "when": "time", "score": "score", "left": "outcome",
        }  # fmt: skip
    assert load_config(tmp_path).models["churn"].segments == ["city"]
    assert "Next" in said
