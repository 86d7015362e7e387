"""Every kind of rule on a project, from rows to an alert, by ``watchkeeper tick`` as cron runs it.

Forty quiet days, then ten on which something happens to each column that a rule looks at. The clock is the machine's,
so days are counted back from today.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from watchkeeper.capture.recorder import Recorder
from watchkeeper.cli import cli
from watchkeeper.domain.window import floor_to
from watchkeeper.loop.batch.profiling import baseline, save_baseline
from watchkeeper.testing.clock import FakeClock
from watchkeeper.wiring import open_project

pytestmark = pytest.mark.slow

DAY = timedelta(days=1)
QUIET, LATER, ROWS = 40, 10, 250

CONFIG = """
[models.m]
task = "binary"
baseline = "m.wkb"
cadence = "1d"
judge_every = "1d"

[[models.m.rules]]
name = "psi-high"
measure = "psi"
columns = ["moved"]
above = 0.4
resolve_above = 0.2

[[models.m.rules]]
name = "lasting"
kind = "evidence"
severity = "critical"

[[models.m.rules]]
name = "broken"
kind = "break"

[[models.m.rules]]
name = "missing unusual"
kind = "anomaly"
measure = "missing"
columns = ["holes"]

[[models.m.rules]]
name = "missing soon"
kind = "predictive"
measure = "missing"
columns = ["rising"]
above = 0.45
within = "14d"

[[models.m.rules]]
name = "both"
kind = "composite"
when = "psi-high and broken"

[[models.m.rules]]
name = "not both"
kind = "composite"
when = "psi-high and nothing-came"

[[models.m.rules]]
name = "nothing-came"
kind = "absence"
after = "2d"

[[models.m.rules]]
name = "too few"
measure = "psi"
columns = ["moved"]
above = 0.0
min_rows = 100000
"""


def day(rng: np.random.Generator, n: int, start: datetime) -> pd.DataFrame:
    """Day *n* counted from the first quiet one, of predictions made from *start* on."""
    later = max(0, n - QUIET + 1)
    score = rng.random(ROWS)
    rising = min(0.02 + 0.01 * max(0, n - 15), 1.0)
    return pd.DataFrame(
        {
            "at": pd.to_datetime(start) + pd.to_timedelta(np.arange(ROWS) * 300, unit="s"),
            "still": rng.normal(size=ROWS),
            "moved": rng.normal(0.8 * (later > 0), 1, ROWS),
            "ruined": rng.normal(4.0 * (later > 6), 1, ROWS),
            "holes": np.where(rng.random(ROWS) < 0.02 + 0.3 * (later == LATER), np.nan, rng.random(ROWS)),
            "rising": np.where(rng.random(ROWS) < rising, np.nan, rng.random(ROWS)),
            "score": score,
            "prediction": (score > 0.5).astype(int),
        }
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rules")
    (folder / "watchkeeper.toml").write_text(CONFIG)
    today = floor_to(datetime.now(UTC), DAY)
    start = today - (QUIET + LATER) * DAY
    rng = np.random.default_rng(5)
    before = [day(rng, 0, start - k * DAY) for k in range(40, 0, -1)]
    rows = pd.concat(before, ignore_index=True)
    rows["outcome"] = (rng.random(len(rows)) < rows.score).astype(int)
    save_baseline(baseline(rows, roles={"at": "time"}), folder / "m.wkb")
    clock = FakeClock(start)
    with open_project(folder, clock=clock) as watch:
        for n in range(QUIET + LATER):
            with Recorder("m", "1", path=watch.data, flush_interval_s=60) as recorder:
                recorder.record_batch(
                    day(rng, n, start + n * DAY),
                    at="at", prediction="prediction", score="score",
                )  # fmt: skip
                assert recorder.flush()
            clock.advance(DAY)
            if n >= QUIET - 1 and n < QUIET + LATER - 1:
                assert watch.tick().to_dict()["problems"] == []
    done = CliRunner().invoke(cli, ["tick", "--project", str(folder)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return folder


def judged(folder) -> dict[tuple[str, str], dict]:
    with open_project(folder) as watch:
        body = watch.ledger.facts.document("judged", "m").body
    return body["rules"], {(e["rule"], e.get("subject", "")): e for e in body["evaluations"]}


def alerts(folder) -> dict[tuple[str, str], dict]:
    done = CliRunner().invoke(cli, ["alerts", "list", "--project", str(folder), "--json"])
    return {(a["rule"], a["labels"].get("column", "")): a for a in json.loads(done.output)["alerts"]}


@pytest.mark.parametrize(
    ("rule", "column", "guarantee"),
    [
        ("psi-high", "moved", "no bound on false alarms"),
        ("lasting", "moved", "ever firing falsely"),
        ("broken", "ruined", "ever firing falsely"),
        ("missing unusual", "holes", "no bound on false alarms"),
        ("missing soon", "rising", "no bound on false alarms; on"),
    ],
)
def test_what_happened_fires_with_its_guarantee(project, rule, column, guarantee):
    found = alerts(project)
    assert (rule, column) in found, list(found)
    alert = found[rule, column]
    assert alert["state"] == "firing"
    assert guarantee in json.dumps(alert)
    _, evaluations = judged(project)
    assert (rule, "still") not in evaluations


def test_a_forecast_may_page_only_once_its_errors_earned_it(project):
    _, evaluations = judged(project)
    details = evaluations["missing soon", "rising"]["details"]
    assert details["error"] < details["naive_error"] or not details["trusted"]
    assert 0 < details["breach_in_s"] <= timedelta(days=14).total_seconds()
    assert "95%" in evaluations["missing soon", "rising"]["sentence"]


def test_joined_rules_say_what_their_parts_say(project):
    rules, _ = judged(project)
    assert rules["both"] == "fail"
    assert rules["not both"] in ("pass", "inconclusive")
    assert ("both", "") in alerts(project)


def test_too_few_rows_are_inconclusive(project):
    rules, evaluations = judged(project)
    assert rules["too few"] == "inconclusive"
    assert "needs 100,000" in evaluations["too few", "moved"]["sentence"]


def test_nothing_that_only_notes_is_loud_by_itself(project):
    loud = {rule for (rule, _), a in alerts(project).items() if a["severity"] in ("warning", "critical")}
    assert not loud & {"psi-high", "missing unusual"}


def test_silence_of_the_source_fires_when_it_has_lasted(project):
    with open_project(project, clock=FakeClock(datetime.now(UTC) + 3 * DAY)) as watch:
        watch.tick()
    assert alerts(project)["nothing-came", ""]["state"] == "firing"
