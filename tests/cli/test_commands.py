"""The command line: what it prints, what it writes, and its exit status, as a shell sees them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import watchkeeper as wk
from watchkeeper.cli import COMMANDS, main


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for name, seed, shift in (("january", 0, 0.0), ("february", 1, 0.0), ("march", 2, 0.6)):
        random = np.random.default_rng(seed)
        x = random.normal(size=8_000)
        score = 1 / (1 + np.exp(-x))
        columns = {
            "id": np.arange(8_000) + 10_000 * seed,
            "age": random.integers(18, 90, 8_000),
            "income": random.normal(3_000 + 500 * shift, 500, 8_000),
            "plan": random.choice(["basic", "plus"], 8_000),
            "score": score,
            "outcome": (random.random(8_000) < score).astype(int),
        }
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    return folder


@pytest.fixture
def run(data, capsys, monkeypatch):
    """Run one command in the folder of the data: exit status, stdout, stderr."""
    monkeypatch.chdir(data)

    def call(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            main(list(words))
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return call


class TestCompare:
    def test_nothing_found(self, run):
        status, out, err = run("compare", "january.parquet", "february.parquet")
        assert status == 0
        assert "Nothing that matters changed." in out
        assert "income" in out
        assert err == ""

    def test_a_finding_is_status_one(self, run):
        status, out, _ = run("compare", "january.parquet", "march.parquet")
        assert status == 1
        assert "1 of 6 columns moved." in out
        assert "median rose" in out

    @pytest.mark.parametrize(
        ("fail_on", "status"),
        [("drift", 1), ("quality", 0), ("performance", 0), ("quality,drift", 1), ("nothing", 0)],
    )
    def test_the_gate_looks_at_the_families_named(self, run, fail_on, status):
        assert run("compare", "january.parquet", "march.parquet", "--fail-on", fail_on)[0] == status

    def test_inconclusive_may_fail_the_gate(self, run, data):
        pq.write_table(pq.read_table(data / "february.parquet").slice(0, 5), data / "few.parquet")
        assert run("compare", "january.parquet", "few.parquet")[0] == 0
        assert run("compare", "january.parquet", "few.parquet", "--fail-on", "inconclusive")[0] == 1

    def test_json_is_all_of_stdout_and_strict(self, run):
        status, out, _ = run("compare", "january.parquet", "march.parquet", "--json")
        said = json.loads(out, parse_constant=lambda word: pytest.fail(word))
        assert (status, said["verdict"]) == (1, "fail")

    def test_files_are_written_side_by_side(self, run, tmp_path):
        names = {"--html": "r.html", "--md": "r.md", "--junit": "r.xml"}
        words = [w for option, name in names.items() for w in (option, str(tmp_path / name))]
        status, out, _ = run("compare", "january.parquet", "march.parquet", *words, "--quiet")
        assert (status, out) == (1, "")
        assert "<!doctype html>" in (tmp_path / "r.html").read_text()
        assert (tmp_path / "r.md").read_text().startswith("## ✗ 1 of 6 columns moved")
        assert ET.parse(tmp_path / "r.xml").getroot().get("failures") == "1"

    def test_markdown_on_the_terminal(self, run):
        assert run("compare", "january.parquet", "march.parquet", "--md", "-")[1].startswith("## ✗")

    def test_checks_measures_columns_and_expectations(self, run):
        shifted = ("compare", "january.parquet", "march.parquet")
        assert run(*shifted, "--checks", "psi=9")[0] == 0
        assert run(*shifted, "--checks", "psi:income=off")[0] == 0
        assert run(*shifted, "--columns", "age,plan")[0] == 0
        assert run(*shifted, "--families", "quality,performance")[0] == 0
        status, out, _ = run(
            "compare", "january.parquet", "february.parquet", "--expect", "age between 20 and 60"
        )
        assert status == 1
        assert "Expected: age lies between 20 and 60" in out
        assert (
            "hellinger"
            in run("compare", "january.parquet", "february.parquet", "--measures", "hellinger", "--json")[1]
        )

    def test_what_a_peer_would_say(self, run):
        status, out, _ = run("compare", "january.parquet", "march.parquet", "--compat", "evidently")
        assert status == 1
        assert "By its own definitions Evidently calls" in out
        assert "wasserstein" in out

    def test_a_query_is_a_source(self, run):
        status, out, _ = run("compare", "sql:SELECT * FROM 'january.parquet'", "february.parquet")
        assert status == 0
        assert "Nothing that matters changed" in out

    def test_a_schema_file_is_obeyed(self, run, data):
        run("profile", "january.parquet", "--save-schema", "schema.json")
        text = (
            (data / "schema.json")
            .read_text()
            .replace('"plan", "kind": "categorical"', '"plan", "kind": "text"')
        )
        (data / "schema.json").write_text(text)
        _, out, _ = run("compare", "january.parquet", "february.parquet", "--schema", "schema.json", "--json")
        assert {c["name"]: c["kind"] for c in json.loads(out)["columns"]}["plan"] == "text"

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("compare", "january.parquet"), "Missing argument 'CURRENT'"),
            (("compare", "janury.parquet", "march.parquet"), "Did you mean 'january.parquet'"),
            (("compare", "january.parquet", "march.parquet", "--htlm", "x"), "'--html'"),
            (("compare", "january.parquet", "march.parquet", "--columns", "incme"), "Did you mean 'income'"),
            (("compare", "january.parquet", "march.parquet", "--checks", "pssi=1"), "Did you mean 'psi'"),
            (("compare", "january.parquet", "march.parquet", "--checks", "psi"), "NAME=VALUE"),
            (("compare", "january.parquet", "march.parquet", "--checks", "psi=much"), "a number or 'off'"),
            (("compare", "january.parquet", "march.parquet", "--fail-on", "drfit"), "Did you mean 'drift'"),
            (("compare", "january.parquet", "march.parquet", "--families", "drfit"), "Did you mean 'drift'"),
            (("compare", "january.parquet", "march.parquet", "--measures", "wassertein"), "Did you mean 'wasserstein'"),
            (("compare", "january.parquet", "march.parquet", "--role", "incme=score"), "Did you mean 'income'"),
            (("compare", "january.parquet", "march.parquet", "--schema", "none.json"), "no schema file"),
            (("compare", "january.parquet", "march.parquet", "--expectations", "none.json"), "no file of expectations"),
            (("compare", "january.parquet", "march.parquet", "--html", "no/such/r.html"), "cannot be written"),
            (("compare", "january.parquet", "march.parquet", "--compat", "evidentl"), "evidently"),
            (("comparr", "a", "b"), "Did you mean 'compare'"),
            (("measures", "wassertein"), "Did you mean 'wasserstein'"),
            (("show", "january.parquet"), "not a file of Watchkeeper"),
            (("baseline", "absent.csv"), "no file 'absent.csv'"),
        ],
        ids=lambda words: " ".join(words[-2:]) if isinstance(words, tuple) else "",
    )  # fmt: skip
    def test_bad_usage_is_status_two_and_says_what_to_do(self, run, words, said):
        status, out, err = run(*words)
        assert status == 2
        assert said in err
        assert out == ""
        assert "Traceback" not in err


class TestBaselineProfileShow:
    def test_a_baseline_is_taken_shown_and_compared_with(self, run, data):
        status, out, _ = run("baseline", "january.parquet", "--output", "model.wkb", "--name", "churn")
        assert status == 0
        assert "8,000 rows, 6 columns" in out
        assert "watchkeeper compare model.wkb" in out
        assert "Baseline churn" in run("show", "model.wkb")[1]
        assert run("compare", "model.wkb", "february.parquet")[0] == 0
        assert run("compare", "model.wkb", "march.parquet")[0] == 1
        assert json.loads(run("show", "model.wkb", "--json")[1])["name"] == "churn"

    def test_without_an_output_it_is_named_after_its_source(self, run, data):
        said = json.loads(run("baseline", "february.parquet", "--json")[1])
        assert (said["path"], said["rows"]) == ("february.wkb", 8_000)
        assert (data / "february.wkb").exists()

    def test_expectations_are_suggested_and_used(self, run):
        run("baseline", "january.parquet", "--output", "m.wkb", "--suggest-expectations", "e.json")
        assert run("compare", "m.wkb", "january.parquet", "--expectations", "e.json")[0] == 0

    def test_a_profile_serves_as_a_baseline_without_rows(self, run):
        assert run("profile", "january.parquet", "--output", "p.wkp")[0] == 0
        assert run("compare", "p.wkp", "march.parquet")[0] == 1
        status, _, err = run("compare", "p.wkp", "march.parquet", "--compat", "deequ")
        assert status == 2
        assert "needs the rows of the baseline" in err

    def test_a_profile_is_a_table_or_json(self, run):
        _, out, _ = run("profile", "january.parquet")
        assert "income" in out
        assert "basic" in out
        said = json.loads(run("profile", "january.parquet", "--json")[1])
        assert [c["name"] for c in said["columns"]] == ["id", "age", "income", "plan", "score", "outcome"]

    def test_a_stored_report_is_shown(self, run, data):
        (data / "r.json").write_text(run("compare", "january.parquet", "march.parquet", "--json")[1])
        _, out, _ = run("show", "r.json")
        assert "1 of 6 columns moved" in out
        assert "income" in out


class TestMeasures:
    def test_all_are_listed_and_each_is_explained(self, run):
        listed = json.loads(run("measures", "--json")[1])
        names = {entry["name"] for entry in listed}
        assert {"psi", "ks", "duplicate_ids", "roc_auc"} <= names
        assert "Formula" in run("measures", "psi")[1]
        assert json.loads(run("measures", "psi", "--json")[1])["name"] == "psi"


class TestShell:
    """As a process of its own: nothing but the answer in a pipe."""

    def shell(self, data: Path, *words: str, **how) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "watchkeeper", *words], cwd=data, capture_output=True, text=True, **how
        )

    def test_a_pipe_gets_the_answer_and_no_progress(self, data):
        done = self.shell(data, "compare", "january.parquet", "march.parquet", "--json")
        assert done.returncode == 1
        assert done.stderr == ""
        assert json.loads(done.stdout)["verdict"] == "fail"
        assert "\x1b" not in done.stdout

    def test_bad_input_is_a_letter_and_no_traceback(self, data):
        done = self.shell(data, "compare", "absent.parquet", "march.parquet")
        assert done.returncode == 2
        assert "There is no file 'absent.parquet'" in done.stderr
        assert "Traceback" not in done.stderr

    def test_a_reader_that_leaves_early_is_no_failure(self, data):
        command = f"{sys.executable} -m watchkeeper measures | head -1"
        done = subprocess.run(["bash", "-c", command], cwd=data, capture_output=True, text=True)
        assert done.stderr == ""

    def test_a_terminal_sees_progress(self, data):
        import pty

        parent, child = pty.openpty()
        done = subprocess.Popen(
            [sys.executable, "-m", "watchkeeper", "compare", "january.parquet", "february.parquet"],
            cwd=data, stdout=subprocess.DEVNULL, stderr=child, env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
        )  # fmt: skip
        os.close(child)
        seen = b""
        while True:
            try:
                piece = os.read(parent, 65_536)
            except OSError:
                break
            if not piece:
                break
            seen += piece
        assert done.wait(timeout=60) == 0
        os.close(parent)
        assert b"counting" in seen


@pytest.mark.parametrize(
    "command", sorted(set(COMMANDS) & {"compare", "baseline", "profile", "show", "measures"})
)
def test_every_command_explains_itself(run, command):
    status, out, _ = run(command, "--help")
    assert status == 0
    assert "Usage" in out
    assert "--json" in out
    if command in ("compare", "baseline", "profile"):
        assert "Examples:" in out


@pytest.mark.parametrize(("option", "missing", "kinds"), [((), 0, 3), (("--missing", "NA,unknown"), 2, 1)])
def test_words_for_missing_values_can_be_named(tmp_path, capsys, option, missing, kinds):
    """Beside other words NA may be a category (Namibia): the file alone does not tell, its owner does."""
    (tmp_path / "rows.csv").write_text(
        "id,region\n" + "\n".join(["1,EU", "2,NA", "3,unknown", "4,EU"]) + "\n"
    )
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["profile", str(tmp_path / "rows.csv"), "--json", *option])
    out = capsys.readouterr().out
    column = next(c for c in json.loads(out)["columns"] if c["name"] == "region")
    assert column["missing_share"] == missing / 4
    made = wk.profile(tmp_path / "rows.csv", missing=["NA", "unknown"] if option else None)
    assert len(made.columns["region"].frequencies.counts) == kinds
