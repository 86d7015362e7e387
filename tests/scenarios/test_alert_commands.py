"""``watchkeeper alerts`` and ``watchkeeper silences``, as people use them on a project."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from watchkeeper.adapters.ledgers.sql import open_ledger
from watchkeeper.cli import main
from watchkeeper.domain.measurement import Measurement
from watchkeeper.domain.series import PlacedMeasurement, WindowKey, WindowState
from watchkeeper.domain.window import Window, floor_to
from watchkeeper.loop.alerting.judging import AlertJudge
from watchkeeper.ports.judge import JudgedWindow
from watchkeeper.wiring.config import load_config

DAY = timedelta(days=1)

CONFIG = """
[models.churn]
task = "binary"

[[models.churn.rules]]
name = "psi high"
measure = "psi"
above = 0.2
resolve_above = 0.1
for = "1d"
severity = "warning"
"""

TESTS = """
[[test]]
name = "two bad days"
rule = "psi high"
series = [{ column = "age", values = "0.05x3 0.3x3" }]
expect = [{ window = 5, state = "pending" }, { window = 6, state = "firing" }]
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Thirty days of measurements until today; PSI of age is high in the last five."""
    (tmp_path / "watchkeeper.toml").write_text(CONFIG)
    ledger = open_ledger(tmp_path / ".watchkeeper" / "ledger.db")
    config = load_config(tmp_path)
    judge, model = AlertJudge(config.alerting()), config.watched()["churn"]
    today = floor_to(datetime.now(UTC), DAY)
    for n in range(30):
        window = Window(today - (30 - n) * DAY, today - (29 - n) * DAY)
        rows = [
            PlacedMeasurement(
                key=WindowKey(model="churn", window=window),
                measurement=Measurement(measure="psi", subject=c, value=v, rows=1000),
            )
            for c, v in (("age", 0.3 if n >= 25 else 0.05), ("plan", 0.01))
        ]
        key = WindowKey(model="churn", window=window)
        ledger.windows.mark_dirty([key], reason="rows")
        ledger.windows.done([WindowState(key=key, rows=1000, mature=True, generation=1)])
        ledger.measurements.write(rows, at=window.end)
        judge.judge(
            JudgedWindow(ledger=ledger, model=model, window=window, measurements=rows, now=window.end)
        )
    ledger.close()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def wk(project, capsys):
    def run(*args):
        with pytest.raises(SystemExit) as end:
            main([str(a) for a in args])
        out = capsys.readouterr()
        return end.value.code, out.out, out.err

    return run


def test_list_show_acknowledge(wk):
    code, out, _ = wk("alerts", "list")
    assert code == 1
    assert "psi high" not in out  # people read what is wrong, not the rule's name
    assert "Population stability index of age is" in " ".join(out.split())
    _, out, _ = wk("alerts", "list", "--json")
    (alert,) = json.loads(out)["alerts"]
    name = alert["fingerprint"]
    code, out, _ = wk("alerts", "ack", name[:6], "--note", "rolling back", "--as", "ann")
    assert (code, out) == (0, f"{name} acknowledged by ann.\n")
    _, out, _ = wk("alerts", "show", name)
    questions = [line.split(":")[0] for line in out.splitlines() if ": " in line][1:5]
    assert questions == ["What changed", "Since when", "For whom", "What was done"]
    assert "ann: Acknowledged: rolling back." in out
    code, _, err = wk("alerts", "show", "nothing")
    assert (code, "There is no alert 'nothing'" in err) == (2, True)


def test_a_rule_is_tried_before_it_is_switched_on(wk, project):
    code, out, _ = wk("alerts", "test", "psi high", "--from", "29d")
    assert code == 1
    assert "fired once" in out
    rule = project / "rule.toml"
    rule.write_text('name = "lower"\nmeasure = "psi"\nabove = 0.04\n')
    code, out, _ = wk("alerts", "test", rule, "--from", "40d", "--json")
    said = json.loads(out)
    assert (code, said["series"], len(said["episodes"]), said["firing_share"]) == (1, 2, 1, 1.0)
    rule.write_text('name = "higher"\nmeasure = "psi"\nabove = 0.9\n')
    code, out, _ = wk("alerts", "test", rule, "--from", "40d")
    assert (code, "fired 0 times" in out) == (0, True)
    assert wk("alerts", "test", "psi hihg")[2].startswith(
        "NotFound: churn has no rule 'psi hihg'. Did you mean 'psi high'?"
    )
    code, _, err = wk("alerts", "test", "column changed")
    assert code == 2
    assert "has no baseline" in err
    assert "(28 more)" not in err


def test_a_rule_that_joins_others_is_tried_too(wk, project):
    rule = project / "both.toml"
    for when, fired in (("psi high and not lower", 0), ("psi high and lower", 1)):
        (project / "watchkeeper.toml").write_text(
            CONFIG + '[[models.churn.rules]]\nname = "lower"\nmeasure = "psi"\nabove = 0.04\n'
        )
        rule.write_text(
            f'name = "both"\nkind = "composite"\nwhen = "{when.replace("psi high", "psi-high")}"\n'
        )
        config = (project / "watchkeeper.toml").read_text().replace('"psi high"', '"psi-high"')
        (project / "watchkeeper.toml").write_text(config)
        code, out, err = wk("alerts", "test", rule, "--from", "29d", "--json")
        assert err == ""
        said = json.loads(out)
        assert (code, len(said["episodes"])) == (int(bool(fired)), fired)


def test_a_rule_on_what_does_not_come_is_tried_too(wk, project):
    rule = project / "quiet.toml"
    rule.write_text('name = "quiet"\nkind = "absence"\nafter = "36h"\n')
    assert wk("alerts", "test", rule, "--from", "29d")[0] == 0
    # Windows come until today: four days ahead, the last ones are late.
    ahead = f"{datetime.now(UTC) + 4 * DAY:%Y-%m-%d}"
    code, out, _ = wk("alerts", "test", rule, "--from", "29d", "--to", ahead, "--json")
    said = json.loads(out)
    assert (code, len(said["episodes"]), said["episodes"][0]["resolved_at"]) == (1, 1, None)
    assert "36 hours is allowed" in said["episodes"][0]["sentence"]
    rule.write_text('name = "quiet"\nkind = "absence"\nof = "outcomes"\nafter = "36h"\n')
    code, _, err = wk("alerts", "test", rule)
    assert (code, "when they arrived is not kept" in err) == (2, True)


@pytest.mark.slow
def test_a_rule_on_the_columns_fires_when_it_did_and_changes_nothing(tmp_path):
    """The trial of the preset's rule on history says what the watch itself did, window by window."""
    from random import Random

    from watchkeeper.capture.recorder import Recorder
    from watchkeeper.testing.clock import FakeClock
    from watchkeeper.wiring import open_project
    from watchkeeper.wiring.trial import try_rule

    start = datetime(2026, 1, 1, tzinfo=UTC)
    (tmp_path / "watchkeeper.toml").write_text(
        '[models.m]\ncadence = "1d"\njudge_every = "1d"\nmaturity = { after = "1d" }\n'
    )
    draw = Random(7)
    with open_project(tmp_path, clock=FakeClock(start + 30 * DAY)) as watch:

        def days(first, last):
            with Recorder("m", "1", path=watch.data) as recorder:
                for n in range(first, last):
                    for i in range(150):
                        x = draw.gauss(2.0 if n >= 40 else 0.0, 1.0)
                        at = start + n * DAY + timedelta(minutes=9 * i)
                        recorder.record({"x": x}, i % 2, id=f"{n}-{i}", at=at)
            watch.clock.now = start + last * DAY + timedelta(minutes=5)
            assert watch.tick().to_dict()["problems"] == []

        days(0, 30)
        watch.rebaseline("m", start, start + 30 * DAY, actor="test")
        for n in range(30, 50):
            days(n, n + 1)
        (alert,) = [
            d.body
            for d in watch.ledger.facts.documents("alert", states=["firing"])
            if d.body["rule"] == "column changed" and d.body["labels"].get("column") == "x"
        ]
        before = watch.ledger.facts.facts(limit=100_000)
        rules = AlertJudge(watch.config.alerting()).rules_of(watch.model("m"), watch.baseline("m"))
        rule = next(r for r in rules if r.name == "column changed")
        done = try_rule(watch, watch.model("m"), rule, start=start + 30 * DAY, end=start + 50 * DAY)
        assert watch.ledger.facts.facts(limit=100_000) == before
    (episode,) = [e for e in done.episodes if e.subject == "x"]
    # The watch saw the first 30 days before there was a baseline; the replay holds them against it, which may move a window.
    assert abs(episode.fired_at - datetime.fromisoformat(alert["fired_at"])) <= DAY
    assert episode.sentence.startswith("x changed")
    assert done.windows == 20


def test_rule_tests_run_from_toml_and_yaml(wk, project):
    file = project / "rules_test.toml"
    file.write_text(TESTS)
    assert wk("alerts", "check", file)[:2] == (0, "2 held, 0 failed.\n")
    file.write_text(TESTS.replace('window = 6, state = "firing"', 'window = 4, state = "firing"'))
    code, out, _ = wk("alerts", "check", file)
    assert code == 1
    assert "two bad days: window 4: inactive, expected firing" in out
    yaml = project / "rules_test.yaml"
    yaml.write_text(
        "test:\n- rule: psi high\n  series: [{column: age, values: '0.3x2'}]\n  expect: [{window: 2, state: firing}]\n"
    )
    assert wk("alerts", "check", yaml)[0] == 0
    file.write_text("[[test]\n")
    assert wk("alerts", "check", file)[0] == 2


def test_silences(wk):
    _, out, _ = wk("silences", "preview", "model=churn")
    assert out.startswith("It mutes 1 firing and 0 pending alerts")
    _, out, _ = wk("silences", "preview", "modle=churn")
    assert "No alert has the label 'modle'. Did you mean 'model'?" in out
    code, out, _ = wk(
        "silences", "add", "column=~age|plan", "--reason", "migration", "--for", "4h", "--as", "ann", "--json"
    )
    name = json.loads(out)["id"]
    _, out, _ = wk("silences", "list", "--json")
    assert [(s["id"], s["author"], s["reason"]) for s in json.loads(out)] == [(name, "ann", "migration")]
    assert wk("silences", "expire", name)[0] == 0
    assert wk("silences", "list")[1] == "There are none.\n"
    assert wk("silences", "expire", name)[0] == 2
    code, _, err = wk("silences", "add", "model=~(", "--reason", "x", "--for", "1h")
    assert (code, "regular expression" in err) == (2, True)
    assert "needs an end" in wk("silences", "add", "model=x", "--reason", "x")[2]


def test_the_examples_of_the_guide_are_accepted_as_they_stand():
    import re
    import tomllib
    from pathlib import Path

    from watchkeeper.decisions.alerting.unit_tests import check_file
    from watchkeeper.wiring.config import parse_config

    guide = Path(__file__).parents[2] / "docs" / "alerts.md"
    blocks = re.findall(r"```toml\n(.*?)```", guide.read_text(), re.DOTALL)
    (tests,) = [b for b in blocks if "[[test]]" in b]
    made = parse_config("".join(b for b in blocks if b != tests)).alerting()
    assert (len(made.rules["churn"]), len(made.routes), len(made.maintenance)) == (8, 3, 2)
    assert all(c.ok for c in check_file(tomllib.loads(tests)))
