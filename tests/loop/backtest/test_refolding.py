"""Evidence is a function of the measured windows: lost, it is folded again; corrected, it costs a smaller budget."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from watchkeeper.capture.recorder import Recorder
from watchkeeper.cli.refold import refold as command
from watchkeeper.decisions.rules.budget import Budget
from watchkeeper.errors import BadInput
from watchkeeper.loop.alerting.kept_evidence import revision_of
from watchkeeper.loop.backtest.refold import refold
from watchkeeper.loop.batch.profiling import baseline, save_baseline
from watchkeeper.testing.clock import FakeClock
from watchkeeper.wiring import open_project
from watchkeeper.wiring.scratch import scratch_ledger

T0 = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
ROWS = 150


def day(rng, start, prefix):
    x = rng.normal(size=ROWS)
    score = 1 / (1 + np.exp(-x))
    return pd.DataFrame(
        {
            "id": [f"{prefix}-{i}" for i in range(ROWS)],
            "at": pd.to_datetime(start) + pd.to_timedelta(np.arange(ROWS) * 500, unit="s"),
            "x": x,
            "score": score,
            "prediction": (score > 0.5).astype(int),
            "outcome": (rng.random(ROWS) < score).astype(int),
        }
    )


@pytest.fixture
def project(tmp_path):
    (tmp_path / "watchkeeper.toml").write_text(
        '[models.m]\nbaseline = "m.wkb"\ntask = "binary"\ncadence = "1d"\njudge_every = "1d"\n'
        '[models.m.maturity]\nshare = 0.9\nafter = "2d"\n'
    )
    rng = np.random.default_rng(0)
    before = pd.concat([day(rng, T0 - k * DAY, f"b{k}") for k in range(25, 0, -1)])
    save_baseline(baseline(before, roles={"at": "time", "id": "id"}), tmp_path / "m.wkb")
    clock = FakeClock(T0)
    with open_project(tmp_path, clock=clock) as watch:
        for n in range(6):
            rows = day(rng, T0 + n * DAY, n)
            with Recorder("m", "1", path=watch.data, flush_interval_s=60) as recorder:
                recorder.record_batch(
                    rows.drop(columns="outcome"), id="id", at="at", prediction="prediction", score="score"
                )
                recorder.outcomes(rows[["id", "outcome"]], id="id", actual="outcome")
                assert recorder.flush()
            clock.advance(DAY)
            assert watch.tick().to_dict()["problems"] == []
        yield watch


def run(watch, **options):
    with scratch_ledger() as scratch:
        return refold(
            watch, watch.model("m"), watch.config.alerting(), scratch=scratch, actor="test", **options
        )


def kept(watch):
    return {d.key: d.body for d in watch.ledger.facts.documents("evidence", model="m", limit=1_000)}


def forget_evidence(watch):
    watch.ledger.facts.forget([("evidence", key) for key in kept(watch)])


def test_folded_again_from_the_same_facts_it_is_the_same_to_the_last_bit(project):
    before = kept(project)
    assert any(key.startswith("series") for key in before)
    assert any(key.startswith("column") for key in before)
    found = run(project)
    assert (found.same, found.lost, found.changed, found.written) == (len(before), 0, (), 0)


def test_lost_evidence_comes_back_as_it_was_and_costs_nothing(project):
    before = kept(project)
    forget_evidence(project)
    found = run(project)
    assert found.lost == len(before)
    assert kept(project) == before
    assert found.revision == revision_of(project.ledger.facts, "m") == 0


def test_a_corrected_past_is_left_alone_until_it_is_taken_as_a_revision(project):
    before = kept(project)
    rows = [f"1-{i}" for i in range(ROWS)]
    with Recorder("m", "1", path=project.data, flush_interval_s=60) as recorder:
        recorder.outcomes(pd.DataFrame({"id": rows, "outcome": 1}), id="id", actual="outcome")
        assert recorder.flush()
    project.tick()
    assert kept(project) == before  # what was folded stays folded
    found = run(project)
    assert found.changed
    assert all(key.startswith("series") for key in found.changed)
    assert kept(project) == before
    said = CliRunner().invoke(command, ["m", "--project", str(project.path)], standalone_mode=False)
    assert said.return_value == 1
    assert "Take the corrected past" in said.output
    found = run(project, reason="outcomes were wrong on the second day")
    assert found.revision == revision_of(project.ledger.facts, "m") == 1
    after = kept(project)
    assert {key for key in after if after[key] != before[key]} == set(found.changed)
    (fact,) = project.ledger.facts.facts(model="m", kinds=["evidence.refolded"])
    assert fact.body["reason"] == "outcomes were wrong on the second day"


def test_another_baseline_goes_on_with_the_count_of_windows_and_on_the_same_budget(project):
    def folded(body):
        return body["state"]["folded"] if "state" in body else body["folded"]["evidence"]["folded"]

    before = {key: folded(body) for key, body in kept(project).items()}
    rng = np.random.default_rng(9)
    rows = pd.concat([day(rng, T0 - k * DAY, f"c{k}") for k in range(30, 0, -1)])
    made = baseline(rows, roles={"at": "time", "id": "id"})
    project.set_baseline("m", made, actor="test")
    project.tick()
    after = {key: folded(body) for key, body in kept(project).items()}
    assert after == before  # windows that were folded are not folded again against the new baseline
    with pytest.raises(BadInput, match="baseline of 'm' was changed"):
        run(project)
    rows = day(rng, T0 + 6 * DAY, 6)
    with Recorder("m", "1", path=project.data, flush_interval_s=60) as recorder:
        recorder.record_batch(
            rows.drop(columns="outcome"), id="id", at="at", prediction="prediction", score="score"
        )
        assert recorder.flush()
    project.clock.advance(DAY)
    project.tick()
    on = kept(project)["column|m|||x|none|False"]
    assert (on["state"]["folded"], on["state"]["first"]) == (7, 7)
    with pytest.raises(BadInput, match="baseline of 'm' was changed"):
        run(project)


def test_all_revisions_together_keep_to_their_share():
    budgets = [Budget().revised(r) for r in range(1, 3_000)]
    assert sum(b.columns + b.breaks + b.measures for b in budgets) <= Budget().revisions + 1e-12
    assert Budget().revised(0) == Budget()
