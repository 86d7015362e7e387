"""What a user may ask of one comparison, and what comes back."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import watchkeeper as wk
from watchkeeper.domain.expectation import Expectation
from watchkeeper.domain.verdict import Verdict
from watchkeeper.errors import BadInput
from watchkeeper.loop.batch.expectations import load_expectations, save_expectations, suggested
from watchkeeper.loop.batch.profiling import load_baseline, save_baseline
from watchkeeper.measures.compat import PEERS, column_drift

ROWS = 5_000


def batch(seed: int = 0, rows: int = ROWS, *, shift: float = 0.0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    x = random.normal(size=rows)
    score = 1 / (1 + np.exp(-x))
    return {
        "id": np.arange(rows) + rows * seed,
        "age": random.integers(18, 90, rows),
        "income": random.lognormal(10 + shift, 0.5, rows),
        "plan": random.choice(["basic", "plus", "pro"], rows),
        "region": random.choice(["north", "south"], rows),
        "timestamp": np.datetime64("2026-03-01T00:00:00", "us") + np.arange(rows).astype("timedelta64[m]"),
        "score": score,
        "outcome": (random.random(rows) < score).astype(int),
    }


def finding(report: wk.Report, measure: str, subject: str = "", segment: str = ""):
    [found] = [f for f in report.findings if (f.measure, f.subject, f.segment) == (measure, subject, segment)]
    return found


class TestTheAnswer:
    def test_what_moved_is_found_and_nothing_else(self):
        report = wk.compare(batch(0), batch(1, shift=0.4))
        assert {f.subject for f in report.failed()} == {"income"}
        assert report.columns[0].name == "income"
        assert report.headline == "1 of 8 columns moved"
        assert "median rose" in report.columns[0].sentence

    def test_a_finding_says_value_margin_rows_and_why(self):
        found = finding(wk.compare(batch(0), batch(1, shift=0.4)), "psi", "income")
        assert found.verdict is Verdict.FAIL
        assert found.value > found.fail_at > found.margin
        assert (found.rows, found.baseline_rows) == (ROWS, ROWS)
        assert found.q_value < 0.05
        assert found.sentence.endswith(".")

    def test_levels_may_be_changed_for_all_columns_for_one_and_switched_off(self):
        drifted = batch(1, shift=0.4)
        assert wk.compare(batch(0), drifted, checks={"psi": 5}).failed() == ()
        assert wk.compare(batch(0), drifted, checks={"psi:income": 5}).failed() == ()
        assert wk.compare(batch(0), drifted, checks={"psi:age": 5}).failed() != ()
        assert wk.compare(batch(0), drifted, checks={"psi": None}).failed("drift") == ()

    def test_only_the_columns_asked_for(self):
        report = wk.compare(batch(0), batch(1), columns=["age", "plan"])
        assert {c.name for c in report.columns} == {"age", "plan"}
        assert report.failed() == ()
        saved = wk.compare(wk.baseline(batch(0)), batch(1), columns=["age", "plan"])
        assert {c.name for c in saved.columns} == {"age", "plan"}
        assert saved.failed() == ()

    def test_only_the_families_asked_for(self):
        report = wk.compare(batch(0), batch(1), families=["quality"])
        assert {f.family.value for f in report.findings} == {"quality"}

    def test_a_worse_model_is_told_by_segment(self):
        worse = batch(1)
        west = worse["region"] == "north"
        worse["outcome"] = np.where(west, 1 - worse["outcome"], worse["outcome"])
        report = wk.compare(batch(0), worse, segments=["region"])
        assert finding(report, "roc_auc", segment="region=north").verdict is Verdict.FAIL
        assert finding(report, "roc_auc", segment="region=south").verdict is not Verdict.FAIL
        assert report.headline.startswith("The model got worse")
        assert report.weak_segments[0].where == "region = north"

    def test_a_batch_without_outcomes_is_no_fault(self):
        later = batch(1)
        del later["outcome"]
        report = wk.compare(batch(0), later)
        assert report.failed() == ()

    @pytest.mark.parametrize("missing", [0.5, 1.0])
    def test_outcomes_that_are_still_to_come_have_not_changed(self, missing):
        later = batch(1)
        later["outcome"] = np.where(np.random.default_rng(0).random(ROWS) < missing, np.nan, later["outcome"])
        report = wk.compare(batch(0), later)
        assert [f for f in report.failed() if f.subject == "outcome"] == []

    def test_outcomes_that_came_are_compared_among_themselves(self):
        later = batch(1)
        random = np.random.default_rng(0)
        later["outcome"] = np.where(random.random(ROWS) < 0.5, np.nan, random.random(ROWS) < 0.9)
        [found] = [f for f in wk.compare(batch(0), later).failed("drift") if f.subject == "outcome"]
        assert found.sentence.startswith("0 fell from")

    def test_more_measures_by_name(self):
        report = wk.compare(batch(0), batch(1), measures=["hellinger"])
        [income] = [c for c in report.columns if c.name == "income"]
        assert "hellinger" in {m.measure for m in income.measurements}

    def test_columns_that_move_against_each_other_are_found_when_asked(self):
        def pair(seed: int, correlation: float) -> dict[str, np.ndarray]:
            random = np.random.default_rng(seed)
            a = random.normal(size=3_000)
            return {"a": a, "b": correlation * a + np.sqrt(1 - correlation**2) * random.normal(size=3_000)}

        baseline = wk.baseline(pair(1, 0.0))
        assert wk.compare(baseline, pair(2, 0.8)).failed() == ()
        report = wk.compare(baseline, pair(2, 0.8), multivariate=True)
        found = finding(report, "domain_classifier")
        assert found.verdict is Verdict.FAIL
        assert "which rows are new" in found.sentence
        assert report.headline == "The columns moved together"
        assert "All columns together" in report.to_html()
        assert {m["measure"] for m in report.to_dict()["joint"]} == {
            "mmd",
            "domain_classifier",
            "pca_reconstruction",
        }
        assert wk.compare(baseline, pair(3, 0.0), multivariate=True).failed() == ()

    def test_embeddings_that_moved(self):
        random = np.random.default_rng(0)
        before, after = random.normal(size=(2, 2_000, 8))
        sides = [{"v": list(before)}, {"v": list(after + 0.3)}]
        assert finding(wk.compare(*sides), "mean_distance", "v").verdict is Verdict.FAIL
        assert wk.compare({"v": list(before)}, {"v": list(after)}).failed() == ()

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"families": ["drfit"]}, "Did you mean 'drift'"),
            ({"checks": {"ps": 1}}, "Did you mean 'psi'"),
            ({"checks": {"psi": -1}}, "at least 0"),
            ({"checks": {"psi:incme": 1}}, "Did you mean 'income'"),
            ({"measures": ["wassertein"]}, "Did you mean 'wasserstein'"),
            ({"columns": ["incme"]}, "Did you mean 'income'"),
            ({"segments": ["regoin"]}, "Did you mean 'region'"),
            ({"roles": {"incme": "score"}}, "Did you mean 'income'"),
            ({"roles": {"income": "scor"}}, "Did you mean 'score'"),
            ({"kinds": {"income": "numric"}}, "Did you mean 'numeric'"),
            ({"task": "binry"}, "Did you mean 'binary'"),
            ({"compat": "evidentl"}, "Did you mean 'evidently'"),
            ({"expectations": ["incme unique"]}, "Did you mean 'income'"),
            ({"expectations": ["income is nice"]}, "is no expectation"),
            ({"false_discovery_rate": 2}, "between 0 and 1"),
        ],
        ids=str,
    )
    def test_a_wrong_word_is_refused_with_the_nearest(self, options, words):
        with pytest.raises(wk.WatchkeeperError, match=words):
            wk.compare(batch(0, 300), batch(1, 300), **options)


class TestBaselines:
    def test_read_back_on_another_machine_it_says_the_same(self, tmp_path):
        """Another process, in another folder, without the data that the baseline was taken from."""
        data, later = tmp_path / "data", tmp_path / "later"
        data.mkdir()
        later.mkdir()
        pq.write_table(pa.table(batch(0)), data / "january.parquet")
        pq.write_table(pa.table(batch(1, shift=0.4)), later / "february.parquet")
        here = wk.compare(data / "january.parquet", later / "february.parquet")
        save_baseline(wk.baseline(data / "january.parquet"), later / "model.wkb")
        (data / "january.parquet").unlink()
        code = (
            "import watchkeeper as wk, json; r = wk.compare('model.wkb', 'february.parquet');"
            "print(json.dumps([[f.measure, f.subject, f.verdict.value, f.value] for f in r.findings]))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=later, capture_output=True, text=True, check=True
        )
        import json

        there = json.loads(done.stdout)
        assert there == [[f.measure, f.subject, f.verdict.value, f.value] for f in here.findings]
        assert load_baseline(later / "model.wkb").source["path"].endswith("january.parquet")

    def test_a_profile_alone_serves_everything_but_rows(self):
        profile = wk.profile(batch(0)).without_rows()
        alone = wk.compare(profile, batch(1, shift=0.4), multivariate=True)
        whole = wk.compare(wk.baseline(batch(0)), batch(1, shift=0.4))
        verdicts = {(f.measure, f.subject): f.verdict for f in whole.findings}
        # What the whole one measures, the profile alone does too; tests on samples are told to be impossible.
        assert verdicts == {
            (f.measure, f.subject): f.verdict for f in alone.findings if (f.measure, f.subject) in verdicts
        }
        with pytest.raises(wk.WatchkeeperError, match="needs the rows of the baseline"):
            wk.compare(profile, batch(1), compat="evidently")

    def test_a_batch_that_was_profiled_elsewhere(self):
        made = wk.baseline(batch(0))
        profile = wk.profile(batch(1, shift=0.4), plan=made.plan, schema=made.schema)
        assert {f.subject for f in wk.compare(made, profile).failed()} == {"income"}

    def test_it_keeps_its_own_windows(self):
        made = wk.baseline(batch(0), window=timedelta(hours=6))
        assert len(made.windows) == 14
        assert sum(w.profile.rows for w in made.windows) == ROWS

    def test_a_stream_becomes_a_baseline_with_the_edges_that_it_was_counted_by(self):
        table = pa.table(batch(0))
        stream = pa.RecordBatchReader.from_batches(table.schema, iter(table.to_batches(max_chunksize=900)))
        made = wk.baseline(stream)
        assert made.plan.edges.keys() == made.profile.edges.keys()
        assert "income" in made.plan.edges

    def test_a_schema_given_twice_is_refused(self):
        made = wk.baseline(batch(0, 300))
        with pytest.raises(wk.WatchkeeperError, match="has its schema already"):
            wk.compare(made, batch(1, 300), kinds={"age": "categorical"})


class TestCompat:
    @pytest.mark.parametrize("peer", sorted(PEERS))
    def test_the_numbers_are_those_of_the_peers_own_definition(self, peer):
        before, after = batch(0, 2_000), batch(1, 2_000, shift=0.4)
        report = wk.compare(before, after, compat=peer)
        told = {c.name: c for c in report.compat.columns}
        assert {"age", "income", "plan", "score"} <= set(told)
        assert "id" not in told
        for name in ("income", "plan"):
            theirs = column_drift(peer, before[name], after[name])
            assert told[name].score == pytest.approx(theirs.score, abs=1e-12)
        assert told["income"].drifted
        assert report.to_dict()["compat"]["peer"] == peer
        assert report.compat.title in report.to_html()
        assert report.compat.title in report.to_markdown()

    def test_only_one_peer_has_a_verdict_on_the_table(self):
        assert wk.compare(batch(0, 500), batch(1, 500), compat="evidently").compat.drifted is False
        assert wk.compare(batch(0, 500), batch(1, 500), compat="nannyml").compat.drifted is None

    def test_a_column_that_the_peer_cannot_read_has_a_reason(self):
        texts = {"t": [f"this is a long text number {i}" for i in range(300)], "x": np.arange(300.0)}
        report = wk.compare(texts, texts, compat="evidently", kinds={"t": "text"})
        [t] = [c for c in report.compat.columns if c.name == "t"]
        assert t.score is None
        assert t.reason in report.to_html()

    def test_streams_are_read_once_and_serve_both(self):
        table = pa.table(batch(0, 1_000))
        stream = pa.RecordBatchReader.from_batches(table.schema, iter(table.to_batches(max_chunksize=300)))
        report = wk.compare(stream, batch(1, 1_000), compat="evidently")
        assert report.reference.rows == 1_000
        assert report.compat.columns

    @pytest.mark.parametrize("side", ["reference", "current"])
    def test_rows_are_needed_on_both_sides(self, side, tmp_path):
        save_baseline(wk.baseline(batch(0, 300)), tmp_path / "b.wkb")
        sides = (tmp_path / "b.wkb", batch(1, 300))
        with pytest.raises(wk.WatchkeeperError, match="does not hold them all") as failure:
            wk.compare(*(sides if side == "reference" else sides[::-1]), compat="deequ")
        assert "Give the rows themselves" in str(failure.value)


class TestCopies:
    def test_copied_ids_are_a_finding(self):
        later = batch(1)
        later["id"][:10] = later["id"][10:20]
        found = finding(wk.compare(batch(0), later), "duplicate_ids", "id")
        assert found.verdict is Verdict.FAIL
        assert found.sentence == "10 of 5,000 ids are copies of an earlier one (counted exactly)."

    def test_whole_rows_when_asked(self):
        later = {name: np.concatenate([v, v[:100]]) for name, v in batch(1).items()}
        report = wk.compare(batch(0), later, duplicates=True, checks={"duplicate_rows": 0.0})
        found = finding(report, "duplicate_rows")
        assert found.details["copies"] == 100
        assert found.verdict is Verdict.FAIL
        assert not [f for f in wk.compare(batch(0), later).findings if f.measure == "duplicate_rows"]


class TestExpectations:
    def test_sentences_objects_mappings_and_files_say_the_same(self, tmp_path):
        objects = [Expectation.between("age", 20, 80), Expectation.unique("id")]
        path = save_expectations(objects, tmp_path / "e.json")
        (tmp_path / "e.toml").write_text(
            '[[expectations]]\ncolumn = "age"\nrule = "between"\nlow = 20\nhigh = 80\n'
            '[[expectations]]\ncolumn = "id"\nrule = "unique"\n'
        )
        ways = [
            objects,
            ["age between 20 and 80", "id unique"],
            [e.to_dict() for e in objects],
            path,
            str(tmp_path / "e.toml"),
        ]
        answers = [
            [(f.subject, f.verdict, f.value) for f in wk.compare(batch(0), batch(1), expectations=way).findings
             if f.measure == "expectation"]
            for way in ways
        ]  # fmt: skip
        assert all(answer == answers[0] for answer in answers)
        assert {(subject, verdict.value) for subject, verdict, _ in answers[0]} == {
            ("age", "fail"),
            ("id", "pass"),
        }

    def test_those_suggested_hold_on_the_rows_that_they_came_from(self, tmp_path):
        made = suggested(wk.baseline(batch(0)))
        assert made
        report = wk.compare(batch(0), batch(0), expectations=made)
        assert not [f for f in report.failed() if f.measure == "expectation"]
        path = save_expectations(made, tmp_path / "e.json")
        assert load_expectations(path) == tuple(made)

    def test_unique_is_counted_exactly(self):
        later = batch(1)
        later["income"][0] = later["income"][1]
        found = finding(wk.compare(batch(0), later, expectations=["income unique"]), "expectation", "income")
        assert found.verdict is Verdict.FAIL
        assert "1 of 5,000 rows" in found.sentence

    @pytest.mark.parametrize(
        ("name", "text", "words"),
        [
            ("e.json", "{", "cannot be read"),
            ("e.toml", "a = ", "cannot be read"),
            ("e.json", '{"expect": []}', "holds no list"),
            ("e.json", '[{"column": "a", "rule": "uniqe"}]', r"expectations\[0\].*Did you mean 'unique'"),
            ("e.json", '[{"column": "a", "rule": "between", "lo": 1}]', "Did you mean 'low'"),
            ("e.json", "[3]", "is no expectation"),
        ],
    )
    def test_a_faulty_file_is_told_with_its_place(self, tmp_path, name, text, words):
        (tmp_path / name).write_text(text)
        with pytest.raises(wk.WatchkeeperError, match=words) as failure:
            load_expectations(tmp_path / name)
        assert name in str(failure.value)

    def test_a_file_that_is_not_there(self, tmp_path):
        (tmp_path / "expectations.json").write_text("[]")
        with pytest.raises(wk.WatchkeeperError, match=r"Did you mean 'expectations\.json'"):
            load_expectations(tmp_path / "expectation.json")


def test_freshness_is_the_age_of_the_newest_row():
    now = datetime(2026, 3, 10, tzinfo=UTC)
    newest = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(minutes=ROWS - 1)
    report = wk.compare(batch(0), batch(1), now=now, checks={"freshness": 3600.0})
    found = finding(report, "freshness", "timestamp")
    assert found.value == (now - newest).total_seconds()
    assert found.verdict is Verdict.FAIL
    assert (
        finding(wk.compare(batch(0), batch(1), now=newest, checks={"freshness": 3600.0}), "freshness", "timestamp").verdict
        is Verdict.PASS
    )  # fmt: skip


def test_progress_is_told_and_ends_with_all_rows():
    seen = []
    wk.compare(batch(0), batch(1), progress=lambda stage, done, total: seen.append((stage, done, total)))
    assert seen[-1] == ("counting", ROWS, ROWS)
    assert [done for _, done, _ in seen] == [ROWS] * 3


@pytest.mark.parametrize(("moved", "verdict"), [(0.0, Verdict.PASS), (0.5, Verdict.FAIL)])
def test_a_column_of_vectors_is_judged(moved, verdict):
    random = np.random.default_rng(0)
    before, after = ({"e": list(random.normal(size=(2000, 8)) + by)} for by in (0.0, moved))
    [column] = wk.compare(before, after).columns
    assert (column.kind, column.verdict) == ("vector", verdict), column.sentence


class TestNamedMeasures:
    """A level that somebody gives to a measure is judged, or it is said why it is not."""

    ROWS = {
        "x": np.r_[np.zeros(995), np.full(5, 1e6)] + np.arange(1000) % 7,
        "c": ["a", "b"] * 499 + ["c", "d"],
    }

    @pytest.mark.parametrize(
        ("check", "subject"),
        [("rare_values", "c"), ("robust_z_outliers", "x"), ("kl", "x"), ("duplicate_rows", ""), ("mmd", "")],
    )
    def test_one_that_is_not_taken_by_default_is_taken(self, check, subject):
        report = wk.compare(self.ROWS, self.ROWS, checks={check: 0.001})
        assert finding(report, check, subject).fail_at == 0.001
        assert not [n for n in report.notes if "nothing to judge" in n]

    @pytest.mark.parametrize("check", ["mse", "freshness", "psi:c2"])
    def test_one_that_nothing_here_can_answer_is_told(self, check):
        rows = {**self.ROWS, "c2": [f"a text of its own, number {i}" for i in range(1000)]}
        report = wk.compare(rows, rows, checks={check: 0.1})
        assert any(repr(check) in n and "nothing to judge" in n for n in report.notes), report.notes

    @pytest.mark.parametrize("check", ["latency", "estimated_accuracy"])
    def test_one_that_no_batch_has_is_refused(self, check):
        with pytest.raises(BadInput, match=f"There is no check '{check}' of a batch"):
            wk.compare(self.ROWS, self.ROWS, checks={check: 0.1})


def test_what_explains_the_rest_is_said_first():
    report = wk.compare(
        {"x": np.arange(1000.0), "y": np.arange(1000)}, {"x": ["high", "low"] * 500, "y": [3] * 1000}
    )
    markdown = report.to_markdown()
    assert markdown.index("x was numeric (double)") < markdown.index("Population stability index")
    page = report.to_html()
    assert page.index("x was numeric (double)") < page.index("Population stability index")
    assert "same value in every row" in report.summary or "x was numeric" in report.summary
