"""A configuration either means what it says, or names the place where it does not."""

from datetime import timedelta

import pytest

from watchkeeper.decisions.rules.catalogue import KINDS
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
PSI = '[[models.m.rules]]\nname = "psi high"\nmeasure = "psi"\n'
FAULTS |= {
    PSI
    + "above = 0.2\nabov = 1": "line 5, models.m.rules.0.abov: there is no such key. Did you mean 'above'?",
    PSI
    + "above = 1\n"
    + PSI.replace("high", "low")
    + "abov = 1": "line 8, models.m.rules.1.abov: there is no such key.",
    '[models.m]\n[[models.m.rules]]\nname = "x"\nkind = "treshold"': (
        "line 2, models.m.rules.0: There is no kind of rule 'treshold'. Did you mean 'threshold'?"
    ),
    PSI.replace('"psi"', '"psy"')
    + "above = 1": "line 3, models.m.rules.0.measure: there is no measure 'psy'. Did you mean 'psi'?",
    PSI + 'above = 1\nseverity = "critcal"': "line 5, models.m.rules.0.severity: must be",
    PSI + 'above = 1\nfor = "2 fortnights"': "line 5, models.m.rules.0.for: is not a duration;",
    PSI + "above = true": "line 4, models.m.rules.0.above: must be a valid number.",
    PSI + "above = nan": "line 4, models.m.rules.0.above: must be a finite number.",
    PSI: "line 1, models.m.rules.0: A threshold needs a level.",
    PSI.replace('measure = "psi"', "above = 1"): "The rule needs a measure.",
    PSI + "above = 1\n" + PSI + "above = 2": "line 5, models.m.rules.1: Two rules are called 'psi high'.",
    PSI + 'above = 1\n[[models.m.rules]]\nname = "c"\nkind = "composite"\nwhen = "psi-hi"': (
        "line 5, models.m.rules.1: The rule 'c' joins 'psi-hi', which is no rule."
    ),
    '[[models.m.rules]]\nname = "a"\nkind = "composite"\nwhen = "b"\n'
    '[[models.m.rules]]\nname = "b"\nkind = "composite"\nwhen = "not a"': "join each other in a circle",
    '[channels.mail]\nurl = "x"\n[[routes]]\nchannels = ["mail"]\n[[routes]]\nchannels = ["mail"]\ngroup_by = ["modle"]': (
        "line 5, routes.1: A route uses the label 'modle', which no alert has. Did you mean 'model'?"
    ),
    '[[routes]]\nchannels = ["mail"]\nmatch = { model = "~a(b" }': (
        'line 3, routes.0.match: The matcher model=~"a(b" has a regular expression that cannot be read: '
        "missing ), unterminated subpattern at position 2."
    ),
    '[[inhibit]]\nsource = { severity = "critical" }\ntarget = { severity = "~critical|warning" }': (
        "line 1, inhibit.0: An inhibition could mute its own source"
    ),
    '[[inhibit]]\nsource = { rule = "a" }\ntarget = { rule = "b" }\n'
    '[[inhibit]]\nsource = { rule = "b" }\ntarget = { rule = "a" }': "could mute each other in a circle",
    '[[inhibit]]\nsorce = { rule = "a" }\ntarget = { rule = "b" }': (
        "line 2, inhibit.0.sorce: there is no such key. Did you mean 'source'?"
    ),
    '[[maintenance]]\nname = "x"\nstart = "2026-01-01"': "maintenance.0.end: this key is needed.",
    '[[maintenance]]\nname = "x"\nstart = "2026-01-02"\nend = "2026-01-01"': "the end must come after the start",
    '[[maintenance]]\nname = "x"': "line 1, maintenance.0: must say when:",
    '[[maintenance]]\nname = "x"\ncron = "0 2 * *"\nduration = "1h"': (
        "line 1, maintenance.0: The maintenance window 'x' has a cron line that cannot be read"
    ),
    '[[maintenance]]\nname = "x"\ndays = ["sonday"]\nat = "02:00"\nduration = "1h"': (
        "line 3, maintenance.0.days: 'sonday' is not a day. Did you mean 'sunday'?"
    ),
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


def test_an_editor_is_told_every_key_of_every_kind_of_rule():
    schema = json_schema()
    rules = schema["$defs"]["ModelTable"]["properties"]["rules"]["items"]
    kinds = [schema["$defs"][member["$ref"].rsplit("/", 1)[1]] for member in rules["oneOf"]]
    by_kind = {k["properties"]["kind"]["const"]: k for k in kinds if "kind" in k["properties"]}
    assert set(by_kind) == set(KINDS)
    assert all(k["additionalProperties"] is False for k in by_kind.values())
    assert by_kind["threshold"]["properties"]["resolve_above"]["description"]
    assert by_kind["composite"]["required"] == ["name", "when"]
    assert set(schema["$defs"]["ModelTable"]["properties"]["rules"]["items"]) == {"oneOf"}


def test_a_rule_that_is_switched_off_needs_no_more_than_its_name():
    model = parse_config('[[models.m.rules]]\nname = "column changed"\nenabled = false').watched()["m"]
    assert (model.rules, model.rules_off) == ((), frozenset({"column changed"}))
